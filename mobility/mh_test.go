package mobility

import (
	"bytes"
	"encoding/hex"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"mipsecd/internal/secret"
)

var (
	hoa = netip.MustParseAddr("2001:db8:1::100")
	ha  = netip.MustParseAddr("2001:db8:1::1")
	coa = netip.MustParseAddr("2001:db8:2::5")
)

// golden has one message of each type, with its octets as RFC 6275 section 6 draws them. TestWireshark reads them too.
var golden = []struct {
	name    string
	message Message
	hex     string
}{
	{"BRR", Unknown{MHType: BRR, Data: []byte{0, 0}}, "3b000000 0000 0000"},
	{"HoTI", HomeTestInit{Cookie: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}, "3b010100 0000 0000 0102030405060708"},
	{"CoTI", CareOfTestInit{Cookie: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}, "3b010200 0000 0000 0102030405060708"},
	{"HoT", HomeTest{NonceIndex: 9, Cookie: [8]byte{1}, Token: secret.Bytes{2, 0, 0, 0, 0, 0, 0, 3}},
		"3b020300 0000 0009 0100000000000000 0200000000000003"},
	{"CoT", CareOfTest{NonceIndex: 9, Cookie: [8]byte{1}, Token: secret.Bytes{2, 0, 0, 0, 0, 0, 0, 3}},
		"3b020400 0000 0009 0100000000000000 0200000000000003"},
	{"BU without options is padded with 4 octets", BindingUpdate{Sequence: 0x1234, Ack: true, Lifetime: time.Minute},
		"3b010500 0000 1234 8000 000f 01020000"},
	{"home registration", BindingUpdate{Sequence: 1, Ack: true, HomeReg: true, LinkLocal: true, KeyMobility: true,
		Lifetime: 420 * time.Second, CareOf: coa},
		"3b030500 0000 0001 f000 0069 0100 0310 20010db8000200000000000000000005"},
	{"BU to a correspondent", BindingUpdate{Sequence: 2, Lifetime: 420 * time.Second, CareOf: coa, Options: []Option{
		{optionNonceIndices, []byte{0, 7, 0, 8}}, {optionAuthentication, []byte("authenticate")}}},
		"3b060500 0000 0002 0000 0069 0100 0310 20010db8000200000000000000000005" +
			"0404 00070008 0102 0000 050c 61757468656e746963617465"},
	{"BA with refresh advice", BindingAck{Status: StatusAccepted, KeyMobility: true, Sequence: 1,
		Lifetime: 40 * time.Second, Options: []Option{{optionRefreshAdvice, []byte{0, 8}}}},
		"3b010600 0000 0080 0001 000a 0202 0008"},
	{"BA that refuses", BindingAck{Status: StatusSequenceOutOfWindow, Sequence: 0xfffe},
		"3b010600 0000 8700 fffe 0000 01020000"},
	{"BE", BindingError{Status: ErrorUnknownBinding, HomeAddress: hoa},
		"3b020700 0000 0100 20010db8000100000000000000000100"},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func marshal(t testing.TB, m Message) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRFC6275Section6_1Messages(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			want := unhex(t, g.hex)
			if got := marshal(t, g.message); !bytes.Equal(got, want) {
				t.Errorf("marshalled\n%x, want\n%x", got, want)
			}
			got, err := ParseMH(want)
			if err != nil || !reflect.DeepEqual(got, g.message) {
				t.Errorf("parsed %+v, %v\nwant %+v", got, err, g.message)
			}
			for n := range want {
				if m, err := ParseMH(want[:n]); err == nil {
					t.Errorf("the first %d octets were taken for %+v", n, m)
				}
			}
		})
	}
}

func TestRFC6275Section6_1FieldsToIgnore(t *testing.T) {
	b := unhex(t, "3b0105ff abcd 0001 4fff 0001 00 00 01 00 deadbeef")
	want := BindingUpdate{Sequence: 1, HomeReg: true, Lifetime: 4 * time.Second}
	if got, err := ParseMH(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("reserved bits, checksum, padding and trailing octets: %+v, %v", got, err)
	}
}

func TestRFC6275Section6_2UnknownOptionsAreKept(t *testing.T) {
	b := unhex(t, "3b030600 0000 0000 0001 0001 c803 010203 00 0100 08 0501 6d6e4061")
	want := []Option{{200, []byte{1, 2, 3}}, {8, []byte("\x01mn@a")}}
	got, err := ParseMH(append(b, make([]byte, 32-len(b))...))
	if err != nil || !reflect.DeepEqual(got.(BindingAck).Options, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	again, err := ParseMH(marshal(t, got))
	if err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("%+v, %v after a round trip", again, err)
	}
}

func TestRFC6275Section9_2MalformedHeaders(t *testing.T) {
	for _, c := range []struct{ name, hex, want string }{
		{"Payload Proto", "06010500 0000 0001 0000 0001 01020000", "Payload Proto is 6, must be 59"},
		{"short BU", "3b000500 0000 0001", "BU: Header Len is 0, must be 1 or more"},
		{"short HoT", "3b010300 0000 0001 0000000000000000", "HoT: Header Len is 1, must be 2 or more"},
		{"short BE", "3b010700 0000 0100 0000000000000000", "BE: Header Len is 1, must be 2 or more"},
		{"past the end", "3b020500 0000 0001 0000 0001 01020000", "BU: Header Len says 24 octets, there are 16"},
		{"option past the end", "3b010500 0000 0001 0000 0001 0103 0000", "BU: mobility option 1: "},
		{"option without length", "3b010500 0000 0001 0000 0001 000000 08", "BU: mobility option 8: "},
		{"short alternate CoA", "3b010500 0000 0001 0000 0001 0302 0000", "Care-of Address) has length 2, must be 16"},
		{"two alternate CoAs", "3b050500 0000 0001 0000 0001" + strings.Repeat("0310"+strings.Repeat("20", 16), 2),
			"Care-of Address) is there twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if m, err := ParseMH(unhex(t, c.hex)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v, want an error with %q", m, err, c.want)
			}
		})
	}
}

func TestMarshalRefusesWhatTheFormatCannotSay(t *testing.T) {
	long := Option{200, make([]byte, 256)}
	full := Option{200, make([]byte, 255)}
	for _, c := range []struct {
		name    string
		message Message
		want    string
	}{
		{"IPv4 care-of address", BindingUpdate{CareOf: netip.MustParseAddr("192.0.2.1")}, "BU: care-of address 192.0.2.1"},
		{"zone", BindingUpdate{CareOf: netip.MustParseAddr("fe80::1%eth0")}, "without zone"},
		{"no home address", BindingError{}, "BE: home address"},
		{"option too long", BindingAck{Options: []Option{long}}, "BA: mobility option 200 has 256 octets"},
		{"padding as option", BindingAck{Options: []Option{{1, nil}}}, "BA: padding among the options"},
		{"message too long", HomeTestInit{Options: []Option{full, full, full, full, full, full, full, full}},
			"HoTI: 2072 octets, at most 2048"},
		{"unknown message too long", Unknown{MHType: 20, Data: make([]byte, 2043)}, "MH type 20: 2056 octets"},
		{"token", CareOfTest{Token: secret.Bytes{1}}, "CoT: keygen token has 1 octets, must have 8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if b, err := c.message.Marshal(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %d octets, %v, want an error with %q", len(b), err, c.want)
			}
		})
	}
}

func TestMarshalLeavesTheMessageAlone(t *testing.T) {
	options := make([]Option, 1, 2)
	options[0] = Option{200, []byte{1}}
	m := BindingUpdate{CareOf: coa, Options: options}
	if a, b := marshal(t, m), marshal(t, m); !bytes.Equal(a, b) || options[:2][0].Type != 200 || options[:2][1].Type != 0 {
		t.Errorf("the options became %v", options[:2])
	}
}

func TestRFC6275Section6_1_7LifetimeInUnitsOf4Seconds(t *testing.T) {
	for _, c := range []struct{ in, out time.Duration }{
		{0, 0}, {-time.Second, 0}, {3999 * time.Millisecond, 0},
		{4 * time.Second, 4 * time.Second}, {7 * time.Second, 4 * time.Second},
		{262140 * time.Second, 262140 * time.Second}, {math.MaxInt64, 262140 * time.Second},
	} {
		bu, err := ParseMH(marshal(t, BindingUpdate{Lifetime: c.in}))
		if err != nil || bu.(BindingUpdate).Lifetime != c.out {
			t.Errorf("%v became %+v, %v, want %v", c.in, bu, err, c.out)
		}
		ba, err := ParseMH(marshal(t, BindingAck{Lifetime: c.in}))
		if err != nil || ba.(BindingAck).Lifetime != c.out {
			t.Errorf("%v became %+v, %v, want %v", c.in, ba, err, c.out)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{BRR.String(), "BRR"}, {BE.String(), "BE"}, {MHType(8).String(), "MH type 8"},
		{StatusNotHomeSubnet.String(), "not home subnet"}, {BindingStatus(200).String(), "binding status 200"},
		{ErrorUnknownMHType.String(), "unrecognized MH Type value"}, {ErrorStatus(9).String(), "binding error 9"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	if !StatusPrefixDiscovery.Accepted() || StatusUnspecified.Accepted() {
		t.Error("statuses from 128 on refuse, those below accept")
	}
}

func FuzzParseMH(f *testing.F) {
	for _, g := range golden {
		f.Add(unhex(f, g.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMH(b)
		if err != nil {
			return
		}
		out, err := m.Marshal()
		if err != nil {
			// Only aligning what came unaligned can make a message too long.
			if len(b) < maxMH/2 {
				t.Fatalf("%+v cannot be marshalled: %v", m, err)
			}
			return
		}
		again, err := ParseMH(out)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v\nbecame %+v, %v", m, again, err)
		}
	})
}
