package ikev2

import (
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/eap"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/internal/testpki"
	"mipsecd/spd"
)

// scripted is an EAP conversation of a test: what it answers, one packet after the other.
type scripted struct {
	step   func(packet []byte) (eap.Step, error)
	closed *int
}

func (t scripted) Step(packet []byte) (eap.Step, error) { return t.step(packet) }
func (t scripted) Close() {
	if t.closed != nil {
		*t.closed++
	}
}

type conversations struct {
	mn, ha func(now time.Time, rand io.Reader) eap.Conversation
}

// newEAP is a world whose home agent has a certificate, and whose mobile node proves itself in a conversation. Change says
// what else is different.
func newEAP(t testing.TB, c conversations, change func(mn, ha *host)) (w *world, mn, ha *host) {
	t.Helper()
	root := testpki.NewAuthority(t, "root")
	_, p := newPapers(t, root, "P-256", "P-256")
	return newWorld(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
		p.give(t, mn.peer)
		p.give(t, ha.peer)
		mn.peer.Credential, ha.peer.Trust = nil, nil
		mn.peer.EAP, ha.peer.EAP = &EAP{Proves: true, Begin: c.mn}, &EAP{Begin: c.ha}
		haCfg.Signs = true
		mnCfg.FragmentSize, haCfg.FragmentSize = -1, -1
		if change != nil {
			change(mn, ha)
		}
	}})
}

// passwords are conversations by EAP-MSCHAPv2.
func passwords(mn, ha string) conversations {
	return conversations{
		func(_ time.Time, rand io.Reader) eap.Conversation {
			return eap.MSCHAPv2Peer("mn@example.org", secret.Bytes(mn), rand)
		},
		func(_ time.Time, rand io.Reader) eap.Conversation {
			return eap.MSCHAPv2Server("ha", "mn@example.org", secret.Bytes(ha), rand)
		},
	}
}

// certificates are conversations by EAP-TLS, where the mobile node's certificate has this name.
func certificates(t testing.TB, name func(*x509.Certificate)) conversations {
	t.Helper()
	root := testpki.NewAuthority(t, "root of EAP-TLS")
	trust, err := auth.NewTrust([]*x509.Certificate{root.Certificate}, nil)
	if err != nil {
		t.Fatal(err)
	}
	credential := func(name func(*x509.Certificate)) *auth.Credential {
		key := testpki.Key("P-256")
		c, err := auth.NewCredential(key, []*x509.Certificate{root.Issue(t, "eap", key, name)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	mn, ha := credential(name), credential(haName)
	return conversations{
		func(now time.Time, rand io.Reader) eap.Conversation {
			return eap.TLSPeer("mn@example.org", auth.TLSClient(mn, trust, mustID("ha.example.org").payload(false), now))
		},
		func(now time.Time, rand io.Reader) eap.Conversation {
			return eap.TLSServer(auth.TLSServer(ha, trust, mustID("mn@example.org").payload(true), now))
		},
	}
}

// The exchanges of RFC 7296 section 2.16 and appendix C.3.
const (
	eapInit = `
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(SIGNATURE_HASH_ALGORITHMS) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(SIGNATURE_HASH_ALGORITHMS) ]
	`
	eapBegins = eapInit + `
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) CERTREQ IDr N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr CERT AUTH EAP ]
		MN --> IKE_AUTH request 2 [ EAP ]
		HA --> IKE_AUTH response 2 [ EAP ]
		MN --> IKE_AUTH request 3 [ EAP ]
		HA --> IKE_AUTH response 3 [ EAP ]
	`
	eapConcludes = `
		MN --> IKE_AUTH request 4 [ AUTH ]
		HA --> IKE_AUTH response 4 [ AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	`
)

func TestRFC7296_2_16_EAP(t *testing.T) {
	for name, c := range map[string]conversations{
		"EAP-MSCHAPv2": passwords("a password", "a password"), "EAP-TLS": certificates(t, mnName),
	} {
		t.Run(name, func(t *testing.T) {
			w, mn, ha := newEAP(t, c, nil)
			mn.key(binding)
			if name == "EAP-MSCHAPv2" {
				w.script(eapBegins + eapConcludes)
			}
			w.settled(1)
			mn.key(payload)
			w.settled(2)
			if ha.engine.halfOpen.total != 0 {
				t.Errorf("%d half-open IKE_SAs", ha.engine.halfOpen.total)
			}
		})
	}
}

// refusedEAP has the mobile node ask in vain, and nothing left of it once time has passed.
func (w *world) refusedEAP(mn, ha *host, mnSays, haSays string) {
	w.t.Helper()
	mn.key(binding)
	if got := one[spd.KeyFailed](mn).Err.Error(); !strings.Contains(got, mnSays) {
		w.t.Errorf("the mobile node says %s, want %q", got, mnSays)
	}
	ha.hasDropped(haSays)
	w.pass(2 * DefaultTiming.HalfOpen)
	w.settled(0)
	if n := len(mn.engine.sas) + len(ha.engine.sas); n != 0 {
		w.t.Errorf("%d IKE_SAs are left", n)
	}
}

func TestRFC7296_2_16_WrongPassword(t *testing.T) {
	w, mn, ha := newEAP(t, passwords("a password", "another"), nil)
	w.refusedEAP(mn, ha, "the server refuses the password", "mn@example.org is not proven: EAP: EAP-MSCHAPv2: the password is wrong")
	w.script(eapBegins)
}

func TestRFC7296_2_16_WrongIdentity(t *testing.T) {
	t.Run("EAP-MSCHAPv2", func(t *testing.T) {
		c := passwords("a password", "a password")
		c.mn = func(_ time.Time, rand io.Reader) eap.Conversation {
			return eap.MSCHAPv2Peer("other@example.org", secret.Bytes("a password"), rand)
		}
		w, mn, ha := newEAP(t, c, nil)
		w.refusedEAP(mn, ha, "refuses", `it is "other@example.org", not "mn@example.org"`)
	})
	t.Run("EAP-TLS", func(t *testing.T) {
		w, mn, ha := newEAP(t, certificates(t, haName), nil)
		w.refusedEAP(mn, ha, "bad certificate", `is not of "mn@example.org"`)
	})
	t.Run("IDi", func(t *testing.T) {
		w, mn, ha := newEAP(t, passwords("a password", "a password"), func(mn, _ *host) { mn.peer.LocalID = mustID("other@example.org") })
		w.refusedEAP(mn, ha, "AUTHENTICATION_FAILED", "nobody here knows other@example.org")
	})
}

// The other side must offer what is configured for it: EAP, or not.
func TestRFC7296_2_16_OnlyWithEAP(t *testing.T) {
	t.Run("the initiator does without", func(t *testing.T) {
		w, mn, ha := newEAP(t, passwords("a password", "a password"), func(mn, _ *host) {
			mn.peer.EAP, mn.peer.Trust, mn.peer.PSK = nil, nil, secret.Bytes("a secret between the two")
		})
		w.refusedEAP(mn, ha, "AUTHENTICATION_FAILED", "it sends AUTH in its first message; want it to ask for EAP")
	})
	t.Run("the responder does without", func(t *testing.T) {
		w, mn, ha := newEAP(t, passwords("a password", "a password"), func(_, ha *host) {
			ha.peer.EAP, ha.peer.Credential, ha.peer.PSK = nil, nil, secret.Bytes("a secret between the two")
		})
		w.refusedEAP(mn, ha, "AUTHENTICATION_FAILED", "IKE_AUTH without AUTH")
	})
	t.Run("the home agent begins", func(t *testing.T) {
		w, _, ha := newEAP(t, passwords("a password", "a password"), nil)
		ha.tell(spd.Key{Demand: mirrored(binding), Path: reversed(path1)})
		w.run()
		w.script("")
		if f, ok := ha.notices[len(ha.notices)-1].(spd.KeyFailed); !ok || !errors.Is(f.Err, errNotToBegin) {
			t.Errorf("got %+v", ha.notices)
		}
	})
	t.Run("the home agent begins all the same", func(t *testing.T) {
		w, mn, ha := newEAP(t, passwords("a password", "a password"), func(_, ha *host) {
			ha.peer.EAP, ha.peer.Credential, ha.peer.PSK = nil, nil, secret.Bytes("a secret between the two")
		})
		ha.tell(spd.Key{Demand: mirrored(binding), Path: reversed(path1)})
		w.run()
		mn.hasDropped("it began; want it to leave that to this host")
		w.pass(DefaultTiming.HalfOpen)
		w.settled(0)
	})
}

// A responder that cannot prove who it is hears nothing of EAP.
func TestRFC7296_2_16_ResponderFirst(t *testing.T) {
	asked := false
	c := passwords("a password", "a password")
	c.mn = func(_ time.Time, rand io.Reader) eap.Conversation {
		asked = true
		return nil
	}
	stranger := testpki.NewAuthority(t, "stranger")
	w, mn, ha := newEAP(t, c, func(_, ha *host) {
		_, p := newPapers(t, stranger, "P-256", "P-256")
		trust := ha.peer.Trust
		p.give(t, ha.peer)
		ha.peer.Trust = trust
	})
	w.refusedEAP(mn, ha, "leads to no authority of ours", "the initiator gives up: the peer answered AUTHENTICATION_FAILED")
	w.script(eapInit + `
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) CERTREQ IDr N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr CERT AUTH EAP ]
		MN --> INFORMATIONAL request 2 [ N(AUTHENTICATION_FAILED) D ]
		HA --> INFORMATIONAL response 2 [ ]
	`)
	if asked {
		t.Error("the mobile node has begun EAP")
	}
}

// One in the middle who passes EAP on to the true home agent does not know the MSK, nor has it the home agent's IKE_SA.
func TestRFC7296_2_16_NoBinding(t *testing.T) {
	other := secret.Bytes("another MSK")
	for _, side := range []string{"MN", "HA"} {
		t.Run("another MSK on "+side, func(t *testing.T) {
			c := passwords("a password", "a password")
			begin := &c.mn
			if side == "HA" {
				begin = &c.ha
			}
			right := *begin
			*begin = func(now time.Time, rand io.Reader) eap.Conversation {
				conversation := right(now, rand)
				return scripted{step: func(packet []byte) (eap.Step, error) {
					s, err := conversation.Step(packet)
					if s.Done {
						s.MSK = other
					}
					return s, err
				}}
			}
			w, mn, ha := newEAP(t, c, nil)
			w.refusedEAP(mn, ha, "AUTHENTICATION_FAILED", "EAP was spoken with another, or on another IKE_SA")
		})
	}
	t.Run("the responder's AUTH is wrong", func(t *testing.T) {
		w, mn, ha := newEAP(t, passwords("a password", "a password"), nil)
		w.lose = func(p *packet) bool {
			if p.from == mn && strings.Contains(p.summary, "[ AUTH ]") {
				ha.anySA().hs.dialogue.idr = mustID("ha2.example.org").payload(false) // so its AUTH will be wrong
			}
			return false
		}
		mn.key(binding)
		if got := one[spd.KeyFailed](mn).Err.Error(); got != "ha.example.org is not proven: EAP was spoken with another, or on another IKE_SA" {
			t.Errorf("got %s", got)
		}
		w.script(eapBegins + eapConcludes + `
			MN --> INFORMATIONAL request 5 [ N(AUTHENTICATION_FAILED) D ]
			HA --> INFORMATIONAL response 5 [ ]
		`)
		w.settled(0)
	})
}

// A method without a key is bound to nothing but the IKE_SA.
func TestRFC7296_2_16_MethodWithoutKey(t *testing.T) {
	keyless := func(steps ...eap.Step) func(_ time.Time, rand io.Reader) eap.Conversation {
		return func(_ time.Time, rand io.Reader) eap.Conversation {
			return scripted{step: func([]byte) (s eap.Step, err error) {
				s, steps = steps[0], steps[1:]
				return s, nil
			}}
		}
	}
	w, mn, _ := newEAP(t, conversations{
		mn: keyless(eap.Step{Packet: []byte("answer")}, eap.Step{Done: true}),
		ha: keyless(eap.Step{Packet: []byte("question")}, eap.Step{Packet: []byte("success"), Done: true}),
	}, nil)
	mn.key(binding)
	w.settled(1)
}

// What EAP lets the authentication be good for limits it, if that is shorter than what is configured (RFC 4478).
func TestRFC4478_LifetimeByEAP(t *testing.T) {
	for _, c := range []struct{ configured, byEAP, want time.Duration }{
		{0, time.Hour, time.Hour}, {2 * time.Hour, time.Hour, time.Hour}, {time.Hour, 2 * time.Hour, time.Hour}, {time.Hour, 0, time.Hour},
	} {
		p := passwords("a password", "a password")
		begin := p.ha
		p.ha = func(now time.Time, rand io.Reader) eap.Conversation {
			conversation := begin(now, rand)
			return scripted{step: func(packet []byte) (eap.Step, error) {
				s, err := conversation.Step(packet)
				s.Lifetime = c.byEAP
				return s, err
			}}
		}
		w, mn, ha := newEAP(t, p, func(_, ha *host) { ha.peer.AuthLifetime = c.configured })
		mn.key(binding)
		w.settled(1)
		for _, h := range []*host{mn, ha} {
			if got := h.anySA().authEnds.Sub(w.now); got != c.want {
				t.Errorf("%+v: on %s it ends after %s", c, h.name, got)
			}
		}
	}
}

// endless never comes to its end.
func endless(closed *int) func(_ time.Time, rand io.Reader) eap.Conversation {
	return func(_ time.Time, rand io.Reader) eap.Conversation {
		return scripted{func([]byte) (eap.Step, error) { return eap.Step{Packet: []byte("again")}, nil }, closed}
	}
}

func TestRoundsWithoutEnd(t *testing.T) {
	const says = "more than 100 rounds of EAP"
	for _, c := range []struct {
		name           string
		haCounts       int // from
		mnSays, haSays string
	}{
		{"the responder ends it", 1, "AUTHENTICATION_FAILED", says},
		{"the initiator ends it", -1000, says, "the initiator gives up: the peer answered AUTHENTICATION_FAILED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mnClosed, haClosed int
			w, mn, ha := newEAP(t, conversations{endless(&mnClosed), endless(&haClosed)}, nil)
			w.lose = func(p *packet) bool {
				if strings.Contains(p.summary, "IKE_AUTH response 1 ") {
					ha.anySA().hs.dialogue.rounds = c.haCounts
				}
				return false
			}
			w.refusedEAP(mn, ha, c.mnSays, c.haSays)
			if mnClosed != 1 || haClosed != 1 {
				t.Errorf("closed %d and %d times", mnClosed, haClosed)
			}
		})
	}
}

// A responder that answers all, but late, does not keep an initiator busy for ever.
func TestEAPWithoutEnd(t *testing.T) {
	closed := 0
	w, mn, ha := newEAP(t, conversations{endless(&closed), endless(nil)}, nil)
	ha.engine.cfg.Timing.HalfOpen = time.Hour
	tries := map[string]int{}
	w.lose = func(p *packet) bool {
		tries[p.summary]++
		return p.from == mn && tries[p.summary] < 4
	}
	mn.key(binding)
	w.pass(2 * maxEAP)
	if got := one[spd.KeyFailed](mn).Err.Error(); got != "EAP takes more than 2m0s" || closed != 1 || len(mn.engine.sas) != 0 {
		t.Errorf("got %s, closed %d, %d IKE_SAs", got, closed, len(mn.engine.sas))
	}
}

// Who is being authenticated is half-open all the time, and not for longer than any other.
func TestHalfOpenDuringEAP(t *testing.T) {
	closed := 0
	c := conversations{passwords("a password", "").mn, endless(&closed)}
	w, mn, ha := newEAP(t, c, nil)
	w.lose = func(p *packet) bool { return strings.Contains(p.summary, "request 2") }
	mn.key(binding)
	if ha.engine.halfOpen.total != 1 || closed != 0 {
		t.Errorf("%d half-open IKE_SAs, closed %d", ha.engine.halfOpen.total, closed)
	}
	w.pass(DefaultTiming.HalfOpen)
	if ha.engine.halfOpen.total != 0 || len(ha.engine.sas) != 0 || closed != 1 {
		t.Errorf("%d half-open IKE_SAs, %d IKE_SAs, closed %d", ha.engine.halfOpen.total, len(ha.engine.sas), closed)
	}
}

// A conversation that is computing when its IKE_SA goes is closed when it has computed.
func TestIKESAGoesDuringAStep(t *testing.T) {
	closed := 0
	w, mn, ha := newEAP(t, conversations{passwords("a password", "").mn, endless(&closed)}, nil)
	mn.tell(spd.Key{Demand: binding, Path: path1})
	w.deliver(0)
	w.deliver(0)
	ha.hold = true
	w.run()
	for !ha.anySA().answering || ha.anySA().hs.dialogue == nil {
		ha.jobs[0]()
		ha.jobs = ha.jobs[1:]
	}
	ha.step(Abandon{})
	if closed != 0 {
		t.Error("closed in the midst of a step")
	}
	ha.work()
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
}

func TestEveryMessageOfEAPLostOnce(t *testing.T) {
	for _, what := range []string{
		"request 1", "response 1", "request 2", "response 2", "request 3", "response 3", "request 4", "response 4",
	} {
		w, mn, _ := newEAP(t, passwords("a password", "a password"), nil)
		w.lose = func(p *packet) bool { return strings.Contains(p.summary, what) && !p.again }
		mn.key(binding)
		w.pass(time.Second)
		w.settled(1)
		if log := w.log.String(); !strings.Contains(log, "lost") {
			t.Errorf("%s was not lost:\n%s", what, log)
		}
	}
}

// What is no part of EAP ends it.
func TestRFC7296_2_16_OutOfPlace(t *testing.T) {
	for _, c := range []struct {
		name     string
		payloads []wire.Payload
		haSays   string
	}{
		{"nothing", []wire.Payload{&wire.Nonce{Data: make([]byte, 16)}}, "IKE_AUTH without EAP"},
		{"AUTH too early", []wire.Payload{&wire.Auth{Method: wire.AuthSharedKey, Data: make([]byte, 32)}}, "IKE_AUTH without EAP"},
		{"no EAP packet", []wire.Payload{&wire.EAP{Data: []byte{1}}}, "EAP header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, ha := newEAP(t, passwords("a password", "a password"), nil)
			w.lose = func(p *packet) bool {
				if p.from != mn || p.again || !strings.Contains(p.summary, "request 2") {
					return false
				}
				w.lose = nil
				sa := mn.anySA()
				p.Data = mn.engine.sealed(sa, sa.here(), wire.ExchangeIKEAuth, 2, false, c.payloads)[0]
				return false
			}
			w.refusedEAP(mn, ha, "", c.haSays)
		})
	}
}

func TestPeersWithEAP(t *testing.T) {
	_, mn, ha := newEAP(t, passwords("", ""), nil)
	silent := Peer{Name: "silent", EAP: &EAP{}, Credential: ha.peer.Credential}
	if _, err := NewPeerList(&silent); err == nil || !strings.Contains(err.Error(), "nobody is there to speak EAP") {
		t.Errorf("got %v", err)
	}
	for _, p := range []Peer{
		{Name: "no authority", EAP: mn.peer.EAP},
		{Name: "no certificate", EAP: ha.peer.EAP},
		{Name: "both", EAP: ha.peer.EAP, Credential: ha.peer.Credential, Trust: mn.peer.Trust},
		{Name: "a secret", EAP: mn.peer.EAP, PSK: secret.Bytes("a secret")},
	} {
		if _, err := NewPeerList(&p); err == nil || !strings.Contains(err.Error(), "with EAP one side has a certificate") {
			t.Errorf("%s: got %v", p.Name, err)
		}
	}
}

// An initiator that has heard of its failure may say good-bye all the same, and is answered.
func TestRFC7296_2_21_2_GoodbyeAfterFailure(t *testing.T) {
	w, mn, ha := newEAP(t, passwords("a password", "another"), nil)
	w.lose = func(p *packet) bool { return strings.Contains(p.summary, "response 3") }
	mn.key(binding)
	mn.forge(wire.ExchangeInformational, 4, false, &wire.Notify{Kind: wire.NotifyAuthenticationFailed})
	ha.hasDropped("the initiator gives up: the peer answered AUTHENTICATION_FAILED")
	if len(ha.engine.sas) != 0 {
		t.Error("the IKE_SA is still there")
	}
}
