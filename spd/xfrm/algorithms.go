//go:build linux

package xfrm

import (
	"bytes"

	"mipsecd/internal/cursor"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// cipher is an encryption algorithm as the kernel names it. icv is the length in bits of an AEAD cipher's check value;
// zero for other ciphers. The key has the salt at its end, as spd.Transform has it.
type cipher struct {
	encr spd.Encr
	name string
	icv  uint32
}

var ciphers = []cipher{
	{spd.Encr3DES, "cbc(des3_ede)", 0},
	{spd.EncrNull, "ecb(cipher_null)", 0},
	{spd.EncrAESCBC, "cbc(aes)", 0},
	{spd.EncrAESCTR, "rfc3686(ctr(aes))", 0},
	{spd.EncrAESCCM8, "rfc4309(ccm(aes))", 64},
	{spd.EncrAESCCM12, "rfc4309(ccm(aes))", 96},
	{spd.EncrAESCCM16, "rfc4309(ccm(aes))", 128},
	{spd.EncrAESGCM8, "rfc4106(gcm(aes))", 64},
	{spd.EncrAESGCM12, "rfc4106(gcm(aes))", 96},
	{spd.EncrAESGCM16, "rfc4106(gcm(aes))", 128},
	{spd.EncrChaCha20Poly1305, "rfc7539esp(chacha20,poly1305)", 128},
}

// mac is an integrity algorithm as the kernel names it, with the length in bits that its output is truncated to.
type mac struct {
	integ spd.Integ
	name  string
	trunc uint32
}

var macs = []mac{
	{spd.IntegSHA1_96, "hmac(sha1)", 96},
	{spd.IntegAESXCBC96, "xcbc(aes)", 96},
	{spd.IntegAESCMAC96, "cmac(aes)", 96},
	{spd.IntegSHA256_128, "hmac(sha256)", 128},
	{spd.IntegSHA384_192, "hmac(sha384)", 192},
	{spd.IntegSHA512_256, "hmac(sha512)", 256},
}

func cipherOf(encr spd.Encr) (cipher, error) {
	for _, c := range ciphers {
		if c.encr == encr {
			return c, nil
		}
	}
	return cipher{}, invalid("encryption algorithm %d is not known", encr)
}

func macOf(integ spd.Integ) (mac, error) {
	for _, m := range macs {
		if m.integ == integ {
			return m, nil
		}
	}
	return mac{}, invalid("integrity algorithm %d is not known", integ)
}

// appendTransform writes the algorithms of an SA as attributes: AH has integrity only, ESP an AEAD cipher, or a cipher
// with an integrity algorithm beside it.
func appendTransform(b []byte, proto uint8, t spd.Transform) ([]byte, error) {
	combined := false
	if proto == spd.ESP {
		c, err := cipherOf(t.Encr)
		if err != nil {
			return nil, err
		}
		if combined = c.icv != 0; combined {
			b = appendAlgorithm(b, attrAlgAEAD, c.name, t.EncrKey, c.icv)
		} else {
			b = appendAlgorithm(b, attrAlgCrypt, c.name, t.EncrKey)
		}
	}
	if combined != (t.Integ == spd.IntegNone) {
		return nil, invalid("encryption %d with integrity %d: an AEAD cipher alone, or both, wanted", t.Encr, t.Integ)
	}
	if combined {
		return b, nil
	}
	m, err := macOf(t.Integ)
	if err != nil {
		return nil, err
	}
	return appendAlgorithm(b, attrAlgAuthTrunc, m.name, t.IntegKey, m.trunc), nil
}

// algNameLen is the fixed length of an algorithm's name in struct xfrm_algo and its kin.
const algNameLen = 64

// appendAlgorithm writes a struct xfrm_algo (no tagBits), xfrm_algo_aead or xfrm_algo_auth (one).
func appendAlgorithm(b []byte, kind uint16, name string, key secret.Bytes, tagBits ...uint32) []byte {
	value := append(make([]byte, 0, algNameLen+8+len(key)), name...)
	value = value[:algNameLen]
	value = native.AppendUint32(value, uint32(len(key)*8))
	for _, bits := range tagBits {
		value = native.AppendUint32(value, bits)
	}
	value = append(value, key...)
	b = appendAttribute(b, kind, value)
	clear(value)
	return b
}

// decodeTransform tells the algorithms of an SA, without their keys. found is false for a larval SA, which has none.
// Algorithms that spd has no number for are zero.
func decodeTransform(as attributes) (t spd.Transform, found bool, err error) {
	for _, a := range as {
		if a.kind != attrAlgCrypt && a.kind != attrAlgAEAD && a.kind != attrAlgAuthTrunc {
			continue
		}
		found = true
		r := cursor.Native(a.value)
		name, _, _ := bytes.Cut(r.Bytes(algNameLen), []byte{0})
		keyLen := (int(r.U32()) + 7) / 8
		var tag uint32
		if a.kind != attrAlgCrypt {
			tag = r.U32()
		}
		r.Skip(keyLen)
		if r.Err() != nil {
			return t, found, r.Err()
		}
		if a.kind == attrAlgAuthTrunc {
			t.Integ = integNamed(string(name), tag)
		} else {
			t.Encr = encrNamed(string(name), tag)
		}
	}
	return t, found, nil
}

func encrNamed(name string, icv uint32) spd.Encr {
	for _, c := range ciphers {
		if c.name == name && c.icv == icv {
			return c.encr
		}
	}
	return 0
}

func integNamed(name string, trunc uint32) spd.Integ {
	for _, m := range macs {
		if m.name == name && m.trunc == trunc {
			return m.integ
		}
	}
	return spd.IntegNone
}
