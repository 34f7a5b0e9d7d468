//go:build linux

package xfrm

import (
	"net"
	"net/netip"
	"testing"

	"mipsecd/internal/uml"
	"mipsecd/spd"
	"mipsecd/spd/spdtest"
)

func TestConformance(t *testing.T) {
	uml.Run(t, func(t *testing.T) {
		uml.Sh(t, "ip link add link0 type dummy && ip link set link0 up && ip route add 2001:db8::/32 dev link0")
		open := func(t *testing.T) spd.Backend { return openBackend(t) }
		spdtest.Run(t, open, spdtest.Caps{
			Flush: func(t *testing.T, policies bool) {
				if policies {
					uml.Sh(t, "ip xfrm policy flush")
				} else {
					uml.Sh(t, "ip xfrm state flush")
				}
			},
			Rebind: spdtest.Rebind,
			Send: func(t *testing.T, src, dst netip.Addr, port uint16) {
				uml.Sh(t, "ip addr replace %s dev link0 nodad", src)
				conn, err := net.DialUDP("udp6", &net.UDPAddr{IP: src.AsSlice()},
					net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, port)))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_, _ = conn.Write([]byte("?")) // EAGAIN while there is no SA
			},
		})
	})
}
