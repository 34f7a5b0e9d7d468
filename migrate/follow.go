package migrate

import (
	"net/netip"
	"slices"
	"time"

	"mipsecd/spd"
)

// Moved takes a place to a care-of address, the home address if that is home. With the K bit the IKE_SA moves along;
// without it the mobile node sets up a new one, and the home agent discards the one over the old path (RFC 6275 sections
// 10.3.1, 10.3.2 and 11.7.3, RFC 4877 section 7.4). Nothing is to be done when it was there already.
func (h *Homes) Moved(now time.Time, p *Place, to netip.Addr) []Effect {
	if p.CareOf == to {
		return nil
	}
	p.along = p.CareOf.IsValid() && p.KeyMobility
	p.CareOf, p.Since = to, now
	detail := "to " + to.String()
	if to == p.HomeAddress {
		detail = "home"
	}
	out := []Effect{Report{What: "moved", Peer: p.Peer, HomeAddress: p.HomeAddress, Detail: detail}}
	if p.Manual {
		return out
	}
	return append(out, Tell{spd.Relocate{Peer: p.Peer, Path: h.Path(p), Keep: p.KeyMobility, Renew: !h.onHA}})
}

// Confirmed takes what the home agent has said about a movement: if it does not keep the IKE_SA that has moved along (K bit),
// that is set up anew (RFC 6275 section 11.7.3).
func (h *Homes) Confirmed(p *Place, keeps bool) []Effect {
	if keeps || !p.along {
		p.along = false
		return nil
	}
	h.settled(p.Peer)
	return []Effect{
		Report{What: "not kept", Peer: p.Peer, HomeAddress: p.HomeAddress,
			Detail: "the home agent has no K bit: the IKE_SA is set up anew"},
		Tell{spd.Reauthenticate{Peer: p.Peer}},
	}
}

// settled notes that both ends know where the IKE_SA with a peer is.
func (h *Homes) settled(peer string) {
	for _, p := range h.peers[peer] {
		p.along = false
	}
}

// Follow takes a place to where a MIGRATE of one of its policies says that the key exchange runs now, and tells the key
// exchange which tunnel SAs the kernel has moved. A policy with another node than the home agent is not ours.
func (h *Homes) Follow(now time.Time, p *Place, path spd.Path, m spd.Migrate) (out []Effect) {
	if !p.roadWarrior() {
		careOf, agent := h.ends(path.Local, path.Remote)
		if agent != p.HomeAgent {
			return nil
		}
		out = h.Moved(now, p, careOf)
	}
	for _, c := range m.Changes {
		// What comes in by a tunnel and is forwarded has come by the SAs of the inbound policy.
		if c.Mode == spd.Tunnel && c.Old != c.New && m.Dir != spd.Fwd {
			out = append(out, Tell{spd.MoveSAs{Peer: p.Peer, Policy: m.PolicyKey, Change: c, Encap: m.Encap}})
		}
	}
	return out
}

// Bind follows the kernel's own Mobile IPv6 state, which binds HoA to CoA between mobile node and home agent; when it is
// gone, the mobile node is at home. Where mipsecd owns the policies it takes them there first.
func (h *Homes) Bind(now time.Time, s spd.CareOfState) []Effect {
	p := h.bindingOf(s)
	if p == nil {
		h.bindEarly(s)
		return nil
	}
	p.bound = !s.Gone
	if s.Gone {
		return h.take(now, p, p.HomeAddress)
	}
	return h.take(now, p, s.CareOf)
}

// Hear follows a mobility daemon's word of where a home address is, as Bind does the kernel's.
func (h *Homes) Hear(now time.Time, b spd.Binding) []Effect {
	p := h.places[b.HomeAddress]
	if p == nil || p.roadWarrior() || b.HomeAgent.IsValid() && b.HomeAgent != p.HomeAgent {
		return nil
	}
	return h.take(now, p, b.CareOf)
}

// bindingOf is the place that a Mobile IPv6 state binds, or nil.
func (h *Homes) bindingOf(s spd.CareOfState) *Place {
	p := h.places[s.Endpoints.Src]
	if p == nil || p.roadWarrior() || s.Proto != spd.HomeOpt || s.Endpoints.Dst != p.HomeAgent {
		return nil
	}
	return p
}

// take moves a place and the policies that are ours. Should these not move, they are set anew where the mobile node is:
// no SA serves them there, and the kernel calls for new ones.
func (h *Homes) take(now time.Time, p *Place, to netip.Addr) (out []Effect) {
	if from := p.at(); h.owns(p) && from != to {
		path := h.path(p, to)
		km := spd.Endpoints{Src: path.Local, Dst: path.Remote}
		plan := Between(h.tunnels(p, from), p.HomeAddress, from, to, km)
		out = append(out, Carry{plan.or(Set(h.policies(p, to)))})
	}
	return append(out, h.Moved(now, p, to)...)
}

// protecting are the policies of a place that protect its traffic while its mobile node is at careOf.
func (h *Homes) protecting(p *Place, careOf netip.Addr) []spd.Policy {
	ours := p.Protected
	ours.HomeAgent = p.agent()
	return guarded(ours.Policies(h.onHA, careOf), h.onHA)
}

func (h *Homes) tunnels(p *Place, careOf netip.Addr) []spd.Policy {
	return slices.DeleteFunc(h.protecting(p, careOf), func(p spd.Policy) bool { return !isTunnel(p) })
}

// policies are those that a place wants while its mobile node is at careOf.
func (h *Homes) policies(p *Place, careOf netip.Addr) []spd.Policy {
	out := h.protecting(p, careOf)
	for i, policy := range out {
		if careOf == p.HomeAddress && isTunnel(policy) {
			out[i] = p.untunnelled(policy)
		}
	}
	return out
}

// untunnelled is what becomes of a tunnel where the mobile node has no care-of address.
func (p *Place) untunnelled(policy spd.Policy) spd.Policy {
	if p.roadWarrior() {
		return discarded(policy)
	}
	return bypassed(policy)
}

// Begin takes up what a kernel has, at the start and after its reports were lost: where the places are, and whether
// policies of ours are to be set. To find a place for the first time is no movement: nothing of this agent's is there yet
// that could be moved. A binding that has gone unseen is one.
func (h *Homes) Begin(now time.Time, s Snapshot) (out []Effect) {
	out = h.avoidReqids(s.Policies)
	bound := map[*Place]bool{}
	for _, state := range s.CareOf {
		if p := h.bindingOf(state); p != nil {
			bound[p] = true
			h.found(now, p, state.CareOf)
		}
	}
	h.findByTunnels(now, s.Policies)
	for _, p := range h.order {
		out = append(out, h.provide(p)...) // before the policies call for them
	}
	out = append(out, h.restore()...)
	for _, state := range s.CareOf {
		out = append(out, h.Bind(now, state)...)
	}
	for _, p := range h.order {
		if p.bound && !bound[p] {
			p.bound = false
			out = append(out, h.take(now, p, p.HomeAddress)...)
		}
	}
	return out
}

// found notes where a place is of which nothing was known.
func (h *Homes) found(now time.Time, p *Place, at netip.Addr) {
	if !p.CareOf.IsValid() {
		p.CareOf, p.Since = at, now
	}
}

// findByTunnels finds places by the ends of the tunnels that a mobility daemon has set up for them, where the kernel
// shows no state of Mobile IPv6, and road warriors by those that an earlier run has set up. Our others are where we have set
// them.
func (h *Homes) findByTunnels(now time.Time, policies []spd.Policy) {
	for _, policy := range policies {
		if policy.Dir != spd.Out || !isTunnel(policy) {
			continue
		}
		home, _ := h.ends(policy.Selector.Src.Addr(), policy.Selector.Dst.Addr())
		outer := policy.Templates[0].Endpoints
		careOf, agent := h.ends(outer.Src, outer.Dst)
		if p := h.places[home]; p != nil && (!h.owns(p) || p.roadWarrior()) && agent == p.HomeAgent {
			h.found(now, p, careOf)
		}
	}
}

// restore sets the policies, where mipsecd owns them, as the places want them now: a plan for each place, so that one
// which the kernel refuses does not hold up the others.
func (h *Homes) restore() (out []Effect) {
	for _, p := range h.order {
		if h.owns(p) {
			out = append(out, Carry{Set(h.policies(p, p.at()))})
		}
	}
	return out
}

// Flushed answers somebody's emptying the kernel: policies are set again; which SAs are gone the kernel tells. That its
// states are gone says nothing about where the mobile nodes are.
func (h *Homes) Flushed(f spd.Flushed) []Effect {
	if f.Policies {
		return h.restore()
	}
	for _, p := range h.order {
		p.bound = false
	}
	return []Effect{Reread{}}
}
