// Package testpki makes certification authorities, certificates and revocation lists for tests.
package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Begin and End are when certificates are valid, if nothing else is said: at the time of any test.
var (
	Begin = time.Unix(0, 0).UTC()
	End   = time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Kinds are the kinds of keys that Key makes.
var Kinds = []string{"RSA", "P-256", "P-384", "P-521", "Ed25519"}

var rsaKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })

// Key makes a private key. As RSA takes long, it is always the same one of this process.
func Key(kind string) crypto.Signer {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	switch kind {
	case "RSA":
		return rsaKey()
	case "Ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return must(key, err)
	}
	return must(ecdsa.GenerateKey(curves[kind], rand.Reader))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Authority is a certification authority.
type Authority struct {
	Certificate *x509.Certificate
	key         crypto.Signer
	serial      int64
}

// NewAuthority makes one that is its own root.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{key: Key("P-256")}
	template := authority(name)
	a.Certificate = template
	a.Certificate = a.sign(t, template, a.key.Public())
	return a
}

// Under makes an authority below this one.
func (a *Authority) Under(t testing.TB, name string) *Authority {
	t.Helper()
	return a.UnderWith(t, name, func(*x509.Certificate) {})
}

// UnderWith makes an authority below this one; change says what is in its certificate beside the usual.
func (a *Authority) UnderWith(t testing.TB, name string, change func(*x509.Certificate)) *Authority {
	t.Helper()
	key, template := Key("P-256"), authority(name)
	change(template)
	return &Authority{key: key, Certificate: a.sign(t, template, key.Public())}
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: Begin, NotAfter: End,
	}
}

// Issue makes a certificate for a key. Change says what is in it beside the validity; nil changes nothing.
func (a *Authority) Issue(t testing.TB, name string, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: Begin, NotAfter: End}
	if change != nil {
		change(template)
	}
	return a.sign(t, template, key.Public())
}

func (a *Authority) sign(t testing.TB, template *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	a.serial++
	template.SerialNumber = big.NewInt(a.serial)
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return must(x509.ParseCertificate(der))
}

// Revoke makes a revocation list of these certificates, valid as certificates are. Change may say otherwise.
func (a *Authority) Revoke(
	t testing.TB, change func(*x509.RevocationList), revoked ...*x509.Certificate,
) *x509.RevocationList {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: Begin, NextUpdate: End}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: Begin})
	}
	if change != nil {
		change(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Certificate, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return must(x509.ParseRevocationList(der))
}

// Status makes an OCSP response that says of a certificate that it is good, valid as certificates are. Change may say
// otherwise; with a Certificate of a responder, key is that one's, and otherwise nil.
func (a *Authority) Status(
	t testing.TB, c *x509.Certificate, key crypto.Signer, change func(*ocsp.Response),
) []byte {
	t.Helper()
	r := ocsp.Response{Status: ocsp.Good, SerialNumber: c.SerialNumber, ThisUpdate: Begin, NextUpdate: End}
	if change != nil {
		change(&r)
	}
	responder := r.Certificate
	if key == nil {
		responder, key = a.Certificate, a.key
	}
	der, err := ocsp.CreateResponse(a.Certificate, responder, r, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// CertificatesPEM writes certificates as they are in files.
func CertificatesPEM(certs ...*x509.Certificate) (text []byte) {
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

// KeyPEM writes a private key as PKCS#8.
func KeyPEM(key crypto.Signer) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
}
