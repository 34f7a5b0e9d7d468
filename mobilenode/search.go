package mobilenode

import (
	"net/netip"
	"slices"

	"mipsecd/migrate"
	"mipsecd/spd"
)

// search is what a mobile node knows of where a home agent is whose address is not configured (RFC 5026 section 5.1, RFC 6275
// section 11.4.1). One that does not answer, or is not who it should be, gives way to the next; after the last they are
// looked for anew.
type search struct {
	wanted bool
	from   netip.Addr   // of this host, to which the answers come; the zero Addr while nobody is asked
	left   []netip.Addr // that have not been tried, in the order of preference
}

func (s *search) searching() bool { return s.from.IsValid() }

// find looks for home agents, if it is time to; anew if this host no longer has the address that it did so from.
func (n *Node) find(t *tenancy, from netip.Addr) {
	lost := t.searching() && !slices.Contains(n.addresses, t.from)
	if lost || !t.searching() && !n.now.Before(t.again) {
		t.from = from
		n.emit(migrate.FindHomeAgent{Peer: t.open.Peer, From: from})
	}
}

// foundHomeAgents takes what was found.
func (n *Node) foundHomeAgents(found migrate.HomeAgents) {
	t := n.tenancyOf(found.Peer)
	if t == nil || !t.searching() || found.From != t.from {
		return
	}
	t.from = netip.Addr{}
	if found.Err != nil {
		n.emit(migrate.Report{What: "no home agent found", Peer: t.open.Peer, Detail: found.Err.Error()})
		t.retry(n.now, max(2*t.wait, firstWait))
		return
	}
	t.left = slices.Clone(found.Addresses)
	n.next(t)
}

// next turns to the next home agent, if there is one.
func (n *Node) next(t *tenancy) {
	if len(t.left) == 0 {
		return
	}
	t.open.HomeAgent, t.left = t.left[0], t.left[1:]
	t.again = n.now
	n.emit(migrate.Report{What: "home agent", Peer: t.open.Peer, Detail: t.open.HomeAgent.String()})
}

// turnAway leaves a home agent for another one. The home address was a matter of the two, and goes.
func (n *Node) turnAway(t *tenancy) {
	n.vacate(t)
	t.own = own{collisions: t.collisions}
	t.asking = spd.Path{}
	t.open.HomeAgent = netip.Addr{}
	n.next(t)
}
