package suite

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	"mipsecd/spd"
)

// mac is a keyed hash at its full length.
type mac func(key []byte, data ...[]byte) []byte

func hmacWith(newHash func() hash.Hash) mac {
	return func(key []byte, data ...[]byte) []byte {
		h := hmac.New(newHash, key)
		for _, d := range data {
			h.Write(d)
		}
		return h.Sum(nil)
	}
}

// integrities is the table of transform type 3: RFC 2404, RFC 3566, RFC 4494, RFC 4868.
var integrities = map[spd.Integ]struct {
	name   string
	keyLen int
	len    int // what of the hash is sent
	prf    PRF // the one of the same construction
	sum    mac
}{
	spd.IntegSHA1_96:    {"sha1", sha1.Size, 12, PRFHMACSHA1, hmacWith(sha1.New)},
	spd.IntegAESXCBC96:  {"aesxcbc", 16, 12, PRFAESXCBC, aesXCBC},
	spd.IntegAESCMAC96:  {"aescmac", 16, 12, PRFAESCMAC, aesCMAC},
	spd.IntegSHA256_128: {"sha256", sha256.Size, 16, PRFHMACSHA256, hmacWith(sha256.New)},
	spd.IntegSHA384_192: {"sha384", sha512.Size384, 24, PRFHMACSHA384, hmacWith(sha512.New384)},
	spd.IntegSHA512_256: {"sha512", sha512.Size, 32, PRFHMACSHA512, hmacWith(sha512.New)},
}

// IntegSum is the integrity check value of the concatenated data. id must be one of spd's but IntegNone, and key of
// IntegKeyLen octets.
func IntegSum(id spd.Integ, key []byte, data ...[]byte) []byte {
	alg := integrities[id]
	return alg.sum(key, data...)[:alg.len]
}

// IntegKeyLen is the octets of keying material that id takes; 0 for IntegNone and for what this package does not know.
func IntegKeyLen(id spd.Integ) int { return integrities[id].keyLen }

// IntegLen is the octets of an integrity check value; 0 for IntegNone and for what this package does not know.
func IntegLen(id spd.Integ) int { return integrities[id].len }

// integName is the word of the proposal language, such as "sha256".
func integName(id spd.Integ) string {
	if alg, ok := integrities[id]; ok {
		return alg.name
	}
	if id == spd.IntegNone {
		return "none"
	}
	return fmt.Sprintf("integ%d", id)
}
