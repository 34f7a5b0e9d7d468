package mobility

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"mipsecd/internal/cursor"
)

// The ICMPv6 types of Dynamic Home Agent Address Discovery, in which a mobile node asks the anycast address HomeAgents of its
// home link (RFC 6275 sections 6.5 and 6.6).
const (
	dhaadRequest = 144
	dhaadReply   = 145
)

// DHAADRequest asks which home agents there are on the home link.
type DHAADRequest struct{ Identifier uint16 }

// DHAADReply has the addresses of home agents, the preferred ones first.
type DHAADReply struct {
	Identifier uint16 // of the request
	HomeAgents []netip.Addr
}

// maxDHAAD is how many addresses fit the minimum IPv6 MTU, beyond which no reply should go (RFC 6275 section 10.5).
const maxDHAAD = (1280 - 40 - dhaadHeader) / 16

const dhaadHeader = 8

// Marshal is the message from its Type octet on, with a checksum of zero: a kernel fills it in.
func (m DHAADRequest) Marshal() []byte { return dhaad(dhaadRequest, m.Identifier) }

// Marshal is the message as that of a DHAADRequest. It fails for an address that is not IPv6, and for more than 77.
func (m DHAADReply) Marshal() ([]byte, error) {
	if len(m.HomeAgents) > maxDHAAD {
		return nil, fmt.Errorf("DHAAD reply: %d home agents, at most %d fit a packet", len(m.HomeAgents), maxDHAAD)
	}
	b := dhaad(dhaadReply, m.Identifier)
	for _, a := range m.HomeAgents {
		octets, err := address16("DHAAD reply: home agent address", a)
		if err != nil {
			return nil, err
		}
		b = append(b, octets...)
	}
	return b, nil
}

func dhaad(icmpType uint8, identifier uint16) []byte {
	b := binary.BigEndian.AppendUint16([]byte{icmpType, 0, 0, 0}, identifier)
	return append(b, 0, 0)
}

// ParseDHAADRequest decodes an ICMPv6 message that starts at its Type octet. The checksum is the kernel's business. What may
// follow is ignored.
func ParseDHAADRequest(b []byte) (m DHAADRequest, err error) {
	_, m.Identifier, err = parseDHAAD("DHAAD request", dhaadRequest, b)
	return m, err
}

// ParseDHAADReply decodes an ICMPv6 message as ParseDHAADRequest does.
func ParseDHAADReply(b []byte) (m DHAADReply, err error) {
	r, identifier, err := parseDHAAD("DHAAD reply", dhaadReply, b)
	if err != nil {
		return m, err
	}
	m.Identifier = identifier
	if r.Len()%16 != 0 {
		return DHAADReply{}, fmt.Errorf("DHAAD reply: %d octets of addresses, must be a multiple of 16", r.Len())
	}
	for r.Len() > 0 {
		m.HomeAgents = append(m.HomeAgents, readAddr(r))
	}
	return m, nil
}

// parseDHAAD reads what both messages begin with.
func parseDHAAD(name string, icmpType uint8, b []byte) (r *cursor.Reader, identifier uint16, err error) {
	r = cursor.Big(b)
	gotType, code := r.U8(), r.U8()
	r.U16() // checksum
	identifier = r.U16()
	r.U16() // reserved
	if err := r.Err(); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	}
	if gotType != icmpType || code != 0 {
		return nil, 0, fmt.Errorf("%s: ICMPv6 type %d, code %d, must be %d, 0", name, gotType, code, icmpType)
	}
	return r, identifier, nil
}
