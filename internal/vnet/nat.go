package vnet

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// NAT translates the source addresses and ports of UDP datagrams that leave its inside for one address of its own, and
// the destinations of the answers back (RFC 3022 section 2.2). Other packets do not pass.
type NAT struct {
	outside  netip.Addr
	nextPort uint16
	ports    map[netip.AddrPort]uint16 // the mapping of each inside address and port
	insides  map[uint16]netip.AddrPort
}

// firstMapped is the first port that a NAT gives.
const firstMapped = 20000

// NewNAT makes a NAT with this address outside.
func NewNAT(outside netip.Addr) *NAT {
	n := &NAT{outside: outside, nextPort: firstMapped}
	n.Rebind(outside)
	return n
}

// Forward maps a port of the outside address to a host inside, for as long as there is no Rebind.
func (n *NAT) Forward(port uint16, to netip.AddrPort) { n.ports[to], n.insides[port] = port, to }

// Rebind forgets all mappings, as a NAT does that is restarted, and may take another outside address. Ports that were
// given before are not given again.
func (n *NAT) Rebind(outside netip.Addr) {
	n.outside, n.ports, n.insides = outside, map[netip.AddrPort]uint16{}, map[uint16]netip.AddrPort{}
}

// Out is what leaves for an address and port inside.
func (n *NAT) Out(from netip.AddrPort) netip.AddrPort {
	port, known := n.ports[from]
	if !known {
		port = n.nextPort
		n.nextPort++
		n.Forward(port, from)
	}
	return netip.AddrPortFrom(n.outside, port)
}

// In is where what arrives at an address and port of the outside goes; not ok if nowhere.
func (n *NAT) In(to netip.AddrPort) (inside netip.AddrPort, ok bool) {
	inside, ok = n.insides[to.Port()]
	return inside, ok && to.Addr() == n.outside
}

// BehindNAT puts a NAT, with its address on another link, between this link and all others.
func (l *Link) BehindNAT(nat *NAT, outside *Link) {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	l.nat, l.outside = nat, outside
	l.network.nats[nat.outside] = l
}

// RebindNAT has the link's NAT forget its mappings, and take another outside address if this is one.
func (l *Link) RebindNAT(outside netip.Addr) {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	delete(l.network.nats, l.nat.outside)
	l.nat.Rebind(outside)
	l.network.nats[outside] = l
}

// outward translates a packet that leaves; not ok if it does not pass.
func (n *NAT) outward(p Packet) (Packet, bool) {
	src, _, _, ok := parseUDP(p.Payload)
	if p.Proto != protoUDP || !ok {
		return p, false
	}
	from := n.Out(netip.AddrPortFrom(p.Src, src))
	p.Src, p.Payload = from.Addr(), slices.Clone(p.Payload)
	binary.BigEndian.PutUint16(p.Payload, from.Port())
	return p, true
}

// inward translates a packet that arrives; not ok if it does not pass.
func (n *NAT) inward(p Packet) (Packet, bool) {
	_, dst, _, ok := parseUDP(p.Payload)
	if p.Proto != protoUDP || !ok {
		return p, false
	}
	to, ok := n.In(netip.AddrPortFrom(p.Dst, dst))
	if !ok {
		return p, false
	}
	p.Dst, p.Payload = to.Addr(), slices.Clone(p.Payload)
	binary.BigEndian.PutUint16(p.Payload[2:], to.Port())
	return p, true
}
