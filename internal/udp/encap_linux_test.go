package udp

import (
	"errors"
	"net"
	"strings"
	"testing"
)

const natPort = 4500

// listenIKE opens both ports of IKE inside.
func (ns *namespace) listenIKE(t *testing.T) Conn {
	t.Helper()
	var nat Conn
	var err error
	ns.run(func() { nat, err = Listen(natPort, Options{ESP: true}) })
	if err != nil {
		t.Fatal(err)
	}
	c := Join(Port{ikePort, ns.listen(t, ikePort)}, Port{natPort, BesideESP(nat)})
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRFC3948Section2_2NonESPMarker(t *testing.T) {
	ns := newNamespace(t)
	ns.addr(t, "192.0.2.1/32", "dev lo")
	c, raw := ns.listenIKE(t), ns.listen(t, 20000)
	for _, addr := range []string{"::1", "192.0.2.1"} {
		here, there := at(addr, natPort), at(addr, 20000)
		if err := ns.send(c, Datagram{Local: here, Remote: there, Data: []byte("IKE")}); err != nil {
			t.Fatal(err)
		}
		expect(t, receive(t, raw), there, here, "\x00\x00\x00\x00IKE")
		// What is not IKE is not delivered: ESP is the kernel's, and a keepalive nobody's (RFC 3948 section 2.3).
		for _, data := range []string{"\x00\x00\x10\x01 an ESP packet", "\xff", "", "\x00\x00\x00\x00IKE too"} {
			if err := ns.send(raw, Datagram{Local: there, Remote: here, Data: []byte(data)}); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, receive(t, c), here, there, "IKE too")
	}
}

func TestRFC3948Section2_3Keepalive(t *testing.T) {
	ns := newNamespace(t)
	c, raw := ns.listenIKE(t), ns.listen(t, 20000)
	here, there := at("::1", natPort), at("::1", 20000)
	if err := ns.send(c, Datagram{Local: here, Remote: there}); err != nil {
		t.Fatal(err)
	}
	expect(t, receive(t, raw), there, here, "\xff")
}

func TestPort500HasNoMarker(t *testing.T) {
	ns := newNamespace(t)
	c, raw := ns.listenIKE(t), ns.listen(t, 20000)
	here, there := at("::1", ikePort), at("::1", 20000)
	if err := ns.send(c, Datagram{Local: here, Remote: there, Data: []byte("IKE")}); err != nil {
		t.Fatal(err)
	}
	expect(t, receive(t, raw), there, here, "IKE")
	if err := ns.send(raw, Datagram{Local: there, Remote: here, Data: []byte("IKE too")}); err != nil {
		t.Fatal(err)
	}
	expect(t, receive(t, c), here, there, "IKE too")
}

func TestJoinedPorts(t *testing.T) {
	ns := newNamespace(t)
	c := ns.listenIKE(t)
	err := ns.send(c, Datagram{Local: at("::1", 501), Remote: at("::1", ikePort)})
	if err == nil || !strings.Contains(err.Error(), "the port is not open") {
		t.Errorf("from a third port: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Receive(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	ns.listenIKE(t) // the ports are free again
}
