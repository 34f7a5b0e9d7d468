package ikev2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// configuration is the Configuration payload as the initiator of an IKE_SA uses it: it asks for what its peer is to assign,
// beside the first Child SA (RFC 7296 section 2.19). The responder's part has to wait for its role; see configure.
type configuration struct{ silent }

func (configuration) offerAuth(e *Engine, sa *ikeSA) []wire.Payload { return e.wish(sa.peer) }

func (configuration) authAnswered(e *Engine, sa *ikeSA, response []wire.Payload) {
	e.wishAnswered(sa.peer, response)
}

// wish asks a peer for addresses. Those that it assigned before are the best ones (RFC 7296 section 3.15.1).
func (e *Engine) wish(peer *Peer) []wire.Payload {
	w := peer.Wish
	if w == nil {
		return nil
	}
	p := &wire.CP{Kind: wire.CFGRequest}
	had := e.assigned[peer.Name]
	for i, a := range w.Addresses {
		var wished netip.Prefix
		switch {
		case i < len(had):
			wished = had[i]
		case a.IsValid():
			wished = netip.PrefixFrom(a, a.BitLen())
		}
		p.Attributes = append(p.Attributes, wire.PrefixAttribute(wire.InternalIP6Address, wished))
	}
	if w.HomePrefix {
		p.Attributes = append(p.Attributes, wire.CPAttribute{Type: wire.MIP6HomePrefix})
	}
	if w.DNS {
		p.Attributes = append(p.Attributes, wire.CPAttribute{Type: wire.InternalIP6DNS})
	}
	return []wire.Payload{p}
}

// wishAnswered tells the role what a peer has assigned. That it assigns no address, although one was asked for, is an error
// (RFC 7296 section 3.15.4). Who asks only for the home prefix may be assigned an address in place of it (RFC 5026 section
// 5.3.2).
func (e *Engine) wishAnswered(peer *Peer, response []wire.Payload) {
	w := peer.Wish
	if w == nil {
		return
	}
	n := spd.Assigned{Peer: peer.Name}
	if p := configurationIn(response, wire.CFGReply); p != nil {
		n.Assignment = assignment(p)
	}
	most := len(w.Addresses)
	if most == 0 && wire.FindNotify(response, wire.NotifyUseAssignedHoA) != nil {
		most = 1
	}
	if len(n.Addresses) > most { // a responder must not send more than were requested
		n.Addresses = n.Addresses[:most]
	}
	if len(n.Addresses) == 0 && (len(w.Addresses) > 0 || w.HomePrefix && !n.HomePrefix.IsValid()) {
		if n.Err = errorIn(response); n.Err == nil {
			n.Err = errors.New("the peer has assigned no address")
		}
	}
	e.assigned[peer.Name] = n.Addresses
	e.notify(n)
}

// assignment is what a CFG_REPLY tells that can be used.
func assignment(p *wire.CP) (a spd.Assignment) {
	for _, prefix := range p.Prefixes(wire.InternalIP6Address) {
		if prefix.IsValid() && prefix.Addr().IsGlobalUnicast() {
			a.Addresses = append(a.Addresses, prefix)
		}
	}
	for _, prefix := range p.Prefixes(wire.MIP6HomePrefix) {
		a.HomePrefix = prefix.Masked()
	}
	for _, server := range p.Addrs(wire.InternalIP6DNS) {
		if server.IsValid() {
			a.DNS = append(a.DNS, server)
		}
	}
	return a
}

// configurationIn is the first Configuration payload of a kind, or nil.
func configurationIn(ps []wire.Payload, kind wire.CPKind) *wire.CP {
	for _, p := range ps {
		if cp, ok := p.(*wire.CP); ok && cp.Kind == kind {
			return cp
		}
	}
	return nil
}

// toAssigned gives a demand that left it to the peer the address to which this has narrowed our side, if it has assigned
// that.
func (e *Engine) toAssigned(d *spd.Demand, narrowed []spd.TrafficSelector) error {
	first := narrowed[0].Start
	other := func(t spd.TrafficSelector) bool { return t.Start != first || t.End != first }
	same := func(p netip.Prefix) bool { return p.Addr() == first }
	if slices.ContainsFunc(narrowed, other) || !slices.ContainsFunc(e.assigned[d.Peer], same) {
		return fmt.Errorf("the peer narrows our side to %v, which is no address that it has assigned", narrowed)
	}
	d.Unassigned = false
	if d.Mode == spd.Transport {
		d.Local = first
	}
	return nil
}

// configure answers a CFG_REQUEST, if there is one, once the role has said what the peer is assigned. The reply goes before
// the SA payload; an error is told instead of a Child SA (RFC 7296 sections 2.19 and 3.15.4).
func (e *Engine) configure(sa *ikeSA, ps []wire.Payload, then func(reply []wire.Payload, err error)) {
	asked := configurationIn(ps, wire.CFGRequest)
	if asked == nil {
		then(nil, nil)
		return
	}
	w := spd.Wish{HomePrefix: asked.Has(wire.MIP6HomePrefix), DNS: asked.Has(wire.InternalIP6DNS)}
	for _, p := range asked.Prefixes(wire.InternalIP6Address) {
		w.Addresses = append(w.Addresses, p.Addr())
	}
	if len(w.Addresses) == 0 && !w.HomePrefix && !w.DNS {
		then(e.configurationReply(asked, spd.Assignment{}), nil)
		return
	}
	r := spd.AddressRequest{Request: e.nextID(), Peer: sa.peer.Name, Wish: w, Anew: sa.established}
	e.wishes[r.Request] = func(g spd.AddressGrant) {
		switch {
		case sa.gone != nil:
		case g.Err != nil:
			then(nil, refuse(wire.NotifyInternalAddressFailure, "3.15.4", "%w", g.Err))
		default:
			then(e.configurationReply(asked, g.Assignment), nil)
		}
	}
	e.notify(r)
}

// supportedAttributes are those that a request can ask for.
var supportedAttributes = []wire.CPAttributeType{
	wire.ApplicationVersion, wire.InternalIP6Address, wire.InternalIP6DNS, wire.SupportedAttributes, wire.MIP6HomePrefix,
}

// homePrefixLifetime says that the home prefix is for ever: it is in the configuration.
const homePrefixLifetime = 1<<32 - 1

// configurationReply is the CFG_REPLY with what was asked for, as far as there is something to tell. A mobile node that
// asks for the home prefix, to make a home address of its own, is told to use the one that is assigned (RFC 5026 section
// 5.3.2).
func (e *Engine) configurationReply(asked *wire.CP, a spd.Assignment) []wire.Payload {
	p := &wire.CP{Kind: wire.CFGReply}
	add := func(a ...wire.CPAttribute) { p.Attributes = append(p.Attributes, a...) }
	for _, prefix := range a.Addresses {
		add(wire.PrefixAttribute(wire.InternalIP6Address, prefix))
	}
	if asked.Has(wire.InternalIP6DNS) {
		for _, server := range a.DNS {
			add(wire.AddrAttribute(wire.InternalIP6DNS, server))
		}
	}
	wantsPrefix := asked.Has(wire.MIP6HomePrefix)
	if wantsPrefix && a.HomePrefix.IsValid() {
		add(wire.HomePrefixAttribute(a.HomePrefix, homePrefixLifetime))
	}
	if asked.Has(wire.ApplicationVersion) {
		add(wire.CPAttribute{Type: wire.ApplicationVersion, Value: []byte(applicationVersion)})
	}
	if asked.Has(wire.SupportedAttributes) {
		var list []byte
		for _, t := range supportedAttributes {
			list = binary.BigEndian.AppendUint16(list, uint16(t))
		}
		add(wire.CPAttribute{Type: wire.SupportedAttributes, Value: list})
	}
	reply := []wire.Payload{p}
	if wantsPrefix && len(a.Addresses) > 0 {
		reply = append(reply, &wire.Notify{Kind: wire.NotifyUseAssignedHoA})
	}
	return reply
}

// applicationVersion is what a peer is told that asks what runs here (RFC 7296 section 2.20): no version that would tell
// which faults it has.
const applicationVersion = "mipsecd"
