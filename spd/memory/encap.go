package memory

import (
	"encoding/binary"
	"net/netip"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// natPort is where ESP is taken out of UDP.
const natPort = 4500

// encapsulate puts an ESP packet of the SA into UDP (RFC 3948 section 2.1), if that is to be.
func (s *sa) encapsulate(p Packet) Packet {
	if s.Encap == (spd.Encap{}) {
		return p
	}
	header := binary.BigEndian.AppendUint16(nil, s.Encap.Src)
	header = binary.BigEndian.AppendUint16(header, s.Encap.Dst)
	header = binary.BigEndian.AppendUint16(header, uint16(8+len(p.Payload)))
	p.Proto, p.Payload = spd.ProtoUDP, append(append(header, 0, 0), p.Payload...)
	return p
}

// decapsulate is the ESP packet in a UDP datagram to port 4500, and the datagram's source port. It is not ok for any other
// packet: IKE there begins with zeros, where ESP has its SPI (RFC 3948 section 2.2).
func decapsulate(p Packet) (esp Packet, from uint16, ok bool) {
	r := cursor.Big(p.Payload)
	from, to := r.U16(), r.U16()
	r.Skip(4)
	esp = Packet{Src: p.Src, Dst: p.Dst, Proto: spd.ESP, Payload: r.Rest()}
	spi := cursor.Big(esp.Payload)
	return esp, from, p.Proto == spd.ProtoUDP && to == natPort && spi.U32() != 0 && spi.Err() == nil
}

// hears reports an authentic packet of an encapsulated SA that comes from elsewhere than is known.
func (k *Kernel) hears(s *sa, from netip.AddrPort) {
	if s.Encap != (spd.Encap{}) && from != netip.AddrPortFrom(s.Endpoints.Src, s.Encap.Src) {
		k.report(spd.Mapping{ID: s.ID(), From: from})
	}
}
