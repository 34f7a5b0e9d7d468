package ikev2

import (
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/testpki"
	"mipsecd/spd"
)

// server has what both publish, by URL.
type server struct {
	data    map[string][]byte
	fetched int
}

func (s *server) Fetch(url string, _ [sha1.Size]byte, check func([]byte) error) error {
	s.fetched++
	data, there := s.data[url]
	if !there {
		return errors.New("the server is out of reach")
	}
	return check(data)
}

const certsURL = "http://certs.example.org/"

// looking is how the two hosts deal with certificates named by hash and URL.
type looking struct {
	mnPublishes, haPublishes func(*auth.Credential) error // nil for not at all
	mnLooksUp, haLooksUp     bool
}

// newLooking is a certified world in which each has its certificate from an authority below the root, which its chain has.
func newLooking(t *testing.T, l looking) (w *world, mn, ha *host, s *server) {
	t.Helper()
	s = &server{data: map[string][]byte{}}
	w, mn, ha = newCertified(t, "P-256", "P-256", func(root *testpki.Authority, mn, ha *papers) {
		for _, side := range []struct {
			*papers
			at     string
			naming naming
		}{{mn, "mn", mnName}, {ha, "ha", haName}} {
			sub := root.Under(t, "authority of "+side.at)
			side.chain = []*x509.Certificate{sub.Issue(t, side.at, side.key, side.naming), sub.Certificate}
			s.data[certsURL+side.at] = side.chain[0].Raw
			s.data[certsURL+side.at+".sub"] = sub.Certificate.Raw
			s.data[certsURL+side.at+".bundle"] = auth.Bundle(side.chain)
		}
	})
	for h, publishes := range map[*host]func(*auth.Credential) error{mn: l.mnPublishes, ha: l.haPublishes} {
		if publishes != nil {
			w.check(publishes(h.peer.Credential))
		}
	}
	at, err := auth.ParseServer("certs.example.org")
	w.check(err)
	for h, looksUp := range map[*host]bool{mn: l.mnLooksUp, ha: l.haLooksUp} {
		if looksUp {
			h.peer.Trust.Servers, h.peer.Trust.Fetcher = []auth.Server{at}, s
		}
	}
	ha.engine.cfg.CertRequests = auth.Requests(ha.peer.Trust)
	return w, mn, ha, s
}

// inFull has a URL for both certificates, asBundle one for both together.
func inFull(at string) func(*auth.Credential) error {
	return func(c *auth.Credential) error { return c.PublishAt(certsURL+at, certsURL+at+".sub") }
}

func asBundle(at string) func(*auth.Credential) error {
	return func(c *auth.Credential) error {
		c.PublishBundleAt(certsURL + at + ".bundle")
		return nil
	}
}

// encodings are those of the certificates that each host has sent.
func (w *world) encodings() map[string][]wire.CertEncoding {
	sent := map[string][]wire.CertEncoding{}
	w.lose = func(p *packet) bool {
		for _, payload := range w.clear[string(p.Data)] {
			if c, ok := payload.(*wire.Cert); ok {
				sent[p.from.name] = append(sent[p.from.name], c.Encoding)
			}
		}
		return false
	}
	return sent
}

// Who looks certificates up says so where it asks for them, in the order of RFC 7296 appendix C; to whom it has said so the
// other names them.
func TestRFC7296_3_7_HTTPCertLookupSupported(t *testing.T) {
	w, mn, _, s := newLooking(t, looking{inFull("mn"), asBundle("ha"), true, true})
	sent := w.encodings()
	mn.key(binding)
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(SIGNATURE_HASH_ALGORITHMS) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(SIGNATURE_HASH_ALGORITHMS) N(HTTP_CERT_LOOKUP_SUPPORTED) CERTREQ ]
		MN --> IKE_AUTH request 1 [ IDi CERT CERT N(INITIAL_CONTACT) N(HTTP_CERT_LOOKUP_SUPPORTED) CERTREQ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr CERT AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	`)
	w.settled(1)
	mn.key(payload)
	w.settled(2)
	if s.fetched != 3 {
		t.Errorf("%d fetched", s.fetched)
	}
	if len(sent["MN"]) != 2 || sent["MN"][0] != wire.CertHashAndURLX509 || sent["HA"][0] != wire.CertHashAndURLBundle {
		t.Errorf("sent %v", sent)
	}
}

// Certificates are named only to one who looks them up, and only by one who publishes them.
func TestRFC7296_3_6_WhoNamesCertificates(t *testing.T) {
	const plain, one, bundle = wire.CertX509Signature, wire.CertHashAndURLX509, wire.CertHashAndURLBundle
	for _, c := range []struct {
		name string
		looking
		mn, ha  wire.CertEncoding
		fetched int
	}{
		{"nobody", looking{}, plain, plain, 0},
		{"both publish, nobody looks up", looking{inFull("mn"), asBundle("ha"), false, false}, plain, plain, 0},
		{"nobody publishes, both look up", looking{nil, nil, true, true}, plain, plain, 0},
		{"the initiator looks up", looking{asBundle("mn"), inFull("ha"), true, false}, plain, one, 2},
		{"the responder looks up", looking{asBundle("mn"), inFull("ha"), false, true}, bundle, plain, 1},
		{"both", looking{asBundle("mn"), asBundle("ha"), true, true}, bundle, bundle, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, _, s := newLooking(t, c.looking)
			sent := w.encodings()
			mn.key(binding)
			w.settled(1)
			if sent["MN"][0] != c.mn || sent["HA"][0] != c.ha || s.fetched != c.fetched {
				t.Errorf("the mobile node sends %v, the home agent %v, %d fetched", sent["MN"], sent["HA"], s.fetched)
			}
		})
	}
}

// What is fetched and proves nothing is like what is sent and does not: the peer is told no more than that it failed.
func TestRFC7296_3_6_NotFound(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		change       func(*server)
	}{
		{"nothing there", "the server is out of reach", func(s *server) { clear(s.data) }},
		{"another certificate there", "its SHA-1 hash is another", func(s *server) {
			s.data[certsURL+"mn"], s.data[certsURL+"ha"] = s.data[certsURL+"ha"], s.data[certsURL+"mn"]
		}},
	} {
		t.Run(c.name+", for the responder", func(t *testing.T) {
			w, mn, ha, s := newLooking(t, looking{mnPublishes: inFull("mn"), haLooksUp: true})
			c.change(s)
			mn.key(binding)
			ha.hasDropped("mn@example.org is not proven: certificate 1 can't be read: Hash and URL of X.509 certificate at " +
				`"http://certs.example.org/mn": ` + c.reason)
			if got := one[spd.KeyFailed](mn).Err.Error(); got != "the peer answered AUTHENTICATION_FAILED" {
				t.Error(got)
			}
			w.pass(time.Minute)
			w.settled(0)
		})
		t.Run(c.name+", for the initiator", func(t *testing.T) {
			w, mn, _, s := newLooking(t, looking{haPublishes: inFull("ha"), mnLooksUp: true})
			c.change(s)
			mn.key(binding)
			if got := one[spd.KeyFailed](mn).Err.Error(); !strings.Contains(got, c.reason) {
				t.Error(got)
			}
			w.pass(time.Minute)
			w.settled(0)
		})
	}
}

// Fetching is a job: a retransmission meanwhile changes nothing.
func TestCertificatesAreFetchedByAJob(t *testing.T) {
	w, mn, ha, s := newLooking(t, looking{mnPublishes: asBundle("mn"), haLooksUp: true})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	w.deliver(0)
	w.deliver(0)
	ha.hold = true
	w.run()
	if len(ha.jobs) != 1 || s.fetched != 0 {
		t.Fatalf("%d jobs, %d fetched", len(ha.jobs), s.fetched)
	}
	w.pass(time.Second)
	ha.hold = false
	ha.work()
	w.run()
	w.settled(1)
	if s.fetched != 1 {
		t.Errorf("%d fetched", s.fetched)
	}
}
