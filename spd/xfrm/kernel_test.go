//go:build linux

package xfrm

import (
	"errors"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// TestKernel holds what the conformance suite cannot ask: what ip sees of the kernel, what only XFRM has, and packets.
func TestKernel(t *testing.T) {
	uml.Run(t, func(t *testing.T) {
		uml.Sh(t, "ip link add link0 type dummy && ip link set link0 up && ip route add 2001:db8::/32 dev link0")
		uml.Sh(t, "ip addr add %s dev link0 nodad", hoa)
		for _, test := range []struct {
			name string
			body func(*testing.T)
		}{
			{"installs every algorithm", testAlgorithms},
			{"SA as ip shows it", testSAShown},
			{"SA is listed as installed", testSAListed},
			{"many SAs are listed while they change", testManySAs},
			{"Install after the larval SA was deleted", testLarvalDeleted},
			{"Install after the larval SA expired", testLarvalExpired},
			{"Install that is refused leaves the larval SA", testLarvalKept},
			{"Expire by octets", testExpireByOctets},
			{"tunnels carry both families", testTunnelFamilies},
			{"policy as ip shows it", testPolicyShown},
			{"policies of a socket are passed over", testSocketPolicy},
			{"flush of one kind is EventsLost", testPartialFlush},
			{"Acquire by a Binding Update", testAcquireByBU},
			{"Acquire of a bundle, an SA at a time", testAcquireOfBundle},
			{"Acquire by a sub policy is passed over", testAcquireBySub},
			{"Migrate keeps keys and sequence numbers", testMigrateKeeps},
			{"Migrate of IPv4", testMigrateIPv4},
			{"Migrate moves one of several SAs", testMigrateOne},
			{"Migrate's errors carry the errno", testMigrateErrors},
			{"CareOfState", testCareOf},
			{"CareOfState alone", testCareOfOnly},
			{"EventsLost, and events go on", testEventsLost},
			{"Close with events unread", testCloseUnread},
			{"Close ends requests", testCloseRequests},
			{"the kernel's words", testKernelsWords},
		} {
			t.Run(test.name, func(t *testing.T) {
				uml.Sh(t, "ip xfrm state flush; ip xfrm policy flush; ip xfrm policy flush ptype sub")
				test.body(t)
			})
		}
	})
}

func openBackend(t *testing.T, opts ...Option) *Backend {
	t.Helper()
	b, err := Open(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func succeed(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// next is the next event. The limit is there to fail, not to measure.
func next(t *testing.T, b *Backend) spd.Event {
	t.Helper()
	select {
	case e, open := <-b.Events():
		if !open {
			t.Fatal("events are closed")
		}
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("no event")
	}
	return nil
}

// await is the next event of a type, whatever comes before it.
func await[E spd.Event](t *testing.T, b *Backend) E {
	t.Helper()
	for {
		if e, ok := next(t, b).(E); ok {
			return e
		}
	}
}

// wantShown checks that a command prints each of the words, in this order.
func wantShown(t *testing.T, command string, words ...string) {
	t.Helper()
	out := uml.Sh(t, "%s", command)
	rest := out
	for _, w := range words {
		i := strings.Index(rest, w)
		if i < 0 {
			t.Fatalf("%s does not print %q:\n%s", command, w, out)
		}
		rest = rest[i+len(w):]
	}
}

var packetCount = regexp.MustCompile(`(\d+)\(packets\)`)

// packets is how many packets the only SA there is has served.
func packets(t *testing.T) string {
	t.Helper()
	out := uml.Sh(t, "ip -s xfrm state")
	found := packetCount.FindAllStringSubmatch(out, -1)
	if len(found) != 1 {
		t.Fatalf("%d SAs in\n%s", len(found), out)
	}
	return found[0][1]
}

// inNamespace runs f on a thread that is in a network namespace of ip's.
func inNamespace[T any](t *testing.T, name string, f func() T) T {
	t.Helper()
	result, failed := make(chan T, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with this goroutine
		ns, err := os.Open("/run/netns/" + name)
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			failed <- err
			return
		}
		result <- f()
	}()
	select {
	case r := <-result:
		return r
	case err := <-failed:
		t.Fatal(err)
	}
	panic("unreachable")
}

func testEventsLost(t *testing.T) {
	b := openBackend(t)
	succeed(t, b.news.enlarge(1)) // that is, as little as the kernel allows
	for range 2 * eventQueue {
		succeed(t, b.UpdatePolicy(bindingPolicy()))
	}
	// After each EventsLost something happens again, as a reader that looks anew expects: none is followed by silence.
	last := tunnelPolicy(away)
	for {
		switch e := next(t, b).(type) {
		case spd.EventsLost:
			succeed(t, b.UpdatePolicy(last))
		case spd.PolicyChanged:
			if e.Policy.PolicyKey == last.PolicyKey {
				return
			}
		}
	}
}

func testCloseUnread(t *testing.T) {
	b, err := Open()
	succeed(t, err)
	for range 2 * eventQueue {
		succeed(t, b.UpdatePolicy(bindingPolicy()))
	}
	succeed(t, b.Close())
	unread := 0
	for range b.Events() {
		unread++
	}
	if unread == 0 || unread > 2*eventQueue {
		t.Errorf("%d events were there", unread)
	}
	succeed(t, b.Close())
}

func testCloseRequests(t *testing.T) {
	b, err := Open()
	succeed(t, err)
	succeed(t, b.Close())
	for name, request := range map[string]func() error{
		"AddPolicy": func() error { return b.AddPolicy(bindingPolicy()) },
		"Policies":  func() error { _, err := b.Policies(); return err },
		"AllocSPI": func() error {
			_, err := b.AllocSPI(spd.LarvalSA{Endpoints: atHome, Proto: spd.ESP, Mode: spd.Transport})
			return err
		},
	} {
		if err := request(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v, want it to be closed", name, err)
		}
	}
}

func testKernelsWords(t *testing.T) {
	b := openBackend(t)
	body, err := encodePolicy(bindingPolicy())
	succeed(t, err)
	body[160] = 7 // the direction
	err = b.requests.do(msgNewPolicy, body)
	if !errors.Is(err, spd.ErrInvalid) || !errors.Is(err, unix.EINVAL) ||
		!strings.Contains(err.Error(), "Invalid policy direction") {
		t.Errorf("got %v", err)
	}
}
