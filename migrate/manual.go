package migrate

import (
	"net/netip"
	"slices"

	"mipsecd/spd"
)

// Where keys are manual nobody asks for SAs before they are of use: a packet of the peer's would find none. They are
// provided at the start, at home as well, go where their policies go, and stay when these go (RFC 4877 section 4.2).

// provide asks for all SAs of a place whose keys are manual.
func (h *Homes) provide(p *Place) (out []Effect) {
	if !p.Manual {
		return nil
	}
	for _, name := range Protections {
		if slices.Contains(p.What, name) {
			out = append(out, Tell{spd.Key{Demand: h.demand(p.Home, name, p.at())}})
		}
	}
	return out
}

// Changed answers the kernel's report of a policy. A tunnel of manual keys that was set somewhere, without a MIGRATE, takes
// its SAs there.
func (h *Homes) Changed(c spd.PolicyChanged) []Effect {
	if c.Gone || c.Policy.Dir != spd.Out || !isTunnel(c.Policy) {
		return nil
	}
	home, _ := h.ends(c.Policy.Selector.Src.Addr(), c.Policy.Selector.Dst.Addr())
	p := h.places[home]
	if p == nil || !p.Manual {
		return nil
	}
	t := c.Policy.Templates[0]
	careOf, agent := h.ends(t.Endpoints.Src, t.Endpoints.Dst)
	for _, name := range p.What {
		if d := h.demand(p.Home, name, careOf); d.ReqidOut == t.Reqid && agent == p.HomeAgent {
			return []Effect{Tell{spd.Key{Demand: d}}}
		}
	}
	return nil
}

// demand is for the SAs of one kind of traffic of a home while its mobile node is at careOf.
func (h *Homes) demand(home Home, name Protection, careOf netip.Addr) spd.Demand {
	var out, in spd.Policy
	for _, p := range home.PoliciesFor(name, h.onHA, careOf) {
		switch p.Dir {
		case spd.Out:
			out = p
		case spd.In:
			in = p
		}
	}
	t := out.Templates[0]
	d := spd.Demand{
		Peer: home.Peer, Name: string(name), Mode: t.Mode, Traffic: spd.NewTraffic(out.Selector, in.Selector),
		Local: out.Selector.Src.Addr(), Remote: out.Selector.Dst.Addr(),
		ReqidOut: t.Reqid, ReqidIn: in.Templates[0].Reqid,
	}
	if d.Mode == spd.Tunnel {
		d.Local, d.Remote = t.Endpoints.Src, t.Endpoints.Dst
	}
	return d
}
