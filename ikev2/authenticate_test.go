package ikev2

import (
	"crypto"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/internal/testpki"
	"mipsecd/spd"
)

// papers are what one host proves itself with, and whom it believes.
type papers struct {
	key   crypto.Signer
	chain []*x509.Certificate
	trust *testpki.Authority
	lists []*x509.RevocationList
}

func (p *papers) give(t testing.TB, peer *Peer) {
	t.Helper()
	var err error
	if peer.Credential, err = auth.NewCredential(p.key, p.chain); err != nil {
		t.Fatal(err)
	}
	if peer.Trust, err = auth.NewTrust([]*x509.Certificate{p.trust.Certificate}, p.lists); err != nil {
		t.Fatal(err)
	}
	peer.PSK = nil
}

func mnName(c *x509.Certificate) { c.EmailAddresses = []string{"mn@example.org"} }
func haName(c *x509.Certificate) { c.DNSNames = []string{"ha.example.org"} }

// newCertified is a world whose hosts have keys of these kinds and certificates of one authority, unless change says
// otherwise.
func newCertified(
	t testing.TB, mnKind, haKind string, change func(root *testpki.Authority, mn, ha *papers),
) (w *world, mn, ha *host) {
	t.Helper()
	root := testpki.NewAuthority(t, "root")
	m, h := newPapers(t, root, mnKind, haKind)
	if change != nil {
		change(root, m, h)
	}
	return newWorld(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
		m.give(t, mn.peer)
		h.give(t, ha.peer)
		haCfg.CertRequests = auth.Requests(ha.peer.Trust)
		mnCfg.FragmentSize, haCfg.FragmentSize = -1, -1
	}})
}

func newPapers(t testing.TB, root *testpki.Authority, mnKind, haKind string) (mn, ha *papers) {
	t.Helper()
	mn, ha = &papers{key: testpki.Key(mnKind), trust: root}, &papers{key: testpki.Key(haKind), trust: root}
	mn.chain = []*x509.Certificate{root.Issue(t, "mn", mn.key, mnName)}
	ha.chain = []*x509.Certificate{root.Issue(t, "ha", ha.key, haName)}
	return mn, ha
}

// The exchanges of RFC 4877 section 7.3 with certificates, their payloads in the order of RFC 7296 appendix C.
const (
	certifiedInit = `
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(SIGNATURE_HASH_ALGORITHMS) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(SIGNATURE_HASH_ALGORITHMS) CERTREQ ]
	`
	certifiedRequest = `
		MN --> IKE_AUTH request 1 [ IDi CERT N(INITIAL_CONTACT) CERTREQ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	`
	certifiedResponse = `
		HA --> IKE_AUTH response 1 [ IDr CERT AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	`
)

func TestRFC7427_Certificates(t *testing.T) {
	for _, mnKind := range testpki.Kinds {
		for _, haKind := range testpki.Kinds {
			t.Run(mnKind+" with "+haKind, func(t *testing.T) {
				w, mn, _ := newCertified(t, mnKind, haKind, nil)
				mn.key(binding)
				w.script(certifiedInit + certifiedRequest + certifiedResponse)
				w.settled(1)
				mn.key(payload)
				w.settled(2)
			})
		}
	}
}

// A home address may be the identity, if the certificate has it as iPAddress.
func TestRFC4877_7_3_HomeAddressAsIdentity(t *testing.T) {
	w, mn, ha := newCertified(t, "P-256", "P-256", func(root *testpki.Authority, mn, _ *papers) {
		mn.chain[0] = root.Issue(t, "mn", mn.key, func(c *x509.Certificate) { c.IPAddresses = []net.IP{hoa.AsSlice()} })
	})
	mn.peer.LocalID, ha.peer.RemoteID = AddrIdentity(hoa), AddrIdentity(hoa)
	list, err := NewPeerList(ha.peer)
	w.check(err)
	ha.engine.cfg.Peers = list
	mn.key(binding)
	w.script(certifiedInit + certifiedRequest + certifiedResponse)
	w.settled(1)
}

// The subject may be the identity: its octets, which the other knows by a text.
func TestRFC4945_3_1_5_DistinguishedName(t *testing.T) {
	w, mn, ha := newCertified(t, "P-256", "Ed25519", nil)
	cert, err := x509.ParseCertificate(mn.peer.Credential.Certificates()[0].(*wire.Cert).Data)
	w.check(err)
	mn.peer.LocalID = Identity{Kind: wire.IDDERASN1DN, Data: string(cert.RawSubject)}
	ha.peer.RemoteID, err = ParseIdentity("cn = MN")
	w.check(err)
	list, err := NewPeerList(ha.peer)
	w.check(err)
	ha.engine.cfg.Peers = list
	mn.key(binding)
	w.script(certifiedInit + certifiedRequest + certifiedResponse)
	w.settled(1)
}

// If the responder has not sent SIGNATURE_HASH_ALGORITHMS, both sign by the old methods.
func TestRFC7296_3_8_OldMethods(t *testing.T) {
	for _, kind := range []string{"RSA", "P-256"} {
		w, mn, ha := newCertified(t, kind, kind, nil)
		ha.engine.cfg.CertRequests = nil
		mn.peer.SHA1, ha.peer.SHA1 = true, true
		methods := map[wire.AuthMethod]int{}
		w.lose = func(p *packet) bool {
			if a, ok := wire.Find[*wire.Auth](w.clear[string(p.Data)]); ok {
				methods[a.Method]++
			}
			return false
		}
		mn.key(binding)
		w.script(`
			MN --> IKE_SA_INIT request 0 [ SA KE Ni N(SIGNATURE_HASH_ALGORITHMS) ]
			HA --> IKE_SA_INIT response 0 [ SA KE Nr ]
		` + certifiedRequest + certifiedResponse)
		w.settled(1)
		if want := map[string]wire.AuthMethod{"RSA": wire.AuthRSA, "P-256": wire.AuthECDSA256}[kind]; methods[want] != 2 {
			t.Errorf("%s: methods %v", kind, methods)
		}
	}
}

// SHA-1 is for those who ask for it, on both sides.
func TestRFC8247_3_2_SHA1NotAllowed(t *testing.T) {
	for _, c := range []struct {
		name         string
		mn, ha       bool
		mnSays, last string
	}{
		{"by the initiator", false, true, "an RSA key signs with SHA-1; that is not allowed", ""},
		{"by the responder", true, false, "the peer answered AUTHENTICATION_FAILED", "with SHA-1, which is not allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, ha := newCertified(t, "RSA", "RSA", nil)
			ha.engine.cfg.CertRequests = nil
			mn.peer.SHA1, ha.peer.SHA1 = c.mn, c.ha
			mn.key(binding)
			if got := one[spd.KeyFailed](mn).Err.Error(); !strings.Contains(got, c.mnSays) {
				t.Error(got)
			}
			if c.last != "" {
				ha.hasDropped(c.last)
			}
			w.pass(time.Minute)
			w.settled(0)
		})
	}
}

// An initiator that can't sign as the responder wants it gives up.
func TestRFC8420_2_ResponderWithoutIdentityHash(t *testing.T) {
	w, mn, ha := newCertified(t, "Ed25519", "P-256", nil)
	ha.engine.cfg.CertRequests = nil
	mn.key(binding)
	if got := one[spd.KeyFailed](mn).Err.Error(); !strings.Contains(got, "has not sent SIGNATURE_HASH_ALGORITHMS") {
		t.Error(got)
	}
	w.pass(time.Minute)
	w.settled(0)
}

// A responder that can't sign as the initiator wants it says no more than that it failed.
func TestRFC8420_2_InitiatorWithoutIdentityHash(t *testing.T) {
	w, mn, ha := newCertified(t, "P-256", "Ed25519", nil)
	ha.engine.cfg.CertRequests = nil
	mn.key(binding)
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(SIGNATURE_HASH_ALGORITHMS) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr ]
	` + certifiedRequest + `
		HA --> IKE_AUTH response 1 [ N(AUTHENTICATION_FAILED) ]
	`)
	ha.hasDropped("there are no signatures by a key of kind Ed25519")
	w.pass(time.Minute)
	w.settled(0)
}

// hasDropped holds that the last thing that a host logged has this reason.
func (h *host) hasDropped(reason string) {
	h.w.t.Helper()
	if n := len(h.dropped); n == 0 || !strings.Contains(h.dropped[n-1].Error(), reason) {
		h.w.t.Errorf("%s has dropped %v, want %q", h.name, h.dropped, reason)
	}
}

// mistakes are what makes the papers of a liar prove nothing to a judge.
var mistakes = []struct {
	name, reason string
	change       func(t *testing.T, root *testpki.Authority, liar, judge *papers, name naming)
}{
	{"expired", "has expired on 1970-01-02", func(t *testing.T, root *testpki.Authority, liar, _ *papers, name naming) {
		liar.chain[0] = root.Issue(t, "liar", liar.key, func(c *x509.Certificate) {
			name(c)
			c.NotAfter = time.Unix(100_000, 0)
		})
	}},
	{"not yet", "is valid from 1970-01-24", func(t *testing.T, root *testpki.Authority, liar, _ *papers, name naming) {
		liar.chain[0] = root.Issue(t, "liar", liar.key, func(c *x509.Certificate) {
			name(c)
			c.NotBefore = time.Unix(2_000_000, 0)
		})
	}},
	{"another authority", "leads to no authority of ours", func(
		t *testing.T, _ *testpki.Authority, liar, _ *papers, name naming,
	) {
		liar.chain[0] = testpki.NewAuthority(t, "root").Issue(t, "liar", liar.key, name)
	}},
	{"revoked", "is revoked since", func(t *testing.T, root *testpki.Authority, liar, judge *papers, _ naming) {
		judge.lists = []*x509.RevocationList{root.Revoke(t, nil, liar.chain[0])}
	}},
	{"another name", "is not of", func(t *testing.T, root *testpki.Authority, liar, _ *papers, _ naming) {
		liar.chain[0] = root.Issue(t, "liar", liar.key, func(c *x509.Certificate) {
			c.EmailAddresses, c.DNSNames = []string{"liar@example.org"}, []string{"liar.example.org"}
		})
	}},
}

// naming writes a host's name into its certificate.
type naming = func(*x509.Certificate)

// The initiator is told no more than that it failed; why is in the log.
func TestRFC4877_7_3_InitiatorNotProven(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			w, mn, ha := newCertified(t, "P-256", "P-256", func(root *testpki.Authority, mn, ha *papers) {
				m.change(t, root, mn, ha, mnName)
			})
			mn.key(binding)
			w.script(certifiedInit + certifiedRequest + `
				HA --> IKE_AUTH response 1 [ N(AUTHENTICATION_FAILED) ]
			`)
			ha.hasDropped("mn@example.org is not proven: the certificate of")
			ha.hasDropped(m.reason)
			if got := one[spd.KeyFailed](mn).Err.Error(); got != "the peer answered AUTHENTICATION_FAILED" {
				t.Error(got)
			}
			if len(ha.notices) > 0 {
				t.Errorf("the responder's role hears of it: %v", ha.notices)
			}
			w.pass(time.Minute)
			w.settled(0)
		})
	}
}

// A responder that is not proven is told so, too, after it has established the IKE_SA (RFC 7296 section 2.21.2).
func TestRFC4877_7_3_ResponderNotProven(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			w, mn, _ := newCertified(t, "P-256", "P-256", func(root *testpki.Authority, mn, ha *papers) {
				m.change(t, root, ha, mn, haName)
			})
			mn.key(binding)
			w.script(certifiedInit + certifiedRequest + certifiedResponse + `
				MN --> INFORMATIONAL request 2 [ N(AUTHENTICATION_FAILED) D ]
				HA --> INFORMATIONAL response 2 [ ]
			`)
			if got := one[spd.KeyFailed](mn).Err.Error(); !strings.Contains(got, "ha.example.org is not proven: ") ||
				!strings.Contains(got, m.reason) {
				t.Error(got)
			}
			if len(said[spd.PeerUp](mn)) > 0 {
				t.Error("the IKE_SA was up")
			}
			w.settled(0)
		})
	}
}

// One who is to prove itself by a certificate does not by a pre-shared key, not even by an empty one, nor the other way
// round.
func TestRFC7296_2_15_AnotherMethodThanWanted(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		mn, ha       bool // has certificates
	}{
		{"a key where certificates are wanted", "the authentication method is Shared Key Message Integrity Code", false, true},
		{"certificates where a key is wanted", "want Shared Key Message Integrity Code", true, false},
	} {
		for _, key := range []secret.Bytes{nil, secret.Bytes("a secret between the two")} {
			t.Run(c.name, func(t *testing.T) {
				w, mn, ha := newCertified(t, "P-256", "P-256", nil)
				for h, certified := range map[*host]bool{mn: c.mn, ha: c.ha} {
					if !certified {
						h.peer.Trust, h.peer.Credential, h.peer.PSK = nil, nil, key
					}
				}
				mn.key(binding)
				ha.hasDropped(map[bool]string{true: "no X.509 certificate", false: c.reason}[c.ha])
				w.pass(time.Minute)
				w.settled(0)
			})
		}
	}
}

// A peer with neither key nor certificates, which no PeerList takes, proves nothing.
func TestNoPreSharedKey(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	mn.peer.PSK, ha.peer.PSK = nil, nil
	mn.key(binding)
	ha.hasDropped("it does not have the pre-shared key")
	w.pass(time.Minute)
	w.settled(0)
}

// While the responder works on signatures, retransmissions change nothing.
func TestRFC7296_2_1_RetransmissionWhileSignaturesAreChecked(t *testing.T) {
	w, mn, ha := newCertified(t, "P-256", "P-256", nil)
	mn.tell(spd.Key{Demand: binding, Path: path1})
	w.deliver(0)
	w.deliver(0)
	ha.hold = true
	w.run()
	w.pass(time.Second)
	ha.hold = false
	ha.work()
	w.run()
	w.script(certifiedInit + certifiedRequest + strings.TrimRight(certifiedRequest, "\n\t ") + " again" + certifiedResponse)
	w.settled(1)
}

// An end of the handshake while signatures are worked on leaves nothing behind.
func TestEndWhileSignaturesAreWorkedOn(t *testing.T) {
	terminate := func(_ *world, mn *host) { mn.tell(spd.Terminate{Peer: "ha"}) }
	timeout := func(w *world, _ *host) { w.pass(time.Minute) }
	for _, c := range []struct {
		name          string
		initiator     bool
		packets, jobs int // that are done before the one that is not
		end           func(w *world, mn *host)
	}{
		{"signing by the initiator", true, 1, 1, terminate}, // after the key exchange
		{"checking by the responder", false, 2, 0, timeout},
		{"signing by the responder", false, 2, 1, timeout},
		{"checking by the initiator", true, 3, 0, terminate},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, ha := newCertified(t, "P-256", "P-256", nil)
			mn.tell(spd.Key{Demand: binding, Path: path1})
			for range c.packets {
				w.deliver(0)
			}
			busy := ha
			if c.initiator {
				busy = mn
			}
			busy.hold = true
			w.run()
			for range c.jobs {
				busy.jobs[0]()
				busy.jobs = busy.jobs[1:]
			}
			if len(busy.jobs) != 1 || len(w.flight) > 0 {
				t.Fatalf("%d jobs, %d packets", len(busy.jobs), len(w.flight))
			}
			c.end(w, mn)
			busy.hold = false
			busy.work()
			w.run()
			one[spd.KeyFailed](mn)
			w.pass(time.Hour)
			if n := len(said[spd.PeerUp](busy)); n > 0 {
				t.Errorf("%d PeerUp", n)
			}
			busy.clean(t)
			if n := len(busy.engine.sas); n > 0 {
				t.Errorf("%d IKE_SAs", n)
			}
		})
	}
}

// Certificates make messages long: they come through in fragments.
func TestRFC7383_Certificates(t *testing.T) {
	w, mn, ha := newCertified(t, "RSA", "RSA", nil)
	mn.engine.cfg.FragmentSize, ha.engine.cfg.FragmentSize = 500, 500
	mn.key(binding)
	w.settled(1)
	if !strings.Contains(w.log.String(), "fragment 2 of") {
		t.Errorf("no fragments:\n%s", w.log.String())
	}
}

// Signatures are jobs in the middle of IKE_AUTH: whatever happens meanwhile, both sides come to be of one mind.
func TestSimulationWithCertificates(t *testing.T) {
	t.Parallel()
	m, h := newPapers(t, testpki.NewAuthority(t, "root"), "Ed25519", "Ed25519")
	for seed := range uint64(simulations) / 3 {
		simulate(t, seed, 600, func(mn, ha *host, haCfg *Config) {
			m.give(t, mn.peer)
			h.give(t, ha.peer)
			haCfg.CertRequests = auth.Requests(ha.peer.Trust)
		})
		if t.Failed() {
			return
		}
	}
}
