//go:build linux

package interop

import (
	"crypto/x509"
	"encoding/pem"
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
	stranger *testpki.Authority             // of nobody's certificate
	trusted  *testpki.Authority             // by mipsecd
	lists    []*x509.RevocationList         // that mipsecd has
	above    map[lab.Node]*x509.Certificate // of the authority between a host's certificate and the root; nil if there is none
}

func newPapers(t *testing.T, kind string) *papers {
	t.Helper()
	p := &papers{kind: kind, root: testpki.NewAuthority(t, "root"), stranger: testpki.NewAuthority(t, "stranger")}
	p.trusted = p.root
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

// chain is a host's certificate and the one above it.
func (p *papers) chain(n lab.Node, c *x509.Certificate) []*x509.Certificate {
	if above := p.above[n]; above != nil {
		return []*x509.Certificate{c, above}
	}
	return []*x509.Certificate{c}
}

// writeTo puts one host's papers into files.
func (p *papers) writeTo(t *testing.T, n lab.Node, trusted *testpki.Authority, cert, key, ca string) {
	t.Helper()
	c, k := p.of(n)
	for path, text := range map[string][]byte{
		cert: testpki.CertificatesPEM(p.chain(n, c)...), key: k, ca: testpki.CertificatesPEM(trusted.Certificate),
	} {
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		write(t, path, string(text))
	}
}

// forMipsecd writes mipsecd's papers and yields the lines of its configuration about them.
func (p *papers) forMipsecd(t *testing.T, n lab.Node) string {
	t.Helper()
	dir := t.TempDir()
	cert, key, ca := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	p.writeTo(t, n, p.trusted, cert, key, ca)
	conf := fmt.Sprintf("certificate-file = %q\nprivate-key-file = %q\nca-file = %q\n", cert, key, ca)
	if len(p.lists) == 0 {
		return conf
	}
	var lists []byte
	for _, l := range p.lists {
		lists = append(lists, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l.Raw})...)
	}
	crl := filepath.Join(dir, "lists.pem")
	write(t, crl, string(lists))
	return conf + fmt.Sprintf("crl-file = %q\n", crl)
}

// certified: both sign by keys of one kind and prove themselves by certificates (RFC 7427, RFC 8420).
func (p *pairing) certified(t *testing.T, k traffic, kind string) {
	x := p.meetCertified(t, newPapers(t, kind))
	x.establish(t, k)
	x.passes(t, k, x.agreed(t, k).children[0])
	for _, pattern := range x.peer.verifies(kind) {
		x.logged(t, 0, pattern)
	}
}

// otherAuthority: mipsecd does not trust the authority of the peer's certificate.
func (p *pairing) otherAuthority(t *testing.T) {
	papers := newPapers(t, "P-256")
	papers.trusted = papers.stranger
	x := p.meetCertified(t, papers)
	x.refused(t, refusesAuth)
	x.nothing(t)
	x.hidden(t)
}

// meetCertified is meet with certificates for both.
func (p *pairing) meetCertified(t *testing.T, papers *papers) *meeting {
	t.Helper()
	m, o := modern.mipsecd(), modern.peer()
	m.certified, o.papers = true, papers
	m.more = papers.forMipsecd(t, p.mipsecdOn)
	return p.meet(t, m, o)
}
