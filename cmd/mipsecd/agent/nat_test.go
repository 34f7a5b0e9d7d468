package agent_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"mipsecd/internal/vnet"
	"mipsecd/spd"
)

// encapsulated are the ports of the gateway's SAs to the road warrior, where it sends to.
func (r *roads) encapsulated() (to []netip.AddrPort) {
	r.t.Helper()
	b := r.gateway.Kernel.Open()
	defer b.Close()
	sas, err := b.SAs()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, sa := range sas {
		if sa.Dir == spd.Out {
			to = append(to, netip.AddrPortFrom(sa.Endpoints.Dst, sa.Encap.Dst))
		}
	}
	return to
}

// tunnelTo holds that the ping is answered by way of one tunnel in UDP to this address and port.
func (r *roads) tunnelTo(want netip.AddrPort) {
	r.t.Helper()
	if _, err := r.ping.Ping(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	var to []netip.AddrPort
	for end := time.Now().Add(20 * time.Second); len(to) != 1 || to[0] != want; time.Sleep(5 * time.Millisecond) {
		if to = r.encapsulated(); time.Now().After(end) {
			r.t.Fatalf("the gateway sends to %v, want %s", to, want)
		}
	}
	s, err := r.gateAg.Status()
	if err != nil || len(s.IKESAs) != 1 || len(s.IKESAs[0].Children) != 1 ||
		s.IKESAs[0].Children[0].Encap != fmt.Sprintf("udp 4500 -> %d", want.Port()) {
		r.t.Errorf("status %+v, %v", s.IKESAs, err)
	}
}

// A road warrior behind a NAT, which takes another mapping twice: another port, and another address.
func TestRoadWarriorBehindNAT(t *testing.T) {
	for _, test := range []struct{ name, gateway, inside, outside1, outside2 string }{
		{"IPv4", "192.0.2.1", "10.0.0.7", "198.51.100.1", "203.0.113.1"},
		{"IPv6", "2001:db8:f::1", "fd00::7", "2001:db8:a::1", "2001:db8:b::1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRoads(t, "none", test.gateway, test.inside, test.inside)
			outside1, outside2 := netip.MustParseAddr(test.outside1), netip.MustParseAddr(test.outside2)
			inside := r.links[0]
			inside.BehindNAT(vnet.NewNAT(outside1), r.links[1])
			r.moveTo(0)
			// Of the ports that the NAT gives, the first was for IKE_SA_INIT.
			r.tunnelTo(netip.AddrPortFrom(outside1, 20001))
			inside.RebindNAT(outside1)
			r.tunnelTo(netip.AddrPortFrom(outside1, 20002))
			inside.RebindNAT(outside2)
			r.tunnelTo(netip.AddrPortFrom(outside2, 20003))
			if n, failed := r.handshakes.Load(), r.failed.Load(); n != 1 || failed != 0 {
				t.Errorf("%d handshakes, %d failures", n, failed)
			}
		})
	}
}
