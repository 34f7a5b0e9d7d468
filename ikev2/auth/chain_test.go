package auth

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/testpki"
)

// pki is a root with an authority below it.
type pki struct {
	root, sub *testpki.Authority
	key       crypto.Signer
}

func newPKI(t *testing.T) *pki {
	root := testpki.NewAuthority(t, "root")
	return &pki{root: root, sub: root.Under(t, "sub"), key: testpki.Key("P-256")}
}

func TestRFC4945_5_1_Certificates(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		failed string
	}{
		{"plain", func(*x509.Certificate) {}, ""},
		{"for signatures", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, ""},
		{"for signatures that last", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }, ""},
		{"for encryption", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment },
			"is not for signatures (keyUsage)"},
		{"for IKE", func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{ipsecIKE} }, ""},
		{"for all", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, ""},
		{"for the Web", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
			"is not for IKE (extendedKeyUsage)"},
		{"expired", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) },
			`the certificate of "CN=ha" has expired on 2026-05-01T11:00:00Z`},
		{"not yet valid", func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) },
			`the certificate of "CN=ha" is valid from 2026-05-01T13:00:00Z on only`},
		{"with a critical extension", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, "unhandled critical extension"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPKI(t)
			leaf := p.sub.Issue(t, "ha", p.key, func(cert *x509.Certificate) {
				named(cert)
				c.change(cert)
			})
			own := credential(t, p.key, leaf, p.sub.Certificate)
			err := trust(t, p.root).Check(claim(t, own, offered), now)
			if c.failed != "" {
				failed(t, err, c.failed)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestChains(t *testing.T) {
	p := newPKI(t)
	leaf := p.sub.Issue(t, "ha", p.key, named)
	lower := p.sub.Under(t, "lower")
	deep := lower.Issue(t, "ha", p.key, named)
	stranger := testpki.NewAuthority(t, "root") // of the same name
	fake := stranger.Issue(t, "ha", p.key, named)
	old := p.root.Issue(t, "old", testpki.Key("P-256"), func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.NotAfter = true, true, now.Add(-time.Hour)
	})
	for _, c := range []struct {
		name   string
		trust  *testpki.Authority
		chain  []*x509.Certificate
		failed string
	}{
		{"whole", p.root, []*x509.Certificate{leaf, p.sub.Certificate}, ""},
		{"with the root", p.root, []*x509.Certificate{leaf, p.sub.Certificate, p.root.Certificate}, ""},
		{"long, in any order", p.root, []*x509.Certificate{deep, p.sub.Certificate, lower.Certificate}, ""},
		{"with what does not belong to it", p.root,
			[]*x509.Certificate{leaf, stranger.Certificate, p.sub.Certificate, old}, ""},
		{"trusted from the middle on", p.sub, []*x509.Certificate{leaf}, ""},
		{"without its middle", p.root, []*x509.Certificate{leaf},
			`is issued by "CN=sub", which leads to no authority of ours`},
		{"of a stranger", p.root, []*x509.Certificate{fake, stranger.Certificate}, "leads to no authority of ours"},
		{"by an authority above", p.sub, []*x509.Certificate{p.root.Issue(t, "ha", p.key, named)},
			"leads to no authority of ours"},
		{"expired in the middle", p.root, []*x509.Certificate{fake, old}, `the certificate of "CN=old" has expired`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := trust(t, c.trust).Check(claim(t, credential(t, p.key, c.chain...), offered), now)
			if c.failed != "" {
				failed(t, err, c.failed)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// The certificate of one who is no authority signs no other.
func TestNoAuthority(t *testing.T) {
	p := newPKI(t)
	key := testpki.Key("P-256")
	middle := p.root.Issue(t, "mn", key, nil)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(9), DNSNames: []string{"ha.example.org"}, NotBefore: testpki.Begin, NotAfter: testpki.End,
	}
	leaf := create(t, template, middle, p.key, key)
	err := trust(t, p.root).Check(claim(t, credential(t, p.key, leaf, middle), offered), now)
	failed(t, err, "leads to no authority of ours")
	_, err = NewTrust([]*x509.Certificate{middle}, nil)
	failed(t, err, `the certificate of "CN=mn" is not an authority's`)
	_, err = NewTrust(nil, nil)
	failed(t, err, "at least one")
}

func create(t *testing.T, template, parent *x509.Certificate, key, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is signed with SHA-1 proves nothing. x509 makes no such certificate: this one is put together by hand.
func TestRFC8247_SHA1Certificates(t *testing.T) {
	key := testpki.Key("RSA")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, BasicConstraintsValid: true, IsCA: true,
		NotBefore: testpki.Begin, NotAfter: testpki.End, SignatureAlgorithm: x509.SHA256WithRSA,
	}
	ca := create(t, template, template, key, key)
	template = &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ha"}, DNSNames: []string{"ha.example.org"},
		NotBefore: testpki.Begin, NotAfter: testpki.End, SignatureAlgorithm: x509.SHA256WithRSA,
	}
	leaf := weaken(t, create(t, template, ca, key, key), key)
	trust, err := NewTrust([]*x509.Certificate{ca}, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = trust.Check(claim(t, credential(t, key, leaf), offered), now)
	failed(t, err, `the certificate of "CN=ha" is signed with SHA1-RSA; want SHA-2 or Ed25519`)
}

// weaken signs a certificate anew, with SHA-1.
func weaken(t *testing.T, c *x509.Certificate, key crypto.Signer) *x509.Certificate {
	t.Helper()
	raw, tbs := withSHA1(c.Raw), withSHA1(c.RawTBSCertificate)
	signature, err := rsa.SignPKCS1v15(rand.Reader, key.(*rsa.PrivateKey), crypto.SHA1, SHA1.sum(tbs))
	if err != nil {
		t.Fatal(err)
	}
	copy(raw[len(raw)-len(signature):], signature)
	weak, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return weak
}

// withSHA1 has sha1WithRSAEncryption in the place of sha256WithRSAEncryption.
func withSHA1(der []byte) []byte {
	return bytes.ReplaceAll(der, unhex("2a864886f70d01010b"), unhex("2a864886f70d010105"))
}

// A list by SHA-1 tells nothing, and one with an entry that is of another issuer is not understood (RFC 5280 section 5.3.3).
func TestRefusedRevocationLists(t *testing.T) {
	key := testpki.Key("RSA")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCRLSign, NotBefore: testpki.Begin, NotAfter: testpki.End,
	}
	ca := create(t, template, template, key, key)
	foreign := x509.RevocationListEntry{SerialNumber: big.NewInt(2), RevocationTime: testpki.Begin}
	foreign.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}}
	for want, c := range map[string]struct {
		entries []x509.RevocationListEntry
		change  func([]byte) []byte
	}{
		`the revocation list of "CN=ca" is signed with SHA1-RSA; want SHA-2`:    {nil, withSHA1},
		`the revocation list of "CN=ca" has the critical extension 2.5.29.29; `: {[]x509.RevocationListEntry{foreign}, bytes.Clone},
	} {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: testpki.Begin, NextUpdate: testpki.End, RevokedCertificateEntries: c.entries,
		}, ca, key)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(c.change(der))
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewTrust([]*x509.Certificate{ca}, []*x509.RevocationList{list})
		failed(t, err, want)
	}
}

// A key that anybody can compute proves nothing, whatever certificate it has (RFC 8247 section 3.1.1), and nobody is to
// wait for one that is far too long.
func TestRFC8247_3_1_1_KeyLengths(t *testing.T) {
	p := newPKI(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := credential(t, p.key, p.root.Issue(t, "ha", p.key, named), p.root.Issue(t, "other", short, nil))
	if err := trust(t, p.root).Check(claim(t, good, offered), now); err != nil {
		t.Errorf("beside another's: %v", err)
	}
	failed(t, checkKey(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 9000), E: 65537}), "an RSA key of 9001 bits")
	own := &Credential{key: short, chain: []*x509.Certificate{p.root.Issue(t, "ha", short, named)}}
	failed(t, trust(t, p.root).Check(claim(t, own, offered), now),
		`the certificate of "CN=ha" has an RSA key of 1024 bits; want 2048 to 8192`)
}

// An authority signs no more than the one above it lets it (RFC 5280 sections 4.2.1.9 and 4.2.1.10).
func TestRFC5280_6_1_Constraints(t *testing.T) {
	p := newPKI(t)
	authority := func(change func(*x509.Certificate)) *testpki.Authority {
		return p.root.UnderWith(t, "narrow", change)
	}
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		deep   bool
		failed string
	}{
		{"its own names", func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.org"}
		}, false, ""},
		{"other names", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} }, false,
			`DNS name "ha.example.org" is not permitted by any constraint`},
		{"names that it must not sign", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"example.org"} }, false,
			`DNS name "ha.example.org" is excluded by constraint "example.org"`},
		{"an authority below", func(*x509.Certificate) {}, true, ""},
		{"an authority below that it must not sign", func(c *x509.Certificate) { c.MaxPathLenZero = true }, true,
			"too many intermediates for path length constraint"},
		{"not for certificates", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, false,
			"leads to no authority of ours"},
	} {
		t.Run(c.name, func(t *testing.T) {
			by := authority(c.change)
			chain := []*x509.Certificate{by.Certificate}
			if c.deep {
				by = by.Under(t, "deep")
				chain = append(chain, by.Certificate)
			}
			own := credential(t, p.key, append([]*x509.Certificate{by.Issue(t, "ha", p.key, named)}, chain...)...)
			err := trust(t, p.root).Check(claim(t, own, offered), now)
			if c.failed != "" {
				failed(t, err, c.failed)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRFC5280_6_3_RevocationLists(t *testing.T) {
	p := newPKI(t)
	leaf := p.sub.Issue(t, "ha", p.key, named)
	other := p.sub.Issue(t, "other", p.key, named)
	own := credential(t, p.key, leaf, p.sub.Certificate)
	rootList := p.root.Revoke(t, nil)
	stranger := testpki.NewAuthority(t, "sub")
	at := func(from, to time.Duration) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = now.Add(from), now.Add(to) }
	}
	for _, c := range []struct {
		name   string
		lists  []*x509.RevocationList
		failed string
	}{
		{"none", nil, ""},
		{"not on it", []*x509.RevocationList{rootList, p.sub.Revoke(t, nil, other)}, ""},
		{"on it", []*x509.RevocationList{rootList, p.sub.Revoke(t, nil, other, leaf)},
			`the certificate of "CN=ha" is revoked since 1970-01-01`},
		{"on one of two", []*x509.RevocationList{rootList, p.sub.Revoke(t, nil), p.sub.Revoke(t, at(-2, -1), leaf)},
			"is revoked since"},
		{"taken off it", []*x509.RevocationList{rootList, p.sub.Revoke(t, func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ReasonCode = removeFromCRL
		}, leaf)}, ""},
		{"the authority on it", []*x509.RevocationList{p.root.Revoke(t, nil, p.sub.Certificate), p.sub.Revoke(t, nil)},
			`the certificate of "CN=sub" is revoked since`},
		{"expired", []*x509.RevocationList{rootList, p.sub.Revoke(t, at(-2*time.Hour, -time.Hour))},
			`the revocation list of "CN=sub" has expired on 2026-05-01T11:00:00Z`},
		{"one of two expired",
			[]*x509.RevocationList{rootList, p.sub.Revoke(t, at(-2*time.Hour, -time.Hour)), p.sub.Revoke(t, nil)}, ""},
		{"not yet valid", []*x509.RevocationList{rootList, p.sub.Revoke(t, at(time.Hour, 2*time.Hour))},
			`the revocation list of "CN=sub" is valid from 2026-05-01T13:00:00Z on only`},
		{"of the other authority only", []*x509.RevocationList{rootList},
			`there is no revocation list of "CN=sub", so the certificate of "CN=ha" may be revoked`},
		{"of somebody of that name", []*x509.RevocationList{rootList, stranger.Revoke(t, nil)},
			`the revocation list of "CN=sub" is not signed by it`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := trust(t, p.root, c.lists...).Check(claim(t, own, offered), now)
			if c.failed != "" {
				failed(t, err, c.failed)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	critical := p.sub.Revoke(t, func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}}}
	})
	_, err := NewTrust([]*x509.Certificate{p.root.Certificate}, []*x509.RevocationList{critical})
	failed(t, err, "has the critical extension 2.5.29.28")
}

// What comes in CERT payloads is a stranger's.
func TestRFC7296_3_6_CertificatePayloads(t *testing.T) {
	own, trust := side(t, "P-256")
	good := claim(t, own, offered)
	for _, c := range []struct {
		name   string
		certs  []*wire.Cert
		failed string
	}{
		{"none", nil, "no X.509 certificate has come with the signature"},
		{"a URL only", []*wire.Cert{{Encoding: wire.CertHashAndURLX509, Data: make([]byte, 30)}},
			"no X.509 certificate has come with the signature, but Hash and URL of X.509 certificate"},
		{"a revocation list, too", append([]*wire.Cert{{Encoding: wire.CertCRL}}, good.Certificates...), ""},
		{"garbage", []*wire.Cert{{Encoding: wire.CertX509Signature, Data: []byte("x")}}, "certificate 1 can't be read"},
		{"too many", slices.Repeat(good.Certificates, maxChain+1), "more than 10 certificates"},
		{"as many as may be", slices.Repeat(good.Certificates, maxChain), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := good
			said.Certificates = c.certs
			err := trust.Check(said, now)
			if c.failed != "" {
				failed(t, err, c.failed)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
