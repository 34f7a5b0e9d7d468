package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"mipsecd/internal/cursor"
)

// MaxPayloads bounds the payloads of one chain. The richest real message, an IKE_AUTH with ten certificates, a
// configuration request, MOBIKE addresses and vendor IDs, has less than forty.
const MaxPayloads = 64

// ParsePayloads reads a decrypted chain of payloads, the first of type first; the chain takes up all of b, unless it is
// announced as empty: OpenIKED then sends the header of a payload that is none. It holds no SK or SKF. The error is an
// *Error, as that of Parse.
func ParsePayloads(first PayloadType, b []byte) ([]Payload, error) {
	if first == PayloadNone {
		return nil, nil
	}
	return parseChain(first, b, 0, false)
}

// parseChain reads the chain from b[start:] to the end of b. In the outer chain an SK or SKF may be the last payload.
func parseChain(first PayloadType, b []byte, start int, outer bool) ([]Payload, error) {
	r := cursor.Big(b)
	r.Skip(start)
	var payloads []Payload
	var seen uint64 // a bit for each known type
	for next := first; next != PayloadNone; {
		kind, at := next, r.Offset()
		p, following, refusal := parsePayload(kind, r)
		switch {
		case refusal != nil:
		case len(payloads) == MaxPayloads:
			refusal = syntaxError(payloadSection, fmt.Errorf("one more than the %d that are expected at most", MaxPayloads))
		case kind.known() && kinds[kind].once && seen&(1<<kind) != 0:
			refusal = syntaxError(repeatedSection, errors.New("the second one, expected at most one"))
		case !outer && (kind == PayloadSK || kind == PayloadSKF):
			refusal = syntaxError(kinds[kind].section, errors.New("among decrypted payloads, expected none"))
		}
		if refusal != nil {
			refusal.Err = fmt.Errorf("%v payload at offset %d: %w", kind, at, refusal.Err)
			return nil, refusal
		}
		seen |= 1 << kind
		payloads, next = append(payloads, p), following
	}
	if r.Len() > 0 {
		return nil, syntaxError(payloadSection, unexpected("octets after the last payload", r.Len(), "none"))
	}
	return payloads, nil
}

// parsePayload reads one payload and the type of the one that follows.
func parsePayload(kind PayloadType, r *cursor.Reader) (p Payload, next PayloadType, refusal *Error) {
	next = PayloadType(r.U8())
	critical := r.U8()&criticalBit != 0
	length := int(r.U16())
	if err := readAll(r, "payload header"); err != nil {
		return nil, 0, syntaxError(payloadSection, err)
	}
	if length < 4 || length-4 > r.Len() {
		return nil, 0, syntaxError(payloadSection, unexpected("Payload Length", length, "4 to %d", 4+r.Len()))
	}
	body := r.Bytes(length - 4)
	if !kind.known() {
		if critical {
			return nil, 0, &Error{
				Notify: NotifyUnsupportedCriticalPayload, Data: []byte{uint8(kind)},
				Section: versionSection, Err: errors.New("unknown, but critical"),
			}
		}
		return &Unknown{Kind: kind, Data: body}, next, nil
	}
	p = kinds[kind].new()
	if err := p.decode(body); err != nil {
		return nil, 0, syntaxError(kinds[kind].section, err)
	}
	// What these announce as next is the first payload of their content; nothing follows them.
	switch p := p.(type) {
	case *SK:
		p.Inner, next = next, PayloadNone
	case *SKF:
		p.Inner, next = next, PayloadNone
	}
	return p, next, nil
}

const criticalBit = 0x80

// FirstType is the type by which the chain is announced: PayloadNone for an empty one.
func FirstType(ps []Payload) PayloadType {
	if len(ps) == 0 {
		return PayloadNone
	}
	return ps[0].Type()
}

// AppendPayloads writes the chain. An SK or SKF must be its last payload.
func AppendPayloads(b []byte, ps []Payload) []byte {
	for i, p := range ps {
		next, critical := FirstType(ps[i+1:]), uint8(0)
		switch p := p.(type) {
		case *SK:
			next = p.Inner
		case *SKF:
			next = p.Inner
		case *Unknown:
			if p.Critical {
				critical = criticalBit
			}
		}
		start := len(b)
		b = p.appendBody(append(b, uint8(next), critical, 0, 0))
		putLength(b, start)
	}
	return b
}

// putLength fills in the length of what was written from start on, which all structures have in their third and fourth
// octet.
func putLength(b []byte, start int) { binary.BigEndian.PutUint16(b[start+2:], size16(len(b)-start)) }

func size8(n int) uint8 {
	if n > math.MaxUint8 {
		panic(fmt.Sprintf("ikev2/wire: a size of %d for a field of one octet", n))
	}
	return uint8(n)
}

func size16(n int) uint16 {
	if n > math.MaxUint16 {
		panic(fmt.Sprintf("ikev2/wire: a size of %d for a field of two octets", n))
	}
	return uint16(n)
}
