package spd

import (
	"fmt"
	"net/netip"
	"strconv"
)

// Upper-layer protocol numbers that selectors treat specially.
const (
	ProtoAny    uint8 = 0
	ProtoTCP    uint8 = 6
	ProtoUDP    uint8 = 17
	ProtoICMPv6 uint8 = 58
	ProtoMH     uint8 = 135
)

// Port is one port condition of a Selector: an exact value, or any. The zero Port matches any port.
type Port struct {
	Value uint16
	Exact bool
}

// ExactPort matches one value only. Zero is a value too: MH type 0 is a Binding Refresh Request.
func ExactPort(v uint16) Port { return Port{Value: v, Exact: true} }

// Matches reports whether v satisfies the condition.
func (p Port) Matches(v uint16) bool { return !p.Exact || p.Value == v }

func (p Port) String() string {
	if !p.Exact {
		return "any"
	}
	return strconv.Itoa(int(p.Value))
}

// Selector says which packets a policy is for, as the kernel's flow look-up sees them: for Mobility Header the source
// port is the MH type, for ICMPv6 the source port is the type and the destination port the code (RFC 4877 section 4.3).
type Selector struct {
	Src, Dst         netip.Prefix
	Proto            uint8 // upper-layer protocol; ProtoAny matches all
	SrcPort, DstPort Port
}

// MH selects Mobility Header messages of one type from src to dst.
func MH(src, dst netip.Prefix, mhType uint8) Selector {
	return Selector{Src: src, Dst: dst, Proto: ProtoMH, SrcPort: ExactPort(uint16(mhType))}
}

// Typed reports whether the ports of s are a message type (and code) instead of ports.
func (s Selector) Typed() bool { return s.Proto == ProtoMH || s.Proto == ProtoICMPv6 }

// Contains reports whether every packet that other selects is selected by s too.
func (s Selector) Contains(other Selector) bool {
	return containsPrefix(s.Src, other.Src) && containsPrefix(s.Dst, other.Dst) &&
		(s.Proto == ProtoAny || s.Proto == other.Proto) &&
		containsPort(s.SrcPort, other.SrcPort) && containsPort(s.DstPort, other.DstPort)
}

func containsPrefix(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

func containsPort(outer, inner Port) bool {
	return !outer.Exact || inner.Exact && inner.Value == outer.Value
}

// Host is the prefix that holds exactly one address.
func Host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

var protoNames = map[uint8]string{ProtoAny: "any", ProtoTCP: "tcp", ProtoUDP: "udp", ProtoICMPv6: "icmpv6", ProtoMH: "mh"}

// ProtoName is the name of an upper-layer protocol, or its number.
func ProtoName(p uint8) string {
	if n, ok := protoNames[p]; ok {
		return n
	}
	return strconv.Itoa(int(p))
}

// String reads like "2001:db8::1/128 -> ::/0 mh type 5".
func (s Selector) String() string {
	out := fmt.Sprintf("%s -> %s %s", s.Src, s.Dst, ProtoName(s.Proto))
	switch {
	case s.Typed() && s.SrcPort.Exact:
		out += " type " + s.SrcPort.String()
		if s.DstPort.Exact {
			out += " code " + s.DstPort.String()
		}
	case !s.Typed() && (s.SrcPort.Exact || s.DstPort.Exact):
		out += fmt.Sprintf(" port %s -> %s", s.SrcPort, s.DstPort)
	}
	return out
}
