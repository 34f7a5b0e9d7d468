package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"slices"

	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// mode is a cipher without integrity. It works in place.
type mode interface {
	encrypt(iv, text []byte)
	decrypt(iv, text []byte)
}

// cbc is cipher block chaining (RFC 3602 for AES, RFC 2451 for 3DES); text is whole blocks.
type cbc struct{ block cipher.Block }

func newCBC(newBlock func(key []byte) (cipher.Block, error)) func(key, salt []byte) (mode, error) {
	return func(key, _ []byte) (mode, error) {
		block, err := newBlock(key)
		return cbc{block}, err
	}
}

func (c cbc) encrypt(iv, text []byte) { cipher.NewCBCEncrypter(c.block, iv).CryptBlocks(text, text) }
func (c cbc) decrypt(iv, text []byte) { cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(text, text) }

// ctr is AES in counter mode (RFC 3686, RFC 5930): the counter block is salt, IV and a block number from 1.
type ctr struct {
	block cipher.Block
	salt  secret.Bytes
}

func newCTR(key, salt []byte) (mode, error) {
	block, err := aes.NewCipher(key)
	return ctr{block, slices.Clone(salt)}, err
}

func (c ctr) encrypt(iv, text []byte) {
	cipher.NewCTR(c.block, slices.Concat(c.salt, iv, []byte{0, 0, 0, 1})).XORKeyStream(text, text)
}

func (c ctr) decrypt(iv, text []byte) { c.encrypt(iv, text) }

// encryptThenMAC makes an AEAD of a mode and an integrity algorithm as the Encrypted payload combines them: the check
// value is over associated data, IV and ciphertext (RFC 7296 section 3.14). The IV is its nonce.
type encryptThenMAC struct {
	mode  mode
	ivLen int
	integ spd.Integ
	key   secret.Bytes
}

func newEncryptThenMAC(alg encryption, key, salt []byte, integ spd.Integ, ak secret.Bytes) (cipher.AEAD, error) {
	mode, err := alg.mode(key, salt)
	return encryptThenMAC{mode, alg.ivLen, integ, slices.Clone(ak)}, err
}

func (e encryptThenMAC) NonceSize() int { return e.ivLen }
func (e encryptThenMAC) Overhead() int  { return IntegLen(e.integ) }

func (e encryptThenMAC) Seal(dst, iv, text, aad []byte) []byte {
	out := append(dst, text...)
	ciphertext := out[len(dst):]
	e.mode.encrypt(iv, ciphertext)
	return append(out, IntegSum(e.integ, e.key, aad, iv, ciphertext)...)
}

func (e encryptThenMAC) Open(dst, iv, sealed, aad []byte) ([]byte, error) {
	n := len(sealed) - e.Overhead()
	if n < 0 || subtle.ConstantTimeCompare(IntegSum(e.integ, e.key, aad, iv, sealed[:n]), sealed[n:]) != 1 {
		return nil, ErrIntegrity
	}
	out := append(dst, sealed[:n]...)
	e.mode.decrypt(iv, out[len(dst):])
	return out, nil
}
