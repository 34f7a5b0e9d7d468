package bypass

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"mipsecd/internal/uml"
)

func TestBypass(t *testing.T) {
	uml.Run(t, func(t *testing.T) {
		uml.Sh(t, "ip link add link0 type dummy && ip link set link0 up && ip addr add 2001:db8::1/64 dev link0 nodad && "+
			"ip addr add 192.0.2.1/24 dev link0")
		// Over IPv4, no policy is for the loopback interface unless told so.
		uml.Sh(t, "sysctl -qw net.ipv4.conf.lo.disable_xfrm=0 net.ipv4.conf.lo.disable_policy=0")
		for _, c := range []struct {
			name     string
			ipv6     bool
			from, to string
			exempt   func(fd int, ipv6 bool) error
		}{
			{"IPv6", true, "2001:db8::1", "2001:db8::2", Bypass},
			{"IPv6 by XFRM", true, "2001:db8::1", "2001:db8::2", viaXFRM},
			{"IPv6 by PF_KEY", true, "2001:db8::1", "2001:db8::2", viaPFKey},
			{"IPv4", false, "192.0.2.1", "192.0.2.2", Bypass},
			{"IPv4 by XFRM", false, "192.0.2.1", "192.0.2.2", viaXFRM},
			{"IPv4 by PF_KEY", false, "192.0.2.1", "192.0.2.2", viaPFKey},
			{"IPv6 to itself", true, "2001:db8::1", "2001:db8::1", Bypass},
			{"IPv4 to itself", false, "192.0.2.1", "192.0.2.1", Bypass},
		} {
			t.Run(c.name, func(t *testing.T) { testUnderBlock(t, c.ipv6, c.from, c.to, c.exempt) })
		}
	})
}

// testUnderBlock sends, and receives when to is from, while a sub policy and a main policy block everything.
func testUnderBlock(t *testing.T, ipv6 bool, from, to string, exempt func(int, bool) error) {
	any := "0.0.0.0/0"
	if ipv6 {
		any = "::/0"
	}
	for _, kind := range []string{"main", "sub"} {
		for _, dir := range []string{"in", "out"} {
			uml.Sh(t, "ip xfrm policy add src %s dst %[1]s dir %s ptype %s action block priority 4", any, dir, kind)
			defer uml.Sh(t, "ip xfrm policy del src %s dst %[1]s dir %s ptype %s", any, dir, kind)
		}
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 500)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer := netip.AddrPortFrom(netip.MustParseAddr(to), 500)
	if _, err := conn.WriteToUDPAddrPort([]byte("plain"), peer); !errors.Is(err, unix.EPERM) {
		t.Fatalf("without a bypass: %v, want EPERM", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var optErr error
	if err := errors.Join(raw.Control(func(fd uintptr) { optErr = exempt(int(fd), ipv6) }), optErr); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WriteToUDPAddrPort([]byte("exempt"), peer); err != nil {
		t.Fatalf("with a bypass: %v", err)
	}
	if from != to {
		return
	}
	buf := make([]byte, 16)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "exempt" {
		t.Errorf("received %q, %v", buf[:n], err)
	}
}

func TestBypassOfNoSocket(t *testing.T) {
	if err := Bypass(-1, true); !errors.Is(err, unix.EBADF) {
		t.Errorf("got %v, want EBADF", err)
	}
}
