package ikev2

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

const childRekeyed = `
	MN --> CREATE_CHILD_SA request 2 [ N(REKEY_SA) N(USE_TRANSPORT_MODE) SA Ni TSi TSr ]
	HA --> CREATE_CHILD_SA response 2 [ N(USE_TRANSPORT_MODE) SA Nr TSi TSr ]
	MN --> INFORMATIONAL request 3 [ D ]
	HA --> INFORMATIONAL response 3 [ D ]
`

// anyChild is the oldest inbound SA that the host has.
func (h *host) anyChild() spd.SAID {
	h.w.t.Helper()
	in := h.by(spd.In)
	if len(in) == 0 {
		h.w.t.Fatalf("%s has no Child SA", h.name)
	}
	s := in[slices.Min(slices.Collect(maps.Keys(in)))]
	return s.ID()
}

func (h *host) soft() { h.tell(spd.Expired{Peer: h.peer.Name, ID: h.anyChild()}) }
func (h *host) hard() { h.tell(spd.Expired{Peer: h.peer.Name, ID: h.anyChild(), Hard: true}) }

func TestRFC7296_1_3_3_RekeyChildSA(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	old := mn.anyChild()
	mn.soft()
	mn.soft() // both SAs of a pair expire
	w.run()
	w.script(childRekeyed)
	w.settled(1)
	if up := one[spd.ChildUp](mn); up.Replaces != old {
		t.Errorf("replaces %v, not %v", up.Replaces, old)
	}
	if down := one[spd.ChildDown](mn); down.In != old || down.Demand.Name != "binding" {
		t.Errorf("%+v", down)
	}
	if len(said[spd.KeyFailed](mn)) != 0 || len(said[spd.PeerDown](ha)) != 0 {
		t.Errorf("%+v, %+v", mn.notices, ha.notices)
	}
}

// The responder of the IKE_SA rekeys just as well.
func TestRFC7296_1_3_3_RekeyByTheResponder(t *testing.T) {
	w, _, ha := established(t, options{}, binding)
	ha.soft()
	w.run()
	w.script(strings.NewReplacer("MN", "HA", "HA", "MN", " 2 ", " 0 ", " 3 ", " 1 ").Replace(childRekeyed))
	w.settled(1)
}

func TestRFC7296_1_3_PerfectForwardSecrecy(t *testing.T) {
	for _, esp := range []string{"aes128gcm16-x25519", "aes128-sha1-modp1536", "aes128gcm16-modpnone-ecp256"} {
		w, mn, _ := newWorld(t, options{esp: esp})
		mn.key(binding)
		w.script(initialExchanges) // there is no key exchange of its own in IKE_AUTH
		mn.key(returnRoute)
		mn.soft()
		w.run()
		if got := w.log.String(); !strings.HasPrefix(got, "MN --> CREATE_CHILD_SA request 2 [ SA Ni KE TSi TSr ]\n"+
			"HA --> CREATE_CHILD_SA response 2 [ SA Nr KE TSi TSr ]\n") || strings.Count(got, " KE ") != 4 {
			t.Errorf("exchanges:\n%s", got)
		}
		w.settled(2)
	}
}

// A responder without PFS chooses a proposal without a group, where one was offered.
func TestRFC7296_1_3_ResponderWithoutGroup(t *testing.T) {
	w, mn, _ := established(t, options{esp: "aes128gcm16-x25519-modpnone", change: func(_, ha *host, _, _ *Config) {
		ha.peer.ESP = proposals(ha.w.t, "aes128gcm16", suite.ParseESP)
	}}, binding)
	mn.key(returnRoute)
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni KE TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ]
	`)
	w.settled(2)
}

func TestRFC7296_1_3_InvalidKEPayload(t *testing.T) {
	w, mn, _ := established(t, options{esp: "aes128gcm16-x25519-ecp256", change: func(_, ha *host, _, _ *Config) {
		ha.peer.ESP = proposals(ha.w.t, "aes128gcm16-ecp256", suite.ParseESP)
	}}, binding)
	mn.key(returnRoute)
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni KE TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ N(INVALID_KE_PAYLOAD) ]
		MN --> CREATE_CHILD_SA request 3 [ SA Ni KE TSi TSr ]
		HA --> CREATE_CHILD_SA response 3 [ SA Nr KE TSi TSr ]
	`)
	w.settled(2)
}

func TestRFC7296_1_3_ChildRefused(t *testing.T) {
	for _, c := range []struct {
		notify string
		change func(ha *host)
	}{
		{"TS_UNACCEPTABLE", func(ha *host) { ha.refuse = errors.New("no") }},
		{"NO_PROPOSAL_CHOSEN", func(ha *host) { ha.peer.ESP = proposals(ha.w.t, "aes128gcm16-ecp384", suite.ParseESP) }},
	} {
		w, mn, ha := established(t, options{}, binding)
		c.change(ha)
		mn.key(returnRoute)
		mn.soft()
		w.run()
		w.settled(1)
		if got := one[spd.KeyFailed](mn); got.Err.Error() != "the peer answered "+c.notify || got.Demand.Name != returnRoute.Name {
			t.Errorf("%+v", got)
		}
	}
}

// A public value that RFC 6989 forbids ends the IKE_SA (section 2.5 there).
func TestRFC6989_2_5_InvalidPublicValue(t *testing.T) {
	w, mn, ha := established(t, options{esp: "aes128gcm16-x25519"}, binding)
	request := (&negotiation{
		demand: returnRoute, proposals: mn.peer.ESP, larva: spd.SAID{SPI: 0x1234},
	}).payloads()
	mn.forge(wire.ExchangeCreateChildSA, 2, false,
		withExchange(request, make([]byte, 32), suite.X25519, make([]byte, 32))...)
	w.script(`HA --> CREATE_CHILD_SA response 2 [ N(INVALID_SYNTAX) ]`)
	one[spd.PeerDown](ha)
	ha.clean(t)
}

func TestRFC7296_1_4_1_HardLifetime(t *testing.T) {
	for _, first := range []string{"MN", "HA"} {
		w, mn, ha := established(t, options{}, binding, returnRoute)
		h := map[string]*host{"MN": mn, "HA": ha}[first]
		h.hard()
		w.run()
		w.settled(1)
		one[spd.ChildDown](mn)
		one[spd.ChildDown](ha)
		h.tell(spd.Lost{Peer: h.peer.Name, ID: h.anyChild()})
		w.run()
		w.settled(0)
		if len(said[spd.PeerDown](mn))+len(said[spd.PeerDown](ha)) != 0 {
			t.Error("the IKE_SA does not stand")
		}
	}
}

// When both sides call for SAs for the same policies at once, one pair remains.
func TestTwins(t *testing.T) {
	both := func(mn, ha *host) {
		mn.tell(spd.Key{Demand: returnRoute, Path: path1})
		ha.tell(spd.Key{Demand: mirrored(returnRoute), Path: reversed(path1)})
	}
	for _, before := range [][]spd.Demand{{binding}, nil} { // on one IKE_SA, on two
		collide(t, options{}, before, both, func(w *world, mn, ha *host) {
			w.settled(len(before) + 1)
			if len(said[spd.KeyFailed](mn))+len(said[spd.KeyFailed](ha)) != 0 {
				t.Error("a demand came to nothing")
			}
		})
	}
	w, mn, _ := established(t, options{}, returnRoute)
	mn.key(returnRoute) // the newer one remains
	w.settled(1)
	if up, down := one[spd.ChildUp](mn), one[spd.ChildDown](mn); up.In == down.In {
		t.Errorf("%+v, %+v", up, down)
	}
}

// A Child SA may be deleted before its initiator has the answer that makes it.
func TestDeleteOvertakesTheAnswer(t *testing.T) {
	for _, esp := range []string{"aes128gcm16", "aes128gcm16-x25519"} {
		w, mn, ha := established(t, options{esp: esp}, binding)
		w.losing("CREATE_CHILD_SA response", 0)
		mn.key(returnRoute)
		ha.tell(spd.Lost{Peer: "mn", ID: one[spd.ChildUp](ha).In})
		w.run()
		w.pass(time.Minute)
		w.settled(1)
		one[spd.KeyFailed](mn)
	}
}

// It may be rekeyed before, too.
func TestRekeyOvertakesTheAnswer(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	w.losing("CREATE_CHILD_SA response", 0)
	mn.key(returnRoute)
	ha.tell(spd.Expired{Peer: "mn", ID: one[spd.ChildUp](ha).In})
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] (lost)
		HA --> CREATE_CHILD_SA request 0 [ N(REKEY_SA) SA Ni TSi TSr ]
		MN --> CREATE_CHILD_SA response 0 [ N(TEMPORARY_FAILURE) ]
	`)
	w.pass(time.Minute)
	w.settled(2)
	if n := len(said[spd.ChildUp](mn)); n != 2 {
		t.Errorf("%d ChildUp, wanted 2", n)
	}
}

// An unknown SA is nobody's.
func TestExpiredUnknown(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	mn.tell(spd.Expired{Peer: "ha", ID: spd.SAID{SPI: 1}})
	mn.tell(spd.Expired{Peer: "nobody", ID: mn.anyChild()})
	mn.step(InstallFailed{Peer: "ha", ID: spd.SAID{SPI: 1}, Err: errors.New("no")})
	w.script(``)
	w.settled(1)
}

func TestInstallFailed(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	for range 2 {
		mn.step(InstallFailed{Peer: "ha", ID: mn.anyChild(), Err: errors.New("no memory")})
	}
	w.run()
	w.script(`
		MN --> INFORMATIONAL request 2 [ D ]
		HA --> INFORMATIONAL response 2 [ D ]
	`)
	w.settled(0)
	if got := one[spd.KeyFailed](mn); !strings.Contains(got.Err.Error(), "no memory") {
		t.Errorf("%+v", got)
	}
}

// When one side has finished before it hears of the other's attempt, the other gives way (the second sequence of
// section 2.8.1).
func TestRFC7296_2_8_1_OneSideNotices(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	w.losing("MN --> CREATE_CHILD_SA request 2", 0)
	mn.soft()
	ha.soft()
	w.run()
	w.pass(time.Second)
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ N(REKEY_SA) N(USE_TRANSPORT_MODE) SA Ni TSi TSr ] (lost)
		HA --> CREATE_CHILD_SA request 0 [ N(REKEY_SA) N(USE_TRANSPORT_MODE) SA Ni TSi TSr ]
		MN --> CREATE_CHILD_SA response 0 [ N(USE_TRANSPORT_MODE) SA Nr TSi TSr ]
		HA --> INFORMATIONAL request 1 [ D ]
		MN --> INFORMATIONAL response 1 [ D ]
		MN --> CREATE_CHILD_SA request 2 [ N(REKEY_SA) N(USE_TRANSPORT_MODE) SA Ni TSi TSr ] again
		HA --> CREATE_CHILD_SA response 2 [ N(CHILD_SA_NOT_FOUND) ]
	`)
	w.settled(1)
}

func TestRFC7296_2_8_1_SimultaneousChildRekeying(t *testing.T) {
	t.Parallel()
	for _, esp := range []string{"aes128gcm16", "aes128gcm16-x25519", hybridESP} {
		collide(t, options{esp: esp}, []spd.Demand{binding}, func(mn, ha *host) {
			mn.soft()
			ha.soft()
		}, func(w *world, mn, ha *host) {
			w.settled(1)
			if n := len(said[spd.KeyFailed](mn)) + len(said[spd.KeyFailed](ha)); n != 0 {
				t.Errorf("%d KeyFailed", n)
			}
			if ups, downs := len(said[spd.ChildUp](mn)), len(said[spd.ChildDown](mn)); ups != downs || ups == 0 {
				t.Errorf("%d ChildUp, %d ChildDown", ups, downs)
			}
		})
	}
}

// The collisions of section 2.25.1 and their like: each is run in all orders.
func TestRFC7296_2_25_1_ChildCollisions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		start  func(mn, ha *host)
		remain int
	}{
		{"rekey and delete", func(mn, ha *host) { mn.soft(); ha.hard() }, -1},
		{"delete and rekey", func(mn, ha *host) { mn.hard(); ha.soft() }, -1},
		{"delete and delete", func(mn, ha *host) { mn.hard(); ha.hard() }, 0},
		{"rekey, then delete", func(mn, ha *host) { mn.soft(); mn.hard() }, -1},
		{"both rekey, then delete", func(mn, ha *host) { mn.soft(); ha.soft(); mn.hard(); ha.hard() }, -1},
		{"create and rekey", func(mn, ha *host) { mn.key(returnRoute); ha.soft() }, 2},
		{"create and create", func(mn, ha *host) {
			mn.tell(spd.Key{Demand: returnRoute, Path: path1})
			ha.tell(spd.Key{Demand: mirrored(payload), Path: reversed(path1)})
		}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			collide(t, options{}, []spd.Demand{binding}, c.start, func(w *world, mn, ha *host) {
				n := c.remain
				if n < 0 { // depends on the order; but both agree
					n = len(mn.by(spd.In))
				}
				w.settled(n)
				if n > 3 {
					t.Errorf("%d pairs", n)
				}
			})
		})
	}
}

// A peer that does not know the Child SA any more gets a new one.
func TestRFC7296_2_25_ChildSANotFound(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	for _, sa := range ha.engine.sas {
		ha.engine.removeChild(sa.children[0], "lost")
	}
	ha.step(Tick{})
	mn.soft()
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ N(REKEY_SA) N(USE_TRANSPORT_MODE) SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ N(CHILD_SA_NOT_FOUND) ]
		MN --> CREATE_CHILD_SA request 3 [ N(USE_TRANSPORT_MODE) SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 3 [ N(USE_TRANSPORT_MODE) SA Nr TSi TSr ]
	`)
	w.settled(1)
}

// TEMPORARY_FAILURE is waited out; a peer that answers nothing else for minutes is given up.
func TestRFC7296_2_25_TemporaryFailure(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	ha.anySA().rekeying = &ikeRekey{}
	mn.key(returnRoute)
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ N(TEMPORARY_FAILURE) ]
	`)
	w.pass(retryAfter - 1)
	w.script(``)
	w.pass(retryAfter)
	w.script(`
		MN --> CREATE_CHILD_SA request 3 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 3 [ N(TEMPORARY_FAILURE) ]
	`)
	w.pass(2 * time.Minute)
	if len(said[spd.KeyFailed](mn)) != 0 {
		t.Error("given up too early")
	}
	ha.anySA().rekeying = nil
	w.pass(2 * retryAfter)
	w.settled(2)

	ha.anySA().rekeying = &ikeRekey{}
	mn.soft()
	w.pass(5 * time.Minute)
	w.settled(0)
	one[spd.PeerDown](mn)
	one[spd.PeerDown](ha)
}

func TestNoSPI(t *testing.T) {
	w, mn, _ := newWorld(t, options{})
	noSPI := func() {
		for id := range mn.engine.jobs {
			mn.jobs = nil
			mn.step(JobDone{ID: id, Err: errors.New("no memory")})
		}
	}
	mn.tell(spd.Key{Demand: binding, Path: path1})
	mn.hold = true
	w.run()
	mn.jobs[0]() // the key exchange, then the SPI
	noSPI()
	if got := one[spd.KeyFailed](mn).Err.Error(); got != "no SPI: no memory" {
		t.Error(got)
	}
	mn.hold, mn.notices = false, nil
	w.pass(time.Minute)
	w.settled(0)

	mn.key(binding)
	w.settled(1)
	mn.hold = true
	mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	noSPI()
	if got := one[spd.KeyFailed](mn).Err.Error(); got != "no SPI: no memory" {
		t.Error(got)
	}
	mn.soft()
	noSPI()
	w.settled(1)
}
