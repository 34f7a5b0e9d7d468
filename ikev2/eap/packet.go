package eap

import (
	"encoding/binary"
	"fmt"

	"mipsecd/internal/cursor"
)

// Code says what a packet is (RFC 3748 section 4).
type Code uint8

// The codes.
const (
	CodeRequest Code = iota + 1
	CodeResponse
	CodeSuccess
	CodeFailure
)

func (c Code) String() string {
	if c < CodeRequest || c > CodeFailure {
		return fmt.Sprintf("Code %d", uint8(c))
	}
	return [...]string{"Request", "Response", "Success", "Failure"}[c-1]
}

// Type is the type of a Request or Response (RFC 3748 section 5).
type Type uint8

// The types that are used here.
const (
	TypeIdentity     Type = 1
	TypeNotification Type = 2
	TypeNak          Type = 3
	TypeTLS          Type = 13
	TypeMSCHAPv2     Type = 26
)

func (t Type) String() string {
	switch t {
	case TypeIdentity:
		return "Identity"
	case TypeNotification:
		return "Notification"
	case TypeNak:
		return "Nak"
	case TypeTLS:
		return "EAP-TLS"
	case TypeMSCHAPv2:
		return "EAP-MSCHAPv2"
	}
	return fmt.Sprintf("Type %d", uint8(t))
}

// Packet is an EAP packet (RFC 3748 section 4).
type Packet struct {
	Code Code
	ID   uint8  // Identifier: a Response has that of its Request
	Type Type   // of a Request or Response; otherwise zero
	Data []byte // of the type; it aliases what was parsed
}

const headerLen = 4

// Parse reads a packet. Octets after its Length are refused: IKEv2 adds none (RFC 7296 section 3.16). The error names the field and what would
// be right.
func Parse(b []byte) (p Packet, err error) {
	r := cursor.Big(b)
	p.Code, p.ID = Code(r.U8()), r.U8()
	length := int(r.U16())
	if err := r.Err(); err != nil {
		return Packet{}, fmt.Errorf("EAP header: %w", err)
	}
	if length != len(b) {
		return Packet{}, fmt.Errorf("EAP Length: %d; want %d, the octets there are", length, len(b))
	}
	switch p.Code {
	case CodeRequest, CodeResponse:
		p.Type = Type(r.U8())
		if err := r.Err(); err != nil {
			return Packet{}, fmt.Errorf("EAP Type: %w", err)
		}
		p.Data = r.Rest()
	case CodeSuccess, CodeFailure:
		if r.Len() > 0 {
			return Packet{}, fmt.Errorf("EAP Length of %s: %d; want %d", p.Code, length, headerLen)
		}
	default:
		return Packet{}, fmt.Errorf("EAP Code: %d; want %d to %d", uint8(p.Code), CodeRequest, CodeFailure)
	}
	return p, nil
}

// Marshal is the packet in octets.
func (p Packet) Marshal() []byte {
	b := []byte{byte(p.Code), p.ID, 0, 0}
	if p.Code == CodeRequest || p.Code == CodeResponse {
		b = append(append(b, byte(p.Type)), p.Data...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}
