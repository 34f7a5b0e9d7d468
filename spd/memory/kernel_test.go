package memory

import (
	"errors"
	"net"
	"reflect"
	"testing"
	"time"

	"mipsecd/spd"
)

func TestLifetimeInTime(t *testing.T) {
	h := newHost(t, Options{})
	s := newSA(0x1000, spd.Transport, binding, 1, spd.Out, 1)
	s.Lifetime = spd.Lifetime{Soft: 10 * time.Second, Hard: 20 * time.Second}
	h.install(s)
	h.pass(9 * time.Second)
	h.wantEvents()
	h.pass(time.Second)
	h.pass(time.Second)
	h.wantEvents(spd.Expire{ID: s.ID()})
	h.pass(9 * time.Second)
	h.wantEvents(spd.Expire{ID: s.ID(), Hard: true})
	wantError(t, h.Remove(s.ID()), spd.ErrNotFound)
}

func TestLifetimeInOctets(t *testing.T) {
	mn, ha := pair(t)
	bu := mh(hoa, homeAgent, 5) // 8 octets
	out, in := newSA(0x1000, spd.Transport, binding, 1, spd.Out, 1), newSA(0x1000, spd.Transport, binding, 1, spd.In, 1)
	out.Lifetime, in.Lifetime = spd.Lifetime{SoftBytes: 16, HardBytes: 24}, spd.Lifetime{SoftBytes: 8}
	mn.install(out)
	ha.install(in)
	ha.receives(mn.sends(bu), bu)
	mn.wantEvents()
	ha.wantEvents(spd.Expire{ID: in.ID()})
	ha.receives(mn.sends(bu), bu)
	mn.wantEvents(spd.Expire{ID: out.ID()})
	ha.receives(mn.sends(bu), bu)
	mn.wantEvents(spd.Expire{ID: out.ID(), Hard: true})
	ha.wantEvents()
	mn.holds(bu)
}

func TestLarvalSAExpires(t *testing.T) {
	h := newHost(t, Options{})
	spi, err := h.AllocSPI(spd.LarvalSA{Endpoints: binding, Proto: spd.ESP, Mode: spd.Transport})
	if err != nil {
		t.Fatal(err)
	}
	id := spd.SAID{Dst: homeAgent, Proto: spd.ESP, SPI: spi}
	h.pass(larvalLifetime)
	h.wantEvents(spd.Expire{ID: id, Hard: true})
	wantError(t, h.Remove(id), spd.ErrNotFound)
}

func TestSeedsGiveOtherSPIs(t *testing.T) {
	spis := map[uint32]uint64{}
	for seed := range uint64(20) {
		h := newHost(t, Options{Seed: seed})
		spi, err := h.AllocSPI(spd.LarvalSA{Endpoints: binding, Proto: spd.ESP})
		if other, ok := spis[spi]; ok || err != nil {
			t.Errorf("seeds %d and %d: SPI %#x, %v", seed, other, spi, err)
		}
		spis[spi] = seed
	}
}

func TestInstallRefusesAsInvalid(t *testing.T) {
	key16 := make([]byte, 16)
	for name, spoil := range map[string]func(*spd.SA){
		"reserved SPI":            func(s *spd.SA) { s.SPI = 255 },
		"protocol":                func(s *spd.SA) { s.Proto = spd.HomeOpt },
		"mode":                    func(s *spd.SA) { s.Mode = 0 },
		"direction":               func(s *spd.SA) { s.Dir = spd.Fwd },
		"no source":               func(s *spd.SA) { s.Endpoints.Src = spd.Endpoints{}.Src },
		"encryption key":          func(s *spd.SA) { s.Transform.EncrKey = make([]byte, 15) },
		"encryption algorithm":    func(s *spd.SA) { s.Transform.Encr = 99 },
		"integrity key":           func(s *spd.SA) { s.Transform.IntegKey = make([]byte, 20) },
		"integrity algorithm":     func(s *spd.SA) { s.Transform.Integ = 99 },
		"no integrity":            func(s *spd.SA) { s.Transform.Integ, s.Transform.IntegKey = 0, nil },
		"AEAD with integrity":     func(s *spd.SA) { s.Transform.Encr, s.Transform.EncrKey = spd.EncrAESGCM16, make([]byte, 20) },
		"AEAD without its salt":   func(s *spd.SA) { s.Transform = spd.Transform{Encr: spd.EncrAESGCM16, EncrKey: key16} },
		"AH without integrity":    func(s *spd.SA) { s.Proto, s.Transform = spd.AH, spd.Transform{} },
		"of two address families": func(s *spd.SA) { s.Endpoints.Src = ipv4 },
	} {
		h := newHost(t, Options{})
		s := newSA(0x1000, spd.Transport, binding, 1, spd.Out, 1)
		spoil(&s)
		if err := h.Install(s); !errors.Is(err, spd.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddPolicyRefusesAsInvalid(t *testing.T) {
	for name, spoil := range map[string]func(*spd.Policy){
		"no selector":              func(p *spd.Policy) { p.Selector = spd.Selector{} },
		"action":                   func(p *spd.Policy) { p.Action = 0 },
		"protection without how":   func(p *spd.Policy) { p.Templates = nil },
		"bypass with a template":   func(p *spd.Policy) { p.Action = spd.Bypass },
		"tunnel without endpoints": func(p *spd.Policy) { p.Templates[0].Mode = spd.Tunnel },
		"transport with endpoints": func(p *spd.Policy) { p.Templates[0].Endpoints = binding },
		"template without mode":    func(p *spd.Policy) { p.Templates[0].Mode = 0 },
		"selector of two families": func(p *spd.Policy) { p.Selector.Src = spd.Host(ipv4) },
		"direction":                func(p *spd.Policy) { p.Dir = spd.Fwd + 1 },
	} {
		h := newHost(t, Options{})
		p := protect(spd.Out, buSelector, transport(1))
		spoil(&p)
		if err := h.AddPolicy(p); !errors.Is(err, spd.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A caller's slices are its own.
func TestPoliciesAreCopies(t *testing.T) {
	h := newHost(t, Options{})
	p := protect(spd.Out, buSelector, transport(1))
	h.add(p)
	p.Templates[0].Reqid = 9
	listed, err := h.Policies()
	if err != nil || listed[0].Templates[0].Reqid != 1 {
		t.Fatalf("%+v, %v", listed, err)
	}
	listed[0].Templates[0].Reqid = 9
	h.holds(mh(hoa, homeAgent, 5))
	if call := h.events()[0].(spd.Acquire); call.Template.Reqid != 1 {
		t.Errorf("%+v", call)
	}
}

func TestEventsLostStandsForWhatFoundNoRoom(t *testing.T) {
	h := newHost(t, Options{EventQueue: 4})
	watcher := h.Kernel.Open()
	for range 9 {
		h.FlushSAs()
	}
	h.wantEvents(spd.Flushed{}, spd.Flushed{}, spd.Flushed{}, spd.EventsLost{})
	h.FlushPolicies()
	h.wantEvents(spd.Flushed{Policies: true})

	<-watcher.Events()
	h.FlushSAs() // one place is free, but the EventsLost is already there
	var got []spd.Event
	for len(watcher.Events()) > 0 {
		got = append(got, <-watcher.Events())
	}
	if want := []spd.Event{spd.Flushed{}, spd.Flushed{}, spd.EventsLost{}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	h.FlushPolicies()
	if e := <-watcher.Events(); e != (spd.Flushed{Policies: true}) {
		t.Errorf("got %v", e)
	}
}

func TestClosedBackend(t *testing.T) {
	h := newHost(t, Options{})
	other := h.Kernel.Open()
	for range 2 {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, h.Install(newSA(0x1000, spd.Transport, binding, 1, spd.Out, 1)), net.ErrClosed)
	wantError(t, second(h.Policies()), net.ErrClosed)
	h.FlushSAs()
	if e := <-other.Events(); e != (spd.Flushed{}) {
		t.Errorf("the other handle got %v", e)
	}
}

func TestMovedSAGoesOn(t *testing.T) {
	mn, ha := newHost(t, Options{}), newHost(t, Options{})
	hoti := spd.MH(spd.Host(hoa), anywhere, 1)
	out, in := protect(spd.Out, hoti, tunnel(away, 3)), protect(spd.In, hoti, tunnel(away, 3))
	mn.add(out)
	ha.add(in)
	shared(mn, ha, 0x1000, spd.Tunnel, away, 3)
	first := mn.sends(mh(hoa, peer, 1))
	ha.receives(first, mh(hoa, peer, 1))
	change := []spd.EndpointChange{{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 3, Old: away, New: away2}}
	for h, key := range map[*host]spd.PolicyKey{mn: out.PolicyKey, ha: in.PolicyKey} {
		if err := h.Migrate(spd.Migrate{PolicyKey: key, Changes: change}); err != nil {
			t.Fatal(err)
		}
	}
	wire := mn.sends(mh(hoa, peer, 1))
	if wire.Src != coa2 {
		t.Errorf("on the wire: %s", wire)
	}
	ha.receives(wire, mh(hoa, peer, 1))
	ha.refuses(first, ErrReplay) // sequence numbers are kept
}

// On Linux the SA that is about to be replaced stays behind.
func TestMigrateOne(t *testing.T) {
	for _, one := range []bool{false, true} {
		h := newHost(t, Options{MigrateOne: one})
		p := protect(spd.Out, spd.MH(spd.Host(hoa), anywhere, 1), tunnel(away, 3))
		h.add(p)
		h.install(newSA(0x1000, spd.Tunnel, away, 3, spd.Out, 1), newSA(0x1001, spd.Tunnel, away, 3, spd.Out, 2))
		if err := h.Migrate(spd.Migrate{PolicyKey: p.PolicyKey, Changes: []spd.EndpointChange{
			{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 3, Old: away, New: away2}}}); err != nil {
			t.Fatal(err)
		}
		moved := 0
		sas, err := h.SAs()
		for _, s := range sas {
			if s.Endpoints == away2 {
				moved++
			}
		}
		if want := map[bool]int{false: 2, true: 1}[one]; moved != want || err != nil {
			t.Errorf("%d moved, want %d: %v", moved, want, err)
		}
	}
}

func TestMigrateOntoAnotherSAChangesNothing(t *testing.T) {
	h := newHost(t, Options{})
	back, back2 := away.Reverse(), away2.Reverse()
	p := protect(spd.In, spd.MH(anywhere, spd.Host(hoa), 3), tunnel(back, 3))
	h.add(p)
	h.install(newSA(0x1000, spd.Tunnel, back, 3, spd.In, 1), newSA(0x1001, spd.Tunnel, back, 3, spd.In, 1),
		newSA(0x1001, spd.Tunnel, back2, 4, spd.In, 1))
	before, _ := h.SAs()
	err := h.Migrate(spd.Migrate{PolicyKey: p.PolicyKey, Changes: []spd.EndpointChange{
		{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 3, Old: back, New: back2}}})
	wantError(t, err, spd.ErrExists)
	after, _ := h.SAs()
	policies, _ := h.Policies()
	if !reflect.DeepEqual(before, after) || policies[0].Templates[0] != tunnel(back, 3) {
		t.Errorf("changed: %v, %v", after, policies)
	}
	wantError(t, h.Migrate(spd.Migrate{PolicyKey: p.PolicyKey}), spd.ErrInvalid)
}

// What a home agent with thousands of mobile nodes has for one of them is found without listing all.
func TestFoundWithoutListingAll(t *testing.T) {
	h := newHost(t, Options{})
	up, down := newSA(0x1000, spd.Transport, binding, 1, spd.Out, 1), newSA(0x2000, spd.Transport, binding.Reverse(), 2, spd.In, 1)
	elsewhere := newSA(0x3000, spd.Tunnel, spd.Endpoints{Src: coa, Dst: homeAgent}, 3, spd.Out, 1)
	h.install(up, down, elsewhere)
	if _, err := h.AllocSPI(spd.LarvalSA{Endpoints: binding, Proto: spd.ESP, Mode: spd.Transport}); err != nil {
		t.Fatal(err)
	}
	all, err := h.SAs()
	if got := h.SAsBetween(hoa, homeAgent); err != nil || len(got) != 2 || !reflect.DeepEqual(got, all[:2]) {
		t.Errorf("got %v, want %v; %v", got, all[:2], err)
	}
	p := plain(spd.Out, spd.Selector{Src: spd.Host(hoa), Dst: spd.Host(homeAgent)}, spd.Bypass, 7)
	h.add(p)
	if got, ok := h.Policy(p.PolicyKey); !ok || got.Priority != 7 || got.Index == 0 {
		t.Errorf("got %v, %v", got, ok)
	}
	p.Dir = spd.In
	if got, ok := h.Policy(p.PolicyKey); ok {
		t.Errorf("got %v", got)
	}
}
