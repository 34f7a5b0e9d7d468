package suite

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"slices"
)

// PRF is a pseudorandom function by its transform identifier (RFC 7296 section 3.3.2, transform type 2). The methods
// other than String want one of the constants.
type PRF uint16

// The pseudorandom functions.
const (
	PRFHMACSHA1   PRF = 2
	PRFAESXCBC    PRF = 4 // RFC 4434
	PRFHMACSHA256 PRF = 5 // RFC 4868, as are the next two
	PRFHMACSHA384 PRF = 6
	PRFHMACSHA512 PRF = 7
	PRFAESCMAC    PRF = 8 // RFC 4615
)

var prfs = map[PRF]struct {
	name string
	size int
	sum  mac
}{
	PRFHMACSHA1:   {"prfsha1", sha1.Size, hmacWith(sha1.New)},
	PRFAESXCBC:    {"prfaesxcbc", 16, aesXCBCPRF},
	PRFHMACSHA256: {"prfsha256", sha256.Size, hmacWith(sha256.New)},
	PRFHMACSHA384: {"prfsha384", sha512.Size384, hmacWith(sha512.New384)},
	PRFHMACSHA512: {"prfsha512", sha512.Size, hmacWith(sha512.New)},
	PRFAESCMAC:    {"prfaescmac", 16, aesCMACPRF},
}

// Size is the octets of the output and of the preferred key, which is the length of SK_d, SK_pi and SK_pr.
func (p PRF) Size() int { return prfs[p].size }

// Sum is prf(key, data), the data being concatenated. The key may have any length.
func (p PRF) Sum(key []byte, data ...[]byte) []byte { return prfs[p].sum(key, data...) }

// Plus is the first n octets of prf+(key, seed) (RFC 7296 section 2.13). prf+ ends after 255 blocks, which is more than
// any suite takes; to ask for more is a programming error and panics.
func (p PRF) Plus(key, seed []byte, n int) []byte {
	if n > 255*p.Size() {
		panic(fmt.Sprintf("suite: prf+ of %s has %d octets, not %d", p, 255*p.Size(), n))
	}
	var stream, block []byte
	for i := byte(1); len(stream) < n; i++ {
		block = p.Sum(key, block, seed, []byte{i})
		stream = append(stream, block...)
	}
	return stream[:n:n]
}

// NonceKey is the key under which SKEYSEED is computed: both nonces, or the first 64 bits of each with a PRF that
// RFC 7296 section 2.14 treats specially.
func (p PRF) NonceKey(ni, nr []byte) []byte {
	if p == PRFAESXCBC || p == PRFAESCMAC {
		ni, nr = ni[:min(8, len(ni))], nr[:min(8, len(nr))]
	}
	return slices.Concat(ni, nr)
}

// String is the word of the proposal language, such as "prfsha256".
func (p PRF) String() string {
	if alg, ok := prfs[p]; ok {
		return alg.name
	}
	return fmt.Sprintf("prf%d", uint16(p))
}
