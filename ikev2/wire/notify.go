package wire

import (
	"encoding/binary"

	"mipsecd/internal/cursor"
)

// Notify is the Notify payload (RFC 7296 section 3.10). SPI names the SA that it is about, where it is about one: 4
// octets for ESP and AH. Without an SPI the Protocol means nothing.
type Notify struct {
	Protocol ProtocolID
	SPI      []byte
	Kind     NotifyType
	Data     []byte
}

// Type is PayloadN.
func (*Notify) Type() PayloadType { return PayloadN }

func (p *Notify) decode(body []byte) error {
	r := cursor.Big(body)
	p.Protocol = ProtocolID(r.U8())
	spiSize := int(r.U8())
	p.Kind = NotifyType(r.U16())
	p.SPI = r.Bytes(spiSize)
	p.Data = r.Rest()
	if err := readAll(r, "Protocol ID, SPI Size, Notify Message Type and SPI"); err != nil {
		return err
	}
	if (p.Protocol == ProtocolAH || p.Protocol == ProtocolESP) && spiSize != 0 && spiSize != 4 {
		return unexpected("SPI Size", spiSize, "0 or 4 for %v", p.Protocol)
	}
	return nil
}

func (p *Notify) appendBody(b []byte) []byte {
	b = append(b, uint8(p.Protocol), size8(len(p.SPI)))
	b = binary.BigEndian.AppendUint16(b, uint16(p.Kind))
	return append(append(b, p.SPI...), p.Data...)
}

// Delete is the Delete payload (RFC 7296 section 3.11): the sender's inbound SAs of one protocol, or the IKE_SA itself,
// which has no SPI here.
type Delete struct {
	Protocol ProtocolID
	SPIs     []uint32
}

// Type is PayloadD.
func (*Delete) Type() PayloadType { return PayloadD }

// spiSize is the only SPI Size that RFC 7296 section 3.11 allows.
func (p *Delete) spiSize() uint8 {
	if p.Protocol == ProtocolIKE {
		return 0
	}
	return 4
}

func (p *Delete) decode(body []byte) error {
	r := cursor.Big(body)
	p.Protocol = ProtocolID(r.U8())
	spiSize, count := r.U8(), int(r.U16())
	if err := readAll(r, "Protocol ID, SPI Size and Num of SPIs"); err != nil {
		return err
	}
	if spiSize != p.spiSize() {
		return unexpected("SPI Size", spiSize, "%d for protocol %v", p.spiSize(), p.Protocol)
	}
	if p.Protocol == ProtocolIKE && count != 0 {
		return unexpected("Num of SPIs", count, "0 for IKE")
	}
	if r.Len() != 4*count {
		return unexpected("length of the SPIs", r.Len(), "%d for %d SPIs", 4*count, count)
	}
	if count == 0 {
		return nil
	}
	p.SPIs = make([]uint32, count)
	for i := range p.SPIs {
		p.SPIs[i] = r.U32()
	}
	return nil
}

func (p *Delete) appendBody(b []byte) []byte {
	b = append(b, uint8(p.Protocol), p.spiSize())
	b = binary.BigEndian.AppendUint16(b, size16(len(p.SPIs)))
	for _, spi := range p.SPIs {
		b = binary.BigEndian.AppendUint32(b, spi)
	}
	return b
}
