package wire

import (
	"encoding/binary"
	"fmt"

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
