package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"testing"
)

type aeadVector struct {
	name             string
	aead             cipher.AEAD
	nonce, text, aad []byte
	sealed           string
}

func aeadVectors(t *testing.T) []aeadVector {
	aesBlock := func(key []byte) cipher.Block {
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		return block
	}
	gcmKey := unhex(t, "feffe9928665731c6d6a8f9467308308")
	full, err := cipher.NewGCM(aesBlock(gcmKey))
	if err != nil {
		t.Fatal(err)
	}
	rfc3610, sp80038c := aesBlock(octets(0xc0, 16)), aesBlock(octets(0x40, 16))
	longAAD := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(7 * i)
		}
		return b
	}
	ours := ccm{aesBlock(octets(0, 16)), ccmNonceLen, 16}
	return []aeadVector{
		{"RFC 3610 section 8 vector 1", ccm{rfc3610, 13, 8}, unhex(t, "00000003020100a0a1a2a3a4a5"), octets(8, 23),
			octets(0, 8), "588c979a61c663d2f066d0c2c0f989806d5f6b61dac384 17e8d12cfdf926e0"},
		{"RFC 3610 section 8 vector 2", ccm{rfc3610, 13, 8}, unhex(t, "00000004030201a0a1a2a3a4a5"), octets(8, 24),
			octets(0, 8), "72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3b a091d56e10400916"},
		{"RFC 3610 section 8 vector 4", ccm{rfc3610, 13, 8}, unhex(t, "00000006050403a0a1a2a3a4a5"), octets(12, 19),
			octets(0, 12), "a28c6865939a9a79faaa5c4c2a9d4a91cdac8c 96c861b9c9e61ef1"},
		{"SP 800-38C example 1", ccm{sp80038c, 7, 4}, octets(0x10, 7), octets(0x20, 4), octets(0, 8),
			"7162015b 4dac255d"},
		{"SP 800-38C example 2", ccm{sp80038c, 8, 6}, octets(0x10, 8), octets(0x20, 16), octets(0, 16),
			"d2a1f0e051ea5f62081a7792073d593d 1fc64fbfaccd"},
		{"SP 800-38C example 3", ccm{sp80038c, 12, 8}, octets(0x10, 12), octets(0x20, 24), octets(0, 20),
			"e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5 484392fbc1b09951"},
		{"SP 800-38C example 4", ccm{sp80038c, 13, 14}, octets(0x10, 13), octets(0x20, 32), octets(0, 65536),
			"69915dad1e84c6376a68c2967e4dab615ae0fd1faec44cc484828529463ccf72 b4ac6bec93e8598e7f0dadbcea5b"},
		// The next three were computed with OpenSSL: about 0xff00 the length of associated data is written otherwise.
		{"associated data of 0xfeff octets", ours, octets(0, 11), []byte("mobile"), longAAD(0xfeff),
			"52f347c2ba2d 52a10d42f0bbb91e47d8331544f41a89"},
		{"associated data of 0xff00 octets", ours, octets(0, 11), []byte("mobile"), longAAD(0xff00),
			"52f347c2ba2d 0d2eb4b06a70fb3053a0f55bb59ca343"},
		{"associated data of 0x10001 octets", ours, octets(0, 11), []byte("mobile"), longAAD(0x10001),
			"52f347c2ba2d ff3da9ea54e12fa7c0fad60dbafee348"},
		{"GCM specification test case 4, tag cut", shortTag{full, 8}, unhex(t, "cafebabefacedbaddecaf888"),
			unhex(t, `d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
				1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39`),
			unhex(t, "feedfacedeadbeeffeedfacedeadbeefabaddad2"),
			`42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
				21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091 5bc94fbc3221a5db`},
	}
}

func TestAEADVectors(t *testing.T) {
	for _, test := range aeadVectors(t) {
		want := unhex(t, test.sealed)
		got := test.aead.Seal([]byte("dst"), test.nonce, test.text, test.aad)
		if !bytes.Equal(got, append([]byte("dst"), want...)) {
			t.Errorf("%s: sealed to %x, want %x", test.name, got[3:], want)
		}
		text, err := test.aead.Open([]byte("dst"), test.nonce, want, test.aad)
		if err != nil || !bytes.Equal(text, append([]byte("dst"), test.text...)) {
			t.Errorf("%s: opened to %x, %v", test.name, text, err)
		}
		for n := range want {
			if text, err := test.aead.Open(nil, test.nonce, want[:n], test.aad); err == nil {
				t.Errorf("%s: the first %d octets opened to %x", test.name, n, text)
			}
		}
	}
}

func TestCCMRefusesMessagesItCannotCount(t *testing.T) {
	block, err := aes.NewCipher(octets(0, 16))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("65536 octets were sealed, though two octets count them")
		}
	}()
	ccm{block, 13, 8}.Seal(nil, octets(0, 13), make([]byte, 65536), nil)
}
