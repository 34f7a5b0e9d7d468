package ikev2

import (
	"time"

	"mipsecd/spd"
)

// A kernel reports a movement when it has happened. Until the report is here, SAs are installed at the old addresses and
// stay there, and SAs are removed by their old names and stay, too. Both are made good when the report comes.

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
		if e.now.Sub(c.removed) <= reportDelay && readdress(&c.demand, change) {
			e.emit(Remove{c.outID()})
			e.emit(Remove{c.inID()})
		}
	}
}

// verifyMoved makes sure that a pair which was made just before the report came has moved with its policies, once both of
// them must have.
func (e *Engine) verifyMoved(c *childSA, oldIn, oldOut spd.SAID) {
	if e.now.Sub(c.installed) > reportDelay {
		return
	}
	c.former = append(c.former, oldIn, oldOut)
	e.after(reportDelay, func() {
		if c.ike != nil && !c.deleting {
			e.emit(Verify{Peer: c.demand.Peer, ID: c.inID()})
			e.emit(Verify{Peer: c.demand.Peer, ID: c.outID()})
		}
	})
}
