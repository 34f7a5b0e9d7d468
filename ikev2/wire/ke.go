package wire

import (
	"encoding/binary"

	"mipsecd/internal/cursor"
)

// KE is the Key Exchange payload (RFC 7296 section 3.4): a public value and the number of its method among the
// transforms of type TransformKE.
type KE struct {
	Group uint16
	Data  []byte
}

// Type is PayloadKE.
func (*KE) Type() PayloadType { return PayloadKE }

func (p *KE) decode(body []byte) error {
	r := cursor.Big(body)
	p.Group = r.U16()
	r.Skip(2)
	p.Data = r.Rest()
	return readAll(r, "Diffie-Hellman Group Num")
}

func (p *KE) appendBody(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, p.Group)
	return append(append(b, 0, 0), p.Data...)
}

// Nonce is the Nonce payload, Ni or Nr (RFC 7296 section 3.9): 16 to 256 octets.
type Nonce struct{ Data []byte }

const minNonce, maxNonce = 16, 256

// Type is PayloadNonce.
func (*Nonce) Type() PayloadType { return PayloadNonce }

func (p *Nonce) decode(body []byte) error {
	if len(body) < minNonce || len(body) > maxNonce {
		return unexpected("length of Nonce Data", len(body), "%d to %d", minNonce, maxNonce)
	}
	p.Data = body
	return nil
}

func (p *Nonce) appendBody(b []byte) []byte { return append(b, p.Data...) }
