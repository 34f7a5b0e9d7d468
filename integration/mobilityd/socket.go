//go:build linux

package mobilityd

import (
	"errors"
	"net"
	"net/netip"

	"mipsecd/mobility"
)

// listen opens a raw socket for Mobility Header messages. The kernel fills in their checksums, and verifies them.
func listen(a netip.Addr) (*net.IPConn, error) {
	return net.ListenIP("ip6:135", &net.IPAddr{IP: a.AsSlice()})
}

func send(conn *net.IPConn, m mobility.Message, to netip.Addr) error {
	b, err := m.Marshal()
	if err != nil {
		return err
	}
	_, err = conn.WriteToIP(b, &net.IPAddr{IP: to.AsSlice()})
	return err
}

// receive returns the next well-formed message and its sender, or an error when the socket is closed.
func receive(conn *net.IPConn) (mobility.Message, netip.Addr, error) {
	for buf := make([]byte, 4096); ; {
		n, from, err := conn.ReadFromIP(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil, netip.Addr{}, err
		}
		if err != nil {
			continue // an ICMPv6 error about something sent
		}
		m, err := mobility.ParseMH(buf[:n])
		if addr, ok := netip.AddrFromSlice(from.IP); ok && err == nil {
			return m, addr, nil
		}
	}
}
