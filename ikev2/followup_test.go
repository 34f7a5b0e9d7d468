package ikev2

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

var hybrid = options{ike: hybridIKE, esp: hybridESP}

// The first example of RFC 9370 appendix A.2, with one additional key exchange.
func TestRFC9370_2_2_4_RekeyIKE(t *testing.T) {
	w, mn, ha := established(t, hybrid, binding)
	mn.rekeyIKE()
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 3 [ SA Ni KE ]
		HA --> CREATE_CHILD_SA response 3 [ SA Nr KE N(ADDITIONAL_KEY_EXCHANGE) ]
		MN --> IKE_FOLLOWUP_KE request 4 [ KE N(ADDITIONAL_KEY_EXCHANGE) ] fragment 1 of 2
		MN --> IKE_FOLLOWUP_KE request 4 [ KE N(ADDITIONAL_KEY_EXCHANGE) ] fragment 2 of 2
		HA --> IKE_FOLLOWUP_KE response 4 [ KE ]
		MN --> INFORMATIONAL request 5 [ D ]
		HA --> INFORMATIONAL response 5 [ ]
	`)
	if got := mn.engine.Status()[0].Suite; got != hybridIKE {
		t.Error(got)
	}
	oneIKE(w, mn, ha)
	ha.rekeyIKE()
	w.run()
	oneIKE(w, mn, ha)
}

// A Child SA, made and rekeyed with several additional key exchanges; that of IKE_AUTH has none.
func TestRFC9370_2_2_4_ChildSA(t *testing.T) {
	w, mn, ha := newWorld(t, options{esp: hybridESP + "-ke4_ecp256"})
	mn.key(binding)
	w.script(initialExchanges)
	mn.key(returnRoute)
	const created = `
		MN --> CREATE_CHILD_SA request 2 [ SA Ni KE TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ SA Nr KE TSi TSr N(ADDITIONAL_KEY_EXCHANGE) ]
		MN --> IKE_FOLLOWUP_KE request 3 [ KE N(ADDITIONAL_KEY_EXCHANGE) ] fragment 1 of 2
		MN --> IKE_FOLLOWUP_KE request 3 [ KE N(ADDITIONAL_KEY_EXCHANGE) ] fragment 2 of 2
		HA --> IKE_FOLLOWUP_KE response 3 [ KE N(ADDITIONAL_KEY_EXCHANGE) ]
		MN --> IKE_FOLLOWUP_KE request 4 [ KE N(ADDITIONAL_KEY_EXCHANGE) ]
		HA --> IKE_FOLLOWUP_KE response 4 [ KE ]
	`
	w.script(created)
	w.settled(2)
	mn.notices = nil
	mn.soft()
	w.run()
	w.settled(2)
	if one[spd.ChildUp](mn).Replaces == (spd.SAID{}) {
		t.Error("it was not rekeyed")
	}
	ha.soft()
	w.run()
	w.settled(2)
}

// KEYMAT and SKEYSEED have the secrets of the additional key exchanges after the nonces.
func TestRFC9370_2_2_4_Seeds(t *testing.T) {
	s := secrets{first: secret.Bytes("g^ir"), more: slices.Concat([]byte("SK(1)"), []byte("SK(2)"))}
	if got := string(s.seed([]byte("Ni"), []byte("Nr"))); got != "g^irNiNrSK(1)SK(2)" {
		t.Error(got)
	}
}

func TestRFC9370_2_2_4_Losses(t *testing.T) {
	for n := range 5 {
		for name, start := range map[string]func(*host){"rekey IKE": (*host).rekeyIKE, "rekey Child SA": (*host).soft} {
			w, mn, ha := established(t, hybrid, binding)
			sent := -1
			w.lose = func(*packet) bool { sent++; return sent == n }
			start(mn)
			w.run()
			w.pass(time.Minute)
			if sent < n {
				t.Errorf("%s: only %d messages", name, sent)
			}
			mn.notices, ha.notices = nil, nil
			oneIKE(w, mn, ha)
		}
	}
}

// While key exchanges are still to follow one request, another one waits; what is asked meanwhile for another purpose is
// answered; what does not come is given up after its time (RFC 9370 section 2.2.4).
func TestRFC9370_2_2_4_Abandoned(t *testing.T) {
	for name, start := range map[string]func(*host){"rekey IKE": (*host).rekeyIKE, "rekey Child SA": (*host).soft} {
		t.Run(name, func(t *testing.T) {
			w, mn, ha := established(t, hybrid, binding)
			w.losing("IKE_FOLLOWUP_KE request", -1)
			start(mn)
			w.run()
			sa := mn.anySA()
			link := wire.FindNotify(w.lastClear(ha, "CREATE_CHILD_SA response 3"), wire.NotifyAdditionalKeyExchange)
			forgeOn(mn, sa, wire.ExchangeCreateChildSA, 4, false, offerESP(mn.peer.ESP, 77), &wire.Nonce{Data: make([]byte, 32)})
			forgeOn(mn, sa, wire.ExchangeInformational, 5, false)
			w.log.Reset()
			w.flight = nil
			state := len(ha.engine.sas)
			w.pass(followUpTime + time.Second)
			if ha.engine.sas[sa.other].followUp != nil || len(ha.larval) != 0 || len(ha.engine.sas) > state || len(ha.engine.sas) != 1 {
				t.Error("the responder keeps what was not completed")
			}
			w.log.Reset()
			forgeOn(mn, sa, wire.ExchangeFollowupKE, 6, false, initiatorsKE(t, suite.MLKEM768), link)
			w.script(`HA --> IKE_FOLLOWUP_KE response 6 [ N(STATE_NOT_FOUND) ]`)
		})
	}
}

// A responder that has forgotten is asked anew (RFC 9370 section 2.2.4).
func TestRFC9370_2_2_4_StateNotFound(t *testing.T) {
	for name, start := range map[string]func(*host){"rekey IKE": (*host).rekeyIKE, "rekey Child SA": (*host).soft} {
		w, mn, ha := established(t, hybrid, binding)
		begin := w.now
		w.lose = func(p *packet) bool {
			return strings.Contains(p.summary, "FOLLOWUP_KE request") && w.now.Sub(begin) < followUpTime &&
				p.from == mn
		}
		mn.engine.cfg.Timing.Tries, mn.engine.cfg.Timing.Retransmit = 10, 5*time.Second
		start(mn)
		w.run()
		w.pass(5 * time.Minute)
		if !strings.Contains(w.log.String(), "N(STATE_NOT_FOUND)") {
			t.Errorf("%s:\n%s", name, w.log.String())
		}
		if n := len(said[spd.ChildUp](mn)) + len(said[spd.PeerUp](mn)); n != 1 {
			t.Errorf("%s: %d new SAs:\n%s", name, n, w.log.String())
		}
		mn.notices, ha.notices = nil, nil
		oneIKE(w, mn, ha)
	}
}

func TestRFC9370_2_2_4_WrongRequests(t *testing.T) {
	ke := initiatorsKE(t, suite.MLKEM768)
	for name, c := range map[string]struct {
		change func(link *wire.Notify) []wire.Payload
		answer string
	}{
		"no link":        {func(*wire.Notify) []wire.Payload { return []wire.Payload{ke} }, "STATE_NOT_FOUND"},
		"another link":   {func(l *wire.Notify) []wire.Payload { l.Data[0] ^= 1; return []wire.Payload{ke, l} }, "STATE_NOT_FOUND"},
		"no KE":          {func(l *wire.Notify) []wire.Payload { return []wire.Payload{l} }, "INVALID_SYNTAX"},
		"another method": {func(l *wire.Notify) []wire.Payload { return []wire.Payload{initiatorsKE(t, suite.P256), l} }, "INVALID_SYNTAX"},
		"a wrong length": {func(l *wire.Notify) []wire.Payload {
			return []wire.Payload{&wire.KE{Group: ke.Group, Data: ke.Data[1:]}, l}
		}, "INVALID_SYNTAX"},
	} {
		for _, start := range []func(*host){(*host).rekeyIKE, (*host).soft} {
			w, mn, ha := established(t, hybrid, binding)
			w.losing("IKE_FOLLOWUP_KE request", -1)
			start(mn)
			w.run()
			link := wire.FindNotify(w.lastClear(ha, "CREATE_CHILD_SA response 3"), wire.NotifyAdditionalKeyExchange)
			w.log.Reset()
			forgeOn(mn, mn.anySA(), wire.ExchangeFollowupKE, 4, false, c.change(&wire.Notify{Kind: link.Kind, Data: slices.Clone(link.Data)})...)
			if got := w.log.String(); !strings.HasPrefix(got, "HA --> IKE_FOLLOWUP_KE response 4 [ N("+c.answer+") ]") {
				t.Errorf("%s:\n%s", name, got)
			}
			w.lose = nil
			w.pass(10 * time.Minute)
			if n := len(ha.larval); n != 0 {
				t.Errorf("%s: %d SPIs are left over", name, n)
			}
		}
	}
	w, mn, _ := established(t, hybrid, binding)
	mn.forge(wire.ExchangeFollowupKE, 3, false, ke, &wire.Notify{Kind: wire.NotifyAdditionalKeyExchange, Data: make([]byte, linkLen)})
	w.script(`HA --> IKE_FOLLOWUP_KE response 3 [ N(STATE_NOT_FOUND) ]`)
}

// An initiator gives up what it is not answered as it must be, and the peer knows.
func TestRFC9370_2_2_4_WrongResponses(t *testing.T) {
	good := &wire.KE{Group: uint16(suite.MLKEM768), Data: make([]byte, 1088)}
	for name, ps := range map[string][]wire.Payload{
		"no KE":          {},
		"another method": {&wire.KE{Group: uint16(suite.MLKEM1024), Data: make([]byte, 1568)}},
		"a wrong length": {&wire.KE{Group: good.Group, Data: good.Data[1:]}},
	} {
		w, mn, ha := established(t, hybrid, binding)
		w.losing("HA --> IKE_FOLLOWUP_KE response", -1)
		mn.key(returnRoute)
		w.log.Reset()
		w.lose = nil
		forgeOn(ha, ha.anySA(), wire.ExchangeFollowupKE, 4, true, ps...)
		w.run()
		w.script(`
			MN --> INFORMATIONAL request 5 [ D ]
			HA --> INFORMATIONAL response 5 [ D ]
		`)
		one[spd.KeyFailed](mn)
		w.settled(1)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	w, mn, ha := established(t, hybrid, binding)
	w.losing("HA --> CREATE_CHILD_SA response", -1)
	mn.key(returnRoute)
	w.lose = nil
	answer := slices.DeleteFunc(w.lastClear(ha, "CREATE_CHILD_SA response 3"), func(p wire.Payload) bool {
		return p.Type() == wire.PayloadN // the link is among them
	})
	forgeOn(ha, ha.anySA(), wire.ExchangeCreateChildSA, 3, true, answer...)
	w.pass(time.Minute)
	if got := one[spd.KeyFailed](mn).Err.Error(); !strings.Contains(got, "without a link to the key exchange of mlkem768") {
		t.Error(got)
	}
	w.settled(1)
}

// The collisions of RFC 7296 sections 2.8 and 2.25 come to the same end with more exchanges in between.
func TestRFC9370_2_2_4_Collisions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		start func(mn, ha *host)
		pairs int // -1: none or all
	}{
		{"both rekey the IKE_SA", func(mn, ha *host) { mn.rekeyIKE(); ha.rekeyIKE() }, 1},
		{"rekey IKE and create", func(mn, ha *host) {
			mn.rekeyIKE()
			ha.tell(spd.Key{Demand: mirrored(payload), Path: reversed(path1)})
		}, 2},
		{"both on one side", func(mn, ha *host) { mn.tell(spd.Key{Demand: payload, Path: path1}); mn.rekeyIKE(); mn.soft() }, 2},
		{"all rekey all", func(mn, ha *host) { mn.rekeyIKE(); ha.soft(); mn.soft(); ha.rekeyIKE() }, 1},
		{"rekey and delete", func(mn, ha *host) { mn.soft(); ha.hard() }, -1},
		{"both rekey IKE and delete", func(mn, ha *host) { mn.rekeyIKE(); ha.rekeyIKE(); mn.hard(); ha.hard() }, 0},
		{"create and create", func(mn, ha *host) {
			mn.tell(spd.Key{Demand: returnRoute, Path: path1})
			ha.tell(spd.Key{Demand: mirrored(payload), Path: reversed(path1)})
		}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			collide(t, hybrid, []spd.Demand{binding}, c.start, func(w *world, mn, ha *host) {
				pairs := c.pairs
				if pairs < 0 {
					pairs = len(mn.by(spd.In))
				}
				w.settled(pairs)
				oneIKE(w, mn, ha)
			})
		})
	}
}

// Whatever is going on, the end of the IKE_SA ends it.
func TestRFC9370_2_2_4_EndMeanwhile(t *testing.T) {
	for name, start := range map[string]func(*host){"rekey IKE": (*host).rekeyIKE, "rekey Child SA": (*host).soft} {
		for _, ends := range []func(mn, ha *host){
			func(mn, _ *host) { mn.tell(spd.Terminate{Peer: "ha"}) },
			func(_, ha *host) { ha.tell(spd.Terminate{Peer: "mn"}) },
			func(mn, ha *host) { mn.step(Abandon{}); ha.step(Abandon{}) },
		} {
			w, mn, ha := established(t, hybrid, binding)
			w.losing("IKE_FOLLOWUP_KE request", 0, 1)
			start(mn)
			w.run()
			ends(mn, ha)
			w.lose = nil
			w.pass(5 * time.Minute)
			w.settled(0)
			if t.Failed() {
				t.Fatalf("%s:\n%s", name, w.log.String())
			}
		}
	}
}
