// Package suite holds the cryptographic algorithms of IKEv2 and the language in which they are proposed.
//
// Each kind of algorithm is a table by transform identifier (RFC 7296 section 3.3.2): encryption, integrity, PRF and
// key exchange group. A [Proposal] names alternatives of each kind, as in "aes128gcm16-prfsha256-x25519"; an [IKESuite]
// or [ESPSuite] is what two proposals have in common. A [Cipher] protects the Encrypted payload, a [KEKey] is the
// initiator's half of a key exchange, [AnswerKE] the responder's.
//
// The package reads no randomness of its own: where some is needed it comes through an io.Reader, and the same octets
// give the same keys and messages. The exception is a responder's secret of ML-KEM, which the standard library makes.
package suite

import "mipsecd/spd"

// IKESuite is the negotiated cryptography of an IKE_SA. Integ is spd.IntegNone with an AEAD cipher.
type IKESuite struct {
	Encr  Encryption
	PRF   PRF
	Integ spd.Integ
	Group Group
	AddKE AddKE
}

// String reads like "aes128gcm16-prfsha256-x25519".
func (s IKESuite) String() string {
	p := Proposal{Encr: []Encryption{s.Encr}, PRF: []PRF{s.PRF}, Groups: []Group{s.Group}, AddKE: s.AddKE.lists()}
	if s.Integ != spd.IntegNone {
		p.Integ = []spd.Integ{s.Integ}
	}
	return p.String()
}

// ESPSuite is the negotiated cryptography of a Child SA. Group is GroupNone where the keys come from SK_d alone.
type ESPSuite struct {
	Encr  Encryption
	Integ spd.Integ
	Group Group
	AddKE AddKE
	ESN   bool
}

// String reads like "aes128-sha256-x25519".
func (s ESPSuite) String() string {
	p := Proposal{Encr: []Encryption{s.Encr}, AddKE: s.AddKE.lists(), ESN: []bool{s.ESN}}
	if s.Integ != spd.IntegNone {
		p.Integ = []spd.Integ{s.Integ}
	}
	if s.Group != GroupNone {
		p.Groups = []Group{s.Group}
	}
	return p.String()
}

// ESPKeyLens is the octets of KEYMAT that one SA of s takes, first for encryption, then for integrity (RFC 7296
// section 2.17). The first includes the salt, as in spd.Transform.
func ESPKeyLens(s ESPSuite) (encr, integ int) { return KeyLen(s.Encr), IntegKeyLen(s.Integ) }
