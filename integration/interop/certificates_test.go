//go:build linux

package interop

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/testpki"
)

// papers are certificates of both hosts, and the authority of both.
type papers struct {
	kind     string // of the keys
	root     *testpki.Authority
	mn, ha   *x509.Certificate
	mnKey    []byte // PEM
	haKey    []byte
	stranger *testpki.Authority // of nobody's certificate
}

func newPapers(t *testing.T, kind string) *papers {
	t.Helper()
	p := &papers{kind: kind, root: testpki.NewAuthority(t, "root"), stranger: testpki.NewAuthority(t, "stranger")}
	key := testpki.Key(kind)
	p.mnKey = testpki.KeyPEM(key)
	p.mn = p.root.Issue(t, "mn", key, func(c *x509.Certificate) { c.EmailAddresses = []string{identityMN} })
	key = testpki.Key(kind)
	p.haKey = testpki.KeyPEM(key)
	p.ha = p.root.Issue(t, "ha", key, func(c *x509.Certificate) { c.DNSNames = []string{identityHA} })
	return p
}

// of is the certificate and the key of one host.
func (p *papers) of(n lab.Node) (cert *x509.Certificate, key []byte) {
	if n == lab.MN {
		return p.mn, p.mnKey
	}
	return p.ha, p.haKey
}

// writeTo puts one host's papers into files.
func (p *papers) writeTo(t *testing.T, n lab.Node, trusted *testpki.Authority, cert, key, ca string) {
	t.Helper()
	c, k := p.of(n)
	for path, text := range map[string][]byte{
		cert: testpki.CertificatesPEM(c), key: k, ca: testpki.CertificatesPEM(trusted.Certificate),
	} {
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		write(t, path, string(text))
	}
}

// forMipsecd writes mipsecd's papers and yields the lines of its configuration about them.
func (p *papers) forMipsecd(t *testing.T, n lab.Node, trusted *testpki.Authority) string {
	t.Helper()
	dir := t.TempDir()
	cert, key, ca := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	p.writeTo(t, n, trusted, cert, key, ca)
	return fmt.Sprintf("certificate-file = %q\nprivate-key-file = %q\nca-file = %q\n", cert, key, ca)
}

// forCharon puts charon's papers where swanctl finds them.
func (p *papers) forCharon(t *testing.T, c *charon) {
	t.Helper()
	p.writeTo(t, c.node, p.root, c.path("x509/own.pem"), c.path("private/own.pem"), c.path("x509ca/root.pem"))
	t.Cleanup(func() {
		for _, dir := range []string{"x509", "private", "x509ca"} {
			must(t, os.RemoveAll(c.path(dir)))
		}
	})
}

// certified are the options of both for certificates, where mipsecd trusts this authority.
func (p *pairing) certified(t *testing.T, papers *papers, trusted *testpki.Authority) (mipsecdOptions, charonOptions) {
	t.Helper()
	m, c := modern.mipsecd(), modern.charon()
	m.certified, c.certified = true, true
	m.more = papers.forMipsecd(t, p.mipsecdOn, trusted)
	papers.forCharon(t, p.charon)
	return m, c
}

// certificates: both sign by keys of one kind and prove themselves by certificates (RFC 7427, RFC 8420). mipsecd's RSA
// signatures are RSASSA-PSS; strongSwan's are RSASSA-PKCS1-v1_5.
func (p *pairing) certificates(t *testing.T) {
	for _, c := range []struct{ kind, theirs, ours string }{
		{"RSA", "RSA_EMSA_PKCS1_SHA2_256", "RSA_EMSA_PSS_SHA2_256_SALT_32"},
		{"P-256", "ECDSA_WITH_SHA256_DER", "ECDSA_WITH_SHA256_DER"},
		{"Ed25519", "ED25519", "ED25519"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			papers := newPapers(t, c.kind)
			m, ch := p.certified(t, papers, papers.root)
			x := p.meet(t, m, ch)
			x.establish(t, binding)
			x.passes(t, binding, x.agreed(t, binding).children[0])
			mine, theirs := identityMN, identityHA
			if x.charonOn == lab.MN {
				mine, theirs = theirs, mine
			}
			x.logged(t, 0, fmt.Sprintf(`authentication of '%s' with %s successful`, mine, c.ours))
			x.logged(t, 0, fmt.Sprintf(`authentication of '%s' \(myself\) with %s successful`, theirs, c.theirs))
		})
	}
	t.Run("of another authority", func(t *testing.T) {
		papers := newPapers(t, "P-256")
		m, c := p.certified(t, papers, papers.stranger)
		x := p.meet(t, m, c)
		x.refused(t, payload.name, `N\(AUTH_FAILED\)`)
		x.nothing(t)
		x.hidden(t)
	})
}
