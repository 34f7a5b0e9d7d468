package ikev2

import (
	"time"

	"mipsecd/spd"
)

// A kernel reports a movement when it has happened. Until the report is here, SAs are installed at the old addresses and
// stay there, and SAs are removed by their old names and stay, too. Both are made good when the report comes; and so is it if
// the kernel (Linux) has moved only one of several SAs.

// reportDelay is how long a report may take.
const reportDelay = 2 * time.Second

// removedPairs are the tunnels that were removed in the last moments, by peer and in their order.
type removedPairs struct {
	byPeer map[string][]*childSA
	order  []*childSA
}

// remember keeps a removed pair in mind for as long as a report may come of its having moved before.
func (e *Engine) remember(c *childSA) {
	if c.demand.Mode != spd.Tunnel {
		return // stays where it is
	}
	r := &e.removed
	for len(r.order) > 0 && e.now.Sub(r.order[0].removed) > reportDelay {
		old := r.order[0]
		r.order = r.order[1:]
		if r.byPeer[old.demand.Peer] = r.byPeer[old.demand.Peer][1:]; len(r.byPeer[old.demand.Peer]) == 0 {
			delete(r.byPeer, old.demand.Peer)
		}
	}
	c.removed = e.now
	r.order = append(r.order, c)
	r.byPeer[c.demand.Peer] = append(r.byPeer[c.demand.Peer], c)
}

// removeMoved removes the pairs that had moved before they were removed.
func (e *Engine) removeMoved(peer string, change spd.EndpointChange) {
	for _, c := range e.removed.byPeer[peer] {
		if e.now.Sub(c.removed) <= reportDelay && c.demand.Readdress(change) {
			e.emit(Remove{c.outID()})
			e.emit(Remove{c.inID()})
		}
	}
}

// verifyMoved makes sure that a pair which was made just before the report came has moved with its policies, once both of
// them must have; and so that one has that may have taken over from an orphan of another engine's, which the kernel may have
// moved in its place.
func (e *Engine) verifyMoved(c *childSA, was spd.Endpoints) {
	if e.now.Sub(c.installed) <= supersededLife {
		e.verifyLater(c, was)
	}
}

// verifyLater makes sure, once it should have moved, of a pair that may have stayed where its outbound SA was.
func (e *Engine) verifyLater(c *childSA, was spd.Endpoints) {
	c.former = append(c.former, espID(was.Src, c.in), espID(was.Dst, c.out))
	e.after(reportDelay, func() {
		if c.ike != nil && !c.deleting && was != c.demand.Endpoints() {
			e.emit(Verify{Peer: c.demand.Peer, ID: c.inID(), Left: was.Reverse()})
			e.emit(Verify{Peer: c.demand.Peer, ID: c.outID(), Left: was})
		}
	})
}

// movedTogether has the role see to it that all SAs of one reqid follow, of which the kernel may have moved only one.
func (e *Engine) movedTogether(children []*childSA, c spd.MoveSAs) {
	was := map[*childSA]spd.Endpoints{}
	for _, child := range children {
		if out, ok := child.reported(c.Change); ok {
			was[child] = out
		}
	}
	if len(was) < 2 {
		return
	}
	e.notify(spd.MovedTogether{Moved: c, SAs: len(was)})
	for _, child := range children {
		if out, ok := was[child]; ok {
			e.verifyLater(child, out)
		}
	}
}

// reported notes where the kernel has one of the SAs by a report, and is where the pair was, outbound. Not ok if the report is
// about neither.
func (c *childSA) reported(m spd.EndpointChange) (was spd.Endpoints, ok bool) {
	switch {
	case c.demand.Mode != m.Mode || m.Old == m.New:
		return was, false
	case (m.Reqid == 0 || m.Reqid == c.demand.ReqidOut) && c.outAt == m.Old:
		c.outAt = m.New
		return m.Old, true
	case (m.Reqid == 0 || m.Reqid == c.demand.ReqidIn) && c.inAt == m.Old:
		c.inAt = m.New
		return m.Old.Reverse(), true
	}
	return was, false
}
