package ikev2

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/internal/testpki"
	"mipsecd/spd"
)

func ppkOf(id, key string, required bool) *PPK {
	return &PPK{ID: id, Key: secret.Bytes(key), Required: required}
}

// withPPKs is a change of a world: the keys that either side has for the other, or nil.
func withPPKs(mine, theirs *PPK) func(mn, ha *host, mnCfg, haCfg *Config) {
	return func(mn, ha *host, _, haCfg *Config) {
		mn.peer.PPK, ha.peer.PPK = mine, theirs
		haCfg.PPK = theirs != nil
	}
}

func TestRFC8784_3_Exchanges(t *testing.T) {
	for name, c := range map[string]struct {
		required bool
		auth     string
	}{
		"mandatory": {true, "N(PPK_IDENTITY)"},
		"optional":  {false, "N(PPK_IDENTITY) N(NO_PPK_AUTH)"},
	} {
		t.Run(name, func(t *testing.T) {
			key := ppkOf("together", "a key of more than 256 bits, as it should be", c.required)
			w, mn, ha := newWorld(t, options{change: withPPKs(key, key)})
			mn.key(binding)
			w.script(`
				MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) N(USE_PPK) ]
				HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) N(USE_PPK) ]
				MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH ` + c.auth + ` N(USE_TRANSPORT_MODE) SA TSi TSr ]
				HA --> IKE_AUTH response 1 [ IDr AUTH N(PPK_IDENTITY) N(USE_TRANSPORT_MODE) SA TSi TSr ]
			`)
			for _, n := range []wire.NotifyType{wire.NotifyPPKIdentity, wire.NotifyUsePPK} {
				exchange := map[bool]string{true: "IKE_AUTH", false: "IKE_SA_INIT"}[n == wire.NotifyPPKIdentity]
				if got := wire.FindNotify(w.lastClear(ha, exchange), n); len(got.Data) != 0 {
					t.Errorf("the responder's %s has data: %x", n, got.Data)
				}
			}
			if got := wire.FindNotify(w.lastClear(mn, "IKE_AUTH"), wire.NotifyPPKIdentity); string(got.Data) != "\x02together" {
				t.Errorf("PPK_IDENTITY is %q", got.Data)
			}
			works(w, mn, ha)
			usesPPK(t, true, mn, ha)
		})
	}
}

func usesPPK(t *testing.T, want bool, hosts ...*host) {
	t.Helper()
	for _, h := range hosts {
		if got := h.engine.Status()[0].PPK; got != want {
			t.Errorf("%s says that a PPK is in use: %t", h.name, got)
		}
	}
}

// RFC 8784 section 3, table 1, seen from both sides: what comes of it when one has a key, another key, or none.
func TestRFC8784_3_Table1(t *testing.T) {
	const long = "a key of more than 256 bits, as it should be"
	mandatory, optional := ppkOf("together", long, true), ppkOf("together", long, false)
	other, otherOptional := ppkOf("another", long, true), ppkOf("another", long, false)
	root := testpki.NewAuthority(t, "root")
	m, h := newPapers(t, root, "Ed25519", "P-256")
	byCertificates := func(mn, ha *host, _, haCfg *Config) {
		m.give(t, mn.peer)
		h.give(t, ha.peer)
		haCfg.CertRequests = auth.Requests(ha.peer.Trust)
	}
	wrong := ppkOf("together", strings.ToUpper(long), false)
	for _, c := range []struct {
		name         string
		mine, theirs *PPK
		want         string // with, without, or what becomes known of the failure
	}{
		{"none", nil, nil, "without"},
		{"only the responder's, optional", nil, optional, "without"},
		{"only the responder's, mandatory", nil, mandatory, "N(AUTHENTICATION_FAILED)"},
		{"only the initiator's, optional", optional, nil, "without"},
		{"only the initiator's, mandatory", mandatory, nil, "no USE_PPK"},
		{"both, optional", optional, optional, "with"},
		{"both, one mandatory", optional, mandatory, "with"},
		{"both, the other mandatory", mandatory, optional, "with"},
		{"two names, optional", optional, otherOptional, "without"},
		{"two names, mandatory here", mandatory, otherOptional, "N(AUTHENTICATION_FAILED)"},
		{"two names, mandatory there", optional, other, "N(AUTHENTICATION_FAILED)"},
		{"one name, two keys", optional, wrong, "N(AUTHENTICATION_FAILED)"},
	} {
		for way, credentials := range map[string]func(mn, ha *host, mnCfg, haCfg *Config){
			"psk": func(_, _ *host, _, _ *Config) {}, "certificates": byCertificates,
		} {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				w, mn, ha := newWorld(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
					withPPKs(c.mine, c.theirs)(mn, ha, mnCfg, haCfg)
					credentials(mn, ha, mnCfg, haCfg)
				}})
				mn.key(binding)
				switch c.want {
				case "with", "without":
					for _, h := range w.hosts {
						if told := h.toldOf("does not use the PPK"); told != (c.want == "without" && h.peer.PPK != nil) {
							t.Errorf("%s tells of it: %t", h.name, told)
						}
					}
					works(w, mn, ha)
					usesPPK(t, c.want == "with", mn, ha)
				case "no USE_PPK":
					w.pass(2 * time.Minute)
					one[spd.KeyFailed](mn)
					if n := len(mn.dropped); n != DefaultTiming.Tries ||
						!strings.Contains(mn.dropped[0].Error(), "without USE_PPK, which is required") {
						t.Errorf("dropped %v", mn.dropped)
					}
				default:
					if got := w.log.String(); !strings.HasSuffix(got, "[ "+c.want+" ]\n") {
						t.Errorf("exchanges:\n%s", got)
					}
					one[spd.KeyFailed](mn)
				}
			})
		}
	}
}

func (h *host) toldOf(what string) bool {
	return slices.ContainsFunc(h.dropped, func(err error) bool { return strings.Contains(err.Error(), what) })
}

// A responder that has agreed to a key has to be told which; one that does not say that it uses it does not. What is said
// of it in the answer has no meaning.
func TestRFC8784_3_PPKIdentity(t *testing.T) {
	key := ppkOf("together", "a key of more than 256 bits, as it should be", true)
	w, mn, _ := newWorld(t, options{change: withPPKs(key, key)})
	w.losing("MN --> IKE_AUTH", -1)
	mn.key(binding)
	w.log.Reset()
	mn.forge(wire.ExchangeIKEAuth, 1, false, w.withoutPPKIdentity(mn)...)
	w.script(`HA --> IKE_AUTH response 1 [ N(AUTHENTICATION_FAILED) ]`)

	w, mn, ha := newWorld(t, options{change: withPPKs(key, key)})
	w.losing("HA --> IKE_AUTH", -1)
	mn.key(binding)
	w.log.Reset()
	ha.forge(wire.ExchangeIKEAuth, 1, true, w.withoutPPKIdentity(ha)...)
	w.run()
	w.script(`
		MN --> INFORMATIONAL request 2 [ N(AUTHENTICATION_FAILED) D ]
		HA --> INFORMATIONAL response 2 [ ]
	`)
	if got := one[spd.KeyFailed](mn).Err.Error(); got != "the peer does not use the PPK, which is required" {
		t.Error(got)
	}

	w, mn, ha = newWorld(t, options{change: withPPKs(key, key)})
	w.losing("HA --> IKE_AUTH", -1)
	mn.key(binding)
	ha.forge(wire.ExchangeIKEAuth, 1, true,
		append(w.withoutPPKIdentity(ha), &wire.Notify{Kind: wire.NotifyPPKIdentity, Data: []byte("what?")})...)
	w.run()
	works(w, mn, ha)
}

// withoutPPKIdentity is what h says in IKE_AUTH, but for that.
func (w *world) withoutPPKIdentity(h *host) []wire.Payload {
	return slices.DeleteFunc(slices.Clone(w.lastClear(h, "IKE_AUTH")), func(p wire.Payload) bool {
		n, ok := p.(*wire.Notify)
		return ok && n.Kind == wire.NotifyPPKIdentity
	})
}

// SK_d, SK_pi and SK_pr change, and nothing else.
func TestRFC8784_3_Keys(t *testing.T) {
	sa := &ikeSA{suite: suite.IKESuite{PRF: suite.PRFHMACSHA256}, hs: &handshake{}}
	sa.keys = ikeKeys{d: bytes.Repeat([]byte{1}, 32), pi: bytes.Repeat([]byte{2}, 32), pr: bytes.Repeat([]byte{3}, 32)}
	before := sa.keys
	sa.mix(ppkOf("", "key", false))
	for i, pair := range [][2]secret.Bytes{{before.d, sa.keys.d}, {before.pi, sa.keys.pi}, {before.pr, sa.keys.pr}} {
		// The PRF's output is as long as its key, so prf+ is its first round: prf(PPK, SK | 0x01).
		if want := sa.suite.PRF.Sum([]byte("key"), pair[0], []byte{1}); !pair[1].Equal(want) {
			t.Errorf("key %d is %x, wanted %x", i, []byte(pair[1]), want)
		}
	}
	if !sa.hs.unmixed.d.Equal(before.d) {
		t.Error("the keys without the PPK are lost")
	}
}

// With all else that comes between IKE_SA_INIT and IKE_AUTH, and after them.
func TestPPKWithAdditionalKeyExchanges(t *testing.T) {
	key := ppkOf("together", "a key of more than 256 bits, as it should be", false)
	w, mn, ha := newWorld(t, options{ike: hybridIKE, esp: hybridESP, change: withPPKs(key, key)})
	mn.key(binding)
	works(w, mn, ha)
	mn.rekeyIKE()
	w.run()
	oneIKE(w, mn, ha)
	usesPPK(t, true, mn, ha)
}

// With EAP it is said of the PPK, and proven, once EAP is over.
func TestRFC8784_3_EAP(t *testing.T) {
	for _, required := range []bool{true, false} {
		key := ppkOf("together", "a key of more than 256 bits, as it should be", required)
		w, mn, ha := newEAP(t, passwords("secret", "secret"), func(mn, ha *host) { mn.peer.PPK, ha.peer.PPK = key, key })
		ha.engine.cfg.PPK = true
		mn.key(binding)
		said := "[ AUTH N(PPK_IDENTITY) ]"
		if !required {
			said = "[ AUTH N(PPK_IDENTITY) N(NO_PPK_AUTH) ]"
		}
		for _, line := range []string{
			"MN --> IKE_AUTH request 4 " + said, "HA --> IKE_AUTH response 4 [ AUTH N(PPK_IDENTITY) N(USE_TRANSPORT_MODE) SA TSi TSr ]",
		} {
			if !strings.Contains(w.log.String(), line) {
				t.Errorf("no %s in\n%s", line, w.log.String())
			}
		}
		works(w, mn, ha)
		usesPPK(t, true, mn, ha)
	}
	for name, keys := range map[string][2]*PPK{
		"another":         {ppkOf("one", strings.Repeat("1", 32), true), ppkOf("two", strings.Repeat("2", 32), true)},
		"only the home's": {nil, ppkOf("two", strings.Repeat("2", 32), true)},
	} {
		w, mn, ha := newEAP(t, passwords("secret", "secret"), func(mn, ha *host) { mn.peer.PPK, ha.peer.PPK = keys[0], keys[1] })
		ha.engine.cfg.PPK = true
		mn.key(binding)
		if !strings.HasSuffix(w.log.String(), "N(AUTHENTICATION_FAILED) ]\n") {
			t.Errorf("%s:\n%s", name, w.log.String())
		}
		one[spd.KeyFailed](mn)
	}
	// Where it is optional, and the home agent knows another, they go on without.
	w, mn, ha := newEAP(t, passwords("secret", "secret"), func(mn, ha *host) {
		mn.peer.PPK, ha.peer.PPK = ppkOf("one", strings.Repeat("1", 32), false), ppkOf("two", strings.Repeat("2", 32), false)
	})
	ha.engine.cfg.PPK = true
	mn.key(binding)
	works(w, mn, ha)
	usesPPK(t, false, mn, ha)
}

// RFC 8784 section 3: a resumed IKE_SA has its keys from those that the PPK is in, and not the PPK again. Without it in
// there, a home agent that wants it takes no ticket.
func TestRFC8784_3_Resumption(t *testing.T) {
	key := ppkOf("together", "a key of more than 256 bits, as it should be", false)
	for _, mixed := range []bool{true, false} {
		w, mn, ha := newWorld(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
			resumes(mn, ha, mnCfg, haCfg)
			withPPKs(key, key)(mn, ha, mnCfg, haCfg)
			haCfg.PPK = mixed
		}})
		mn.key(binding)
		usesPPK(t, mixed, mn, ha)
		required := *key
		required.Required = true
		ha.peer.PPK = &required
		ha.engine.cfg.PPK = true
		w.log.Reset()
		mn.tell(spd.Relocate{Peer: "ha", Path: path2})
		mn.tell(spd.Key{Demand: returnRoute, Path: path2})
		w.run()
		if resumed := !strings.Contains(w.log.String(), "IKE_SA_INIT"); resumed != mixed {
			t.Errorf("resumed: %t\n%s", resumed, w.log.String())
		}
		usesPPK(t, true, mn, ha)
	}
}
