package suite

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"mipsecd/spd"
)

// unhex ignores white space.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// octets is n octets that count up from first.
func octets(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// cmacText is the message of RFC 4493 section 4, of which its examples take the beginning.
const cmacText = `6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
	30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710`

func TestPRFVectors(t *testing.T) {
	counting, cmacKey := octets(0, 20), unhex(t, "2b7e151628aed2a6abf7158809cf4f3c")
	long := append(octets(0, 16), 0xed, 0xcb)
	hiThere, jefe, fifty := bytes.Repeat([]byte{0x0b}, 20), []byte("Jefe"), bytes.Repeat([]byte{0xcd}, 50)
	question := []byte("what do ya want for nothing?")
	for _, test := range []struct {
		name      string
		prf       PRF
		key, data []byte
		want      string
	}{
		{"RFC 2202 section 3 case 1", PRFHMACSHA1, hiThere, []byte("Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00"},
		{"RFC 2202 section 3 case 2", PRFHMACSHA1, jefe, question, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
		{"RFC 2202 section 3 case 4", PRFHMACSHA1, octets(1, 25), fifty, "4c9007f4026250c6bc8414f9bf50c86c2d7235da"},
		{"RFC 4231 section 4.2", PRFHMACSHA256, hiThere, []byte("Hi There"),
			"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"RFC 4231 section 4.3", PRFHMACSHA384, jefe, question,
			"af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"},
		{"RFC 4231 section 4.5", PRFHMACSHA256, octets(1, 25), fifty,
			"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
		{"RFC 4231 section 4.3", PRFHMACSHA512, jefe, question,
			`164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554
			9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737`},
		{"RFC 3566 section 4.6 case 1", PRFAESXCBC, octets(0, 16), nil, "75f0251d528ac01c4573dfd584d79f29"},
		{"RFC 3566 section 4.6 case 2", PRFAESXCBC, octets(0, 16), octets(0, 3), "5b376580ae2f19afe7219ceef172756f"},
		{"RFC 3566 section 4.6 case 3", PRFAESXCBC, octets(0, 16), octets(0, 16), "d2a246fa349b68a79998a4394ff7a263"},
		{"RFC 3566 section 4.6 case 5", PRFAESXCBC, octets(0, 16), octets(0, 32), "f54f0ec8d2b9f3d36807734bd5283fd4"},
		{"RFC 4434 section 2.1 16 octets", PRFAESXCBC, octets(0, 16), counting, "47f51b4564966215b8985c63055ed308"},
		{"RFC 4434 section 2.1 10 octets", PRFAESXCBC, octets(0, 10), counting, "0fa087af7d866e7653434e602fdde835"},
		{"RFC 4434 section 2.1 18 octets", PRFAESXCBC, long, counting, "8cd3c93ae598a9803006ffb67c40e9e4"},
		{"RFC 4493 section 4 example 1", PRFAESCMAC, cmacKey, nil, "bb1d6929e95937287fa37d129b756746"},
		{"RFC 4493 section 4 example 2", PRFAESCMAC, cmacKey, unhex(t, cmacText)[:16], "070a16b46b4d4144f79bdd9dd04a287c"},
		{"RFC 4493 section 4 example 3", PRFAESCMAC, cmacKey, unhex(t, cmacText)[:40], "dfa66747de9ae63030ca32611497c827"},
		{"RFC 4493 section 4 example 4", PRFAESCMAC, cmacKey, unhex(t, cmacText), "51f0bebf7e3b9d92fc49741779363cfe"},
		{"RFC 4615 section 4 18 octets", PRFAESCMAC, long, counting, "84a348a4a45d235babfffc0d2b4da09a"},
		{"RFC 4615 section 4 16 octets", PRFAESCMAC, octets(0, 16), counting, "980ae87b5f4c9c5214f5b6a8455e4c2d"},
		{"RFC 4615 section 4 10 octets", PRFAESCMAC, octets(0, 10), counting, "290d9e112edb09ee141fcf64c0b72f3d"},
	} {
		want := unhex(t, test.want)
		if got := test.prf.Sum(test.key, test.data); !bytes.Equal(got, want) || test.prf.Size() != len(want) {
			t.Errorf("%s, %s: %x of %d octets, want %x", test.name, test.prf, got, test.prf.Size(), want)
		}
		half := len(test.data) / 2
		if got := test.prf.Sum(test.key, test.data[:half], nil, test.data[half:]); !bytes.Equal(got, want) {
			t.Errorf("%s, %s in parts: %x, want %x", test.name, test.prf, got, want)
		}
	}
}

// The vectors of RFC 2202, 4231, 3566 and 4494 cut to the length that is sent.
func TestIntegVectors(t *testing.T) {
	question := "what do ya want for nothing?"
	for _, test := range []struct {
		id     spd.Integ
		key    []byte
		data   string
		keyLen int
		want   string
	}{
		{spd.IntegSHA1_96, []byte("Jefe"), question, 20, "effcdf6ae5eb2fa2d27416d5"},
		{spd.IntegSHA256_128, []byte("Jefe"), question, 32, "5bdcc146bf60754e6a042426089575c7"},
		{spd.IntegSHA384_192, []byte("Jefe"), question, 48, "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47"},
		{spd.IntegSHA512_256, []byte("Jefe"), question, 64,
			"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"},
		{spd.IntegAESXCBC96, octets(0, 16), string(octets(0, 20)), 16, "47f51b4564966215b8985c63"},
		{spd.IntegAESCMAC96, unhex(t, "2b7e151628aed2a6abf7158809cf4f3c"), string(unhex(t, cmacText)), 16,
			"51f0bebf7e3b9d92fc497417"},
	} {
		want := unhex(t, test.want)
		got := IntegSum(test.id, test.key, []byte(test.data[:7]), []byte(test.data[7:]))
		if !bytes.Equal(got, want) || IntegLen(test.id) != len(want) || IntegKeyLen(test.id) != test.keyLen {
			t.Errorf("%s: %x of %d octets with a key of %d, want %x", integName(test.id), got, IntegLen(test.id),
				IntegKeyLen(test.id), want)
		}
	}
	if IntegLen(spd.IntegNone) != 0 || IntegKeyLen(spd.IntegNone) != 0 || IntegLen(99) != 0 {
		t.Error("what is not an integrity algorithm must have no length")
	}
}

// RFC 7296 section 2.13; the octets were computed with Python's hmac.
func TestPRFPlus(t *testing.T) {
	want := unhex(t, `b37071e62b04c19c7654c147a064a96d379da261b35fe098168678098a6e0dbe
		1870cc445cf1560314593d4ccb8e0237703bd7412c7fbfd61b50741c83e4449a c31f891effcba901e1575bbb31fed148`)
	for n := range len(want) + 1 {
		got := PRFHMACSHA256.Plus([]byte("mobile"), []byte("node"), n)
		if !bytes.Equal(got, want[:n]) || cap(got) != n && n > 0 {
			t.Errorf("%d octets: %x with capacity %d", n, got, cap(got))
		}
	}
	all := sha256.Sum256(PRFHMACSHA1.Plus([]byte("mobile"), []byte("node"), 255*20))
	if want := unhex(t, "8d39c8900c842f02078c00faf2e0faf3406ff4f096c40a14db8cdca8696f679e"); !bytes.Equal(all[:], want) {
		t.Errorf("all 255 blocks hash to %x, want %x", all, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a 256th block must panic")
		}
	}()
	PRFHMACSHA1.Plus(nil, nil, 255*20+1)
}

// RFC 7296 section 2.14.
func TestSKEYSEEDKey(t *testing.T) {
	ni, nr := octets(0, 32), octets(0x80, 16)
	both := append(octets(0, 32), octets(0x80, 16)...)
	cut := append(octets(0, 8), octets(0x80, 8)...)
	for prf, want := range map[PRF][]byte{
		PRFHMACSHA1: both, PRFHMACSHA256: both, PRFHMACSHA384: both, PRFHMACSHA512: both, PRFAESXCBC: cut, PRFAESCMAC: cut,
	} {
		if got := prf.NonceKey(ni, nr); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", prf, got, want)
		}
	}
	if got := PRFAESCMAC.NonceKey([]byte{1}, []byte{2}); !bytes.Equal(got, []byte{1, 2}) {
		t.Errorf("short nonces: %x", got)
	}
}
