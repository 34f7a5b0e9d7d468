package pfkey

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
		uml.Sh(t, "ip link add out type dummy && ip link set out up")
		probeOnce(t)
		spdtest.Run(t, func(t *testing.T) spd.Backend { return mustOpen(t) }, spdtest.Caps{
			NoSub: true, NoTypeZero: true, NoAEAD: true, NoFlow: true, NoMigrateEncap: true,
			Flush: func(t *testing.T, policies bool) {
				if policies {
					uml.Sh(t, "ip xfrm policy flush")
				} else {
					uml.Sh(t, "ip xfrm state flush")
				}
			},
			Send: send, Rebind: spdtest.Rebind,
		})
	})
}

// probeOnce loads all that SAs need and then stops the kernel from loading modules: at each SADB_REGISTER it would call
// modprobe for all the algorithms that there is no module of, a second or more.
func probeOnce(t *testing.T) {
	t.Helper()
	uml.Sh(t, "modprobe -a ah4 esp4 ctr des_generic xcbc sha512_generic drbg ansi_cprng")
	mustOpen(t)
	uml.Sh(t, "echo > /proc/sys/kernel/modprobe")
}

func mustOpen(t *testing.T) *Backend {
	t.Helper()
	b, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// send sends a UDP datagram out of the link "out".
func send(t *testing.T, src, dst netip.Addr, port uint16) {
	t.Helper()
	uml.Sh(t, "ip -6 addr replace %s/128 dev out nodad && ip -6 route replace %s dev out", src, dst)
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0)),
		net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, port)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte("x"))
	t.Logf("sent to %s: %v", dst, err) // a packet without an SA may be refused
}
