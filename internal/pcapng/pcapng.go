// Package pcapng writes traces of decrypted IKE and KINK messages that Wireshark reads: a pcapng file (IETF
// draft-ietf-opsawg-pcapng) of exported PDUs (LINKTYPE_WIRESHARK_UPPER_PDU), each with the name of its dissector.
package pcapng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"time"
)

// PDU is one message. An IKE message whose encrypted payload has been opened goes in with the first inner payload as the
// header's next payload and with its length made anew. Of KINK, Wireshark 4.0 knows the header of a draft: from RFC
// 4430's it reads no further than the transaction identifier.
type PDU struct {
	Time      time.Time // from 1970 on; kept to the nanosecond
	Dissector string    // Wireshark's name of the protocol: "isakmp" or "kink"
	Src, Dst  netip.AddrPort
	Data      []byte
	Comment   string // what the agent made of it; may be empty
	Outbound  bool
}

// Writer writes one section with one interface. Its methods are for one goroutine at a time.
type Writer struct{ w io.Writer }

// The blocks and what they hold. Numbers are in network byte order, which the magic number tells.
const (
	sectionHeader        = 0x0a0d0d0a
	interfaceDescription = 1
	enhancedPacket       = 6

	byteOrderMagic = 0x1a2b3c4d
	unknownLength  = math.MaxUint64
	upperPDU       = 252 // link type

	optionEnd         = 0
	optionComment     = 1
	optionPacketFlags = 2 // of an enhanced packet block
	optionResolution  = 9 // of an interface description block
	nanoseconds       = 9 // negative power of ten
	flagInbound       = 1
	flagOutbound      = 2
)

// The tags of an exported PDU, from Wireshark's exported_pdu.h.
const (
	tagEnd       = 0
	tagDissector = 12
	tagTable     = 14
	tagIPv4Src   = 20
	tagIPv4Dst   = 21
	tagIPv6Src   = 22
	tagIPv6Dst   = 23
	tagPortType  = 24
	tagSrcPort   = 25
	tagDstPort   = 26
	tagTableNum  = 32
	portTypeUDP  = 3
	portKINK     = 910
)

// NewWriter begins a file.
func NewWriter(w io.Writer) (*Writer, error) {
	section := binary.BigEndian.AppendUint32(nil, byteOrderMagic)
	section = binary.BigEndian.AppendUint32(section, 1<<16) // version 1.0
	section = binary.BigEndian.AppendUint64(section, unknownLength)
	iface := binary.BigEndian.AppendUint32(nil, upperPDU<<16)
	iface = binary.BigEndian.AppendUint32(iface, 0) // no limit to a packet's length
	iface = appendTLV(iface, optionResolution, []byte{nanoseconds})
	iface = appendTLV(iface, optionEnd, nil)
	if _, err := w.Write(append(block(sectionHeader, section), block(interfaceDescription, iface)...)); err != nil {
		return nil, fmt.Errorf("pcapng: %w", err)
	}
	return &Writer{w}, nil
}

// WritePDU appends one message with a single Write.
func (w *Writer) WritePDU(p PDU) error {
	tags, err := appendTags(nil, p)
	if err != nil {
		return fmt.Errorf("pcapng: %w", err)
	}
	at, flags, length := uint64(p.Time.UnixNano()), uint32(flagInbound), uint32(len(tags)+len(p.Data))
	if p.Outbound {
		flags = flagOutbound
	}
	b := binary.BigEndian.AppendUint32(nil, 0) // the interface
	b = binary.BigEndian.AppendUint32(b, uint32(at>>32))
	b = binary.BigEndian.AppendUint32(b, uint32(at))
	b = binary.BigEndian.AppendUint32(b, length) // captured
	b = binary.BigEndian.AppendUint32(b, length) // original
	b = pad(append(append(b, tags...), p.Data...))
	if p.Comment != "" {
		b = appendTLV(b, optionComment, []byte(p.Comment))
	}
	b = appendTLV(b, optionPacketFlags, binary.BigEndian.AppendUint32(nil, flags))
	b = appendTLV(b, optionEnd, nil)
	if _, err := w.w.Write(block(enhancedPacket, b)); err != nil {
		return fmt.Errorf("pcapng: %w", err)
	}
	return nil
}

// appendTags writes what Wireshark is to know of a PDU.
func appendTags(b []byte, p PDU) ([]byte, error) {
	src, dst := p.Src.Addr().Unmap(), p.Dst.Addr().Unmap()
	switch {
	case p.Time.Unix() < 0:
		return nil, fmt.Errorf("time %s is before 1970", p.Time)
	case p.Dissector == "":
		return nil, errors.New("no dissector")
	case len(p.Comment) > math.MaxUint16:
		return nil, fmt.Errorf("comment of %d octets, at most %d", len(p.Comment), math.MaxUint16)
	case !src.IsValid() || !dst.IsValid() || src.Is4() != dst.Is4():
		return nil, fmt.Errorf("addresses %s and %s: want two of one family", src, dst)
	}
	srcTag, dstTag := uint16(tagIPv6Src), uint16(tagIPv6Dst)
	if src.Is4() {
		srcTag, dstTag = tagIPv4Src, tagIPv4Dst
	}
	if p.Dissector == "kink" { // which Wireshark finds by its port only
		b = appendTLV(b, tagTable, pad([]byte("udp.port")))
		b = appendTLV(b, tagTableNum, binary.BigEndian.AppendUint32(nil, portKINK))
	} else {
		b = appendTLV(b, tagDissector, pad([]byte(p.Dissector))) // the length of a tag counts its padding
	}
	b = appendTLV(b, srcTag, src.AsSlice())
	b = appendTLV(b, dstTag, dst.AsSlice())
	b = appendTLV(b, tagPortType, binary.BigEndian.AppendUint32(nil, portTypeUDP))
	b = appendTLV(b, tagSrcPort, binary.BigEndian.AppendUint32(nil, uint32(p.Src.Port())))
	b = appendTLV(b, tagDstPort, binary.BigEndian.AppendUint32(nil, uint32(p.Dst.Port())))
	return appendTLV(b, tagEnd, nil), nil
}

// appendTLV writes an option or a tag: both are a type, a length, and a value padded to 32 bits.
func appendTLV(b []byte, kind uint16, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...))
}

// block puts a block's type and, at both ends, its length around it.
func block(kind uint32, body []byte) []byte {
	length := uint32(12 + len(body))
	b := binary.BigEndian.AppendUint32(nil, kind)
	b = binary.BigEndian.AppendUint32(b, length)
	return binary.BigEndian.AppendUint32(append(b, body...), length)
}

func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
