package suite

import (
	"crypto/ecdh"
	"fmt"
	"io"
	"slices"

	"mipsecd/internal/secret"
)

// Group is a key exchange method by its transform identifier (RFC 7296 section 3.3.2, transform type 4; RFC 9370 gives
// types 6 to 12 the same identifiers). Not all are groups in the sense of Diffie and Hellman, but all were when they got
// the name.
type Group uint16

// The groups. GroupNone stands for no key exchange, which a Child SA may do without.
const (
	GroupNone Group = 0
	MODP1536  Group = 5 // RFC 3526, as are the other MODP groups
	MODP2048  Group = 14
	MODP3072  Group = 15
	MODP4096  Group = 16
	MODP6144  Group = 17
	MODP8192  Group = 18
	P256      Group = 19 // RFC 5903, as are the next two
	P384      Group = 20
	P521      Group = 21
	X25519    Group = 31 // RFC 8031
	MLKEM768  Group = 36 // FIPS 203, as is the next
	MLKEM1024 Group = 37
)

// keyExchange is a family of groups: either both sides generate a key, or it is a kem.
type keyExchange interface {
	publicLen() int
	generate(rnd io.Reader) (*KEKey, error)
}

// The private exponents of the MODP groups have at least twice the bits of the group's strength as NIST SP 800-57
// estimates it: 112 for MODP2048, 200 for MODP8192.
var groups = map[Group]struct {
	name   string
	method keyExchange
}{
	MODP1536: {"modp1536", newMODP(1536, 741804, 256)},
	MODP2048: {"modp2048", newMODP(2048, 124476, 256)},
	MODP3072: {"modp3072", newMODP(3072, 1690314, 256)},
	MODP4096: {"modp4096", newMODP(4096, 240904, 304)},
	MODP6144: {"modp6144", newMODP(6144, 929484, 352)},
	MODP8192: {"modp8192", newMODP(8192, 4743158, 400)},
	P256:     {"ecp256", curve{ecdh.P256(), 256, uncompressed}},
	P384:     {"ecp384", curve{ecdh.P384(), 384, uncompressed}},
	P521:     {"ecp521", curve{ecdh.P521(), 521, uncompressed}},
	X25519:   {"x25519", curve{ecdh.X25519(), 256, nil}},

	MLKEM768:  {"mlkem768", mlkem768},
	MLKEM1024: {"mlkem1024", mlkem1024},
}

// Supported reports whether GenerateKE knows the group.
func Supported(g Group) bool { return groups[g].method != nil }

// PublicLen is the octets of an initiator's public value, which is the Key Exchange Data of its KE payload; 0 if g is not
// supported.
func PublicLen(g Group) int {
	if !Supported(g) {
		return 0
	}
	return groups[g].method.publicLen()
}

// String is the word of the proposal language, such as "x25519".
func (g Group) String() string {
	if alg, ok := groups[g]; ok {
		return alg.name
	}
	if g == GroupNone {
		return "modpnone"
	}
	return fmt.Sprintf("group%d", uint16(g))
}

// KEKey is the initiator's half of one key exchange. It must not be used for a second one (RFC 7296 section 2.12).
type KEKey struct {
	public    []byte
	answerLen int // octets of the responder's value
	agree     func(answer []byte) ([]byte, error)
}

// GenerateKE makes a private key of the octets of rnd and computes the public value from it. The errors are a group
// that is not supported and those of rnd.
func GenerateKE(g Group, rnd io.Reader) (*KEKey, error) {
	if !Supported(g) {
		return nil, fmt.Errorf("%s is not a key exchange this program knows", g)
	}
	k, err := groups[g].method.generate(rnd)
	if err != nil {
		return nil, fmt.Errorf("private key for %s: %w", g, err)
	}
	return k, nil
}

// Public is the value to send, PublicLen octets.
func (k *KEKey) Public() []byte { return slices.Clone(k.public) }

// Shared is the secret that the responder's value gives: g^ir, at the full length of the group's prime or coordinate, or
// the 32 octets of ML-KEM. It fails, whatever this side's key is, on a value that does not pass the tests of RFC 6989
// section 2, whose section 2.5 says what to answer, or is not of the length of a ciphertext. Another ciphertext never
// fails: it gives a secret that nobody shares.
func (k *KEKey) Shared(answer []byte) (secret.Bytes, error) {
	if len(answer) != k.answerLen {
		return nil, fmt.Errorf("key exchange data of %d octets, %d wanted", len(answer), k.answerLen)
	}
	shared, err := k.agree(answer)
	if err != nil {
		return nil, fmt.Errorf("key exchange data: %w", err)
	}
	return shared, nil
}

// AnswerKE is the responder's half of a key exchange: its public value and the secret, from the initiator's value. The
// errors are those of GenerateKE and Shared.
func AnswerKE(g Group, rnd io.Reader, theirs []byte) (public []byte, shared secret.Bytes, err error) {
	if m, ok := groups[g].method.(kem); ok {
		public, shared, err := m.answer(theirs)
		if err != nil {
			return nil, nil, fmt.Errorf("key exchange data: %w", err)
		}
		return public, shared, nil
	}
	k, err := GenerateKE(g, rnd)
	if err != nil {
		return nil, nil, err
	}
	if shared, err = k.Shared(theirs); err != nil {
		return nil, nil, err
	}
	return k.Public(), shared, nil
}
