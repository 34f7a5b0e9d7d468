package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
)

// algorithm is a signature algorithm together with its hash algorithm.
type algorithm struct {
	family family
	hash   Hash
	salt   int // octets of RSASSA-PSS's salt
}

// family is how a digest becomes a signature.
type family uint8

const (
	pkcs1 family = iota + 1 // RSASSA-PKCS1-v1_5
	pss                     // RSASSA-PSS
	ecdsaDER
	edDSA
)

func (f family) String() string {
	return [...]string{"", "RSASSA-PKCS1-v1_5", "RSASSA-PSS", "ECDSA", "Ed25519"}[f]
}

func (a algorithm) String() string {
	if a.family == edDSA {
		return a.family.String()
	}
	return fmt.Sprintf("%s with %s", a.family, a.hash)
}

var (
	oidPSS  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

// identifiers are the object identifiers of RFC 7427 appendix A and RFC 8420 appendix A that are a whole algorithm.
var identifiers = []struct {
	oid asn1.ObjectIdentifier
	algorithm
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, algorithm{family: pkcs1, hash: SHA1}},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, algorithm{family: pkcs1, hash: SHA256}},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, algorithm{family: pkcs1, hash: SHA384}},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, algorithm{family: pkcs1, hash: SHA512}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}, algorithm{family: ecdsaDER, hash: SHA1}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, algorithm{family: ecdsaDER, hash: SHA256}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, algorithm{family: ecdsaDER, hash: SHA384}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, algorithm{family: ecdsaDER, hash: SHA512}},
	{asn1.ObjectIdentifier{1, 3, 101, 112}, algorithm{family: edDSA, hash: Identity}},
}

// digests are the object identifiers of the hash algorithms that RSASSA-PSS names in its parameters.
var digests = []struct {
	oid  asn1.ObjectIdentifier
	hash Hash
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, SHA1},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, SHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, SHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, SHA512},
}

// pssParameters are RSASSA-PSS-params of RFC 4055 section 3.1. All have a default: that is SHA-1.
type pssParameters struct {
	Hash    pkix.AlgorithmIdentifier `asn1:"optional,explicit,tag:0"`
	MGF     pkix.AlgorithmIdentifier `asn1:"optional,explicit,tag:1"`
	Salt    int                      `asn1:"optional,explicit,tag:2,default:20"`
	Trailer int                      `asn1:"optional,explicit,tag:3,default:1"`
}

// identifier is the AlgorithmIdentifier in DER, in the preferred of its forms (RFC 7427 section 3).
func (a algorithm) identifier() []byte {
	id := pkix.AlgorithmIdentifier{}
	switch a.family {
	case pss:
		id.Algorithm = oidPSS
		id.Parameters.FullBytes = a.pssParameters()
	default:
		for _, known := range identifiers {
			if known.algorithm == a {
				id.Algorithm = known.oid
			}
		}
		if a.family == pkcs1 {
			id.Parameters = asn1.NullRawValue
		}
	}
	return mustMarshal(id)
}

func (a algorithm) pssParameters() []byte {
	var hash pkix.AlgorithmIdentifier
	for _, d := range digests {
		if d.hash == a.hash {
			hash = pkix.AlgorithmIdentifier{Algorithm: d.oid, Parameters: asn1.NullRawValue}
		}
	}
	mgf := pkix.AlgorithmIdentifier{Algorithm: oidMGF1, Parameters: asn1.RawValue{FullBytes: mustMarshal(hash)}}
	return mustMarshal(pssParameters{Hash: hash, MGF: mgf, Salt: a.salt, Trailer: 1})
}

func mustMarshal(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("ikev2/auth: an AlgorithmIdentifier of our own: %v", err))
	}
	return b
}

// parseIdentifier reads an AlgorithmIdentifier.
func parseIdentifier(der []byte) (algorithm, error) {
	var id pkix.AlgorithmIdentifier
	if rest, err := asn1.Unmarshal(der, &id); err != nil || len(rest) > 0 {
		return algorithm{}, fmt.Errorf("AlgorithmIdentifier %x is not one in DER", der)
	}
	if id.Algorithm.Equal(oidPSS) {
		return parsePSS(id.Parameters.FullBytes)
	}
	for _, known := range identifiers {
		if known.oid.Equal(id.Algorithm) {
			if !none(id.Parameters) {
				return algorithm{}, fmt.Errorf("parameters of %s: %x, expected NULL or none", known.algorithm,
					id.Parameters.FullBytes)
			}
			return known.algorithm, nil
		}
	}
	return algorithm{}, fmt.Errorf("signature algorithm %s is not known", id.Algorithm)
}

// none reports whether the parameters are NULL or are not there: RFC 7427 section 3 has both for the same.
func none(parameters asn1.RawValue) bool {
	return len(parameters.FullBytes) == 0 || bytes.Equal(parameters.FullBytes, asn1.NullBytes)
}

func parsePSS(der []byte) (algorithm, error) {
	var p pssParameters
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return algorithm{}, fmt.Errorf("parameters of RSASSA-PSS: %x are not such in DER", der)
	}
	hash, err := digest(p.Hash)
	if err != nil {
		return algorithm{}, err
	}
	mgfHash := SHA1
	if p.MGF.Algorithm != nil {
		var inner pkix.AlgorithmIdentifier
		rest, err := asn1.Unmarshal(p.MGF.Parameters.FullBytes, &inner)
		if err != nil || len(rest) > 0 || !p.MGF.Algorithm.Equal(oidMGF1) {
			return algorithm{}, errors.New("mask generation function of RSASSA-PSS: unknown, expected MGF1")
		}
		if mgfHash, err = digest(inner); err != nil {
			return algorithm{}, err
		}
	}
	switch {
	case mgfHash != hash:
		return algorithm{}, fmt.Errorf("mask generation function of RSASSA-PSS: with %s, expected %s", mgfHash, hash)
	case p.Salt < 0 || p.Salt > maxSalt:
		return algorithm{}, fmt.Errorf("salt length of RSASSA-PSS: %d, expected 0 to %d", p.Salt, maxSalt)
	case p.Trailer != 1:
		return algorithm{}, fmt.Errorf("trailer field of RSASSA-PSS: %d, expected 1", p.Trailer)
	}
	return algorithm{family: pss, hash: hash, salt: p.Salt}, nil
}

// maxSalt is more than the longest RSA key has room for.
const maxSalt = 2048

// digest is a hash algorithm in the parameters of RSASSA-PSS.
func digest(id pkix.AlgorithmIdentifier) (Hash, error) {
	if id.Algorithm == nil {
		return SHA1, nil
	}
	for _, d := range digests {
		if d.oid.Equal(id.Algorithm) && none(id.Parameters) {
			return d.hash, nil
		}
	}
	return 0, fmt.Errorf("hash algorithm %s of RSASSA-PSS is not known", id.Algorithm)
}

// sign makes a signature over a message.
func (a algorithm) sign(rand io.Reader, key crypto.Signer, message []byte) ([]byte, error) {
	return key.Sign(rand, a.hash.sum(message), a.options())
}

func (a algorithm) options() crypto.SignerOpts {
	if a.family == pss {
		return &rsa.PSSOptions{SaltLength: a.salt, Hash: hashes[a.hash].hash}
	}
	return hashes[a.hash].hash
}

// verify checks a signature over a message. A salt of length zero is not told from any other.
func (a algorithm) verify(key crypto.PublicKey, message, signature []byte) error {
	digest, hash := a.hash.sum(message), hashes[a.hash].hash
	fits, good := false, false
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch a.family {
		case pkcs1:
			fits, good = true, rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil
		case pss:
			fits, good = true, rsa.VerifyPSS(key, hash, digest, signature, &rsa.PSSOptions{SaltLength: a.salt}) == nil
		}
	case *ecdsa.PublicKey:
		fits = a.family == ecdsaDER
		good = fits && ecdsa.VerifyASN1(key, digest, signature)
	case ed25519.PublicKey:
		fits = a.family == edDSA
		good = fits && ed25519.Verify(key, message, signature)
	}
	switch {
	case !fits:
		return fmt.Errorf("the signature is %s, which does not fit the certificate's %s key", a, keyName(key))
	case !good:
		return fmt.Errorf("the signature (%s) is wrong", a)
	}
	return nil
}

// checkKey refuses keys of kinds that no method here has, those that are too weak (RFC 8247 section 3.1.1), and those so
// long that a stranger could keep this host busy with them.
func checkKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("an RSA key of %d bits; want %d to %d", bits, minRSABits, maxRSABits)
		}
		return nil
	case *ecdsa.PublicKey:
		if _, ok := curves[key.Curve.Params().BitSize]; ok {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("a key of kind %s; want RSA, ECDSA on P-256, P-384 or P-521, or Ed25519", keyName(key))
}

const (
	minRSABits = 2048
	maxRSABits = 8192
)

func keyName(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", key)
}
