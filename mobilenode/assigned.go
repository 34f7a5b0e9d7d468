package mobilenode

import (
	"net/netip"
	"slices"
	"time"

	"mipsecd/migrate"
	"mipsecd/spd"
)

// tenancy is a home whose address the home agent assigns: nothing calls for SAs before there is one, so the node asks for
// it at the start, and whenever there is no IKE_SA with the home agent, on which the address depends (RFC 4877 section 9).
type tenancy struct {
	open    migrate.Home
	address netip.Addr // the zero Addr until one has been assigned
	sas     map[uint64]bool
	asking  spd.Path  // while an IKE_SA is being set up for it
	again   time.Time // when to ask next, while it is not asked
	wait    time.Duration
}

// The waits before a home agent is asked again: one that does not answer after a while that doubles each time, one that
// has no address to give after the longest (RFC 7296 section 3.15.4 wants minutes).
const (
	firstWait = 5 * time.Second
	lastWait  = 5 * time.Minute
)

func (t *tenancy) underWay() bool { return t.asking != spd.Path{} }

// settled reports whether there is an address, and an IKE_SA that it depends on.
func (t *tenancy) settled() bool { return t.address.IsValid() && len(t.sas) > 0 }

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
		case t.underWay() && len(t.sas) == 0 && !slices.Contains(n.addresses, t.asking.Local):
			t.asking = path
			n.tell(spd.Relocate{Peer: t.open.Peer, Path: path, Renew: true})
		case !t.underWay() && !n.now.Before(t.again):
			t.asking = path
			n.tell(spd.Key{Demand: n.homes.OpenDemand(t.open, path), Path: path})
		}
	}
}

// Deadline implements migrate.Role.
func (n *Node) Deadline() (first time.Time) {
	for _, t := range n.tenancies {
		if !t.settled() && !t.underWay() && t.again.After(n.now) && (first.IsZero() || t.again.Before(first)) {
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
		if t := n.tenancyOf(x.Demand.Peer); t != nil && x.Demand.Unassigned && t.underWay() {
			t.retry(n.now, max(2*t.wait, firstWait))
		}
	case spd.Assigned:
		if t := n.tenancyOf(x.Peer); t != nil && x.Err != nil {
			n.vacate(t)
			t.retry(n.now, lastWait)
			n.tell(spd.Terminate{Peer: x.Peer})
		} else if t != nil && len(x.Addresses) > 0 {
			n.settle(t, x)
		}
	}
}

// settle takes the address that is assigned, in place of another one if that is (RFC 4877 section 9).
func (n *Node) settle(t *tenancy, x spd.Assigned) {
	address := x.Addresses[0].Addr()
	if address != t.address {
		n.vacate(t)
		if n.homes.Of(address) != nil || address == t.open.HomeAgent {
			n.emit(migrate.Report{What: "unusable assignment", Peer: x.Peer, HomeAddress: address, Detail: "it is another's"})
			return
		}
		t.address = address
		n.emit(migrate.SetAddress{Address: address})
		n.emit(n.homes.Assign(n.now, t.open, address)...)
	}
	t.wait = 0
	if t.settled() { // else the IKE_SA is the next that is heard of
		t.asking = spd.Path{}
	}
	n.homes.Of(address).DNS = x.DNS
}

// vacate gives an assigned address up.
func (n *Node) vacate(t *tenancy) {
	if t.address.IsValid() {
		n.emit(n.homes.Release(t.address)...)
		n.emit(migrate.SetAddress{Address: t.address, Gone: true})
		t.address = netip.Addr{}
	}
}
