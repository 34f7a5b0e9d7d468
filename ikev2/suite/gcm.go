package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// aesGCM is AES-GCM with a tag of 8, 12 or 16 octets (RFC 4106, RFC 5282).
func aesGCM(tagLen int) func(key []byte) (cipher.AEAD, error) {
	return func(key []byte) (cipher.AEAD, error) {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if tagLen >= 12 {
			return cipher.NewGCMWithTagSize(block, tagLen)
		}
		full, err := cipher.NewGCM(block)
		return shortTag{full, tagLen}, err
	}
}

// shortTag is GCM with a tag shorter than the 12 octets at which the standard library stops.
type shortTag struct {
	cipher.AEAD
	tagLen int
}

func (g shortTag) Overhead() int { return g.tagLen }

func (g shortTag) Seal(dst, nonce, text, aad []byte) []byte {
	sealed := g.AEAD.Seal(nil, nonce, text, aad)
	return append(dst, sealed[:len(text)+g.tagLen]...)
}

// Open decrypts, seals what came out and compares the tags. GCM encrypts by XOR with a key stream, so to seal the
// ciphertext is to decrypt it.
func (g shortTag) Open(dst, nonce, sealed, aad []byte) ([]byte, error) {
	n := len(sealed) - g.tagLen
	if n < 0 {
		return nil, ErrIntegrity
	}
	text := g.AEAD.Seal(nil, nonce, sealed[:n], nil)[:n]
	again := g.AEAD.Seal(nil, nonce, text, aad)
	if subtle.ConstantTimeCompare(again[n:n+g.tagLen], sealed[n:]) != 1 {
		return nil, ErrIntegrity
	}
	return append(dst, text...), nil
}
