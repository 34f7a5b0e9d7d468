package ikev2

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

const (
	hybridIKE = "aes128gcm16-prfsha256-x25519-ke1_mlkem768"
	hybridESP = "aes128gcm16-x25519-ke1_mlkem768"
)

// The exchanges of RFC 9370 section 2.2.2, with one additional key exchange.
const hybridExchanges = `
	MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) N(INTERMEDIATE_EXCHANGE_SUPPORTED) ]
	HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) N(INTERMEDIATE_EXCHANGE_SUPPORTED) ]
	MN --> IKE_INTERMEDIATE request 1 [ KE ] fragment 1 of 2
	MN --> IKE_INTERMEDIATE request 1 [ KE ] fragment 2 of 2
	HA --> IKE_INTERMEDIATE response 1 [ KE ]
	MN --> IKE_AUTH request 2 [ IDi N(INITIAL_CONTACT) IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	HA --> IKE_AUTH response 2 [ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
`

func TestRFC9370_2_2_2_AdditionalKeyExchange(t *testing.T) {
	w, mn, ha := newWorld(t, options{ike: hybridIKE})
	mn.key(binding)
	w.script(hybridExchanges)
	w.settled(1)
	for _, h := range w.hosts {
		if got := h.engine.Status()[0].Suite; got != hybridIKE {
			t.Errorf("%s has %s", h.name, got)
		}
	}
	works(w, mn, ha)
}

func TestRFC9370_2_2_2_AllKinds(t *testing.T) {
	for _, ike := range []string{
		"aes128gcm16-prfsha256-x25519-ke1_mlkem1024",
		"aes128-sha1-modp1536-ke1_ecp256",
		"aes128gcm16-prfaescmac-ecp384-ke2_mlkem768-ke5_x25519",
		"aes256-sha512-modp2048-ke1_mlkem768-ke2_mlkem1024-ke3_ecp256-ke4_ecp384-ke5_ecp521-ke6_x25519-ke7_modp1536",
		"aes128gcm16-prfsha256-mlkem768",
	} {
		for name, change := range map[string]func(_, _ *host, mnCfg, haCfg *Config){
			"whole": nil, "in tiny fragments": tiny,
			"never in fragments":  func(_, _ *host, mnCfg, haCfg *Config) { mnCfg.FragmentSize, haCfg.FragmentSize = -1, -1 },
			"in fragments of two": func(_, _ *host, mnCfg, haCfg *Config) { mnCfg.FragmentSize, haCfg.FragmentSize = 600, 300 },
		} {
			t.Run(ike+"/"+name, func(t *testing.T) {
				w, mn, ha := newWorld(t, options{ike: ike, change: change})
				mn.key(binding)
				works(w, mn, ha)
				if got := ha.engine.Status()[0].Suite; got != ike {
					t.Error(got)
				}
			})
		}
	}
}

// RFC 9242 section 3.3.1: a retransmission comes under the keys that were those of the exchange, whatever they are now.
func TestRFC9242_3_3_1_Losses(t *testing.T) {
	for n := range 9 {
		w, mn, ha := newWorld(t, options{ike: hybridIKE + "-ke2_ecp256"})
		sent := -1
		w.lose = func(*packet) bool { sent++; return sent == n }
		mn.key(binding)
		w.pass(time.Minute)
		if sent < n {
			t.Errorf("only %d messages", sent)
		}
		works(w, mn, ha)
	}
}

// Whatever arrives twice has no more effect than once.
func TestRFC9242_3_2_Replay(t *testing.T) {
	w, mn, ha := newWorld(t, options{ike: hybridIKE + "-ke2_ecp256"})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	var all []*packet
	for len(w.flight) > 0 {
		all = append(all, w.flight[0])
		w.deliver(0)
		w.lose = func(*packet) bool { return true }
		for _, p := range all {
			w.arrive(p)
		}
		w.lose = nil
	}
	works(w, mn, ha)
}

// works holds that the two have come to one IKE_SA with a Child SA, and can use it.
func works(w *world, mn, ha *host) {
	w.t.Helper()
	w.settled(1)
	w.lose, mn.notices, ha.notices = nil, nil, nil
	oneIKE(w, mn, ha)
}

// RFC 9242 section 3.3.2: AUTH speaks for every message of these exchanges, whoever sent it.
func TestRFC9242_3_3_2_IntAuth(t *testing.T) {
	for name, change := range map[string]func(*handshake){
		"a request":         func(hs *handshake) { hs.initiators[0] ^= 1 },
		"a response":        func(hs *handshake) { hs.responders[0] ^= 1 },
		"one exchange more": func(hs *handshake) { hs.count++ },
		"none":              func(hs *handshake) { hs.count = 0 },
	} {
		w, mn, ha := newWorld(t, options{ike: hybridIKE})
		w.losing("IKE_AUTH request", 0)
		mn.key(binding)
		change(ha.anySA().hs)
		w.pass(time.Second)
		if !strings.HasSuffix(w.log.String(), "HA --> IKE_AUTH response 2 [ N(AUTHENTICATION_FAILED) ]\n") {
			t.Errorf("%s:\n%s", name, w.log.String())
		}
	}
}

// IntAuth as section 3.3.2 defines it, computed from the messages as they were sent.
func TestRFC9242_3_3_2_IntAuthOfTheMessages(t *testing.T) {
	w, mn, ha := newWorld(t, options{ike: hybridIKE, change: func(_, _ *host, mnCfg, haCfg *Config) {
		mnCfg.FragmentSize, haCfg.FragmentSize = 300, -1 // what ends in fragments is one message all the same
	}})
	w.losing("HA --> IKE_INTERMEDIATE", 0)
	mn.key(binding)
	sa := mn.anySA()
	hs, keys := *sa.hs, [][]byte{slices.Clone(sa.keys.pi), slices.Clone(sa.keys.pr)}
	w.lose = func(p *packet) bool { return strings.Contains(p.summary, "IKE_AUTH") }
	w.pass(time.Second)
	var want [2][]byte
	for i, h := range []*host{mn, ha} {
		ke, _ := wire.Find[*wire.KE](w.lastClear(h, "IKE_INTERMEDIATE"))
		plain := wire.AppendPayloads(nil, []wire.Payload{ke})
		length := 4 + len(plain)
		header := wire.Header{
			SPIi: sa.own, SPIr: sa.other, NextPayload: wire.PayloadSK, Version: 0x20, Exchange: wire.ExchangeIKEIntermediate,
			Initiator: i == 0, Response: i == 1, MessageID: 1, Length: uint32(wire.HeaderLen + length),
		}
		octets := append(header.Append(nil), byte(wire.PayloadKE), 0, byte(length>>8), byte(length))
		want[i] = sa.suite.PRF.Sum(keys[i], octets, plain)
	}
	if hs.count != 1 || !bytes.Equal(hs.initiators, want[0]) {
		t.Errorf("IntAuth_i1 is %x, wanted %x", hs.initiators, want[0])
	}
	if got := sa.hs.intAuth(); !bytes.Equal(got, slices.Concat(want[0], want[1], []byte{0, 0, 0, 2})) {
		t.Errorf("IntAuth is %x, wanted %x", got, want)
	}
}

// lastClear is the last message of a kind that h sent, in clear.
func (w *world) lastClear(h *host, exchange string) (ps []wire.Payload) {
	w.t.Helper()
	for key, summary := range w.named {
		head, err := wire.ParseHeader([]byte(key))
		w.check(err)
		if strings.HasPrefix(summary, exchange) && head.Initiator == (h.name == "MN") {
			ps = w.clear[key]
		}
	}
	return ps
}

// betweenInitAndAuth is a world in which IKE_SA_INIT is over, and nothing that follows arrives.
func betweenInitAndAuth(t *testing.T, ike string) (w *world, mn, ha *host) {
	w, mn, ha = newWorld(t, options{ike: ike})
	w.lose = func(p *packet) bool { return p.from == mn && !strings.Contains(p.summary, "IKE_SA_INIT") }
	mn.key(binding)
	w.log.Reset()
	return w, mn, ha
}

// initiatorsKE is a KE payload of an initiator.
func initiatorsKE(t *testing.T, g suite.Group) *wire.KE {
	t.Helper()
	k, err := suite.GenerateKE(g, strings.NewReader(strings.Repeat("x", 200)))
	if err != nil {
		t.Fatal(err)
	}
	return &wire.KE{Group: uint16(g), Data: k.Public()}
}

func TestRFC9370_2_2_2_WrongRequests(t *testing.T) {
	good := initiatorsKE(t, suite.MLKEM768)
	key := func(data []byte) *wire.KE { return &wire.KE{Group: good.Group, Data: data} }
	for name, c := range map[string]struct {
		exchange wire.ExchangeType
		ps       []wire.Payload
	}{
		"IKE_AUTH before it":      {wire.ExchangeIKEAuth, []wire.Payload{mustID("mn@example.org").payload(true)}},
		"another method":          {wire.ExchangeIKEIntermediate, []wire.Payload{initiatorsKE(t, suite.MLKEM1024)}},
		"the second before":       {wire.ExchangeIKEIntermediate, []wire.Payload{initiatorsKE(t, suite.P256)}},
		"no key":                  {wire.ExchangeIKEIntermediate, []wire.Payload{key(nil)}},
		"an octet too few":        {wire.ExchangeIKEIntermediate, []wire.Payload{key(good.Data[1:])}},
		"an octet too many":       {wire.ExchangeIKEIntermediate, []wire.Payload{key(append([]byte{0}, good.Data...))}},
		"the length of an answer": {wire.ExchangeIKEIntermediate, []wire.Payload{key(good.Data[:1088])}},
		"coefficients too large":  {wire.ExchangeIKEIntermediate, []wire.Payload{key(bytes.Repeat([]byte{0xff}, 1184))}},
	} {
		t.Run(name, func(t *testing.T) {
			w, mn, ha := betweenInitAndAuth(t, hybridIKE+"-ke2_ecp256")
			mn.forge(c.exchange, 1, false, c.ps...)
			if got := w.log.String(); !strings.HasPrefix(got, "HA --> "+c.exchange.String()+" response 1 [ N(INVALID_SYNTAX) ]") {
				t.Errorf("exchanges:\n%s", got)
			}
			// The handshake is over: not even what is right goes on with it.
			mn.forge(wire.ExchangeIKEIntermediate, 2, false, good)
			w.pass(31 * time.Second)
			if len(ha.engine.sas) != 0 || ha.engine.halfOpen.total != 0 {
				t.Error("the responder keeps the IKE_SA")
			}
		})
	}
}

// Only so many are taken, by one who has agreed to them, until the IKE_SA stands.
func TestRFC9242_5_Limits(t *testing.T) {
	w, mn, ha := betweenInitAndAuth(t, hybridIKE)
	for id := range uint32(maxIntermediate + 3) {
		mn.forge(wire.ExchangeIKEIntermediate, id+1, false, &wire.VendorID{Data: []byte("what is this?")})
	}
	if got := strings.Count(w.log.String(), "HA --> IKE_INTERMEDIATE response"); got != maxIntermediate {
		t.Errorf("%d exchanges, wanted %d:\n%s", got, maxIntermediate, w.log.String())
	}
	w.pass(31 * time.Second)
	if len(ha.engine.sas) != 0 || ha.engine.halfOpen.total != 0 {
		t.Error("the responder keeps the IKE_SA")
	}

	w, mn, ha = betweenInitAndAuth(t, "aes128gcm16-prfsha256-x25519")
	mn.forge(wire.ExchangeIKEIntermediate, 1, false)
	w.script("")
	if !slices.ContainsFunc(ha.dropped, func(err error) bool {
		return strings.Contains(err.Error(), "IKE_INTERMEDIATE request 1 before the IKE_SA is established")
	}) {
		t.Errorf("dropped %v", ha.dropped)
	}

	w, mn, ha = established(t, options{ike: hybridIKE}, binding)
	mn.forge(wire.ExchangeIKEIntermediate, 3, false)
	w.script(`HA --> IKE_INTERMEDIATE response 3 [ N(INVALID_SYNTAX) ]`)
	one[spd.PeerDown](ha)
}

// An exchange for a purpose that is not ours has its place in what AUTH signs.
func TestRFC9242_3_2_OtherPurposes(t *testing.T) {
	w, mn, ha := newWorld(t, options{ike: hybridIKE})
	mn.hold = true
	mn.tell(spd.Key{Demand: binding, Path: path1})
	for range 2 { // the key of IKE_SA_INIT, and the secret
		f := mn.jobs[0]
		mn.jobs = nil
		f()
		w.run()
	}
	mn.engine.ask(mn.anySA(), &request{
		exchange: wire.ExchangeIKEIntermediate,
		build:    func() []wire.Payload { return []wire.Payload{&wire.VendorID{Data: []byte("of another kind")}} },
		done:     func([]wire.Payload, error) {},
	})
	mn.step(Tick{})
	w.run()
	mn.hold = false
	mn.work()
	w.run()
	w.script(strings.NewReplacer(" 2 [", " 3 [", " 1 [ KE ]", " 2 [ KE ]", "MN --> IKE_INTERMEDIATE request 1 [ KE ] fragment 1", `
		MN --> IKE_INTERMEDIATE request 1 [ V ]
		HA --> IKE_INTERMEDIATE response 1 [ ]
		MN --> IKE_INTERMEDIATE request 2 [ KE ] fragment 1`).Replace(hybridExchanges))
	works(w, mn, ha)
}

func TestRFC9370_2_2_2_WrongResponses(t *testing.T) {
	for name, ps := range map[string][]wire.Payload{
		"no KE":            nil,
		"another method":   {&wire.KE{Group: uint16(suite.MLKEM1024), Data: make([]byte, 1568)}},
		"a wrong length":   {&wire.KE{Group: uint16(suite.MLKEM768), Data: make([]byte, 1087)}},
		"an error":         {&wire.Notify{Kind: wire.NotifyNoProposalChosen}},
		"an error besides": {&wire.KE{Group: uint16(suite.MLKEM768), Data: make([]byte, 1088)}, &wire.Notify{Kind: 77}},
	} {
		t.Run(name, func(t *testing.T) {
			w, mn, ha := newWorld(t, options{ike: hybridIKE})
			w.losing("IKE_INTERMEDIATE request", -1)
			mn.key(binding)
			ha.forge(wire.ExchangeIKEIntermediate, 1, true, ps...)
			w.run()
			one[spd.KeyFailed](mn)
			if len(mn.engine.sas) != 0 {
				t.Error("the initiator keeps the IKE_SA")
			}
		})
	}
}

// A ciphertext that is not the responder's gives other keys: the two do not understand each other, and nothing is made.
func TestRFC9370_2_2_2_AnotherCiphertext(t *testing.T) {
	w, mn, ha := newWorld(t, options{ike: hybridIKE})
	w.losing("IKE_INTERMEDIATE request", -1)
	mn.key(binding)
	ha.forge(wire.ExchangeIKEIntermediate, 1, true, &wire.KE{Group: uint16(suite.MLKEM768), Data: make([]byte, 1088)})
	w.pass(time.Minute)
	one[spd.KeyFailed](mn)
	w.settled(0)
}

// Which proposals two sides agree on, where one of them does without additional key exchanges, or without the exchange.
func TestRFC9370_2_2_1_Negotiation(t *testing.T) {
	const plain = "aes128gcm16-prfsha256-x25519"
	for _, c := range []struct{ name, mn, ha, want string }{
		{"both", hybridIKE, hybridIKE, hybridIKE},
		{"the responder has none", hybridIKE, plain, ""},
		{"it is optional", hybridIKE + "-ke1_none", plain, plain},
		{"a second proposal", hybridIKE + "," + plain, plain, plain},
		{"the initiator has none", plain, hybridIKE, ""},
		{"the responder's is optional", plain, hybridIKE + "-ke1_none", plain},
		{"both optional", hybridIKE + "-ke1_none", hybridIKE + "-ke1_none", hybridIKE},
		{"one of two", hybridIKE + "-ke2_ecp256-ke2_none", hybridIKE, hybridIKE},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, ha := newWorld(t, options{change: func(mn, ha *host, _, haCfg *Config) {
				mn.peer.IKE = proposals(mn.w.t, c.mn, suite.ParseIKE)
				ha.peer.IKE = proposals(mn.w.t, c.ha, suite.ParseIKE)
				haCfg.IKE = ha.peer.IKE
			}})
			mn.key(binding)
			if c.want == "" {
				if !strings.Contains(w.log.String(), "HA --> IKE_SA_INIT response 0 [ N(NO_PROPOSAL_CHOSEN) ]") {
					t.Errorf("exchanges:\n%s", w.log.String())
				}
				return
			}
			if got := ha.engine.Status()[0].Suite; got != c.want {
				t.Errorf("agreed on %s, wanted %s", got, c.want)
			}
			works(w, mn, ha)
		})
	}
}

// NONE, where it is chosen, is said for each kind that was offered (RFC 9370 section 2.2.1).
func TestRFC9370_2_2_1_NoneIsSaid(t *testing.T) {
	offered := offerIKE(proposals(t, hybridIKE+"-ke1_none-ke3_mlkem768-ke3_none", suite.ParseIKE), nil)
	c, ok := chooseIKE(proposals(t, hybridIKE, suite.ParseIKE), offered, suite.X25519)
	if !ok {
		t.Fatal("nothing chosen")
	}
	var said []string
	for _, tr := range acceptIKE(c, nil).Proposals[0].Transforms {
		if tr.Type > wire.TransformESN {
			said = append(said, tr.Type.String()+" "+suite.Group(tr.ID).String())
		}
	}
	if got := strings.Join(said, ", "); got != "ADDKE1 mlkem768, ADDKE3 modpnone" {
		t.Error(got)
	}
}

// Additional key exchanges are for those who know IKE_INTERMEDIATE (RFC 9370 section 2.2.2).
func TestRFC9370_2_2_2_WithoutIntermediate(t *testing.T) {
	const plain = "aes128gcm16-prfsha256-x25519"
	for _, c := range []struct{ ike, want string }{{hybridIKE, ""}, {hybridIKE + "-ke1_none", plain}, {hybridIKE + "," + plain, plain}} {
		w, mn, ha := newWorld(t, options{ike: c.ike})
		usual := extensions
		extensions = slices.DeleteFunc(slices.Clone(usual), func(x extension) bool { return x == intermediates{} })
		mn.key(binding)
		extensions = usual
		status := ha.engine.Status()
		if got := len(status) == 1; got != (c.want != "") || got && status[0].Suite != c.want {
			t.Errorf("%s: %+v", c.ike, status)
		}
		w.log.Reset()
	}

	// And a responder that chooses them without knowing it is not believed.
	w, mn, _ := newWorld(t, options{ike: hybridIKE})
	w.lose = func(*packet) bool { return true }
	mn.key(binding)
	h := wire.Header{
		SPIi: mn.starting(), SPIr: 5, Version: 0x20, Exchange: wire.ExchangeIKESAInit, Response: true,
	}
	c, _ := chooseIKE(mn.peer.IKE, offerIKE(mn.peer.IKE, nil), suite.X25519)
	m := wire.Message{Header: h, Payloads: []wire.Payload{
		acceptIKE(c, nil), initiatorsKE(t, suite.X25519), &wire.Nonce{Data: make([]byte, 32)},
	}}
	mn.step(Datagram{Data: m.Marshal()})
	if len(mn.dropped) != 1 || !strings.Contains(mn.dropped[0].Error(), "chooses what was not offered") {
		t.Errorf("dropped %v", mn.dropped)
	}
}
