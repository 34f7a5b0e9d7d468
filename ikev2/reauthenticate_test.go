package ikev2

import (
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// limited has the home agent limit an authentication to ten minutes.
func limited(_, ha *host, _, _ *Config) { ha.peer.AuthLifetime = 10 * time.Minute }

// gapless holds that from now on, at every message, each host has for each demand an outbound SA that the other has as
// an inbound one.
func (w *world) gapless(demands ...spd.Demand) {
	w.lose = func(*packet) bool {
		for _, h := range w.hosts {
			in, usable := w.peerOf(h).by(spd.In), map[uint32]bool{}
			for spi, s := range h.by(spd.Out) {
				if _, ok := in[spi]; ok {
					usable[s.Reqid] = true
				}
			}
			if len(usable) != len(demands) {
				w.t.Errorf("%s can use the SAs with reqids %v only", h.name, usable)
			}
		}
		return false
	}
}

// The initiator is told with IKE_AUTH, and begins anew in time: all Child SAs are there before the old ones go.
func TestRFC4478_2_RepeatedAuthentication(t *testing.T) {
	w, mn, ha := established(t, options{change: limited}, binding, returnRoute)
	w.gapless(binding, returnRoute)
	w.pass(9 * time.Minute)
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		MN --> IKE_AUTH request 1 [ IDi IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr AUTH N(AUTH_LIFETIME) N(USE_TRANSPORT_MODE) SA TSi TSr ]
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ]
		MN --> INFORMATIONAL request 3 [ D ]
		HA --> INFORMATIONAL response 3 [ ]
	`)
	w.settled(2)
	for _, h := range []*host{mn, ha} {
		if n := len(h.engine.sas); n != 1 {
			t.Errorf("%s has %d IKE_SAs", h.name, n)
		}
		if failed := said[spd.KeyFailed](h); len(failed) > 0 {
			t.Errorf("%s: %+v", h.name, failed)
		}
	}
	if down := one[spd.PeerDown](mn); down.Reason != errRenewed.Error() {
		t.Errorf("%+v", down)
	}
	for _, up := range said[spd.ChildUp](mn) {
		if up.Replaces == (spd.SAID{}) {
			t.Errorf("%+v replaces nothing", up)
		}
	}
	w.pass(time.Hour)
	w.settled(2)
	if n := len(said[spd.PeerUp](mn)); n < 6 {
		t.Errorf("%d authentications in an hour", n)
	}
}

// A Child SA that the responder has asked for is made anew as well.
func TestReauthenticationTakesTheRespondersChildSAs(t *testing.T) {
	for seed := range uint64(8) {
		w, _, ha := established(t, options{change: limited, seed: seed}, binding)
		ha.tell(spd.Key{Demand: mirrored(payload), Path: reversed(path1)})
		w.run()
		w.gapless(binding, payload)
		w.pass(time.Hour)
		w.settled(2)
	}
}

// An initiator that does not authenticate again is cut off.
func TestRFC4478_2_ResponderDeletes(t *testing.T) {
	w, mn, ha := established(t, options{change: limited}, binding)
	w.losing("IKE_SA_INIT", -1)
	w.pass(9*time.Minute + 59*time.Second)
	if len(ha.engine.sas) != 1 || len(said[spd.PeerDown](ha)) > 0 {
		t.Error("the IKE_SA was ended too early")
	}
	if n := strings.Count(w.log.String(), "IKE_SA_INIT request 0"); n < 7 {
		t.Errorf("it was tried %d times only", n)
	}
	w.pass(time.Minute)
	w.settled(0)
	if down := one[spd.PeerDown](ha); down.Reason != errAuthEnded.Error() {
		t.Errorf("%+v", down)
	}
	w.lose = nil
	mn.key(binding)
	w.settled(1)
}

// The limit is the same for an IKE_SA that replaces the one that had it, whoever rekeys.
func TestRFC4478_2_LimitOutlivesRekeying(t *testing.T) {
	w, mn, ha := established(t, options{change: limited}, binding)
	ends := func() (list []time.Time) {
		for _, h := range w.hosts {
			for _, sa := range h.engine.sas {
				list = append(list, sa.authEnds)
			}
		}
		return list
	}
	before := ends()
	for _, h := range []*host{mn, ha} {
		w.pass(time.Minute)
		h.rekeyIKE()
		w.run()
		if now := ends(); len(now) != 2 || now[0] != before[0] || now[1] != before[1] {
			t.Errorf("after rekeying by %s the authentication ends %v, before %v", h.name, now, before)
		}
	}
	w.log.Reset()
	w.pass(8 * time.Minute)
	if !strings.Contains(w.log.String(), "MN --> IKE_SA_INIT") || strings.Contains(w.log.String(), "HA --> IKE_SA_INIT request") {
		t.Error(w.log.String())
	}
	w.settled(1)
}

// The responder asks in an INFORMATIONAL exchange; zero means at once.
func TestRFC4478_2_Informational(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	w.gapless(binding)
	ha.tell(spd.Reauthenticate{Peer: "mn"})
	w.run()
	w.pass(time.Second)
	w.script(`
		HA --> INFORMATIONAL request 0 [ N(AUTH_LIFETIME) ]
		MN --> INFORMATIONAL response 0 [ ]
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		MN --> IKE_AUTH request 1 [ IDi IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
		MN --> INFORMATIONAL request 2 [ D ]
		HA --> INFORMATIONAL response 2 [ ]
	`)
	w.settled(1)
	w.pass(time.Hour)
	w.settled(1)
	one[spd.PeerUp](mn) // just the one new authentication

	mn.tell(spd.Reauthenticate{Peer: "ha"})
	w.run()
	w.settled(1)
	if n := len(said[spd.PeerUp](mn)); n != 2 {
		t.Errorf("the initiator has authenticated %d times", n)
	}
}

// A responder that was asked for nothing may allow a reasonable time only.
func TestRFC4478_2_ReasonableTime(t *testing.T) {
	w, _, ha := established(t, options{}, binding)
	w.losing("IKE_SA_INIT", -1)
	ha.tell(spd.Reauthenticate{Peer: "mn"})
	w.run()
	w.pass(authGrace - time.Second)
	if len(ha.engine.sas) != 1 {
		t.Error("the IKE_SA was ended too early")
	}
	w.pass(5 * time.Minute)
	w.settled(0)
}

func TestAuthLifetimeOfTheInitiator(t *testing.T) {
	for _, c := range []struct {
		name      string
		own, told time.Duration
		want      time.Duration
	}{
		{"none", 0, 0, 0},
		{"its own", 20 * time.Minute, 0, 20 * time.Minute},
		{"its own is shorter", 20 * time.Minute, time.Hour, 20 * time.Minute},
		{"the responder's is shorter", time.Hour, 20 * time.Minute, 20 * time.Minute},
		{"unreasonable", 0, time.Second, minAuthLifetime},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, mn, _ := established(t, options{change: func(mn, ha *host, _, _ *Config) {
				mn.peer.AuthLifetime, ha.peer.AuthLifetime = c.own, c.told
			}}, binding)
			for _, sa := range mn.engine.sas {
				if got := sa.authEnds; got.IsZero() != (c.want == 0) || c.want > 0 && got.Sub(mn.w.now) != c.want {
					t.Errorf("the authentication ends %s, want after %s", got, c.want)
				}
			}
		})
	}
}

func TestAuthLifetimeMalformed(t *testing.T) {
	for _, octets := range []int{0, 1, 3, 5, 8} {
		if life, ok := lifetimeIn([]wire.Payload{&wire.Notify{Kind: wire.NotifyAuthLifetime, Data: make([]byte, octets)}}); ok {
			t.Errorf("%d octets are %s", octets, life)
		}
	}
}

// A movement in the midst of an authentication leaves nothing behind, with the K bit and without.
func TestReauthenticationWhileMoving(t *testing.T) {
	for _, keep := range []bool{true, false} {
		for at := range 8 {
			w, mn, _ := established(t, options{change: func(_, ha *host, _, _ *Config) {
				limited(nil, ha, nil, nil)
				ha.peer.Liveness = 30 * time.Second
			}}, binding, payload)
			mn.tell(spd.Reauthenticate{Peer: "ha"})
			for range at {
				if len(w.flight) > 0 {
					w.deliver(0)
				}
			}
			w.move(path1, path2, keep, true)
			w.run()
			w.pass(5 * time.Minute)
			w.settled(2)
			if t.Failed() {
				t.Fatalf("K bit %t, after %d messages:\n%s", keep, at, w.log.String())
			}
		}
	}
}
