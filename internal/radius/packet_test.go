package radius

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"mipsecd/internal/secret"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The exchange of RFC 2865 section 7.1.
func TestRFC2865_7_1_ResponseAuthenticator(t *testing.T) {
	request, err := parse(unhex(t, `01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d
		93 d4 13 ce 31 96 e4 3f 78 2a 0a ee 04 06 c0 a8 01 10 05 06 00 00 00 03`))
	if err != nil || request.code != AccessRequest || string(request.attributes[0].value) != "nemo" {
		t.Fatalf("%+v, %v", request, err)
	}
	response := unhex(t, `02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf 9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 00
		0e 06 c0 a8 01 03`)
	// It is authentic, but has no Message-Authenticator.
	if _, err := open(response, request, secret.Bytes("xyzzy5461")); err == nil || !strings.Contains(err.Error(), "no Message-Authenticator") {
		t.Errorf("got %v", err)
	}
	if _, err := open(response, request, secret.Bytes("xyzzy5462")); err == nil || !strings.Contains(err.Error(), "Response Authenticator") {
		t.Errorf("got %v", err)
	}
}

const testSecret = "a secret of RADIUS"

func testRequest() *packet {
	return &packet{code: AccessRequest, id: 7, authenticator: [16]byte{1, 2, 3}}
}

// respond is what a server with a secret answers to a request. Change alters the packet before it is authenticated.
func respond(request *packet, key secret.Bytes, code Code, change func(*packet)) []byte {
	p := &packet{code: code, id: request.id, authenticator: request.authenticator}
	p.add(messageAuthenticator, make([]byte, md5.Size))
	change(p)
	b := p.marshal()
	if len(p.all(messageAuthenticator)) == 1 && len(p.all(messageAuthenticator)[0]) == md5.Size {
		mac := authenticate(key, b)
		for i, a := range p.attributes {
			if a.kind == messageAuthenticator {
				p.attributes[i].value = mac
			}
		}
		b = p.marshal()
	}
	sum := md5.Sum(append(append([]byte(nil), b...), key...))
	copy(b[4:], sum[:])
	return b
}

func TestRFC3579_3_2_MessageAuthenticator(t *testing.T) {
	request := testRequest()
	for _, c := range []struct {
		name   string
		change func(*packet)
		want   string
	}{
		{"right", func(*packet) {}, ""},
		{"last", func(p *packet) {
			p.attributes = append([]attribute{{eapMessage, []byte("EAP")}}, p.attributes...)
		}, ""},
		{"missing", func(p *packet) { p.attributes = nil }, "no Message-Authenticator"},
		{"twice", func(p *packet) { p.add(messageAuthenticator, make([]byte, md5.Size)) }, "2 attributes 80; want one"},
		{"short", func(p *packet) { p.attributes[0].value = make([]byte, 15) }, "a Message-Authenticator of 15 octets"},
		{"of another request", func(p *packet) { p.id++ }, "it is the answer to request 8; want 7"},
	} {
		p, err := open(respond(request, secret.Bytes(testSecret), AccessAccept, c.change), request, secret.Bytes(testSecret))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || err == nil && p == nil {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// Who changes anything, without the secret, is found out: by the Response Authenticator, or, who can forge that one as
// CVE-2024-3596 shows, by the Message-Authenticator.
func TestForgedAnswers(t *testing.T) {
	request := testRequest()
	right := respond(request, secret.Bytes(testSecret), AccessReject, func(p *packet) { p.add(eapMessage, []byte{4, 1, 0, 4}) })
	for i := range right {
		forged := bytes.Clone(right)
		forged[i] ^= 1
		if p, err := open(forged, request, secret.Bytes(testSecret)); err == nil {
			t.Errorf("octet %d: %+v", i, p)
		}
	}
	forged := bytes.Clone(right)
	forged[0] = byte(AccessAccept)
	copy(forged[4:], request.authenticator[:])
	sum := md5.Sum(append(bytes.Clone(forged), testSecret...))
	copy(forged[4:], sum[:])
	if _, err := open(forged, request, secret.Bytes(testSecret)); err == nil || err.Error() != "the Message-Authenticator is wrong" {
		t.Errorf("got %v", err)
	}
}

func TestRequestsHaveMessageAuthenticatorFirst(t *testing.T) {
	p := testRequest()
	p.add(userName, []byte("mn"))
	sealed := p.sealed(secret.Bytes(testSecret))
	got, err := parse(sealed)
	if err != nil || got.attributes[0].kind != messageAuthenticator {
		t.Fatalf("%+v, %v", got, err)
	}
	claim := bytes.Clone(got.attributes[0].value)
	blank(sealed)
	if !bytes.Equal(claim, authenticate(secret.Bytes(testSecret), sealed)) {
		t.Error("the Message-Authenticator is wrong")
	}
}

func TestRoundTripAndLongValues(t *testing.T) {
	p := testRequest()
	long := bytes.Repeat([]byte("0123456789"), 100)
	p.add(eapMessage, long)
	p.add(userName, nil)
	got, err := parse(append(p.marshal(), "padding"...))
	if err != nil || len(got.all(eapMessage)) != 4 || !bytes.Equal(bytes.Join(got.all(eapMessage), nil), long) {
		t.Errorf("got %+v, %v", got, err)
	}
	p.attributes[4].value = []byte{}
	if !reflect.DeepEqual(got, p) {
		t.Errorf("got %+v, want %+v", got, p)
	}
}

func TestEveryPrefixIsRefused(t *testing.T) {
	p := testRequest()
	p.add(userName, []byte("mn"))
	whole := p.marshal()
	for n := range len(whole) {
		if got, err := parse(whole[:n]); err == nil {
			t.Errorf("the first %d octets read as %+v", n, got)
		}
	}
}

func TestBadPackets(t *testing.T) {
	for _, c := range []struct{ attributes, want string }{
		{"01", "attribute 1: "},
		{"0100", "length of attribute 1: 0; want at least 2"},
		{"0101", "length of attribute 1: 1; want at least 2"},
		{"010461", "attribute 1: "},
	} {
		b := append(testRequest().marshal(), unhex(t, c.attributes)...)
		b[3] = byte(len(b))
		if _, err := parse(b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.attributes, err, c.want)
		}
	}
	b := testRequest().marshal()
	b[3] = 19
	if _, err := parse(b); err == nil || !strings.Contains(err.Error(), "length: 19; want 20 to 20") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	request := testRequest()
	f.Add(request.marshal())
	f.Add(respond(request, secret.Bytes(testSecret), AccessAccept, func(p *packet) {
		p.add(vendorSpecific, mppe(mppeRecvKey, request, []byte("0123456789abcdef")))
		p.add(sessionTimeout, []byte{0, 0, 1, 0})
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parse(b)
		if err != nil {
			return
		}
		if again, err := parse(p.marshal()); err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("%x reads as %+v, and that as %+v, %v", b, p, again, err)
		}
		p.mppeKey(mppeRecvKey, request, secret.Bytes(testSecret))
		open(b, request, secret.Bytes(testSecret))
	})
}

// mppe hides a key as RFC 2548 section 2.4.2 says.
func mppe(which byte, request *packet, key []byte) []byte {
	clear := append([]byte{byte(len(key))}, key...)
	clear = append(clear, make([]byte, (16-len(clear)%16)%16)...)
	out := []byte{0, 0, microsoft >> 8, microsoft & 0xff, which, byte(4 + len(clear)), 0x80, 1}
	seed := append(request.authenticator[:], 0x80, 1)
	for len(clear) > 0 {
		pad := md5.Sum(append([]byte(testSecret), seed...))
		for i := range pad {
			pad[i] ^= clear[i]
		}
		out, seed, clear = append(out, pad[:]...), pad[:], clear[16:]
	}
	return out
}

func TestRFC2548_2_4_Keys(t *testing.T) {
	request := testRequest()
	key := []byte("0123456789abcdef0123456789abcdef")
	for _, n := range []int{15, 16, 32} {
		p := &packet{}
		p.add(vendorSpecific, []byte{0, 0, 0, 9, 17, 2})                   // another vendor's
		p.add(vendorSpecific, mppe(mppeSendKey, request, []byte("other"))) // the other key
		p.add(vendorSpecific, mppe(mppeRecvKey, request, key[:n]))
		got, err := p.mppeKey(mppeRecvKey, request, secret.Bytes(testSecret))
		if err != nil || !bytes.Equal(got, key[:n]) {
			t.Errorf("%d octets: got %x, %v", n, []byte(got), err)
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"no key":          func(v []byte) []byte { return append(v[:5:5], 4, 0x80, 1) },
		"half a block":    func(v []byte) []byte { return append(v[:5:5], append([]byte{12}, v[6:16]...)...) },
		"a length beyond": func(v []byte) []byte { v[8] ^= 0xff; return v },
	} {
		p := &packet{}
		p.add(vendorSpecific, change(mppe(mppeRecvKey, request, key)))
		if got, err := p.mppeKey(mppeRecvKey, request, secret.Bytes(testSecret)); err == nil {
			t.Errorf("%s: got %x", name, []byte(got))
		}
	}
}
