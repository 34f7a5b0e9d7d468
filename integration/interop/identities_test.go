//go:build linux

package interop

import (
	"bufio"
	"cmp"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mipsecd/integration/lab"
	"mipsecd/internal/testpki"
	"mipsecd/internal/uml"
)

// TestStrongSwanIdentities has a guest for each of mipsecd and strongSwan as the mobile node. Both prove by certificates
// identities of all types, by signatures of all methods; and mipsecd refuses what proves nothing.
func TestStrongSwanIdentities(t *testing.T) {
	t.Parallel()
	for _, guest := range []struct {
		name      string
		mipsecdOn lab.Node
	}{{"mipsecd initiates", lab.MN}, {"strongSwan initiates", lab.HA}} {
		t.Run(guest.name, func(t *testing.T) {
			t.Parallel()
			uml.Run(t, func(t *testing.T) {
				p := pairCharon(t, guest.mipsecdOn)
				for _, c := range proofs {
					t.Run(c.name, func(t *testing.T) { p.proof(t, c) })
				}
			})
		})
	}
}

// identities are those of both hosts, where they are not the usual ones.
type identities struct{ mn, ha string }

// in puts them into a configuration in place of the usual ones.
func (i identities) in(conf string) string {
	return strings.NewReplacer(identityMN, cmp.Or(i.mn, identityMN), identityHA, cmp.Or(i.ha, identityHA)).Replace(conf)
}

// proof is a way in which the two prove who they are, or in which strongSwan fails to.
type proof struct {
	name string
	kind string // of the keys
	identities
	change  func(c *x509.Certificate, n lab.Node) // what a host's certificate says
	flaw    func(*x509.Certificate)               // of strongSwan's
	old     bool                                  // strongSwan does not speak RFC 7427
	bundled bool                                  // mipsecd has its own in PKCS#12
	more    string                                // of mipsecd's configuration
	checked bool                                  // mipsecd wants to know whether certificates are revoked
	listed  bool                                  // as revoked: strongSwan's, on a list that mipsecd has
	state   string                                // of strongSwan's, as openssl's OCSP responder beside mipsecd tells it
	says    string                                // strongSwan logs this method of mipsecd's signature
	refused string                                // mipsecd logs this and takes strongSwan for nobody
}

var proofs = []proof{
	{name: "distinguished names", kind: "P-256", says: "ECDSA_WITH_SHA256_DER",
		identities: identities{"C=CH, O=Example, CN=Mobile node_1", "C=CH, O=Example, CN=ha"},
		change: func(c *x509.Certificate, n lab.Node) {
			c.Subject = pkix.Name{Country: []string{"CH"}, Organization: []string{"Example"}, CommonName: "ha"}
			if n == lab.MN {
				c.Subject.CommonName = "Mobile node_1"
			}
			c.DNSNames, c.EmailAddresses = nil, nil
		}},
	{name: "addresses", kind: "P-256", says: "ECDSA_WITH_SHA256_DER",
		identities: identities{lab.HoA.String(), lab.HomeAgent.String()},
		change: func(c *x509.Certificate, n lab.Node) {
			c.IPAddresses = []net.IP{lab.HomeAgent.AsSlice()}
			if n == lab.MN {
				c.IPAddresses = []net.IP{lab.HoA.AsSlice()}
			}
		}},
	{name: "PKCS#12", kind: "P-256", bundled: true, says: "ECDSA_WITH_SHA256_DER"},
	{name: "P-384", kind: "P-384", says: "ECDSA_WITH_SHA384_DER"},
	{name: "P-521", kind: "P-521", says: "ECDSA_WITH_SHA512_DER"},
	{name: "RSA with SHA-1", kind: "RSA", old: true, more: "signature-sha1 = true\n", says: "RSA signature"},
	{name: "RFC 4754 on P-256", kind: "P-256", old: true, says: "ECDSA-256 signature"},
	{name: "RFC 4754 on P-384", kind: "P-384", old: true, says: "ECDSA-384 signature"},
	{name: "RFC 4754 on P-521", kind: "P-521", old: true, says: "ECDSA-521 signature"},
	{name: "SHA-1 not allowed", kind: "RSA", old: true, refused: "SHA-1"},
	{name: "expired", kind: "P-256", refused: "has expired on",
		flaw: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }},
	{name: "revoked by a list", kind: "P-256", checked: true, listed: true, refused: "is revoked since"},
	{name: "good by OCSP", kind: "P-256", checked: true, state: "V", more: `ocsp = "hard"` + "\n", says: "ECDSA_WITH_SHA256_DER"},
	{name: "revoked by OCSP", kind: "P-256", checked: true, state: "R", more: `ocsp = "soft"` + "\n", refused: "is revoked since"},
	{name: "no responder, soft", kind: "P-256", checked: true, more: `ocsp = "soft"` + "\n", says: "ECDSA_WITH_SHA256_DER"},
	{name: "no responder, hard", kind: "P-256", checked: true, more: `ocsp = "hard"` + "\n", refused: "connection refused"},
	// strongSwan does not claim a name that its certificate does not have, but the certificate's subject.
	{name: "another name", kind: "P-256", refused: "CN=stranger",
		flaw: func(c *x509.Certificate) {
			c.Subject, c.DNSNames, c.EmailAddresses = pkix.Name{CommonName: "stranger"}, nil, []string{"stranger@example.org"}
		}},
	{name: "not for IKE", kind: "P-256", refused: "is not for IKE (extendedKeyUsage)",
		flaw: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }},
}

// proof runs one of them. Each host has an authority of its own below the root, which the other learns from its
// certificates.
func (p *pairing) proof(t *testing.T, c proof) {
	papers := p.issue(t, c)
	m, o := modern.mipsecd(), modern.peer()
	m.certified, m.identities, m.more = true, c.identities, papers.forMipsecd(t, p.mipsecdOn)+c.more
	if c.bundled {
		m.more = papers.bundleFor(t, p.mipsecdOn)
	}
	o.papers, o.identities = papers, c.identities
	var daemon []string
	if c.old {
		daemon = []string{"signature_authentication = no"}
	}
	p.charon.set(t, daemon...)
	x := p.meet(t, m, o)
	if c.refused == "" {
		x.establish(t, x.first)
		x.passesFirst(t)
		x.logged(t, 0, "authentication of '.*' with "+c.says+" successful")
		return
	}
	x.askInVain(t)
	wait(t, "mipsecd says why", func() error {
		if !strings.Contains(x.mipsecd.log(t), c.refused) {
			return errors.New("it does not")
		}
		return nil
	})
	x.nothing(t)
	x.hidden(t)
}

// bundleFor is forMipsecd with certificates and key in a file that openssl makes of them.
func (p *papers) bundleFor(t *testing.T, n lab.Node) string {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	p.writeTo(t, n, p.trusted, path("cert.pem"), path("key.pem"), path("ca.pem"))
	write(t, path("password"), "swordfish\n")
	_, err := n.Run("openssl", "pkcs12", "-export", "-in", path("cert.pem"), "-inkey", path("key.pem"),
		"-passout", "file:"+path("password"), "-out", path("own.p12"))
	must(t, err)
	return fmt.Sprintf("pkcs12-file = %q\npkcs12-password-file = %q\nca-file = %q\n", path("own.p12"), path("password"),
		path("ca.pem"))
}

// askInVain has the mobile node ask for what it does not get.
func (x *meeting) askInVain(t *testing.T) {
	t.Helper()
	var err error
	if x.peerOn == lab.MN {
		err = x.peer.initiate(payload)
	} else {
		err = echo(lab.MN, "-c1", "-W1")
	}
	if err == nil {
		t.Error("it was not refused")
	}
}

// issue makes the papers, and tells mipsecd what is revoked.
func (p *pairing) issue(t *testing.T, c proof) *papers {
	t.Helper()
	root := testpki.NewAuthority(t, "root")
	all := &papers{kind: c.kind, root: root, trusted: root, above: map[lab.Node]*x509.Certificate{}}
	if c.checked {
		all.lists = []*x509.RevocationList{root.Revoke(t, nil)}
	}
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		ca, key := root.Under(t, "authority of "+string(n)), testpki.Key(c.kind)
		cert := ca.Issue(t, string(n), key, func(cert *x509.Certificate) {
			if n == lab.MN {
				cert.EmailAddresses = []string{identityMN}
			} else {
				cert.DNSNames = []string{identityHA}
			}
			if c.change != nil {
				c.change(cert, n)
			}
			if n == p.peerOn && c.flaw != nil {
				c.flaw(cert)
			}
			cert.OCSPServer = []string{responderURL}
		})
		all.above[n] = ca.Certificate
		if n == lab.MN {
			all.mn, all.mnKey = cert, testpki.KeyPEM(key)
		} else {
			all.ha, all.haKey = cert, testpki.KeyPEM(key)
		}
		if n == p.peerOn && c.listed {
			all.lists = append(all.lists, ca.Revoke(t, nil, cert))
		}
		if n == p.peerOn && c.state != "" {
			startResponder(t, p.mipsecdOn, ca, cert, c.state)
		}
	}
	return all
}

// responderURL is where a host's OCSP responder is for it.
const responderURL = "http://[::1]:8080"

// startResponder starts openssl's OCSP responder, to which the authority has delegated that, on a host; it says of a
// certificate that it is valid (V) or revoked (R).
func startResponder(t *testing.T, n lab.Node, ca *testpki.Authority, cert *x509.Certificate, state string) {
	t.Helper()
	dir := t.TempDir()
	revoked := ""
	if state == "R" {
		revoked = "200101000000Z"
	}
	key := testpki.Key("P-256")
	responder := ca.Issue(t, "responder", key, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	})
	for name, content := range map[string][]byte{
		"index": fmt.Appendf(nil, "%s\t991231235959Z\t%s\t%02X\tunknown\t/CN=peer\n", state, revoked, cert.SerialNumber),
		"key":   testpki.KeyPEM(key), "cert": testpki.CertificatesPEM(responder), "ca": testpki.CertificatesPEM(ca.Certificate),
	} {
		write(t, filepath.Join(dir, name), string(content))
	}
	cmd := exec.Command("openssl", "ocsp", "-port", "8080", "-index", "index", "-rsigner", "cert", "-rkey", "key", "-CA", "ca",
		"-nmin", "5")
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, n.Do(cmd.Start))
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); !strings.HasPrefix(line, "ACCEPT") {
		t.Fatalf("openssl ocsp says %q, %v", line, err)
	}
}
