package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/cursor"
)

// Trust is whose certificates are believed: those of its authorities, as far as they are not revoked. It is not changed
// once it is used, and may be used by several goroutines.
type Trust struct {
	// OCSP says whether Responders are asked about certificates that no revocation list tells of.
	OCSP       OCSP
	Responders Responders

	authorities []*x509.Certificate
	roots       *x509.CertPool
	crls        []*x509.RevocationList
}

// NewTrust takes authorities and, for those who want them checked, revocation lists. With a list each certificate needs
// one of its issuer that is up to date. The error names what can't be used.
func NewTrust(authorities []*x509.Certificate, crls []*x509.RevocationList) (*Trust, error) {
	if len(authorities) == 0 {
		return nil, errors.New("no certificate of an authority; want at least one")
	}
	t := &Trust{authorities: authorities, roots: x509.NewCertPool(), crls: crls}
	for _, c := range authorities {
		if !c.BasicConstraintsValid || !c.IsCA {
			return nil, fmt.Errorf("the certificate of %s is not an authority's (basicConstraints)", subject(c))
		}
		t.roots.AddCert(c)
	}
	for _, l := range crls {
		if err := checkList(l); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Request is the CERTREQ payload that names the authorities of all (RFC 7296 section 3.7); nil if there are none.
func Request(all ...*Trust) *wire.CertReq {
	var named []*x509.Certificate
	r := &wire.CertReq{Encoding: wire.CertX509Signature}
	for _, t := range all {
		for _, c := range t.authorities {
			if !slices.ContainsFunc(named, c.Equal) {
				named = append(named, c)
				hash := sha1.Sum(c.RawSubjectPublicKeyInfo)
				r.Data = append(r.Data, hash[:]...)
			}
		}
	}
	if len(named) == 0 {
		return nil
	}
	return r
}

// Claim is what a peer says in IKE_AUTH to prove who it is.
type Claim struct {
	ID           *wire.ID
	Certificates []*wire.Cert // in the order of the message
	Auth         *wire.Auth
	Octets       []byte // that Auth signs (RFC 7296 section 2.15)
	// Hashes: SIGNATURE_HASH_ALGORITHMS was sent and received by both. Then only RFC 7427's method will do.
	Hashes bool
	// SHA1: a signature by method 1, of RSA, may be with SHA-1, as it is unless both know better.
	SHA1 bool
}

// Check holds that a claim is true at that time: the first certificate is one of the identity, leads to an authority, is
// not revoked, and its key has signed. The error says what is wrong; it is for the log and not for the peer.
func (t *Trust) Check(c Claim, now time.Time) error {
	certs, err := parseCertificates(c.Certificates)
	if err != nil {
		return err
	}
	leaf := certs[0]
	if err := checkIdentity(leaf, c.ID); err != nil {
		return err
	}
	if err := checkUsage(leaf); err != nil {
		return err
	}
	if err := checkKeys(certs[:1]); err != nil {
		return err
	}
	// The signature comes first: only the owner of the key can have others asked about certificates.
	if err := checkSignature(leaf.PublicKey, c); err != nil {
		return err
	}
	return t.checkChain(leaf, certs[1:], statusesIn(c.Certificates), now)
}

// parseCertificates reads the X.509 certificates among CERT payloads; what else there is is passed over (RFC 4945
// section 3.3.10).
func parseCertificates(payloads []*wire.Cert) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	reason := errors.New("no X.509 certificate has come with the signature")
	for _, p := range payloads {
		if p.Encoding != wire.CertX509Signature {
			reason = fmt.Errorf("no X.509 certificate has come with the signature, but %s", p.Encoding)
			continue
		}
		if len(certs) == maxChain {
			return nil, fmt.Errorf("more than %d certificates", maxChain)
		}
		cert, err := x509.ParseCertificate(p.Data)
		if err != nil {
			return nil, fmt.Errorf("certificate %d can't be read: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, reason
	}
	return certs, nil
}

// statusesIn are the OCSP responses among CERT payloads (RFC 4806).
func statusesIn(payloads []*wire.Cert) (list [][]byte) {
	for _, p := range payloads {
		if p.Encoding == wire.CertOCSPContent && len(list) < maxStatuses {
			list = append(list, p.Data)
		}
	}
	return list
}

// checkSignature verifies AUTH by the method that it names.
func checkSignature(key crypto.PublicKey, c Claim) error {
	m := c.Auth.Method
	if c.Hashes != (m == wire.AuthDigitalSignature) {
		if c.Hashes {
			return fmt.Errorf("the authentication method is %s; want %s, as both have sent SIGNATURE_HASH_ALGORITHMS "+
				"(RFC 7427 section 3)", m, wire.AuthDigitalSignature)
		}
		return fmt.Errorf("the authentication method is %s, but the peer has not sent SIGNATURE_HASH_ALGORITHMS", m)
	}
	switch m {
	case wire.AuthDigitalSignature:
		a, signature, err := parseSignature(c.Auth.Data)
		if err != nil {
			return err
		}
		if !slices.Contains(offered, a.hash) {
			return fmt.Errorf("the signature is %s; want a hash algorithm of %v", a, offered)
		}
		return a.verify(key, c.Octets, signature)
	case wire.AuthRSA:
		return checkRSA(key, c)
	case wire.AuthECDSA256, wire.AuthECDSA384, wire.AuthECDSA521:
		return checkECDSA(key, c)
	}
	return fmt.Errorf("the authentication method is %s; want a signature", m)
}

// parseSignature reads the Authentication Data of RFC 7427 section 3: the length of an AlgorithmIdentifier, that, and a
// signature.
func parseSignature(data []byte) (a algorithm, signature []byte, err error) {
	r := cursor.Big(data)
	id := r.Bytes(int(r.U8()))
	signature = r.Rest()
	if err := r.Err(); err != nil {
		return a, nil, fmt.Errorf("ASN.1 Length and AlgorithmIdentifier: %w", err)
	}
	if len(signature) == 0 {
		return a, nil, errors.New("an empty Signature Value, expected at least one octet")
	}
	a, err = parseIdentifier(id)
	return a, signature, err
}

// checkRSA verifies a signature of method 1, which does not say its hash algorithm: it should be SHA-1, and may be another
// (RFC 7296 section 3.8). SHA-1 is looked for also where it is not allowed, so that the error can say so.
func checkRSA(key crypto.PublicKey, c Claim) (err error) {
	if _, ok := key.(*rsa.PublicKey); !ok {
		return misfit(c, key)
	}
	for _, h := range []Hash{SHA1, SHA256, SHA384, SHA512} {
		a := algorithm{family: pkcs1, hash: h}
		switch err = a.verify(key, c.Octets, c.Auth.Data); {
		case err == nil && h == SHA1 && !c.SHA1:
			return fmt.Errorf("the signature is %s, which is not allowed (signature-sha1)", a)
		case err == nil:
			return nil
		}
	}
	return errors.New("the signature (RSASSA-PKCS1-v1_5 with SHA-1 or SHA-2) is wrong")
}

func misfit(c Claim, key crypto.PublicKey) error {
	return fmt.Errorf("the authentication method is %s, which does not fit the certificate's %s key", c.Auth.Method,
		keyName(key))
}

// checkECDSA verifies a signature of RFC 4754.
func checkECDSA(key crypto.PublicKey, c Claim) error {
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || curves[public.Curve.Params().BitSize].method != c.Auth.Method {
		return misfit(c, key)
	}
	der, err := unflat(c.Auth.Data, scalarLen(public))
	if err != nil {
		return err
	}
	return algorithm{family: ecdsaDER, hash: curves[public.Curve.Params().BitSize].hash}.verify(key, c.Octets, der)
}
