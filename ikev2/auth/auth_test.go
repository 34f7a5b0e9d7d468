package auth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/dn"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/testpki"
)

var (
	now    = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	octets = []byte("the IKE_SA_INIT message, the other's nonce and the identity")
	fqdn   = &wire.ID{Kind: wire.IDFQDN, Data: []byte("ha.example.org")}
)

func named(c *x509.Certificate) { c.DNSNames = []string{"ha.example.org"} }

// side is a credential of ha.example.org and the trust in its authority.
func side(t *testing.T, kind string) (*Credential, *Trust) {
	t.Helper()
	root := testpki.NewAuthority(t, "root")
	key := testpki.Key(kind)
	return credential(t, key, root.Issue(t, "ha", key, named)), trust(t, root)
}

func credential(t *testing.T, key crypto.Signer, chain ...*x509.Certificate) *Credential {
	t.Helper()
	c, err := NewCredential(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func trust(t *testing.T, root *testpki.Authority, lists ...*x509.RevocationList) *Trust {
	t.Helper()
	trust, err := NewTrust([]*x509.Certificate{root.Certificate}, lists)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// claim is what the owner of a credential says.
func claim(t *testing.T, c *Credential, hashes []Hash) Claim {
	t.Helper()
	a, err := c.Sign(rand.Reader, octets, hashes, true)
	if err != nil {
		t.Fatal(err)
	}
	return Claim{ID: fqdn, Certificates: certificates(c), Auth: a, Octets: octets, Hashes: hashes != nil, SHA1: true}
}

func certificates(c *Credential) (list []*wire.Cert) {
	for _, p := range c.Certificates() {
		list = append(list, p.(*wire.Cert))
	}
	return list
}

// failed holds that an error says something.
func failed(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestRFC7427_3_DigitalSignature(t *testing.T) {
	for _, kind := range testpki.Kinds {
		for _, hashes := range [][]Hash{offered, {Hash(77), SHA512, Identity}, {SHA384, Identity}} {
			t.Run(fmt.Sprint(kind, hashes), func(t *testing.T) {
				own, trust := side(t, kind)
				c := claim(t, own, hashes)
				if c.Auth.Method != wire.AuthDigitalSignature {
					t.Errorf("method %s", c.Auth.Method)
				}
				a, signature, err := parseSignature(c.Auth.Data)
				if err != nil || !slices.Contains(hashes, a.hash) {
					t.Errorf("%s, %v", a, err)
				}
				if kind == "RSA" && a.family != pss {
					t.Errorf("%s, want RSASSA-PSS", a)
				}
				if err := trust.Check(c, now); err != nil {
					t.Error(err)
				}
				signature[len(signature)-1] ^= 1
				failed(t, trust.Check(c, now), "is wrong")
				signature[len(signature)-1] ^= 1
				c.Octets = octets[1:]
				failed(t, trust.Check(c, now), "is wrong")
			})
		}
	}
}

// A hash algorithm is fit for the key first of all, and never one that the peer does not take.
func TestRFC7427_4_HashAlgorithms(t *testing.T) {
	for _, c := range []struct {
		kind   string
		peer   []Hash
		want   Hash
		failed string
	}{
		{"RSA", []Hash{SHA512, SHA256}, SHA256, ""},
		{"P-256", []Hash{SHA512, SHA384, SHA256}, SHA256, ""},
		{"P-384", []Hash{SHA256, SHA384}, SHA384, ""},
		{"P-384", []Hash{SHA256}, SHA256, ""},
		{"P-521", []Hash{SHA256, SHA512}, SHA512, ""},
		{"Ed25519", []Hash{SHA256, Identity}, Identity, ""},
		{"Ed25519", []Hash{SHA256}, 0, "fits our Ed25519 key: [SHA-256]; want one of [Identity]"},
		{"RSA", []Hash{SHA1, Identity}, 0, "fits our RSA-2048 key: [SHA-1 Identity]; want one of [SHA-256 SHA-384 SHA-512]"},
		{"P-256", []Hash{}, 0, "fits our ECDSA P-256 key"},
	} {
		a, err := choose(testpki.Key(c.kind).Public(), c.peer)
		if c.failed != "" {
			failed(t, err, c.failed)
		} else if err != nil || a.hash != c.want {
			t.Errorf("%s with %v: %s, %v", c.kind, c.peer, a, err)
		}
	}
}

func TestRFC7427_4_Notification(t *testing.T) {
	n := HashNotify()
	if got := hex.EncodeToString(n.Data); got != "0002000300040005" {
		t.Errorf("data %s", got)
	}
	if got := HashesOf([]wire.Payload{n}); fmt.Sprint(got) != "[SHA-256 SHA-384 SHA-512 Identity]" {
		t.Errorf("read as %v", got)
	}
	if HashesOf(nil) != nil {
		t.Error("hash algorithms without a notification")
	}
	for data, want := range map[string]int{"": 0, "\x00": 0, "\x00\x02\x00": 1} {
		n.Data = []byte(data)
		if got := HashesOf([]wire.Payload{n}); got == nil || len(got) != want {
			t.Errorf("%x is read as %v", data, got)
		}
	}
}

// Without SIGNATURE_HASH_ALGORITHMS the methods are the old ones; with them those are refused.
func TestRFC7296_3_8_OldMethods(t *testing.T) {
	for kind, method := range map[string]wire.AuthMethod{
		"RSA": wire.AuthRSA, "P-256": wire.AuthECDSA256, "P-384": wire.AuthECDSA384, "P-521": wire.AuthECDSA521,
	} {
		t.Run(kind, func(t *testing.T) {
			own, trust := side(t, kind)
			c := claim(t, own, nil)
			if c.Auth.Method != method {
				t.Errorf("method %s", c.Auth.Method)
			}
			if err := trust.Check(c, now); err != nil {
				t.Error(err)
			}
			c.Hashes = true
			failed(t, trust.Check(c, now), "; want Digital Signature, as both have sent SIGNATURE_HASH_ALGORITHMS")
			c.Hashes = false
			c.Auth.Data[len(c.Auth.Data)-1] ^= 1
			failed(t, trust.Check(c, now), "is wrong")
			c.Auth.Data = c.Auth.Data[1:]
			if trust.Check(c, now) == nil {
				t.Error("a signature that is too short is taken")
			}
			other := wire.AuthECDSA256
			if method == other {
				other = wire.AuthRSA
			}
			c.Auth.Method = other
			failed(t, trust.Check(c, now), "does not fit the certificate's")
		})
	}
	own, _ := side(t, "Ed25519")
	_, err := own.Sign(rand.Reader, octets, nil, true)
	failed(t, err, "SIGNATURE_HASH_ALGORITHMS, without which there are no signatures by a key of kind Ed25519")
}

// Method 1 is by SHA-1 unless both know better; others are understood.
func TestRFC7296_3_8_RSAWithAnyHash(t *testing.T) {
	own, trust := side(t, "RSA")
	c := claim(t, own, nil)
	if rsa.VerifyPKCS1v15(own.key.Public().(*rsa.PublicKey), crypto.SHA1, SHA1.sum(octets), c.Auth.Data) != nil {
		t.Error("the signature is not by SHA-1")
	}
	for _, h := range []Hash{SHA256, SHA384, SHA512} {
		var err error
		if c.Auth.Data, err = (algorithm{family: pkcs1, hash: h}).sign(rand.Reader, own.key, octets); err != nil {
			t.Fatal(err)
		}
		if err := trust.Check(c, now); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
}

// Where SHA-1 is not allowed, the other hash algorithms and methods still are.
func TestRFC8247_3_2_OldMethodsWithoutSHA1(t *testing.T) {
	own, trust := side(t, "RSA")
	_, err := own.Sign(rand.Reader, octets, nil, false)
	failed(t, err, "an RSA key signs with SHA-1; that is not allowed (signature-sha1)")
	c := claim(t, own, nil)
	c.SHA1 = false
	failed(t, trust.Check(c, now), "the signature is RSASSA-PKCS1-v1_5 with SHA-1, which is not allowed (signature-sha1)")
	if c.Auth.Data, err = (algorithm{family: pkcs1, hash: SHA256}).sign(rand.Reader, own.key, octets); err != nil {
		t.Fatal(err)
	}
	if err := trust.Check(c, now); err != nil {
		t.Error(err)
	}
	own, trust = side(t, "P-256")
	c = claim(t, own, nil)
	c.SHA1 = false
	if err := trust.Check(c, now); err != nil {
		t.Error(err)
	}
}

// Whatever a peer signs with by RFC 7427, SHA-1 is refused (RFC 8247 section 3.2), and so is what does not fit the key.
func TestRFC8247_3_2_Signatures(t *testing.T) {
	for _, c := range []struct {
		kind string
		algorithm
		want string
	}{
		{"RSA", algorithm{family: pkcs1, hash: SHA1}, "RSASSA-PKCS1-v1_5 with SHA-1; want a hash algorithm of"},
		{"RSA", algorithm{family: pss, hash: SHA1, salt: 20}, "RSASSA-PSS with SHA-1; want a hash algorithm of"},
		{"P-256", algorithm{family: ecdsaDER, hash: SHA1}, "ECDSA with SHA-1; want a hash algorithm of"},
		{"RSA", algorithm{family: pkcs1, hash: SHA256}, ""},
		{"RSA", algorithm{family: pkcs1, hash: SHA512}, ""},
		{"RSA", algorithm{family: pss, hash: SHA384, salt: 20}, ""},
		{"P-521", algorithm{family: ecdsaDER, hash: SHA256}, ""},
	} {
		t.Run(c.kind+" "+c.String(), func(t *testing.T) {
			own, trust := side(t, c.kind)
			signature, err := c.sign(rand.Reader, own.key, octets)
			if err != nil {
				t.Fatal(err)
			}
			id := c.identifier()
			data := append(append([]byte{byte(len(id))}, id...), signature...)
			err = trust.Check(Claim{
				ID: fqdn, Certificates: certificates(own), Octets: octets, Hashes: true,
				Auth: &wire.Auth{Method: wire.AuthDigitalSignature, Data: data},
			}, now)
			if c.want != "" {
				failed(t, err, c.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	ed, _ := side(t, "Ed25519")
	own, trust := side(t, "P-256")
	c := claim(t, ed, offered)
	c.Certificates = certificates(own)
	failed(t, trust.Check(c, now), "the signature is Ed25519, which does not fit the certificate's ECDSA P-256 key")
	c = claim(t, own, offered)
	c.Auth.Method = wire.AuthSharedKey
	c.Hashes = false
	failed(t, trust.Check(c, now), "Shared Key Message Integrity Code; want a signature")
	c.Auth.Method = wire.AuthDigitalSignature
	failed(t, trust.Check(c, now), "but the peer has not sent SIGNATURE_HASH_ALGORITHMS")
}

func distinguishedName(t *testing.T, text string) string {
	t.Helper()
	der, err := dn.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(der)
}

func TestRFC4877_7_3_IdentityOfTheCertificate(t *testing.T) {
	ip6, ip4 := net.ParseIP("2001:db8::1"), net.ParseIP("192.0.2.1").To4()
	root := testpki.NewAuthority(t, "root")
	key := testpki.Key("P-256")
	full := root.Issue(t, "Host", key, func(c *x509.Certificate) {
		c.DNSNames = []string{"other.example.org", "HA.example.org", "*.example.net"}
		c.EmailAddresses = []string{"mn@example.org"}
		c.IPAddresses = []net.IP{ip6, ip4}
	})
	bare := root.Issue(t, "ha.example.org", key, nil)
	for _, c := range []struct {
		kind   wire.IDType
		data   string
		cert   *x509.Certificate
		failed string
	}{
		{wire.IDFQDN, "ha.example.org", full, ""},
		{wire.IDFQDN, "ha.example.com", full,
			`is not of "ha.example.com": its dNSName is "other.example.org, HA.example.org, *.example.net"`},
		{wire.IDFQDN, "a.example.net", full, "dNSName"},
		{wire.IDFQDN, "*.example.net", full, "dNSName"},
		{wire.IDFQDN, "ha.example.org", bare,
			`the certificate of "CN=ha.example.org" is not of "ha.example.org": its dNSName is ""`},
		{wire.IDFQDN, "mn@example.org", full, "dNSName"},
		{wire.IDRFC822Addr, "MN@example.org", full, ""},
		{wire.IDRFC822Addr, "nm@example.org", full, `its rfc822Name is "mn@example.org"`},
		{wire.IDRFC822Addr, "ha.example.org", full, "rfc822Name"},
		{wire.IDIPv6Addr, string(ip6), full, ""},
		{wire.IDIPv4Addr, string(ip4), full, ""},
		{wire.IDIPv6Addr, string(net.ParseIP("2001:db8::2")), full,
			`is not of "2001:db8::2": its iPAddress is "2001:db8::1, 192.0.2.1"`},
		{wire.IDIPv6Addr, "2001:db8::1", full, "iPAddress"},
		{wire.IDIPv6Addr, string(ip6), bare, "iPAddress"},
		{wire.IDDERASN1DN, string(full.RawSubject), full, ""},
		{wire.IDDERASN1DN, distinguishedName(t, "cn = HOST"), full, ""},
		{wire.IDDERASN1DN, distinguishedName(t, "O=x, CN=Host"), full,
			`is not of "O=x, CN=Host": its subject is "CN=Host"`},
		{wire.IDDERASN1DN, "CN=Host", full, "is not of a distinguished name that is not one in DER: its subject"},
		{wire.IDDERASN1DN, string(bare.RawSubject), full, `its subject is "CN=Host"`},
		{wire.IDDERASN1DN, "", full, "subject"},
		{wire.IDKeyID, "key", full, "ID_KEY_ID: no certificate can prove it"},
		{wire.IDDERASN1GN, "", full, "ID_DER_ASN1_GN: no certificate can prove it"},
	} {
		own := credential(t, key, c.cert)
		said := claim(t, own, offered)
		said.ID = &wire.ID{Kind: c.kind, Data: []byte(c.data)}
		err := trust(t, root).Check(said, now)
		if own := own.Check(said.ID); fmt.Sprint(own) != fmt.Sprint(err) {
			t.Errorf("one's own: %v", own)
		}
		if c.failed != "" {
			failed(t, err, c.failed)
		} else if err != nil {
			t.Error(err)
		}
	}
	empty := root.Issue(t, "", key, func(c *x509.Certificate) { c.DNSNames = []string{"x"} })
	said := claim(t, credential(t, key, empty), offered)
	said.ID = &wire.ID{Kind: wire.IDDERASN1DN, Data: empty.RawSubject}
	failed(t, trust(t, root).Check(said, now), "its subject")
}

func TestRFC7296_3_7_CertificateRequest(t *testing.T) {
	one, two := testpki.NewAuthority(t, "one"), testpki.NewAuthority(t, "two")
	plain, looking, online := trust(t, one), trust(t, two), trust(t, one)
	looking.Servers, online.OCSP = []Server{{"certs.example.org", "80"}}, OCSPSoft
	for _, c := range []struct {
		name   string
		trusts []*Trust
		want   []wire.Payload
	}{
		{"for nothing", nil, nil},
		{"plain", []*Trust{plain}, []wire.Payload{&wire.CertReq{Encoding: wire.CertX509Signature}}},
		{"of all, in the order of RFC 7296 appendix C", []*Trust{plain, looking, online}, []wire.Payload{
			&wire.Notify{Kind: wire.NotifyHTTPCertLookupSupported},
			&wire.CertReq{Encoding: wire.CertX509Signature}, &wire.CertReq{Encoding: wire.CertOCSPContent},
		}},
	} {
		got := Requests(c.trusts...)
		for _, p := range got {
			if r, ok := p.(*wire.CertReq); ok && r.Encoding == wire.CertX509Signature {
				if want := sha1.Size * min(2, len(c.trusts)); len(r.Data) != want {
					t.Errorf("%s: %d octets of hashes, want %d", c.name, len(r.Data), want)
				}
				r.Data = nil
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestTheKeyIsNotPrinted(t *testing.T) {
	own, _ := side(t, "Ed25519")
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		if got := fmt.Sprintf(verb, own); got != `[certificate of "CN=ha"]` {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
