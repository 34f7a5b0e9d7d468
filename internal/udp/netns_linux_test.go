package udp

import (
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace with nothing but its loopback interface. What is to happen inside is run on the one
// thread that has it; with that thread it ends.
type namespace struct {
	thread int
	do     chan func()
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	ns := &namespace{do: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: no other goroutine may get this thread
		ns.thread = unix.Gettid()
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range ns.do {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(ns.do)
		t.Fatalf("these tests need root: network namespace: %v", err)
	}
	t.Cleanup(func() { close(ns.do) })
	ns.ip(t, "link set lo up")
	return ns
}

// run runs f inside. f must not end the test.
func (ns *namespace) run(f func()) {
	done := make(chan struct{})
	ns.do <- func() { defer close(done); f() }
	<-done
}

// ip runs one ip command inside and gives its output.
func (ns *namespace) ip(t *testing.T, args string) string {
	t.Helper()
	var out []byte
	var err error
	ns.run(func() { out, err = exec.Command("ip", strings.Fields(args)...).CombinedOutput() })
	if err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

// addr adds an address and waits until it is valid and has its route: even without duplicate address detection that
// takes the kernel a moment, in which it loses what is sent there.
func (ns *namespace) addr(t *testing.T, addr, args string) {
	t.Helper()
	ns.ip(t, "addr add "+addr+" "+args)
	for ns.ip(t, "-o addr show tentative to "+addr) != "" {
	}
	host, family := netip.MustParsePrefix(addr).Addr(), "-4"
	if host.Is6() {
		family = "-6"
	}
	for ns.ip(t, family+" -o route show table local "+host.String()) == "" {
	}
}

// listen opens a port inside.
func (ns *namespace) listen(t *testing.T, port uint16) Conn {
	t.Helper()
	var c Conn
	var err error
	ns.run(func() { c, err = Listen(port, Options{}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// send sends from inside.
func (ns *namespace) send(c Conn, d Datagram) (err error) {
	ns.run(func() { err = c.Send(d) })
	return err
}
