package memory

import (
	"fmt"
	"net/netip"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// Packet is one IPv6 packet.
type Packet struct {
	Src, Dst netip.Addr
	Proto    uint8  // next header: an upper-layer protocol, ESP, AH or a Mobile IPv6 header
	Payload  []byte // from that header on
}

func (p Packet) String() string {
	return fmt.Sprintf("%s -> %s %s, %d octets", p.Src, p.Dst, spd.ProtoName(p.Proto), len(p.Payload))
}

// selects reports whether a policy or an SA with this selector is for the packet.
func selects(s spd.Selector, p Packet) bool {
	src, dst := p.ports()
	return s.Src.Contains(p.Src) && s.Dst.Contains(p.Dst) && (s.Proto == spd.ProtoAny || s.Proto == p.Proto) &&
		s.SrcPort.Matches(src) && s.DstPort.Matches(dst)
}

// ports are what selectors compare: ports, or a type and a code. They are zero where the packet has none.
func (p Packet) ports() (src, dst uint16) {
	r := cursor.Big(p.Payload)
	switch p.Proto {
	case spd.ProtoTCP, spd.ProtoUDP:
		src, dst = r.U16(), r.U16()
	case spd.ProtoICMPv6:
		src, dst = uint16(r.U8()), uint16(r.U8())
	case spd.ProtoMH:
		r.Skip(2) // payload protocol and header length: RFC 6275 section 6.1.1
		src = uint16(r.U8())
	}
	return src, dst
}

// flow selects what is like the packet.
func (p Packet) flow() spd.Selector {
	s := spd.Selector{Src: spd.Host(p.Src), Dst: spd.Host(p.Dst), Proto: p.Proto}
	src, dst := p.ports()
	switch p.Proto {
	case spd.ProtoMH:
		s.SrcPort = spd.ExactPort(src)
	case spd.ProtoTCP, spd.ProtoUDP, spd.ProtoICMPv6:
		s.SrcPort, s.DstPort = spd.ExactPort(src), spd.ExactPort(dst)
	}
	return s
}

const hopLimit = 64

// append writes the packet as it is on the wire (RFC 8200 section 3).
func (p Packet) append(b []byte) []byte {
	src, dst := p.Src.As16(), p.Dst.As16()
	b = append(b, 0x60, 0, 0, 0, byte(len(p.Payload)>>8), byte(len(p.Payload)), p.Proto, hopLimit)
	b = append(append(b, src[:]...), dst[:]...)
	return append(b, p.Payload...)
}

func parsePacket(b []byte) (Packet, error) {
	r := cursor.Big(b)
	version, length, proto := r.U32()>>28, int(r.U16()), r.U8()
	r.Skip(1)
	src, _ := netip.AddrFromSlice(r.Bytes(16))
	dst, _ := netip.AddrFromSlice(r.Bytes(16))
	p := Packet{Src: src, Dst: dst, Proto: proto, Payload: r.Bytes(length)}
	switch {
	case r.Err() != nil:
		return Packet{}, fmt.Errorf("inner packet: %w", r.Err())
	case version != 6:
		return Packet{}, fmt.Errorf("inner packet: version %d, want 6", version)
	case r.Len() != 0:
		return Packet{}, fmt.Errorf("inner packet: %d octets after its end", r.Len())
	}
	return p, nil
}
