package ikev2

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// The exchanges of RFC 7296 section 1.2 in transport mode.
const initialExchanges = `
	MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	HA --> IKE_AUTH response 1 [ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
`

func TestRFC7296_1_2_InitialExchanges(t *testing.T) {
	for _, c := range []struct{ name, ike, esp string }{
		{"modern", "aes128gcm16-prfsha256-x25519", "aes128gcm16"},
		{"basic pattern", "aes128-sha1-modp1536", "aes128-sha1"},
		{"racoon2 default", "3des-sha1-modp2048", "3des-sha1"},
		{"aescbc256", "aes256-sha256-ecp256", "aes256-sha256"},
		{"aesctr", "aes128ctr-sha1-x25519", "aes128ctr-sha1"},
		{"chacha20", "chacha20poly1305-prfsha512-x25519", "chacha20poly1305"},
		{"xcbc", "aes128-aesxcbc-x25519", "aes128-aesxcbc"},
		{"cmac", "aes128-aescmac-x25519", "null-aescmac"},
		{"sha384", "aes192-sha384-x25519", "aes192-sha384"},
		{"ccm", "aes128ccm8-prfsha1-x25519", "aes256ccm16-esn"},
		{"modp2048", "aes128gcm16-prfsha256-modp2048", "aes128gcm16"},
		{"modp3072", "aes128gcm16-prfsha256-modp3072", "aes128gcm16"},
		{"modp4096", "aes128gcm16-prfsha256-modp4096", "aes128gcm16"},
		{"ecp384", "aes128gcm16-prfsha256-ecp384", "aes128gcm16"},
		{"ecp521", "aes128gcm16-prfsha256-ecp521", "aes128gcm16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, ha := newWorld(t, options{ike: c.ike, esp: c.esp})
			d := binding
			d.Acquire = 7
			mn.key(d)
			w.script(initialExchanges)
			w.settled(1)

			up, peerUp := one[spd.PeerUp](mn), one[spd.PeerUp](ha)
			if !up.Initiator || up.First || up.Path != path1 || peerUp.Initiator || !peerUp.First || peerUp.Path != reversed(path1) {
				t.Errorf("PeerUp: %+v and %+v", up, peerUp)
			}
			child := one[spd.ChildUp](mn)
			if child.Demand.Name != "binding" || child.Demand.Acquire != 0 || child.Replaces != (spd.SAID{}) {
				t.Errorf("ChildUp: %+v", child)
			}
			out := mn.sas[child.Out]
			if out.Acquire != 7 || out.Reqid != binding.ReqidOut || out.Endpoints != (spd.Endpoints{Src: hoa, Dst: haa}) {
				t.Errorf("outbound SA: %+v", out)
			}
			in := mn.sas[child.In]
			if in.Acquire != 0 || in.Reqid != binding.ReqidIn || in.Endpoints != (spd.Endpoints{Src: haa, Dst: hoa}) {
				t.Errorf("inbound SA: %+v", in)
			}
			if got := mn.engine.Status(); len(got) != 1 || got[0].Suite != c.ike && !strings.HasPrefix(got[0].Suite, c.ike[:6]) {
				t.Errorf("Status: %+v", got)
			}
		})
	}
}

func TestRFC7296_1_2_TunnelMode(t *testing.T) {
	w, mn, _ := newWorld(t, options{})
	mn.key(returnRoute)
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr AUTH SA TSi TSr ]
	`)
	w.settled(1)
	if out := mn.sas[one[spd.ChildUp](mn).Out]; out.Mode != spd.Tunnel || out.Endpoints != (spd.Endpoints{Src: coa1, Dst: haa}) {
		t.Errorf("outbound SA: %+v", out)
	}
}

// What is wanted besides the first Child SA follows in CREATE_CHILD_SA, and what is wanted twice is asked for once.
func TestRFC7296_1_3_1_FurtherChildSAs(t *testing.T) {
	w, mn, _ := newWorld(t, options{})
	for range 2 {
		mn.tell(spd.Key{Demand: binding, Path: path1})
		mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	}
	w.run()
	w.script(initialExchanges + `
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ]
	`)
	w.settled(2)
}

func TestKeyForNobody(t *testing.T) {
	w, mn, _ := newWorld(t, options{})
	d := binding
	d.Peer = "nobody"
	mn.key(d)
	w.script(``)
	if got := one[spd.KeyFailed](mn).Err.Error(); got != `no peer is called "nobody"` {
		t.Error(got)
	}
}

// refused is a test of an IKE_AUTH exchange that does not make an IKE_SA.
func refused(t *testing.T, answer, reason string, change func(mn, ha *host)) {
	t.Helper()
	w, mn, ha := newWorld(t, options{change: func(mn, ha *host, _, _ *Config) { change(mn, ha) }})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	w.run()
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	` + answer)
	w.pass(time.Minute)
	w.settled(0)
	failed := said[spd.KeyFailed](mn)
	if len(failed) != 2 || !strings.Contains(failed[0].Err.Error(), reason) {
		t.Errorf("KeyFailed: %+v", failed)
	}
	if n := len(said[spd.PeerUp](mn)); n != 0 {
		t.Errorf("%d PeerUp", n)
	}
	if ups, downs := len(said[spd.PeerUp](ha)), len(said[spd.PeerDown](ha)); ups != downs {
		t.Errorf("responder: %d PeerUp, %d PeerDown", ups, downs)
	}
}

func TestRFC7296_2_15_WrongPreSharedKey(t *testing.T) {
	refused(t, `HA --> IKE_AUTH response 1 [ N(AUTHENTICATION_FAILED) ]`, "AUTHENTICATION_FAILED", func(mn, _ *host) {
		mn.peer.PSK = secret.Bytes("another")
	})
}

func TestRFC7296_2_15_UnknownIdentity(t *testing.T) {
	refused(t, `HA --> IKE_AUTH response 1 [ N(AUTHENTICATION_FAILED) ]`, "AUTHENTICATION_FAILED", func(mn, _ *host) {
		mn.peer.LocalID = mustID("somebody@example.org")
	})
}

// A suite that is good enough for strangers may not be good enough for the peer once it is known.
func TestRFC7296_2_15_SuiteNotOfThePeer(t *testing.T) {
	refused(t, `HA --> IKE_AUTH response 1 [ N(AUTHENTICATION_FAILED) ]`, "AUTHENTICATION_FAILED", func(_, ha *host) {
		ha.peer.IKE = proposals(ha.w.t, "aes256gcm16-prfsha512-x25519", suite.ParseIKE)
	})
}

// The initiator tells a responder that is not who it should be, so that it does not keep what it has made.
func TestRFC7296_2_21_2_WrongResponder(t *testing.T) {
	refused(t, `
		HA --> IKE_AUTH response 1 [ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
		MN --> INFORMATIONAL request 2 [ N(AUTHENTICATION_FAILED) D ]
		HA --> INFORMATIONAL response 2 [ ]
	`, "the peer says that it is other.example.org, not ha.example.org", func(_, ha *host) {
		ha.peer.LocalID = mustID("other.example.org")
	})
}

// forge has one side of an IKE_SA say something that the engine would not.
func (h *host) forge(ex wire.ExchangeType, id uint32, response bool, ps ...wire.Payload) {
	h.w.t.Helper()
	to := h.w.peerOf(h)
	sa := h.anySA()
	message := h.engine.sealed(sa, Datagram{}, ex, id, response, ps)
	h.engine.effects = nil
	for _, data := range message {
		to.step(Datagram{Local: sa.remote, Remote: sa.local, Data: data})
	}
}

// anySA is the newest IKE_SA with keys.
func (h *host) anySA() (newest *ikeSA) {
	h.w.t.Helper()
	for _, sa := range h.engine.sas {
		if sa.keys.out != nil && (newest == nil || sa.since > newest.since) {
			newest = sa
		}
	}
	if newest == nil {
		h.w.t.Fatalf("%s has no IKE_SA with keys", h.name)
	}
	return newest
}

func TestRFC7296_2_15_ResponderWithoutTheKey(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	w.lose = func(p *packet) bool { return strings.Contains(p.summary, "IKE_AUTH response") }
	mn.key(binding)
	ha.forge(wire.ExchangeIKEAuth, 1, true, ha.peer.LocalID.payload(false),
		&wire.Auth{Method: wire.AuthSharedKey, Data: make([]byte, 32)})
	w.run()
	w.script(strings.TrimSuffix(strings.TrimSpace(initialExchanges), "\n") + ` (lost)
		MN --> INFORMATIONAL request 2 [ N(AUTHENTICATION_FAILED) D ]
		HA --> INFORMATIONAL response 2 [ ]
	`)
	w.settled(0)
	if got := one[spd.KeyFailed](mn).Err.Error(); !strings.Contains(got, "does not have the pre-shared key") {
		t.Error(got)
	}
}

// The refusal of the first Child SA leaves the IKE_SA as it is.
func TestRFC7296_1_2_FirstChildRefused(t *testing.T) {
	for _, c := range []struct {
		notify string
		change func(mn, ha *host)
	}{
		{"TS_UNACCEPTABLE", func(_, ha *host) { ha.refuse = errors.New("not this home address") }},
		{"NO_PROPOSAL_CHOSEN", func(_, ha *host) { ha.peer.ESP = proposals(ha.w.t, "aes256-sha512", suite.ParseESP) }},
		{"NO_PROPOSAL_CHOSEN", func(_, ha *host) { ha.policies[0].Mode = spd.Tunnel }},
	} {
		t.Run(c.notify, func(t *testing.T) {
			w, mn, ha := newWorld(t, options{change: func(mn, ha *host, _, _ *Config) { c.change(mn, ha) }})
			mn.key(binding)
			w.script(`
				MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
				HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
				MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
				HA --> IKE_AUTH response 1 [ IDr AUTH N(` + c.notify + `) ]
			`)
			w.settled(0)
			if got := one[spd.KeyFailed](mn).Err.Error(); got != "the peer answered "+c.notify {
				t.Error(got)
			}
			if one[spd.PeerUp](mn).ID == 0 || one[spd.PeerUp](ha).ID == 0 || len(said[spd.PeerDown](mn)) != 0 {
				t.Error("the IKE_SA does not stand")
			}
			mn.tell(spd.Probe{Peer: "ha"})
			w.run()
			one[spd.PeerAlive](mn)
		})
	}
}

// A responder that has made another Child SA than was asked for is told to delete it.
func TestRFC7296_2_9_AnswerWiderThanAsked(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	mn.key(binding)
	w.script(initialExchanges)
	w.lose = func(p *packet) bool { return p.from == ha && strings.Contains(p.summary, "CREATE_CHILD_SA response") }
	mn.key(payload)
	w.lose = nil
	ha.forge(wire.ExchangeCreateChildSA, 2, true, acceptESP(choice[suite.ESPSuite]{
		suite: suite.ESPSuite{Encr: mn.peer.ESP[0].Encr[0]}, num: 1}, 0x1234),
		&wire.Nonce{Data: make([]byte, 32)},
		&wire.TS{Initiator: true, Selectors: payload.Traffic.Local},
		&wire.TS{Selectors: []spd.TrafficSelector{{PortEnd: 65535, Start: haa, End: coa1}}})
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] (lost)
		MN --> INFORMATIONAL request 3 [ D ]
		HA --> INFORMATIONAL response 3 [ D ]
	`)
	w.settled(1)
	if got := one[spd.KeyFailed](mn).Err.Error(); !strings.Contains(got, "wider than asked") {
		t.Error(got)
	}
}

func TestRFC7296_2_7_NoProposalChosen(t *testing.T) {
	w, mn, _ := newWorld(t, options{change: func(_, ha *host, _, cfg *Config) {
		cfg.IKE = proposals(ha.w.t, "aes256-sha512-modp2048", suite.ParseIKE)
	}})
	mn.key(binding)
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ N(NO_PROPOSAL_CHOSEN) ]
	`)
	// Nothing protects this answer: it is not believed, until nothing better comes (section 2.21.1).
	if len(said[spd.KeyFailed](mn)) != 0 {
		t.Error("an unprotected answer was believed")
	}
	w.pass(32 * time.Second)
	if got := one[spd.KeyFailed](mn).Err; !errors.Is(got, errNoAnswer) {
		t.Error(got)
	}
	w.settled(0)
}

func TestRFC7296_1_2_InvalidKEPayload(t *testing.T) {
	w, mn, _ := newWorld(t, options{ike: "aes128gcm16-prfsha256-x25519-ecp256", change: func(_, ha *host, _, cfg *Config) {
		cfg.IKE = proposals(ha.w.t, "aes128gcm16-prfsha256-ecp256", suite.ParseIKE)
	}})
	mn.key(binding)
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ N(INVALID_KE_PAYLOAD) ]
	` + initialExchanges)
	w.settled(1)
}

// An INVALID_KE_PAYLOAD is followed once, and only to a group that was offered.
func TestRFC7296_1_2_UnreasonableInvalidKEPayload(t *testing.T) {
	for _, c := range []struct {
		name   string
		groups []suite.Group
		init   int // requests
	}{
		{"not offered", []suite.Group{suite.MODP1536}, 1},
		{"the one that was sent", []suite.Group{suite.X25519}, 1},
		{"to and fro", []suite.Group{suite.P256, suite.X25519, suite.P256}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, _ := newWorld(t, options{ike: "aes128gcm16-prfsha256-x25519-ecp256"})
			w.lose = func(p *packet) bool { return true }
			mn.key(binding)
			for _, g := range c.groups {
				h := wire.Header{SPIi: mn.starting(), Version: 0x20, Exchange: wire.ExchangeIKESAInit, Response: true}
				m := wire.Message{Header: h, Payloads: []wire.Payload{(&invalidKE{g}).payload()}}
				mn.step(Datagram{Data: m.Marshal()})
			}
			if got := strings.Count(w.log.String(), "MN --> IKE_SA_INIT"); got != c.init {
				t.Errorf("%d IKE_SA_INIT requests, wanted %d:\n%s", got, c.init, w.log.String())
			}
		})
	}
}

// starting is the SPI of the handshake that the host has begun.
func (h *host) starting() uint64 {
	h.w.t.Helper()
	for _, a := range h.engine.peers {
		if sa := a.starting(); sa != nil {
			return sa.own
		}
	}
	h.w.t.Fatalf("%s has not begun a handshake", h.name)
	return 0
}

// An answer that comes while the key of the next group is being made is for a request that counts no longer.
func TestRFC7296_2_6_1_LateAnswerToAnAbandonedGroup(t *testing.T) {
	w, mn, _ := newWorld(t, options{
		ike: "aes128gcm16-prfsha256-x25519-ecp256",
		change: func(_, ha *host, _, cfg *Config) {
			cfg.IKE = proposals(ha.w.t, "aes128gcm16-prfsha256-ecp256", suite.ParseIKE)
		},
	})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	mn.hold = true
	w.run()
	h := wire.Header{SPIi: mn.starting(), Version: 0x20, Exchange: wire.ExchangeIKESAInit, Response: true}
	late := wire.Message{Header: h, Payloads: []wire.Payload{&wire.Notify{Kind: wire.NotifyCookie, Data: []byte("late")}}}
	mn.step(Datagram{Data: late.Marshal()})
	mn.hold = false
	mn.work()
	w.run()
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ N(INVALID_KE_PAYLOAD) ]
	` + initialExchanges)
	w.settled(1)
}

// A first answer that a forger sent leads nowhere, and the true one is still taken.
func TestRFC7296_2_21_1_ForgedInitResponse(t *testing.T) {
	w, mn, _ := newWorld(t, options{})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	h := wire.Header{SPIi: mn.starting(), SPIr: 9, Version: 0x20, Exchange: wire.ExchangeIKESAInit, Response: true}
	s := suite.IKESuite{
		Encr: mn.peer.IKE[0].Encr[0], PRF: mn.peer.IKE[0].PRF[0], Group: suite.X25519,
	}
	good := []wire.Payload{
		acceptIKE(choice[suite.IKESuite]{suite: s, num: 1}, nil),
		&wire.KE{Group: uint16(suite.X25519), Data: make([]byte, 32)}, // a value that RFC 6989 forbids
		&wire.Nonce{Data: make([]byte, 32)},
	}
	weak := s
	weak.Group = suite.P256
	for _, forged := range [][]wire.Payload{
		{&wire.Notify{Kind: wire.NotifyNoProposalChosen}},
		{&wire.Notify{Kind: wire.NotifyCookie}},
		{&wire.Notify{Kind: wire.NotifyCookie, Data: make([]byte, 65)}},
		good[:2],
		{acceptIKE(choice[suite.IKESuite]{suite: weak, num: 1}, nil), good[1], good[2]},
		good,
	} {
		m := wire.Message{Header: h, Payloads: forged}
		mn.step(Datagram{Data: m.Marshal()})
	}
	if len(mn.dropped) != 6 {
		t.Errorf("dropped: %v", mn.dropped)
	}
	w.run()
	w.script(initialExchanges)
	w.settled(1)
}

func TestRFC7296_2_5_HigherMajorVersion(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	p := w.flight[0]
	data := bytes.Clone(p.Data)
	data[17] = 0x30
	for _, f := range ha.engine.Step(w.now, Datagram{Local: p.Remote, Remote: p.Local, Data: data}) {
		if s, ok := f.(Send); ok {
			m, err := wire.Parse(s.Data)
			if err != nil || !m.Response || wire.FindNotify(m.Payloads, wire.NotifyInvalidMajorVersion) == nil {
				t.Errorf("answer: %+v, %v", m, err)
			}
			mn.step(Datagram{Data: s.Data}) // not believed
			w.run()
			w.settled(1)
			return
		}
	}
	t.Error("no answer")
}

func TestRFC7296_2_5_CriticalPayloadInInit(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	p := w.flight[0]
	m, err := wire.Parse(p.Data)
	w.check(err)
	m.Payloads = append(m.Payloads, &wire.Unknown{Kind: 200, Critical: true})
	ha.step(Datagram{Local: p.Remote, Remote: p.Local, Data: m.Marshal()})
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ N(UNSUPPORTED_CRITICAL_PAYLOAD) ]
	`)
	w.run()
	w.settled(1)
}
