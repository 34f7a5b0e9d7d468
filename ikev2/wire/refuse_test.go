package wire

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"mipsecd/spd"
)

func TestVersion(t *testing.T) {
	for version, want := range map[byte]NotifyType{
		0x30: NotifyInvalidMajorVersion, 0xf0: NotifyInvalidMajorVersion, 0x10: NotifyInvalidSyntax, 0: NotifyInvalidSyntax,
	} {
		wire := message(PayloadNone, nil)
		wire[17] = version
		_, err := Parse(wire)
		wantError(t, err, want)
	}
}

func TestUnknownPayloads(t *testing.T) {
	for _, kind := range []PayloadType{1, 32, 49, 52, 54, 200, 255} {
		ps, err := ParsePayloads(kind, []byte{0, 0, 0, 5, 9})
		if want := []Payload{&Unknown{Kind: kind, Data: []byte{9}}}; err != nil || !reflect.DeepEqual(ps, want) {
			t.Errorf("%v: %+v, %v", kind, ps, err)
		}
		sent := AppendPayloads(nil, []Payload{&Unknown{Kind: kind, Critical: true, Data: []byte{9}}})
		if want := []byte{0, 0x80, 0, 5, 9}; !bytes.Equal(sent, want) {
			t.Errorf("%v: sent %x", kind, sent)
		}
		_, err = ParsePayloads(kind, sent)
		if e := wantError(t, err, NotifyUnsupportedCriticalPayload); !bytes.Equal(e.Data, []byte{byte(kind)}) {
			t.Errorf("%v: notification data %x", kind, e.Data)
		}
	}
}

func TestRefused(t *testing.T) {
	const transform = "00 00 0008 02 00 0005"
	esp := func(body string) string { return "00 00 0014 01 03 04 01 00000001" + body }
	for _, c := range []struct {
		name  string
		first PayloadType
		chain string
		want  string // in the error
	}{
		{"octets after the last payload", PayloadV, "00 00 0004 00", "octets after the last payload: 1, expected none"},
		{"chain that ends early", PayloadV, "2b 00 0004",
			"V payload at offset 4: payload header: offset 4: 1 octets wanted"},
		{"zero payload length", PayloadV, "00 00 0000", "V payload at offset 0: Payload Length: 0, expected 4 to 4"},
		{"payload length of less than its header", PayloadV, "00 00 0003", "Payload Length: 3, expected 4 to 4"},
		{"payload length above the message", PayloadV, "00 00 0006 00", "Payload Length: 6, expected 4 to 5"},
		{"second KE", PayloadKE, "22 00 0008 001f0000 00 00 0008 001f0000", "KE payload at offset 8: the second one"},
		{"SK within SK", PayloadV, "2e 00 0004 00 00 0004", "SK payload at offset 4: among decrypted payloads"},
		{"SKF within SK", PayloadSKF, "00 00 0008 00010001", "SKF payload at offset 0: among decrypted payloads"},

		{"SA without a proposal", PayloadSA, "00 00 0004", "proposal 1: Proposal Length: offset 0: 1 octets wanted"},
		{"proposal length", PayloadSA, "00 00 0008 00 00 0003", "proposal 1: Proposal Length: 3, expected 4 to 4"},
		{"proposal without a transform", PayloadSA, "00 00 0010 00 00 000c 01 03 04 00 00000001", "Num Transforms: 0"},
		{"more transforms than fit", PayloadSA, "00 00 0018 00 00 0014 01 03 04 02 00000001" + transform,
			"Num Transforms: 2, expected 1 to 1"},
		{"fewer transforms than there are", PayloadSA,
			"00 00 0020 00 00 001c 01 03 04 01 00000001 03 00 0008 02 00 0005" + transform,
			"transform 1: octets left: 8"},
		{"last proposal with more to come", PayloadSA, "00 00 0018 02 00 0014 01 03 04 01 00000001" + transform,
			"Last Substruc: 2, expected 0 with 0 octets left"},
		{"last transform with more to come", PayloadSA, "00 00 0018" + esp("03 00 0008 02 00 0005"),
			"Last Substruc: 3, expected 0"},
		{"octets after the last proposal", PayloadSA, "00 00 0019" + esp(transform) + "00",
			"Last Substruc: 0, expected 2 with 1 octets left"},
		{"ESP proposal without an SPI", PayloadSA, "00 00 0014 00 00 0010 01 03 00 01" + transform,
			"SPI Size: 0, expected 4 for ESP"},
		{"IKE proposal with a short SPI", PayloadSA, "00 00 0018 00 00 0014 01 01 04 01 00000001" + transform,
			"SPI Size: 4, expected 0 or 8"},
		{"SPI above the proposal", PayloadSA, "00 00 0010 00 00 000c 01 05 05 00 00000001",
			"SPI: offset 4: 5 octets wanted, 4 left"},
		{"attribute above the transform", PayloadSA,
			"00 00 001c 00 00 0018 01 03 04 01 00000001 00 00 000c 01 00 000c 000f 0001",
			"transform 1: Transform Type, ID and Attributes: offset 8: 1 octets wanted, 0 left"},

		{"short nonce", PayloadNonce, "00 00 0013" + strings.Repeat("00", 15),
			"length of Nonce Data: 15, expected 16 to 256"},
		{"long nonce", PayloadNonce, "00 00 0105" + strings.Repeat("00", 257),
			"length of Nonce Data: 257, expected 16 to 256"},
		{"ESP notification with a long SPI", PayloadN, "00 00 0010 03 08 4009 0000000000000001",
			"SPI Size: 8, expected 0 or 4 for ESP"},
		{"IKE_SA deleted by SPI", PayloadD, "00 00 000c 01 04 0001 00000001", "SPI Size: 4, expected 0 for protocol IKE"},
		{"IKE_SA deleted with a number", PayloadD, "00 00 0008 01 00 0001", "Num of SPIs: 1, expected 0 for IKE"},
		{"octets after the last SPI", PayloadD, "00 00 000e 03 04 0001 00000001 0000",
			"length of the SPIs: 6, expected 4 for 1"},
		{"TS without a selector", PayloadTSi, "00 00 0008 00000000", "Number of TSs: 0, expected 1 to 64"},
		{"octets after the last selector", PayloadTSi, "00 00 000d 01000000 09 00 0004 00",
			"octets after the last selector: 1"},
		{"selector length", PayloadTSr, "00 00 000c 01000000 09 00 0003",
			"selector 1: Selector Length: 3, expected 4 to 4"},
		{"selector length against its type", PayloadTSr, "00 00 0018 01000000 08 00 0010 0000ffff 00000000 00000000",
			"Selector Length: 16, expected 40 for TS Type 8"},
		{"addresses in reverse", PayloadTSr, "00 00 0018 01000000 07 00 0010 0000ffff c0000202 c0000201",
			"Ending Address: 192.0.2.1, expected not below Starting Address 192.0.2.2"},
		{"ports in reverse", PayloadTSr, "00 00 0018 01000000 07 11 0010 ffff0001 c0000201 c0000201",
			"End Port: 1, expected not below Start Port 65535"},
		{"attribute above the configuration", PayloadCP, "00 00 000d 01000000 0008 0002 00", "attribute 1: "},
		{"attribute of another length", PayloadCP, "00 00 001c 02000000 0008 0010" + strings.Repeat("00", 16),
			"attribute 1: length of INTERNAL_IP6_ADDRESS: 16, expected 0 or 17"},
		{"half an attribute type", PayloadCP, "00 00 000f 02000000 000e 0003 000800",
			"length of SUPPORTED_ATTRIBUTES: 3, expected a multiple of 2"},
		{"prefix of more than an address", PayloadCP, "00 00 0021 02000000 0010 0015" + strings.Repeat("00", 20) + "81",
			"prefix length of MIP6_HOME_PREFIX: 129, expected at most 128"},
	} {
		_, err := ParsePayloads(c.first, hexBytes(c.chain))
		if wantError(t, err, NotifyInvalidSyntax); !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestRFC7383FragmentNumbers(t *testing.T) {
	for _, c := range []struct {
		number, total uint16
		ok            bool
	}{{1, 1, true}, {65535, 65535, true}, {0, 1, false}, {0, 0, false}, {2, 1, false}, {1, 0, false}} {
		m := Message{Header: Header{Version: Version20}, Payloads: []Payload{&SKF{Number: c.number, Total: c.total}}}
		if _, err := Parse(m.Marshal()); (err == nil) != c.ok {
			t.Errorf("%d of %d: %v", c.number, c.total, err)
		}
	}
}

func TestNothingFollowsAnEncryptedPayload(t *testing.T) {
	wire := message(PayloadSK, append(chain(PayloadV, []byte{1, 2}), chain(PayloadNone, nil)...))
	_, err := Parse(wire)
	wantError(t, err, NotifyInvalidSyntax)
}

func TestShortReadsAreUnexpectedEOF(t *testing.T) {
	_, err := ParsePayloads(PayloadKE, []byte{0, 0, 0, 5, 0})
	if e := wantError(t, err, NotifyInvalidSyntax); !strings.HasSuffix(e.Unwrap().Error(), io.ErrUnexpectedEOF.Error()) {
		t.Errorf("cause %v", e.Unwrap())
	}
}

// RFC 7296 section 3.3.6: a transform with an attribute that is not understood is not chosen; the others are.
func TestTransformAttributes(t *testing.T) {
	for attributes, want := range map[string]Transform{
		"":                           {},
		"800e 0080":                  {KeyLen: 128},
		"800e 0080 800e 0100":        {KeyLen: 128, Unknown: true}, // twice
		"800e 0000":                  {Unknown: true},              // no key
		"000e 0002 0080":             {Unknown: true},              // as variable-length
		"800f 0001":                  {Unknown: true},              // another
		"000f 0003 010203 800e 0100": {KeyLen: 256, Unknown: true},
	} {
		want.Type, want.ID = TransformENCR, 12
		b := append([]byte{1, 0, 0, 12}, hexBytes(attributes)...)
		var got Transform
		if err := got.decode(b); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", attributes, got, err, want)
		}
	}
}

func TestSelectorsOfUnknownTypesAreSkipped(t *testing.T) {
	ps, err := ParsePayloads(PayloadTSi, hexBytes("00 00 0022 03000000"+
		"0a 00 0006 0102"+"07 00 0010 0000ffff c0000201 c0000202"+"09 00 0004"))
	if err != nil {
		t.Fatal(err)
	}
	ts := ps[0].(*TS)
	want := hexSelector("c0000201 c0000202")
	if !ts.Skipped || len(ts.Selectors) != 1 || ts.Selectors[0] != want {
		t.Errorf("%+v, want %+v", ts, want)
	}
}

func hexSelector(addrs string) spd.TrafficSelector {
	var ts TS
	if err := ts.decode(hexBytes("01000000 07 00 0010 0000ffff" + addrs)); err != nil {
		panic(err)
	}
	return ts.Selectors[0]
}

func TestLimits(t *testing.T) {
	proposal := Proposal{Num: 1, Protocol: ProtocolIKE, Transforms: []Transform{{Type: TransformPRF, ID: 5}}}
	for _, c := range []struct {
		name string
		most int
		make func(n int) []Payload
	}{
		{"payloads", MaxPayloads, func(n int) []Payload { return times(n, Payload(&VendorID{})) }},
		{"unknown payloads", MaxPayloads, func(n int) []Payload { return times(n, Payload(&Unknown{Kind: 99})) }},
		{"proposals", MaxProposals, func(n int) []Payload { return []Payload{&SA{Proposals: times(n, proposal)}} }},
		{"transforms", MaxTransforms, func(n int) []Payload {
			return []Payload{&SA{Proposals: []Proposal{{Num: 1, Protocol: ProtocolIKE, Transforms: times(n, Transform{})}}}}
		}},
		{"selectors", MaxSelectors, func(n int) []Payload {
			return []Payload{&TS{Selectors: times(n, hexSelector("c0000201 c0000202"))}}
		}},
		{"attributes", MaxAttributes, func(n int) []Payload {
			return []Payload{&CP{Attributes: times(n, CPAttribute{Type: InternalDNSDomain})}}
		}},
	} {
		for n, ok := range map[int]bool{c.most: true, c.most + 1: false} {
			m := &Message{Header: Header{Version: Version20}, Payloads: c.make(n)}
			if _, err := Parse(m.Marshal()); (err == nil) != ok {
				t.Errorf("%d %s: %v", n, c.name, err)
			} else if !ok {
				wantError(t, err, NotifyInvalidSyntax)
			}
		}
	}
}

func times[T any](n int, v T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func TestWhatDoesNotFitPanics(t *testing.T) {
	for _, p := range []Payload{
		&VendorID{Data: make([]byte, 65532)}, &Notify{SPI: make([]byte, 256)},
		&Delete{Protocol: ProtocolESP, SPIs: make([]uint32, 65536)},
		&SA{Proposals: []Proposal{{Transforms: make([]Transform, 256)}}}, &TS{Selectors: make([]spd.TrafficSelector, 256)},
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.HasPrefix(said, "ikev2/wire: ") {
					t.Errorf("%v: panic %q", p.Type(), said)
				}
			}()
			AppendPayloads(nil, []Payload{p})
		}()
	}
	if got := len(AppendPayloads(nil, []Payload{&VendorID{Data: make([]byte, 65531)}})); got != 65535 {
		t.Errorf("the longest payload has %d octets", got)
	}
}
