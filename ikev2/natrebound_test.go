package ikev2

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"mipsecd/internal/secret"
	"mipsecd/internal/vnet"
	"mipsecd/spd"
)

// rebind has the NAT before the mobile node forget its mapping.
func (n *natWorld) rebind() { n.mn.nat.Rebind(n.sa(n.ha).remote.Addr()) }

// moved is what the home agent's role was told since the last time.
func (n *natWorld) moved() (list []spd.PeerMoved) {
	list = said[spd.PeerMoved](n.ha)
	n.ha.notices = nil
	return list
}

// A new mapping is found by the next message of the peer's, be it a request or an answer.
func TestRFC7296_2_23_Rebinding(t *testing.T) {
	n := newNATWorld(t, natCase{mn: true}, nil)
	n.keyed()
	n.moved()
	old := n.sa(n.ha).remote
	n.rebind()
	n.mn.tell(spd.Probe{Peer: "ha"})
	n.run()
	is := n.sa(n.ha).remote
	if is == old || is.Addr() != old.Addr() {
		t.Errorf("from %s to %s", old, is)
	}
	path := n.sa(n.ha).path()
	want := spd.PeerMoved{Peer: "mn", ID: n.sa(n.ha).own, Old: path, New: path, Encap: spd.Encap{Src: NATPort, Dst: is.Port()}}
	if got := n.moved(); len(got) != 1 || got[0] != want {
		t.Errorf("told %+v, wanted %+v", got, want)
	}
	n.agree(2)

	n.ha.tell(spd.Probe{Peer: "mn"}) // gets through
	n.run()
	if alive := said[spd.PeerAlive](n.ha); len(alive) != 1 {
		t.Errorf("alive: %v", alive)
	}
	// What the home agent asks does not get through any more, but is repeated to where the mobile node is once that has said
	// something.
	n.rebind()
	n.ha.tell(spd.Probe{Peer: "mn"})
	n.run()
	n.ha.notices = nil
	n.mn.tell(spd.Probe{Peer: "ha"})
	n.run()
	n.pass(DefaultTiming.Retransmit)
	if alive := said[spd.PeerAlive](n.ha); len(alive) != 1 {
		t.Errorf("alive: %v", alive)
	}
	n.agree(2)
}

// An address that changes is told; the policies and SAs are moved by others, and then have the new ports.
func TestRFC7296_2_23_NewAddress(t *testing.T) {
	n := newNATWorld(t, natCase{mn: true, ipv4: true}, nil)
	n.mn.tell(spd.Key{Demand: n.tunnel, Path: n.path})
	n.run()
	n.moved()
	before := n.sa(n.ha).path()
	n.mn.nat.Rebind(netip.MustParseAddr("192.0.2.99"))
	n.mn.tell(spd.Probe{Peer: "ha"})
	n.run()
	moved := n.moved()
	if len(moved) != 1 || moved[0].Old != before || moved[0].New.Remote != netip.MustParseAddr("192.0.2.99") {
		t.Fatalf("told %+v", moved)
	}
	ends := func(p spd.Path) spd.Endpoints { return spd.Endpoints{Src: p.Local, Dst: p.Remote} }
	for _, c := range []spd.EndpointChange{
		{Old: ends(moved[0].Old), New: ends(moved[0].New), Reqid: payload.ReqidOut + 100},
		{Old: ends(moved[0].Old).Reverse(), New: ends(moved[0].New).Reverse(), Reqid: payload.ReqidIn + 100},
	} {
		c.Proto, c.Mode = spd.ESP, spd.Tunnel
		n.ha.kernel.migrate(c)
		n.ha.tell(spd.MoveSAs{Peer: "mn", Change: c})
	}
	n.agree(1)
	if out := n.ha.by(spd.Out); len(out) != 1 {
		t.Errorf("%v", out)
	} else {
		for _, s := range out {
			if s.Encap != moved[0].Encap {
				t.Errorf("%s: %s, wanted %s", s, s.Encap, moved[0].Encap)
			}
		}
	}
}

// Data packets tell of a new mapping, too.
func TestRFC7296_2_23_ReboundByESP(t *testing.T) {
	n := newNATWorld(t, natCase{mn: true}, nil)
	n.keyed()
	n.moved()
	n.rebind()
	to := n.mn.nat.Out(n.sa(n.mn).local)
	child := n.sa(n.ha).children[0]
	for range 2 { // more come before the SA is changed
		n.ha.tell(spd.Rebound{Peer: "mn", ID: child.inID(), To: to})
	}
	if n.sa(n.ha).remote != to || len(n.moved()) != 1 {
		t.Errorf("the peer is at %s, wanted %s", n.sa(n.ha).remote, to)
	}
	n.agree(2)
}

// Nothing moves by what is forged, or comes again; nor where this side is behind a NAT itself, or no NAT was found.
func TestRFC7296_2_23_WhoDoesNotFollow(t *testing.T) {
	elsewhere := netip.MustParseAddrPort("[2001:db8:bad::1]:6666")
	everyNAT(t, func(t *testing.T, c natCase) {
		n := newNATWorld(t, c, nil)
		n.keyed()
		n.mn.notices, n.ha.notices = nil, nil
		var captured *packet
		n.lose = func(p *packet) bool {
			captured = p
			return true
		}
		fromElsewhere := func(h *host, data []byte) {
			h.step(Datagram{Local: n.sa(h).local, Remote: elsewhere, Data: data})
		}
		for _, h := range n.hosts {
			peer := n.peerOf(h)
			was := n.sa(h).remote
			follows := n.sa(h).nat.theirs && !n.sa(h).nat.ours

			peer.tell(spd.Probe{Peer: peer.peer.Name})
			forged := append([]byte(nil), captured.Data...)
			forged[len(forged)-1] ^= 1
			fromElsewhere(h, forged)
			if n.sa(h).remote != was {
				t.Errorf("%s follows a forged message", h.name)
			}
			request := captured.Data
			n.lose = nil
			peer.engine.now = n.now
			n.arrive(captured)
			n.run()
			fromElsewhere(h, request)
			n.flight = nil
			if n.sa(h).remote != was {
				t.Errorf("%s follows a message that comes again", h.name)
			}
			n.lose = func(p *packet) bool {
				captured = p
				return true
			}
			peer.tell(spd.Probe{Peer: peer.peer.Name})
			fromElsewhere(h, captured.Data)
			if moved := n.sa(h).remote == elsewhere; moved != follows || len(said[spd.PeerMoved](h)) > 0 != follows {
				t.Errorf("%s: follows a true message: %t, wanted %t", h.name, moved, follows)
			}
			h.tell(spd.Rebound{Peer: h.peer.Name, ID: n.sa(h).children[0].inID(), To: was})
			if n.sa(h).remote != was {
				t.Errorf("%s is at %s, wanted %s", h.name, n.sa(h).remote, was)
			}
			n.lose, n.flight = nil, nil
			n.pass(DefaultTiming.Retransmit)
		}
	})
}

// NAT status is no part of what is resumed: it is found out anew (RFC 5723 section 4.3.2).
func TestRFC5723_4_3_2_ResumedThroughANAT(t *testing.T) {
	n := newNATWorld(t, natCase{}, func(_, ha *Config) { ha.Secret = secret.Bytes("thirty-two octets of the host's.") })
	n.mn.peer.Resumption, n.ha.peer.Resumption = true, true
	n.keyed()
	n.ha.crash()
	n.mn.tell(spd.Probe{Peer: "ha"})
	n.pass(time.Minute) // until it is given up
	n.mn.nat = vnet.NewNAT(n.path.Local)
	n.log.Reset()
	n.mn.tell(spd.Key{Demand: n.tunnel, Path: n.path})
	n.run()
	if !strings.Contains(n.log.String(), "IKE_SESSION_RESUME response 0 [ Nr N(NAT_DETECTION_SOURCE_IP)") {
		t.Errorf("not resumed:\n%s", n.log.String())
	}
	n.agree(1)
	if mn, ha := n.sa(n.mn), n.sa(n.ha); !mn.nat.ours || !ha.nat.theirs || mn.encap() == (spd.Encap{}) {
		t.Errorf("found %+v, %+v", mn.nat, ha.nat)
	}
}
