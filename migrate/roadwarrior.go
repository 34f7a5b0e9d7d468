package migrate

import (
	"net/netip"
	"slices"
	"time"

	"mipsecd/spd"
	"mipsecd/spd/image"
)

// A road warrior is a mobile node without Mobile IPv6. It has its home address wherever it is, and a gateway in place of a
// home agent, with one tunnel between the two. No mobility daemon tells where it is: to itself its host's addresses do, to
// the gateway the key exchange. As long as nothing is known, nothing passes.

func (p *Place) roadWarrior() bool { return p.Mobility != MobileIPv6 }

// owns reports whether the policies of a place are mipsecd's.
func (h *Homes) owns(p *Place) bool { return h.own || p.roadWarrior() }

// agent is the end of the tunnels that is not the mobile node's.
func (p *Place) agent() netip.Addr {
	if p.gateway.IsValid() {
		return p.gateway
	}
	return p.HomeAgent
}

// locate takes a road warrior and its tunnel to a path. With keep its SAs go along, encapsulated like this; should they not,
// the tunnel is set where it is now, and the kernel calls for new ones.
func (h *Homes) locate(now time.Time, p *Place, path spd.Path, keep bool, encap spd.Encap) []Effect {
	if p.CareOf.IsValid() && h.Path(p) == path {
		return nil
	}
	was, known := h.protecting(p, p.at()), p.CareOf.IsValid()
	p.CareOf, p.gateway = h.ends(path.Local, path.Remote)
	p.Since = now
	is := h.protecting(p, p.CareOf)
	plan := Set(is)
	if keep && known {
		var along Plan
		for i := range is {
			along.follow(was[i], is[i], spd.Endpoints{Src: path.Local, Dst: path.Remote}, encap)
		}
		plan = along.or(plan)
	}
	return []Effect{Carry{plan}, Report{What: "moved", Peer: p.Peer, HomeAddress: p.HomeAddress, Detail: "to " + p.CareOf.String()}}
}

// Attached takes the road warriors on this host to where it can reach their gateways from by now.
func (h *Homes) Attached(now time.Time, a Addresses) (out []Effect) {
	h.here = a
	mobike := slices.ContainsFunc(h.open, func(open Home) bool { return open.Mobility == MOBIKE })
	for _, p := range h.order {
		out = append(out, h.attach(now, p)...)
		mobike = mobike || p.Mobility == MOBIKE
	}
	if mobike { // the key exchange may find out by itself that another address is of more use
		out = append(out, Tell{spd.Addresses{List: h.outside(a)}})
	}
	return out
}

// outside are the addresses that are no home addresses.
func (h *Homes) outside(a Addresses) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(a.List), func(x netip.Addr) bool { return h.places[x] != nil })
}

// attach takes a place there if it is a road warrior's.
func (h *Homes) attach(now time.Time, p *Place) []Effect {
	careOf := h.source(p, h.here)
	if !p.roadWarrior() || !careOf.IsValid() {
		return nil
	}
	path := h.path(p, careOf)
	moved := h.locate(now, p, path, true, spd.Encap{})
	if len(moved) > 0 && h.peers[p.Peer][0] == p { // once for each peer
		moved = append(moved, Tell{spd.Relocate{Peer: p.Peer, Path: path, Renew: true}})
	}
	return moved
}

// source chooses a care-of address: the present one as long as the host has it, else the one that the route to the
// gateway has as source, else any of the gateway's family. A home address is none. Not valid if there is none.
func (h *Homes) source(p *Place, a Addresses) netip.Addr {
	usable := slices.DeleteFunc(h.outside(a), func(x netip.Addr) bool { return x.Is4() != p.agent().Is4() })
	for _, preferred := range []netip.Addr{p.CareOf, a.Sources[p.agent()]} {
		if slices.Contains(usable, preferred) {
			return preferred
		}
	}
	if len(usable) == 0 {
		return netip.Addr{}
	}
	return usable[0]
}

// warriorKeyed follows what the key exchange says of where a road warrior and its gateway are.
func (h *Homes) warriorKeyed(now time.Time, n spd.Notice) (out []Effect) {
	follow := func(peer string, each func(*Place) []Effect) {
		for _, p := range h.peers[peer] {
			if p.roadWarrior() {
				out = append(out, each(p)...)
			}
		}
	}
	switch n := n.(type) {
	case spd.PeerUp:
		follow(n.Peer, func(p *Place) []Effect {
			p.ike = n.ID
			if !h.onHA {
				return nil // the road warrior may have moved on since
			}
			return h.locate(now, p, n.Path, false, spd.Encap{})
		})
	case spd.PeerMoved:
		follow(n.Peer, func(p *Place) []Effect {
			if p.ike != n.ID || !h.onHA && !slices.Contains(h.here.List, n.New.Local) {
				return nil // another IKE_SA counts, or this host has moved on since
			}
			return h.locate(now, p, n.New, true, n.Encap)
		})
	case spd.Redirected:
		follow(n.Peer, func(p *Place) []Effect {
			p.ike = 0
			return append(h.locate(now, p, n.Path, false, spd.Encap{}),
				Report{What: "redirected", Peer: p.Peer, HomeAddress: p.HomeAddress, Detail: "to the gateway " + n.Path.Remote.String()})
		})
	case spd.KeyFailed:
		follow(n.Demand.Peer, h.unreached(now))
	case spd.ConnectFailed:
		follow(n.Peer, h.unreached(now))
	case spd.PeerDown:
		follow(n.Peer, func(p *Place) []Effect {
			if p.ike != n.ID {
				return nil
			}
			return h.lost(now, p)
		})
	}
	return out
}

// unreached has a road warrior look for its gateway where the configuration says if that to which it was redirected cannot be
// reached.
func (h *Homes) unreached(now time.Time) func(*Place) []Effect {
	return func(p *Place) []Effect {
		if h.onHA || p.ike != 0 {
			return nil
		}
		return h.lost(now, p)
	}
}

// lost answers that there is no IKE_SA any more. The gateway does not know where the road warrior will be when it begins
// the next one; the road warrior begins it where the configuration says that the gateway is.
func (h *Homes) lost(now time.Time, p *Place) []Effect {
	p.ike = 0
	switch {
	case !p.CareOf.IsValid():
		return nil
	case !h.onHA:
		return h.locate(now, p, spd.Path{Local: p.CareOf, Remote: p.HomeAgent}, false, spd.Encap{})
	}
	p.CareOf, p.gateway, p.Since = netip.Addr{}, netip.Addr{}, now
	return []Effect{
		Carry{Set(h.policies(p, p.at()))},
		Report{What: "gone", Peer: p.Peer, HomeAddress: p.HomeAddress, Detail: "nobody knows where it is"},
	}
}

// tunnelsFor are the tunnels that the policies want where the IKE_SA with a road warrior, or its gateway, is. Nil if the
// peer is none: then they are those of the kernel.
func (h *Homes) tunnelsFor(r spd.Request) *image.Image {
	var tunnels *image.Image
	for _, p := range h.peers[r.Peer] {
		if !p.roadWarrior() {
			continue
		}
		if tunnels == nil {
			tunnels = image.New()
		}
		there := *p
		there.CareOf, there.gateway = h.ends(r.Path.Local, r.Path.Remote)
		for _, policy := range h.protecting(&there, there.CareOf) {
			tunnels.Event(spd.PolicyChanged{Policy: policy})
		}
	}
	return tunnels
}

// KeyPath is the path over which the key exchange for a place may begin. A gateway begins none: it is the road warrior
// that says where it is.
func (h *Homes) KeyPath(p *Place) spd.Path {
	if h.onHA && p.roadWarrior() {
		return spd.Path{}
	}
	return h.Path(p)
}
