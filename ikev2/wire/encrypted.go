package wire

import (
	"encoding/binary"

	"mipsecd/internal/cursor"
)

// SK is the Encrypted payload (RFC 7296 section 3.14), always the last one. Body is the initialization vector, the
// ciphertext and the integrity checksum; Inner is the type of the first payload in it.
type SK struct {
	Inner PayloadType
	Body  []byte
}

// Type is PayloadSK.
func (*SK) Type() PayloadType { return PayloadSK }

func (p *SK) decode(body []byte) error {
	p.Body = body
	return nil
}

func (p *SK) appendBody(b []byte) []byte { return append(b, p.Body...) }

// SKF is the Encrypted Fragment payload (RFC 7383 section 2.5), always the last one: fragment Number, from 1 on, of
// Total. Body is as in SK. Inner is the type of the first payload in the first fragment, and zero in the others.
type SKF struct {
	Inner         PayloadType
	Number, Total uint16
	Body          []byte
}

// Type is PayloadSKF.
func (*SKF) Type() PayloadType { return PayloadSKF }

func (p *SKF) decode(body []byte) error {
	r := cursor.Big(body)
	p.Number, p.Total, p.Body = r.U16(), r.U16(), r.Rest()
	if err := readAll(r, "Fragment Number and Total Fragments"); err != nil {
		return err
	}
	if p.Number == 0 || p.Number > p.Total {
		return unexpected("Fragment Number", p.Number, "1 to Total Fragments (%d)", p.Total)
	}
	return nil
}

func (p *SKF) appendBody(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, p.Number)
	b = binary.BigEndian.AppendUint16(b, p.Total)
	return append(b, p.Body...)
}
