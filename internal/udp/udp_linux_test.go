package udp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	ikePort  = 500
	otherEnd = 4500
)

func at(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

// receive gets the next datagram.
func receive(t *testing.T, c Conn) Datagram {
	t.Helper()
	d, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func expect(t *testing.T, got Datagram, local, remote netip.AddrPort, data string) {
	t.Helper()
	if got.Local != local || got.Remote != remote || string(got.Data) != data {
		t.Errorf("%s got %q from %s, want %q at %s from %s", got.Local, got.Data, got.Remote, data, local, remote)
	}
}

func TestAddressesAreExact(t *testing.T) {
	ns := newNamespace(t)
	for _, a := range []string{"2001:db8::1/128", "2001:db8::2/128", "2001:db8::3/128", "fe80::1/64", "fe80::2/64",
		"192.0.2.1/32", "192.0.2.2/32"} {
		ns.addr(t, a, "dev lo nodad")
	}
	a, b := ns.listen(t, ikePort), ns.listen(t, otherEnd)
	for _, c := range []struct{ name, from, to string }{
		{"first address", "2001:db8::1", "2001:db8::2"},
		{"another source", "2001:db8::3", "2001:db8::2"},
		{"another destination", "2001:db8::3", "2001:db8::1"},
		{"loopback", "::1", "::1"},
		{"IPv4", "192.0.2.2", "192.0.2.1"},
		{"link-local", "fe80::2%lo", "fe80::1%lo"},
		{"link-local source", "fe80::2%lo", "2001:db8::1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, to := at(c.from, ikePort), at(c.to, otherEnd)
			if err := ns.send(a, Datagram{Local: from, Remote: to, Data: []byte("ask")}); err != nil {
				t.Fatal(err)
			}
			got := receive(t, b)
			expect(t, got, to, from, "ask")
			if err := ns.send(b, Datagram{Local: got.Local, Remote: got.Remote, Data: []byte("answer")}); err != nil {
				t.Fatal(err)
			}
			expect(t, receive(t, a), from, to, "answer")
		})
	}
}

func TestOneZoneDoesForBothEnds(t *testing.T) {
	ns := newNamespace(t)
	ns.addr(t, "fe80::1/64", "dev lo nodad")
	a, b := ns.listen(t, ikePort), ns.listen(t, otherEnd)
	if err := ns.send(a, Datagram{Local: at("fe80::1%lo", ikePort), Remote: at("fe80::1", otherEnd)}); err != nil {
		t.Fatal(err)
	}
	expect(t, receive(t, b), at("fe80::1%lo", otherEnd), at("fe80::1%lo", ikePort), "")
}

func TestDatagramsArriveWhole(t *testing.T) {
	ns := newNamespace(t)
	a, b := ns.listen(t, ikePort), ns.listen(t, otherEnd)
	largest := bytes.Repeat([]byte("0123456"), 65527/7)
	var kept []Datagram
	for _, data := range [][]byte{[]byte("first"), largest, nil, []byte("last")} {
		if err := ns.send(a, Datagram{Remote: at("::1", otherEnd), Data: data}); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, receive(t, b))
	}
	if string(kept[0].Data) != "first" || !bytes.Equal(kept[1].Data, largest) || len(kept[2].Data) != 0 ||
		string(kept[3].Data) != "last" {
		t.Errorf("a datagram is changed by what arrives after it")
	}
	if cap(kept[0].Data) > 4096 {
		t.Errorf("5 octets hold %d", cap(kept[0].Data))
	}
}

// TestRFC6275Section11_3_2CareOfAddressIsPreferred has a mobile node with its home and its care-of address in one
// prefix send without naming its address, so that only the preference for the CoA decides.
func TestRFC6275Section11_3_2CareOfAddressIsPreferred(t *testing.T) {
	mn, ha := newNamespace(t), newNamespace(t)
	mn.ip(t, fmt.Sprintf("link add eth0 type veth peer name eth0 netns %d", ha.thread))
	ha.ip(t, "link set eth0 up")
	mn.ip(t, "link set eth0 up")
	mn.addr(t, "2001:db8::100/64", "dev eth0 nodad home")
	mn.addr(t, "2001:db8::5/64", "dev eth0 nodad")
	ha.addr(t, "2001:db8::1/64", "dev eth0 nodad")
	c, peer := mn.listen(t, ikePort), ha.listen(t, ikePort)
	for _, unspecified := range []netip.AddrPort{{}, at("::", ikePort)} {
		d := Datagram{Local: unspecified, Remote: at("2001:db8::1", ikePort), Data: []byte("a")}
		if err := mn.send(c, d); err != nil {
			t.Fatal(err)
		}
		expect(t, receive(t, peer), at("2001:db8::1", ikePort), at("2001:db8::5", ikePort), "a")
	}
	// Where the datagram names the home address, as after returning home, the home address it is.
	home := at("2001:db8::100", ikePort)
	if err := mn.send(c, Datagram{Local: home, Remote: at("2001:db8::1", ikePort), Data: []byte("b")}); err != nil {
		t.Fatal(err)
	}
	expect(t, receive(t, peer), at("2001:db8::1", ikePort), home, "b")
}

// TestTentativeCareOfAddress keeps an address tentative by a link that is down at its other end.
func TestTentativeCareOfAddress(t *testing.T) {
	ns := newNamespace(t)
	ns.ip(t, "link add eth0 type veth peer name far")
	ns.ip(t, "link set eth0 up")
	ns.ip(t, "addr add 2001:db8::5/64 dev eth0")
	a, b := ns.listen(t, ikePort), ns.listen(t, otherEnd)
	from, to := at("2001:db8::5", ikePort), at("::1", otherEnd)
	data := []byte("early")
	if err := ns.send(a, Datagram{Local: from, Remote: to, Data: data}); err != nil {
		t.Fatal(err)
	}
	clear(data)
	ns.ip(t, "link set far up")
	expect(t, receive(t, b), to, from, "early")
}

func TestOnlySoManyWaitForATentativeAddress(t *testing.T) {
	ns := newNamespace(t)
	ns.ip(t, "link add eth0 type veth peer name far")
	ns.ip(t, "link set eth0 up")
	ns.ip(t, "addr add 2001:db8::5/64 dev eth0")
	c := ns.listen(t, ikePort)
	sent := 0
	var err error
	for err == nil && sent <= maxWaiting {
		if err = ns.send(c, Datagram{Local: at("2001:db8::5", ikePort), Remote: at("::1", otherEnd)}); err == nil {
			sent++
		}
	}
	if sent != maxWaiting || !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("%d were accepted, then %v", sent, err)
	}
}

// TestBypass has the policies of a mobile node that waits for its binding: nothing may pass.
func TestBypass(t *testing.T) {
	ns := newNamespace(t)
	for _, dir := range []string{"in", "out"} {
		ns.ip(t, "xfrm policy add src ::/0 dst ::/0 dir "+dir+" action block")
	}
	a, b := ns.listen(t, ikePort), ns.listen(t, otherEnd)
	d := Datagram{Local: at("::1", ikePort), Remote: at("::1", otherEnd), Data: []byte("past the policies")}
	if err := ns.send(a, d); err != nil {
		t.Fatal(err)
	}
	expect(t, receive(t, b), d.Remote, d.Local, "past the policies")

	var blocked Conn
	var err error
	ns.run(func() { blocked, err = Listen(910, Options{NoBypass: true}) })
	if err != nil {
		t.Fatal(err)
	}
	defer blocked.Close()
	if err := ns.send(blocked, Datagram{Remote: at("::1", otherEnd)}); !errors.Is(err, syscall.EPERM) {
		t.Errorf("without the bypass: %v, want EPERM", err)
	}
}

func TestSendRefuses(t *testing.T) {
	ns := newNamespace(t)
	c := ns.listen(t, ikePort)
	for _, d := range []struct {
		name          string
		local, remote netip.AddrPort
		cause         error
		want          string
	}{
		{"another's address", at("2001:db8::9", ikePort), at("::1", ikePort), syscall.EADDRNOTAVAIL,
			"udp: send from [2001:db8::9]:500 to [::1]:500: cannot assign requested address"},
		{"another's IPv4 address", at("192.0.2.9", ikePort), at("127.0.0.1", ikePort), syscall.EADDRNOTAVAIL,
			"192.0.2.9:500"},
		{"unreachable from its own address", at("::1", ikePort), at("2001:db8::9", ikePort), syscall.ENETUNREACH,
			"[::1]:500"},
		{"unreachable", netip.AddrPort{}, at("2001:db8::9", ikePort), syscall.ENETUNREACH, "to [2001:db8::9]:500"},
		{"no remote address", at("::1", ikePort), netip.AddrPort{}, nil, "remote address or port is missing"},
		{"no remote port", at("::1", ikePort), at("::1", 0), nil, "remote address or port is missing"},
		{"another port", at("::1", otherEnd), at("::1", ikePort), nil, "this is the socket of port 500"},
		{"two families", at("127.0.0.1", ikePort), at("::1", ikePort), nil, "one address is IPv4, the other IPv6"},
		{"no zone", at("fe80::1", ikePort), at("fe80::2", ikePort), nil, "needs its zone"},
	} {
		t.Run(d.name, func(t *testing.T) {
			err := ns.send(c, Datagram{Local: d.local, Remote: d.remote})
			if err == nil || !strings.Contains(err.Error(), d.want) || d.cause != nil && !errors.Is(err, d.cause) {
				t.Errorf("got %v, want %q", err, d.want)
			}
		})
	}
}

func TestListenSaysWhatToDo(t *testing.T) {
	ns := newNamespace(t)
	ns.listen(t, ikePort)
	err := ns.listenError(ikePort)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "[::]:500") ||
		!strings.Contains(err.Error(), "another IKE or KINK daemon") {
		t.Errorf("port in use: %v", err)
	}
	if err := ns.listenError(0); err == nil {
		t.Error("port 0 was taken")
	}
	for errno, want := range map[syscall.Errno]string{
		syscall.EACCES: "CAP_NET_BIND_SERVICE", syscall.EPERM: "CAP_NET_ADMIN", syscall.ENOBUFS: "",
	} {
		if got := hint(fmt.Errorf("wrapped: %w", errno)); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%v: %q", errno, got)
		}
	}
}

func (ns *namespace) listenError(port uint16) (err error) {
	ns.run(func() {
		var c Conn
		if c, err = Listen(port, Options{}); err == nil {
			c.Close()
		}
	})
	return err
}

// TestPortInUseForIPv4Only checks that nothing is left open when the second of the two sockets fails.
func TestPortInUseForIPv4Only(t *testing.T) {
	ns := newNamespace(t)
	var other net.PacketConn
	var err error
	ns.run(func() { other, err = net.ListenPacket("udp4", "0.0.0.0:500") })
	if err != nil {
		t.Fatal(err)
	}
	err = ns.listenError(ikePort)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "0.0.0.0:500") {
		t.Errorf("got %v", err)
	}
	other.Close()
	ns.listen(t, ikePort)
}

func TestCloseEndsReceive(t *testing.T) {
	ns := newNamespace(t)
	c := ns.listen(t, ikePort)
	ended := make(chan error)
	go func() {
		_, err := c.Receive()
		ended <- err
	}()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive ended with %v", err)
	}
	if _, err := c.Receive(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
	if err := c.Send(Datagram{Remote: at("::1", otherEnd)}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	ns.listen(t, ikePort) // the port is free again
}

func TestReceiveBufferIsLarge(t *testing.T) {
	ns := newNamespace(t)
	c := ns.listen(t, ikePort).(*conn)
	for _, socket := range []*net.UDPConn{c.v6, c.v4} {
		raw, err := socket.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var size int
		raw.Control(func(fd uintptr) { size, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) })
		if err != nil || size < receiveBuffer {
			t.Errorf("%d octets, %v", size, err)
		}
	}
}
