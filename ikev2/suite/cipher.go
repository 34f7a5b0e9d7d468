package suite

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// ErrIntegrity is what Open returns for a message that was not sealed with the same keys, or was changed since.
var ErrIntegrity = errors.New("encrypted payload: integrity check failed")

// Cipher protects the Encrypted payloads of one direction of an IKE_SA (RFC 7296 section 3.14, RFC 5282). The body of
// the payload is the IV, the ciphertext of plaintext, padding and pad length, and the integrity check value. A Cipher
// must not be used by two goroutines at once.
type Cipher struct {
	aead     cipher.AEAD
	salt     secret.Bytes // the part of the nonce that messages do not carry
	ivLen    int
	blockLen int
	counter  uint64 // the last IV, once counting
	counting bool
}

// NewCipher makes the protection of one direction. ek is SK_ei or SK_er, of KeyLen octets. ak is SK_ai or SK_ar, of
// IntegKeyLen octets: none with an AEAD cipher, whose integ is spd.IntegNone.
func NewCipher(e Encryption, integ spd.Integ, ek, ak secret.Bytes) (*Cipher, error) {
	alg := encryptions[e.ID]
	switch {
	case alg.aead == nil && alg.mode == nil || KeyLen(e) == 0:
		return nil, fmt.Errorf("%s does not protect IKE messages", e)
	case alg.aead != nil && integ != spd.IntegNone:
		return nil, fmt.Errorf("%s takes no integrity algorithm, %s was given", e, integName(integ))
	case alg.mode != nil && IntegLen(integ) == 0:
		return nil, fmt.Errorf("%s wants an integrity algorithm, %s was given", e, integName(integ))
	case len(ek) != KeyLen(e):
		return nil, fmt.Errorf("%s wants a key of %d octets, %d were given", e, KeyLen(e), len(ek))
	case len(ak) != IntegKeyLen(integ):
		return nil, fmt.Errorf("%s wants a key of %d octets, %d were given", integName(integ), IntegKeyLen(integ), len(ak))
	}
	c := &Cipher{ivLen: alg.ivLen, blockLen: alg.blockLen}
	key, salt := ek[:len(ek)-alg.saltLen], ek[len(ek)-alg.saltLen:]
	var err error
	if alg.aead != nil {
		c.salt = slices.Clone(salt)
		c.aead, err = alg.aead(key)
	} else {
		c.aead, err = newEncryptThenMAC(alg, key, salt, integ, ak)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e, err)
	}
	return c, nil
}

// Format writes "[redacted]" whatever the verb. The secrets within cannot: fmt does not ask unexported fields.
func (c *Cipher) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }

// Len is the length in octets of the body that Seal makes of plain octets, so that the lengths in the headers, which
// Seal protects, can be filled in first.
func (c *Cipher) Len(plain int) int {
	return c.ivLen + plain + c.padLen(plain) + 1 + c.aead.Overhead()
}

// Room is the most octets of plain for which Len is at most body; negative when there are none.
func (c *Cipher) Room(body int) int {
	text := body - c.ivLen - c.aead.Overhead()
	return text - text%c.blockLen - 1
}

// padLen is the least padding that makes plain octets, padding and pad length a multiple of the block.
func (c *Cipher) padLen(plain int) int { return c.blockLen - 1 - plain%c.blockLen }

// Seal appends the body to dst. aad is the message before the body: from the first octet of the IKE header to the last
// one of the Encrypted payload's header (and, in a fragment, of its numbers); it may be a part of dst. Of rnd Seal
// reads an IV each time for CBC, and once for the other modes, which count on from there: 2^64 messages before an IV
// comes again under one key. The only error is that of rnd.
func (c *Cipher) Seal(dst []byte, aad, plain []byte, rnd io.Reader) ([]byte, error) {
	body := make([]byte, c.ivLen, c.Len(len(plain)))
	if err := c.nextIV(body, rnd); err != nil {
		return nil, fmt.Errorf("initialization vector: %w", err)
	}
	nonce := c.nonce(body)
	pad := c.padLen(len(plain))
	text := append(body[c.ivLen:], plain...)
	text = append(text, make([]byte, pad)...)
	text = append(text, byte(pad))
	text = c.aead.Seal(text[:0], nonce, text, aad)
	return append(dst, body[:c.ivLen+len(text)]...), nil
}

func (c *Cipher) nonce(iv []byte) []byte { return slices.Concat(c.salt, iv) }

func (c *Cipher) nextIV(iv []byte, rnd io.Reader) error {
	if c.counting {
		c.counter++
		binary.BigEndian.PutUint64(iv, c.counter)
		return nil
	}
	if _, err := io.ReadFull(rnd, iv); err != nil {
		return err
	}
	if c.blockLen == 1 {
		c.counter, c.counting = binary.BigEndian.Uint64(iv), true
	}
	return nil
}

// Open verifies a body against the aad before it and returns the plaintext without the padding. It leaves its input
// as it is. Any padding up to 255 octets is accepted, as RFC 7296 section 3.14 wants.
func (c *Cipher) Open(aad, body []byte) ([]byte, error) {
	if least := c.Len(0); len(body) < least {
		return nil, fmt.Errorf("encrypted payload: body of %d octets, at least %d wanted", len(body), least)
	}
	iv, sealed := body[:c.ivLen], body[c.ivLen:]
	if n := len(sealed) - c.aead.Overhead(); n%c.blockLen != 0 {
		return nil, fmt.Errorf("encrypted payload: ciphertext of %d octets, a multiple of %d wanted", n, c.blockLen)
	}
	text, err := c.aead.Open(nil, c.nonce(iv), sealed, aad)
	if err != nil {
		return nil, ErrIntegrity
	}
	last := len(text) - 1
	pad := int(text[last])
	if pad > last {
		return nil, fmt.Errorf("encrypted payload: pad length %d, at most %d wanted", pad, last)
	}
	return text[:last-pad], nil
}
