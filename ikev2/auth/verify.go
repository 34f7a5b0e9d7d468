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
	// Servers are those from which Fetcher gets certificates that a peer names by hash and URL. Without any, a peer has to
	// send its certificates.
	Servers []Server
	Fetcher Fetcher

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

// Requests ask for certificates of the authorities of all (RFC 7296 section 3.7), by hash and URL where one has servers for
// that, and for OCSP responses where one wants to know (RFC 4806); nil if there are no authorities.
func Requests(all ...*Trust) (ps []wire.Payload) {
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
	if slices.ContainsFunc(all, func(t *Trust) bool { return len(t.Servers) > 0 }) {
		ps = append(ps, &wire.Notify{Kind: wire.NotifyHTTPCertLookupSupported})
	}
	ps = append(ps, r)
	if slices.ContainsFunc(all, func(t *Trust) bool { return t.OCSP != OCSPOff }) {
		ps = append(ps, statusRequest())
	}
	return ps
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
	certs := chainReader{trust: t, payloads: c.Certificates}
	leaf, err := certs.first()
	if err != nil {
		return err
	}
	if err := checkIdentity(leaf, c.ID); err != nil {
		return err
	}
	if err := checkUsage(leaf); err != nil {
		return err
	}
	if err := checkKeys([]*x509.Certificate{leaf}); err != nil {
		return err
	}
	// The signature comes first: only the owner of the key can have others asked for more certificates, and about them.
	if err := checkSignature(leaf.PublicKey, c); err != nil {
		return err
	}
	others, err := certs.others()
	if err != nil {
		return err
	}
	return t.checkChain(leaf, others, statusesIn(c.Certificates), now)
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
