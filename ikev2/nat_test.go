package ikev2

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/vnet"
	"mipsecd/spd"
)

// natWorld is two hosts, each perhaps behind a NAT, that want a tunnel, and a pair of SAs in transport mode between them.
type natWorld struct {
	*world
	mn, ha            *host
	path              spd.Path // as the mobile node sees it
	tunnel, transport spd.Demand
	ports             []string // of what was sent
}

// natCase is where NATs are, and what the IP version outside is.
type natCase struct {
	mn, ha bool
	ipv4   bool
}

func (c natCase) String() string {
	where := "no NAT"
	switch {
	case c.mn && c.ha:
		where = "NAT before both"
	case c.mn:
		where = "NAT before the initiator"
	case c.ha:
		where = "NAT before the responder"
	}
	if c.ipv4 {
		return where + ", IPv4"
	}
	return where + ", IPv6"
}

func everyNAT(t *testing.T, test func(*testing.T, natCase)) {
	for _, ipv4 := range []bool{false, true} {
		for where := range 4 {
			c := natCase{where&1 > 0, where&2 > 0, ipv4}
			t.Run(c.String(), func(t *testing.T) { test(t, c) })
		}
	}
}

func newNATWorld(t *testing.T, c natCase, change func(mn, ha *Config)) *natWorld {
	t.Helper()
	mnInside, mnOutside, haInside, haOutside := coa1, coa2, coa3, haa
	if c.ipv4 {
		a := netip.MustParseAddr
		mnInside, mnOutside, haInside, haOutside = a("10.0.0.7"), a("192.0.2.7"), a("10.0.0.1"), a("198.51.100.1")
	}
	if !c.mn {
		mnOutside = mnInside
	}
	if !c.ha {
		haInside = haOutside
	}
	n := &natWorld{path: spd.Path{Local: mnInside, Remote: haOutside}}
	seen := func(d spd.Demand) spd.Demand { // by the home agent
		d = mirrored(d)
		d.Local, d.Remote = haInside, mnOutside
		if d.Mode == spd.Transport {
			d.Traffic = spd.Traffic{Local: at(haInside, d.Traffic.Local), Remote: at(mnOutside, d.Traffic.Remote)}
		}
		return d
	}
	n.tunnel, n.transport = payload, demand("traffic", spd.Transport, 7, 0, 65535)
	for _, d := range []*spd.Demand{&n.tunnel, &n.transport} {
		d.Local, d.Remote = mnInside, haOutside
	}
	n.transport.Traffic = spd.Traffic{Local: at(mnInside, n.transport.Traffic.Local), Remote: at(haOutside, n.transport.Traffic.Remote)}
	n.transport.Traffic.Local[0].Proto, n.transport.Traffic.Remote[0].Proto = spd.ProtoTCP, spd.ProtoTCP
	n.world, n.mn, n.ha = newWorld(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
		mnCfg.NAT, haCfg.NAT = NATAuto, NATAuto
		if change != nil {
			change(mnCfg, haCfg)
		}
		mn.policies = []spd.Demand{binding, n.tunnel, n.transport}
		ha.policies = []spd.Demand{mirrored(binding), seen(n.tunnel), seen(n.transport)}
	}})
	if c.mn {
		n.mn.nat = vnet.NewNAT(mnOutside)
	}
	if c.ha {
		n.ha.nat = vnet.NewNAT(haOutside)
		n.ha.nat.Forward(Port, netip.AddrPortFrom(haInside, Port))
		n.ha.nat.Forward(NATPort, netip.AddrPortFrom(haInside, NATPort))
	}
	n.lose = func(p *packet) bool {
		n.ports = append(n.ports, fmt.Sprintf("%d > %d", p.Local.Port(), p.Remote.Port()))
		return false
	}
	return n
}

// keyed has the mobile node ask for the two pairs.
func (n *natWorld) keyed() {
	n.t.Helper()
	for _, d := range []spd.Demand{n.tunnel, n.transport} {
		n.mn.tell(spd.Key{Demand: d, Path: n.path})
		n.run()
	}
	n.agree(2)
}

// sa is the IKE_SA that a host has.
func (n *natWorld) sa(h *host) *ikeSA {
	n.t.Helper()
	sa := h.engine.peers[h.peer.Name].current()
	if sa == nil {
		n.t.Fatalf("%s has no IKE_SA", h.name)
	}
	return sa
}

// agree holds that both are at rest with so many pairs, whose ends each sees where the IKE_SA's are.
func (n *natWorld) agree(pairs int) {
	n.t.Helper()
	for _, h := range n.hosts {
		h.clean(n.t)
		in, out := h.by(spd.In), n.peerOf(h).by(spd.Out)
		if len(in) != pairs || len(out) != pairs {
			n.t.Errorf("%s: %d inbound SAs, the peer has %d outbound, wanted %d", h.name, len(in), len(out), pairs)
		}
		here, encap := n.sa(h).path(), n.sa(h).encap()
		for _, s := range h.sas {
			ends, ports := spd.Path{Local: s.Endpoints.Src, Remote: s.Endpoints.Dst}, s.Encap
			if s.Dir == spd.In {
				ends, ports = reversed(ends), s.Encap.Reverse()
			}
			if ends != here || ports != encap {
				n.t.Errorf("%s: SA %s has %s, wanted %s between %s", h.name, s, s.Encap, encap, here)
			}
			if o, there := out[s.SPI]; there && s.Dir == spd.In {
				n.check(sameKeys(s, o))
			}
		}
	}
}

func TestRFC7296_2_23_Detection(t *testing.T) {
	everyNAT(t, func(t *testing.T, c natCase) {
		n := newNATWorld(t, c, nil)
		n.keyed()
		mn, ha := n.sa(n.mn), n.sa(n.ha)
		if mn.nat.ours != c.mn || mn.nat.theirs != c.ha || ha.nat.ours != c.ha || ha.nat.theirs != c.mn {
			t.Errorf("found: %+v, %+v", mn.nat, ha.nat)
		}
		encapsulated := c.mn || c.ha
		for _, h := range n.hosts {
			for _, s := range h.sas {
				if (s.Encap != spd.Encap{}) != encapsulated {
					t.Errorf("%s: %s: %s", h.name, s, s.Encap)
				}
			}
		}
		from := map[bool]uint16{false: NATPort, true: 20001}[c.mn] // the second port that the NAT gives
		if encapsulated && (mn.local.Port() != NATPort || mn.remote.Port() != NATPort || ha.local.Port() != NATPort ||
			ha.remote.Port() != from) {
			t.Errorf("MN: %s - %s, HA: %s - %s", mn.local, mn.remote, ha.local, ha.remote)
		}
		// All but IKE_SA_INIT is spoken on port 4500, if there is a NAT; else on 500.
		want := "500 > 500"
		if encapsulated {
			want = "4500 > 4500"
		}
		if n.ports[0] != "500 > 500" || n.ports[2] != want {
			t.Errorf("ports: %v", n.ports)
		}
	})
}

// NAT_DETECTION comes right after the nonce.
func TestRFC7296_2_23_Payloads(t *testing.T) {
	n := newNATWorld(t, natCase{}, nil)
	n.mn.tell(spd.Key{Demand: n.tunnel, Path: n.path})
	n.run()
	lines := strings.Split(n.log.String(), "\n")
	for i := range 2 {
		if !strings.Contains(lines[i], " N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) ") ||
			!strings.Contains(lines[i], "[ SA KE N") {
			t.Errorf("message %d: %s", i, lines[i])
		}
	}
	const want = "e551650fd0b1c24a937f8f251b195b30fec944e4" // by another implementation of SHA-1
	if got := fmt.Sprintf("%x", natHash(1, 2, netip.MustParseAddrPort("192.0.2.1:500"))); got != want {
		t.Errorf("hash %s, wanted %s", got, want)
	}
}

func TestRFC7296_2_23_SeveralSources(t *testing.T) {
	notify := func(kind wire.NotifyType, at string) wire.Payload {
		return &wire.Notify{Kind: kind, Data: natHash(1, 0, netip.MustParseAddrPort(at))}
	}
	e := New(Config{})
	sa := &ikeSA{
		local: netip.MustParseAddrPort("[2001:db8::1]:500"), remote: netip.MustParseAddrPort("[2001:db8::2]:500"),
	}
	source, destination := wire.NotifyNATDetectionSourceIP, wire.NotifyNATDetectionDestinationIP
	for _, c := range []struct {
		what string
		ps   []wire.Payload
		ok   bool
		want nat
	}{
		{"one of several is right", []wire.Payload{notify(source, "10.0.0.1:500"), notify(source, sa.remote.String()),
			notify(destination, sa.local.String())}, true, nat{}},
		{"none is right", []wire.Payload{notify(source, "10.0.0.1:500"), notify(source, "[2001:db8::2]:501"),
			notify(destination, sa.local.String())}, true, nat{theirs: true}},
		{"the destination is another", []wire.Payload{notify(source, sa.remote.String()), notify(destination, "[2001:db8::9]:500")},
			true, nat{ours: true}},
		{"an empty hash", []wire.Payload{&wire.Notify{Kind: source}, &wire.Notify{Kind: destination}}, true,
			nat{ours: true, theirs: true}},
		{"only a source", []wire.Payload{notify(source, "10.0.0.1:500")}, false, nat{}},
		{"nothing", nil, false, nat{}},
	} {
		sa.nat, c.want.sought = nat{}, c.ok
		if ok := e.findNAT(sa, c.ps, 1, 0); ok != c.ok || sa.nat != c.want {
			t.Errorf("%s: %v, %+v", c.what, ok, sa.nat)
		}
	}
}

func TestNATTraversalAlwaysAndNever(t *testing.T) {
	for _, c := range []struct {
		mn, ha       NATTraversal
		encapsulated bool
	}{
		{NATAuto, NATAlways, true}, {NATAlways, NATAuto, true}, {NATAlways, NATAlways, true},
		{NATNever, NATAlways, false}, {NATAlways, NATNever, false}, {NATAuto, NATNever, false},
	} {
		n := newNATWorld(t, natCase{}, func(mn, ha *Config) { mn.NAT, ha.NAT = c.mn, c.ha })
		n.keyed()
		if got := n.sa(n.mn).encap() != (spd.Encap{}); got != c.encapsulated {
			t.Errorf("%d with %d: encapsulated: %t", c.mn, c.ha, got)
		}
		n.log.Reset()
		n.pass(time.Minute)
		n.script("") // nobody is behind a NAT: no keepalives
	}
}

// A peer that finds a NAT is to go on on port 4500; on port 500 ESP must not be in UDP.
func TestRFC7296_2_23_NoEncapsulationOnPort500(t *testing.T) {
	for port, want := range map[uint16]spd.Encap{Port: {}, NATPort: {Src: NATPort, Dst: 20000}} {
		sa := &ikeSA{
			local: netip.AddrPortFrom(haa, port), remote: netip.AddrPortFrom(coa1, 20000), agreed: agreed{nat: nat{theirs: true}},
		}
		if got := sa.encap(); got != want {
			t.Errorf("on port %d: %s", port, got)
		}
	}
}

// SAs on a home address are not between the addresses that the NAT is between.
func TestSAsOnAHomeAddressAreNotEncapsulated(t *testing.T) {
	n := newNATWorld(t, natCase{mn: true}, nil)
	n.mn.tell(spd.Key{Demand: binding, Path: n.path})
	n.run()
	for _, h := range n.hosts {
		if len(h.sas) != 2 {
			t.Errorf("%s has %d SAs", h.name, len(h.sas))
		}
		for _, s := range h.sas {
			if s.Encap != (spd.Encap{}) || s.Endpoints.Src != hoa && s.Endpoints.Dst != hoa {
				t.Errorf("%s: %s: %s", h.name, s, s.Encap)
			}
		}
	}
}

// In transport mode each has the addresses that it sees, whoever asks or asks again.
func TestRFC7296_2_23_1_TransportMode(t *testing.T) {
	everyNAT(t, func(t *testing.T, c natCase) {
		n := newNATWorld(t, c, nil)
		n.keyed()
		traffic := func(h *host) spd.Traffic {
			for _, child := range n.sa(h).children {
				if child.demand.Mode == spd.Transport {
					return child.demand.Traffic
				}
			}
			t.Fatalf("%s has no pair in transport mode", h.name)
			return spd.Traffic{}
		}
		for _, h := range []*host{nil, n.mn, n.ha} {
			if h != nil { // which rekeys
				for _, child := range slices.Clone(n.sa(h).children) {
					h.tell(spd.Expired{Peer: h.peer.Name, ID: child.inID()})
					n.run()
				}
				n.agree(2)
			}
			for _, h := range n.hosts {
				got, path := traffic(h), n.sa(h).path()
				if len(got.Local) != 1 || got.Local[0].Start != path.Local || got.Remote[0].End != path.Remote ||
					got.Local[0].Proto != spd.ProtoTCP {
					t.Errorf("%s: traffic %v - %v, wanted between %s", h.name, got.Local, got.Remote, path)
				}
			}
		}
	})
}

// The selectors go as each side has them: those of the answer are the responder's.
func TestRFC7296_2_23_1_SelectorsSent(t *testing.T) {
	n := newNATWorld(t, natCase{mn: true, ha: true, ipv4: true}, nil)
	var sent []string
	n.lose = func(p *packet) bool {
		for _, ts := range n.clear[string(p.Data)] {
			if ts, ok := ts.(*wire.TS); ok {
				sent = append(sent, ts.Selectors[0].Start.String())
			}
		}
		return false
	}
	n.mn.tell(spd.Key{Demand: n.transport, Path: n.path})
	n.run()
	if want := []string{"10.0.0.7", "198.51.100.1", "192.0.2.7", "10.0.0.1"}; !slices.Equal(sent, want) {
		t.Errorf("selectors %v, wanted %v", sent, want)
	}
}

func TestRFC3948_4_Keepalives(t *testing.T) {
	n := newNATWorld(t, natCase{mn: true}, nil)
	n.keyed()
	n.log.Reset()
	n.pass(time.Minute)
	n.script(`
		MN --> keepalive
		MN --> keepalive
		MN --> keepalive`)
	n.mn.tell(spd.RekeyPeer{Peer: "ha"})
	n.run()
	n.log.Reset()
	n.pass(20 * time.Second)
	n.script("MN --> keepalive") // of the new IKE_SA only
	n.mn.tell(spd.Terminate{Peer: "ha"})
	n.run()
	n.log.Reset()
	n.pass(time.Minute)
	n.script("")
}

func TestKeepalivesOfAResponderBehindANAT(t *testing.T) {
	n := newNATWorld(t, natCase{ha: true}, nil)
	n.keyed()
	n.log.Reset()
	n.pass(20 * time.Second)
	n.script("HA --> keepalive")
}
