package suite

import (
	"errors"
	"io"
	"math/big"
	"sync"

	"filippo.io/bigmod"
)

// modp is the group of generator 2 modulo a safe prime (RFC 3526).
type modp struct {
	bits         int
	exponentBits int
	prime        func() *bigmod.Modulus // computed when first needed
}

// newMODP is the group whose prime RFC 3526 defines as
//
//	2^bits - 2^(bits-64) - 1 + 2^64 * ([2^(bits-130) pi] + delta)
func newMODP(bits uint, delta int64, exponentBits int) modp {
	prime := func() *bigmod.Modulus {
		p := new(big.Int).Rsh(piBits(), 8192-bits)
		p.Add(p, big.NewInt(delta))
		p.Lsh(p, 64)
		p.Add(p, power(bits))
		p.Sub(p, power(bits-64))
		p.Sub(p, big.NewInt(1))
		m, err := bigmod.NewModulus(p.Bytes())
		if err != nil {
			panic("suite: " + err.Error())
		}
		return m
	}
	return modp{int(bits), exponentBits, sync.OnceValue(prime)}
}

func power(exponent uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), exponent) }

// piBits is [2^8062 pi], what the longest prime takes, by Machin's pi/4 = 4 arccot 5 - arccot 239. The 64 bits beyond
// take up the rounding.
var piBits = sync.OnceValue(func() *big.Int {
	unit := power(8062 + 64)
	pi := new(big.Int).Lsh(arccot(5, unit), 2)
	pi.Sub(pi, arccot(239, unit))
	return pi.Rsh(pi, 64-2)
})

// arccot is arccot(x) in units of 1/unit: 1/x - 1/3x^3 + 1/5x^5 - ...
func arccot(x int64, unit *big.Int) *big.Int {
	square := big.NewInt(x * x)
	power := new(big.Int).Div(unit, big.NewInt(x))
	sum := new(big.Int)
	for n := int64(1); power.Sign() > 0; n += 2 {
		term := new(big.Int).Div(power, big.NewInt(n))
		if n%4 == 3 {
			term.Neg(term)
		}
		sum.Add(sum, term)
		power.Div(power, square)
	}
	return sum
}

func (m modp) publicLen() int { return m.bits / 8 }

func (m modp) generate(rnd io.Reader) (*KEKey, error) {
	exponent := make([]byte, m.exponentBits/8)
	if _, err := io.ReadFull(rnd, exponent); err != nil {
		return nil, err
	}
	exponent[0] |= 0x80 // never zero, and of full strength
	p := m.prime()
	generator, err := bigmod.NewNat().SetBytes([]byte{2}, p)
	if err != nil {
		return nil, err
	}
	return &KEKey{
		public:    bigmod.NewNat().Exp(generator, exponent, p).Bytes(p),
		answerLen: m.publicLen(),
		agree: func(peer []byte) ([]byte, error) {
			r, err := bigmod.NewNat().SetBytes(peer, p)
			// RFC 6989 section 2.1: 1 < r < p-1.
			if err != nil || r.IsZero()|r.IsOne()|r.IsMinusOne(p) != 0 {
				return nil, errors.New("not between 1 and p-1")
			}
			return bigmod.NewNat().Exp(r, exponent, p).Bytes(p), nil
		},
	}, nil
}
