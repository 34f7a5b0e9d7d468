//go:build linux

package interop

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"mipsecd/integration/lab"
)

// ppk is a post-quantum pre-shared key as both are configured for it; the zero value is none.
type ppk struct {
	id, key  string
	required bool
}

// lines are those of the table of a peer of mipsecd's, with the key in a file.
func (k ppk) lines(t *testing.T) string {
	if k == (ppk{}) {
		return ""
	}
	file := filepath.Join(t.TempDir(), "ppk")
	write(t, file, k.key)
	return fmt.Sprintf("ppk-id = %q\nppk-file = %q\nppk-required = %t\n", k.id, file, k.required)
}

// usePPK has charon use a key with its peer, beside what it is configured for. As a responder it refuses every other key if
// it is told which to use; where the key is optional it is only told the key.
func (c *charon) usePPK(t *testing.T, k ppk) {
	t.Helper()
	if k == (ppk{}) {
		return
	}
	n := c.conn
	if k.required || c.node == lab.MN {
		required := map[bool]string{true: "yes", false: "no"}[k.required]
		n.lines = append(n.lines, "ppk_id = "+k.id, "ppk_required = "+required)
	}
	n.secrets = append(n.secrets, fmt.Sprintf("ppk-1 {\n\t\tid = %s\n\t\tsecret = %q\n\t}", k.id, k.key))
	c.load(t, n)
}

// meetPPK is meet with a key each. With papers they prove themselves by certificates, else by the pre-shared key.
func (p *pairing) meetPPK(t *testing.T, ours, theirs ppk, papers *papers) *meeting {
	t.Helper()
	m, o := modern.mipsecd(), modern.peer()
	m.certified, m.proof = true, ours.lines(t)
	if papers == nil {
		m.proof += "secret-file = \"psk\"\n"
	} else {
		o.papers, m.more = papers, papers.forMipsecd(t, p.mipsecdOn)
	}
	x := p.meet(t, m, o)
	x.charon.usePPK(t, theirs)
	return x
}

// usesPPK checks whether mipsecd says that the key is in the keys of its one IKE_SA.
func (x *meeting) usesPPK(t *testing.T, want bool) {
	t.Helper()
	s, err := x.mipsecd.status()
	must(t, err)
	if sas := s.established(); len(sas) != 1 || sas[0].PPK != want {
		t.Errorf("a PPK is in use: %+v, want %t", sas, want)
	}
}

// TestStrongSwanPPK has a post-quantum pre-shared key mixed into the keys (RFC 8784), where both have it and where one has
// not.
func TestStrongSwanPPK(t *testing.T) {
	const key = "a key of more than 256 bits, as it should be"
	mandatory, optional := ppk{"together", key, true}, ppk{"together", key, false}
	unknown := ppk{"another", key, false}
	together := func(ours, theirs ppk, papers func(*testing.T) *papers) func(*pairing, *testing.T) {
		return func(p *pairing, t *testing.T) {
			x := p.meetPPK(t, ours, theirs, papers(t))
			first := x.both(t)
			x.bothPass(t, first)
			x.usesPPK(t, true)
			x.logged(t, 0, `using PPK for PPK_ID 'together'`)

			x.peer.rekeyIKE(t)
			second := x.replaced(t, func(now agreement) bool { return now.ike != first.ike })
			x.peer.rekeyChild(t, x.second)
			x.bothPass(t, x.replaced(t, func(now agreement) bool { return other(now, second, 1) }))
			x.usesPPK(t, true)
		}
	}
	apart := func(ours, theirs ppk, papers func(*testing.T) *papers) func(*pairing, *testing.T) {
		return func(p *pairing, t *testing.T) {
			x := p.meetPPK(t, ours, theirs, papers(t))
			x.bothPass(t, x.both(t))
			x.usesPPK(t, false)
		}
	}
	refused := func(ours, theirs ppk) func(*pairing, *testing.T) {
		return func(p *pairing, t *testing.T) {
			x := p.meetPPK(t, ours, theirs, nil)
			x.refused(t, refusesAuth)
			x.nothing(t)
			x.hidden(t)
		}
	}
	bySecret := func(*testing.T) *papers { return nil }
	byCertificate := func(t *testing.T) *papers { return newPapers(t, "P-256") }
	tests := []extension{
		{"mandatory", together(mandatory, mandatory, bySecret)},
		{"optional", together(optional, optional, bySecret)},
		{"optional, with certificates", together(optional, optional, byCertificate)},
		{"strongSwan has none", apart(optional, ppk{}, bySecret)},
		{"mipsecd has none", apart(ppk{}, optional, bySecret)},
		{"not the same one", apart(optional, unknown, bySecret)},
		{"not the same one, with certificates", apart(optional, unknown, byCertificate)},
		{"one name for two", refused(optional, ppk{"together", strings.ToUpper(key), false})},
	}
	bothWays(t, append(tests,
		extension{"mandatory, and strongSwan has none", func(p *pairing, t *testing.T) {
			x := p.meetPPK(t, mandatory, ppk{}, nil)
			if err := echo(lab.MN, "-c1", "-W1"); err == nil {
				t.Error("it was not refused")
			}
			x.mipsecd.logs(t, "IKE_SA_INIT response without USE_PPK, which is required")
			x.hidden(t)
		}},
		extension{"mandatory, and not the same one", refused(mandatory, unknown)},
	), append(tests,
		extension{"mandatory, and strongSwan has none", refused(mandatory, ppk{})},
		extension{"mandatory, and not the same one", refused(mandatory, unknown)},
	))
}
