package suite

import (
	"crypto/ecdh"
	"errors"
	"io"
	"slices"
)

// curve is an elliptic curve. crypto/ecdh holds that a peer's point is on it, and that X25519 does not give zero.
type curve struct {
	ecdh.Curve
	bits   int
	prefix []byte // what crypto/ecdh has before the public value and IKE has not
}

// uncompressed marks a point as x and y. IKE knows no other form and leaves the mark out (RFC 5903 section 7).
var uncompressed = []byte{4}

// maxTries bounds the search for a private key below the order of the curve. The order of P-256, the farthest from the
// next power of two, misses one in 2^32.
const maxTries = 16

func (c curve) scalarLen() int { return (c.bits + 7) / 8 }

func (c curve) publicLen() int {
	if len(c.prefix) == 0 {
		return c.scalarLen()
	}
	return 2 * c.scalarLen()
}

// generate does not leave the choice to crypto/ecdh, which reads the system's randomness whatever rnd is.
func (c curve) generate(rnd io.Reader) (*KEKey, error) {
	scalar := make([]byte, c.scalarLen())
	for range maxTries {
		if _, err := io.ReadFull(rnd, scalar); err != nil {
			return nil, err
		}
		scalar[0] &= 0xff >> (8*len(scalar) - c.bits)
		private, err := c.NewPrivateKey(scalar)
		if err != nil {
			continue
		}
		return &KEKey{
			public:    private.PublicKey().Bytes()[len(c.prefix):],
			answerLen: c.publicLen(),
			agree: func(peer []byte) ([]byte, error) {
				public, err := c.NewPublicKey(slices.Concat(c.prefix, peer))
				if err != nil {
					return nil, err
				}
				return private.ECDH(public)
			},
		}, nil
	}
	return nil, errors.New("the source of randomness gives no number below the order of the curve")
}
