package image

import (
	"fmt"
	"net/netip"
	"slices"

	"mipsecd/spd"
)

// Wanted is the demand of an ACQUIRE: for the policy that it names and the inbound policy that goes with it. The Peer is
// left to the caller. It fails where the kernel could not tell the policy, or that wants what no key exchange makes here.
func (m *Image) Wanted(a spd.Acquire) (spd.Demand, error) {
	switch t := a.Template; {
	case !a.Selector.Src.IsValid() || !a.Selector.Dst.IsValid():
		return spd.Demand{}, fmt.Errorf("ACQUIRE %d from %s: the policy is not there any more", a.Seq, a.Endpoints)
	case t.Proto != spd.ESP || t.Mode != spd.Transport && t.Mode != spd.Tunnel:
		return spd.Demand{}, fmt.Errorf("ACQUIRE %d for %s: wants %s; only ESP in transport or tunnel mode is keyed",
			a.Seq, a.Selector, t)
	}
	d := m.demand(a.Selector, a.Template)
	d.Acquire = a.Seq
	d.First = firstOf(a.Flow, d.Traffic)
	if d.Mode == spd.Transport && !between(&d, host(a.Endpoints.Src), host(a.Endpoints.Dst)) {
		return d, fmt.Errorf("ACQUIRE %d for %s: an SA from %s does not serve that", a.Seq, a.Selector, a.Endpoints)
	}
	return d, nil
}

// firstOf is what a packet has of the traffic. Of what will be answered to a typed message only the peer knows the type.
func firstOf(flow spd.Selector, of spd.Traffic) spd.Traffic {
	if !flow.Src.IsValid() {
		return spd.Traffic{}
	}
	packet := spd.NewTraffic(flow, flow)
	if flow.Typed() {
		packet.Remote[0].PortStart, packet.Remote[0].PortEnd = 0, 65535
	}
	local, remote := spd.Narrow(packet.Local, of.Local), spd.Narrow(packet.Remote, of.Remote)
	if len(local) != 1 || len(remote) != 1 {
		return spd.Traffic{}
	}
	return spd.Traffic{Local: local, Remote: remote}
}

// demand is for all that an outbound policy protects with one of its templates, and what others do with the same SAs. In
// transport mode the addresses of the SAs are left open.
func (m *Image) demand(out spd.Selector, t spd.Template) spd.Demand {
	_, back := m.inbound(out, t)
	d := spd.Demand{
		Name: purpose(out), Mode: t.Mode,
		Local: t.Endpoints.Src, Remote: t.Endpoints.Dst, ReqidOut: t.Reqid, ReqidIn: back.Reqid,
	}
	for _, out := range m.together(out, t) {
		in, _ := m.inbound(out, t)
		one := spd.NewTraffic(out, in)
		d.Traffic.Local = spd.Union(d.Traffic.Local, one.Local...)
		d.Traffic.Remote = spd.Union(d.Traffic.Remote, one.Remote...)
	}
	return d
}

// inbound finds the inbound policy that goes with an outbound one: its mirror image, else the first that lets in what the
// mirror image would. A mirror image need not have the endpoints of the outbound policy: while a mobile node moves one of
// the two is moved first. Without an inbound policy it is as if the mirror image were there.
func (m *Image) inbound(out spd.Selector, t spd.Template) (spd.Selector, spd.Template) {
	in := mirrored(out)
	if p := m.policies.byKey[spd.PolicyKey{Selector: in, Dir: spd.In}]; p != nil && alike(p.Templates[0], t) {
		return in, p.Templates[0]
	}
	for _, p := range m.policies.about(spd.In, hosts(in)) {
		if back := p.Templates[0]; p.Selector.Contains(in) && alike(back, t) && back.Endpoints == t.Endpoints.Reverse() {
			return p.Selector, back
		}
	}
	return in, t
}

func alike(a, b spd.Template) bool { return a.Mode == b.Mode && a.Proto == b.Proto }

// Offers are the demands that this host's policies allow of what a peer asks for, the best first: those whose policies
// cover the first selectors, which are of the packet that made the peer ask (RFC 7296 section 2.9), come before those
// that only overlap. Without any the error is spd.ErrSinglePair if the peer is to ask for a pair of addresses.
func (m *Image) Offers(r spd.Request) (offers []spd.Demand, err error) {
	if len(r.Traffic.Local) == 0 || len(r.Traffic.Remote) == 0 {
		return nil, nil
	}
	first := spd.Traffic{Local: r.Traffic.Local[:1], Remote: r.Traffic.Remote[:1]}
	var covering, overlapping []spd.Demand
	for _, p := range m.policies.about(spd.Out, hostsOf(first)) {
		t := p.Templates[0]
		if t.Proto != spd.ESP || t.Mode != r.Mode {
			continue
		}
		d := m.demand(p.Selector, t)
		covers := spd.CoveredBy(first.Local, d.Traffic.Local) && spd.CoveredBy(first.Remote, d.Traffic.Remote)
		if !narrow(&d, r.Traffic) {
			continue
		}
		if local, remote := d.Traffic.Local[0], d.Traffic.Remote[0]; d.Mode == spd.Transport && !between(&d, local, remote) {
			err = spd.ErrSinglePair
			continue
		}
		d.Peer = r.Peer
		if covers {
			covering = append(covering, d)
		} else {
			overlapping = append(overlapping, d)
		}
	}
	if offers = append(covering, overlapping...); len(offers) > 0 {
		err = nil
	}
	return offers, err
}

// hostsOf are the single addresses that traffic is between.
func hostsOf(t spd.Traffic) (hosts []netip.Addr) {
	for _, ts := range slices.Concat(t.Local, t.Remote) {
		if ts.Start == ts.End {
			hosts = append(hosts, ts.Start)
		}
	}
	return hosts
}

// narrow takes a demand's traffic down to what is within limits, or reports that nothing is.
func narrow(d *spd.Demand, limits spd.Traffic) bool {
	d.Traffic.Local = spd.Narrow(limits.Local, d.Traffic.Local)
	d.Traffic.Remote = spd.Narrow(limits.Remote, d.Traffic.Remote)
	return len(d.Traffic.Local) > 0 && len(d.Traffic.Remote) > 0
}

// between gives a demand in transport mode the addresses of its SAs and takes its traffic down to what is between them;
// it reports whether they are two hosts with such traffic.
func between(d *spd.Demand, local, remote spd.TrafficSelector) bool {
	if local.Start != local.End || remote.Start != remote.End {
		return false
	}
	d.Local, d.Remote = local.Start, remote.Start
	return narrow(d, spd.Traffic{Local: []spd.TrafficSelector{host(d.Local)}, Remote: []spd.TrafficSelector{host(d.Remote)}})
}

// host selects all traffic of one address.
func host(a netip.Addr) spd.TrafficSelector {
	return spd.TrafficSelector{PortEnd: 65535, Start: a, End: a}
}
