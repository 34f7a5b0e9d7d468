// Package addrs tells which addresses this host has, and tells again when they change.
package addrs

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
)

// Address is one address of this host.
type Address struct {
	Addr      netip.Addr // without zone
	Interface string
	// Tentative: not to be used before duplicate address detection ends (RFC 4862 section 5.4). An optimistic address
	// (RFC 4429) is not tentative.
	Tentative bool
	// Deprecated: not to be used for anything new (RFC 4862 section 5.5.4).
	Deprecated bool
	// Down: nothing can be sent on its interface.
	Down bool
	// Home: a mobility daemon marked it as a home address.
	Home bool
}

// Change has all addresses as they are now, ordered by Addr. Link-local and loopback addresses, and those that another
// host turned out to have, are left out.
type Change struct{ Addresses []Address }

// Watcher follows the addresses of one network namespace.
type Watcher struct {
	changes chan Change
	closed  chan struct{}
	close   sync.Once
	running sync.WaitGroup
	system  system
	mu      sync.Mutex
	err     error
}

// system is what an operating system tells about addresses.
type system interface {
	// list gives the addresses in any order, without those that a Change leaves out.
	list() ([]Address, error)
	// wait blocks until the addresses may have changed since it last returned. It fails after close.
	wait() error
	close()
}

// Watch begins with the addresses of the calling thread's network namespace. It fails where this system's way to watch
// addresses is not known.
func Watch() (*Watcher, error) {
	s, err := open()
	if err != nil {
		return nil, err
	}
	return watch(s)
}

func watch(s system) (*Watcher, error) {
	first, err := sorted(s)
	if err != nil {
		s.close()
		return nil, err
	}
	w := &Watcher{changes: make(chan Change), closed: make(chan struct{}), system: s}
	wake := make(chan struct{}, 1)
	w.running.Go(func() { w.wait(wake) })
	w.running.Go(func() { w.deliver(first, wake) })
	return w, nil
}

// Changes delivers the addresses once at first and then whenever they differ from those that it delivered before. A
// slow reader misses what did not last. It is closed by Close, and when Err is set.
func (w *Watcher) Changes() <-chan Change { return w.changes }

// Err tells why Changes was closed, or is nil if that was due to Close.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close ends the watch.
func (w *Watcher) Close() error {
	w.stop(nil)
	w.running.Wait()
	return nil
}

// stop ends the watch; the first reason counts.
func (w *Watcher) stop(reason error) {
	w.close.Do(func() {
		w.mu.Lock()
		w.err = reason
		w.mu.Unlock()
		close(w.closed)
	})
}

// wait passes on that something may have changed. One wake-up stands for any number of reasons.
func (w *Watcher) wait(wake chan<- struct{}) {
	for {
		if err := w.system.wait(); err != nil {
			w.stop(err)
			return
		}
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// deliver hands out the current addresses while they differ from what was handed out last. It ends after stop, and wait
// with it.
func (w *Watcher) deliver(current []Address, wake <-chan struct{}) {
	defer close(w.changes)
	defer w.system.close()
	var delivered []Address
	first, out := true, w.changes
	for {
		select {
		case out <- Change{Addresses: slices.Clone(current)}:
			delivered, first, out = current, false, nil
		case <-wake:
			var err error
			if current, err = sorted(w.system); err != nil {
				w.stop(err)
				return
			}
			out = w.changes
			if !first && slices.Equal(current, delivered) {
				out = nil
			}
		case <-w.closed:
			return
		}
	}
}

func sorted(s system) ([]Address, error) {
	list, err := s.list()
	slices.SortFunc(list, func(a, b Address) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Interface, b.Interface))
	})
	return list, err
}
