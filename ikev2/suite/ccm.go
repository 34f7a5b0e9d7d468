package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// ccmNonceLen is the nonce of AES-CCM in ESP and IKE: a salt of 3 octets and an IV of 8 (RFC 4309 section 4, RFC 5282
// section 4).
const ccmNonceLen = 11

// ccm is Counter with CBC-MAC (RFC 3610). The octets that a block of 16 has beside its first and the nonce count: the
// message's length in the MAC's first block, the block number in the key stream.
type ccm struct {
	block    cipher.Block
	nonceLen int // 7 to 13
	tagLen   int // even, 4 to 16
}

// aesCCM is AES-CCM with a tag of 8, 12 or 16 octets.
func aesCCM(tagLen int) func(key []byte) (cipher.AEAD, error) {
	return func(key []byte) (cipher.AEAD, error) {
		block, err := aes.NewCipher(key)
		return ccm{block, ccmNonceLen, tagLen}, err
	}
}

func (c ccm) NonceSize() int { return c.nonceLen }
func (c ccm) Overhead() int  { return c.tagLen }

// countLen is L of RFC 3610.
func (c ccm) countLen() int { return aes.BlockSize - 1 - c.nonceLen }

func (c ccm) Seal(dst, nonce, text, aad []byte) []byte {
	if n := c.countLen(); n < 8 && uint64(len(text))>>(8*n) != 0 {
		panic("suite: message too long for AES-CCM")
	}
	tag := c.mac(nonce, text, aad)
	stream, mask := c.keyStream(nonce)
	out := append(dst, text...)
	stream.XORKeyStream(out[len(dst):], out[len(dst):])
	subtle.XORBytes(tag[:], tag[:], mask[:])
	return append(out, tag[:c.tagLen]...)
}

func (c ccm) Open(dst, nonce, sealed, aad []byte) ([]byte, error) {
	n := len(sealed) - c.tagLen
	if n < 0 {
		return nil, ErrIntegrity
	}
	stream, mask := c.keyStream(nonce)
	text := make([]byte, n)
	stream.XORKeyStream(text, sealed[:n])
	tag := c.mac(nonce, text, aad)
	subtle.XORBytes(tag[:], tag[:], mask[:])
	if subtle.ConstantTimeCompare(tag[:c.tagLen], sealed[n:]) != 1 {
		return nil, ErrIntegrity
	}
	return append(dst, text...), nil
}

// keyStream is the key stream from block 1 on, and its block 0, which masks the tag (RFC 3610 section 2.3).
func (c ccm) keyStream(nonce []byte) (stream cipher.Stream, mask [aes.BlockSize]byte) {
	var first [aes.BlockSize]byte
	first[0] = byte(c.countLen() - 1)
	copy(first[1:], nonce)
	stream = cipher.NewCTR(c.block, first[:])
	stream.XORKeyStream(mask[:], mask[:])
	return stream, mask
}

// mac is the unmasked tag at full length (RFC 3610 section 2.2).
func (c ccm) mac(nonce, text, aad []byte) (tag [aes.BlockSize]byte) {
	binary.BigEndian.PutUint64(tag[8:], uint64(len(text)))
	tag[0] = byte((c.tagLen-2)/2<<3 | (c.countLen() - 1))
	if len(aad) > 0 {
		tag[0] |= 1 << 6
	}
	copy(tag[1:], nonce)
	c.block.Encrypt(tag[:], tag[:])
	if len(aad) > 0 {
		c.absorb(&tag, append(aadLength(len(aad)), aad...))
	}
	c.absorb(&tag, text)
	return tag
}

// aadLength encodes the length of the associated data, which goes before it.
func aadLength(n int) []byte {
	if n < 0xff00 {
		return binary.BigEndian.AppendUint16(nil, uint16(n))
	}
	return binary.BigEndian.AppendUint32([]byte{0xff, 0xfe}, uint32(n))
}

// absorb chains data, padded with zeros, into the CBC-MAC.
func (c ccm) absorb(tag *[aes.BlockSize]byte, data []byte) {
	for len(data) > 0 {
		n := subtle.XORBytes(tag[:], tag[:], data)
		c.block.Encrypt(tag[:], tag[:])
		data = data[n:]
	}
}
