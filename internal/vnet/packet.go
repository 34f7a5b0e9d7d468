package vnet

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// Packet is an IP packet on its way.
type Packet struct {
	Src, Dst netip.Addr
	Proto    uint8  // next header
	Payload  []byte // from the next header on
}

// Send sends a packet from one of the node's addresses. The error wraps syscall.EADDRNOTAVAIL when Src is not one. A
// packet to an address that nobody has, when it leaves or when it arrives, vanishes.
func (nd *Node) Send(p Packet) error {
	p.Payload = slices.Clone(p.Payload)
	n := nd.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isClosed() {
		return net.ErrClosed
	}
	from := nd.links[p.Src]
	if from == nil {
		return fmt.Errorf("%s sends from %s: %w", nd, p.Src, syscall.EADDRNOTAVAIL)
	}
	to := n.linkOf(p.Dst)
	switch {
	case to == nil || to != from && (from.cut || to.cut || to.nat != nil):
		return nil
	case to == from:
		n.dispatch(p, from)
		return nil
	}
	if from.nat != nil {
		var ok bool
		if p, ok = from.nat.outward(p); !ok {
			return nil
		}
	}
	n.dispatch(p, from, to)
	return nil
}

// linkOf finds the link where an address is, or nil.
func (n *Network) linkOf(a netip.Addr) *Link {
	if inside := n.nats[a]; inside != nil {
		return inside.outside
	}
	if owner := n.owners[a]; owner != nil {
		return owner.links[a]
	}
	return nil
}

// Handle sets who gets the packets to the node that are for none of its UDP sockets. The handler runs on the network's
// goroutine: it may send, and must not block.
func (nd *Node) Handle(handler func(Packet)) {
	nd.network.mu.Lock()
	defer nd.network.mu.Unlock()
	nd.handler = handler
}

// The UDP header (RFC 768) without its checksum: nothing damages packets here.
const (
	protoUDP  = 17
	udpHeader = 8
)

func appendUDP(srcPort, dstPort uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, srcPort)
	b = binary.BigEndian.AppendUint16(b, dstPort)
	b = binary.BigEndian.AppendUint16(b, uint16(udpHeader+len(data)))
	return append(append(b, 0, 0), data...)
}

func parseUDP(b []byte) (srcPort, dstPort uint16, data []byte, ok bool) {
	if len(b) < udpHeader || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
		return 0, 0, nil, false
	}
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[udpHeader:], true
}
