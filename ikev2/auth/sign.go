package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"

	"mipsecd/ikev2/wire"
)

// Credential is what this host proves its identity with: a private key, and the certificate of it with those that lead to
// an authority. It is not changed once it is used, and may be used by several goroutines.
type Credential struct {
	key       crypto.Signer
	chain     []*x509.Certificate
	published []wire.Payload // CERT, for peers that look certificates up; nil if they can't
}

// maxChain bounds the certificates that are sent or looked at; RFC 7296 section 3.6 wants at least four.
const maxChain = 10

// NewCredential takes the key of the first certificate. The error says which of the two is not what it should be.
func NewCredential(key crypto.Signer, chain []*x509.Certificate) (*Credential, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, fmt.Errorf("%d certificates; want 1 to %d, that of the key first", len(chain), maxChain)
	}
	if err := checkKey(key.Public()); err != nil {
		return nil, err
	}
	if !isKeyOf(chain[0], key) {
		return nil, fmt.Errorf("the private key is not that of the certificate of %s", subject(chain[0]))
	}
	return &Credential{key: key, chain: chain}, nil
}

// isKeyOf reports whether a certificate is that of a private key.
func isKeyOf(c *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}

// Format names the certificate, whatever the verb: the key is never printed.
func (c *Credential) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "[certificate of %s]", subject(c.chain[0]))
}

// Check holds that the certificate is one of this identity (RFC 4877 section 7.3).
func (c *Credential) Check(id *wire.ID) error { return checkIdentity(c.chain[0], id) }

// Subject is the certificate's subject in DER. As ID_DER_ASN1_DN it must be sent octet by octet (RFC 4945 section 3.1.5).
func (c *Credential) Subject() []byte { return c.chain[0].RawSubject }

// Certificates are the CERT payloads, that of the key first (RFC 7296 section 3.6). They are sent whatever a CERTREQ asks
// for, which is a suggestion only (section 3.7).
func (c *Credential) Certificates() []wire.Payload {
	ps := make([]wire.Payload, len(c.chain))
	for i, cert := range c.chain {
		ps[i] = &wire.Cert{Encoding: wire.CertX509Signature, Data: cert.Raw}
	}
	return ps
}

// Sign makes the AUTH payload over the octets that are to be signed. With the hash algorithms that the peer takes it is a
// digital signature of RFC 7427. Nil means that SIGNATURE_HASH_ALGORITHMS was not sent and received by both; then it is
// one of the older methods: by an RSA key with SHA-1, if that is allowed. The error tells why there is none that fits the
// key.
func (c *Credential) Sign(rand io.Reader, octets []byte, peer []Hash, sha1 bool) (*wire.Auth, error) {
	if peer == nil {
		return c.signOld(rand, octets, sha1)
	}
	a, err := choose(c.key.Public(), peer)
	if err != nil {
		return nil, err
	}
	signature, err := a.sign(rand, c.key, octets)
	if err != nil {
		return nil, err
	}
	id := a.identifier()
	data := append(append([]byte{byte(len(id))}, id...), signature...)
	return &wire.Auth{Method: wire.AuthDigitalSignature, Data: data}, nil
}

// choose picks the algorithm for a key: the first hash algorithm that is fit for it and that the peer takes. RSA keys sign
// by RSASSA-PSS, which RFC 8247 section 3.2 demands of everybody.
func choose(key crypto.PublicKey, peer []Hash) (algorithm, error) {
	a, fit := algorithm{family: pss}, []Hash{SHA256, SHA384, SHA512}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		a.family, fit = ecdsaDER, curves[key.Curve.Params().BitSize].hashes
	case ed25519.PublicKey:
		a.family, fit = edDSA, []Hash{Identity}
	}
	for _, h := range fit {
		if slices.Contains(peer, h) {
			a.hash = h
			if a.family == pss {
				a.salt = hashes[h].hash.Size()
			}
			return a, nil
		}
	}
	return a, fmt.Errorf("the peer takes no hash algorithm that fits our %s key: %v; want one of %v", keyName(key),
		peer, fit)
}

// curves are what belongs to an elliptic curve, by its size: the method and hash algorithm of RFC 4754, and the hash
// algorithms that are used with it by RFC 7427, the fittest first.
var curves = map[int]struct {
	method wire.AuthMethod
	hash   Hash
	hashes []Hash
}{
	256: {wire.AuthECDSA256, SHA256, []Hash{SHA256, SHA384, SHA512}},
	384: {wire.AuthECDSA384, SHA384, []Hash{SHA384, SHA512, SHA256}},
	521: {wire.AuthECDSA521, SHA512, []Hash{SHA512, SHA384, SHA256}},
}

// signOld signs by a method of RFC 7296 section 3.8 or RFC 4754.
func (c *Credential) signOld(rand io.Reader, octets []byte, sha1 bool) (*wire.Auth, error) {
	switch key := c.key.Public().(type) {
	case *rsa.PublicKey:
		if !sha1 {
			return nil, errors.New("the peer has not sent SIGNATURE_HASH_ALGORITHMS, without which an RSA key signs with " +
				"SHA-1; that is not allowed (signature-sha1)")
		}
		signature, err := algorithm{family: pkcs1, hash: SHA1}.sign(rand, c.key, octets)
		return &wire.Auth{Method: wire.AuthRSA, Data: signature}, err
	case *ecdsa.PublicKey:
		curve := curves[key.Curve.Params().BitSize]
		der, err := algorithm{family: ecdsaDER, hash: curve.hash}.sign(rand, c.key, octets)
		if err != nil {
			return nil, err
		}
		raw, err := flat(der, scalarLen(key))
		return &wire.Auth{Method: curve.method, Data: raw}, err
	}
	return nil, fmt.Errorf("the peer has not sent SIGNATURE_HASH_ALGORITHMS, without which there are no signatures by "+
		"a key of kind %s", keyName(c.key.Public()))
}

// ecdsaSignature is Ecdsa-Sig-Value of RFC 3279 section 2.2.3.
type ecdsaSignature struct{ R, S *big.Int }

func scalarLen(key *ecdsa.PublicKey) int { return (key.Curve.Params().BitSize + 7) / 8 }

// flat is a signature as RFC 4754 section 7 has it: both numbers in the length of the curve's order.
func flat(der []byte, size int) ([]byte, error) {
	var s ecdsaSignature
	if _, err := asn1.Unmarshal(der, &s); err != nil {
		return nil, err
	}
	raw := make([]byte, 2*size)
	s.R.FillBytes(raw[:size])
	s.S.FillBytes(raw[size:])
	return raw, nil
}

// unflat is a signature of RFC 4754 in DER.
func unflat(raw []byte, size int) ([]byte, error) {
	if len(raw) != 2*size {
		return nil, errors.New("the signature has another length than the curve wants")
	}
	return asn1.Marshal(ecdsaSignature{new(big.Int).SetBytes(raw[:size]), new(big.Int).SetBytes(raw[size:])})
}
