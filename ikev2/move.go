package ikev2

import (
	"net/netip"
	"slices"
	"time"

	"mipsecd/spd"
)

// orphanLife bounds how long SAs serve whose IKE_SA was given up by a movement without the K bit.
const orphanLife = time.Minute

// supersededLife bounds the same for SAs that the peer may have forgotten: what is sent by them would be lost.
const supersededLife = 10 * time.Second

// relocate follows a movement. With the K bit the IKE_SA's endpoint is moved and nothing is sent (RFC 6275 sections
// 10.3.1 and 11.7.3); what is on its way is retransmitted from the new address. Without it the IKE_SA of another path is
// discarded; its SAs serve until those of the next one replace them (RFC 4877 section 7.4). A handshake is begun again in
// either case.
func (e *Engine) relocate(c spd.Relocate) {
	a := e.peers[c.Peer]
	if a == nil {
		return
	}
	begin := false
	for _, sa := range slices.Clone(a.sas) {
		from := sa.path()
		switch {
		case from == c.Path:
		case sa.established && c.Keep:
			e.moveIKE(sa, c.Path)
		case sa.established && sa.mobike.on && sa.original:
			e.carry(sa, c.Path)
		case sa.established:
			begin = begin || c.Renew
			e.abandon(a, sa, c.Renew)
		default:
			begin = true
			e.reclaim(a, sa)
			e.forget(sa, errMoved)
		}
		a.takeAlong(from, c.Path)
	}
	if peer := e.cfg.Peers.ByName(c.Peer); begin && len(a.wanted) > 0 && a.current() == nil && a.starting() == nil {
		e.peers[c.Peer] = a // forgotten if there was nothing else
		e.initiate(peer, c.Path)
	} else {
		e.askWanted(peer)
		e.failStranded(c.Peer, errMoved)
	}
}

func (e *Engine) moveIKE(sa *ikeSA, to spd.Path) {
	old := sa.path()
	sa.local = netip.AddrPortFrom(to.Local, sa.local.Port())
	sa.remote = netip.AddrPortFrom(to.Remote, sa.remote.Port())
	e.notify(spd.PeerMoved{Peer: sa.peer.Name, ID: sa.own, Old: old, New: to})
}

// reclaim makes what is being asked on an IKE_SA, or about to be, wanted again.
func (e *Engine) reclaim(a *association, sa *ikeSA) {
	for _, n := range slices.Clone(a.underWay) {
		if n.fresh() && (n.on == sa || n.on == nil) {
			a.wanted = append(a.wanted, n.demand)
			n.giveUp(e, nil)
		}
	}
}

// abandon gives an IKE_SA up without a word to the old path. If it is to be renewed, what it had is wanted again.
func (e *Engine) abandon(a *association, sa *ikeSA, renew bool) {
	if renew {
		e.reclaim(a, sa)
		for _, c := range sa.serving() {
			if !a.has(c.demand) {
				a.wanted = append(a.wanted, c.demand)
			}
		}
	}
	e.orphan(a, sa, orphanLife)
	e.discard(sa, errMoved)
}

// serving are the Child SAs that carry traffic and are to go on with that.
func (sa *ikeSA) serving() (out []*childSA) {
	for _, c := range sa.children {
		if !sa.closing && !c.deleting && !c.replaced() {
			out = append(out, c)
		}
	}
	return out
}

// orphan lets the Child SAs of an IKE_SA that is about to be given up serve until they are replaced, but no longer than
// life. Those that have been are left to go with it.
func (e *Engine) orphan(a *association, sa *ikeSA, life time.Duration) {
	var orphans []*childSA
	for _, c := range sa.serving() {
		again := func(other *childSA) bool { return other.ike != sa && sameDemand(other.demand, c.demand) }
		if a.childBy(again) == nil {
			orphans = append(orphans, c)
		}
	}
	for _, c := range orphans {
		c.ike = nil
	}
	sa.children = slices.DeleteFunc(sa.children, func(c *childSA) bool { return c.ike == nil })
	a.orphans = append(a.orphans, orphans...)
	if len(orphans) > 0 {
		e.after(life, func() { e.removeOrphans(sa.peer.Name, orphans, "not replaced after a movement") })
	}
}

// supersede forgets what there was with a peer before it began anew (RFC 7296 section 2.4): what was established before
// the handshake that says so began. An IKE_SA that both sides have begun at once thus stays on both, whichever comes to
// stand first. Who begins anew elsewhere may have moved, and keep its SAs until there are others.
func (e *Engine) supersede(peer string, by *ikeSA, at spd.Path, before func(*ikeSA) bool) {
	a := e.peers[peer]
	if a == nil {
		return
	}
	earlier := slices.Clone(a.orphans)
	for _, sa := range slices.Clone(a.sas) {
		if sa == by || !sa.established || !before(sa) {
			continue
		}
		if by != nil {
			e.reclaim(a, sa) // what the kernel calls for is asked of the peer again
		}
		if sa.path() != at {
			e.orphan(a, sa, supersededLife)
		}
		e.lose(sa, errSuperseded)
	}
	e.removeOrphans(peer, earlier, errSuperseded.Error())
}

// adopt removes the orphans for a demand, which the peer has answered.
func (e *Engine) adopt(peer string, d spd.Demand, reason string) {
	var same []*childSA
	for _, c := range e.association(peer).orphans {
		if sameDemand(c.demand, d) {
			same = append(same, c)
		}
	}
	e.removeOrphans(peer, same, reason)
}

// removeOrphans removes those that are still there.
func (e *Engine) removeOrphans(peer string, orphans []*childSA, reason string) {
	a := e.peers[peer]
	for _, c := range slices.Clone(orphans) {
		if a == nil {
			return
		}
		if i := slices.Index(a.orphans, c); i >= 0 {
			a.orphans = slices.Delete(a.orphans, i, i+1)
			e.removePair(c, reason)
		}
	}
	e.tidy(peer)
}

// sameDemand reports whether two demands are for the same traffic under the same policies. Where the SAs of a tunnel end
// does not count: they move.
func sameDemand(a, b spd.Demand) bool {
	return a.Name == b.Name && a.Mode == b.Mode && a.ReqidIn == b.ReqidIn && a.ReqidOut == b.ReqidOut &&
		slices.Equal(a.Traffic.Local, b.Traffic.Local) && slices.Equal(a.Traffic.Remote, b.Traffic.Remote)
}

// moveSAs follows the kernel, which has moved tunnel SAs: what is made from now on is for the new addresses.
func (e *Engine) moveSAs(c spd.MoveSAs) {
	e.removeMoved(c.Peer, c.Change)
	a := e.peers[c.Peer]
	if a == nil {
		return
	}
	for _, d := range a.pending() {
		d.Readdress(c.Change)
	}
	children := slices.Clone(a.orphans)
	for _, sa := range a.sas {
		children = append(children, sa.children...)
	}
	for _, child := range children {
		in, out, was := child.inID(), child.outID(), child.demand.Endpoints()
		if child.demand.Readdress(c.Change) {
			e.notify(spd.ChildMoved{Demand: child.demand, OldIn: in, OldOut: out, In: child.inID(), Out: child.outID()})
			e.verifyMoved(child, was)
			if child.ike != nil {
				e.reencapsulate(child)
			}
		}
	}
	e.movedTogether(children, c)
}

// takeAlong readdresses the tunnels that are wanted or being made from one path to another, without waiting for the
// report that their policies have moved: SAs made at the old addresses meanwhile would stay there. Those that the kernel
// calls for stay: until it has them, its own state that waits for them keeps the policy from moving.
func (a *association) takeAlong(from, to spd.Path) {
	for _, d := range a.pending() {
		if d.Mode == spd.Tunnel && d.Acquire == 0 && d.Local == from.Local && d.Remote == from.Remote {
			d.Local, d.Remote = to.Local, to.Remote
		}
	}
}

// pending are the demands that are wanted, asked for, or granted to the peer and not yet served.
func (a *association) pending() (out []*spd.Demand) {
	for i := range a.wanted {
		out = append(out, &a.wanted[i])
	}
	for _, n := range a.underWay {
		out = append(out, &n.demand)
	}
	for _, ch := range a.granted {
		out = append(out, &ch.demand)
	}
	return out
}
