package ikev2

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// detecting has both give tokens and believe them.
func detecting(_, _ *host, mnCfg, haCfg *Config) {
	mnCfg.CrashDetection, haCfg.CrashDetection = true, true
	mnCfg.Secret, haCfg.Secret = secret.Bytes("the mobile node's thirty-two ..."), secret.Bytes("the home agent's thirty-two ....")
}

func TestRFC6290_3_CrashOfTheHomeAgent(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: detecting})
	mn.key(binding)
	w.script(initExchange + `
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(QUICK_CRASH_DETECTION) N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr AUTH N(QUICK_CRASH_DETECTION) N(USE_TRANSPORT_MODE) SA TSi TSr ]
	`)
	mn.key(payload)
	w.log.Reset()
	mn.notices = nil
	ha.crash()
	mn.tell(spd.Probe{Peer: "ha"})
	w.deliver(0)
	w.deliver(0)
	w.script(`
		MN --> INFORMATIONAL request 3 [ ]
		HA --> INFORMATIONAL response 3 [ N(INVALID_IKE_SPI) N(QUICK_CRASH_DETECTION) ]
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	`)
	if down := one[spd.PeerDown](mn); down.Reason != errCrashed.Error() {
		t.Errorf("%+v", down)
	}
	if len(mn.sas) != 0 {
		t.Errorf("the Child SAs are left: %v", mn.sas)
	}
	w.run()
	w.settled(2)
}

// The home agent, which did not begin, just forgets; the mobile node begins when it has something to say.
func TestRFC6290_3_CrashOfTheMobileNode(t *testing.T) {
	w, mn, ha := established(t, options{change: detecting}, binding)
	mn.crash()
	ha.tell(spd.Probe{Peer: "mn"})
	w.run()
	w.script(`
		HA --> INFORMATIONAL request 0 [ ]
		MN --> INFORMATIONAL response 0 [ N(INVALID_IKE_SPI) N(QUICK_CRASH_DETECTION) ]
	`)
	w.settled(0)
	if down := one[spd.PeerDown](ha); down.Reason != errCrashed.Error() {
		t.Errorf("%+v", down)
	}
}

// Section 7: the ticket, too, was given by the one that has crashed.
func TestRFC6290_7_WithResumption(t *testing.T) {
	w, mn, ha := established(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
		resumes(mn, ha, mnCfg, haCfg)
		detecting(mn, ha, mnCfg, haCfg)
	}}, binding)
	ha.crash()
	mn.tell(spd.Probe{Peer: "ha"})
	w.run()
	if log := w.log.String(); !strings.Contains(log, "N(QUICK_CRASH_DETECTION) ]\n"+strings.TrimSpace(strings.ReplaceAll(resumeExchange, "\t", ""))) {
		t.Error(log)
	}
	w.settled(1)
}

func TestRFC6290_4_1_Notification(t *testing.T) {
	w, mn, _ := newWorld(t, options{change: detecting})
	tokens := map[string]bool{}
	w.lose = func(p *packet) bool {
		if n := wire.FindNotify(w.clear[string(p.Data)], wire.NotifyQuickCrashDetection); n != nil {
			tokens[string(n.Data)] = true
			if n.Protocol != wire.ProtocolIKE || len(n.SPI) != 0 || len(n.Data) < minCrashToken || len(n.Data) > maxCrashToken {
				t.Errorf("%+v", n)
			}
		}
		return false
	}
	mn.key(binding)
	if len(tokens) != 2 {
		t.Errorf("%d tokens", len(tokens))
	}
}

// Each side gives a new token after a rekeying, and an INFORMATIONAL exchange is taken at any time.
func TestRFC6290_4_3_AfterRekeying(t *testing.T) {
	for _, by := range []string{"MN", "HA"} {
		w, mn, ha := established(t, options{change: detecting}, binding)
		if by == "MN" {
			mn.rekeyIKE()
		} else {
			ha.rekeyIKE()
		}
		w.run()
		w.log.Reset()
		ha.crash()
		mn.tell(spd.Probe{Peer: "ha"})
		w.run()
		if !strings.Contains(w.log.String(), "N(INVALID_IKE_SPI) N(QUICK_CRASH_DETECTION)") {
			t.Errorf("rekeyed by %s:\n%s", by, w.log.String())
		}
		if downs := said[spd.PeerDown](mn); len(downs) != 2 || downs[1].Reason != errCrashed.Error() {
			t.Errorf("%+v", downs)
		}
		w.settled(1)
	}
}

// forged is an unprotected response for a mobile node's IKE_SA.
func forged(mn *host, ps ...wire.Payload) Datagram {
	for _, sa := range mn.engine.sas {
		h := sa.header(wire.ExchangeInformational, 2, true)
		h.Initiator = !sa.initiator
		m := wire.Message{Header: h, Payloads: ps}
		return Datagram{Local: sa.local, Remote: sa.remote, Data: m.Marshal()}
	}
	panic("no IKE_SA")
}

// A token that cannot be verified changes nothing and is not answered (section 4.5); one of four may be the right one, and
// it may come from anywhere (section 3).
func TestRFC6290_4_5_Verification(t *testing.T) {
	token := func(b []byte) wire.Payload {
		return &wire.Notify{Protocol: wire.ProtocolIKE, Kind: wire.NotifyQuickCrashDetection, Data: b}
	}
	invalid := &wire.Notify{Kind: wire.NotifyInvalidIKESPI}
	for _, c := range []struct {
		name  string
		down  bool
		forge func(right []byte) []wire.Payload
	}{
		{"another", false, func([]byte) []wire.Payload { return []wire.Payload{invalid, token(make([]byte, 32))} }},
		{"none", false, func([]byte) []wire.Payload { return []wire.Payload{invalid} }},
		{"empty", false, func([]byte) []wire.Payload { return []wire.Payload{invalid, token(nil)} }},
		{"cut short", false, func(right []byte) []wire.Payload { return []wire.Payload{invalid, token(right[:31])} }},
		{"without INVALID_IKE_SPI", false, func(right []byte) []wire.Payload { return []wire.Payload{token(right)} }},
		{"the right one", true, func(right []byte) []wire.Payload { return []wire.Payload{invalid, token(right)} }},
		{"the last of four", true, func(right []byte) []wire.Payload {
			other := token(make([]byte, 32))
			return []wire.Payload{invalid, other, other, other, token(right)}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, _ := established(t, options{change: detecting}, binding)
			var right []byte
			for _, sa := range mn.engine.sas {
				right = slices.Clone(sa.crashToken)
			}
			d := forged(mn, c.forge(right)...)
			d.Remote = netip.AddrPortFrom(coa3, 1234)
			mn.step(d)
			if down := len(said[spd.PeerDown](mn)) == 1; down != c.down {
				t.Errorf("the IKE_SA is gone: %t", down)
			}
			if !c.down {
				w.script(``)
				w.settled(1)
			}
		})
	}
}

// Section 9.2: never for an IKE_SA that is here; nor for a response, or what has not the form of a protected request.
func TestRFC6290_9_2_NoTokenForAnExistingIKESA(t *testing.T) {
	w, mn, ha := established(t, options{change: detecting}, binding)
	mn.tell(spd.Probe{Peer: "ha"})
	request := w.flight[0]
	var right secret.Bytes
	for _, sa := range mn.engine.sas {
		right = sa.crashToken
	}
	try := func(what string, answered bool, change func(data []byte) []byte) {
		t.Helper()
		w.flight = nil
		ha.step(Datagram{Local: request.Remote, Remote: request.Local, Data: change(slices.Clone(request.Data))})
		got := false
		for _, p := range w.flight {
			if n := wire.FindNotify(w.clear[string(p.Data)], wire.NotifyQuickCrashDetection); n != nil {
				got = got || right.Equal(n.Data)
			}
		}
		if got != answered {
			t.Errorf("%s: answered with the token: %t", what, got)
		}
	}
	same := func(b []byte) []byte { return b }
	garbled := func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	try("an IKE_SA that is here", false, garbled)
	try("its SPIs, from the wrong side", false, func(b []byte) []byte { b[19] ^= 0x08; return b })
	try("its SPI with another", false, func(b []byte) []byte { b[0] ^= 1; return b })
	ha.crash()
	try("a response", false, func(b []byte) []byte { b[19] |= 0x20; return b })
	try("a zero SPI", false, func(b []byte) []byte { clear(b[:8]); return b })
	try("one that is not protected", false, func(b []byte) []byte {
		m := wire.Message{Header: wire.Header{SPIi: 1, SPIr: 2, Version: wire.Version20, Exchange: wire.ExchangeInformational, Initiator: true}}
		return m.Marshal()
	})
	try("cut short", false, func(b []byte) []byte { return b[:len(b)-1] })
	try("one that is forgotten", true, same)
	ha.engine.cfg.CrashDetection = false
	try("when it is off", false, same)
}

func TestRFC6290_8_1_LimitedAnswers(t *testing.T) {
	w, mn, ha := established(t, options{change: detecting}, binding)
	mn.tell(spd.Probe{Peer: "ha"})
	request := w.flight[0]
	ha.crash()
	flood := func() int {
		w.flight = nil
		for n := range 3 * crashAnswersPerSecond {
			data := slices.Clone(request.Data)
			data[1], data[2] = byte(n), byte(n>>8)
			ha.step(Datagram{Local: request.Remote, Remote: request.Local, Data: data})
		}
		return len(w.flight)
	}
	for range 2 {
		if n := flood(); n != crashAnswersPerSecond {
			t.Errorf("%d answers in a second, want %d", n, crashAnswersPerSecond)
		}
		w.now = w.now.Add(time.Second)
	}
}

// Tokens are made again after a restart from the secret and the SPIs, and differ with each.
func TestRFC6290_5_1_Tokens(t *testing.T) {
	of := func(secretText string, spii, spir uint64) []byte {
		e := New(Config{CrashDetection: true, Secret: secret.Bytes(secretText)})
		return e.crashTokens(wire.Header{SPIi: spii, SPIr: spir})[0].(*wire.Notify).Data
	}
	base := of("one", 1, 2)
	if !bytes.Equal(base, of("one", 1, 2)) {
		t.Error("it is another after a restart")
	}
	for _, other := range [][]byte{of("other", 1, 2), of("one", 2, 1), of("one", 1, 3), of("one", 0, 2)} {
		if bytes.Equal(base, other) {
			t.Error("two IKE_SAs have one token")
		}
	}
}
