package spd

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// TrafficSelector is one range of a key exchange's TSi or TSr (RFC 7296 section 3.13.1): a protocol (zero is any), an
// inclusive range of ports and an inclusive range of addresses of one family. The ports of Mobility Header are the MH
// type in the high octet, those of ICMPv6 the type in the high and the code in the low octet (RFC 4301 section 4.4.1.1,
// RFC 4877 section 7.2). OPAQUE ports are 65535-0.
type TrafficSelector struct {
	Proto              uint8
	PortStart, PortEnd uint16
	Start, End         netip.Addr
}

// Traffic is the selectors of one Child SA, as this host sees them. The initiator's Local is its TSi.
type Traffic struct {
	Local, Remote []TrafficSelector
}

// NewTraffic makes the traffic selectors of a pair of policies: what out lets this host send, what in lets it receive
// (RFC 4301 section 4.4.1.3 B). With typed protocols the two sides have types of their own: BU out, BA in.
func NewTraffic(out, in Selector) Traffic {
	local, remote := prefixSelector(out.Src, out.Proto), prefixSelector(out.Dst, out.Proto)
	if out.Typed() {
		local.PortStart, local.PortEnd = typeRange(out)
		remote.PortStart, remote.PortEnd = typeRange(in)
	} else {
		local.PortStart, local.PortEnd = portRange(out.SrcPort)
		remote.PortStart, remote.PortEnd = portRange(out.DstPort)
	}
	return Traffic{Local: []TrafficSelector{local}, Remote: []TrafficSelector{remote}}
}

func prefixSelector(p netip.Prefix, proto uint8) TrafficSelector {
	t := PrefixRange(p)
	t.Proto = proto
	return t
}

// PrefixRange selects all traffic of the addresses under a prefix.
func PrefixRange(p netip.Prefix) TrafficSelector {
	return TrafficSelector{PortEnd: 65535, Start: p.Masked().Addr(), End: lastAddr(p)}
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

func portRange(p Port) (start, end uint16) {
	if p.Exact {
		return p.Value, p.Value
	}
	return 0, 65535
}

func typeRange(s Selector) (start, end uint16) {
	switch {
	case !s.SrcPort.Exact:
		return 0, 65535
	case s.Proto == ProtoMH:
		return s.SrcPort.Value << 8, s.SrcPort.Value << 8
	case s.DstPort.Exact:
		v := s.SrcPort.Value<<8 | s.DstPort.Value&0xff
		return v, v
	}
	return s.SrcPort.Value << 8, s.SrcPort.Value<<8 | 0xff
}

// Contains reports whether t covers all of other.
func (t TrafficSelector) Contains(other TrafficSelector) bool {
	got, ok := t.Intersect(other)
	return ok && got == other
}

// Intersect is what both cover. Two OPAQUE selectors have an OPAQUE intersection.
func (t TrafficSelector) Intersect(other TrafficSelector) (TrafficSelector, bool) {
	if t.Start.Is4() != other.Start.Is4() {
		return TrafficSelector{}, false
	}
	both := TrafficSelector{
		Proto: t.Proto, PortStart: max(t.PortStart, other.PortStart), PortEnd: min(t.PortEnd, other.PortEnd),
		Start: maxAddr(t.Start, other.Start), End: minAddr(t.End, other.End),
	}
	if t.Proto == ProtoAny {
		both.Proto = other.Proto
	} else if other.Proto != ProtoAny && other.Proto != t.Proto {
		return TrafficSelector{}, false
	}
	if t.opaque() || other.opaque() {
		if t.anyPort() && other.opaque() || other.anyPort() && t.opaque() || t.opaque() && other.opaque() {
			both.PortStart, both.PortEnd = 65535, 0
		} else {
			return TrafficSelector{}, false
		}
	} else if both.PortStart > both.PortEnd {
		return TrafficSelector{}, false
	}
	return both, both.Start.Compare(both.End) <= 0
}

func (t TrafficSelector) opaque() bool  { return t.PortStart == 65535 && t.PortEnd == 0 }
func (t TrafficSelector) anyPort() bool { return t.PortStart == 0 && t.PortEnd == 65535 }

func minAddr(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return a
	}
	return b
}

func maxAddr(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

// Narrow is what is in both sets, in the order of offered, without selectors that another one of the result contains
// (RFC 7296 section 2.9).
func Narrow(offered, allowed []TrafficSelector) []TrafficSelector {
	var both []TrafficSelector
	for _, o := range offered {
		for _, a := range allowed {
			if t, ok := o.Intersect(a); ok {
				both = Union(both, t)
			}
		}
	}
	return both
}

// Union adds to a set, which it takes over, the selectors that none of it contains; those that they contain go.
func Union(all []TrafficSelector, more ...TrafficSelector) []TrafficSelector {
	for _, t := range more {
		if !CoveredBy([]TrafficSelector{t}, all) {
			all = append(slices.DeleteFunc(all, t.Contains), t)
		}
	}
	return all
}

// CoveredBy reports whether each selector of inner lies within one of outer.
func CoveredBy(inner, outer []TrafficSelector) bool {
	for _, i := range inner {
		if !slices.ContainsFunc(outer, func(o TrafficSelector) bool { return o.Contains(i) }) {
			return false
		}
	}
	return true
}

// Compare orders selectors, for sorting.
func (t TrafficSelector) Compare(other TrafficSelector) int {
	return cmp.Or(t.Start.Compare(other.Start), t.End.Compare(other.End), cmp.Compare(t.Proto, other.Proto),
		cmp.Compare(t.PortStart, other.PortStart), cmp.Compare(t.PortEnd, other.PortEnd))
}

// String reads like "2001:db8::1 mh 0x0500".
func (t TrafficSelector) String() string {
	out := t.Start.String()
	if t.Start != t.End {
		out += "-" + t.End.String()
	}
	out += " " + ProtoName(t.Proto)
	switch {
	case t.opaque():
		return out + " opaque"
	case t.anyPort():
		return out
	}
	format := "%d"
	if t.Proto == ProtoMH || t.Proto == ProtoICMPv6 {
		format = "0x%04x"
	}
	out += fmt.Sprintf(" "+format, t.PortStart)
	if t.PortEnd != t.PortStart {
		out += fmt.Sprintf("-"+format, t.PortEnd)
	}
	return out
}
