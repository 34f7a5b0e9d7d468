//go:build linux

package xfrm

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// sendMH sends a Mobility Header message of a type from HoA to the home agent. While there is no SA for it the kernel
// may keep or refuse it.
func sendMH(t *testing.T, mhType uint8) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(spd.ProtoMH))
	succeed(t, err)
	defer unix.Close(fd)
	succeed(t, unix.Bind(fd, &unix.SockaddrInet6{Addr: hoa.As16()}))
	message := []byte{59, 1, mhType, 0, 0, 0, 0, 1, 0x80, 0, 0, 10, 1, 2, 0, 0}
	_ = unix.Sendto(fd, message, 0, &unix.SockaddrInet6{Addr: agent.As16()})
}

func testAcquireByBU(t *testing.T) {
	b := openBackend(t)
	succeed(t, b.AddPolicy(bindingPolicy()))
	index := await[spd.PolicyChanged](t, b).Policy.Index
	sendMH(t, mhHoTI) // is not selected
	sendMH(t, mhBU)
	got, ok := next(t, b).(spd.Acquire)
	if !ok || got.Seq == 0 || got.Packet != nil || got.PolicyIndex != index || got.Endpoints != atHome ||
		got.Selector != bindingPolicy().Selector || got.Template != bindingPolicy().Templates[0] {
		t.Fatalf("got %+v", got)
	}
	wantShown(t, "ip xfrm state", "proto esp spi 0x00000000") // the larval SA of the ACQUIRE
	sa := newSA(0x1001, spd.Transport, atHome, 1)
	sa.Acquire = got.Seq
	succeed(t, b.Install(sa))
	if left := uml.Sh(t, "ip xfrm state"); strings.Contains(left, "spi 0x00000000") {
		t.Errorf("the larval SA is left:\n%s", left)
	}
	before := packets(t)
	sendMH(t, mhBU)
	if after := packets(t); after == before {
		t.Errorf("%s packets have passed, as before", after)
	}
}

func testAcquireOfBundle(t *testing.T) {
	b := openBackend(t)
	p := bindingPolicy()
	ah := spd.Template{Proto: spd.AH, Mode: spd.Transport, Level: spd.Unique, Reqid: 2}
	p.Templates = append(p.Templates, ah)
	succeed(t, b.AddPolicy(p))
	sendMH(t, mhBU)
	if got := await[spd.Acquire](t, b); got.Template != p.Templates[0] {
		t.Fatalf("got %+v", got)
	}
	succeed(t, b.Install(newSA(0x1001, spd.Transport, atHome, 1)))
	sendMH(t, mhBU)
	if got := await[spd.Acquire](t, b); got.Template != ah {
		t.Fatalf("got %+v", got)
	}
}

func testAcquireBySub(t *testing.T) {
	b := openBackend(t)
	sub := bindingPolicy()
	sub.Sub = true
	sub.Selector.SrcPort = spd.ExactPort(mhHoTI)
	succeed(t, b.AddPolicy(sub))
	succeed(t, b.AddPolicy(bindingPolicy()))
	sendMH(t, mhHoTI)
	wantShown(t, "ip xfrm state", "spi 0x00000000") // an ACQUIRE was sent
	succeed(t, b.RemovePolicy(sub.PolicyKey))
	uml.Sh(t, "ip xfrm state flush")
	sendMH(t, mhBU)
	if got := await[spd.Acquire](t, b); got.Selector != bindingPolicy().Selector {
		t.Errorf("got %+v", got)
	}
}
