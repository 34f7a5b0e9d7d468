package spdtest

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"mipsecd/internal/udp"
	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// Rebind is Caps.Rebind on the kernel of a guest.
func Rebind(t *testing.T, src, dst netip.Addr, port uint16) {
	t.Helper()
	uml.Sh(t, "ip link set lo up && echo 0 > /proc/sys/net/ipv4/conf/lo/disable_xfrm")
	for _, a := range []netip.Addr{src, dst} {
		uml.Sh(t, "ip addr replace %s dev lo", spd.Host(a))
	}
	open := func(a netip.Addr, port uint16) *net.UDPConn {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port)))
		succeed(t, err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	to := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(dst, port) }

	esp, err := udp.Listen(4500, udp.Options{ESP: true})
	succeed(t, err)
	defer esp.Close()
	nat := open(dst, RebindTo)
	_, err = open(src, 0).WriteToUDPAddrPort([]byte("x"), to(port))
	succeed(t, err)
	succeed(t, nat.SetReadDeadline(time.Now().Add(30*time.Second)))
	packet := make([]byte, 2048)
	n, err := nat.Read(packet)
	succeed(t, err)
	_, err = open(src, RebindFrom).WriteToUDPAddrPort(packet[:n], to(4500))
	succeed(t, err)
}
