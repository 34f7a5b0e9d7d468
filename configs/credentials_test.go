package configs

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/testpki"
)

// library has the files of these tests: a home agent's certificate and key, and its authority's certificate and list.
func library(t *testing.T) map[string][]byte {
	t.Helper()
	root, sub := testpki.NewAuthority(t, "root"), testpki.NewAuthority(t, "sub")
	key := testpki.Key("P-256")
	cert := root.Issue(t, "ha", key, func(c *x509.Certificate) { c.DNSNames = []string{"ha.example.org"} })
	p12, err := pkcs12.Modern2023.WithIterations(1).Encode(key, cert, []*x509.Certificate{root.Certificate}, "swordfish")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"ha.p12": p12, "p12.txt": []byte("swordfish\n"),
		"ha.pem": testpki.CertificatesPEM(cert), "ha.key": testpki.KeyPEM(key), "other.key": testpki.KeyPEM(testpki.Key("P-256")),
		"root.pem": testpki.CertificatesPEM(root.Certificate), "sub.pem": testpki.CertificatesPEM(sub.Certificate),
		"root.crl": root.Revoke(t, nil).Raw, "mn1.psk": []byte(testSecret),
	}
}

const topCertificates = "certificate-file = \"ha.pem\"\nprivate-key-file = \"ha.key\"\nca-file = \"root.pem\"\n"

// bundle is the home agent's certificate and key in one file.
const bundle = "pkcs12-file = \"ha.p12\"\nca-file = \"root.pem\"\n"

// certifiedHomeAgent has these lines at the top from line 4 on, and these in the table of mn1.
func certifiedHomeAgent(top, peer string) string {
	return strings.Replace(homeAgent(top, peer), "secret-file = \"mn1.psk\"\n", "", 1)
}

func TestCertificates(t *testing.T) {
	files := library(t)
	read := map[string]int{}
	reader := func(path string, content Content) ([]byte, error) {
		read[fmt.Sprintf("%s: %s", path, content)]++
		return files[path], nil
	}
	text := certifiedHomeAgent(topCertificates, "") + `
[[mobile-node]]
identity = "mn2@example.org"
home-address = "2001:db8:1::101"

[[mobile-node]]
identity = "mn3@example.org"
home-address = "2001:db8:1::102"
ca-file = ["root.pem", "sub.pem"]
signature-sha1 = true
ocsp = "hard"
crl-file = "root.crl"

[[mobile-node]]
identity = "mn4@example.org"
home-address = "2001:db8:1::103"
secret-file = "mn1.psk"
`
	c, err := Parse("x.toml", []byte(text), reader)
	if err != nil {
		t.Fatal(err)
	}
	one, two, three, four := c.Peers[0], c.Peers[1], c.Peers[2], c.Peers[3]
	if one.PSK != nil || one.Credential == nil || one.Trust == nil || two.Trust != one.Trust || two.Credential != one.Credential {
		t.Errorf("certificates of the top: %+v, %+v", one, two)
	}
	if three.Credential != one.Credential || three.Trust == one.Trust || len(auth.Requests(three.Trust)[0].(*wire.CertReq).Data) != 2*20 {
		t.Errorf("certificates of its own: %+v", three)
	}
	if one.Trust.OCSP != auth.OCSPOff || three.Trust.OCSP != auth.OCSPHard {
		t.Errorf("OCSP: %d at the top, %d where it is hard", one.Trust.OCSP, three.Trust.OCSP)
	}
	if one.SHA1 || !three.SHA1 {
		t.Errorf("SHA-1: %t at the top, %t where it is allowed", one.SHA1, three.SHA1)
	}
	if four.Credential != nil || four.Trust != nil || !four.PSK.Equal([]byte(testSecret)) {
		t.Errorf("a secret: %+v", four)
	}
	for file, n := range read {
		if want := map[string]int{"root.pem: certificates": 2}[file]; n != max(want, 1) {
			t.Errorf("%s is read %d times", file, n)
		}
	}
	if read["ha.key: the private key"] != 1 || read["root.crl: revocation lists"] != 1 {
		t.Errorf("read: %v", read)
	}
	signature, err := one.Credential.Sign(rand.Reader, nil, []auth.Hash{auth.SHA256}, false)
	if err != nil {
		t.Fatal(err)
	}
	strict := three.Trust.Check(auth.Claim{
		ID:           &wire.ID{Kind: wire.IDFQDN, Data: []byte("ha.example.org")},
		Certificates: []*wire.Cert{one.Credential.Certificates()[0].(*wire.Cert)}, Auth: signature, Hashes: true,
	}, testpki.End.Add(time.Hour))
	if strict == nil || !strings.Contains(strict.Error(), "has expired") {
		t.Errorf("the trust does not judge: %v", strict)
	}
}

// A distinguished name is sent as the certificate has it, whatever way it is written in (RFC 4945 section 3.1.5).
func TestDistinguishedName(t *testing.T) {
	files := library(t)
	text := strings.Replace(certifiedHomeAgent(topCertificates, ""), "ha.example.org", "cn = HA", 1)
	text = strings.Replace(text, "mn1@example.org", "C=CH, O=Example, CN=mn1", 1)
	c, err := Parse("x.toml", []byte(text), func(path string, _ Content) ([]byte, error) { return files[path], nil })
	if err != nil {
		t.Fatal(err)
	}
	p := c.Peers[0]
	if p.LocalID.Data != string(p.Credential.Subject()) || p.LocalID.String() != "CN=ha" {
		t.Errorf("this host's is %s, %x", p.LocalID, p.LocalID.Data)
	}
	if p.Name != "C=CH, O=Example, CN=mn1" || p.RemoteID != id(t, "C=CH, O=Example, CN=mn1") {
		t.Errorf("the peer's is %s, called %s", p.RemoteID, p.Name)
	}
}

// A peer's own files count more than those of the top, in whatever form either are.
func TestPKCS12(t *testing.T) {
	files := library(t)
	read := func(path string, _ Content) ([]byte, error) { return files[path], nil }
	const withPassword = bundle + "pkcs12-password-file = \"p12.txt\"\n"
	for name, text := range map[string]string{
		"at the top":                certifiedHomeAgent(withPassword, ""),
		"of a peer":                 certifiedHomeAgent("", withPassword),
		"of a peer, PEM at the top": certifiedHomeAgent(topCertificates, withPassword),
		"at the top, PEM of a peer": certifiedHomeAgent(withPassword, topCertificates),
	} {
		c, err := Parse("x.toml", []byte(text), read)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := fmt.Sprint(c.Peers[0].Credential); got != `[certificate of "CN=ha"]` {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestCertificateErrors(t *testing.T) {
	files := library(t)
	read := func(path string, content Content) ([]byte, error) {
		if b, ok := files[path]; ok {
			return b, nil
		}
		return nil, errors.New(path + " is not there; want a file with " + string(content))
	}
	replaced := func(old, with string) string { return strings.Replace(topCertificates, old, with, 1) }
	for _, c := range []struct{ name, text, want string }{
		{"both", homeAgent("", `ca-file = "root.pem"`),
			"x.toml:9: mobile-node.ca-file: this is for certificates; want either it or secret-file"},
		{"a list beside a secret", homeAgent("", `crl-file = "root.crl"`),
			"x.toml:9: mobile-node.crl-file: this is for certificates; want either it or secret-file"},
		{"SHA-1 beside a secret", homeAgent("", "signature-sha1 = true"),
			"x.toml:9: mobile-node.signature-sha1: this is for certificates; want either it or secret-file"},
		{"neither", certifiedHomeAgent("", ""),
			"x.toml:5: mobile-node.secret-file: is missing; want the path of a file, or ca-file for certificates"},
		{"no key", certifiedHomeAgent(replaced("private-key-file = \"ha.key\"\n", ""), ""),
			"x.toml:1: private-key-file: is missing; want the path of a file, as this host has to prove itself by a certificate"},
		{"no certificate", certifiedHomeAgent(replaced("certificate-file = \"ha.pem\"\n", ""), ""),
			"x.toml:1: certificate-file: is missing; want the path of a file, as this host has to prove itself by a certificate"},
		{"another's key", certifiedHomeAgent(replaced("ha.key", "other.key"), ""),
			`x.toml:4: certificate-file: the private key is not that of the certificate of "CN=ha"`},
		{"another's certificate", strings.Replace(certifiedHomeAgent(topCertificates, ""), "ha.example.org", "hb.example.org", 1),
			`x.toml:4: certificate-file: the certificate of "CN=ha" is not of "hb.example.org": its dNSName is "ha.example.org"`},
		{"a key that is none", certifiedHomeAgent(replaced("ha.key", "ha.pem"), ""),
			`x.toml:5: private-key-file: ha.pem: "CERTIFICATE" in it; want a private key`},
		{"a file that is not there", certifiedHomeAgent(replaced("ha.key", "hb.key"), ""),
			`x.toml:5: private-key-file: hb.key is not there; want a file with the private key`},
		{"PEM and PKCS#12", certifiedHomeAgent(topCertificates+"pkcs12-file = \"ha.p12\"\n", ""),
			"x.toml:4: certificate-file: this is for PEM; want either it or pkcs12-file"},
		{"PKCS#12 without its password", certifiedHomeAgent(bundle, ""),
			"x.toml:4: pkcs12-file: ha.p12: it has a password; want it in pkcs12-password-file"},
		{"PKCS#12 with another password", certifiedHomeAgent(bundle+"pkcs12-password-file = \"mn1.psk\"\n", ""),
			"x.toml:4: pkcs12-file: ha.p12: it has another password"},
		{"a password that is not there", certifiedHomeAgent(bundle+"pkcs12-password-file = \"mn2.psk\"\n", ""),
			"x.toml:6: pkcs12-password-file: mn2.psk is not there; want a file with the password of the PKCS#12 file"},
		{"an authority that is none", certifiedHomeAgent(replaced("root.pem", "ha.pem"), ""),
			`x.toml:6: ca-file: the certificate of "CN=ha" is not an authority's (basicConstraints)`},
		{"a list that is none", certifiedHomeAgent(topCertificates, `crl-file = "root.pem"`),
			`x.toml:11: mobile-node.crl-file: root.pem: "CERTIFICATE" in it; want "X509 CRL" only`},
		{"one identity in two ways", certifiedHomeAgent(topCertificates, "") +
			"[[mobile-node]]\nidentity = \"MN1@Example.org\"\nhome-address = \"2001:db8:1::101\"\n",
			"x.toml:13: mobile-node.identity: got MN1@Example.org, which line 9 has already; want each only once"},
		{"an identity that no certificate proves",
			strings.Replace(certifiedHomeAgent(topCertificates, ""), "mn1@example.org", "keyid:mn1", 1),
			"x.toml:9: mobile-node.identity: got keyid:mn1, which no certificate proves; want another, or secret-file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("x.toml", []byte(c.text), read)
			if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), c.want) {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

// A private key is for nobody else's eyes; certificates are for all.
func TestPrivateKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "key", 0o640)
	if _, err := readFile(path, PrivateKey); err == nil ||
		err.Error() != path+" is open to group or others (mode 0640); run chmod 600 on it" {
		t.Errorf("got %v", err)
	}
	for _, content := range []Content{PreSharedKey, PostQuantumKey, KeyBundle, Password} {
		if _, err := readFile(path, content); err == nil {
			t.Errorf("%s is read", content)
		}
	}
	for _, content := range []Content{Certificates, RevocationLists} {
		if b, err := readFile(path, content); err != nil || string(b) != "key" {
			t.Errorf("%s: %q, %v", content, b, err)
		}
	}
}
