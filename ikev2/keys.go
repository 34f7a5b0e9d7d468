package ikev2

import (
	"encoding/binary"

	"mipsecd/ikev2/suite"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// wipe destroys the keys that are in no cipher.
func (k *ikeKeys) wipe() {
	k.d.Wipe()
	k.pi.Wipe()
	k.pr.Wipe()
}

// deriveIKE makes the keys of an IKE_SA from SKEYSEED (RFC 7296 section 2.14).
func deriveIKE(sa *ikeSA, skeyseed secret.Bytes, ni, nr []byte) error {
	s := sa.suite
	spii, spir := sa.spis()
	seed := append(append([]byte{}, ni...), nr...)
	seed = binary.BigEndian.AppendUint64(seed, spii)
	seed = binary.BigEndian.AppendUint64(seed, spir)

	size, integ, encr := s.PRF.Size(), suite.IntegKeyLen(s.Integ), suite.KeyLen(s.Encr)
	stream := s.PRF.Plus(skeyseed, seed, 3*size+2*integ+2*encr)
	take := func(n int) (k secret.Bytes) {
		k, stream = stream[:n:n], stream[n:]
		return k
	}
	sa.keys.d = take(size)
	ai, ar, ei, er := take(integ), take(integ), take(encr), take(encr)
	sa.keys.pi, sa.keys.pr = take(size), take(size)
	if !sa.initiator {
		ai, ar, ei, er = ar, ai, er, ei
	}
	var err error
	if sa.keys.out, err = suite.NewCipher(s.Encr, s.Integ, ei, ai); err != nil {
		return err
	}
	sa.keys.in, err = suite.NewCipher(s.Encr, s.Integ, er, ar)
	return err
}

// firstSeed is SKEYSEED of a new IKE_SA.
func firstSeed(prf suite.PRF, shared secret.Bytes, ni, nr []byte) secret.Bytes {
	return prf.Sum(prf.NonceKey(ni, nr), shared)
}

// rekeySeed is SKEYSEED of an IKE_SA that replaces another, by the old one's PRF (RFC 7296 section 2.18).
func rekeySeed(old *ikeSA, shared secrets, ni, nr []byte) secret.Bytes {
	return old.suite.PRF.Sum(old.keys.d, shared.seed(ni, nr))
}

// childKeys are the transforms of a Child SA's two directions, in the order of the exchange (RFC 7296 section 2.17):
// fromInitiator protects what the initiator of the exchange sends.
func childKeys(
	sa *ikeSA, s suite.ESPSuite, shared secrets, ni, nr []byte,
) (fromInitiator, fromResponder spd.Transform) {
	encr, integ := suite.ESPKeyLens(s)
	stream := sa.suite.PRF.Plus(sa.keys.d, shared.seed(ni, nr), 2*(encr+integ))
	one := func(k []byte) spd.Transform {
		return spd.Transform{
			Encr: s.Encr.ID, EncrKey: k[:encr:encr], Integ: s.Integ, IntegKey: k[encr : encr+integ : encr+integ], ESN: s.ESN,
		}
	}
	return one(stream[:encr+integ]), one(stream[encr+integ:])
}
