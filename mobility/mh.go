package mobility

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// MHType is the type of a Mobility Header message (RFC 6275 section 6.1).
type MHType uint8

// The messages of RFC 6275.
const (
	BRR  MHType = iota // Binding Refresh Request
	HoTI               // Home Test Init
	CoTI               // Care-of Test Init
	HoT                // Home Test
	CoT                // Care-of Test
	BU                 // Binding Update
	BA                 // Binding Acknowledgement
	BE                 // Binding Error
)

// mhTypes has the names, and the least Header Len that the fixed part of the message needs.
var mhTypes = [...]struct {
	name      string
	headerLen uint8
}{
	BRR:  {"BRR", 0},
	HoTI: {"HoTI", 1},
	CoTI: {"CoTI", 1},
	HoT:  {"HoT", 2},
	CoT:  {"CoT", 2},
	BU:   {"BU", 1},
	BA:   {"BA", 1},
	BE:   {"BE", 2},
}

func (t MHType) known() bool { return int(t) < len(mhTypes) }

func (t MHType) String() string {
	if t.known() {
		return mhTypes[t].name
	}
	return fmt.Sprintf("MH type %d", uint8(t))
}

// Message is a Mobility Header message: a BindingUpdate, BindingAck, BindingError, HomeTestInit, CareOfTestInit,
// HomeTest, CareOfTest, or an Unknown.
type Message interface {
	Type() MHType
	// Marshal is the Mobility Header from its Payload Proto octet on, padded to a multiple of 8 octets. The checksum is
	// zero: a kernel fills it in on a raw socket, Checksum computes it. Marshal fails for what the format cannot
	// say: an address that is not IPv6, an option over 255 octets, a message over 2048.
	Marshal() ([]byte, error)
}

// Unknown is a message of a type that has no struct of its own. Data is all that follows the checksum.
type Unknown struct {
	MHType MHType
	Data   []byte
}

// Type is the MH type.
func (m Unknown) Type() MHType { return m.MHType }

// Marshal encodes the message; Data is padded with zeros.
func (m Unknown) Marshal() ([]byte, error) {
	b := append(mhHeader(m.MHType), m.Data...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return finishMH(b)
}

const (
	checksumStart = 4
	mhHeaderLen   = 6               // with the checksum
	maxMH         = (255 + 1) * 8   // what Header Len can say
	protoNone     = 59              // no next header: the only Payload Proto in use
	lifetimeUnit  = 4 * time.Second // of the Lifetime fields of BU and BA
)

// ParseMH decodes a Mobility Header that starts at its Payload Proto octet. Octets past its Header Len are ignored (RFC
// 8200 section 4.7). The checksum is not verified: that takes the addresses, see Checksum.
func ParseMH(b []byte) (Message, error) {
	r := cursor.Big(b)
	proto, headerLen, t := r.U8(), r.U8(), MHType(r.U8())
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("MH: %w", err)
	}
	if proto != protoNone {
		return nil, fmt.Errorf("MH: Payload Proto is %d, must be %d (RFC 6275 section 9.2)", proto, protoNone)
	}
	if t.known() && headerLen < mhTypes[t].headerLen {
		return nil, fmt.Errorf("%s: Header Len is %d, must be %d or more (RFC 6275 section 9.2)",
			t, headerLen, mhTypes[t].headerLen)
	}
	length := (int(headerLen) + 1) * 8
	if length > len(b) {
		return nil, fmt.Errorf("%s: Header Len says %d octets, there are %d", t, length, len(b))
	}
	m, err := parseMessage(t, cursor.Big(b[mhHeaderLen:length]))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	return m, nil
}

// parseMessage decodes what follows the checksum; the fixed part of the message is there.
func parseMessage(t MHType, r *cursor.Reader) (Message, error) {
	switch t {
	case BU:
		return parseBindingUpdate(r)
	case BA:
		return parseBindingAck(r)
	case BE:
		return parseBindingError(r)
	case HoTI:
		return parseHomeTestInit(r)
	case CoTI:
		m, err := parseHomeTestInit(r)
		return CareOfTestInit(m), err
	case HoT:
		return parseHomeTest(r)
	case CoT:
		m, err := parseHomeTest(r)
		return CareOfTest(m), err
	}
	return Unknown{MHType: t, Data: append([]byte(nil), r.Rest()...)}, nil
}

// mhHeader begins a message. finishMH puts the length in.
func mhHeader(t MHType) []byte { return []byte{protoNone, 0, byte(t), 0, 0, 0} }

func finishMH(b []byte) ([]byte, error) {
	if len(b) > maxMH {
		return nil, fmt.Errorf("%s: %d octets, at most %d fit a Mobility Header", MHType(b[2]), len(b), maxMH)
	}
	b[1] = byte(len(b)/8 - 1)
	return b, nil
}

// Checksum is the value of the Checksum field of a Mobility Header between two IPv6 addresses (RFC 6275 section 6.1.1);
// what mh has in that field counts as zero. With a Home Address option src is the home address in it, with a type 2
// routing header dst is the home address in that.
func Checksum(src, dst netip.Addr, mh []byte) uint16 {
	s, d := src.As16(), dst.As16()
	pseudo := append(s[:], d[:]...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(mh)))
	pseudo = append(pseudo, 0, 0, 0, spd.ProtoMH)
	sum := sum16(pseudo)
	if len(mh) > mhHeaderLen {
		sum += sum16(mh[:checksumStart]) + sum16(mh[mhHeaderLen:])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// sum16 adds up 16-bit words without folding the carries: 2^16 words fit.
func sum16(b []byte) (sum uint32) {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func lifetimeField(d time.Duration) uint16 {
	return uint16(min(max(d/lifetimeUnit, 0), 0xffff))
}

func lifetimeValue(field uint16) time.Duration { return time.Duration(field) * lifetimeUnit }

// address16 is an address as IPv6 messages carry it.
func address16(field string, a netip.Addr) ([]byte, error) {
	if !a.Is6() || a.Zone() != "" {
		return nil, fmt.Errorf("%s %v is not an IPv6 address without zone", field, a)
	}
	return a.AsSlice(), nil
}

// readAddr reads an IPv6 address; once a read has failed it is unspecified.
func readAddr(r *cursor.Reader) netip.Addr {
	var a [16]byte
	copy(a[:], r.Bytes(len(a)))
	return netip.AddrFrom16(a)
}
