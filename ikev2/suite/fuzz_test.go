package suite

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"mipsecd/spd"
)

// FuzzOpen gives Open what anybody may send, and what a peer may send that has the keys.
func FuzzOpen(f *testing.F) {
	for i, p := range protections {
		f.Add(uint8(i), unhex(f, ikeHeader), unhex(f, p.body))
	}
	f.Fuzz(func(t *testing.T, which uint8, header, body []byte) {
		p := protections[int(which)%len(protections)]
		c := newTestCipher(t, p.encr, p.integ)
		before := slices.Clone(body)
		if plain, err := c.Open(header, body); err == nil && len(plain) > len(body)-c.Len(0)+c.blockLen-1 {
			t.Errorf("%d octets opened to %d", len(body), len(plain))
		}
		if !bytes.Equal(body, before) {
			t.Error("the input was changed")
		}
		text := body[:len(body)/c.blockLen*c.blockLen]
		iv := octets(0x10, c.ivLen)
		sealed := c.aead.Seal(nil, c.nonce(iv), text, header)
		plain, err := c.Open(header, slices.Concat(iv, sealed))
		if valid := len(text) > 0 && int(text[len(text)-1]) < len(text); valid != (err == nil) {
			t.Errorf("%x as text: %v", text, err)
		}
		if !bytes.HasPrefix(text, plain) {
			t.Errorf("%x opened to %x", text, plain)
		}
	})
}

// FuzzShared gives a key exchange whatever value a peer may send.
func FuzzShared(f *testing.F) {
	fast := []Group{X25519, P256, P384, MODP1536}
	keys := map[Group]*KEKey{}
	for i, g := range fast {
		keys[g] = generate(f, g, seeded(1))
		f.Add(uint8(i), generate(f, g, seeded(2)).Public())
	}
	f.Fuzz(func(t *testing.T, which uint8, peer []byte) {
		g := fast[int(which)%len(fast)]
		shared, err := keys[g].Shared(peer)
		switch {
		case err != nil && shared != nil:
			t.Error("a secret beside an error")
		case err == nil && len(peer) != PublicLen(g):
			t.Errorf("%s: a value of %d octets was taken", g, len(peer))
		case err == nil && bytes.Equal(shared, make([]byte, len(shared))):
			t.Errorf("%s: the secret is zero", g)
		}
	})
}

// FuzzAnswerKE gives a responder whatever value an initiator may send.
func FuzzAnswerKE(f *testing.F) {
	fast := []Group{X25519, P256, MODP1536, MLKEM768, MLKEM1024}
	for i, g := range fast {
		f.Add(uint8(i), generate(f, g, seeded(1)).Public())
	}
	f.Fuzz(func(t *testing.T, which uint8, theirs []byte) {
		g := fast[int(which)%len(fast)]
		public, shared, err := AnswerKE(g, seeded(2), theirs)
		switch {
		case err != nil && (public != nil || shared != nil):
			t.Error("a value or a secret beside an error")
		case err == nil && len(theirs) != PublicLen(g):
			t.Errorf("%s: a value of %d octets was taken", g, len(theirs))
		case err == nil && bytes.Equal(shared, make([]byte, len(shared))):
			t.Errorf("%s: the secret is zero", g)
		}
	})
}

func fuzzParse(f *testing.F, parse func(string) (Proposal, error), seeds ...string) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parse(s)
		if err != nil {
			return
		}
		if again, err := parse(p.String()); err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("%q is written %q, which reads %+v, %v", s, p, again, err)
		}
		for _, e := range p.Encr {
			if IsAEAD(e.ID) != (len(p.Integ) == 0) || e.ID != spd.EncrNull && KeyLen(e) == 0 {
				t.Errorf("%q: %s with %d integrity algorithms", s, e, len(p.Integ))
			}
		}
	})
}

func FuzzParseIKE(f *testing.F) {
	fuzzParse(f, ParseIKE, "aes128gcm16-prfsha256-x25519", "aes256-aes128-sha256-modp2048-ecp256",
		"aes128-sha1-prfsha384-modp1536", "3des-aes192ctr-aesxcbc-aescmac-modp3072", "aes128gcm16-sha256",
		"aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none-ke7_mlkem1024")
}

func FuzzParseESP(f *testing.F) {
	fuzzParse(f, ParseESP, "aes128gcm16", "aes128-sha1", "aes128gcm16-x25519-modpnone", "null-sha256-esn-noesn", "aes128--",
		"aes128gcm16-x25519-ke1_mlkem768")
}
