package ikev2

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// established is a world with an IKE_SA and Child SAs, and an empty log.
func established(t testing.TB, o options, demands ...spd.Demand) (w *world, mn, ha *host) {
	t.Helper()
	w, mn, ha = newWorld(t, o)
	for _, d := range demands {
		mn.key(d)
	}
	w.settled(len(demands))
	w.log.Reset()
	mn.notices, ha.notices, mn.dropped, ha.dropped = nil, nil, nil, nil
	return w, mn, ha
}

// losing loses the packets whose number, among those that match, is in the list; -1 loses all.
func (w *world) losing(match string, numbers ...int) {
	n := -1
	w.lose = func(p *packet) bool {
		if !strings.Contains(p.from.name+" --> "+p.summary, match) {
			return false
		}
		n++
		return slices.Contains(numbers, n) || slices.Contains(numbers, -1)
	}
}

func TestRFC7296_2_1_Retransmission(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	w.losing("MN --> INFORMATIONAL", 0, 1, 3)
	begin := w.now
	var sent []time.Duration
	var octets [][]byte
	lose := w.lose
	w.lose = func(p *packet) bool {
		if p.from == mn {
			sent, octets = append(sent, w.now.Sub(begin)), append(octets, p.Data)
		}
		return lose(p) || len(sent) < 4
	}
	mn.tell(spd.Probe{Peer: "ha"})
	w.run()
	w.pass(time.Minute)
	w.script(`
		MN --> INFORMATIONAL request 2 [ ] (lost)
		MN --> INFORMATIONAL request 2 [ ] again (lost)
		MN --> INFORMATIONAL request 2 [ ] again (lost)
		MN --> INFORMATIONAL request 2 [ ] again (lost)
		MN --> INFORMATIONAL request 2 [ ] again
		HA --> INFORMATIONAL response 2 [ ]
	`)
	ms := time.Millisecond
	if want := []time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms, 7500 * ms}; !slices.Equal(sent, want) {
		t.Errorf("sent at %v, wanted %v", sent, want)
	}
	for _, o := range octets {
		if !bytes.Equal(o, octets[0]) {
			t.Error("a retransmission differs from the request")
		}
	}
	one[spd.PeerAlive](mn)
	w.settled(1)
}

// A lost answer is repeated as it was, and what the request asked for is done once.
func TestRFC7296_2_1_LostResponses(t *testing.T) {
	w, mn, _ := newWorld(t, options{})
	w.losing("HA --> ", 0, 2, 4, 6)
	mn.tell(spd.Key{Demand: binding, Path: path1})
	mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	w.run()
	w.pass(time.Minute)
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ] (lost)
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ] again
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ] again
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ] (lost)
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ] again
		HA --> IKE_AUTH response 1 [ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ] again
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] (lost)
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ] again
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] again
	`)
	w.settled(2)
}

// Whatever arrives twice has no more effect than once, even while it is being worked on.
func TestRFC7296_2_1_Duplicates(t *testing.T) {
	for _, hold := range []bool{false, true} {
		w, mn, ha := newWorld(t, options{esp: "aes128gcm16-x25519"})
		mn.hold, ha.hold = hold, hold
		mn.tell(spd.Key{Demand: binding, Path: path1})
		mn.tell(spd.Key{Demand: returnRoute, Path: path1})
		for mn.work(); len(w.flight) > 0; {
			p := w.flight[0]
			w.flight = w.flight[1:]
			for range 3 {
				w.arrive(p)
			}
			mn.work()
			ha.work()
			w.arrive(p)
		}
		if ups := len(said[spd.ChildUp](ha)); ups != 2 {
			t.Errorf("%d ChildUp, wanted 2", ups)
		}
		w.pass(time.Minute) // a half-open IKE_SA would have to expire first
		w.settled(2)
		if n := len(said[spd.PeerUp](ha)); n != 1 {
			t.Errorf("%d PeerUp, wanted 1", n)
		}
	}
}

// An IKE_SA_INIT request that comes again when its IKE_SA stands begins no other (RFC 7296 section 2.1).
func TestRFC7296_2_1_OldInitRequest(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	old := w.flight[0]
	w.run()
	w.log.Reset()
	w.arrive(old)
	if len(ha.engine.sas) != 1 || w.log.Len() != 0 {
		t.Errorf("%d IKE_SAs; sent %s", len(ha.engine.sas), w.log.String())
	}
	w.settled(1)
}

// Two initiators may have chosen one SPI: they are told apart by all of their requests (RFC 7296 section 2.1).
func TestRFC7296_2_1_SameInitiatorSPI(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	p := w.flight[0]
	m, err := wire.Parse(p.Data)
	w.check(err)
	nonce, _ := wire.Find[*wire.Nonce](m.Payloads)
	nonce.Data = make([]byte, 32)
	ha.step(Datagram{Local: p.Remote, Remote: p.Local, Data: m.Marshal()})
	w.log.Reset()
	w.flight = []*packet{p}
	w.run()
	w.pass(time.Minute)
	w.settled(1)
}

func TestRFC7296_2_4_PeerDoesNotAnswer(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	mn.tell(spd.Key{Demand: payload, Path: path1})
	w.flight = nil
	w.lose = func(p *packet) bool { return true }
	w.pass(31499 * time.Millisecond)
	if n := strings.Count(w.log.String(), "CREATE_CHILD_SA request 2"); n != 6 || len(said[spd.PeerDown](mn)) != 0 {
		t.Errorf("sent %d times, wanted 6; %+v", n, mn.notices)
	}
	w.pass(time.Millisecond)
	failed := said[spd.KeyFailed](mn)
	if len(failed) != 2 || !errors.Is(failed[0].Err, errNoAnswer) || !errors.Is(failed[1].Err, errNoAnswer) {
		t.Errorf("KeyFailed: %+v", failed)
	}
	if down := one[spd.PeerDown](mn); down.Peer != "ha" || !strings.Contains(down.Reason, "the peer does not answer") {
		t.Errorf("%+v", down)
	}
	one[spd.ChildDown](mn)
	mn.clean(t)
	if len(mn.sas) != 0 || len(mn.larval) != 0 || !mn.engine.Deadline().IsZero() {
		t.Errorf("left over: %v, %v, deadline %v", mn.sas, mn.larval, mn.engine.Deadline())
	}
	ha.tell(spd.Probe{Peer: "mn"})
	w.pass(time.Minute)
	one[spd.PeerDown](ha)
	w.settled(0)
}

func TestRFC7296_2_3_OutsideTheWindow(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	for _, id := range []uint32{0, 3, 4, 1 << 31, 0xffffffff} {
		mn.forge(wire.ExchangeInformational, id, false, &wire.Delete{Protocol: wire.ProtocolIKE})
	}
	if len(ha.dropped) != 5 {
		t.Errorf("dropped %v", ha.dropped)
	}
	for _, id := range []uint32{0, 1, 2, 3} {
		mn.forge(wire.ExchangeInformational, id, true, &wire.Delete{Protocol: wire.ProtocolIKE}) // no request of HA's
	}
	if len(ha.dropped) != 9 {
		t.Errorf("dropped %v", ha.dropped)
	}
	w.script(``)
	w.settled(1)
}

// A response to another exchange than was asked for is none.
func TestResponseOfAnotherExchange(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	w.losing("HA -->", -1)
	mn.tell(spd.Probe{Peer: "ha"})
	w.run()
	ha.forge(wire.ExchangeCreateChildSA, 2, true)
	if len(said[spd.PeerAlive](mn)) != 0 || len(mn.dropped) != 1 {
		t.Errorf("%+v, dropped %v", mn.notices, mn.dropped)
	}
	w.lose = nil
	w.pass(time.Second)
	one[spd.PeerAlive](mn)
	w.settled(1)
}

// A message that was changed on its way, or is for an IKE_SA that is not there, changes nothing and is not answered.
func TestRFC7296_2_21_4_TamperedAndStray(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	mn.tell(spd.Probe{Peer: "ha"})
	request := w.flight[0]
	w.log.Reset()
	w.flight = nil
	for i := range request.Data {
		for _, bit := range []byte{1, 0x80} {
			data := bytes.Clone(request.Data)
			data[i] ^= bit
			ha.step(Datagram{Local: request.Remote, Remote: request.Local, Data: data})
		}
		ha.step(Datagram{Local: request.Remote, Remote: request.Local, Data: request.Data[:i]})
	}
	for _, line := range strings.Split(strings.TrimSpace(w.log.String()), "\n") {
		if !strings.HasSuffix(line, "[ N(INVALID_MAJOR_VERSION) ]") { // which anyone may ask for
			t.Errorf("a tampered message was answered: %s", line)
		}
	}
	w.flight = nil
	w.log.Reset()
	ha.step(Datagram{Local: request.Remote, Remote: request.Local, Data: request.Data})
	w.run()
	w.script(`HA --> INFORMATIONAL response 2 [ ]`)
	w.settled(1)
}

// A responder may ask something before the initiator knows that the IKE_SA stands: that request is not spoilt.
func TestRequestBeforeTheAuthResponse(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	w.losing("IKE_AUTH response", 0)
	mn.key(binding)
	ha.tell(spd.Probe{Peer: "mn"})
	w.run()
	if len(mn.dropped) != 1 {
		t.Errorf("dropped %v", mn.dropped)
	}
	w.pass(time.Minute)
	one[spd.PeerAlive](ha)
	w.settled(1)
}

func TestRFC7296_2_21_3_MalformedRequest(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	mn.forge(wire.ExchangeInformational, 2, false, &wire.Unknown{Kind: wire.PayloadNonce, Data: []byte{1}})
	w.script(`
		HA --> INFORMATIONAL response 2 [ N(INVALID_SYNTAX) ]
	`)
	one[spd.PeerDown](ha)
	if len(ha.engine.sas) != 0 || len(ha.sas) != 0 {
		t.Error("the IKE_SA stands")
	}
}

// INVALID_SYNTAX as an answer ends the IKE_SA, as does an answer that makes no sense.
func TestRFC7296_2_21_3_MalformedResponse(t *testing.T) {
	for _, answer := range []wire.Payload{
		&wire.Notify{Kind: wire.NotifyInvalidSyntax}, &wire.Unknown{Kind: wire.PayloadNonce, Data: []byte{1}},
	} {
		w, mn, ha := established(t, options{}, binding)
		w.losing("HA -->", -1)
		mn.key(returnRoute)
		ha.forge(wire.ExchangeCreateChildSA, 2, true, answer)
		one[spd.PeerDown](mn)
		one[spd.KeyFailed](mn)
		mn.clean(t)
		if len(mn.sas) != 0 || !mn.engine.Deadline().IsZero() {
			t.Errorf("left over: %v, deadline %v", mn.sas, mn.engine.Deadline())
		}
	}
}

func TestRFC7296_2_5_CriticalPayload(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	mn.forge(wire.ExchangeInformational, 2, false, &wire.Unknown{Kind: 200, Critical: true})
	mn.forge(wire.ExchangeInformational, 3, false, &wire.Unknown{Kind: 200})
	w.script(`
		HA --> INFORMATIONAL response 2 [ N(UNSUPPORTED_CRITICAL_PAYLOAD) ]
		HA --> INFORMATIONAL response 3 [ ]
	`)
	n := wire.FindNotify(w.clear[string(w.flight[0].Data)], wire.NotifyUnsupportedCriticalPayload)
	if !bytes.Equal(n.Data, []byte{200}) {
		t.Errorf("the notification names %v, wanted 200", n.Data)
	}
	if len(said[spd.PeerDown](ha)) != 0 {
		t.Error("the IKE_SA does not stand")
	}
}

// In IKE_AUTH both end the IKE_SA; the answer is kept for a while.
func TestRFC7296_2_21_2_BrokenAuthRequest(t *testing.T) {
	for _, c := range []struct {
		broken wire.Payload
		answer string
	}{
		{&wire.Unknown{Kind: 200, Critical: true}, "UNSUPPORTED_CRITICAL_PAYLOAD"},
		{&wire.Unknown{Kind: wire.PayloadNonce, Data: []byte{1}}, "INVALID_SYNTAX"},
		{&wire.Nonce{Data: make([]byte, 16)}, "AUTHENTICATION_FAILED"},
	} {
		w, mn, ha := newWorld(t, options{})
		w.losing("MN --> IKE_AUTH", -1)
		mn.key(binding)
		w.log.Reset()
		mn.forge(wire.ExchangeIKEAuth, 1, false, c.broken)
		mn.forge(wire.ExchangeIKEAuth, 2, false, c.broken) // ignored
		w.script(`HA --> IKE_AUTH response 1 [ N(` + c.answer + `) ]`)
		w.run()
		one[spd.KeyFailed](mn)
		w.pass(lingering)
		w.settled(0)
		if len(ha.notices) != 0 {
			t.Errorf("%+v", ha.notices)
		}
	}
}

// Only IKE_AUTH is answered before it.
func TestProtectedMessagesBeforeAuth(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	w.losing("MN --> IKE_AUTH", 0)
	mn.key(binding)
	mn.forge(wire.ExchangeInformational, 1, false, &wire.Delete{Protocol: wire.ProtocolIKE})
	mn.forge(wire.ExchangeCreateChildSA, 1, false)
	if len(ha.dropped) != 2 {
		t.Errorf("dropped %v", ha.dropped)
	}
	w.pass(time.Second)
	w.settled(1)
}

func TestIKEAuthWhenEstablished(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	mn.forge(wire.ExchangeIKEAuth, 2, false)
	w.script(`HA --> IKE_AUTH response 2 [ N(INVALID_SYNTAX) ]`)
	one[spd.PeerDown](ha)
}
