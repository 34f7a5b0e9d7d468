package ikev2

import (
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

func TestRFC7296_2_7_Choice(t *testing.T) {
	for _, c := range []struct{ name, ours, theirs, want string }{
		{"ours is preferred", "aes128gcm16,aes256gcm16", "aes256gcm16,aes128gcm16", "aes128gcm16"},
		{"within a proposal too", "aes128gcm16-aes256gcm16", "aes256gcm16-aes128gcm16", "aes128gcm16"},
		{"the second", "aes128-sha256,aes128gcm16", "aes128gcm16", "aes128gcm16"},
		{"the group of the KE payload", "aes128gcm16-ecp256-x25519", "aes128gcm16-ecp256-x25519", "aes128gcm16-x25519"},
		{"another group", "aes128gcm16-ecp256", "aes128gcm16-x25519-ecp256", "aes128gcm16-ecp256"},
		{"no group", "aes128gcm16", "aes128gcm16-x25519-modpnone", "aes128gcm16"},
		{"a group is wanted", "aes128gcm16-x25519", "aes128gcm16", ""},
		{"extended sequence numbers", "aes128gcm16-esn-noesn", "aes128gcm16-noesn-esn", "aes128gcm16-esn"},
		{"none in common", "aes128gcm16-esn", "aes128gcm16", ""},
		{"another key length", "aes128gcm16", "aes192gcm16", ""},
		{"another integrity", "aes128-sha1", "aes128-sha256", ""},
	} {
		ours, theirs := proposals(t, c.ours, suite.ParseESP), proposals(t, c.theirs, suite.ParseESP)
		offered := offerESP(theirs, 0x01020304)
		got, ok := chooseESP(ours, offered, suite.X25519)
		if ok != (c.want != "") || ok && got.suite.String() != c.want {
			t.Errorf("%s: %s, %t, wanted %q", c.name, got.suite, ok, c.want)
		}
		if !ok {
			continue
		}
		if espSPI(got.spi) != 0x01020304 {
			t.Errorf("%s: SPI %x", c.name, got.spi)
		}
		// The answer is understood by who offered.
		if back, ok := answeredESP(theirs, acceptESP(got, 5)); !ok || back.suite != got.suite || back.num != got.num {
			t.Errorf("%s: answered with %s, %t", c.name, back.suite, ok)
		}
		// A choice among several is none.
		one := acceptESP(got, 5).Proposals
		if _, ok := answeredESP(theirs, &wire.SA{Proposals: append(one, one...)}); ok {
			t.Errorf("%s: two proposals are taken for an answer", c.name)
		}
		two := acceptESP(got, 5)
		two.Proposals[0].Transforms = append(two.Proposals[0].Transforms, two.Proposals[0].Transforms[0])
		if _, ok := answeredESP(theirs, two); ok {
			t.Errorf("%s: two transforms are taken for an answer", c.name)
		}
	}
}

// What is not understood is passed over: an unknown transform or attribute, a proposal with an unknown type of transform,
// one for another protocol (RFC 7296 section 3.3.6).
func TestRFC7296_3_3_6_NotUnderstood(t *testing.T) {
	ours := proposals(t, "aes128gcm16", suite.ParseESP)
	for name, change := range map[string]func(*wire.Proposal){
		"unknown cipher besides": func(p *wire.Proposal) {
			p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformENCR, ID: 999})
		},
		"unknown attribute besides": func(p *wire.Proposal) {
			p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformENCR, ID: 20, KeyLen: 256, Unknown: true})
		},
		"! unknown attribute": func(p *wire.Proposal) { p.Transforms[0].Unknown = true },
		"! unknown type": func(p *wire.Proposal) {
			p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformADDKE1, ID: 35})
		},
		"! another protocol": func(p *wire.Proposal) { p.Protocol = wire.ProtocolAH },
		"no integrity, said": func(p *wire.Proposal) {
			p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformINTEG, ID: 0})
		},
	} {
		offered := offerESP(ours, 1)
		change(&offered.Proposals[0])
		if _, ok := chooseESP(ours, offered, 0); ok == strings.HasPrefix(name, "!") {
			t.Errorf("%s: chosen: %t", name, ok)
		}
		if good := offerESP(ours, 1); !func() bool {
			offered.Proposals = append(offered.Proposals, good.Proposals...)
			_, ok := chooseESP(ours, offered, 0)
			return ok
		}() {
			t.Errorf("%s: the good proposal after it is not chosen", name)
		}
	}
}

// An answer to CREATE_CHILD_SA that chooses what was not offered makes no Child SA; the peer, who has one, is told.
func TestRFC7296_2_7_BadAnswers(t *testing.T) {
	ke := func(g suite.Group) *wire.KE {
		k, err := suite.GenerateKE(g, strings.NewReader(strings.Repeat("x", 100)))
		if err != nil {
			t.Fatal(err)
		}
		return &wire.KE{Group: uint16(g), Data: k.Public()}
	}
	answer := func(s string, spi uint32) *wire.SA {
		p := proposals(t, s, suite.ParseESP)[0]
		c, _ := p.ChooseESP(p)
		return acceptESP(choice[suite.ESPSuite]{suite: c, num: 1}, spi)
	}
	const good = "aes128gcm16-x25519"
	nonce := &wire.Nonce{Data: make([]byte, 32)}
	tsi, tsr := &wire.TS{Initiator: true, Selectors: payload.Traffic.Local}, &wire.TS{Selectors: payload.Traffic.Remote}
	for _, c := range []struct {
		name   string
		answer []wire.Payload
		reason string
	}{
		{"nothing", nil, "no SA"},
		{"another cipher", []wire.Payload{answer("aes256gcm16-x25519", 9), nonce, ke(suite.X25519), tsi, tsr}, "not offered"},
		{"another group", []wire.Payload{answer("aes128gcm16-ecp256", 9), nonce, ke(suite.P256), tsi, tsr}, "not offered"},
		{"no group", []wire.Payload{answer("aes128gcm16", 9), nonce, tsi, tsr}, "not offered"},
		{"no SPI", []wire.Payload{answer(good, 0), nonce, ke(suite.X25519), tsi, tsr}, "not offered"},
		{"no nonce", []wire.Payload{answer(good, 9), ke(suite.X25519), tsi, tsr}, "without Nr"},
		{"no KE", []wire.Payload{answer(good, 9), nonce, tsi, tsr}, "without KE"},
		{"KE of another group", []wire.Payload{answer(good, 9), nonce, ke(suite.P256), tsi, tsr}, "without KE"},
		{"impossible KE", []wire.Payload{
			answer(good, 9), nonce, &wire.KE{Group: 31, Data: make([]byte, 32)}, tsi, tsr,
		}, "key exchange"},
		{"no TSr", []wire.Payload{answer(good, 9), nonce, ke(suite.X25519), tsi}, "TSi or TSr is missing"},
		{"transport mode", []wire.Payload{
			&wire.Notify{Kind: wire.NotifyUseTransportMode}, answer(good, 9), nonce, ke(suite.X25519), tsi, tsr,
		}, "does not agree to tunnel mode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, ha := established(t, options{esp: good}, binding)
			w.losing("CREATE_CHILD_SA response", -1)
			mn.key(payload)
			ha.forge(wire.ExchangeCreateChildSA, 2, true, c.answer...)
			w.run()
			w.settled(1)
			if got := one[spd.KeyFailed](mn).Err.Error(); !strings.Contains(got, c.reason) {
				t.Error(got)
			}
		})
	}
}

// A request for a Child SA that cannot be granted says why, and leaves the IKE_SA unless it makes no sense at all.
func TestRFC7296_1_3_BadRequests(t *testing.T) {
	nonce := &wire.Nonce{Data: make([]byte, 32)}
	esp := func(spi uint32) *wire.SA { return offerESP(proposals(t, "aes128gcm16", suite.ParseESP), spi) }
	ike := func(spi []byte) *wire.SA {
		return offerIKE(proposals(t, "aes128gcm16-prfsha256-x25519", suite.ParseIKE), spi)
	}
	tsi, tsr := &wire.TS{Initiator: true, Selectors: payload.Traffic.Local}, &wire.TS{Selectors: payload.Traffic.Remote}
	for _, c := range []struct {
		name, answer string
		request      []wire.Payload
	}{
		{"nothing", "INVALID_SYNTAX", nil},
		{"no nonce", "INVALID_SYNTAX", []wire.Payload{esp(9), tsi, tsr}},
		{"no TSi", "TS_UNACCEPTABLE", []wire.Payload{esp(9), nonce, tsr}},
		{"no SPI", "NO_PROPOSAL_CHOSEN", []wire.Payload{esp(0), nonce, tsi, tsr}},
		{"rekeying what is not there", "CHILD_SA_NOT_FOUND", []wire.Payload{
			&wire.Notify{Kind: wire.NotifyRekeySA, Protocol: wire.ProtocolESP, SPI: []byte{1, 2, 3, 4}}, esp(9), nonce, tsi, tsr,
		}},
		{"rekeying nothing", "CHILD_SA_NOT_FOUND", []wire.Payload{
			&wire.Notify{Kind: wire.NotifyRekeySA}, esp(9), nonce, tsi, tsr,
		}},
		{"IKE_SA without KE", "INVALID_SYNTAX", []wire.Payload{ike(spiBytes(9)), nonce}},
		{"IKE_SA without SPI", "NO_PROPOSAL_CHOSEN", []wire.Payload{
			ike(nil), nonce, &wire.KE{Group: uint16(suite.X25519), Data: make([]byte, 32)},
		}},
		{"IKE_SA with an impossible KE", "INVALID_SYNTAX", []wire.Payload{
			ike(spiBytes(9)), nonce, &wire.KE{Group: uint16(suite.X25519), Data: make([]byte, 32)},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, ha := established(t, options{}, binding)
			mn.forge(wire.ExchangeCreateChildSA, 2, false, c.request...)
			w.script(`HA --> CREATE_CHILD_SA response 2 [ N(` + c.answer + `) ]`)
			ha.clean(t)
			if ends := len(said[spd.PeerDown](ha)) == 1; ends != (c.answer == "INVALID_SYNTAX") {
				t.Errorf("the IKE_SA ends: %t", ends)
			}
		})
	}
}

// Without an SPI from the kernel there is a Child SA another time.
func TestResponderWithoutSPI(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	ha.hold = true
	w.run()
	for len(ha.engine.jobs) == 0 { // the role's consent comes before
		f := ha.jobs[0]
		ha.jobs = ha.jobs[1:]
		f()
	}
	for id := range ha.engine.jobs {
		ha.jobs = nil
		ha.step(JobDone{ID: id, Err: errNoAnswer})
	}
	ha.hold = false
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ N(TEMPORARY_FAILURE) ]
	`)
	w.pass(5 * time.Second)
	w.settled(2)
}
