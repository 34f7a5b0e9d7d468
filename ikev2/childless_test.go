package ikev2

import (
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// takesChildless has the home agent take IKE_SAs without a Child SA.
func takesChildless(_, _ *host, _, ha *Config) { ha.Childless = true }

func (h *host) connect() {
	h.w.t.Helper()
	h.tell(spd.Connect{Peer: h.peer.Name, Path: path1})
	h.w.run()
}

func TestRFC6023_5_IKEAuthWithoutChildSA(t *testing.T) {
	w, mn, _ := newWorld(t, options{change: takesChildless})
	mn.connect()
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) N(CHILDLESS_IKEV2_SUPPORTED) ]
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH ]
		HA --> IKE_AUTH response 1 [ IDr AUTH ]
	`)
	w.settled(0)
	one[spd.PeerUp](mn)
	mn.connect() // there is one
	w.script(``)
	mn.key(binding)
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ N(USE_TRANSPORT_MODE) SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ N(USE_TRANSPORT_MODE) SA Nr TSi TSr ]
	`)
	w.settled(1)
}

func TestRFC6023_4_Notification(t *testing.T) {
	w, mn, _ := newWorld(t, options{change: takesChildless})
	var seen *wire.Notify
	w.lose = func(p *packet) bool {
		if n := wire.FindNotify(w.clear[string(p.Data)], wire.NotifyChildlessIKEv2Supported); n != nil {
			seen = n
		}
		return false
	}
	mn.connect()
	if seen == nil || seen.Protocol != wire.ProtocolIKE || len(seen.SPI) != 0 || len(seen.Data) != 0 {
		t.Errorf("%+v", seen)
	}
}

// What is wanted by the time of IKE_AUTH is asked for there.
func TestConnectWithSomethingWanted(t *testing.T) {
	w, mn, _ := newWorld(t, options{change: takesChildless})
	mn.tell(spd.Connect{Peer: "ha", Path: path1})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	w.run()
	w.settled(1)
	if n := strings.Count(w.log.String(), "IKE_SA_INIT request"); n != 1 || strings.Contains(w.log.String(), "CREATE_CHILD_SA") {
		t.Error(w.log.String())
	}
}

// A responder that does not say that it takes it is not asked for it.
func TestRFC6023_3_NotSupported(t *testing.T) {
	w, mn, _ := newWorld(t, options{})
	mn.connect()
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	`)
	if got := one[spd.ConnectFailed](mn); got.Peer != "ha" || got.Err.Error() != "the peer takes no IKE_SA without a Child SA" {
		t.Errorf("%+v", got)
	}
	w.pass(time.Minute)
	w.settled(0)
}

// A responder that does not take it refuses an initiator that asks all the same.
func TestRFC6023_3_InvalidSyntax(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: takesChildless})
	mn.tell(spd.Connect{Peer: "ha", Path: path1})
	w.deliver(0)
	ha.engine.cfg.Childless = false
	w.run()
	if n := len(said[spd.PeerUp](ha)); n != 0 {
		t.Errorf("%d PeerUp", n)
	}
	if err := one[spd.ConnectFailed](mn).Err.Error(); !strings.Contains(err, "INVALID_SYNTAX") {
		t.Error(err)
	}
	w.pass(time.Minute)
	w.settled(0)
}

func TestConnectFails(t *testing.T) {
	w, mn, _ := newWorld(t, options{change: takesChildless})
	mn.tell(spd.Connect{Peer: "nobody", Path: path1})
	if got := one[spd.ConnectFailed](mn); got.Peer != "nobody" {
		t.Errorf("%+v", got)
	}
	mn.notices = nil
	w.lose = func(*packet) bool { return true }
	mn.connect()
	w.pass(time.Minute)
	if err := one[spd.ConnectFailed](mn).Err.Error(); !strings.Contains(err, errNoAnswer.Error()) {
		t.Error(err)
	}
	w.settled(0)
}
