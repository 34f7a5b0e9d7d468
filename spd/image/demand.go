package image

import (
	"net/netip"

	"mipsecd/spd"
)

// Wanted is the demand of an ACQUIRE: for the policy that it names and the inbound policy that goes with it. The Peer is
// left to the caller.
func (m *Image) Wanted(a spd.Acquire) spd.Demand {
	out := spd.Policy{
		PolicyKey: spd.PolicyKey{Selector: a.Selector, Dir: spd.Out}, Action: spd.Protect, Templates: []spd.Template{a.Template},
	}
	d := m.demand(out, a.Endpoints)
	d.Acquire = a.Seq
	return d
}

// demand makes the demand of an outbound policy. Endpoints are those of the packet, for transport mode.
func (m *Image) demand(out spd.Policy, packet spd.Endpoints) spd.Demand {
	t := out.Templates[0]
	ends := packet
	if t.Mode == spd.Tunnel {
		ends = t.Endpoints
	}
	d := spd.Demand{
		Name: Purpose(out.Selector), Mode: t.Mode, Local: ends.Src, Remote: ends.Dst, ReqidOut: t.Reqid, ReqidIn: t.Reqid,
	}
	in := mirrored(out.Selector)
	if p, ok := m.inbound(out); ok {
		in, d.ReqidIn = p.Selector, p.Templates[0].Reqid
	}
	d.Traffic = spd.NewTraffic(out.Selector, in)
	return d
}

// inbound finds the inbound policy that goes with an outbound one.
func (m *Image) inbound(out spd.Policy) (spd.Policy, bool) {
	t := out.Templates[0]
	for _, p := range m.about(spd.In, out.Selector.Src.Addr(), out.Selector.Dst.Addr()) {
		back := p.Templates[0]
		if goTogether(out.Selector, p.Selector) && back.Mode == t.Mode && back.Proto == t.Proto &&
			(t.Mode != spd.Tunnel || back.Endpoints == t.Endpoints.Reverse()) {
			return p, true
		}
	}
	return spd.Policy{}, false
}

// goTogether reports whether one pair of SAs serves both an outbound and an inbound selector.
func goTogether(out, in spd.Selector) bool { return mirrored(out) == in }

// mirrored is the selector of the answers to what out selects: addresses and ports change sides, a message type is
// replaced by that of its answer.
func mirrored(out spd.Selector) spd.Selector {
	in := spd.Selector{Src: out.Dst, Dst: out.Src, Proto: out.Proto, SrcPort: out.DstPort, DstPort: out.SrcPort}
	if out.Typed() {
		in.SrcPort, in.DstPort = out.SrcPort, out.DstPort
		if answer, ok := answers[typed{out.Proto, out.SrcPort.Value}]; ok && out.SrcPort.Exact {
			in.SrcPort = spd.ExactPort(answer)
		}
	}
	return in
}

type typed struct {
	proto uint8
	kind  uint16
}

// answers pairs the message types that Mobile IPv6 protects with those of their answers (RFC 4877 section 4.2), both
// ways. What is not here answers itself.
var answers = both(map[typed]uint16{
	{spd.ProtoMH, 5}:       6,   // BU, BA
	{spd.ProtoMH, 1}:       3,   // HoTI, HoT
	{spd.ProtoMH, 2}:       4,   // CoTI, CoT
	{spd.ProtoICMPv6, 146}: 147, // Mobile Prefix Solicitation, Advertisement
	{spd.ProtoICMPv6, 144}: 145, // Home Agent Address Discovery Request, Reply
	{spd.ProtoICMPv6, 128}: 129, // Echo Request, Reply
})

func both(one map[typed]uint16) map[typed]uint16 {
	two := make(map[typed]uint16, 2*len(one))
	for k, v := range one {
		two[k] = v
		two[typed{k.proto, v}] = k.kind
	}
	return two
}

// Purpose says in the configuration's words what a selector is for.
func Purpose(s spd.Selector) string {
	kind := s.SrcPort.Value
	switch {
	case s.Proto == spd.ProtoMH && !s.SrcPort.Exact:
		return "mobility"
	case s.Proto == spd.ProtoMH && (kind == 5 || kind == 6):
		return "binding"
	case s.Proto == spd.ProtoMH && (kind == 1 || kind == 3):
		return "home-test"
	case s.Proto == spd.ProtoICMPv6 && s.SrcPort.Exact && (kind == 146 || kind == 147):
		return "prefix"
	case s.Proto == spd.ProtoAny:
		return "payload"
	}
	return "traffic"
}

// Offers are the demands that this host's policies allow of what a peer asks for, the best first: those whose policies
// cover the first selectors, which are of the packet that made the peer ask (RFC 7296 section 2.9), come before those
// that only overlap.
func (m *Image) Offers(r spd.Request) []spd.Demand {
	if len(r.Traffic.Local) == 0 || len(r.Traffic.Remote) == 0 {
		return nil
	}
	var covering, overlapping []spd.Demand
	for _, out := range m.about(spd.Out, r.Traffic.Remote[0].Start, r.Traffic.Local[0].Start) {
		if out.Templates[0].Mode != r.Mode {
			continue
		}
		d := m.demand(out, hostEndpoints(out.Selector))
		allowed := d.Traffic
		d.Traffic.Local = spd.Narrow(r.Traffic.Local, allowed.Local)
		d.Traffic.Remote = spd.Narrow(r.Traffic.Remote, allowed.Remote)
		if len(d.Traffic.Local) == 0 || len(d.Traffic.Remote) == 0 || !d.Local.IsValid() || !d.Remote.IsValid() {
			continue
		}
		d.Peer = r.Peer
		if spd.CoveredBy(r.Traffic.Local[:1], allowed.Local) && spd.CoveredBy(r.Traffic.Remote[:1], allowed.Remote) {
			covering = append(covering, d)
		} else {
			overlapping = append(overlapping, d)
		}
	}
	return append(covering, overlapping...)
}

// hostEndpoints are the SA addresses of a transport mode policy between two hosts.
func hostEndpoints(s spd.Selector) spd.Endpoints {
	if !s.Src.IsSingleIP() || !s.Dst.IsSingleIP() {
		return spd.Endpoints{}
	}
	return spd.Endpoints{Src: s.Src.Addr(), Dst: s.Dst.Addr()}
}

// Tunnels are the tunnel mode policies, in every direction, that are for one host.
func (m *Image) Tunnels(host netip.Addr) (out []spd.Policy) {
	for _, p := range m.hosts[host] {
		if !p.Sub && p.Action == spd.Protect && len(p.Templates) > 0 && p.Templates[0].Mode == spd.Tunnel {
			out = append(out, *p)
		}
	}
	return out
}
