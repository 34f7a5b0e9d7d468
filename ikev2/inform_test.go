package ikev2

import (
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

func TestRFC7296_1_4_1_Terminate(t *testing.T) {
	for _, first := range []string{"MN", "HA"} {
		w, mn, ha := established(t, options{}, binding, returnRoute)
		h := map[string]*host{"MN": mn, "HA": ha}[first]
		h.tell(spd.Terminate{Peer: h.peer.Name})
		h.tell(spd.Terminate{Peer: h.peer.Name})
		w.run()
		w.settled(0)
		for _, h := range w.hosts {
			one[spd.PeerDown](h)
			if n := len(said[spd.ChildDown](h)); n != 2 || !h.engine.Deadline().IsZero() {
				t.Errorf("%s: %d ChildDown, deadline %v", h.name, n, h.engine.Deadline())
			}
		}
	}
}

// What waits behind the end of an IKE_SA is failed at once; what is asked for after it begins anew.
func TestTerminateThenKey(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	mn.tell(spd.Key{Demand: payload, Path: path1})
	mn.tell(spd.Terminate{Peer: "ha"})
	if got := one[spd.KeyFailed](mn); got.Demand.Name != payload.Name {
		t.Errorf("%+v", got)
	}
	mn.tell(spd.Key{Demand: payload, Path: path1})
	w.run()
	w.settled(1)
	if up := one[spd.PeerUp](mn); up.Replaces != 0 {
		t.Errorf("%+v", up)
	}
}

func TestTerminateAHandshake(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	mn.hold = true
	mn.tell(spd.Key{Demand: binding, Path: path1})
	mn.tell(spd.Terminate{Peer: "ha"})
	mn.hold = false
	mn.work() // its result is nobody's
	one[spd.KeyFailed](mn)
	mn.key(binding)
	w.settled(1)
	mn.tell(spd.Terminate{Peer: "ha"})
	w.run()
	w.settled(0)

	// With the SPI on its way from the kernel.
	mn.tell(spd.Key{Demand: binding, Path: path1})
	mn.hold = true
	w.run()
	mn.jobs[0]()
	mn.jobs = mn.jobs[1:]
	mn.tell(spd.Terminate{Peer: "ha"})
	mn.hold = false
	mn.work()
	w.pass(time.Minute)
	w.settled(0)
	one[spd.PeerUp](ha)
}

// A Delete names several SAs, some of which are not there; only those that are are named in the answer.
func TestRFC7296_1_4_1_DeleteSeveral(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	var spis []uint32
	for _, s := range mn.by(spd.In) {
		spis = append(spis, s.SPI)
	}
	mn.forge(wire.ExchangeInformational, 3, false,
		&wire.Delete{Protocol: wire.ProtocolESP, SPIs: append(spis, 0x9999)},
		&wire.Delete{Protocol: wire.ProtocolAH, SPIs: spis},
		&wire.Delete{Protocol: wire.ProtocolESP, SPIs: spis})
	d, ok := wire.Find[*wire.Delete](w.clear[string(w.flight[0].Data)])
	if !ok || len(d.SPIs) != 2 || d.Protocol != wire.ProtocolESP {
		t.Errorf("answer %+v", d)
	}
	ha.clean(t)
	if len(ha.sas) != 0 || len(said[spd.PeerDown](ha)) != 0 {
		t.Errorf("%+v", ha.notices)
	}
}

func TestRFC7296_2_4_Liveness(t *testing.T) {
	w, mn, ha := established(t, options{change: func(mn, _ *host, _, _ *Config) { mn.peer.Liveness = 10 * time.Second }}, binding)
	w.pass(9999 * time.Millisecond)
	w.script(``)
	w.pass(time.Millisecond)
	w.script(`
		MN --> INFORMATIONAL request 2 [ ]
		HA --> INFORMATIONAL response 2 [ ]
	`)
	w.pass(5 * time.Second)
	ha.tell(spd.Probe{Peer: "mn"}) // the peer is heard: it need not be asked
	w.run()
	w.log.Reset()
	w.pass(9999 * time.Millisecond)
	w.script(``)
	w.pass(time.Millisecond)
	if n := len(said[spd.PeerAlive](mn)); n != 2 {
		t.Errorf("%d PeerAlive, wanted 2", n)
	}
	one[spd.PeerAlive](ha)

	w.lose = func(p *packet) bool { return true }
	w.pass(41*time.Second + 499*time.Millisecond)
	if len(said[spd.PeerDown](mn)) != 0 {
		t.Error("given up too early")
	}
	w.pass(time.Millisecond)
	one[spd.PeerDown](mn)
	mn.clean(t)
	if len(mn.sas) != 0 || !mn.engine.Deadline().IsZero() {
		t.Errorf("left over: %v, deadline %v", mn.sas, mn.engine.Deadline())
	}
}

// A Probe is answered by whatever the peer answers next, and not in vain while an answer is being worked on.
func TestProbeDuringAnExchange(t *testing.T) {
	w, mn, _ := established(t, options{esp: "aes128gcm16-x25519"}, binding)
	mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	mn.tell(spd.Probe{Peer: "ha"})
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni KE TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ SA Nr KE TSi TSr ]
	`)
	one[spd.PeerAlive](mn)

	mn.tell(spd.Key{Demand: payload, Path: path1})
	mn.hold = true
	w.run() // the answer is here
	mn.tell(spd.Probe{Peer: "ha"})
	mn.tell(spd.Probe{Peer: "ha"})
	mn.hold = false
	mn.work()
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 3 [ SA Ni KE TSi TSr ]
		HA --> CREATE_CHILD_SA response 3 [ SA Nr KE TSi TSr ]
		MN --> INFORMATIONAL request 4 [ ]
		HA --> INFORMATIONAL response 4 [ ]
	`)
	if n := len(said[spd.PeerAlive](mn)); n != 2 {
		t.Errorf("%d PeerAlive, wanted 2", n)
	}
	w.settled(3)
}

// INITIAL_CONTACT ends what the peer had before, and nothing of anyone else's.
func TestRFC7296_2_4_InitialContact(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	// Another mobile node's IKE_SA at the home agent.
	other := &Peer{Name: "other", IKE: ha.peer.IKE, ESP: ha.peer.ESP}
	theirs := &ikeSA{own: 42, peer: other}
	ha.engine.sas[42] = theirs
	ha.engine.establish(theirs)
	ha.engine.effects = nil

	reboot := New(mn.engine.cfg)
	mn.engine = reboot
	mn.kernel = newKernel("MN", 0xa1000000)
	mn.key(binding)
	w.script(initialExchanges)
	if n := len(said[spd.ChildDown](ha)); n != 2 {
		t.Errorf("%d ChildDown, wanted 2", n)
	}
	if down := one[spd.PeerDown](ha); down.Reason != errSuperseded.Error() {
		t.Errorf("%+v", down)
	}
	if ha.engine.sas[42] != theirs || theirs.gone != nil {
		t.Error("another peer's IKE_SA is gone")
	}
	ha.engine.lose(theirs, errGone)
	ha.step(Tick{})
	// The role tells all engines, this one too.
	ha.tell(spd.Superseded{Peer: "mn", Except: one[spd.PeerUp](ha).ID})
	w.settled(1)
	// The peer has begun anew at another engine.
	ha.tell(spd.Superseded{Peer: "mn", Except: 4711, Path: reversed(path1), Before: w.now.Add(1)})
	if len(ha.engine.sas) != 0 || len(ha.sas) != 0 {
		t.Error("what is superseded is still there")
	}
	ha.tell(spd.Superseded{Peer: "nobody", Except: 4711})
}

// Of what another engine has the peer can have known when it began anew: what came to stand later stays.
func TestRFC7296_2_4_InitialContactAtAnotherEngine(t *testing.T) {
	w, _, ha := established(t, options{}, binding, returnRoute)
	up := ha.engine.peers["mn"].sas[0].upAt
	ha.tell(spd.Superseded{Peer: "mn", Except: 4711, Path: reversed(path1), Before: up})
	w.settled(2)
	ha.tell(spd.Superseded{Peer: "mn", Except: 4711, Path: reversed(path1), Before: up.Add(1)})
	if len(ha.engine.sas) != 0 || len(ha.sas) != 0 {
		t.Error("what is superseded is still there")
	}
}

// Who has an IKE_SA with the peer at another engine does not say that this is the first contact.
func TestRFC7296_2_4_NoInitialContactAfterAnotherEngine(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	mn.hold = true
	mn.tell(spd.Key{Demand: binding, Path: path1})
	mn.tell(spd.Met{Peer: "ha", ID: 4711})
	mn.tell(spd.Met{Peer: "nobody", ID: 4711})
	mn.hold = false
	mn.work()
	w.run()
	w.settled(1)
	if up := one[spd.PeerUp](ha); up.First || up.Began != w.now {
		t.Errorf("%+v", up)
	}
}

// When both begin at once, INITIAL_CONTACT must not have each side keep another IKE_SA.
func TestRFC7296_2_4_BothBeginAtOnce(t *testing.T) {
	collide(t, options{}, nil, func(mn, ha *host) {
		mn.tell(spd.Key{Demand: binding, Path: path1})
		ha.tell(spd.Key{Demand: mirrored(returnRoute), Path: reversed(path1)})
	}, func(w *world, mn, ha *host) {
		w.settled(2)
		if len(said[spd.KeyFailed](mn))+len(said[spd.KeyFailed](ha)) != 0 {
			t.Error("a demand came to nothing")
		}
		if a, b := len(mn.engine.sas), len(ha.engine.sas); a != b {
			t.Errorf("%d and %d IKE_SAs", a, b)
		}
		// Child SAs are rekeyed on the IKE_SA that they belong to, whichever is the newest.
		for id, s := range mn.sas {
			if s.Dir == spd.In {
				mn.tell(spd.Expired{Peer: "ha", ID: id})
			}
		}
		w.run()
		w.settled(2)
		if n := len(said[spd.ChildDown](mn)); n != 2 {
			t.Errorf("%d of 2 Child SAs were rekeyed", n)
		}
	})
}
