package suite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"mipsecd/spd"
)

// ikeHeader and setWindowSize are those of RFC 7634 appendix B.
const (
	ikeHeader     = "c0c1c2c3c4c5c6c7 d0d1d2d3d4d5d6d7 2e202500 00000009 00000045 29000029"
	setWindowSize = "0000000c000040010000000a"
)

// protections is each way to protect an IKE message, with the body that Seal makes of setWindowSize. The keys are the
// octets 00 01 02... and a0 a1 a2..., the IV is 10 11 12.... The bodies were computed with OpenSSL.
var protections = []struct {
	encr  Encryption
	integ spd.Integ
	body  string
}{
	{Encryption{spd.EncrAESCBC, 128}, spd.IntegSHA1_96,
		"101112131415161718191a1b1c1d1e1f 12f54ff3b063a0a838f0314bcc7e0287 044beaa8748af66b09c3c464"},
	{Encryption{spd.EncrAESCBC, 192}, spd.IntegSHA384_192,
		`101112131415161718191a1b1c1d1e1f 9167cd79af06f36880ac322b3022c556
		e52f5ab66e8f1bcbe5a6c0161825e13860398e264088cf61`},
	{Encryption{spd.EncrAESCBC, 256}, spd.IntegSHA256_128,
		"101112131415161718191a1b1c1d1e1f 785139df46c24bf131aaf5be24056c85 c9f7c612904a2305af905d7d4448a21b"},
	{Encryption{spd.EncrAESCBC, 256}, spd.IntegSHA512_256,
		`101112131415161718191a1b1c1d1e1f 785139df46c24bf131aaf5be24056c85
		05bedb3fd22f587c104088748025cd8d20d0b1e768efc019fabbb2142ea6f145`},
	{Encryption{spd.EncrAESCBC, 128}, spd.IntegAESXCBC96,
		"101112131415161718191a1b1c1d1e1f 12f54ff3b063a0a838f0314bcc7e0287 f39fd196d0774d6c2bd00a62"},
	{Encryption{spd.EncrAESCBC, 128}, spd.IntegAESCMAC96,
		"101112131415161718191a1b1c1d1e1f 12f54ff3b063a0a838f0314bcc7e0287 213c57f182012c23130aff57"},
	{Encryption{spd.Encr3DES, 0}, spd.IntegSHA1_96,
		"1011121314151617 1d61c6f25f223f463eb336d920f39c3e 514f7eb2082d54488105f34a"},
	{Encryption{spd.EncrAESCTR, 128}, spd.IntegSHA256_128,
		"1011121314151617 5eea4c054ce8b82edb2d39d5ed 3c0ca01acce600e739c885b962853103"},
	{Encryption{spd.EncrAESCTR, 192}, spd.IntegSHA256_128,
		"1011121314151617 f1d04041c4c855060bcaf10a41 42b580f6b5e30ba1a9a962171d34d045"},
	{Encryption{spd.EncrAESCTR, 256}, spd.IntegSHA256_128,
		"1011121314151617 43fc02b834540098c0d1f1c264 9936c7a20d2326d2efe212191f490266"},
	{Encryption{spd.EncrAESGCM16, 128}, 0, "1011121314151617 8b2957ac440f841e29084037ad c531d6c43b176d38c3f78aa91be88dd9"},
	{Encryption{spd.EncrAESGCM12, 128}, 0, "1011121314151617 8b2957ac440f841e29084037ad c531d6c43b176d38c3f78aa9"},
	{Encryption{spd.EncrAESGCM8, 128}, 0, "1011121314151617 8b2957ac440f841e29084037ad c531d6c43b176d38"},
	{Encryption{spd.EncrAESGCM16, 192}, 0, "1011121314151617 cb6c79473a42d2e62b248c1336 e59c0a137a1d6f4dab695c853866c53d"},
	{Encryption{spd.EncrAESGCM12, 192}, 0, "1011121314151617 cb6c79473a42d2e62b248c1336 e59c0a137a1d6f4dab695c85"},
	{Encryption{spd.EncrAESGCM8, 192}, 0, "1011121314151617 cb6c79473a42d2e62b248c1336 e59c0a137a1d6f4d"},
	{Encryption{spd.EncrAESGCM16, 256}, 0, "1011121314151617 7dd1c178e4cf7e471b92367b08 f2e0f0c940cd82987aa0b110c989f2ed"},
	{Encryption{spd.EncrAESGCM12, 256}, 0, "1011121314151617 7dd1c178e4cf7e471b92367b08 f2e0f0c940cd82987aa0b110"},
	{Encryption{spd.EncrAESGCM8, 256}, 0, "1011121314151617 7dd1c178e4cf7e471b92367b08 f2e0f0c940cd8298"},
	{Encryption{spd.EncrAESCCM8, 128}, 0, "1011121314151617 2c62ddbce2392ca1ee3c3f9b2f 8ec8c5ef175fefc7"},
	{Encryption{spd.EncrAESCCM12, 128}, 0, "1011121314151617 2c62ddbce2392ca1ee3c3f9b2f aa35b722078c9350a63df0de"},
	{Encryption{spd.EncrAESCCM16, 128}, 0, "1011121314151617 2c62ddbce2392ca1ee3c3f9b2f f9669b5bd60d3f3b898b5be650411461"},
	{Encryption{spd.EncrAESCCM8, 192}, 0, "1011121314151617 ab973ae28563b86c91c09a3a60 267a4cd5fd002b56"},
	{Encryption{spd.EncrAESCCM12, 192}, 0, "1011121314151617 ab973ae28563b86c91c09a3a60 0da75d28c9c42a4514599bc5"},
	{Encryption{spd.EncrAESCCM16, 192}, 0, "1011121314151617 ab973ae28563b86c91c09a3a60 d76f8f0ed6e985e4626ba7c5e9885c3f"},
	{Encryption{spd.EncrAESCCM8, 256}, 0, "1011121314151617 d184d63b9c156ba5b08b8bacf7 174fc17d1a73f300"},
	{Encryption{spd.EncrAESCCM12, 256}, 0, "1011121314151617 d184d63b9c156ba5b08b8bacf7 78531fe83074357e0f192e26"},
	{Encryption{spd.EncrAESCCM16, 256}, 0, "1011121314151617 d184d63b9c156ba5b08b8bacf7 f34579c8e95564830034fd5d2eb085dd"},
}

func newTestCipher(t testing.TB, e Encryption, integ spd.Integ) *Cipher {
	t.Helper()
	c, err := NewCipher(e, integ, octets(0, KeyLen(e)), octets(0xa0, IntegKeyLen(integ)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEncryptedPayloadVectors(t *testing.T) {
	header, plain := unhex(t, ikeHeader), unhex(t, setWindowSize)
	for _, test := range protections {
		c, want := newTestCipher(t, test.encr, test.integ), unhex(t, test.body)
		got, err := c.Seal(header, header, plain, bytes.NewReader(octets(0x10, 16)))
		if err != nil || !bytes.Equal(got, append(slices.Clone(header), want...)) {
			t.Errorf("%s %s: sealed to %x, %v, want %x", test.encr, integName(test.integ), got[len(header):], err, want)
		}
		if n := c.Len(len(plain)); n != len(want) {
			t.Errorf("%s %s: a length of %d was foretold, it is %d", test.encr, integName(test.integ), n, len(want))
		}
		if got, err := c.Open(header, want); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s %s: opened to %x, %v", test.encr, integName(test.integ), got, err)
		}
	}
}

func TestRFC7634AppendixB(t *testing.T) {
	header, plain := unhex(t, ikeHeader), unhex(t, setWindowSize)
	key := append(octets(0x80, 32), 0xa0, 0xa1, 0xa2, 0xa3)
	c, err := NewCipher(Encryption{ID: spd.EncrChaCha20Poly1305}, spd.IntegNone, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, ikeHeader+"1011121314151617 610394701f8d017f7c12924889 6b71bfe25236efd7cdc67066906315b2")
	got, err := c.Seal(header, header, plain, bytes.NewReader(octets(0x10, 8)))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("sealed to\n%x, %v, want\n%x", got, err, want)
	}
	if got, err := c.Open(header, want[len(header):]); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened to %x, %v", got, err)
	}
}

func TestSealAndOpenAnyLength(t *testing.T) {
	for _, test := range protections {
		rnd := rand.NewChaCha8([32]byte{1})
		sender, receiver := newTestCipher(t, test.encr, test.integ), newTestCipher(t, test.encr, test.integ)
		for n := range 70 {
			header, plain := octets(3, n), octets(7, n)
			body, err := sender.Seal(nil, header, plain, rnd)
			if err != nil || len(body) != sender.Len(n) {
				t.Fatalf("%s: %d octets became %d, want %d; %v", test.encr, n, len(body), sender.Len(n), err)
			}
			got, err := receiver.Open(header, body)
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%s: %d octets opened to %x, %v", test.encr, n, got, err)
			}
		}
	}
}

func TestRoomIsTheMostThatFits(t *testing.T) {
	for _, test := range protections {
		c := newTestCipher(t, test.encr, test.integ)
		for body := c.Len(0); body < 200; body++ {
			if n := c.Room(body); c.Len(n) > body || c.Len(n+1) <= body {
				t.Errorf("%s: a body of %d has room for %d, which make %d, and one more %d", test.encr, body, n, c.Len(n), c.Len(n+1))
			}
		}
		if n := c.Room(c.Len(0) - 1); n >= 0 {
			t.Errorf("%s: room for %d where there is none", test.encr, n)
		}
	}
}

func TestOpenRefusesEveryChangeAndLeavesItsInput(t *testing.T) {
	for _, test := range protections {
		c, header, body := newTestCipher(t, test.encr, test.integ), unhex(t, ikeHeader), unhex(t, test.body)
		refused := func(what string, at int, header, body []byte) {
			t.Helper()
			headerBefore, bodyBefore := slices.Clone(header), slices.Clone(body)
			if plain, err := c.Open(header, body); err == nil || plain != nil {
				t.Errorf("%s, %s %d: opened to %x, %v", test.encr, what, at, plain, err)
			}
			if !bytes.Equal(header, headerBefore) || !bytes.Equal(body, bodyBefore) {
				t.Errorf("%s, %s %d: the input was changed", test.encr, what, at)
			}
		}
		for i := range header {
			changed := slices.Clone(header)
			changed[i] ^= 1
			refused("header octet", i, changed, body)
			refused("header cut to", i, header[:i], body)
		}
		for i := range body {
			changed := slices.Clone(body)
			changed[i] ^= 0x80
			refused("body octet", i, header, changed)
			refused("body cut to", i, header, body[:i])
			refused("body without the first", i+1, header, body[i+1:])
		}
		for n := range 33 {
			refused("body longer by", n+1, header, append(slices.Clone(body), make([]byte, n+1)...))
		}
		changed := slices.Clone(body)
		changed[len(changed)-1] ^= 1
		if _, err := c.Open(header, changed); !errors.Is(err, ErrIntegrity) {
			t.Errorf("%s: %v, want ErrIntegrity", test.encr, err)
		}
		if _, err := c.Open(header, body); err != nil {
			t.Errorf("%s: refused after forgeries: %v", test.encr, err)
		}
	}
}

// RFC 7296 section 3.14: "the recipient MUST accept any length that results in proper alignment".
func TestOpenAcceptsAnyPadding(t *testing.T) {
	for _, test := range protections {
		c, header := newTestCipher(t, test.encr, test.integ), unhex(t, ikeHeader)
		iv := octets(0x10, c.ivLen)
		seal := func(text []byte) []byte {
			return append(slices.Clone(iv), c.aead.Seal(nil, c.nonce(iv), text, header)...)
		}
		for pad := range 256 {
			plain := octets(1, c.padLen(pad)+c.blockLen) // what makes a whole number of blocks with it
			text := slices.Concat(plain, bytes.Repeat([]byte{0x5a}, pad), []byte{byte(pad)})
			if got, err := c.Open(header, seal(text)); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, pad length %d: opened to %x, %v", test.encr, pad, got, err)
			}
		}
		onlyPadding := append(make([]byte, 31), 31)
		if got, err := c.Open(header, seal(onlyPadding)); err != nil || len(got) != 0 {
			t.Errorf("%s, nothing but padding: opened to %x, %v", test.encr, got, err)
		}
		tooMuch := append(make([]byte, 31), 32)
		if got, err := c.Open(header, seal(tooMuch)); err == nil {
			t.Errorf("%s, pad length 32 in 32 octets: opened to %x", test.encr, got)
		}
	}
}

// Whoever has the keys can put a valid check value on what CBC cannot decrypt.
func TestOpenRefusesBrokenBlocks(t *testing.T) {
	for _, test := range protections {
		c, header := newTestCipher(t, test.encr, test.integ), unhex(t, ikeHeader)
		if c.blockLen == 1 {
			continue
		}
		for n := range 4 * c.blockLen {
			body := make([]byte, c.ivLen+n)
			body = append(body, IntegSum(test.integ, octets(0xa0, IntegKeyLen(test.integ)), header, body)...)
			if plain, err := c.Open(header, body); n%c.blockLen != 0 && err == nil {
				t.Errorf("%s: ciphertext of %d octets opened to %x", test.encr, n, plain)
			}
		}
	}
}

// RFC 5282 section 3.1: the same IV value is used only once for a given key.
func TestIVsNeverRepeat(t *testing.T) {
	for _, test := range protections {
		c, rnd := newTestCipher(t, test.encr, test.integ), rand.NewChaCha8([32]byte{2})
		seen := map[string]bool{}
		for range 300 {
			body, err := c.Seal(nil, nil, []byte("same"), rnd)
			if err != nil {
				t.Fatal(err)
			}
			seen[string(body[:c.ivLen])] = true
		}
		if len(seen) != 300 {
			t.Errorf("%s: %d different IVs in 300 messages", test.encr, len(seen))
		}
	}
}

func TestIVsCountOnFromARandomOne(t *testing.T) {
	c := newTestCipher(t, Encryption{spd.EncrAESGCM16, 128}, spd.IntegNone)
	rnd := bytes.NewReader(bytes.Repeat([]byte{0xff}, 8))
	for _, want := range []string{"ffffffffffffffff", "0000000000000000", "0000000000000001"} {
		body, err := c.Seal(nil, nil, nil, rnd)
		if err != nil || !bytes.Equal(body[:8], unhex(t, want)) {
			t.Errorf("IV %x, %v, want %s", body[:8], err, want)
		}
	}
}

func TestSealReportsARandomnessThatFails(t *testing.T) {
	for _, test := range protections {
		c := newTestCipher(t, test.encr, test.integ)
		body, err := c.Seal(nil, nil, nil, iotest.ErrReader(io.ErrClosedPipe))
		if !errors.Is(err, io.ErrClosedPipe) || body != nil {
			t.Errorf("%s: %x, %v", test.encr, body, err)
		}
		if _, err := c.Seal(nil, nil, nil, bytes.NewReader(octets(0, c.ivLen-1))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v with too little", test.encr, err)
		}
		if _, err := c.Seal(nil, nil, nil, bytes.NewReader(octets(0, c.ivLen))); err != nil {
			t.Errorf("%s: %v once there is enough", test.encr, err)
		}
	}
}

func TestNoKeyIsPrinted(t *testing.T) {
	for _, test := range protections {
		c := newTestCipher(t, test.encr, test.integ)
		if out := fmt.Sprintf("%v %+v %#v %d %s", c, c, c, c, c); strings.Trim(out, " [redact]") != "" {
			t.Errorf("%s: %s", test.encr, out)
		}
		sa := struct{ out *Cipher }{c}
		if out := fmt.Sprintf("%+v", sa); strings.Contains(out, "[") { // an address is fine, an array is a key
			t.Errorf("%s in a struct: %s", test.encr, out)
		}
	}
}

func TestSealedBySeedAlone(t *testing.T) {
	for _, test := range protections {
		var bodies [2][]byte
		for i := range bodies {
			c, rnd := newTestCipher(t, test.encr, test.integ), rand.NewChaCha8([32]byte{3})
			for range 3 {
				var err error
				if bodies[i], err = c.Seal(bodies[i], nil, []byte("text"), rnd); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !bytes.Equal(bodies[0], bodies[1]) {
			t.Errorf("%s: the same seed gave different messages", test.encr)
		}
	}
}

func TestNewCipherRefuses(t *testing.T) {
	gcm, cbc := Encryption{spd.EncrAESGCM16, 128}, Encryption{spd.EncrAESCBC, 128}
	for _, test := range []struct {
		name   string
		encr   Encryption
		integ  spd.Integ
		ek, ak int
	}{
		{"NULL", Encryption{ID: spd.EncrNull}, spd.IntegSHA1_96, 0, 20},
		{"an unknown cipher", Encryption{ID: 99}, spd.IntegSHA1_96, 16, 20},
		{"AES without a key length", Encryption{ID: spd.EncrAESCBC}, spd.IntegSHA1_96, 16, 20},
		{"AES with 64 bits", Encryption{spd.EncrAESGCM16, 64}, spd.IntegNone, 12, 0},
		{"3DES with a key length", Encryption{spd.Encr3DES, 192}, spd.IntegSHA1_96, 24, 20},
		{"an AEAD with integrity", gcm, spd.IntegSHA1_96, 20, 20},
		{"CBC without integrity", cbc, spd.IntegNone, 16, 0},
		{"CBC with unknown integrity", cbc, 99, 16, 0},
		{"GCM without its salt", gcm, spd.IntegNone, 16, 0},
		{"a short key", cbc, spd.IntegSHA1_96, 15, 20},
		{"a long key", cbc, spd.IntegSHA1_96, 24, 20},
		{"a short integrity key", cbc, spd.IntegSHA1_96, 16, 19},
		{"an integrity key for an AEAD", gcm, spd.IntegNone, 20, 20},
	} {
		if c, err := NewCipher(test.encr, test.integ, octets(0, test.ek), octets(0, test.ak)); err == nil || c != nil {
			t.Errorf("%s was taken", test.name)
		}
	}
}

// RFC 4106 section 8.1, RFC 4309 section 7.1, RFC 5930, RFC 7634 section 2; RFC 7296 section 2.17 for ESP.
func TestKeyLengths(t *testing.T) {
	for _, test := range []struct {
		suite       ESPSuite
		aead        bool
		encr, integ int
	}{
		{ESPSuite{Encr: Encryption{spd.EncrAESCBC, 256}, Integ: spd.IntegSHA512_256}, false, 32, 64},
		{ESPSuite{Encr: Encryption{spd.EncrAESCTR, 128}, Integ: spd.IntegSHA1_96}, false, 20, 20},
		{ESPSuite{Encr: Encryption{spd.EncrAESGCM8, 192}}, true, 28, 0},
		{ESPSuite{Encr: Encryption{spd.EncrAESGCM16, 256}}, true, 36, 0},
		{ESPSuite{Encr: Encryption{spd.EncrAESCCM8, 128}}, true, 19, 0},
		{ESPSuite{Encr: Encryption{ID: spd.EncrChaCha20Poly1305}}, true, 36, 0},
		{ESPSuite{Encr: Encryption{ID: spd.Encr3DES}, Integ: spd.IntegAESXCBC96}, false, 24, 16},
		{ESPSuite{Encr: Encryption{ID: spd.EncrNull}, Integ: spd.IntegSHA256_128}, false, 0, 32},
	} {
		encr, integ := ESPKeyLens(test.suite)
		if encr != test.encr || integ != test.integ || IsAEAD(test.suite.Encr.ID) != test.aead {
			t.Errorf("%s: %d and %d octets, want %d and %d", test.suite, encr, integ, test.encr, test.integ)
		}
	}
}
