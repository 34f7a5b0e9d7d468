package ikev2

import (
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

const ikeRekeyed = `
	MN --> CREATE_CHILD_SA request 2 [ SA Ni KE ]
	HA --> CREATE_CHILD_SA response 2 [ SA Nr KE ]
	MN --> INFORMATIONAL request 3 [ D ]
	HA --> INFORMATIONAL response 3 [ ]
`

func (h *host) rekeyIKE() { h.tell(spd.RekeyPeer{Peer: h.peer.Name}) }

// oneIKE holds that both sides have one IKE_SA, the same, and that its Child SAs can be used: each is rekeyed on it.
func oneIKE(w *world, mn, ha *host) {
	w.t.Helper()
	a, b := mn.engine.Status(), ha.engine.Status()
	if len(a) != 1 || len(b) != 1 || a[0].SPIi != b[0].SPIi || a[0].SPIr != b[0].SPIr || a[0].Initiator == b[0].Initiator {
		w.t.Errorf("IKE_SAs: %+v and %+v", a, b)
		return
	}
	for _, h := range []*host{mn, ha} {
		ups, downs := said[spd.PeerUp](h), said[spd.PeerDown](h)
		if len(ups) != len(downs) {
			w.t.Errorf("%s: %d PeerUp, %d PeerDown besides the first", h.name, len(ups), len(downs))
		}
	}
	n := len(a[0].Children)
	w.settled(n)
	if n > 0 {
		mn.soft()
		w.run()
		ha.soft()
		w.run()
		w.settled(n)
	}
}

func TestRFC7296_1_3_2_RekeyIKE(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	old := mn.anySA().own
	mn.rekeyIKE()
	mn.rekeyIKE()
	w.run()
	w.script(strings.NewReplacer(" 3 ", " 4 ", " 2 ", " 3 ").Replace(ikeRekeyed))
	up := one[spd.PeerUp](mn)
	if up.Replaces != old || up.First || !up.Initiator || one[spd.PeerDown](mn).ID != old || up.ID == old {
		t.Errorf("%+v", mn.notices)
	}
	if len(said[spd.ChildDown](mn))+len(said[spd.ChildDown](ha)) != 0 {
		t.Error("a Child SA is lost")
	}
	// The message IDs begin at zero again; who asked is now the original initiator.
	ha.rekeyIKE()
	w.run()
	w.script(`
		HA --> CREATE_CHILD_SA request 0 [ SA Ni KE ]
		MN --> CREATE_CHILD_SA response 0 [ SA Nr KE ]
		HA --> INFORMATIONAL request 1 [ D ]
		MN --> INFORMATIONAL response 1 [ ]
	`)
	mn.key(payload)
	w.script(`
		MN --> CREATE_CHILD_SA request 0 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 0 [ SA Nr TSi TSr ]
	`)
	oneIKE(w, mn, ha)
}

// The PRF that makes the new keys is that of the old IKE_SA (RFC 7296 section 2.18).
func TestRFC7296_2_18_AnotherSuite(t *testing.T) {
	w, mn, ha := established(t, options{ike: "aes128-sha1-modp1536"}, binding)
	stronger := proposals(t, "aes256gcm16-prfsha512-modp1536", suite.ParseIKE)
	mn.peer.IKE, ha.peer.IKE = stronger, stronger
	mn.rekeyIKE()
	w.run()
	if got := mn.engine.Status()[0].Suite; got != "aes256gcm16-prfsha512-modp1536" {
		t.Error(got)
	}
	oneIKE(w, mn, ha)
}

func TestRFC7296_1_3_2_InvalidKEPayload(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	mn.peer.IKE = proposals(t, "aes128gcm16-prfsha256-x25519-ecp256", suite.ParseIKE)
	ha.peer.IKE = proposals(t, "aes128gcm16-prfsha256-ecp256", suite.ParseIKE)
	mn.rekeyIKE()
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni KE ]
		HA --> CREATE_CHILD_SA response 2 [ N(INVALID_KE_PAYLOAD) ]
		MN --> CREATE_CHILD_SA request 3 [ SA Ni KE ]
		HA --> CREATE_CHILD_SA response 3 [ SA Nr KE ]
		MN --> INFORMATIONAL request 4 [ D ]
		HA --> INFORMATIONAL response 4 [ ]
	`)
	oneIKE(w, mn, ha)
}

// A refused rekeying leaves the IKE_SA as it is, and is tried again.
func TestRFC7296_1_3_2_Refused(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	mine := ha.peer.IKE
	ha.peer.IKE = proposals(t, "aes256gcm16-prfsha512-x25519", suite.ParseIKE)
	mn.rekeyIKE()
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni KE ]
		HA --> CREATE_CHILD_SA response 2 [ N(NO_PROPOSAL_CHOSEN) ]
	`)
	w.settled(1)
	mn.key(returnRoute)
	w.settled(2)
	w.log.Reset()
	ha.peer.IKE = mine
	w.pass(replacedGrace)
	w.script(strings.NewReplacer(" 2 ", " 4 ", " 3 ", " 5 ").Replace(ikeRekeyed))
	oneIKE(w, mn, ha)
}

// An answer that cannot be used ends the IKE_SA: the peer has gone over to another one.
func TestRFC7296_1_3_2_BrokenAnswer(t *testing.T) {
	for _, answer := range [][]wire.Payload{
		{},
		{&wire.Nonce{Data: make([]byte, 32)}, &wire.KE{Group: uint16(suite.X25519), Data: make([]byte, 32)},
			acceptIKE(choice[suite.IKESuite]{suite: suite.IKESuite{Encr: suite.Encryption{ID: spd.EncrAESGCM16, KeyBits: 128},
				PRF: suite.PRFHMACSHA256, Group: suite.X25519}, num: 1}, spiBytes(77))},
		{&wire.Nonce{Data: make([]byte, 32)}, &wire.KE{Group: uint16(suite.X25519), Data: make([]byte, 32)},
			acceptIKE(choice[suite.IKESuite]{suite: suite.IKESuite{Encr: suite.Encryption{ID: spd.EncrAESGCM16, KeyBits: 256},
				PRF: suite.PRFHMACSHA256, Group: suite.X25519}, num: 1}, spiBytes(77))},
	} {
		w, mn, ha := established(t, options{}, binding)
		w.losing("HA -->", 0)
		mn.rekeyIKE()
		w.run()
		ha.engine.sas[ha.oldest()].replaces = nil
		forgeOn(ha, ha.engine.sas[ha.oldest()], wire.ExchangeCreateChildSA, 2, true, answer...)
		w.run()
		one[spd.PeerDown](mn)
		one[spd.ChildDown](mn)
		mn.clean(t)
		if len(mn.engine.sas) != 0 {
			t.Errorf("left over: %+v", mn.engine.Status())
		}
	}
}

// oldest is the SPI of the IKE_SA that was established first.
func (h *host) oldest() (spi uint64) {
	var since uint64
	for own, sa := range h.engine.sas {
		if since == 0 || sa.since < since {
			spi, since = own, sa.since
		}
	}
	return spi
}

// forgeOn is forge on one of several IKE_SAs.
func forgeOn(h *host, sa *ikeSA, ex wire.ExchangeType, id uint32, response bool, ps ...wire.Payload) {
	h.w.t.Helper()
	message := h.engine.sealed(sa, Datagram{}, ex, id, response, ps)
	h.engine.effects = nil
	for _, data := range message {
		h.w.peerOf(h).step(Datagram{Local: sa.remote, Remote: sa.local, Data: data})
	}
}

// A lost answer to a rekeying makes no second successor; a lost Delete does not keep the old IKE_SA for ever.
func TestRFC7296_1_3_2_Losses(t *testing.T) {
	for n := range 4 {
		w, mn, ha := established(t, options{}, binding)
		lost := -1
		w.lose = func(p *packet) bool { lost++; return lost == n }
		mn.rekeyIKE()
		w.run()
		w.pass(time.Minute)
		oneIKE(w, mn, ha)
	}
	w, mn, ha := established(t, options{}, binding)
	w.losing("INFORMATIONAL", -1)
	mn.rekeyIKE()
	w.run()
	w.pass(2 * time.Minute)
	w.lose = nil
	oneIKE(w, mn, ha)
}

func TestRFC7296_2_8_2_SimultaneousIKERekeying(t *testing.T) {
	t.Parallel()
	collide(t, options{}, []spd.Demand{binding, returnRoute}, func(mn, ha *host) {
		mn.rekeyIKE()
		ha.rekeyIKE()
	}, func(w *world, mn, ha *host) {
		w.settled(2)
		oneIKE(w, mn, ha)
		if len(said[spd.PeerUp](mn)) == 0 {
			t.Error("the IKE_SA was not rekeyed")
		}
	})
}

// One side finishes before it hears of the other's attempt (the special case of section 2.8.2).
func TestRFC7296_2_8_2_OneSideNotices(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	w.losing("HA --> CREATE_CHILD_SA request", 0)
	ha.rekeyIKE()
	mn.rekeyIKE()
	w.run()
	w.pass(time.Second)
	w.script(`
		HA --> CREATE_CHILD_SA request 0 [ SA Ni KE ] (lost)
	` + ikeRekeyed)
	oneIKE(w, mn, ha)
}

// The collisions of section 2.25.2 and their like: each is run in all orders.
func TestRFC7296_2_25_2_IKECollisions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		start func(mn, ha *host)
		pairs int // -1: none or all, whichever request came first
	}{
		{"rekey IKE and create", func(mn, ha *host) {
			mn.rekeyIKE()
			ha.tell(spd.Key{Demand: mirrored(payload), Path: reversed(path1)})
		}, 2},
		{"create and rekey IKE", func(mn, ha *host) { mn.tell(spd.Key{Demand: payload, Path: path1}); ha.rekeyIKE() }, 2},
		{"both on one side", func(mn, ha *host) { mn.tell(spd.Key{Demand: payload, Path: path1}); mn.rekeyIKE(); mn.soft() }, 2},
		{"rekey IKE and Child SA", func(mn, ha *host) { mn.rekeyIKE(); ha.soft() }, 1},
		{"rekey IKE and both Child SA", func(mn, ha *host) { mn.rekeyIKE(); ha.soft(); mn.soft() }, 1},
		{"all rekey all", func(mn, ha *host) { mn.rekeyIKE(); ha.soft(); mn.soft(); ha.rekeyIKE() }, 1},
		{"rekey IKE and delete", func(mn, ha *host) { mn.rekeyIKE(); ha.hard() }, 0},
		{"both rekey IKE and delete", func(mn, ha *host) { mn.rekeyIKE(); ha.rekeyIKE(); mn.hard(); ha.hard() }, 0},
		{"both rekey IKE and create", func(mn, ha *host) {
			mn.rekeyIKE()
			ha.rekeyIKE()
			mn.tell(spd.Key{Demand: payload, Path: path1})
			ha.tell(spd.Key{Demand: mirrored(returnRoute), Path: reversed(path1)})
		}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			collide(t, options{}, []spd.Demand{binding}, c.start, func(w *world, mn, ha *host) {
				w.settled(c.pairs)
				oneIKE(w, mn, ha)
			})
		})
	}
}

// Whatever is going on, the end of the IKE_SA ends it.
func TestRFC7296_2_25_2_DeleteCollisions(t *testing.T) {
	t.Parallel()
	end := func(h *host) { h.tell(spd.Terminate{Peer: h.peer.Name}) }
	for _, c := range []struct {
		name  string
		start func(mn, ha *host)
	}{
		{"delete and delete", func(mn, ha *host) { end(mn); end(ha) }},
		{"rekey and delete", func(mn, ha *host) { mn.rekeyIKE(); end(ha) }},
		{"delete and rekey", func(mn, ha *host) { end(mn); ha.rekeyIKE() }},
		{"rekey, then delete", func(mn, ha *host) { mn.rekeyIKE(); end(mn) }},
		{"both rekey, then delete", func(mn, ha *host) { mn.rekeyIKE(); ha.rekeyIKE(); end(mn) }},
		{"create and delete", func(mn, ha *host) { mn.tell(spd.Key{Demand: payload, Path: path1}); end(ha) }},
		{"create, then delete", func(mn, ha *host) { mn.tell(spd.Key{Demand: payload, Path: path1}); end(mn) }},
		{"rekey Child SA and delete", func(mn, ha *host) { mn.soft(); ha.soft(); end(ha) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			collide(t, options{change: watchful}, []spd.Demand{binding}, c.start, func(w *world, mn, ha *host) {
				if ups := len(said[spd.PeerUp](mn)); ups == 0 {
					w.settled(0)
				} else { // the rekeying was through before the Delete, which then was for the old one only
					oneIKE(w, mn, ha)
				}
			})
		})
	}
}

// watchful has both sides probe a silent peer.
func watchful(mn, ha *host, _, _ *Config) {
	mn.peer.Liveness, ha.peer.Liveness = 10*time.Second, 15*time.Second
}

// Lifetimes lead to rekeying of their own accord, each time a little before their end.
func TestIKELifetime(t *testing.T) {
	w, mn, ha := established(t, options{change: func(mn, ha *host, _, _ *Config) {
		mn.peer.IKELifetime, ha.peer.IKELifetime = time.Hour, time.Hour
		mn.peer.ChildLifetime = 10 * time.Minute
	}}, binding)
	life := mn.sas[mn.anyChild()].Lifetime
	if life.Hard != 10*time.Minute || life.Soft < 8*time.Minute || life.Soft > 9*time.Minute {
		t.Errorf("lifetime %+v", life)
	}
	if got := ha.sas[ha.anyChild()].Lifetime; got != (spd.Lifetime{}) {
		t.Errorf("lifetime %+v, wanted none", got)
	}
	w.pass(48*time.Minute - 1)
	w.script(``)
	w.pass(24 * time.Hour)
	n := len(said[spd.PeerUp](mn))
	if n < 24 || n > 31 {
		t.Errorf("rekeyed %d times in 24 h", n)
	}
	oneIKE(w, mn, ha)
}
