package addrs

import (
	"errors"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
)

var (
	home   = Address{Addr: netip.MustParseAddr("2001:db8:1::100"), Interface: "eth0", Home: true}
	careOf = Address{Addr: netip.MustParseAddr("2001:db8:2::5"), Interface: "eth0", Tentative: true}
	other  = Address{Addr: netip.MustParseAddr("2001:db8:2::5"), Interface: "wlan0"}
)

// scripted is a system whose addresses are what a test says.
type scripted struct {
	mu    sync.Mutex
	now   []Address
	fault error
	news  chan error
}

func script(now ...Address) *scripted { return &scripted{now: now, news: make(chan error)} }

func (s *scripted) list() ([]Address, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Address(nil), s.now...), s.fault
}

func (s *scripted) wait() error {
	if err, more := <-s.news; more {
		return err
	}
	return net.ErrClosed
}

func (s *scripted) close() { close(s.news) }

// become changes the addresses and lets the watcher see it.
func (s *scripted) become(now ...Address) {
	s.mu.Lock()
	s.now = now
	s.mu.Unlock()
	s.news <- nil
	synctest.Wait()
}

// next is what the watcher has to say, or nil if it has nothing to say or has ended.
func next(w *Watcher) []Address {
	synctest.Wait()
	select {
	case c := <-w.Changes():
		return append([]Address{}, c.Addresses...)
	default:
		return nil
	}
}

func expect(t *testing.T, w *Watcher, what string, want ...Address) {
	t.Helper()
	if got := next(w); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(other, home, careOf)
		w, err := watch(s)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, w, "at first, in order", home, careOf, other)
		expect(t, w, "nothing new")
		s.become(careOf, home, other)
		expect(t, w, "the same in another order")
		s.become(home)
		expect(t, w, "one left", home)

		s.become(home, careOf)
		valid := careOf
		valid.Tentative = false
		s.become(home, valid)
		expect(t, w, "two changes while nobody looked", home, valid)
		expect(t, w, "nothing new")
		s.become(home)
		s.become(home, valid)
		expect(t, w, "there and back while nobody looked")

		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if _, more := <-w.Changes(); more || w.Err() != nil {
			t.Errorf("after Close: more %v, error %v", more, w.Err())
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestHostWithoutAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script()
		w, err := watch(s)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		s.become()
		if got := next(w); got == nil || len(got) != 0 {
			t.Errorf("got %v, want an empty list", got)
		}
		s.become()
		expect(t, w, "nothing new")
	})
}

func TestWhatAReaderDoesWithItsListStaysThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(home, careOf)
		w, err := watch(s)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		c := <-w.Changes()
		clear(c.Addresses)
		s.become(home, careOf)
		expect(t, w, "nothing new")
	})
}

func TestFailures(t *testing.T) {
	fault := errors.New("out of order")
	s := script()
	s.fault = fault
	if _, err := watch(s); !errors.Is(err, fault) {
		t.Errorf("no list at first: %v", err)
	}
	for name, provoke := range map[string]func(*scripted){
		"wait": func(s *scripted) { s.news <- fault },
		"list": func(s *scripted) { s.mu.Lock(); s.fault = fault; s.mu.Unlock(); s.news <- nil },
	} {
		s := script(home)
		w, err := watch(s)
		if err != nil {
			t.Fatal(err)
		}
		<-w.Changes()
		provoke(s)
		if _, more := <-w.Changes(); more || !errors.Is(w.Err(), fault) {
			t.Errorf("%s: more %v, error %v", name, more, w.Err())
		}
		w.Close()
		if !errors.Is(w.Err(), fault) {
			t.Errorf("%s: Close hides the error: %v", name, w.Err())
		}
	}
}
