// Package radius is a client of RADIUS servers for EAP (RFC 2865, RFC 3579). Every packet, in both directions, has a
// Message-Authenticator; an answer without is none.
package radius

import (
	"encoding/binary"
	"fmt"

	"mipsecd/internal/cursor"
)

// Code says what a packet is (RFC 2865 section 3).
type Code uint8

// The codes of authentication.
const (
	AccessRequest   Code = 1
	AccessAccept    Code = 2
	AccessReject    Code = 3
	AccessChallenge Code = 11
)

func (c Code) String() string {
	switch c {
	case AccessRequest:
		return "Access-Request"
	case AccessAccept:
		return "Access-Accept"
	case AccessReject:
		return "Access-Reject"
	case AccessChallenge:
		return "Access-Challenge"
	}
	return fmt.Sprintf("Code %d", uint8(c))
}

// kind is the type of an attribute (RFC 2865 section 5).
type kind uint8

const (
	userName             kind = 1
	framedMTU            kind = 12
	state                kind = 24
	vendorSpecific       kind = 26
	sessionTimeout       kind = 27
	nasIdentifier        kind = 32
	nasPortType          kind = 61
	eapMessage           kind = 79 // RFC 3579 section 3.1
	messageAuthenticator kind = 80 // RFC 3579 section 3.2
)

// attribute is one attribute.
type attribute struct {
	kind  kind
	value []byte // at most maxValue octets
}

// packet is a RADIUS packet (RFC 2865 section 3).
type packet struct {
	code          Code
	id            uint8
	authenticator [16]byte
	attributes    []attribute
}

// Lengths in octets.
const (
	headerLen = 20
	maxPacket = 4096
	maxValue  = 253
)

// parse reads a packet; values alias the input. What follows its Length is padding (RFC 2865 section 3).
func parse(b []byte) (*packet, error) {
	r := cursor.Big(b)
	p := &packet{code: Code(r.U8()), id: r.U8()}
	length := int(r.U16())
	copy(p.authenticator[:], r.Bytes(len(p.authenticator)))
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if length < headerLen || length > min(len(b), maxPacket) {
		return nil, fmt.Errorf("length: %d; want %d to %d", length, headerLen, min(len(b), maxPacket))
	}
	for r = cursor.Big(b[headerLen:length]); r.Len() > 0; {
		a := attribute{kind: kind(r.U8())}
		n := int(r.U8())
		if n < 2 && r.Err() == nil {
			return nil, fmt.Errorf("length of attribute %d: %d; want at least 2", a.kind, n)
		}
		a.value = r.Bytes(n - 2)
		if err := r.Err(); err != nil {
			return nil, fmt.Errorf("attribute %d: %w", a.kind, err)
		}
		p.attributes = append(p.attributes, a)
	}
	return p, nil
}

// marshal is the packet in octets.
func (p *packet) marshal() []byte {
	b := append([]byte{byte(p.code), p.id, 0, 0}, p.authenticator[:]...)
	for _, a := range p.attributes {
		b = append(append(b, byte(a.kind), byte(2+len(a.value))), a.value...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// add adds a value, in several attributes if it is long (RFC 3579 section 3.1).
func (p *packet) add(k kind, value []byte) {
	for len(value) > maxValue {
		p.attributes = append(p.attributes, attribute{k, value[:maxValue]})
		value = value[maxValue:]
	}
	p.attributes = append(p.attributes, attribute{k, value})
}

// all are the values of a kind.
func (p *packet) all(k kind) (values [][]byte) {
	for _, a := range p.attributes {
		if a.kind == k {
			values = append(values, a.value)
		}
	}
	return values
}

// one is the only value of a kind; ok is false if there is none.
func (p *packet) one(k kind) (value []byte, ok bool, err error) {
	values := p.all(k)
	switch {
	case len(values) == 0:
		return nil, false, nil
	case len(values) > 1:
		return nil, false, fmt.Errorf("%d attributes %d; want one", len(values), k)
	}
	return values[0], true, nil
}
