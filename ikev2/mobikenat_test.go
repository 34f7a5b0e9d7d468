package ikev2

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mipsecd/internal/vnet"
	"mipsecd/spd"
)

// roamingNAT is a natWorld with MOBIKE and one tunnel.
func roamingNAT(t *testing.T, c natCase) *natWorld {
	t.Helper()
	n := newNATWorld(t, c, nil)
	n.mn.peer.MOBIKE, n.ha.peer.MOBIKE = true, true
	n.mn.tell(spd.Key{Demand: n.tunnel, Path: n.path})
	n.run()
	n.agree(1)
	n.mn.notices, n.ha.notices = nil, nil
	n.log.Reset()
	n.ports = nil
	return n
}

// roam takes the road warrior to another path and behind a NAT, or nil. The roles have the tunnels follow.
func (n *natWorld) roam(to spd.Path, nat *vnet.NAT) {
	n.t.Helper()
	from := n.sa(n.mn).path()
	n.mn.nat = nat
	n.mn.relocate(to)
	n.mn.migrateTunnels(from, to)
	n.run()
	n.follow()
	n.pass(time.Minute)
}

// follow has the home agent's tunnels moved as it is told, and given the encapsulation that it is told.
func (n *natWorld) follow() {
	n.t.Helper()
	for _, m := range n.moved() {
		for id, s := range n.ha.sas {
			switch {
			case m.Encap == spd.Encap{}:
			case s.Dir == spd.Out:
				s.Encap = m.Encap
			default:
				s.Encap = m.Encap.Reverse()
			}
			n.ha.sas[id] = s
		}
		if m.Old != m.New {
			n.ha.migrateTunnels(m.Old, m.New)
		}
		n.run()
	}
}

// A road warrior goes from where there is no NAT to behind one, to behind another and out again: what passes NATs is put in
// UDP, and taken out again where there is none (RFC 4555 sections 3.3 and 3.5).
func TestRFC4555_3_5_NATs(t *testing.T) {
	for _, ipv4 := range []bool{false, true} {
		t.Run(fmt.Sprintf("IPv4 %v", ipv4), func(t *testing.T) {
			n := roamingNAT(t, natCase{ipv4: ipv4})
			inside, outside, other := coa2, coa3, netip.MustParseAddr("2001:db8:d::1")
			if ipv4 {
				inside, outside, other = netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("203.0.113.8")
			}
			home := n.path
			behind := spd.Path{Local: inside, Remote: home.Remote}
			encapsulated := func(want bool, at netip.Addr) {
				t.Helper()
				n.agree(1)
				for _, h := range n.hosts {
					for _, s := range h.sas {
						if got := s.Encap != (spd.Encap{}); got != want {
							t.Errorf("%s: %s has %s", h.name, s, s.Encap)
						}
					}
				}
				if got := n.sa(n.ha).remote.Addr(); got != at {
					t.Errorf("the peer is seen at %s, wanted %s", got, at)
				}
			}
			encapsulated(false, home.Local)
			n.roam(behind, vnet.NewNAT(outside))
			if !strings.HasPrefix(strings.TrimSpace(n.log.String()), `MN --> INFORMATIONAL request 2 `+
				`[ N(UPDATE_SA_ADDRESSES) N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) N(COOKIE2) ]`) {
				t.Error(n.log.String())
			}
			encapsulated(true, outside)
			n.log.Reset()
			n.roam(spd.Path{Local: netip.MustParseAddr(map[bool]string{false: "2001:db8:e::1", true: "10.0.0.10"}[ipv4]),
				Remote: home.Remote}, vnet.NewNAT(other))
			if strings.Contains(n.log.String(), "CREATE_CHILD_SA") {
				t.Errorf("SAs in UDP were replaced by others in UDP:\n%s", n.log.String())
			}
			encapsulated(true, other)
			n.roam(home, nil)
			encapsulated(false, home.Local)
			for _, p := range n.ports {
				if p != "4500 > 4500" && !strings.HasPrefix(p, "4500 > 200") {
					t.Errorf("sent from port %s", p)
				}
			}
		})
	}
}

// A NAT that forgets its mapping is found out when it is asked for a sign of life; an IKE message alone changes nothing on
// the other side.
func TestRFC4555_3_8_NewMapping(t *testing.T) {
	n := roamingNAT(t, natCase{mn: true})
	old := n.sa(n.ha).remote
	for range 2 { // what is found out by the first is nothing new to the second
		n.log.Reset()
		n.mn.tell(spd.Probe{Peer: "ha"})
		n.run()
	}
	n.script(`
		MN --> INFORMATIONAL request 4 [ N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) ]
		HA --> INFORMATIONAL response 4 [ N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) ]
	`)
	n.rebind()
	n.mn.tell(spd.Probe{Peer: "ha"})
	n.deliver(0)
	if n.sa(n.ha).remote != old {
		t.Error("a message that is no update has moved the IKE_SA")
	}
	n.run()
	n.script(`
		MN --> INFORMATIONAL request 5 [ N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) ]
		HA --> INFORMATIONAL response 5 [ N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) ]
		MN --> INFORMATIONAL request 6 [ N(UPDATE_SA_ADDRESSES) N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) N(COOKIE2) ]
		HA --> INFORMATIONAL response 6 [ N(COOKIE2) N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) ]
	`)
	if is := n.sa(n.ha).remote; is == old || is.Addr() != old.Addr() {
		t.Errorf("from %s to %s", old, is)
	}
	n.follow()
	n.agree(1)
}
