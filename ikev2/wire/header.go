package wire

import (
	"encoding/binary"

	"mipsecd/internal/cursor"
)

// HeaderLen is the size of the IKE header.
const HeaderLen = 28

// Version20 is the Version of every message of this protocol: 2.0.
const Version20 = 0x20

// Header is the IKE header (RFC 7296 section 3.1).
type Header struct {
	SPIi, SPIr    uint64
	NextPayload   PayloadType // the type of the first payload
	Version       uint8       // major version in the high half, minor in the low
	Exchange      ExchangeType
	Initiator     bool // I flag: sent by the original initiator of the IKE_SA
	HigherVersion bool // V flag: the sender can speak a higher major version
	Response      bool // R flag
	MessageID     uint32
	Length        uint32 // of the whole message
}

const (
	flagInitiator     = 0x08
	flagHigherVersion = 0x10
	flagResponse      = 0x20
)

// ParseHeader reads the header at the beginning of b. It checks nothing but that b holds one, so that a message of
// another version or length can be answered or counted. The error is an *Error.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, syntaxError(headerSection, unexpected("octets received", len(b), "at least %d", HeaderLen))
	}
	r := cursor.Big(b)
	h := Header{
		SPIi: r.U64(), SPIr: r.U64(), NextPayload: PayloadType(r.U8()), Version: r.U8(), Exchange: ExchangeType(r.U8()),
	}
	flags := r.U8()
	h.Initiator = flags&flagInitiator != 0
	h.HigherVersion = flags&flagHigherVersion != 0
	h.Response = flags&flagResponse != 0
	h.MessageID, h.Length = r.U32(), r.U32()
	return h, nil
}

// Append writes the header as it is.
func (h Header) Append(b []byte) []byte {
	var flags uint8
	if h.Initiator {
		flags |= flagInitiator
	}
	if h.HigherVersion {
		flags |= flagHigherVersion
	}
	if h.Response {
		flags |= flagResponse
	}
	b = binary.BigEndian.AppendUint64(b, h.SPIi)
	b = binary.BigEndian.AppendUint64(b, h.SPIr)
	b = append(b, uint8(h.NextPayload), h.Version, uint8(h.Exchange), flags)
	b = binary.BigEndian.AppendUint32(b, h.MessageID)
	return binary.BigEndian.AppendUint32(b, h.Length)
}

// ExchangeType says which exchange a message belongs to.
type ExchangeType uint8

// The exchanges of RFC 7296 section 3.1, RFC 5723, RFC 9242 and RFC 9370.
const (
	ExchangeIKESAInit       ExchangeType = 34
	ExchangeIKEAuth         ExchangeType = 35
	ExchangeCreateChildSA   ExchangeType = 36
	ExchangeInformational   ExchangeType = 37
	ExchangeSessionResume   ExchangeType = 38
	ExchangeIKEIntermediate ExchangeType = 43
	ExchangeFollowupKE      ExchangeType = 44
)

var exchangeNames = map[ExchangeType]string{
	ExchangeIKESAInit:       "IKE_SA_INIT",
	ExchangeIKEAuth:         "IKE_AUTH",
	ExchangeCreateChildSA:   "CREATE_CHILD_SA",
	ExchangeInformational:   "INFORMATIONAL",
	ExchangeSessionResume:   "IKE_SESSION_RESUME",
	ExchangeIKEIntermediate: "IKE_INTERMEDIATE",
	ExchangeFollowupKE:      "IKE_FOLLOWUP_KE",
}

// String is the exchange's name in its RFC, or its number.
func (t ExchangeType) String() string { return name(exchangeNames, t) }
