package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"mipsecd/internal/testpki"
)

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestPrivateKeys(t *testing.T) {
	rsaKey, ecKey := testpki.Key("RSA").(*rsa.PrivateKey), testpki.Key("P-384").(*ecdsa.PrivateKey)
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text []byte
		key  crypto.Signer
	}{
		"PKCS#1":           {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), rsaKey},
		"SEC 1":            {block("EC PRIVATE KEY", sec1), ecKey},
		"SEC 1 of openssl": {append(block("EC PARAMETERS", []byte{6, 5, 0x2b, 0x81, 4, 0, 0x22}), block("EC PRIVATE KEY", sec1)...), ecKey},
		"PKCS#8 of RSA":    {testpki.KeyPEM(rsaKey), rsaKey},
		"PKCS#8 of ECDSA":  {append([]byte("a word before\n"), testpki.KeyPEM(ecKey)...), ecKey},
	} {
		got, err := ParsePrivateKey(c.text)
		if err != nil || !got.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(c.key.Public()) {
			t.Errorf("%s: another key, %v", name, err)
		}
	}
	if got, err := ParsePrivateKey(testpki.KeyPEM(testpki.Key("Ed25519"))); err != nil || got.(ed25519.PrivateKey) == nil {
		t.Error(err)
	}
}

func TestRefusedFiles(t *testing.T) {
	key := testpki.KeyPEM(testpki.Key("P-256"))
	root := testpki.NewAuthority(t, "root")
	cert := testpki.CertificatesPEM(root.Certificate)
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := x509.MarshalPKCS8PrivateKey(exchange)
	if err != nil {
		t.Fatal(err)
	}
	privateKey := func(b []byte) error { _, err := ParsePrivateKey(b); return err }
	certs := func(b []byte) error { _, err := ParseCertificates(b); return err }
	lists := func(b []byte) error { _, err := ParseRevocationLists(b); return err }
	for _, c := range []struct {
		name  string
		parse func([]byte) error
		text  []byte
		want  string
	}{
		{"no key", privateKey, nil, "0 private keys in it; want one, in PEM"},
		{"two keys", privateKey, append(bytes.Clone(key), key...), "2 private keys in it; want one, in PEM"},
		{"a certificate for a key", privateKey, cert, `"CERTIFICATE" in it; want a private key`},
		{"an encrypted key", privateKey, block("ENCRYPTED PRIVATE KEY", []byte{1}), "the private key is encrypted; want it decrypted, by openssl"},
		{"a broken key", privateKey, block("PRIVATE KEY", []byte("secret")), `the "PRIVATE KEY" in it can't be read`},
		{"half a key", privateKey, key[:len(key)-10], "a PEM block without a proper end"},
		{"a key for key exchange", privateKey, block("PRIVATE KEY", x25519), "want RSA, ECDSA or Ed25519"},
		{"no certificate", certs, []byte("hello"), `no "CERTIFICATE" in it; want PEM`},
		{"a key for a certificate", certs, key, `"PRIVATE KEY" in it; want "CERTIFICATE" only`},
		{"a broken certificate", certs, block("CERTIFICATE", []byte("x")), "malformed certificate"},
		{"no list", lists, cert, `"CERTIFICATE" in it; want "X509 CRL" only`},
	} {
		err := c.parse(c.text)
		failed(t, err, c.want)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error has the key", c.name)
		}
	}
}

func TestRevocationListFiles(t *testing.T) {
	root := testpki.NewAuthority(t, "root")
	list := root.Revoke(t, nil)
	text := block("X509 CRL", list.Raw)
	for name, data := range map[string][]byte{"DER": list.Raw, "PEM": text, "two": append(bytes.Clone(text), text...)} {
		got, err := ParseRevocationLists(data)
		if err != nil || !bytes.Equal(got[0].Raw, list.Raw) || len(got) == 1 == (name == "two") {
			t.Errorf("%s: %d lists, %v", name, len(got), err)
		}
	}
}

func TestCredentials(t *testing.T) {
	root := testpki.NewAuthority(t, "root")
	key, other := testpki.Key("P-256"), testpki.Key("P-256")
	cert := root.Issue(t, "ha", key, named)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain := func(n int) (list []*x509.Certificate) {
		for range n {
			list = append(list, cert)
		}
		return list
	}
	for _, c := range []struct {
		key   crypto.Signer
		chain []*x509.Certificate
		want  string
	}{
		{key, nil, "0 certificates; want 1 to 10"},
		{key, chain(11), "11 certificates; want 1 to 10"},
		{other, chain(1), `the private key is not that of the certificate of "CN=ha"`},
		{weak, []*x509.Certificate{root.Issue(t, "ha", weak, nil)}, "an RSA key of 1024 bits; want 2048 to 8192"},
		{p224, []*x509.Certificate{root.Issue(t, "ha", p224, nil)}, "a key of kind ECDSA P-224; want RSA"},
	} {
		_, err := NewCredential(c.key, c.chain)
		failed(t, err, c.want)
	}
}
