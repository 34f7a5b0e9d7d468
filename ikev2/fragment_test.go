package ikev2

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// whichFragment says which fragment a datagram is.
func whichFragment(data []byte) string {
	m, err := wire.Parse(data)
	if err != nil {
		return ""
	}
	if f, ok := wire.Find[*wire.SKF](m.Payloads); ok {
		return fmt.Sprintf(" fragment %d of %d", f.Number, f.Total)
	}
	return ""
}

// tiny has both sides send all that is longer than 128 octets in fragments.
func tiny(_, _ *host, mnCfg, haCfg *Config) { mnCfg.FragmentSize, haCfg.FragmentSize = 128, 128 }

// long is a payload for messages that are so many fragments of 128 octets, with AES-GCM: 67 octets of content each.
func long(fragments int) *wire.Notify {
	return &wire.Notify{Kind: 40960, Data: make([]byte, fragments*67-8)}
}

// fragmentsOf are a request or response of h's in fragments of a size.
func (h *host) fragmentsOf(size int, id uint32, response bool, p wire.Payload) (all []Datagram) {
	usual := h.engine.cfg.FragmentSize
	h.engine.cfg.FragmentSize = size
	sa := h.anySA()
	for _, data := range h.engine.sealed(sa, Datagram{}, wire.ExchangeInformational, id, response, []wire.Payload{p}) {
		all = append(all, Datagram{Local: sa.remote, Remote: sa.local, Data: data})
	}
	h.engine.cfg.FragmentSize = usual
	h.engine.effects = nil
	return all
}

// kept is the number of octets that are kept of incomplete messages.
func (h *host) kept() int {
	sa := h.anySA()
	return sa.requestParts.octets + sa.responseParts.octets
}

func TestRFC7383_2_3_Negotiation(t *testing.T) {
	const supported = " N(IKEV2_FRAGMENTATION_SUPPORTED)"
	for _, c := range []struct {
		mn, ha           int // FragmentSize
		offered, granted string
		auth             []string
	}{
		{128, 128, supported, supported, []string{
			" fragment 1 of 4", " fragment 2 of 4", " fragment 3 of 4", " fragment 4 of 4",
		}},
		{128, -1, supported, "", []string{""}},
		{-1, 128, "", "", []string{""}},
		{-1, -1, "", "", []string{""}},
		{0, 0, supported, supported, []string{""}},
	} {
		w, mn, _ := newWorld(t, options{change: func(_, _ *host, mnCfg, haCfg *Config) {
			mnCfg.FragmentSize, haCfg.FragmentSize = c.mn, c.ha
		}})
		mn.key(binding)
		script := `
			MN --> IKE_SA_INIT request 0 [ SA KE Ni` + c.offered + ` ]
			HA --> IKE_SA_INIT response 0 [ SA KE Nr` + c.granted + " ]\n"
		for _, part := range c.auth {
			script += "MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]" + part + "\n"
		}
		for _, part := range c.auth {
			script += "HA --> IKE_AUTH response 1 [ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]" + part + "\n"
		}
		w.script(script)
		w.settled(1)
	}
}

// An IKE_SA that replaces another takes fragments as that did.
func TestRFC7383_2_4_AfterRekeying(t *testing.T) {
	w, mn, _ := established(t, options{change: tiny}, binding)
	mn.rekeyIKE()
	w.run()
	w.log.Reset()
	mn.key(returnRoute)
	if !strings.Contains(w.log.String(), "MN --> CREATE_CHILD_SA request 0 [ SA Ni TSi TSr ] fragment 1 of") {
		t.Error(w.log.String())
	}
	w.settled(2)
}

// Without agreement no fragment is taken, whatever it holds.
func TestRFC7383_2_4_WithoutAgreement(t *testing.T) {
	for _, size := range []int{-1, 128} {
		w, mn, ha := established(t, options{change: func(_, _ *host, mnCfg, haCfg *Config) {
			mnCfg.FragmentSize, haCfg.FragmentSize = size, -size
		}}, binding)
		mn.anySA().fragments = true // as one who does not mind
		for _, id := range []uint32{2, 1} {
			for _, d := range mn.fragmentsOf(128, id, false, long(2)) {
				ha.step(d)
			}
		}
		w.script(``)
		if len(ha.dropped) != 4 || ha.kept() != 0 || ha.anySA().fragments {
			t.Errorf("dropped %v, kept %d octets", ha.dropped, ha.kept())
		}
	}
}

// What fits is sent whole. What does not is split so that each fragment is as long as may be, and put together again.
func TestRFC7383_2_5_Splitting(t *testing.T) {
	const size = 256
	for _, c := range []struct {
		ike   string
		block int
	}{
		{"aes128gcm16-prfsha256-x25519", 1}, {"aes256-sha512-x25519", 16}, {"3des-sha1-x25519", 8},
	} {
		_, mn, ha := established(t, options{ike: c.ike}, binding)
		splits := map[int]bool{}
		for n := range 3 * size {
			body := make([]byte, n)
			for i := range body {
				body[i] = byte(i)
			}
			message := mn.fragmentsOf(size, 2, false, &wire.Notify{Kind: 40960, Data: body})
			whole := wire.HeaderLen + 4 + mn.anySA().keys.out.Len(8+n)
			if (len(message) == 1) != (whole <= size) {
				t.Fatalf("%s: %d octets in %d datagrams", c.ike, whole, len(message))
			}
			splits[len(message)] = true
			checkFragments(t, message, size, c.block)
			if ps := read(t, ha, message); len(ps) != 1 || !bytes.Equal(ps[0].(*wire.Notify).Data, body) {
				t.Fatalf("%s: %d octets came as %v", c.ike, n, ps)
			}
		}
		if len(splits) < 4 {
			t.Errorf("%s: splits %v", c.ike, splits)
		}
	}
}

// checkFragments checks what RFC 7383 section 2.5 says of the fragments of one message.
func checkFragments(t *testing.T, message []Datagram, size, block int) {
	t.Helper()
	if len(message) == 1 {
		return
	}
	bodies := map[string]bool{}
	for i, d := range message {
		m, err := wire.Parse(d.Data)
		if err != nil {
			t.Fatal(err)
		}
		f, ok := wire.Find[*wire.SKF](m.Payloads)
		inner := wire.PayloadNone
		if i == 0 {
			inner = wire.PayloadN
		}
		if !ok || len(m.Payloads) != 1 || m.MessageID != 2 ||
			int(f.Number) != i+1 || int(f.Total) != len(message) || f.Inner != inner {
			t.Fatalf("fragment %d of %d: %+v with %+v", i+1, len(message), m.Header, m.Payloads)
		}
		if len(d.Data) > size || i < len(message)-1 && len(d.Data) <= size-block {
			t.Fatalf("fragment %d of %d has %d octets", i+1, len(message), len(d.Data))
		}
		bodies[string(f.Body[:8])] = true
	}
	if len(bodies) != len(message) {
		t.Fatal("two fragments have one initialization vector")
	}
}

// read is what a host reads in a request, without answering it.
func read(t *testing.T, h *host, message []Datagram) (ps []wire.Payload) {
	t.Helper()
	sa := h.anySA()
	for i, d := range message {
		m, err := wire.Parse(d.Data)
		if err != nil {
			t.Fatal(err)
		}
		var ok bool
		if ps, err, ok = h.engine.opened(sa, d, m, &sa.requestParts); err != nil || ok != (i == len(message)-1) {
			t.Fatalf("datagram %d of %d: %v, whole %t, dropped %v", i+1, len(message), err, ok, h.engine.effects)
		}
	}
	h.engine.effects = nil
	return ps
}

// A size without room for content is none.
func TestRFC7383_2_5_1_LeastSize(t *testing.T) {
	for _, ike := range []string{"aes256-sha512-x25519", "aes128gcm16-prfsha256-x25519"} {
		w, mn, _ := newWorld(t, options{ike: ike, change: func(_, _ *host, mnCfg, haCfg *Config) {
			mnCfg.FragmentSize, haCfg.FragmentSize = 1, 100
		}})
		mn.key(binding)
		w.settled(1)
	}
}

// One lost fragment has all repeated, as they were.
func TestRFC7383_2_6_Loss(t *testing.T) {
	w, mn, _ := established(t, options{change: tiny}, binding)
	lost := -1
	w.lose = func(*packet) bool { lost++; return lost == 1 || lost == 5 }
	mn.key(returnRoute)
	w.pass(2 * time.Second)
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ] fragment 1 of 3
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ] fragment 2 of 3 (lost)
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ] fragment 3 of 3
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ] fragment 1 of 3 again
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ] fragment 2 of 3 again
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ] fragment 3 of 3 again (lost)
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] fragment 1 of 3
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] fragment 2 of 3
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] fragment 3 of 3
	`)
	w.settled(2)
}

// Wherever one datagram is lost, both come to be of one mind.
func TestRFC7383_2_6_EachLoss(t *testing.T) {
	for n := range 16 {
		w, mn, ha := newWorld(t, options{change: tiny})
		lost := -1
		w.lose = func(*packet) bool { lost++; return lost == n }
		mn.tell(spd.Key{Demand: binding, Path: path1})
		mn.tell(spd.Key{Demand: returnRoute, Path: path1})
		w.run()
		w.pass(time.Minute)
		w.settled(2)
		if lost < 16 || len(ha.dropped) > 0 {
			t.Errorf("%d lost of %d: dropped %v", n, lost+1, ha.dropped)
		}
	}
}

// In whatever order fragments come, and however often: the message is read once.
func TestRFC7383_2_6_OrdersAndDuplicates(t *testing.T) {
	runs := 0
	for o := new(orders); runs == 0 || o.next(); runs++ {
		w, mn, ha := established(t, options{change: tiny}, binding)
		ha.read = nil
		message := mn.fragmentsOf(128, 2, false, long(3))
		if len(message) != 3 {
			t.Fatalf("%d fragments", len(message))
		}
		for left := slices.Clone(message); len(left) > 0; {
			i := o.choose(len(left))
			ha.step(left[i])
			left = slices.Delete(left, i, i+1)
			if len(left) > 0 {
				ha.step(message[o.choose(3)]) // perhaps once more, perhaps early
			}
		}
		w.flight = nil
		if len(ha.read) != 1 || len(ha.dropped) != 0 || ha.kept() != 0 {
			t.Fatalf("read %v, dropped %v, kept %d octets", ha.read, ha.dropped, ha.kept())
		}
	}
	if runs < 6 {
		t.Errorf("%d orders", runs)
	}
}

// A fragment that was changed is not kept, and is not in the way of the true one.
func TestRFC7383_2_6_TamperedFragments(t *testing.T) {
	w, mn, ha := established(t, options{change: tiny}, binding)
	message := mn.fragmentsOf(128, 2, false, long(2))
	for _, d := range message {
		for i := range d.Data {
			for _, bit := range []byte{1, 0x80} {
				tampered := d
				tampered.Data = bytes.Clone(d.Data)
				tampered.Data[i] ^= bit
				ha.step(tampered)
			}
			ha.step(Datagram{Local: d.Local, Remote: d.Remote, Data: d.Data[:i]})
		}
		if ha.kept() != 0 {
			t.Fatalf("kept %d octets of a tampered fragment", ha.kept())
		}
	}
	w.log.Reset() // of a later version of IKE we have said that we do not speak it
	ha.read = nil
	for _, d := range message {
		ha.step(d)
	}
	w.script(`HA --> INFORMATIONAL response 2 [ ]`)
	if len(ha.read) != 1 {
		t.Errorf("read %v", ha.read)
	}
}

// The same message in more fragments than before begins anew, and then in fewer ones is late.
func TestRFC7383_2_6_OtherTotals(t *testing.T) {
	w, mn, ha := established(t, options{change: tiny}, binding)
	three, four := mn.fragmentsOf(128, 2, false, long(3)), mn.fragmentsOf(112, 2, false, long(3))
	if len(three) != 3 || len(four) != 4 {
		t.Fatalf("%d and %d fragments", len(three), len(four))
	}
	ha.step(three[0])
	ha.step(three[1])
	ha.step(four[0])
	if ha.kept() >= 67 {
		t.Errorf("kept %d octets", ha.kept())
	}
	for _, d := range three {
		ha.step(d)
	}
	if len(ha.dropped) != 3 || !strings.Contains(ha.dropped[0].Error(), "fragment 1 of 3, of a message that is in 4 by now") {
		t.Errorf("dropped %v", ha.dropped)
	}
	w.script(``)
	for _, d := range four[1:] {
		ha.step(d)
	}
	w.script(`HA --> INFORMATIONAL response 2 [ ]`)
	if ha.kept() != 0 {
		t.Errorf("kept %d octets", ha.kept())
	}
}

// A sender may have tried the whole message before, which comes late.
func TestRFC7383_2_4_WholeAmongFragments(t *testing.T) {
	w, mn, ha := established(t, options{change: tiny}, binding)
	parts, whole := mn.fragmentsOf(128, 2, false, long(3)), mn.fragmentsOf(1000, 2, false, long(3))
	at := ha.engine.Deadline()
	ha.step(parts[0])
	if ha.engine.Deadline() == at {
		t.Error("fragments are kept for ever")
	}
	ha.step(whole[0])
	ha.step(parts[1])
	w.script(`HA --> INFORMATIONAL response 2 [ ]`)
	if ha.kept() != 0 || ha.engine.Deadline() != at {
		t.Errorf("kept %d octets", ha.kept())
	}
}

// Fragments of another exchange do not go together.
func TestRFC7383_2_5_OtherExchange(t *testing.T) {
	w, mn, ha := established(t, options{change: tiny}, binding)
	parts := mn.fragmentsOf(128, 2, false, long(2))
	ha.step(parts[0])
	mn.forge(wire.ExchangeCreateChildSA, 2, false, long(2))
	if len(ha.dropped) != 2 {
		t.Errorf("dropped %v", ha.dropped)
	}
	ha.step(parts[1])
	w.script(`HA --> INFORMATIONAL response 2 [ ]`)
}

// What a peer can have us keep of a message is bounded, and ends with the next whole one.
func TestRFC7383_5_Limits(t *testing.T) {
	for _, c := range []struct {
		size, octets int
		reason       string
	}{
		{100, 39 * maxFragments, "fragment 1 of 65, at most 64 are taken"},
		{1232, maxAssembled, "the message has more than 16384 octets"},
	} {
		w, mn, ha := established(t, options{}, binding)
		for n, refused := range []bool{false, true} {
			content := &wire.Notify{Kind: 40960, Data: make([]byte, c.octets-8+n)}
			for _, d := range mn.fragmentsOf(c.size, 2+uint32(n), false, content) {
				ha.step(d)
				if ha.kept() > maxAssembled {
					t.Fatalf("kept %d octets", ha.kept())
				}
			}
			if (len(ha.dropped) > 0) != refused || refused && !strings.Contains(ha.dropped[0].Error(), c.reason) {
				t.Errorf("dropped %v", ha.dropped)
			}
		}
		w.script(`HA --> INFORMATIONAL response 2 [ ]`)
		mn.forge(wire.ExchangeInformational, 3, false)
		w.script(`HA --> INFORMATIONAL response 3 [ ]`)
		if ha.kept() != 0 {
			t.Errorf("kept %d octets", ha.kept())
		}
	}
}

// Of a request that does not come to its end nothing is left when its sender must have given it up.
func TestRFC7383_2_6_Timeout(t *testing.T) {
	w, mn, ha := established(t, options{change: tiny}, binding)
	ha.step(mn.fragmentsOf(128, 2, false, long(3))[1])
	w.pass(31*time.Second + 499*time.Millisecond)
	if ha.kept() != 67 {
		t.Errorf("kept %d octets, wanted 67", ha.kept())
	}
	w.pass(time.Millisecond)
	if ha.kept() != 0 || !ha.engine.Deadline().IsZero() {
		t.Errorf("kept %d octets, deadline %v", ha.kept(), ha.engine.Deadline())
	}
	w.settled(1)
}

// An IKE_SA that ends leaves no timer for its fragments.
func TestFragmentsOfAnEndedIKESA(t *testing.T) {
	_, mn, ha := established(t, options{change: tiny}, binding)
	ha.step(mn.fragmentsOf(128, 2, false, long(3))[1])
	if ha.engine.Deadline().IsZero() {
		t.Error("fragments are kept for ever")
	}
	ha.tell(spd.Superseded{Peer: "mn", Path: reversed(path1), Before: ha.w.now.Add(1)})
	if len(ha.engine.sas) != 0 || !ha.engine.Deadline().IsZero() {
		t.Errorf("%d IKE_SAs, deadline %v", len(ha.engine.sas), ha.engine.Deadline())
	}
}

// Of a request that is answered already the first fragment, and no other, has the answer repeated: all of it, as it was.
func TestRFC7383_2_6_1_Retransmission(t *testing.T) {
	w, mn, ha := established(t, options{change: tiny}, binding)
	ha.hold, ha.read = true, nil
	mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	request := w.flight
	w.flight = nil
	again := func(first, last int) {
		for _, p := range request[first:last] {
			w.arrive(p)
		}
	}
	again(0, 3)
	again(0, 3) // while it is being worked on
	if len(w.flight) > 0 || len(ha.read) != 1 {
		t.Errorf("read %v, said %v", ha.read, w.flight)
	}
	ha.work()
	w.log.Reset()
	again(1, 3)
	w.script(``)
	again(0, 1)
	w.script(`
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] fragment 1 of 3 again
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] fragment 2 of 3 again
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] fragment 3 of 3 again
	`)
	if len(ha.read) != 1 || len(ha.dropped) != 0 || ha.kept() != 0 {
		t.Errorf("read %v, dropped %v, kept %d octets", ha.read, ha.dropped, ha.kept())
	}
	request[0].Data = bytes.Clone(request[0].Data)
	request[0].Data[40] ^= 1
	again(0, 1)
	w.script(``)
	if len(ha.dropped) != 1 {
		t.Errorf("dropped %v", ha.dropped)
	}
	ha.hold = false
	w.run()
	w.settled(2)
}

// What makes no sense when it is together is answered as if it had come whole.
func TestRFC7383_2_6_MalformedWhole(t *testing.T) {
	w, mn, ha := established(t, options{change: tiny}, binding)
	mn.forge(wire.ExchangeInformational, 2, false, &wire.Unknown{Kind: 200, Critical: true, Data: make([]byte, 200)})
	w.script(`HA --> INFORMATIONAL response 2 [ N(UNSUPPORTED_CRITICAL_PAYLOAD) ]`)
	if ha.kept() != 0 {
		t.Errorf("kept %d octets", ha.kept())
	}
}

func TestSimulationInFragments(t *testing.T) {
	t.Parallel()
	for seed := range uint64(simulations) {
		simulate(t, seed, 128)
		if t.Failed() {
			return
		}
	}
}

// FuzzAssembly lets octets choose fragments of one message, in any splitting and order. What is put together is what a
// simple reading of RFC 7383 section 2.6 says.
func FuzzAssembly(f *testing.F) {
	f.Add([]byte{3, 1, 5, 3, 3, 1, 3, 2, 0})
	f.Add([]byte{2, 1, 9, 3, 1, 1, 3, 3, 1, 2, 2, 9, 3, 2, 1})
	f.Add([]byte{65, 1, 1, 1, 1, 0})
	f.Add(bytes.Repeat([]byte{64, 1, 255, 64, 2, 255}, 40))
	f.Fuzz(func(t *testing.T, script []byte) {
		var a assembly
		parts, total, octets := map[uint16][]byte{}, uint16(0), 0
		for ; len(script) >= 3; script = script[3:] {
			part := bytes.Repeat([]byte{script[2]}, int(script[2])*8)
			f := &wire.SKF{Inner: wire.PayloadType(script[2]), Total: uint16(script[0]), Number: uint16(script[1])}
			if f.Number == 0 || f.Number > f.Total { // which no datagram says, as wire.Parse sees to it
				continue
			}
			refused := f.Total > maxFragments || f.Total < total
			if err := a.check(wire.ExchangeIKEAuth, f); (err != nil) != refused {
				t.Fatalf("fragment %d of %d, %d before: %v", f.Number, f.Total, total, err)
			}
			if refused {
				continue
			}
			if f.Total > total {
				clear(parts)
				total, octets = f.Total, 0
			}
			_, here := parts[f.Number]
			if a.has(f) != here {
				t.Fatalf("fragment %d of %d: there %t, wanted %t", f.Number, f.Total, !here, here)
			}
			if here {
				continue
			}
			full := octets+len(part) > maxAssembled
			if err := a.add(wire.ExchangeIKEAuth, f, part, make([]byte, fragmentHead)); (err != nil) != full {
				t.Fatalf("fragment %d of %d, %d octets before: %v", f.Number, f.Total, octets, err)
			}
			if !full {
				parts[f.Number] = part
				octets += len(part)
			}
			if a.missing != int(total)-len(parts) || a.octets != octets {
				t.Fatalf("%d fragments and %d octets: %+v", len(parts), octets, a)
			}
		}
		for number, part := range parts {
			if !bytes.Equal(a.parts[number-1], part) {
				t.Fatalf("fragment %d is %x, wanted %x", number, a.parts[number-1], part)
			}
		}
		if first := parts[1]; len(first) > 0 && a.first != wire.PayloadType(first[0]) {
			t.Fatalf("the first payload is %v", a.first)
		}
	})
}
