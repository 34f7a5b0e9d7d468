package wire

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// golden is a message that strongSwan 5.9.8 sent, or what it encrypted for one: a mobile node keys its binding.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	return hexBytes(string(text))
}

func TestMessagesOfStrongSwan(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"ike_sa_init_request", "IKE_SA_INIT request 0 [ SA KE Ni " +
			"N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) " +
			"N(IKEV2_FRAGMENTATION_SUPPORTED) N(SIGNATURE_HASH_ALGORITHMS) N(REDIRECT_SUPPORTED) ]"},
		{"ike_sa_init_response", "IKE_SA_INIT response 0 [ SA KE Nr " +
			"N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) " +
			"N(IKEV2_FRAGMENTATION_SUPPORTED) N(SIGNATURE_HASH_ALGORITHMS) " +
			"N(CHILDLESS_IKEV2_SUPPORTED) N(MULTIPLE_AUTH_SUPPORTED) ]"},
		{"ike_auth_request", "IKE_AUTH request 1 [ SK ]"},
	} {
		b := golden(t, c.name)
		m, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := Describe(m.Header, m.Payloads); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
		if got := m.Marshal(); !bytes.Equal(got, b) {
			t.Errorf("%s: marshalled\n%x, want\n%x", c.name, got, b)
		}
	}
	for _, c := range []struct {
		name  string
		first PayloadType
		want  string
	}{
		{"ike_auth_request_decrypted", PayloadIDi, "IKE_AUTH request 1 [ IDi " +
			"N(INITIAL_CONTACT) IDr AUTH CP(CFG_REQUEST) N(USE_TRANSPORT_MODE) " +
			"SA TSi TSr N(MOBIKE_SUPPORTED) N(NO_ADDITIONAL_ADDRESSES) N(MULTIPLE_AUTH_SUPPORTED) " +
			"N(EAP_ONLY_AUTHENTICATION) N(IKEV2_MESSAGE_ID_SYNC_SUPPORTED) ]"},
		{"ike_auth_response_decrypted", PayloadIDr,
			"IKE_AUTH response 1 [ IDr AUTH CP(CFG_REPLY) " +
				"N(MOBIKE_SUPPORTED) N(NO_ADDITIONAL_ADDRESSES) N(NO_PROPOSAL_CHOSEN) ]"},
	} {
		b := golden(t, c.name)
		ps, err := ParsePayloads(c.first, b)
		if err != nil {
			t.Fatal(err)
		}
		h := Header{Exchange: ExchangeIKEAuth, MessageID: 1, Response: c.first == PayloadIDr}
		if got := Describe(h, ps); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
		if got := AppendPayloads(nil, ps); !bytes.Equal(got, b) {
			t.Errorf("%s: appended\n%x, want\n%x", c.name, got, b)
		}
	}
}

func TestContentOfStrongSwansIKEAuth(t *testing.T) {
	ps, err := ParsePayloads(PayloadIDi, golden(t, "ike_auth_request_decrypted"))
	if err != nil {
		t.Fatal(err)
	}
	if id := FindID(ps, true); id == nil || id.Kind != IDRFC822Addr || string(id.Data) != "mn@example.net" {
		t.Errorf("IDi %+v", id)
	}
	if id := FindID(ps, false); id == nil || id.Kind != IDFQDN || string(id.Data) != "ha.example.net" {
		t.Errorf("IDr %+v", id)
	}
	for initiator, want := range map[bool]string{true: "2001:db8:1::100 mh 0x0500", false: "2001:db8:1::1 mh 0x0600"} {
		if ts := FindTS(ps, initiator); ts == nil || len(ts.Selectors) != 1 || ts.Selectors[0].String() != want {
			t.Errorf("selectors %+v, want %s", ts, want)
		}
	}
	sa, ok := Find[*SA](ps)
	if !ok || len(sa.Proposals) != 2 || sa.Proposals[0].Protocol != ProtocolESP || len(sa.Proposals[0].SPI) != 4 ||
		!slices.Contains(sa.Proposals[0].Transforms, Transform{Type: TransformENCR, ID: 12, KeyLen: 128}) ||
		!slices.Contains(sa.Proposals[1].Transforms, Transform{Type: TransformENCR, ID: 20, KeyLen: 256}) {
		t.Errorf("SA %+v", sa)
	}
	cp, ok := Find[*CP](ps)
	if !ok || !slices.ContainsFunc(cp.Attributes, func(a CPAttribute) bool { return a.Type == InternalIP6Address }) {
		t.Errorf("CP %+v", cp)
	}
}

func TestChainOfAllPayloads(t *testing.T) {
	var ps []Payload
	for _, s := range samples {
		kind := s.payload.Type()
		there := slices.ContainsFunc(ps, func(p Payload) bool { return p.Type() == kind })
		if kind != PayloadSKF && !there {
			ps = append(ps, s.payload)
		}
	}
	if last := ps[len(ps)-1].Type(); last != PayloadSK {
		t.Fatalf("the last sample is of %v, SK expected", last)
	}
	m := &Message{Header: Header{SPIi: 1, SPIr: 2, Version: Version20, Exchange: ExchangeIKEAuth}, Payloads: ps}
	b := m.Marshal()
	if m.NextPayload != PayloadSA || m.Length != uint32(len(b)) || binary.BigEndian.Uint32(b[24:]) != m.Length {
		t.Errorf("header %+v for %d octets", m.Header, len(b))
	}
	if sk := ps[len(ps)-1].(*SK); !bytes.HasSuffix(b, sk.Body) {
		t.Error("the message does not end with the body of the SK")
	}
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, m) {
		t.Errorf("parsed\n%+v, want\n%+v", got, m)
	}
}

func TestEmptyChain(t *testing.T) {
	for _, decrypted := range [][]byte{nil, {0, 0, 0, 0}} { // the second is OpenIKED's
		ps, err := ParsePayloads(PayloadNone, decrypted)
		if err != nil || len(ps) != 0 || FirstType(ps) != PayloadNone || len(AppendPayloads(nil, ps)) != 0 {
			t.Errorf("%x: %v, %v", decrypted, ps, err)
		}
		h := Header{Exchange: ExchangeInformational, MessageID: 2}
		if got, want := Describe(h, ps), "INFORMATIONAL request 2 [ ]"; got != want {
			t.Errorf("%x: %q, want %q", decrypted, got, want)
		}
	}
	_, err := Parse(message(PayloadNone, []byte{0}))
	wantError(t, err, NotifyInvalidSyntax)
}

func TestDescribe(t *testing.T) {
	h := Header{Exchange: ExchangeType(99), MessageID: 7, Response: true}
	ps := []Payload{
		&Nonce{}, &Notify{Kind: NotifyTSUnacceptable}, &Notify{Kind: 40960}, &Delete{}, &CP{Kind: CFGReply},
		&Unknown{Kind: 200}, &SKF{Number: 2, Total: 3},
	}
	want := "99 response 7 [ Nr N(TS_UNACCEPTABLE) N(40960) D CP(CFG_REPLY) 200 SKF(2/3) ]"
	if got := Describe(h, ps); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFind(t *testing.T) {
	first, second := &Notify{Kind: NotifyCookie, Data: []byte{1}}, &Notify{Kind: NotifyCookie, Data: []byte{2}}
	ke := &KE{Group: 31}
	ps := []Payload{&Notify{Kind: NotifyUseTransportMode}, first, ke, second}
	if got, ok := Find[*KE](ps); !ok || got != ke {
		t.Errorf("KE %v, %v", got, ok)
	}
	if got, ok := Find[*SA](ps); ok || got != nil {
		t.Errorf("SA %v, %v", got, ok)
	}
	if FindNotify(ps, NotifyCookie) != first || FindNotify(ps, NotifyRekeySA) != nil {
		t.Error("FindNotify must find the first of its kind")
	}
	if got := slices.Collect(Notifies(ps)); len(got) != 3 || got[2] != second {
		t.Errorf("Notifies %v", got)
	}
	for n := range Notifies(ps) {
		if n == first {
			break
		}
	}
	if FindID(ps, true) != nil || FindTS(ps, false) != nil {
		t.Error("found what is not there")
	}
}

func TestErrorsAndStatuses(t *testing.T) {
	for kind, want := range map[NotifyType]bool{
		0: true, NotifyStateNotFound: true, 16383: true, NotifyInitialContact: false, 65535: false,
	} {
		if kind.IsError() != want {
			t.Errorf("%v: IsError %v", kind, kind.IsError())
		}
	}
}

func TestErrorText(t *testing.T) {
	_, err := Parse(message(PayloadNonce, chain(PayloadNone, []byte{1, 2, 3})))
	want := "ikev2/wire: Nonce payload at offset 28: length of Nonce Data: 3, expected 16 to 256 " +
		"(INVALID_SYNTAX, RFC 7296 section 3.9)"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
