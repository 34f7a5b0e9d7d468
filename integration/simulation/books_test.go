package simulation

import (
	"mipsecd/spd"
)

// books are what a host's engines have told that there is.
type books struct {
	ikeSAs map[uint64]*ikeEntry
	sas    map[spd.SAID]*entry
	byPeer map[string]map[*entry]bool // the pairs
}

type ikeEntry struct {
	peer string
	path spd.Path
}

// entry is a pair of SAs.
type entry struct {
	demand  spd.Demand
	in, out spd.SAID
}

func newBooks() books {
	return books{ikeSAs: map[uint64]*ikeEntry{}, sas: map[spd.SAID]*entry{}, byPeer: map[string]map[*entry]bool{}}
}

// enter writes a notice into the books. What contradicts them, or gives a peer what is not its own, ends the test.
func (b *books) enter(h *host, n spd.Notice) {
	h.w.t.Helper()
	wrong := func(peer, why string) {
		h.w.t.Helper()
		h.w.fail(h, peer, "%s: %+v", why, n)
	}
	switch n := n.(type) {
	case spd.PeerUp:
		h.w.noteOf(h, n.Peer, "IKE_SA %016x up over %s, replaces %016x, first %t", n.ID, n.Path, n.Replaces, n.First)
		if b.ikeSAs[n.ID] != nil {
			wrong(n.Peer, "the IKE_SA is up already")
		}
		b.ikeSAs[n.ID] = &ikeEntry{n.Peer, n.Path}
	case spd.PeerMoved:
		h.w.noteOf(h, n.Peer, "IKE_SA %016x moved to %s", n.ID, n.New)
		if b.ikeSAs[n.ID] == nil {
			wrong(n.Peer, "no such IKE_SA is up")
		}
		b.ikeSAs[n.ID].path = n.New
	case spd.PeerDown:
		h.w.noteOf(h, n.Peer, "IKE_SA %016x down: %s", n.ID, n.Reason)
		if b.ikeSAs[n.ID] == nil {
			wrong(n.Peer, "no such IKE_SA is up")
		}
		delete(b.ikeSAs, n.ID)
	case spd.ChildUp:
		h.w.noteOf(h, n.Demand.Peer, "pair up for %s, in %s, out %s", n.Demand, n.In, n.Out)
		h.w.entitled(h, n)
		b.open(wrong, &entry{n.Demand, n.In, n.Out})
	case spd.ChildDown:
		h.w.noteOf(h, n.Demand.Peer, "pair down for %s, in %s: %s", n.Demand, n.In, n.Reason)
		b.close(wrong, n.Demand.Peer, n.In, n.Out)
	case spd.ChildMoved:
		h.w.noteOf(h, n.Demand.Peer, "pair moved for %s, in %s from %s", n.Demand, n.In, n.OldIn)
		b.close(wrong, n.Demand.Peer, n.OldIn, n.OldOut)
		b.open(wrong, &entry{n.Demand, n.In, n.Out})
	case spd.KeyFailed:
		h.w.noteOf(h, n.Demand.Peer, "not keyed: %v", n.Err)
		h.w.counters["not keyed: "+n.Err.Error()]++
	}
}

func (b *books) open(wrong func(peer, why string), e *entry) {
	for _, id := range []spd.SAID{e.in, e.out} {
		if b.sas[id] != nil {
			wrong(e.demand.Peer, "there is such an SA already")
		}
		b.sas[id] = e
	}
	if b.byPeer[e.demand.Peer] == nil {
		b.byPeer[e.demand.Peer] = map[*entry]bool{}
	}
	b.byPeer[e.demand.Peer][e] = true
}

func (b *books) close(wrong func(peer, why string), peer string, in, out spd.SAID) {
	e := b.sas[in]
	if e == nil || b.sas[out] != e || e.demand.Peer != peer {
		wrong(peer, "there is no such pair of this peer's")
	}
	delete(b.sas, in)
	delete(b.sas, out)
	delete(b.byPeer[peer], e)
}

// entitled holds that a pair is for a peer's own home address (RFC 4877 section 4.2).
func (w *world) entitled(h *host, n spd.ChildUp) {
	w.t.Helper()
	mobile, who := n.Demand.Traffic.Remote, w.byName[n.Demand.Peer]
	if h.node != nil {
		mobile, who = n.Demand.Traffic.Local, h.node
	}
	for _, ts := range mobile {
		if ts.Start != who.home.HomeAddress || ts.End != who.home.HomeAddress {
			w.fail(h, n.Demand.Peer, "SAs for %s, want them for %s only", ts, who.home.HomeAddress)
		}
	}
}
