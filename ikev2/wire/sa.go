package wire

import (
	"encoding/binary"
	"fmt"

	"mipsecd/internal/cursor"
)

// MaxProposals and MaxTransforms bound the proposals of an SA payload and the transforms of a proposal. Peers that
// offer all they can do have about twenty proposals, or one with about sixty transforms.
const (
	MaxProposals  = 64
	MaxTransforms = 128
)

// SA is the Security Association payload (RFC 7296 section 3.3): what is offered, or the one proposal that is chosen.
type SA struct{ Proposals []Proposal }

// Proposal is one alternative of an SA payload (RFC 7296 section 3.3.1). What is offered is numbered 1, 2, 3 and so on;
// what is chosen keeps its number. SPI is the sender's: 4 octets for ESP and AH, 8 or none for IKE. There is at least
// one transform.
type Proposal struct {
	Num        uint8
	Protocol   ProtocolID
	SPI        []byte
	Transforms []Transform
}

// Transform is one algorithm (RFC 7296 section 3.3.2).
type Transform struct {
	Type   TransformType
	ID     uint16 // the algorithm's number among those of its type
	KeyLen uint16 // in bits; zero when absent
	// Unknown marks a transform with attributes that are not understood, or not allowed, and so not kept: it must not be
	// chosen (RFC 7296 section 3.3.6).
	Unknown bool
}

// Type is PayloadSA.
func (*SA) Type() PayloadType { return PayloadSA }

func (p *SA) decode(body []byte) error {
	r := cursor.Big(body)
	for last := false; !last; {
		number := len(p.Proposals) + 1
		if number > MaxProposals {
			return unexpected("proposal", number, "at most %d", MaxProposals)
		}
		var proposal Proposal
		var content []byte
		var err error
		if content, last, err = substructure(r, "Proposal Length", 2); err == nil {
			err = proposal.decode(content)
		}
		if err != nil {
			return fmt.Errorf("proposal %d: %w", number, err)
		}
		p.Proposals = append(p.Proposals, proposal)
	}
	return nil
}

func (p *SA) appendBody(b []byte) []byte {
	for i, proposal := range p.Proposals {
		start := len(b)
		b = append(b, more(i, len(p.Proposals), 2), 0, 0, 0)
		b = proposal.append(b)
		putLength(b, start)
	}
	return b
}

// substructure reads the header and the content of a proposal or transform. Whether it is the last one is said twice:
// by its first octet, zero or else others, and by where the octets end. They must agree.
func substructure(r *cursor.Reader, lengthField string, others uint8) (content []byte, last bool, err error) {
	mark := r.U8()
	r.Skip(1)
	length := int(r.U16())
	if err := readAll(r, lengthField); err != nil {
		return nil, false, err
	}
	if length < 4 || length-4 > r.Len() {
		return nil, false, unexpected(lengthField, length, "4 to %d", 4+r.Len())
	}
	content = r.Bytes(length - 4)
	want := others
	if last = r.Len() == 0; last {
		want = 0
	}
	if mark != want {
		return nil, false, unexpected("Last Substruc", mark, "%d with %d octets left", want, r.Len())
	}
	return content, last, nil
}

// more is the first octet of the substructure i of n.
func more(i, n int, mark uint8) uint8 {
	if i == n-1 {
		return 0
	}
	return mark
}

func (p *Proposal) decode(b []byte) error {
	r := cursor.Big(b)
	p.Num, p.Protocol = r.U8(), ProtocolID(r.U8())
	spiSize, count := int(r.U8()), int(r.U8())
	p.SPI = r.Bytes(spiSize)
	if err := readAll(r, "Num, Protocol ID, SPI Size, Num Transforms and SPI"); err != nil {
		return err
	}
	switch p.Protocol {
	case ProtocolIKE:
		if spiSize != 0 && spiSize != 8 {
			return unexpected("SPI Size", spiSize, "0 or 8 for IKE")
		}
	case ProtocolAH, ProtocolESP:
		if spiSize != 4 {
			return unexpected("SPI Size", spiSize, "4 for %v", p.Protocol)
		}
	}
	if most := min(MaxTransforms, r.Len()/8); count < 1 || count > most {
		return unexpected("Num Transforms", count, "1 to %d", most)
	}
	p.Transforms = make([]Transform, count)
	for i := range p.Transforms {
		content, last, err := substructure(r, "Transform Length", 3)
		if err == nil && last != (i == count-1) {
			err = unexpected("octets left", r.Len(), "none only after the last of %d transforms", count)
		}
		if err == nil {
			err = p.Transforms[i].decode(content)
		}
		if err != nil {
			return fmt.Errorf("transform %d: %w", i+1, err)
		}
	}
	return nil
}

func (p *Proposal) append(b []byte) []byte {
	b = append(b, p.Num, uint8(p.Protocol), size8(len(p.SPI)), size8(len(p.Transforms)))
	b = append(b, p.SPI...)
	for i, t := range p.Transforms {
		start := len(b)
		b = append(b, more(i, len(p.Transforms), 3), 0, 0, 0)
		b = t.append(b)
		putLength(b, start)
	}
	return b
}

// keyLength is the only attribute there is; the high bit says that its value is in the place of its length (RFC 7296
// section 3.3.5).
const (
	shortAttribute = 0x8000
	keyLength      = 14 | shortAttribute
)

func (t *Transform) decode(b []byte) error {
	r := cursor.Big(b)
	t.Type = TransformType(r.U8())
	r.Skip(1)
	t.ID = r.U16()
	for r.Len() > 0 {
		kind, value := r.U16(), r.U16()
		if kind == keyLength && t.KeyLen == 0 && value != 0 {
			t.KeyLen = value
			continue
		}
		t.Unknown = true
		if kind&shortAttribute == 0 {
			r.Skip(int(value))
		}
	}
	return readAll(r, "Transform Type, ID and Attributes")
}

func (t *Transform) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, uint8(t.Type), 0), t.ID)
	if t.KeyLen != 0 {
		b = binary.BigEndian.AppendUint16(b, keyLength)
		b = binary.BigEndian.AppendUint16(b, t.KeyLen)
	}
	return b
}

// ProtocolID is what an SA, and the SPI in a payload, is for.
type ProtocolID uint8

// The protocols of RFC 7296 section 3.3.1. ProtocolNone is in a Notify without an SPI.
const (
	ProtocolNone ProtocolID = 0
	ProtocolIKE  ProtocolID = 1
	ProtocolAH   ProtocolID = 2
	ProtocolESP  ProtocolID = 3
)

var protocolNames = map[ProtocolID]string{ProtocolIKE: "IKE", ProtocolAH: "AH", ProtocolESP: "ESP"}

// String is the protocol's name, or its number.
func (p ProtocolID) String() string { return name(protocolNames, p) }

// TransformType is what an algorithm is for.
type TransformType uint8

// The transform types of RFC 7296 section 3.3.2 and RFC 9370. TransformKE is the Diffie-Hellman Group (D-H) of
// RFC 7296.
const (
	TransformENCR   TransformType = 1
	TransformPRF    TransformType = 2
	TransformINTEG  TransformType = 3
	TransformKE     TransformType = 4
	TransformESN    TransformType = 5
	TransformADDKE1 TransformType = 6
	TransformADDKE2 TransformType = 7
	TransformADDKE3 TransformType = 8
	TransformADDKE4 TransformType = 9
	TransformADDKE5 TransformType = 10
	TransformADDKE6 TransformType = 11
	TransformADDKE7 TransformType = 12
)

var transformNames = map[TransformType]string{
	TransformENCR: "ENCR", TransformPRF: "PRF", TransformINTEG: "INTEG", TransformKE: "KE", TransformESN: "ESN",
	TransformADDKE1: "ADDKE1", TransformADDKE2: "ADDKE2", TransformADDKE3: "ADDKE3", TransformADDKE4: "ADDKE4",
	TransformADDKE5: "ADDKE5", TransformADDKE6: "ADDKE6", TransformADDKE7: "ADDKE7",
}

// String is the type's notation, or its number.
func (t TransformType) String() string { return name(transformNames, t) }
