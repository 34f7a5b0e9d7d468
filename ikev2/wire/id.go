package wire

import "mipsecd/internal/cursor"

// ID is the Identification payload (RFC 7296 section 3.5): of the initiator (IDi) or of the responder (IDr).
type ID struct {
	Initiator bool
	Kind      IDType
	Data      []byte
}

// Type is PayloadIDi or PayloadIDr.
func (p *ID) Type() PayloadType {
	if p.Initiator {
		return PayloadIDi
	}
	return PayloadIDr
}

func (p *ID) decode(body []byte) error {
	r := cursor.Big(body)
	p.Kind = IDType(r.U8())
	r.Skip(3)
	p.Data = r.Rest()
	return readAll(r, "ID Type")
}

func (p *ID) appendBody(b []byte) []byte {
	return append(append(b, uint8(p.Kind), 0, 0, 0), p.Data...)
}

// IDType is the form of an identity.
type IDType uint8

// The forms of RFC 7296 section 3.5 and RFC 7619.
const (
	IDIPv4Addr   IDType = 1
	IDFQDN       IDType = 2
	IDRFC822Addr IDType = 3
	IDIPv6Addr   IDType = 5
	IDDERASN1DN  IDType = 9
	IDDERASN1GN  IDType = 10
	IDKeyID      IDType = 11
	IDNull       IDType = 13
)

var idNames = map[IDType]string{
	IDIPv4Addr:   "ID_IPV4_ADDR",
	IDFQDN:       "ID_FQDN",
	IDRFC822Addr: "ID_RFC822_ADDR",
	IDIPv6Addr:   "ID_IPV6_ADDR",
	IDDERASN1DN:  "ID_DER_ASN1_DN",
	IDDERASN1GN:  "ID_DER_ASN1_GN",
	IDKeyID:      "ID_KEY_ID",
	IDNull:       "ID_NULL",
}

// String is the form's name in its RFC, or its number.
func (t IDType) String() string { return name(idNames, t) }
