package addrs

import (
	"fmt"
	"net"
	"net/netip"
)

// Source is the address from which this host would send to another one now. It fails where there is no route. Nothing is
// sent.
func Source(to netip.Addr) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, anyPort)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("addrs: source towards %s: %w", to, err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// anyPort is one of a peer's that nothing is sent to.
const anyPort = 9
