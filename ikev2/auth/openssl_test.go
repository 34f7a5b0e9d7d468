package auth

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"mipsecd/internal/testpki"
)

// files is a directory in which openssl works: in it are a key, its certificate, and that of the authority between it and
// the root.
type files struct {
	t    *testing.T
	dir  string
	leaf *x509.Certificate
}

func newFiles(t *testing.T, kind string) *files {
	t.Helper()
	p := newPKI(t)
	key := testpki.Key(kind)
	f := &files{t, t.TempDir(), p.sub.Issue(t, "ha", key, named)}
	f.write("key.pem", testpki.KeyPEM(key))
	f.write("cert.pem", testpki.CertificatesPEM(f.leaf))
	f.write("others.pem", testpki.CertificatesPEM(p.root.Certificate, p.sub.Certificate))
	return f
}

func (f *files) write(name string, data []byte) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), data, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *files) read(name string) []byte {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// openssl runs a command of openssl, and yields what it has written to "out".
func (f *files) openssl(command string) []byte {
	f.t.Helper()
	cmd := exec.Command("openssl", append(strings.Fields(command), "-out", "out")...)
	cmd.Dir = f.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("openssl %s: %v\n%s", command, err, out)
	}
	return f.read("out")
}

func TestKeysOfOpenSSL(t *testing.T) {
	f := newFiles(t, "RSA")
	for _, command := range []string{"pkey -in key.pem", "rsa -in key.pem -traditional"} {
		if key, err := ParsePrivateKey(f.openssl(command)); err != nil || !isKeyOf(f.leaf, key) {
			t.Errorf("%s: %v", command, err)
		}
	}
	for _, command := range []string{
		"pkey -in key.pem -aes256 -passout pass:x", "rsa -in key.pem -traditional -aes128 -passout pass:x",
	} {
		_, err := ParsePrivateKey(f.openssl(command))
		failed(t, err, "the private key is encrypted; want it decrypted, by openssl pkey -in FILE -out NEW, or in a PKCS#12")
	}
	f = newFiles(t, "P-384")
	for _, command := range []string{"pkey -in key.pem", "ec -in key.pem", "ec -in key.pem -no_public"} {
		if key, err := ParsePrivateKey(f.openssl(command)); err != nil || !isKeyOf(f.leaf, key) {
			t.Errorf("%s: %v", command, err)
		}
	}
	_, err := ParsePrivateKey(f.openssl("ec -in key.pem -aes128 -passout pass:x"))
	failed(t, err, "the private key is encrypted")
}

const export = "pkcs12 -export -inkey key.pem -in cert.pem -certfile others.pem"

func TestPKCS12OfOpenSSL(t *testing.T) {
	for _, kind := range testpki.Kinds {
		f := newFiles(t, kind)
		for name, c := range map[string]struct{ options, password string }{
			"PBES2":                    {"-passout pass:secret", "secret"},
			"PBES2 with AES-128":       {"-passout pass:secret -certpbe AES-128-CBC -keypbe AES-128-CBC -macalg sha512", "secret"},
			"legacy: RC2-40 and 3DES":  {"-passout pass:secret -legacy", "secret"},
			"legacy: 3DES for both":    {"-passout pass:secret -legacy -descert", "secret"},
			"no encryption, but a MAC": {"-passout pass:secret -certpbe NONE -keypbe NONE", "secret"},
			"an empty password":        {"-passout pass:", ""},
			"an umlaut":                {"-passout pass:schlüssel", "schlüssel"},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				key, chain, err := ParsePKCS12(f.openssl(export+" "+c.options), c.password)
				if err != nil {
					t.Fatal(err)
				}
				if !isKeyOf(f.leaf, key) || len(chain) != 2 || !chain[0].Equal(f.leaf) || chain[1].Subject.CommonName != "sub" {
					t.Errorf("a chain of %d, first %s", len(chain), subject(chain[0]))
				}
			})
		}
	}
}

func TestRefusedPKCS12(t *testing.T) {
	f := newFiles(t, "P-256")
	whole := f.openssl(export + " -passout pass:secret")
	strangers, err := pkcs12.Passwordless.Encode(testpki.Key("P-256"), f.leaf, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, password, want string
		data                 []byte
	}{
		{"no password", "", "it has a password; want it in pkcs12-password-file", whole},
		{"another password", "Secret", "it has another password", whole},
		{"PEM", "", "it is PEM; want PKCS#12", f.read("key.pem")},
		{"nothing", "", "it can't be read", nil},
		{"no certificate", "x", "certificate missing", f.openssl("pkcs12 -export -nocerts -inkey key.pem -passout pass:x")},
		{"no key", "x", "private key missing", f.openssl("pkcs12 -export -nokeys -in cert.pem -passout pass:x")},
		{"another's certificate", "", "none of its certificates is that of its private key", strangers},
		{"no MAC", "x", "no MAC in data", f.openssl(export + " -nomac -passout pass:x")},
	} {
		_, _, err := ParsePKCS12(c.data, c.password)
		failed(t, err, c.want)
	}
	for n := 0; n < len(whole); n += 7 {
		if _, _, err := ParsePKCS12(whole[:n], "secret"); err == nil {
			t.Errorf("%d of %d octets are taken", n, len(whole))
		}
	}
}

// The seeds have few iterations, and one has no encryption at all, so that what is inside is reached.
func FuzzPKCS12(f *testing.F) {
	root := testpki.NewAuthority(f, "root")
	key := testpki.Key("P-256")
	leaf := root.Issue(f, "ha", key, named)
	for _, encoder := range []*pkcs12.Encoder{
		pkcs12.Passwordless, pkcs12.Modern2023.WithIterations(1), pkcs12.LegacyDES.WithIterations(1),
	} {
		seed, err := encoder.Encode(key, leaf, []*x509.Certificate{root.Certificate}, "")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, chain, err := ParsePKCS12(data, "")
		if err == nil && (key == nil || len(chain) == 0) {
			t.Errorf("%x: a key %v and %d certificates", data, key, len(chain))
		}
	})
}
