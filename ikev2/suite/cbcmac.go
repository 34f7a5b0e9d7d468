package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"slices"
)

// AES-XCBC-MAC (RFC 3566) and AES-CMAC (RFC 4493) are CBC-MACs that treat the last block specially: a whole one is
// XORed with one subkey, a padded one with another. They differ in how the subkeys come about.

// aesXCBC wants a key of 16 octets.
func aesXCBC(key []byte, data ...[]byte) []byte {
	master := mustAES(key)
	subkey := func(octet byte) []byte {
		k := bytes.Repeat([]byte{octet}, aes.BlockSize)
		master.Encrypt(k, k)
		return k
	}
	return cbcMAC(mustAES(subkey(1)), subkey(2), subkey(3), data)
}

// aesCMAC wants a key of 16 octets.
func aesCMAC(key []byte, data ...[]byte) []byte {
	block := mustAES(key)
	k0 := make([]byte, aes.BlockSize)
	block.Encrypt(k0, k0)
	k1 := double(k0)
	return cbcMAC(block, k1, double(k1), data)
}

// aesXCBCPRF takes a key of any length (RFC 4434 section 2).
func aesXCBCPRF(key []byte, data ...[]byte) []byte {
	if len(key) > aes.BlockSize {
		key = aesXCBC(make([]byte, aes.BlockSize), key)
	}
	return aesXCBC(append(slices.Clone(key), make([]byte, aes.BlockSize-len(key))...), data...)
}

// aesCMACPRF takes a key of any length (RFC 4615 section 3).
func aesCMACPRF(key []byte, data ...[]byte) []byte {
	if len(key) != aes.BlockSize {
		key = aesCMAC(make([]byte, aes.BlockSize), key)
	}
	return aesCMAC(key, data...)
}

// cbcMAC chains the data through block; whole and padded are the two subkeys of the last block.
func cbcMAC(block cipher.Block, whole, padded []byte, data [][]byte) []byte {
	text, subkey := slices.Concat(data...), whole
	if len(text) == 0 || len(text)%aes.BlockSize != 0 {
		text = append(text, 0x80)
		text = append(text, make([]byte, -len(text)&(aes.BlockSize-1))...)
		subkey = padded
	}
	last := text[len(text)-aes.BlockSize:]
	subtle.XORBytes(last, last, subkey)
	tag := make([]byte, aes.BlockSize)
	for ; len(text) > 0; text = text[aes.BlockSize:] {
		subtle.XORBytes(tag, tag, text)
		block.Encrypt(tag, tag)
	}
	return tag
}

// double multiplies by x in GF(2^128) (RFC 4493 section 2.3), in constant time.
func double(k []byte) []byte {
	out := make([]byte, len(k))
	for i := range k {
		out[i] = k[i] << 1
		if i+1 < len(k) {
			out[i] |= k[i+1] >> 7
		}
	}
	out[len(k)-1] ^= 0x87 & -(k[0] >> 7)
	return out
}

// mustAES is AES-128. The lengths of keys are the callers' to keep.
func mustAES(key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("suite: " + err.Error())
	}
	return block
}
