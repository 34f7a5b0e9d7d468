package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"mipsecd/spd"
)

// Encryption is an encryption algorithm and its key length, the one transform attribute of IKEv2 (RFC 7296 section
// 3.3.5).
type Encryption struct {
	ID spd.Encr
	// KeyBits is 128, 192 or 256 for AES, without the salt, and 0 where the algorithm has a fixed key.
	KeyBits uint16
}

// encryption is a row of the table of transform type 1. A cipher has either aead or mode; NULL has neither, as IKE never
// uses it.
type encryption struct {
	name, variant string // the word of a proposal; the bits of an AES key stand between the two
	keyLen        int    // octets of a fixed key; 0 for AES
	saltLen       int    // octets of keying material that follow the key
	ivLen         int    // octets of the IV that messages carry
	blockLen      int    // messages are padded to a multiple of it
	aead          func(key []byte) (cipher.AEAD, error)
	mode          func(key, salt []byte) (mode, error)
}

var encryptions = map[spd.Encr]encryption{
	spd.Encr3DES:     {name: "3des", keyLen: 24, ivLen: 8, blockLen: 8, mode: newCBC(des.NewTripleDESCipher)},
	spd.EncrNull:     {name: "null"},
	spd.EncrAESCBC:   {name: "aes", ivLen: 16, blockLen: 16, mode: newCBC(aes.NewCipher)},
	spd.EncrAESCTR:   {name: "aes", variant: "ctr", saltLen: 4, ivLen: 8, blockLen: 1, mode: newCTR},
	spd.EncrAESCCM8:  {name: "aes", variant: "ccm8", saltLen: 3, ivLen: 8, blockLen: 1, aead: aesCCM(8)},
	spd.EncrAESCCM12: {name: "aes", variant: "ccm12", saltLen: 3, ivLen: 8, blockLen: 1, aead: aesCCM(12)},
	spd.EncrAESCCM16: {name: "aes", variant: "ccm16", saltLen: 3, ivLen: 8, blockLen: 1, aead: aesCCM(16)},
	spd.EncrAESGCM8:  {name: "aes", variant: "gcm8", saltLen: 4, ivLen: 8, blockLen: 1, aead: aesGCM(8)},
	spd.EncrAESGCM12: {name: "aes", variant: "gcm12", saltLen: 4, ivLen: 8, blockLen: 1, aead: aesGCM(12)},
	spd.EncrAESGCM16: {name: "aes", variant: "gcm16", saltLen: 4, ivLen: 8, blockLen: 1, aead: aesGCM(16)},
	spd.EncrChaCha20Poly1305: {
		name: "chacha20poly1305", keyLen: chacha20poly1305.KeySize, saltLen: 4, ivLen: 8, blockLen: 1,
		aead: chacha20poly1305.New,
	},
}

// keyBits lists the KeyBits that the algorithm takes.
func (alg encryption) keyBits() []uint16 {
	if alg.name == "aes" {
		return []uint16{128, 192, 256}
	}
	return []uint16{0}
}

// KeyLen is the octets of keying material that e takes, with the salt that follows the key in CTR mode and in AEAD
// ciphers (RFC 4106 section 8.1, RFC 4309 section 7.1, RFC 5282 section 7.1, RFC 7634 section 2). It is 0 for NULL and
// for what this package does not know.
func KeyLen(e Encryption) int {
	alg := encryptions[e.ID]
	for _, bits := range alg.keyBits() {
		if e.KeyBits == bits {
			return int(bits/8) + alg.keyLen + alg.saltLen
		}
	}
	return 0
}

// IsAEAD reports whether the algorithm protects integrity, too, so that no integrity algorithm goes with it.
func IsAEAD(id spd.Encr) bool { return encryptions[id].aead != nil }

// String is the word of the proposal language, such as "aes256gcm16".
func (e Encryption) String() string {
	alg, known := encryptions[e.ID]
	switch {
	case known && e.KeyBits != 0:
		return fmt.Sprintf("%s%d%s", alg.name, e.KeyBits, alg.variant)
	case known:
		return alg.name + alg.variant
	}
	return fmt.Sprintf("encr%d_%d", e.ID, e.KeyBits)
}
