package mobility

import (
	"encoding/binary"
	"fmt"

	"mipsecd/internal/cursor"
	"mipsecd/internal/secret"
)

// HomeTestInit begins the return routability procedure by way of the home agent (RFC 6275 section 6.1.3).
type HomeTestInit struct {
	Cookie  [8]byte
	Options []Option
}

// CareOfTestInit begins the return routability procedure on the direct path (RFC 6275 section 6.1.4).
type CareOfTestInit HomeTestInit

// HomeTest answers a HomeTestInit (RFC 6275 section 6.1.5). The keygen token, of 8 octets, is half of what makes a
// binding management key.
type HomeTest struct {
	NonceIndex uint16
	Cookie     [8]byte
	Token      secret.Bytes
	Options    []Option
}

// CareOfTest answers a CareOfTestInit (RFC 6275 section 6.1.6).
type CareOfTest HomeTest

// Type is HoTI.
func (HomeTestInit) Type() MHType { return HoTI }

// Type is CoTI.
func (CareOfTestInit) Type() MHType { return CoTI }

// Type is HoT.
func (HomeTest) Type() MHType { return HoT }

// Type is CoT.
func (CareOfTest) Type() MHType { return CoT }

// Marshal encodes the message.
func (m HomeTestInit) Marshal() ([]byte, error) { return m.marshal(HoTI) }

// Marshal encodes the message.
func (m CareOfTestInit) Marshal() ([]byte, error) { return HomeTestInit(m).marshal(CoTI) }

// Marshal encodes the message.
func (m HomeTest) Marshal() ([]byte, error) { return m.marshal(HoT) }

// Marshal encodes the message.
func (m CareOfTest) Marshal() ([]byte, error) { return HomeTest(m).marshal(CoT) }

func (m HomeTestInit) marshal(t MHType) ([]byte, error) {
	b := append(mhHeader(t), 0, 0)
	return finishWithOptions(append(b, m.Cookie[:]...), m.Options)
}

func parseHomeTestInit(r *cursor.Reader) (m HomeTestInit, err error) {
	r.Skip(2)
	copy(m.Cookie[:], r.Bytes(8))
	m.Options, err = parseOptions(r)
	return m, err
}

func (m HomeTest) marshal(t MHType) ([]byte, error) {
	if len(m.Token) != 8 {
		return nil, fmt.Errorf("%s: keygen token has %d octets, must have 8", t, len(m.Token))
	}
	b := binary.BigEndian.AppendUint16(mhHeader(t), m.NonceIndex)
	b = append(b, m.Cookie[:]...)
	return finishWithOptions(append(b, m.Token...), m.Options)
}

func parseHomeTest(r *cursor.Reader) (m HomeTest, err error) {
	m.NonceIndex = r.U16()
	copy(m.Cookie[:], r.Bytes(8))
	m.Token = append(secret.Bytes(nil), r.Bytes(8)...)
	m.Options, err = parseOptions(r)
	return m, err
}
