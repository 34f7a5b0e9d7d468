package mobilenode

import (
	"net/netip"
	"slices"
	"time"

	"mipsecd/migrate"
	"mipsecd/spd"
)

// tenancy is a home whose address the home agent assigns, or agrees to: nothing calls for SAs before there is one, so the
// node asks for it at the start, and whenever there is no IKE_SA with the home agent, on which the address depends (RFC 4877
// section 9).
type tenancy struct {
	open    migrate.Home
	address netip.Addr // the zero Addr until there is one
	sas     map[uint64]bool
	asking  spd.Path  // while an IKE_SA is being set up for it
	again   time.Time // when to ask next, while it is not asked
	wait    time.Duration
	own
	search
}

// The waits before a home agent is asked again: one that does not answer after a while that doubles each time, one that
// has no address to give after the longest (RFC 7296 section 3.15.4 wants minutes).
const (
	firstWait = 5 * time.Second
	lastWait  = 5 * time.Minute
)

func (t *tenancy) underWay() bool { return t.asking != spd.Path{} || t.claimed.IsValid() }

// settled reports whether there is an address, and an IKE_SA that it depends on.
func (t *tenancy) settled() bool { return t.address.IsValid() && len(t.sas) > 0 && !t.underWay() }

// retry asks again in a while.
func (t *tenancy) retry(now time.Time, wait time.Duration) {
	t.asking = spd.Path{}
	t.wait = min(wait, lastWait)
	t.again = now.Add(t.wait)
}

// tenancyOf is the one with a home agent, or nil.
func (n *Node) tenancyOf(peer string) *tenancy {
	i := slices.IndexFunc(n.tenancies, func(t *tenancy) bool { return t.open.Peer == peer })
	if i < 0 {
		return nil
	}
	return n.tenancies[i]
}

// seek asks for the addresses that are due. One that is being asked for from an address that this host has no longer is
// asked for from another.
func (n *Node) seek() {
	for _, t := range n.tenancies {
		path, ok := n.homes.OpenPath(t.open)
		switch {
		case !ok || t.settled():
		case !t.open.HomeAgent.IsValid():
			n.find(t, path.Local)
		case t.asking != spd.Path{} && len(t.sas) == 0 && !slices.Contains(n.addresses, t.asking.Local):
			t.asking = path
			n.tell(spd.Relocate{Peer: t.open.Peer, Path: path, Renew: true})
		case !t.underWay() && !n.now.Before(t.again):
			n.ask(t, path)
		}
	}
}

// ask asks a home agent for an address.
func (n *Node) ask(t *tenancy, path spd.Path) {
	switch {
	case t.prefix.IsValid():
		n.claim(t, path)
	case t.open.Autoconfigured && len(t.sas) > 0: // which the home agent has begun: the prefix is told to who begins
		t.retry(n.now, firstWait)
		n.tell(spd.Terminate{Peer: t.open.Peer})
	default:
		t.asking = path
		n.tell(spd.Key{Demand: n.homes.FirstDemand(t.open, path), Path: path})
	}
}

// Deadline implements migrate.Role.
func (n *Node) Deadline() (first time.Time) {
	for _, t := range n.tenancies {
		if !t.settled() && !t.underWay() && !t.searching() && t.again.After(n.now) && (first.IsZero() || t.again.Before(first)) {
			first = t.again
		}
	}
	return first
}

// tenant follows what the key exchange says of addresses that are assigned, and of that on which they depend.
func (n *Node) tenant(notice spd.Notice) {
	switch x := notice.(type) {
	case spd.PeerUp:
		if t := n.tenancyOf(x.Peer); t != nil {
			t.sas[x.ID] = true
			t.asking = spd.Path{}
		}
	case spd.PeerDown:
		if t := n.tenancyOf(x.Peer); t != nil {
			if delete(t.sas, x.ID); len(t.sas) == 0 && !t.underWay() {
				t.retry(n.now, max(t.wait, firstWait))
			}
		}
	case spd.KeyFailed:
		switch t := n.tenancyOf(x.Demand.Peer); {
		case t == nil:
		case t.claims(x.Demand):
			n.claimFailed(t, x.Err)
		case x.Demand.Unassigned && t.asking != spd.Path{}:
			n.unanswered(t)
		}
	case spd.ChildUp:
		if t := n.tenancyOf(x.Demand.Peer); t != nil && t.claims(x.Demand) {
			n.claimed(t)
		}
	case spd.Assigned:
		switch t := n.tenancyOf(x.Peer); {
		case t == nil:
		case x.Err != nil:
			n.unassigned(t)
		case len(x.Addresses) > 0:
			t.own = own{collisions: t.collisions}
			n.settle(t, x.Addresses[0].Addr(), x.DNS)
		case t.open.Autoconfigured:
			n.autoconfigure(t, x.Assignment)
		}
	}
}

// unanswered asks again in a while, or another home agent at once.
func (n *Node) unanswered(t *tenancy) {
	t.retry(n.now, max(2*t.wait, firstWait))
	if t.wanted && len(t.sas) == 0 {
		n.turnAway(t)
	}
}

// unassigned leaves a home agent alone from which there is no address to be had.
func (n *Node) unassigned(t *tenancy) {
	n.vacate(t)
	t.own = own{collisions: t.collisions}
	t.retry(n.now, lastWait)
	n.tell(spd.Terminate{Peer: t.open.Peer})
}

// settle takes an address, in place of another one if there is (RFC 4877 section 9).
func (n *Node) settle(t *tenancy, address netip.Addr, dns []netip.Addr) {
	if address != t.address {
		n.vacate(t)
		if n.homes.Of(address) != nil || address == t.open.HomeAgent {
			n.emit(migrate.Report{What: "unusable assignment", Peer: t.open.Peer, HomeAddress: address, Detail: "it is another's"})
			return
		}
		t.address = address
		n.emit(migrate.SetAddress{Address: address})
		n.emit(n.homes.Assign(n.now, t.open, address)...)
	}
	t.wait = 0
	if len(t.sas) > 0 { // else the IKE_SA is the next that is heard of
		t.asking = spd.Path{}
	}
	n.homes.Of(address).DNS = dns
}

// vacate gives an assigned address up.
func (n *Node) vacate(t *tenancy) {
	if t.address.IsValid() {
		n.emit(n.homes.Release(t.address)...)
		n.emit(migrate.SetAddress{Address: t.address, Gone: true})
		t.address = netip.Addr{}
	}
}
