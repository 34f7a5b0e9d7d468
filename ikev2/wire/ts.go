package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// MaxSelectors bounds the traffic selectors of a payload, because narrowing compares each with each. A mobile router
// with a selector for each of its prefixes stays far below.
const MaxSelectors = 64

// TS is the Traffic Selector payload (RFC 7296 section 3.13): TSi, the initiator's end of the SA, or TSr.
type TS struct {
	Initiator bool
	Selectors []spd.TrafficSelector // all IPv4 or IPv6; when sent, at least one
	Skipped   bool                  // selectors of unknown types were left out
}

// Traffic selector types.
const (
	tsIPv4AddrRange = 7
	tsIPv6AddrRange = 8
)

// Type is PayloadTSi or PayloadTSr.
func (p *TS) Type() PayloadType {
	if p.Initiator {
		return PayloadTSi
	}
	return PayloadTSr
}

func (p *TS) decode(body []byte) error {
	r := cursor.Big(body)
	count := int(r.U8())
	r.Skip(3)
	if err := readAll(r, "Number of TSs"); err != nil {
		return err
	}
	if count < 1 || count > MaxSelectors {
		return unexpected("Number of TSs", count, "1 to %d", MaxSelectors)
	}
	p.Selectors = make([]spd.TrafficSelector, 0, min(count, r.Len()/16))
	for i := range count {
		if err := p.decodeSelector(r); err != nil {
			return fmt.Errorf("selector %d: %w", i+1, err)
		}
	}
	if r.Len() > 0 {
		return unexpected("octets after the last selector", r.Len(), "none")
	}
	return nil
}

func (p *TS) decodeSelector(r *cursor.Reader) error {
	kind, proto, length := r.U8(), r.U8(), int(r.U16())
	if err := readAll(r, "Selector Length"); err != nil {
		return err
	}
	if length < 4 || length-4 > r.Len() {
		return unexpected("Selector Length", length, "4 to %d", 4+r.Len())
	}
	addrLen := 4
	switch kind {
	case tsIPv4AddrRange:
	case tsIPv6AddrRange:
		addrLen = 16
	default:
		r.Skip(length - 4)
		p.Skipped = true
		return nil
	}
	if length != 8+2*addrLen {
		return unexpected("Selector Length", length, "%d for TS Type %d", 8+2*addrLen, kind)
	}
	s := spd.TrafficSelector{Proto: proto, PortStart: r.U16(), PortEnd: r.U16()}
	s.Start, _ = netip.AddrFromSlice(r.Bytes(addrLen))
	s.End, _ = netip.AddrFromSlice(r.Bytes(addrLen))
	if s.End.Less(s.Start) {
		return unexpected("Ending Address", s.End, "not below Starting Address %v", s.Start)
	}
	// A start above the end has a meaning only as OPAQUE.
	if s.PortStart > s.PortEnd && (s.PortStart != 65535 || s.PortEnd != 0) {
		return unexpected("End Port", s.PortEnd, "not below Start Port %d", s.PortStart)
	}
	p.Selectors = append(p.Selectors, s)
	return nil
}

func (p *TS) appendBody(b []byte) []byte {
	b = append(b, size8(len(p.Selectors)), 0, 0, 0)
	for _, s := range p.Selectors {
		kind := uint8(tsIPv6AddrRange)
		if s.Start.Is4() {
			kind = tsIPv4AddrRange
		}
		start := len(b)
		b = append(b, kind, s.Proto, 0, 0)
		b = binary.BigEndian.AppendUint16(b, s.PortStart)
		b = binary.BigEndian.AppendUint16(b, s.PortEnd)
		b = append(append(b, s.Start.AsSlice()...), s.End.AsSlice()...)
		putLength(b, start)
	}
	return b
}
