package mobility

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"mipsecd/internal/cursor"
)

// Option is a mobility option (RFC 6275 section 6.2) that is not decoded further. Padding is not among a message's
// Options: Marshal aligns anew.
type Option struct {
	Type uint8
	Data []byte // at most 255 octets
}

// The types of the mobility options that need something done here (RFC 6275 sections 6.2.2 to 6.2.7).
const (
	optionPad1           = 0
	optionPadN           = 1
	optionRefreshAdvice  = 2
	optionCareOf         = 3 // Alternate Care-of Address
	optionNonceIndices   = 4
	optionAuthentication = 5 // Binding Authorization Data
)

// alignments are those options' places: at an octet xn+y from the start of the header.
var alignments = map[uint8]struct{ x, y int }{
	optionRefreshAdvice:  {2, 0},
	optionCareOf:         {8, 6},
	optionNonceIndices:   {2, 0},
	optionAuthentication: {8, 2},
}

// parseOptions reads to the end of the header. Padding is dropped.
func parseOptions(r *cursor.Reader) ([]Option, error) {
	var options []Option
	for r.Len() > 0 {
		t := r.U8()
		if t == optionPad1 {
			continue
		}
		data := r.Bytes(int(r.U8()))
		if err := r.Err(); err != nil {
			return nil, fmt.Errorf("mobility option %d: %w", t, err)
		}
		if t != optionPadN {
			options = append(options, Option{Type: t, Data: bytes.Clone(data)})
		}
	}
	return options, r.Err()
}

// takeCareOf splits the Alternate Care-of Address option off. Two of them would let two readers of one message see two
// care-of addresses: they are refused.
func takeCareOf(options []Option) (careOf netip.Addr, rest []Option, err error) {
	for _, o := range options {
		if o.Type != optionCareOf {
			rest = append(rest, o)
			continue
		}
		if careOf.IsValid() {
			return netip.Addr{}, nil, errors.New("mobility option 3 (Alternate Care-of Address) is there twice")
		}
		if len(o.Data) != 16 {
			return netip.Addr{}, nil, fmt.Errorf("mobility option 3 (Alternate Care-of Address) has length %d, must be 16",
				len(o.Data))
		}
		careOf = netip.AddrFrom16([16]byte(o.Data))
	}
	return careOf, rest, nil
}

// finishWithOptions appends the options, each in its alignment, pads to 8 octets and sets the length.
func finishWithOptions(b []byte, options []Option) ([]byte, error) {
	for _, o := range options {
		if o.Type <= optionPadN {
			return nil, fmt.Errorf("%s: padding among the options", MHType(b[2]))
		}
		if len(o.Data) > 255 {
			return nil, fmt.Errorf("%s: mobility option %d has %d octets, at most 255 fit", MHType(b[2]), o.Type, len(o.Data))
		}
		if a, ok := alignments[o.Type]; ok {
			b = pad(b, a.x, a.y)
		}
		b = append(b, o.Type, byte(len(o.Data)))
		b = append(b, o.Data...)
	}
	return finishMH(pad(b, 8, 0))
}

// pad appends Pad1 or PadN until the length is xn+y.
func pad(b []byte, x, y int) []byte {
	switch n := (x + y - len(b)%x) % x; n {
	case 0:
		return b
	case 1:
		return append(b, optionPad1)
	default:
		b = append(b, optionPadN, byte(n-2))
		return append(b, make([]byte, n-2)...)
	}
}
