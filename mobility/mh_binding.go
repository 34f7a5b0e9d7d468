package mobility

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mipsecd/internal/cursor"
)

// BindingUpdate tells where a mobile node is (RFC 6275 section 6.1.7).
type BindingUpdate struct {
	Sequence    uint16
	Ack         bool // A: an acknowledgement is asked for
	HomeReg     bool // H: the receiver is to be the home agent
	LinkLocal   bool // L: the link-local address has the same interface identifier as the HoA
	KeyMobility bool // K: the IKE_SA survives movements
	// Lifetime goes in units of 4 s, up to 262140 s; Marshal rounds down and limits it to that. Zero deletes the
	// binding.
	Lifetime time.Duration
	// CareOf is the Alternate Care-of Address option, or the zero Addr. Without it the CoA is the packet's source.
	CareOf  netip.Addr
	Options []Option // the other options, in their order
}

const (
	flagAck         = 0x8000
	flagHomeReg     = 0x4000
	flagLinkLocal   = 0x2000
	flagKeyMobility = 0x1000 // of a BU
	flagAckKey      = 0x80   // K of a BA
)

// Type is BU.
func (BindingUpdate) Type() MHType { return BU }

// Marshal encodes the message, the Alternate Care-of Address option first.
func (m BindingUpdate) Marshal() ([]byte, error) {
	var flags uint16
	for _, f := range []struct {
		set bool
		bit uint16
	}{{m.Ack, flagAck}, {m.HomeReg, flagHomeReg}, {m.LinkLocal, flagLinkLocal}, {m.KeyMobility, flagKeyMobility}} {
		if f.set {
			flags |= f.bit
		}
	}
	b := binary.BigEndian.AppendUint16(mhHeader(BU), m.Sequence)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, lifetimeField(m.Lifetime))
	options := m.Options
	if m.CareOf.IsValid() {
		careOf, err := address16("BU: care-of address", m.CareOf)
		if err != nil {
			return nil, err
		}
		options = slices.Insert(slices.Clone(options), 0, Option{Type: optionCareOf, Data: careOf})
	}
	return finishWithOptions(b, options)
}

func parseBindingUpdate(r *cursor.Reader) (m BindingUpdate, err error) {
	m.Sequence = r.U16()
	flags := r.U16()
	m.Ack, m.HomeReg = flags&flagAck != 0, flags&flagHomeReg != 0
	m.LinkLocal, m.KeyMobility = flags&flagLinkLocal != 0, flags&flagKeyMobility != 0
	m.Lifetime = lifetimeValue(r.U16())
	options, err := parseOptions(r)
	if err != nil {
		return BindingUpdate{}, err
	}
	m.CareOf, m.Options, err = takeCareOf(options)
	return m, err
}

// BindingStatus is the answer in a Binding Acknowledgement (RFC 6275 section 6.1.8).
type BindingStatus uint8

// The statuses of RFC 6275. Those from 128 on refuse the binding.
const (
	StatusAccepted              BindingStatus = 0
	StatusPrefixDiscovery       BindingStatus = 1
	StatusUnspecified           BindingStatus = 128
	StatusProhibited            BindingStatus = 129
	StatusInsufficientResources BindingStatus = 130
	StatusHomeRegNotSupported   BindingStatus = 131
	StatusNotHomeSubnet         BindingStatus = 132
	StatusNotHomeAgent          BindingStatus = 133
	StatusDADFailed             BindingStatus = 134
	StatusSequenceOutOfWindow   BindingStatus = 135
	StatusExpiredHomeNonce      BindingStatus = 136
	StatusExpiredCareOfNonce    BindingStatus = 137
	StatusExpiredNonces         BindingStatus = 138
	StatusTypeChange            BindingStatus = 139
	StatusInvalidCareOf         BindingStatus = 174
)

var bindingStatusNames = map[BindingStatus]string{
	StatusAccepted:              "Binding Update accepted",
	StatusPrefixDiscovery:       "accepted but prefix discovery necessary",
	StatusUnspecified:           "reason unspecified",
	StatusProhibited:            "administratively prohibited",
	StatusInsufficientResources: "insufficient resources",
	StatusHomeRegNotSupported:   "home registration not supported",
	StatusNotHomeSubnet:         "not home subnet",
	StatusNotHomeAgent:          "not home agent for this mobile node",
	StatusDADFailed:             "Duplicate Address Detection failed",
	StatusSequenceOutOfWindow:   "sequence number out of window",
	StatusExpiredHomeNonce:      "expired home nonce index",
	StatusExpiredCareOfNonce:    "expired care-of nonce index",
	StatusExpiredNonces:         "expired nonces",
	StatusTypeChange:            "registration type change disallowed",
	StatusInvalidCareOf:         "invalid care-of address",
}

// Accepted reports whether there is a binding.
func (s BindingStatus) Accepted() bool { return s < StatusUnspecified }

func (s BindingStatus) String() string {
	if n, ok := bindingStatusNames[s]; ok {
		return n
	}
	return fmt.Sprintf("binding status %d", uint8(s))
}

// BindingAck answers a Binding Update (RFC 6275 section 6.1.8).
type BindingAck struct {
	Status      BindingStatus
	KeyMobility bool          // K: the IKE_SA survives movements
	Sequence    uint16        // of the BU; with StatusSequenceOutOfWindow the last one accepted
	Lifetime    time.Duration // granted, in units of 4 s as in a BU; undefined if the BU was refused
	Options     []Option
}

// Type is BA.
func (BindingAck) Type() MHType { return BA }

// Marshal encodes the message.
func (m BindingAck) Marshal() ([]byte, error) {
	var flags byte
	if m.KeyMobility {
		flags = flagAckKey
	}
	b := append(mhHeader(BA), byte(m.Status), flags)
	b = binary.BigEndian.AppendUint16(b, m.Sequence)
	b = binary.BigEndian.AppendUint16(b, lifetimeField(m.Lifetime))
	return finishWithOptions(b, m.Options)
}

func parseBindingAck(r *cursor.Reader) (m BindingAck, err error) {
	m.Status = BindingStatus(r.U8())
	m.KeyMobility = r.U8()&flagAckKey != 0
	m.Sequence = r.U16()
	m.Lifetime = lifetimeValue(r.U16())
	m.Options, err = parseOptions(r)
	return m, err
}

// ErrorStatus is the reason of a Binding Error (RFC 6275 section 6.1.9).
type ErrorStatus uint8

// The reasons of RFC 6275.
const (
	ErrorUnknownBinding ErrorStatus = 1
	ErrorUnknownMHType  ErrorStatus = 2
)

func (s ErrorStatus) String() string {
	switch s {
	case ErrorUnknownBinding:
		return "unknown binding for Home Address destination option"
	case ErrorUnknownMHType:
		return "unrecognized MH Type value"
	}
	return fmt.Sprintf("binding error %d", uint8(s))
}

// BindingError reports a packet that the sender cannot handle for lack of a binding (RFC 6275 section 6.1.9).
type BindingError struct {
	Status      ErrorStatus
	HomeAddress netip.Addr // from the packet's Home Address option; unspecified if it had none
	Options     []Option
}

// Type is BE.
func (BindingError) Type() MHType { return BE }

// Marshal encodes the message.
func (m BindingError) Marshal() ([]byte, error) {
	home, err := address16("BE: home address", m.HomeAddress)
	if err != nil {
		return nil, err
	}
	b := append(mhHeader(BE), byte(m.Status), 0)
	return finishWithOptions(append(b, home...), m.Options)
}

func parseBindingError(r *cursor.Reader) (m BindingError, err error) {
	m.Status = ErrorStatus(r.U8())
	r.Skip(1)
	m.HomeAddress = readAddr(r)
	m.Options, err = parseOptions(r)
	return m, err
}
