package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"mipsecd/internal/cursor"
)

// MaxAttributes bounds the attributes of a Configuration payload. Split DNS (RFC 8598) brings one for each domain, so
// there can be many; each is eight times as large here as on the wire.
const MaxAttributes = 512

// CP is the Configuration payload (RFC 7296 section 3.15).
type CP struct {
	Kind       CPKind
	Attributes []CPAttribute
}

// CPAttribute is one configuration attribute (RFC 7296 section 3.15.1). An empty value asks for one, or acknowledges
// it.
type CPAttribute struct {
	Type  CPAttributeType // 15 bits
	Value []byte
}

// AddrAttribute is an attribute with an address, such as INTERNAL_IP6_DNS. The zero Addr asks for one.
func AddrAttribute(t CPAttributeType, a netip.Addr) CPAttribute {
	return CPAttribute{Type: t, Value: a.AsSlice()}
}

// PrefixAttribute is INTERNAL_IP6_ADDRESS or INTERNAL_IP6_SUBNET: an IPv6 address and the length of its link's prefix.
// The zero Prefix asks for one.
func PrefixAttribute(t CPAttributeType, p netip.Prefix) CPAttribute {
	if !p.IsValid() {
		return CPAttribute{Type: t}
	}
	return CPAttribute{Type: t, Value: append(p.Addr().AsSlice(), uint8(p.Bits()))}
}

// HomePrefixAttribute is MIP6_HOME_PREFIX: an IPv6 prefix of the home link, and its lifetime in seconds, of which all ones
// are for ever (RFC 5026 section 8.2).
func HomePrefixAttribute(p netip.Prefix, lifetime uint32) CPAttribute {
	value := append(binary.BigEndian.AppendUint32(nil, lifetime), p.Addr().AsSlice()...)
	return CPAttribute{Type: MIP6HomePrefix, Value: append(value, uint8(p.Bits()))}
}

// Has reports whether there is an attribute of this type, be it empty.
func (p *CP) Has(t CPAttributeType) bool {
	for _, a := range p.Attributes {
		if a.Type == t {
			return true
		}
	}
	return false
}

// Addrs are the addresses of all attributes of one type, as AddrAttribute makes them; the zero Addr is of one that is
// empty.
func (p *CP) Addrs(t CPAttributeType) (list []netip.Addr) {
	for _, a := range p.Attributes {
		if a.Type == t {
			addr, _ := netip.AddrFromSlice(a.Value)
			list = append(list, addr)
		}
	}
	return list
}

// Prefixes are those of all attributes of one type, as PrefixAttribute or HomePrefixAttribute makes them; the zero Prefix
// is of one that is empty. Bits of the address beyond the prefix are kept.
func (p *CP) Prefixes(t CPAttributeType) (list []netip.Prefix) {
	for _, a := range p.Attributes {
		if a.Type == t {
			list = append(list, a.prefix())
		}
	}
	return list
}

// prefix is the IPv6 address and the prefix length that a value ends with.
func (a CPAttribute) prefix() netip.Prefix {
	at := len(a.Value) - prefixLen
	if at < 0 {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(a.Value[at : at+16])
	return netip.PrefixFrom(addr, int(a.Value[at+16]))
}

// prefixLen is the length of an IPv6 address with the length of its prefix.
const prefixLen = 17

// cpLengths are the lengths that attributes must have if they are not empty. Others may have any.
var cpLengths = map[CPAttributeType]int{
	InternalIP4Address: 4, InternalIP4Netmask: 4, InternalIP4DNS: 4, InternalIP4NBNS: 4, InternalIP4DHCP: 4,
	InternalIP4Subnet: 8, InternalIP6Address: prefixLen, InternalIP6DNS: 16, InternalIP6DHCP: 16,
	InternalIP6Subnet: prefixLen, MIP6HomePrefix: 4 + prefixLen,
}

// check holds that the value is one of its type.
func (a CPAttribute) check() error {
	size, fixed := cpLengths[a.Type]
	switch {
	case len(a.Value) == 0:
	case fixed && len(a.Value) != size:
		return unexpected("length of "+a.Type.String(), len(a.Value), "0 or %d", size)
	case a.Type == SupportedAttributes && len(a.Value)%2 != 0:
		return unexpected("length of "+a.Type.String(), len(a.Value), "a multiple of 2")
	case fixed && size >= prefixLen && a.Value[size-1] > 128:
		return unexpected("prefix length of "+a.Type.String(), a.Value[size-1], "at most 128")
	}
	return nil
}

// Type is PayloadCP.
func (*CP) Type() PayloadType { return PayloadCP }

func (p *CP) decode(body []byte) error {
	r := cursor.Big(body)
	p.Kind = CPKind(r.U8())
	r.Skip(3)
	if err := readAll(r, "CFG Type"); err != nil {
		return err
	}
	p.Attributes = make([]CPAttribute, 0, min(MaxAttributes, r.Len()/4))
	for r.Len() > 0 {
		number := len(p.Attributes) + 1
		if number > MaxAttributes {
			return unexpected("attribute", number, "at most %d", MaxAttributes)
		}
		// The high bit is reserved.
		a := CPAttribute{Type: CPAttributeType(r.U16() &^ 0x8000)}
		a.Value = r.Bytes(int(r.U16()))
		if err := r.Err(); err != nil {
			return fmt.Errorf("attribute %d: Attribute Type, Length and Value: %w", number, err)
		}
		if err := a.check(); err != nil {
			return fmt.Errorf("attribute %d: %w", number, err)
		}
		p.Attributes = append(p.Attributes, a)
	}
	return nil
}

func (p *CP) appendBody(b []byte) []byte {
	b = append(b, uint8(p.Kind), 0, 0, 0)
	for _, a := range p.Attributes {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Type))
		b = binary.BigEndian.AppendUint16(b, size16(len(a.Value)))
		b = append(b, a.Value...)
	}
	return b
}

// CPKind is the CFG Type: what a Configuration payload does.
type CPKind uint8

// The kinds of RFC 7296 section 3.15.
const (
	CFGRequest CPKind = 1
	CFGReply   CPKind = 2
	CFGSet     CPKind = 3
	CFGAck     CPKind = 4
)

var cpNames = map[CPKind]string{
	CFGRequest: "CFG_REQUEST", CFGReply: "CFG_REPLY", CFGSet: "CFG_SET", CFGAck: "CFG_ACK",
}

// String is the kind's name in RFC 7296, or its number.
func (k CPKind) String() string { return name(cpNames, k) }

// CPAttributeType is what a configuration attribute tells.
type CPAttributeType uint16

// The attributes of RFC 7296 section 3.15.1, RFC 5026, RFC 5739 and RFC 8598.
const (
	InternalIP4Address  CPAttributeType = 1
	InternalIP4Netmask  CPAttributeType = 2
	InternalIP4DNS      CPAttributeType = 3
	InternalIP4NBNS     CPAttributeType = 4
	InternalIP4DHCP     CPAttributeType = 6
	ApplicationVersion  CPAttributeType = 7
	InternalIP6Address  CPAttributeType = 8
	InternalIP6DNS      CPAttributeType = 10
	InternalIP6DHCP     CPAttributeType = 12
	InternalIP4Subnet   CPAttributeType = 13
	SupportedAttributes CPAttributeType = 14
	InternalIP6Subnet   CPAttributeType = 15
	MIP6HomePrefix      CPAttributeType = 16
	InternalIP6Link     CPAttributeType = 17
	InternalIP6Prefix   CPAttributeType = 18
	InternalDNSDomain   CPAttributeType = 25
	InternalDNSSECTA    CPAttributeType = 26
)

var cpAttributeNames = map[CPAttributeType]string{
	InternalIP4Address:  "INTERNAL_IP4_ADDRESS",
	InternalIP4Netmask:  "INTERNAL_IP4_NETMASK",
	InternalIP4DNS:      "INTERNAL_IP4_DNS",
	InternalIP4NBNS:     "INTERNAL_IP4_NBNS",
	InternalIP4DHCP:     "INTERNAL_IP4_DHCP",
	ApplicationVersion:  "APPLICATION_VERSION",
	InternalIP6Address:  "INTERNAL_IP6_ADDRESS",
	InternalIP6DNS:      "INTERNAL_IP6_DNS",
	InternalIP6DHCP:     "INTERNAL_IP6_DHCP",
	InternalIP4Subnet:   "INTERNAL_IP4_SUBNET",
	SupportedAttributes: "SUPPORTED_ATTRIBUTES",
	InternalIP6Subnet:   "INTERNAL_IP6_SUBNET",
	MIP6HomePrefix:      "MIP6_HOME_PREFIX",
	InternalIP6Link:     "INTERNAL_IP6_LINK",
	InternalIP6Prefix:   "INTERNAL_IP6_PREFIX",
	InternalDNSDomain:   "INTERNAL_DNS_DOMAIN",
	InternalDNSSECTA:    "INTERNAL_DNSSEC_TA",
}

// String is the attribute's name in its RFC, or its number.
func (t CPAttributeType) String() string { return name(cpAttributeNames, t) }
