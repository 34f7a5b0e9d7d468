package migrate

import (
	"net/netip"
	"slices"
	"time"

	"mipsecd/spd"
)

// Open lists the homes whose address is not configured but assigned, without one, in the order of the configuration.
func (h *Homes) Open() []Home { return h.open }

// AddressesWith lists the home addresses that concern a peer, those that are assigned last.
func (h *Homes) AddressesWith(peer string) (list []netip.Addr) {
	for _, p := range h.peers[peer] {
		list = append(list, p.HomeAddress)
	}
	return list
}

// Assign gives an open home its address, which no other has. Where mipsecd owns the policies they are set: where the
// mobile node is, if its mobility daemon was faster.
func (h *Homes) Assign(now time.Time, open Home, address netip.Addr) []Effect {
	p := &Place{Home: open, Assigned: true}
	p.HomeAddress = address
	h.add(p)
	if s, ok := h.early[address]; ok && h.bindingOf(s) == p {
		p.bound = true
		h.found(now, p, s.CareOf)
	}
	out := []Effect{Report{What: "assigned", Peer: p.Peer, HomeAddress: address, Detail: address.String()}}
	if h.owns(p) {
		out = append(out, Carry{Set(h.policies(p, p.at()))})
	}
	return append(out, h.attach(now, p)...)
}

// bindEarly notes a Mobile IPv6 state of an address that may be assigned yet.
func (h *Homes) bindEarly(s spd.CareOfState) {
	switch {
	case len(h.open) == 0 || s.Proto != spd.HomeOpt:
	case s.Gone:
		delete(h.early, s.Endpoints.Src)
	default:
		h.early[s.Endpoints.Src] = s
	}
}

// OpenPath is where the home agent of an open home on this host can be reached from by now. Not ok if it cannot.
func (h *Homes) OpenPath(open Home) (path spd.Path, ok bool) {
	path = spd.Path{Local: h.source(&Place{Home: open}, h.here), Remote: open.HomeAgent}
	return path, path.Local.IsValid()
}

// FirstDemand is what a mobile node asks for first of the home agent of an open home: the first pair of SAs that its
// policies will want, for the address that it has been given or, if it has none, for whichever it is assigned.
func (h *Homes) FirstDemand(open Home, path spd.Path) spd.Demand {
	all := spd.PrefixRange(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	unassigned := !open.HomeAddress.IsValid()
	if unassigned {
		open.HomeAddress = all.Start // stands for it
	}
	wanted := func(x Protection) bool { return slices.Contains(open.What, x) }
	d := h.demand(open, Protections[slices.IndexFunc(Protections, wanted)], path.Local)
	d.Remote = path.Remote
	if unassigned {
		d.Unassigned, d.Local = true, path.Local
		d.Traffic.Local[0].End = all.End
	}
	return d
}

// Release takes an address that was assigned away from its home, which is open again, and the policies with it.
func (h *Homes) Release(home netip.Addr) []Effect {
	p := h.places[home]
	policies := h.Policies(home)
	same := func(other *Place) bool { return other == p }
	delete(h.places, home)
	h.order = slices.DeleteFunc(h.order, same)
	h.peers[p.Peer] = slices.DeleteFunc(h.peers[p.Peer], same)
	out := []Effect{Report{What: "released", Peer: p.Peer, HomeAddress: home, Detail: home.String()}}
	if h.owns(p) {
		out = append(out, Carry{Unset(policies)})
	}
	return out
}

// Policies are those of mipsecd's for a home address, as they are to be now.
func (h *Homes) Policies(home netip.Addr) []spd.Policy {
	if p := h.places[home]; p != nil && h.owns(p) {
		return h.policies(p, p.at())
	}
	return nil
}
