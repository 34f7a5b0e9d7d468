//go:build linux

package interop

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"mipsecd/integration/lab"
)

// publisher is an HTTP server of certificates on a host of the lab, for that host alone. Each host has its own, at the same
// URLs.
type publisher struct {
	mu      sync.Mutex
	content map[string][]byte // by path
	asked   map[string]bool
}

const (
	publisherAddress = "[::1]:8080"
	publisherURL     = "http://" + publisherAddress + "/"
)

// startPublisher starts one, and ends it when the test ends.
func startPublisher(t *testing.T, n lab.Node, content map[string][]byte) *publisher {
	t.Helper()
	p := &publisher{content: content, asked: map[string]bool{}}
	var listener net.Listener
	must(t, n.Do(func() (err error) {
		listener, err = net.Listen("tcp", publisherAddress)
		return err
	}))
	s := &http.Server{Handler: p}
	go s.Serve(listener)
	t.Cleanup(func() { s.Close() })
	return p
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[r.URL.Path] = true
	content, there := p.content[r.URL.Path]
	if !there {
		http.NotFound(w, r)
		return
	}
	w.Write(content)
}

// served holds that these paths have been asked for, and no others.
func (p *publisher) served(t *testing.T, paths ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(paths)
	if asked := slices.Sorted(maps.Keys(p.asked)); !slices.Equal(asked, paths) {
		t.Errorf("asked for are %q, want %q", asked, paths)
	}
}

// charonPath is where charon says that a certificate is.
func charonPath(der []byte) string {
	hash := sha1.Sum(der)
	return "/" + hex.EncodeToString(hash[:])
}

// lookUp has charon look certificates up, and name those that its authorities have issued.
func (c *charon) lookUp(t *testing.T) {
	t.Helper()
	c.set(t, "hash_and_url = yes")
	n := c.conn
	for _, authority := range []string{"root", "above"} {
		n.authorities = append(n.authorities, fmt.Sprintf("%[1]s {\n\t\tcacert = %[1]s.pem\n\t\tcert_uri_base = %[2]s\n\t}",
			authority, publisherURL))
	}
	c.load(t, n)
}

// lookup is a meeting of two hosts with a publisher each, for what the other's certificates are.
type lookup struct {
	*meeting
	ours, theirs *publisher
	paths        []string // of charon's certificates
}

// meetLookingUp is meet with more lines of mipsecd's configuration. Each host has a certificate of an authority of its own
// below the root. In place of charon's, mipsecd finds what change makes of it.
func (p *pairing) meetLookingUp(t *testing.T, more string, change func(der []byte) []byte) *lookup {
	t.Helper()
	papers := p.issue(t, proof{kind: "P-256"})
	own, _ := papers.of(p.mipsecdOn)
	charons, _ := papers.of(p.peerOn)
	above := papers.above[p.peerOn].Raw
	x := &lookup{paths: []string{charonPath(charons.Raw), charonPath(above)}}
	x.ours = startPublisher(t, p.mipsecdOn, map[string][]byte{x.paths[0]: change(charons.Raw), x.paths[1]: above})
	x.theirs = startPublisher(t, p.peerOn, map[string][]byte{"/leaf": own.Raw, "/above": papers.above[p.mipsecdOn].Raw})
	m, o := modern.mipsecd(), modern.peer()
	m.certified, m.more, o.papers = true, papers.forMipsecd(t, p.mipsecdOn)+more, papers
	x.meeting = p.meet(t, m, o)
	x.charon.lookUp(t)
	return x
}

// TestStrongSwanHashAndURL has certificates fetched that are named by hash and URL (RFC 7296 section 3.6). strongSwan
// knows no bundles.
func TestStrongSwanHashAndURL(t *testing.T) {
	const (
		publishes = "certificate-url = [\"" + publisherURL + "leaf\", \"" + publisherURL + "above\"]\n"
		looksUp   = "certificate-servers = \"" + publisherAddress + "\"\n"
	)
	itself := func(der []byte) []byte { return der }
	good := func(more string, weFetch, theyFetch bool) func(*pairing, *testing.T) {
		return func(p *pairing, t *testing.T) {
			x := p.meetLookingUp(t, more, itself)
			x.bothPass(t, x.both(t))
			var ours, theirs []string
			if weFetch {
				ours = x.paths
			}
			if theyFetch {
				theirs = []string{"/leaf", "/above"}
			}
			x.ours.served(t, ours...)
			x.theirs.served(t, theirs...)
		}
	}
	refused := func(more, why string, change func([]byte) []byte) func(*pairing, *testing.T) {
		return func(p *pairing, t *testing.T) {
			x := p.meetLookingUp(t, more, change)
			x.askInVain(t)
			x.mipsecd.logs(t, why)
			x.nothing(t)
			x.hidden(t)
		}
	}
	tests := []extension{
		{"both look up", good(publishes+looksUp, true, true)},
		{"strongSwan looks up", good(publishes, false, true)},
		{"mipsecd looks up", good(looksUp, true, false)},
		{"another certificate at the URL", refused(looksUp, "its SHA-1 hash is another",
			func(der []byte) []byte { return der[:len(der)-1] })},
		{"a server that is not to be asked", refused("certificate-servers = \"certs.example.org\"\n",
			"that server is not among those of certificate-servers", itself)},
	}
	bothWays(t, tests, tests)
}
