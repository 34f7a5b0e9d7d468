package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mipsecd/spd"
)

// sample is a payload and its body on the wire.
type sample struct {
	name    string
	payload Payload
	body    string
	// reserved are the bits that must be ignored, as a mask for the octet at each offset.
	reserved map[int]byte
	// valid are the lengths of the prefixes of the body that are bodies, too; freeFrom says that all from this length
	// on are, because the body ends with free data, and is -1 for none.
	valid    []int
	freeFrom int
}

var samples = []sample{
	{
		name: "SA of IKE",
		payload: &SA{Proposals: []Proposal{{Num: 1, Protocol: ProtocolIKE, SPI: []byte{}, Transforms: []Transform{
			{Type: TransformENCR, ID: 12, KeyLen: 256}, {Type: TransformPRF, ID: 5}, {Type: TransformINTEG, ID: 12},
			{Type: TransformKE, ID: 31}, {Type: TransformADDKE1, ID: 36},
		}}}},
		body: "00 00 0034 01 01 00 05  03 00 000c 01 00 000c 800e 0100  03 00 0008 02 00 0005  03 00 0008 03 00 000c" +
			"03 00 0008 04 00 001f  00 00 0008 06 00 0024",
		reserved: map[int]byte{1: 0xff, 9: 0xff, 13: 0xff, 21: 0xff, 25: 0xff, 45: 0xff, 49: 0xff},
		freeFrom: -1,
	},
	{
		name: "SA of ESP, two proposals",
		payload: &SA{Proposals: []Proposal{
			{Num: 1, Protocol: ProtocolESP, SPI: []byte{5, 0x23, 0x57, 0xbb}, Transforms: []Transform{
				{Type: TransformENCR, ID: 12, KeyLen: 128}, {Type: TransformINTEG, ID: 12}, {Type: TransformESN, ID: 1},
				{Type: TransformESN},
			}},
			{Num: 2, Protocol: ProtocolESP, SPI: []byte{0x35, 0xa1, 0xd6, 0xf2}, Transforms: []Transform{
				{Type: TransformENCR, ID: 20, KeyLen: 128}, {Type: TransformESN},
			}},
		}},
		body: "02 00 0030 01 03 04 04 052357bb  03 00 000c 01 00 000c 800e 0080  03 00 0008 03 00 000c" +
			"03 00 0008 05 00 0001  00 00 0008 05 00 0000" +
			"00 00 0020 02 03 04 02 35a1d6f2  03 00 000c 01 00 0014 800e 0080  00 00 0008 05 00 0000",
		reserved: map[int]byte{1: 0xff, 13: 0xff, 17: 0xff, 49: 0xff, 61: 0xff, 65: 0xff},
		freeFrom: -1,
	},
	{
		name: "SA of an IKE_SA's rekeying",
		payload: &SA{Proposals: []Proposal{{
			Num: 3, Protocol: ProtocolIKE, SPI: []byte{1, 2, 3, 4, 5, 6, 7, 8},
			Transforms: []Transform{{Type: TransformPRF, ID: 5}},
		}}},
		body:     "00 00 0018 03 01 08 01 0102030405060708  00 00 0008 02 00 0005",
		reserved: map[int]byte{1: 0xff, 17: 0xff, 21: 0xff},
		freeFrom: -1,
	},
	{
		name: "KE", payload: &KE{Group: 31, Data: []byte{1, 2, 3, 4}}, body: "001f 0000 01020304",
		reserved: map[int]byte{2: 0xff, 3: 0xff}, freeFrom: 4,
	},
	{
		name: "IDi", payload: &ID{Initiator: true, Kind: IDFQDN, Data: []byte("mn.example")},
		body:     "02 000000 6d6e2e6578616d706c65",
		reserved: map[int]byte{1: 0xff, 2: 0xff, 3: 0xff}, freeFrom: 4,
	},
	{
		name: "IDr", payload: &ID{Kind: IDIPv6Addr, Data: hexBytes("20010db8 00010000 00000000 00000001")},
		body:     "05 000000 20010db8 00010000 00000000 00000001",
		reserved: map[int]byte{1: 0xff, 2: 0xff, 3: 0xff}, freeFrom: 4,
	},
	{
		name: "CERT",
		payload: &Cert{Encoding: CertHashAndURLX509, Data: append(bytes.Repeat([]byte{0xa5}, 20),
			"http://ca.example/mn"...)},
		body: "0c" + strings.Repeat("a5", 20) + "687474703a2f2f63612e6578616d706c652f6d6e", freeFrom: 1,
	},
	{
		name: "CERTREQ", payload: &CertReq{Encoding: CertX509Signature, Data: bytes.Repeat([]byte{0xa5}, 20)},
		body: "04" + strings.Repeat("a5", 20), freeFrom: 1,
	},
	{
		name: "AUTH", payload: &Auth{Method: AuthSharedKey, Data: []byte{9, 8, 7}}, body: "02 000000 090807",
		reserved: map[int]byte{1: 0xff, 2: 0xff, 3: 0xff}, freeFrom: 4,
	},
	{
		name: "Nonce", payload: &Nonce{Data: bytes.Repeat([]byte{0x5a}, 32)}, body: strings.Repeat("5a", 32), freeFrom: 16,
	},
	{
		name: "N about the IKE_SA", payload: &Notify{Kind: NotifyCookie, SPI: []byte{}, Data: []byte{1, 2, 3}},
		body: "00 00 4006 010203", freeFrom: 4,
	},
	{
		name:    "N about a Child SA",
		payload: &Notify{Protocol: ProtocolESP, Kind: NotifyRekeySA, SPI: []byte{1, 2, 3, 4}, Data: []byte{}},
		body:    "03 04 4009 01020304", freeFrom: 8,
	},
	{name: "D of the IKE_SA", payload: &Delete{Protocol: ProtocolIKE}, body: "01 00 0000", freeFrom: -1},
	{
		name: "D of Child SAs", payload: &Delete{Protocol: ProtocolESP, SPIs: []uint32{0x01020304, 0x0a0b0c0d}},
		body: "03 04 0002 01020304 0a0b0c0d", freeFrom: -1,
	},
	{name: "V", payload: &VendorID{Data: []byte("mipsecd")}, body: "6d697073656364", freeFrom: 0},
	{
		name: "TSi of a home address's Binding Updates",
		payload: &TS{Initiator: true, Selectors: []spd.TrafficSelector{{
			Proto: spd.ProtoMH, PortStart: 0x0500, PortEnd: 0x0500,
			Start: netip.MustParseAddr("2001:db8:1::100"), End: netip.MustParseAddr("2001:db8:1::100"),
		}}},
		body:     "01 000000  08 87 0028 0500 0500 20010db8 00010000 00000000 00000100 20010db8 00010000 00000000 00000100",
		reserved: map[int]byte{1: 0xff, 2: 0xff, 3: 0xff}, freeFrom: -1,
	},
	{
		name: "TSr of both families, with OPAQUE ports",
		payload: &TS{Selectors: []spd.TrafficSelector{
			{
				Proto: spd.ProtoUDP, PortStart: 100, PortEnd: 200,
				Start: netip.MustParseAddr("192.0.2.0"), End: netip.MustParseAddr("192.0.2.255"),
			},
			{
				PortStart: 65535, PortEnd: 0,
				Start: netip.MustParseAddr("::"), End: netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
			},
		}},
		body: "02 000000  07 11 0010 0064 00c8 c0000200 c00002ff" +
			"08 00 0028 ffff 0000 00000000000000000000000000000000 ffffffffffffffffffffffffffffffff",
		reserved: map[int]byte{1: 0xff, 2: 0xff, 3: 0xff}, freeFrom: -1,
	},
	{
		name: "CP", payload: &CP{Kind: CFGRequest, Attributes: []CPAttribute{
			{Type: InternalIP6Address, Value: []byte{}}, {Type: ApplicationVersion, Value: []byte("v1")},
		}},
		body:     "01 000000 0008 0000 0007 0002 7631",
		reserved: map[int]byte{1: 0xff, 2: 0xff, 3: 0xff, 4: 0x80, 8: 0x80},
		valid:    []int{4, 8}, freeFrom: -1,
	},
	{
		name: "CP that assigns a home address", payload: &CP{Kind: CFGReply, Attributes: []CPAttribute{
			PrefixAttribute(InternalIP6Address, netip.MustParsePrefix("2001:db8:1::100/64")),
			AddrAttribute(InternalIP6DNS, netip.MustParseAddr("2001:db8:1::53")),
			HomePrefixAttribute(netip.MustParsePrefix("2001:db8:1::/64"), 86400),
			PrefixAttribute(InternalIP6Subnet, netip.MustParsePrefix("2001:db8::/32")),
			{Type: SupportedAttributes, Value: []byte{0, 8, 0, 16}},
			AddrAttribute(InternalIP4Address, netip.MustParseAddr("192.0.2.1")),
		}},
		body: "02 000000  0008 0011 20010db8 00010000 00000000 00000100 40" +
			"000a 0010 20010db8 00010000 00000000 00000053" +
			"0010 0015 00015180 20010db8 00010000 00000000 00000000 40" +
			"000f 0011 20010db8 00000000 00000000 00000000 20" +
			"000e 0004 0008 0010  0001 0004 c0000201",
		valid: []int{4, 25, 45, 70, 91, 99}, freeFrom: -1,
	},
	{name: "EAP", payload: &EAP{Data: []byte{3, 1, 0, 4}}, body: "03010004", freeFrom: 0},
	{name: "Unknown", payload: &Unknown{Kind: 200, Data: []byte{1, 2}}, body: "0102", freeFrom: 0},
	{name: "SK", payload: &SK{Inner: PayloadIDi, Body: bytes.Repeat([]byte{0xa5}, 32)},
		body: strings.Repeat("a5", 32), freeFrom: 0},
	{
		name: "SKF", payload: &SKF{Inner: PayloadIDi, Number: 1, Total: 3, Body: []byte{1, 2}}, body: "0001 0003 0102",
		freeFrom: 4,
	},
}

func hexBytes(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// alone is a message with one payload of this body.
func (s sample) alone(body []byte) []byte {
	next := PayloadNone
	switch p := s.payload.(type) {
	case *SK:
		next = p.Inner
	case *SKF:
		next = p.Inner
	}
	return message(s.payload.Type(), chain(next, body))
}

// message is an IKE_SA_INIT request around a chain.
func message(first PayloadType, chain []byte) []byte {
	h := Header{
		SPIi: 0x0102030405060708, NextPayload: first, Version: Version20, Exchange: ExchangeIKESAInit, Initiator: true,
		Length: uint32(HeaderLen + len(chain)),
	}
	return append(h.Append(nil), chain...)
}

// chain is one payload with its header.
func chain(next PayloadType, body []byte) []byte {
	length := 4 + len(body)
	return append([]byte{byte(next), 0, byte(length >> 8), byte(length)}, body...)
}

func TestEveryPayloadBothWays(t *testing.T) {
	tested := map[PayloadType]bool{}
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			wire := s.alone(hexBytes(s.body))
			m, err := Parse(wire)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(m.Payloads, []Payload{s.payload}) {
				t.Errorf("parsed\n%+v, want\n%+v", m.Payloads[0], s.payload)
			}
			m = &Message{Header: m.Header, Payloads: []Payload{s.payload}}
			if got := m.Marshal(); !bytes.Equal(got, wire) {
				t.Errorf("marshalled\n%x, want\n%x", got, wire)
			}
		})
		tested[s.payload.Type()] = true
	}
	for kind := range kinds {
		if kind := PayloadType(kind); kind.known() && !tested[kind] {
			t.Errorf("no sample of %v", kind)
		}
	}
}

func TestEveryPrefixOfABodyIsRefused(t *testing.T) {
	for _, s := range samples {
		body := hexBytes(s.body)
		for n := range len(body) {
			_, err := Parse(s.alone(body[:n]))
			valid := slices.Contains(s.valid, n) || s.freeFrom >= 0 && n >= s.freeFrom
			if valid && err != nil {
				t.Errorf("%s: %d of %d octets: %v", s.name, n, len(body), err)
			} else if !valid {
				wantError(t, err, NotifyInvalidSyntax)
			}
		}
	}
}

func TestEveryPrefixOfAMessageIsRefused(t *testing.T) {
	for _, name := range []string{"ike_sa_init_request", "ike_auth_request"} {
		datagram := golden(t, name)
		for n := range len(datagram) {
			_, err := Parse(datagram[:n])
			wantError(t, err, NotifyInvalidSyntax)
		}
	}
	inner := golden(t, "ike_auth_request_decrypted")
	for n := range len(inner) {
		_, err := ParsePayloads(PayloadIDi, inner[:n])
		wantError(t, err, NotifyInvalidSyntax)
	}
}

func TestReservedBitsAreIgnored(t *testing.T) {
	for _, s := range samples {
		body := hexBytes(s.body)
		for at, mask := range s.reserved {
			body[at] |= mask
		}
		wire := s.alone(body)
		wire[19] |= 0xc7          // the X bits of the flags
		wire[17] |= 0x0f          // the minor version
		wire[HeaderLen+1] |= 0xff // the critical bit, of no meaning here, and what is reserved beside it
		if s.name == "Unknown" {
			wire[HeaderLen+1] = 0x7f
		}
		m, err := Parse(wire)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		if !reflect.DeepEqual(m.Payloads, []Payload{s.payload}) {
			t.Errorf("%s: parsed\n%+v, want\n%+v", s.name, m.Payloads[0], s.payload)
		}
		m.Version = Version20
		if got, want := m.Marshal(), s.alone(hexBytes(s.body)); !bytes.Equal(got, want) {
			t.Errorf("%s: marshalled\n%x, want\n%x", s.name, got, want)
		}
	}
}

func TestHeaderFlags(t *testing.T) {
	for flags, want := range map[byte]Header{
		0x08: {Initiator: true}, 0x10: {HigherVersion: true}, 0x20: {Response: true},
		0x38: {Initiator: true, HigherVersion: true, Response: true}, 0xc7: {},
	} {
		b := hexBytes("0102030405060708 1112131415161718 2e 20 23 00 00000007 0000001c")
		b[19] = flags
		want.SPIi, want.SPIr, want.NextPayload, want.Version = 0x0102030405060708, 0x1112131415161718, PayloadSK, Version20
		want.Exchange, want.MessageID, want.Length = ExchangeIKEAuth, 7, HeaderLen
		h, err := ParseHeader(b)
		if err != nil || h != want {
			t.Errorf("flags %#x: %+v, %v; want %+v", flags, h, err, want)
		}
		b[19] &= 0x38
		if got := h.Append(nil); !bytes.Equal(got, b) {
			t.Errorf("flags %#x: appended %x, want %x", flags, got, b)
		}
	}
	_, err := ParseHeader(make([]byte, HeaderLen-1))
	wantError(t, err, NotifyInvalidSyntax)
}

// wantError checks that err is an *Error with this notification, and that it says where it comes from.
func wantError(t *testing.T, err error, notify NotifyType) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want an *Error with %v", err, notify)
	}
	if e.Notify != notify || e.Section == "" || !strings.HasPrefix(err.Error(), "ikev2/wire: ") {
		t.Fatalf("error %v, want %v", err, notify)
	}
	return e
}
