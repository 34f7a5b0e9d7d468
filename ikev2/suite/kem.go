package suite

import (
	"crypto"
	"crypto/mlkem"
	"fmt"
	"io"
)

// kem is a parameter set of ML-KEM (FIPS 203): the initiator sends an encapsulation key, and the responder the ciphertext
// of a secret that it makes for that key.
type kem struct {
	keyLen, ciphertextLen int
	private               func(seed []byte) (crypto.Decapsulator, error)
	public                func(key []byte) (crypto.Encapsulator, error) // checks its coefficients (FIPS 203 section 7.2)
}

var (
	mlkem768 = kem{
		mlkem.EncapsulationKeySize768, mlkem.CiphertextSize768,
		func(seed []byte) (crypto.Decapsulator, error) { return mlkem.NewDecapsulationKey768(seed) },
		func(key []byte) (crypto.Encapsulator, error) { return mlkem.NewEncapsulationKey768(key) },
	}
	mlkem1024 = kem{
		mlkem.EncapsulationKeySize1024, mlkem.CiphertextSize1024,
		func(seed []byte) (crypto.Decapsulator, error) { return mlkem.NewDecapsulationKey1024(seed) },
		func(key []byte) (crypto.Encapsulator, error) { return mlkem.NewEncapsulationKey1024(key) },
	}
)

func (m kem) publicLen() int { return m.keyLen }

func (m kem) generate(rnd io.Reader) (*KEKey, error) {
	seed := make([]byte, mlkem.SeedSize)
	if _, err := io.ReadFull(rnd, seed); err != nil {
		return nil, err
	}
	k, err := m.private(seed)
	if err != nil {
		return nil, err
	}
	return &KEKey{public: k.Encapsulator().Bytes(), answerLen: m.ciphertextLen, agree: k.Decapsulate}, nil
}

// answer makes a secret for the initiator's key. It takes no randomness: crypto/mlkem has that from the system, and takes
// no other.
func (m kem) answer(theirs []byte) (public, shared []byte, err error) {
	if len(theirs) != m.keyLen {
		return nil, nil, fmt.Errorf("%d octets, %d wanted", len(theirs), m.keyLen)
	}
	k, err := m.public(theirs)
	if err != nil {
		return nil, nil, err
	}
	shared, public = k.Encapsulate()
	return public, shared, nil
}
