package memory

import (
	"net/netip"
	"testing"
	"time"

	"mipsecd/spd"
)

// pair is a mobile node and a home agent that protect BUs by an SA in transport mode once it is there.
func pair(t *testing.T) (mn, ha *host) {
	mn, ha = newHost(t, Options{Seed: 1}), newHost(t, Options{Seed: 2})
	mn.add(protect(spd.Out, buSelector, transport(1)))
	ha.add(protect(spd.In, buSelector, transport(1)))
	return mn, ha
}

func TestTransportMode(t *testing.T) {
	mn, ha := pair(t)
	shared(mn, ha, 0x1000, spd.Transport, binding, 1)
	bu := mh(hoa, homeAgent, 5)
	wire := mn.sends(bu)
	if wire.Proto != spd.ESP || wire.Src != hoa || wire.Dst != homeAgent {
		t.Errorf("on the wire: %s", wire)
	}
	ha.receives(wire, bu)
	ba := mh(homeAgent, hoa, 6)
	mn.receives(ha.sends(ba), ba) // no policy: in the clear
}

func TestAcquireOnceUntilKeyed(t *testing.T) {
	mn, _ := pair(t)
	bu := mh(hoa, homeAgent, 5)
	call := spd.Acquire{Seq: 1, Selector: buSelector, PolicyIndex: 1<<3 | 2, Template: transport(1), Endpoints: binding,
		Flow: buSelector}
	mn.holds(bu)
	mn.wantEvents(call)
	mn.pass(29 * time.Second)
	mn.holds(bu)
	mn.wantEvents()
	mn.pass(time.Second)
	mn.holds(bu)
	call.Seq = 2
	mn.wantEvents(call)
	s := newSA(0x1000, spd.Transport, binding, 1, spd.Out, 1)
	mn.install(s)
	mn.sends(bu)
	if err := mn.Remove(s.ID()); err != nil {
		t.Fatal(err)
	}
	mn.holds(bu)
	call.Seq = 3
	mn.wantEvents(spd.SARemoved{ID: s.ID()}, call)
}

// An SA that answers an ACQUIRE but does not serve its policy ends the hold, too: the next packet asks again.
func TestAnswerWithOtherReqid(t *testing.T) {
	mn, _ := pair(t)
	mn.holds(mh(hoa, homeAgent, 5))
	wrong := newSA(0x1000, spd.Transport, binding, 2, spd.Out, 1)
	wrong.Acquire = 1
	mn.install(wrong)
	mn.holds(mh(hoa, homeAgent, 5))
	if n := len(mn.events()); n != 2 {
		t.Errorf("%d ACQUIREs, want 2", n)
	}
}

func TestPacketInAcquire(t *testing.T) {
	mn := newHost(t, Options{PacketInAcquire: true})
	mn.add(protect(spd.Out, buSelector, transport(1)))
	mn.SetCareOf(spd.CareOfState{Proto: spd.HomeOpt, Endpoints: binding, CareOf: coa})
	bu := mh(hoa, homeAgent, 5)
	mn.holds(bu)
	call := mn.events()[1].(spd.Acquire)
	held, err := parsePacket(call.Packet)
	if err != nil || held.Src != hoa || held.Dst != homeAgent || held.Proto != spd.HomeOpt {
		t.Fatalf("got %s, %v", held, err)
	}
	unswapped, err := removeCareOf(held)
	if err != nil || unswapped.Src != coa || string(unswapped.Payload) != string(bu.Payload) {
		t.Errorf("the home address option holds %s, %v", unswapped.Src, err)
	}
}

func TestKeysMustAgree(t *testing.T) {
	good := newSA(0x1000, spd.Transport, binding, 1, spd.In, 7)
	for name, change := range map[string]func(*spd.Transform){
		"encryption key":       func(x *spd.Transform) { x.EncrKey[15]++ },
		"integrity key":        func(x *spd.Transform) { x.IntegKey[31]++ },
		"encryption algorithm": func(x *spd.Transform) { x.Encr, x.EncrKey = spd.EncrNull, nil; x.IntegKey[0]++ },
		"length of a key":      func(x *spd.Transform) { x.EncrKey = make([]byte, 32) },
	} {
		t.Run(name, func(t *testing.T) {
			mn, ha := pair(t)
			mn.install(newSA(0x1000, spd.Transport, binding, 1, spd.Out, 7))
			bad := newSA(0x1000, spd.Transport, binding, 1, spd.In, 7)
			change(&bad.Transform)
			ha.install(bad)
			ha.refuses(mn.sends(mh(hoa, homeAgent, 5)), ErrIntegrity)
			if err := ha.Remove(bad.ID()); err != nil {
				t.Fatal(err)
			}
			ha.install(good)
			ha.receives(mn.sends(mh(hoa, homeAgent, 5)), mh(hoa, homeAgent, 5))
		})
	}
}

func TestModesMustAgree(t *testing.T) {
	mn, ha := pair(t)
	mn.install(newSA(0x1000, spd.Transport, binding, 1, spd.Out, 7))
	ha.install(newSA(0x1000, spd.Tunnel, binding, 1, spd.In, 7))
	if p, err := ha.Input(mn.sends(mh(hoa, homeAgent, 5))); err == nil {
		t.Errorf("got %s", p)
	}
}

func TestUnknownSPI(t *testing.T) {
	mn, ha := pair(t)
	mn.install(newSA(0x1000, spd.Transport, binding, 1, spd.Out, 7))
	wire := mn.sends(mh(hoa, homeAgent, 5))
	ha.refuses(wire, ErrNoSA)
	ha.refuses(Packet{Src: hoa, Dst: homeAgent, Proto: spd.ESP}, ErrNoSA)
}

func TestPolicyDemandsProtection(t *testing.T) {
	mn, ha := pair(t)
	bu := mh(hoa, homeAgent, 5)
	ha.refuses(bu, ErrProtection)
	ha.receives(mh(hoa, homeAgent, 6), mh(hoa, homeAgent, 6))

	other := newHost(t, Options{})
	other.add(protect(spd.Out, buSelector, transport(2)))
	shared(other, ha, 0x2000, spd.Transport, binding, 2)
	ha.refuses(other.sends(bu), ErrProtection) // an SA of another policy

	mn.add(protect(spd.Out, spd.MH(spd.Host(hoa), anywhere, 1), tunnel(away, 1)))
	shared(mn, ha, 0x3000, spd.Tunnel, away, 1)
	ha.refuses(mn.sends(mh(hoa, peer, 1)), ErrProtection) // out of a tunnel that no policy knows
	ha.add(protect(spd.In, spd.MH(spd.Host(hoa), anywhere, 1), tunnel(away, 1)))
	ha.receives(mn.sends(mh(hoa, peer, 1)), mh(hoa, peer, 1))
}

func TestTunnelEndpointsMustMatch(t *testing.T) {
	mn, ha := pair(t)
	hoti := spd.MH(spd.Host(hoa), anywhere, 1)
	mn.add(protect(spd.Out, hoti, tunnel(away, 3)))
	ha.add(protect(spd.In, hoti, tunnel(away2, 3)))
	shared(mn, ha, 0x1000, spd.Tunnel, away, 3)
	ha.refuses(mn.sends(mh(hoa, peer, 1)), ErrProtection)
}

func TestForwardedPacketsMeetForwardPolicies(t *testing.T) {
	mn := newHost(t, Options{})
	ha := newHost(t, Options{Local: func(a netip.Addr) bool { return a == homeAgent }})
	hoti := spd.MH(spd.Host(hoa), anywhere, 1)
	mn.add(protect(spd.Out, hoti, tunnel(away, 3)))
	ha.add(protect(spd.In, hoti, tunnel(away, 3)))
	shared(mn, ha, 0x1000, spd.Tunnel, away, 3)
	ha.refuses(mn.sends(mh(hoa, peer, 1)), ErrProtection)
	ha.add(protect(spd.Fwd, hoti, tunnel(away, 3)))
	ha.receives(mn.sends(mh(hoa, peer, 1)), mh(hoa, peer, 1))
	ha.receives(mn.sends(mh(hoa, homeAgent, 1)), mh(hoa, homeAgent, 1))
}

func TestTransportWithinTunnel(t *testing.T) {
	mn, ha := newHost(t, Options{}), newHost(t, Options{})
	all := spd.Selector{Src: spd.Host(hoa), Dst: spd.Host(homeAgent)}
	mn.add(protect(spd.Out, all, transport(1), tunnel(away, 2)))
	ha.add(protect(spd.In, all, transport(1), tunnel(away, 2)))
	shared(mn, ha, 0x1000, spd.Transport, binding, 1)
	mn.holds(mh(hoa, homeAgent, 5))
	if call := mn.events()[0].(spd.Acquire); call.Template != tunnel(away, 2) || call.Endpoints != away {
		t.Errorf("ACQUIRE for %+v", call)
	}
	shared(mn, ha, 0x1001, spd.Tunnel, away, 2)
	wire := mn.sends(mh(hoa, homeAgent, 5))
	if wire.Src != coa {
		t.Errorf("on the wire: %s", wire)
	}
	ha.receives(wire, mh(hoa, homeAgent, 5))
}

func TestLevelUseIsOptional(t *testing.T) {
	mn, ha := newHost(t, Options{}), newHost(t, Options{})
	template := transport(0)
	template.Level = spd.Use
	mn.add(protect(spd.Out, buSelector, template))
	ha.add(protect(spd.In, buSelector, template))
	bu := mh(hoa, homeAgent, 5)
	if wire := mn.sends(bu); wire.Proto != spd.ProtoMH {
		t.Errorf("on the wire: %s", wire)
	}
	ha.receives(bu, bu)
	if _, ok := mn.events()[0].(spd.Acquire); !ok {
		t.Error("no ACQUIRE")
	}
	shared(mn, ha, 0x1000, spd.Transport, binding, 9)
	wire := mn.sends(bu)
	if wire.Proto != spd.ESP {
		t.Errorf("on the wire: %s", wire)
	}
	ha.receives(wire, bu)
}

func TestPolicyOrder(t *testing.T) {
	all := spd.Selector{Src: anywhere, Dst: anywhere}
	fromHome, toAgent := all, all
	fromHome.Src, toAgent.Dst = spd.Host(hoa), spd.Host(homeAgent)
	bu := mh(hoa, homeAgent, 5)
	selectors := []spd.Selector{buSelector, fromHome, toAgent, all}
	for i, first := range selectors {
		for j, last := range selectors {
			if i == j {
				continue
			}
			h := newHost(t, Options{})
			h.add(plain(spd.Out, last, spd.Bypass, 5), plain(spd.Out, first, spd.Discard, 4))
			wantError(t, second(h.Output(bu)), ErrDiscarded)
			if err := h.UpdatePolicy(plain(spd.Out, first, spd.Discard, 5)); err != nil {
				t.Fatal(err)
			}
			h.sends(bu) // of equal priorities the older
		}
	}
}

func TestSelectorsOnPackets(t *testing.T) {
	icmp := Packet{Src: hoa, Dst: homeAgent, Proto: spd.ProtoICMPv6, Payload: []byte{1, 3, 0, 0}}
	between := spd.Selector{Src: spd.Host(hoa), Dst: spd.Host(homeAgent)}
	with := func(proto uint8, src, dst spd.Port) spd.Selector {
		s := between
		s.Proto, s.SrcPort, s.DstPort = proto, src, dst
		return s
	}
	exact, anyPort := spd.ExactPort, spd.Port{}
	for _, c := range []struct {
		s    spd.Selector
		p    Packet
		want bool
	}{
		{buSelector, mh(hoa, homeAgent, 5), true},
		{buSelector, mh(hoa, homeAgent, 0), false},
		{buSelector, mh(homeAgent, hoa, 5), false},
		{spd.MH(spd.Host(hoa), anywhere, 0), mh(hoa, peer, 0), true},
		{spd.MH(spd.Host(hoa), anywhere, 0), mh(hoa, peer, 5), false},
		{between, mh(hoa, homeAgent, 5), true},
		{with(spd.ProtoICMPv6, exact(1), anyPort), icmp, true},
		{with(spd.ProtoICMPv6, exact(1), exact(3)), icmp, true},
		{with(spd.ProtoICMPv6, exact(1), exact(4)), icmp, false},
		{with(spd.ProtoICMPv6, exact(3), anyPort), icmp, false},
		{with(spd.ProtoUDP, anyPort, exact(500)), udpTo(hoa, homeAgent, 500), true},
		{with(spd.ProtoUDP, exact(1024), exact(500)), udpTo(hoa, homeAgent, 500), true},
		{with(spd.ProtoUDP, exact(500), anyPort), udpTo(hoa, homeAgent, 500), false},
		{with(spd.ProtoTCP, anyPort, anyPort), udpTo(hoa, homeAgent, 500), false},
	} {
		h := newHost(t, Options{})
		h.add(plain(spd.Out, c.s, spd.Discard, 1))
		if _, err := h.Output(c.p); (err != nil) != c.want {
			t.Errorf("%s selects %s: %v, want %t", c.s, c.p, err, c.want)
		}
	}
}

// While a mobile node's BU is unanswered, UMIP blocks all else by sub policies.
func TestSubPolicyBlocks(t *testing.T) {
	mn, ha := pair(t)
	shared(mn, ha, 0x1000, spd.Transport, binding, 1)
	routed := plain(spd.Out, buSelector, spd.Protect, 2)
	routed.Templates = []spd.Template{{Proto: spd.HomeOpt, Mode: spd.RouteOptimization, Level: spd.Require}}
	block := plain(spd.Out, spd.Selector{Src: anywhere, Dst: anywhere}, spd.Discard, 4)
	in := plain(spd.In, block.Selector, spd.Discard, 4)
	routed.Sub, block.Sub, in.Sub = true, true, true
	mn.add(routed, block, in)
	ha.receives(mn.sends(mh(hoa, homeAgent, 5)), mh(hoa, homeAgent, 5))
	wantError(t, second(mn.Output(mh(hoa, homeAgent, 1))), ErrDiscarded)
	mn.refuses(mh(homeAgent, hoa, 6), ErrDiscarded)
}

func TestSelectorOfSA(t *testing.T) {
	mn, ha := pair(t)
	narrow := newSA(0x1000, spd.Transport, binding, 1, spd.Out, 1)
	narrow.Selector = spd.MH(spd.Host(hoa), spd.Host(homeAgent), 1)
	mn.install(narrow)
	mn.holds(mh(hoa, homeAgent, 5))
	shared(mn, ha, 0x1001, spd.Transport, binding, 1)
	ha.receives(mn.sends(mh(hoa, homeAgent, 5)), mh(hoa, homeAgent, 5))

	mn.install(newSA(0x1002, spd.Transport, binding, 1, spd.Out, 1))
	narrow.SPI, narrow.Dir = 0x1002, spd.In
	ha.install(narrow)
	ha.refuses(mn.sends(mh(hoa, homeAgent, 5)), ErrProtection)
}

func TestNewestSAIsUsed(t *testing.T) {
	mn, ha := pair(t)
	shared(mn, ha, 0x1000, spd.Transport, binding, 1)
	shared(mn, ha, 0x1001, spd.Transport, binding, 1)
	if got := mn.sends(mh(hoa, homeAgent, 5)).Payload[3]; got != 1 {
		t.Errorf("used SPI ...%d", got)
	}
	dying := newSA(0x1002, spd.Transport, binding, 1, spd.Out, 2)
	dying.Lifetime = spd.Lifetime{Soft: time.Second, Hard: time.Hour}
	mn.install(dying)
	mn.pass(time.Second)
	if got := mn.sends(mh(hoa, homeAgent, 5)).Payload[3]; got != 1 {
		t.Errorf("used SPI ...%d", got)
	}
}

func TestReplay(t *testing.T) {
	mn, ha := pair(t)
	shared(mn, ha, 0x1000, spd.Transport, binding, 1)
	bu := mh(hoa, homeAgent, 5)
	var wires []Packet
	for range 40 {
		wires = append(wires, mn.sends(bu))
	}
	for _, i := range []int{0, 2, 1, 39, 8} {
		ha.receives(wires[i], bu)
	}
	for _, i := range []int{0, 1, 2, 39, 8, 7} { // 7 was not seen, but the window is 32
		ha.refuses(wires[i], ErrReplay)
	}
	forged := wires[20]
	forged.Payload = append([]byte(nil), forged.Payload...)
	forged.Payload[7]++
	ha.refuses(forged, ErrIntegrity)
	ha.receives(wires[20], bu)
}

func TestReplayWindow(t *testing.T) {
	const never = ^uint32(0)
	for _, c := range []struct {
		name          string
		size          uint32
		seen          []uint32
		accept, twice uint32
	}{
		{"zero is never sent", 32, nil, 1, 0},
		{"far ahead", 64, []uint32{5, 1 << 20}, 1<<20 - 63, 1 << 20},
		{"left edge", 64, []uint32{100}, 37, 36},
		{"modulo 256", 255, []uint32{1, 257}, 3, 1},
		{"exactly one round", 255, []uint32{3, 259}, 5, 259},
		{"the last number", 32, []uint32{never}, never - 31, never - 32},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w replayWindow
			for _, n := range c.seen {
				if !w.accept(n, c.size) {
					t.Fatalf("%d refused", n)
				}
			}
			if w.accept(c.twice, c.size) {
				t.Errorf("%d accepted", c.twice)
			}
			for _, want := range []bool{true, false} {
				if w.accept(c.accept, c.size) != want {
					t.Errorf("%d accepted: %t", c.accept, !want)
				}
			}
		})
	}
	var w replayWindow
	for range 2 {
		if !w.accept(1, 0) {
			t.Error("a window of zero checks")
		}
	}
}

// RFC 4303 section 3.3.3: the counter must not cycle.
func TestSequenceNumbersEnd(t *testing.T) {
	mn, ha := pair(t)
	shared(mn, ha, 0x1000, spd.Transport, binding, 1)
	mn.sas.byRoute[saRoute{binding, spd.ESP}][0].sequence = 1<<32 - 2
	ha.receives(mn.sends(mh(hoa, homeAgent, 5)), mh(hoa, homeAgent, 5))
	if _, err := mn.Output(mh(hoa, homeAgent, 5)); err == nil {
		t.Error("the counter went around")
	}
}

func TestDamagedEnvelopeIsRefused(t *testing.T) {
	mn, ha := pair(t)
	hoti := spd.MH(spd.Host(hoa), anywhere, 1)
	mn.add(protect(spd.Out, hoti, tunnel(away, 3)))
	shared(mn, ha, 0x1000, spd.Transport, binding, 1)
	shared(mn, ha, 0x1001, spd.Tunnel, away, 3)
	for _, p := range []Packet{mh(hoa, homeAgent, 5), mh(hoa, peer, 1)} {
		wire := mn.sends(p)
		whole := wire.Payload
		for n := range whole {
			wire.Payload = whole[:n]
			if _, err := ha.Input(wire); err == nil {
				t.Fatalf("the first %d octets of %d are taken", n, len(whole))
			}
			wire.Payload = append([]byte(nil), whole...)
			wire.Payload[n]++
			if _, err := ha.Input(wire); err == nil {
				t.Fatalf("a change at octet %d is taken", n)
			}
		}
	}
}

func TestInnerPacketIsChecked(t *testing.T) {
	whole := mh(hoa, peer, 1).append(nil)
	for n := range whole {
		if p, err := parsePacket(whole[:n]); err == nil {
			t.Errorf("the first %d octets give %s", n, p)
		}
	}
	for name, b := range map[string][]byte{"longer": append(whole, 0), "IPv4": append([]byte{0x45}, whole[1:]...)} {
		if p, err := parsePacket(b); err == nil {
			t.Errorf("%s gives %s", name, p)
		}
	}
}

func FuzzInput(f *testing.F) {
	newPair := func(t *testing.T) (mn, ha *host) {
		mn, ha = newHost(t, Options{}), newHost(t, Options{})
		all := spd.Selector{Src: spd.Host(hoa), Dst: anywhere}
		mn.add(protect(spd.Out, all, tunnel(away, 3)))
		shared(mn, ha, 0x1001, spd.Tunnel, away, 3)
		return mn, ha
	}
	mn := New(Options{})
	mn.SetCareOf(spd.CareOfState{Proto: spd.HomeOpt, Endpoints: binding, CareOf: coa})
	mn.SetCareOf(spd.CareOfState{Proto: spd.Route2, Endpoints: binding, CareOf: coa2})
	routed, err := mn.Output(mh(hoa, homeAgent, 5))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(routed.Proto, routed.Payload, false)
	f.Add(spd.ProtoMH, mh(hoa, peer, 1).Payload, true)
	f.Add(spd.ESP, []byte{0, 0, 0x10, 1, 0, 0, 0, 1}, false)
	f.Fuzz(func(t *testing.T, proto uint8, payload []byte, sealed bool) {
		mn, ha := newPair(t)
		p := Packet{Src: coa, Dst: homeAgent, Proto: proto, Payload: payload}
		if sealed { // behind the integrity check, where only a peer gets
			p.Src = hoa
			var err error
			if p, err = mn.Output(p); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := ha.Input(p); err == nil && !isUpper(out.Proto) {
			t.Errorf("left over: %s", out)
		}
	})
}
