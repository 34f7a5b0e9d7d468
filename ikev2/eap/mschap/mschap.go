// Package mschap is the arithmetic of MS-CHAPv2 (RFC 2759 section 8) and of the keys that come of it (RFC 3079 section 3).
// It is as strong as DES and MD4 are: use it inside of what proves the server first, as IKEv2 does.
package mschap

import (
	"bytes"
	"crypto/des"
	"crypto/sha1"
	"encoding/binary"
	"unicode/utf16"

	//lint:ignore SA1019 MS-CHAPv2 is made of it
	"golang.org/x/crypto/md4"

	"mipsecd/internal/secret"
)

// Lengths in octets.
const (
	ChallengeLen = 16
	ResponseLen  = 24
	KeyLen       = 16 // of each of the two keys
	ProofLen     = sha1.Size
)

// Exchange is what both sides know of one authentication.
type Exchange struct {
	Server, Peer [ChallengeLen]byte // challenges
	// User is the peer's name as it says it. What is before a backslash is a domain, which is left out of the computation.
	User     []byte
	Password secret.Bytes // in UTF-8
}

// challenge is ChallengeHash (RFC 2759 section 8.2).
func (x *Exchange) challenge() []byte {
	h := sha1.New()
	h.Write(x.Peer[:])
	h.Write(x.Server[:])
	h.Write(x.User[bytes.LastIndexByte(x.User, '\\')+1:])
	return h.Sum(nil)[:8]
}

// passwordHash is NtPasswordHash (RFC 2759 section 8.3).
func (x *Exchange) passwordHash() secret.Bytes {
	h := md4.New()
	for _, unit := range utf16.Encode([]rune(string(x.Password))) {
		h.Write(binary.LittleEndian.AppendUint16(nil, unit))
	}
	return h.Sum(nil)
}

// passwordHashHash is HashNtPasswordHash (RFC 2759 section 8.4).
func (x *Exchange) passwordHashHash() secret.Bytes {
	h := md4.New()
	h.Write(x.passwordHash())
	return h.Sum(nil)
}

// Response is GenerateNTResponse (RFC 2759 section 8.1): it proves that the peer has the password.
func (x *Exchange) Response() []byte {
	// ChallengeResponse (section 8.5) takes the hash as the keys of three ciphers.
	keys := append(x.passwordHash(), 0, 0, 0, 0, 0)
	var out [ResponseLen]byte
	for i := range 3 {
		encrypt(out[i*8:], x.challenge(), keys[i*7:i*7+7])
	}
	return out[:]
}

// encrypt is DesEncrypt (RFC 2759 section 8.6). DES wants a bit of parity after each seven of the key, and ignores it.
func encrypt(out, clear, key []byte) {
	var bits uint64
	for _, b := range key {
		bits = bits<<8 | uint64(b)
	}
	var spread [8]byte
	for i := range spread {
		spread[7-i] = byte(bits>>(7*i)) << 1
	}
	c, err := des.NewCipher(spread[:])
	if err != nil {
		panic(err) // the key has eight octets
	}
	c.Encrypt(out, clear)
}

// Proof is the octets of GenerateAuthenticatorResponse (RFC 2759 section 8.7): it proves that the server has the password.
func (x *Exchange) Proof(response []byte) []byte {
	h := sha1.New()
	h.Write(x.passwordHashHash())
	h.Write(response)
	h.Write([]byte("Magic server to client signing constant"))
	digest := h.Sum(nil)
	h = sha1.New()
	h.Write(digest)
	h.Write(x.challenge())
	h.Write([]byte("Pad to make it do more than one iteration"))
	return h.Sum(nil)
}

// Keys are the master session keys of RFC 3079 section 3.3: MasterReceiveKey and MasterSendKey as the server has them.
func (x *Exchange) Keys(response []byte) (receive, send secret.Bytes) {
	h := sha1.New()
	h.Write(x.passwordHashHash())
	h.Write(response)
	h.Write([]byte("This is the MPPE Master Key"))
	master := h.Sum(nil)[:16]
	key := func(magic string) secret.Bytes {
		h := sha1.New()
		h.Write(master)
		h.Write(make([]byte, 40))
		h.Write([]byte(magic))
		h.Write(bytes.Repeat([]byte{0xf2}, 40))
		return h.Sum(nil)[:KeyLen]
	}
	const onPeer, onServer = "On the client side, this is the ", "; on the server side, it is the "
	return key(onPeer + "send key" + onServer + "receive key."), key(onPeer + "receive key" + onServer + "send key.")
}
