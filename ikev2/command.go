package ikev2

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"mipsecd/spd"
)

// command carries a role's wish out.
func (e *Engine) command(c spd.Command) {
	switch c := c.(type) {
	case spd.Key:
		e.key(c)
	case spd.Grant:
		if then, ok := e.requests[c.Request]; ok {
			delete(e.requests, c.Request)
			then(c)
		}
	case spd.AddressGrant:
		if then, ok := e.wishes[c.Request]; ok {
			delete(e.wishes, c.Request)
			then(c)
		}
	case spd.Connect:
		e.connect(c)
	case spd.Relocate:
		e.relocate(c)
	case spd.Rebound:
		e.mapped(c)
	case spd.Addresses:
		e.setAddresses(c.List)
	case spd.MoveSAs:
		e.moveSAs(c)
	case spd.Expired:
		e.expired(c)
	case spd.Lost:
		e.withChild(c.Peer, c.ID, func(child *childSA) { e.deleteChild(child, "no longer in the kernel") })
	case spd.Probe:
		e.withCurrent(c.Peer, e.probe)
	case spd.RekeyPeer:
		e.withCurrent(c.Peer, e.rekeyIKE)
	case spd.RedirectPeer:
		e.withCurrent(c.Peer, func(sa *ikeSA) { e.redirectPeer(sa, c.To) })
	case spd.Reauthenticate:
		e.withCurrent(c.Peer, e.renewAuth)
	case spd.Vacate:
		e.vacate(c)
	case spd.Terminate:
		e.terminatePeer(c.Peer)
	case spd.Superseded:
		if e.sas[c.Except] == nil { // else it is done already
			e.supersede(c.Peer, nil, c.Path, func(sa *ikeSA) bool { return sa.upAt.Before(c.Before) })
		}
	case spd.Met:
		e.met(c)
	}
}

// key asks for a Child SA on the IKE_SA that is there, or begins one.
func (e *Engine) key(c spd.Key) {
	d := c.Demand
	peer := e.cfg.Peers.ByName(d.Peer)
	if peer == nil {
		e.failed(d, fmt.Errorf("no peer is called %q", d.Peer))
		return
	}
	a := e.association(d.Peer)
	if a.has(d) {
		return
	}
	if d.Wished.IsValid() {
		e.assigned[d.Peer] = []netip.Prefix{netip.PrefixFrom(d.Wished, d.Wished.BitLen())}
	}
	if sa := a.current(); sa != nil && sa.rekeying == nil {
		e.createChild(peer, d, nil)
		return
	}
	begin := a.current() == nil && a.starting() == nil
	if begin && !c.Path.Remote.IsValid() {
		e.tidy(d.Peer)
		e.failed(d, errPeerBegins)
		return
	}
	a.wanted = append(a.wanted, d)
	if begin {
		e.initiate(peer, c.Path)
	}
}

// has reports whether a demand is wanted or under way already.
func (a *association) has(d spd.Demand) bool {
	same := func(other spd.Demand) bool { return sameDemand(other, d) }
	return slices.ContainsFunc(a.wanted, same) ||
		slices.ContainsFunc(a.underWay, func(n *negotiation) bool { return n.fresh() && same(n.demand) })
}

// askWanted asks for what has waited for an IKE_SA.
func (e *Engine) askWanted(peer *Peer) {
	a := e.association(peer.Name)
	if sa := a.current(); sa == nil || sa.rekeying != nil {
		e.tidy(peer.Name)
		return
	}
	wanted := a.wanted
	a.wanted = nil
	for _, d := range wanted {
		e.createChild(peer, d, nil)
	}
}

// expired rekeys a Child SA at its soft lifetime and deletes it at its hard one.
func (e *Engine) expired(c spd.Expired) {
	e.withChild(c.Peer, c.ID, func(child *childSA) {
		if c.Hard {
			e.deleteChild(child, "its lifetime ended")
		} else {
			e.rekeyChild(child)
		}
	})
}

// rekeyChild asks for a pair in place of one that is in use.
func (e *Engine) rekeyChild(c *childSA) {
	if c.ike != nil && !c.deleting && !c.rekeying.pending() && !c.replaced() && !c.ike.closing {
		e.createChild(c.ike.peer, c.demand, c)
	}
}

// vacate deletes the pairs of SAs for an address.
func (e *Engine) vacate(c spd.Vacate) {
	a := e.peers[c.Peer]
	if a == nil {
		return
	}
	its := func(ts spd.TrafficSelector) bool { return ts.Start == c.Address && ts.End == c.Address }
	about := func(d spd.Demand) bool {
		return slices.ContainsFunc(d.Traffic.Local, its) || slices.ContainsFunc(d.Traffic.Remote, its)
	}
	a.wanted = slices.DeleteFunc(a.wanted, about)
	for _, sa := range slices.Clone(a.sas) {
		for _, child := range slices.Clone(sa.children) {
			if about(child.demand) {
				e.deleteChild(child, "its home address is given up")
			}
		}
	}
	orphans := slices.DeleteFunc(slices.Clone(a.orphans), func(c *childSA) bool { return !about(c.demand) })
	e.removeOrphans(c.Peer, orphans, "its home address is given up")
}

func (e *Engine) withChild(peer string, id spd.SAID, f func(*childSA)) {
	if a := e.peers[peer]; a != nil {
		if c := a.childBy(func(c *childSA) bool { return c.inID() == id || c.outID() == id }); c != nil {
			f(c)
		}
	}
}

func (e *Engine) withCurrent(peer string, f func(*ikeSA)) {
	if a := e.peers[peer]; a != nil {
		if sa := a.current(); sa != nil {
			f(sa)
		}
	}
}

// terminatePeer deletes what is established with a peer, and drops what is not.
func (e *Engine) terminatePeer(peer string) {
	a := e.peers[peer]
	if a == nil {
		return
	}
	for _, sa := range slices.Clone(a.sas) {
		if sa.established {
			e.terminate(sa)
		} else {
			e.lose(sa, errTerminated)
		}
	}
	e.removeOrphans(peer, a.orphans, "terminated")
}

func (e *Engine) terminateAll() {
	for _, peer := range slices.Sorted(maps.Keys(e.peers)) {
		e.terminatePeer(peer)
	}
	for _, spi := range slices.Sorted(maps.Keys(e.sas)) { // of peers that have not said yet who they are
		if sa := e.sas[spi]; sa != nil && !sa.established {
			e.lose(sa, errTerminated)
		}
	}
}

func (e *Engine) abandonAll() {
	for _, spi := range slices.Sorted(maps.Keys(e.sas)) {
		if sa := e.sas[spi]; sa != nil {
			e.lose(sa, errTerminated)
		}
	}
	e.terminateAll() // leaves nothing but what there is without an IKE_SA
}

// met notes that another engine has an IKE_SA with a peer: a handshake under way is not the first contact.
func (e *Engine) met(c spd.Met) {
	if a := e.peers[c.Peer]; a != nil {
		for _, sa := range a.sas {
			if sa.hs != nil && sa.own != c.ID {
				sa.hs.met = true
			}
		}
	}
}
