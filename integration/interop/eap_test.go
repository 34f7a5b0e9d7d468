//go:build linux

package interop

import (
	"fmt"
	"strings"
	"testing"

	"mipsecd/integration/lab"
)

// method is an EAP method as both call it.
type method struct{ mipsecd, charon, logged string }

var (
	byPassword    = method{"mschapv2", "eap-mschapv2", "EAP_MSCHAPV2"}
	byCertificate = method{"tls", "eap-tls", "EAP_TLS"}
	// The server asks for the Identity first.
	byPasswordAfterIdentity = method{"mschapv2", "eap-mschapv2\n\t\t\teap_id = %any", "EAP_MSCHAPV2"}
)

// meetEAP is meet where the mobile node proves itself by EAP, and the home agent by a certificate. Mipsecd's papers are
// these, and its password is that of both unless it is another.
func (p *pairing) meetEAP(t *testing.T, by method, papers *papers, password string) *meeting {
	t.Helper()
	m, o := modern.mipsecd(), modern.peer()
	m.certified, o.papers = true, papers
	m.more = papers.forMipsecd(t, p.mipsecdOn)
	m.secret = password
	m.proof = fmt.Sprintf("eap = %q\n", by.mipsecd)
	if by.mipsecd == byPassword.mipsecd {
		m.proof += "eap-secret-file = \"psk\"\n"
	}
	x := p.meet(t, m, o)
	x.charon.useEAP(t, by.charon)
	return x
}

// useEAP has the mobile node of charon's configuration prove itself by EAP: charon itself, or its peer.
func (c *charon) useEAP(t *testing.T, method string) {
	t.Helper()
	n := c.conn
	mobile := &n.auth
	if c.node == lab.HA {
		mobile = &n.peerAuth
	}
	*mobile = strings.Replace(*mobile, "pubkey", method, 1)
	n.secrets = append(n.secrets, fmt.Sprintf("eap {\n\t\tid = %s\n\t\tsecret = %q\n\t}", identityMN, secretText))
	c.load(t, n)
}

// TestStrongSwanEAP has the mobile node prove itself by EAP to the home agent, which is the server, too.
func TestStrongSwanEAP(t *testing.T) {
	good := func(by method) func(*pairing, *testing.T) {
		return func(p *pairing, t *testing.T) {
			x := p.meetEAP(t, by, newPapers(t, "P-256"), secretText)
			x.bothPass(t, x.both(t))
			x.logged(t, 0, "EAP method "+by.logged+" succeeded, MSK established")
		}
	}
	refused := func(by method, password string, change func(*papers)) func(*pairing, *testing.T) {
		return func(p *pairing, t *testing.T) {
			papers := newPapers(t, "P-256")
			change(papers)
			x := p.meetEAP(t, by, papers, password)
			x.refused(t, refusesEAP)
			x.nothing(t)
			x.hidden(t)
		}
	}
	tests := []extension{
		{"EAP-MSCHAPv2", good(byPassword)},
		{"EAP-TLS", good(byCertificate)},
		{"wrong password", refused(byPassword, "another secret", func(*papers) {})},
	}
	bothWays(t, append(tests,
		extension{"EAP-Identity", good(byPasswordAfterIdentity)},
		extension{"EAP-TLS by another authority", refused(byCertificate, "", func(p *papers) {
			stranger := newPapers(t, "P-256")
			p.mn, p.mnKey = stranger.mn, stranger.mnKey
		})},
	), append(tests,
		extension{"EAP-TLS by another authority", refused(byCertificate, "", func(p *papers) { p.trusted = p.stranger })},
	))
}
