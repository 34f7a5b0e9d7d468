package migrate_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
	"mipsecd/spd/image"
)

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later = start.Add(time.Hour)
)

// both are HoA and OtherHoA, whose policies are somebody else's unless own.
func both(onHA, own, keyMobility bool) *migrate.Homes {
	return migrate.NewHomes([]migrate.Home{Home("one", keyMobility), OtherHome("two")}, onHA, own)
}

// What a movement asks of the key exchange on either end, with the K bit and without.
func TestRFC6275KBit(t *testing.T) {
	for _, test := range []struct {
		name          string
		onHA, keep    bool
		away, return_ string
	}{
		{"section 11.7.3, K=1: the mobile node moves its endpoint", false, true,
			"relocate one to CoA1 - HA, keep, renew", "relocate one to HoA - HA, keep, renew"},
		{"section 11.7.3, K=0: the mobile node begins anew", false, false,
			"relocate one to CoA1 - HA, renew", "relocate one to HoA - HA, renew"},
		{"sections 10.3.1 and 10.3.2, K=1: the home agent moves the peer's endpoint", true, true,
			"relocate one to HA - CoA1, keep", "relocate one to HA - HoA, keep"},
		{"sections 10.3.1 and 10.3.2, K=0: the home agent discards", true, false,
			"relocate one to HA - CoA1", "relocate one to HA - HoA"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := both(test.onHA, false, test.keep)
			p := h.Of(HoA)
			Expect(t, h.Moved(start, p, CoA1), "report moved one: to CoA1\n"+test.away)
			Expect(t, h.Moved(later, p, CoA1), "")
			if p.CareOf != CoA1 || p.Since != start {
				t.Errorf("at %s since %s", p.CareOf, p.Since)
			}
			Expect(t, h.Moved(later, p, HoA), "report moved one: home\n"+test.return_)
			if p.CareOf != HoA || p.Since != later {
				t.Errorf("at %s since %s", p.CareOf, p.Since)
			}
			if other := h.Of(OtherHoA); other.CareOf.IsValid() {
				t.Errorf("the other home address is at %s", other.CareOf)
			}
		})
	}
}

func TestPathOfTheKeyExchange(t *testing.T) {
	for _, test := range []struct {
		name   string
		onHA   bool
		careOf netip.Addr
		want   spd.Path
	}{
		{"mobile node, nothing known", false, netip.Addr{}, spd.Path{Local: HoA, Remote: HA}},
		{"mobile node at home", false, HoA, spd.Path{Local: HoA, Remote: HA}},
		{"mobile node away", false, CoA1, spd.Path{Local: CoA1, Remote: HA}},
		{"home agent, nothing known", true, netip.Addr{}, spd.Path{Local: HA, Remote: HoA}},
		{"home agent, mobile node away", true, CoA1, spd.Path{Local: HA, Remote: CoA1}},
	} {
		h := both(test.onHA, false, true)
		if test.careOf.IsValid() {
			h.Moved(start, h.Of(HoA), test.careOf)
		}
		if got := h.Path(h.Of(HoA)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// A demand is a place's if its traffic is that home address's and its SAs end at the home agent.
func TestPlaceOfADemand(t *testing.T) {
	host := func(from, to netip.Addr) spd.TrafficSelector {
		return spd.TrafficSelector{Proto: spd.ProtoMH, PortStart: 0x500, PortEnd: 0x500, Start: from, End: to}
	}
	for _, test := range []struct {
		name   string
		mobile []spd.TrafficSelector
		agent  netip.Addr
		want   netip.Addr // home address of the place, if any
	}{
		{"a home address", []spd.TrafficSelector{host(HoA, HoA)}, HA, HoA},
		{"twice the same", []spd.TrafficSelector{host(HoA, HoA), host(HoA, HoA)}, HA, HoA},
		{"two home addresses", []spd.TrafficSelector{host(HoA, HoA), host(OtherHoA, OtherHoA)}, HA, netip.Addr{}},
		{"a range", []spd.TrafficSelector{host(HoA, OtherHoA)}, HA, netip.Addr{}},
		{"a home address and a range", []spd.TrafficSelector{host(HoA, HoA), host(HoA, OtherHoA)}, HA, netip.Addr{}},
		{"no home address", []spd.TrafficSelector{host(CN, CN)}, HA, netip.Addr{}},
		{"no traffic", nil, HA, netip.Addr{}},
		{"with another node", []spd.TrafficSelector{host(HoA, HoA)}, CN, netip.Addr{}},
	} {
		agent := []spd.TrafficSelector{host(HA, HA)}
		onMN := spd.Demand{Local: CoA1, Remote: test.agent, Traffic: spd.Traffic{Local: test.mobile, Remote: agent}}
		onHA := spd.Demand{Local: test.agent, Remote: CoA1, Traffic: spd.Traffic{Local: agent, Remote: test.mobile}}
		for i, d := range []spd.Demand{onMN, onHA} {
			var got netip.Addr
			if p := both(i == 1, false, true).For(d); p != nil {
				got = p.HomeAddress
			}
			if got != test.want {
				t.Errorf("%s on the %s: got the place of %s, want %s", test.name, sides[i].name, got, test.want)
			}
		}
	}
}

func TestTrafficWithAPeer(t *testing.T) {
	h := migrate.NewHomes([]migrate.Home{Home("one", true), OtherHome("one")}, true, false)
	var got []string
	for _, ts := range h.TrafficWith("one") {
		got = append(got, ts.String())
	}
	if want := []string{"2001:db8:1::100 any", "2001:db8:1::200 any"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := h.TrafficWith("nobody"); got != nil {
		t.Errorf("with nobody: %v", got)
	}
}

// MIGRATEs move the tunnel SAs of the place, each direction once, and no others.
func TestFollow(t *testing.T) {
	tunnel := spd.EndpointChange{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 5,
		Old: spd.Endpoints{Src: CoA1, Dst: HA}, New: spd.Endpoints{Src: CoA2, Dst: HA}}
	same, transport := tunnel, tunnel
	same.New = same.Old
	transport.Mode = spd.Transport
	const moved = "report moved one: to CoA2\nrelocate one to HA - CoA2, keep\n"
	for _, test := range []struct {
		name   string
		dir    spd.Dir
		agent  netip.Addr
		change spd.EndpointChange
		want   string
	}{
		{"in", spd.In, HA, tunnel, moved + "move SAs of one: esp tunnel 5 from CoA1 -> HA to CoA2 -> HA"},
		{"fwd has the SAs of in", spd.Fwd, HA, tunnel, moved},
		{"old is new", spd.In, HA, same, moved},
		{"transport mode", spd.In, HA, transport, moved},
		{"with another node", spd.In, CN, tunnel, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := both(true, false, true)
			m := spd.Migrate{PolicyKey: spd.PolicyKey{Dir: test.dir}, Changes: []spd.EndpointChange{test.change}}
			Expect(t, h.Follow(start, h.Of(HoA), spd.Path{Local: test.agent, Remote: CoA2}, m), test.want)
		})
	}
}

// The kernel's own Mobile IPv6 states say where a home address is; only those between HoA and HA with the home address
// option do.
func TestBind(t *testing.T) {
	d := Daemon{Protected: Home("", true).Protected}
	for _, side := range sides {
		h := both(side.onHA, false, true)
		to := map[bool]string{false: "CoA1 - HA, keep, renew", true: "HA - CoA1, keep"}[side.onHA]
		home := map[bool]string{false: "HoA - HA, keep, renew", true: "HA - HoA, keep"}[side.onHA]

		route2, withCN, ofCN := d.Binds(CoA1), d.Binds(CoA1), d.Binds(CoA1)
		route2.Proto, route2.Endpoints = spd.Route2, route2.Endpoints.Reverse()
		withCN.Endpoints.Dst, ofCN.Endpoints.Src = CN, CN
		reversed := d.Binds(CoA1)
		reversed.Proto = spd.Route2
		for _, s := range []spd.CareOfState{route2, withCN, ofCN, reversed} {
			Expect(t, h.Bind(start, s), "")
		}
		Expect(t, h.Bind(start, d.Binds(CoA1)), "report moved one: to CoA1\nrelocate one to "+to)
		Expect(t, h.Bind(start, d.Binds(CoA1)), "")
		Expect(t, h.Bind(start, d.Binds(HoA)), "report moved one: home\nrelocate one to "+home)
	}
}

// Where mipsecd owns the policies, it moves them before the key exchange.
func TestBindMovesOwnPolicies(t *testing.T) {
	h := both(true, true, true)
	d := Daemon{Protected: OtherHome("").Protected}
	for _, m := range movements {
		from, to := m.from, m.to
		if from == HoA {
			from = OtherHoA
		}
		if to == HoA {
			to = OtherHoA
		}
		effects := h.Bind(start, d.Binds(to))
		carry := migrate.Carry{Plan: plan(OtherHome("two"), true, from, to)}
		if len(effects) != 3 {
			t.Fatalf("%s: %v", m.name, effects)
		}
		if got := effects[0].(migrate.Carry).String(); got != carry.String() {
			t.Errorf("%s: got\n%s\nwant\n%s", m.name, got, carry)
		}
		Expect(t, effects[2:], "relocate two to "+spd.Path{Local: HA, Remote: to}.String()+", keep")
	}
}

// At the start, and after reports were lost, places are found where the kernel has them.
func TestBegin(t *testing.T) {
	d := Daemon{Protected: Home("", true).Protected, OnHA: true}
	bound := []spd.CareOfState{d.Binds(CoA2)}
	for _, test := range []struct {
		name     string
		before   func(*migrate.Homes)
		snapshot migrate.Snapshot
		careOf   netip.Addr
		want     string
	}{
		{"nothing there", nil, migrate.Snapshot{}, netip.Addr{}, ""},
		{"a state", nil, migrate.Snapshot{CareOf: bound}, CoA2, ""},
		{"tunnels", nil, migrate.Snapshot{Policies: d.Tunnels(CoA1)}, CoA1, ""},
		{"tunnels at home", nil, migrate.Snapshot{Policies: d.Tunnels(HoA)}, HoA, ""},
		{"a state, and tunnels at other endpoints", nil, migrate.Snapshot{Policies: d.Tunnels(CoA1), CareOf: bound}, CoA2, ""},
		{"policies in transport mode", nil, migrate.Snapshot{Policies: d.Static()}, netip.Addr{}, ""},
		{"tunnels with another node", nil, migrate.Snapshot{Policies: withAgent(d, CN).Tunnels(CoA1)}, netip.Addr{}, ""},
		{"the same place again", func(h *migrate.Homes) { h.Bind(start, d.Binds(CoA2)) },
			migrate.Snapshot{Policies: d.Tunnels(CoA2), CareOf: bound}, CoA2, ""},
		{"a movement unseen", func(h *migrate.Homes) { h.Bind(start, d.Binds(CoA1)) },
			migrate.Snapshot{CareOf: bound}, CoA2, "report moved one: to CoA2\nrelocate one to HA - CoA2, keep"},
		{"a return unseen", func(h *migrate.Homes) { h.Bind(start, d.Binds(CoA1)) },
			migrate.Snapshot{}, HoA, "report moved one: home\nrelocate one to HA - HoA, keep"},
		{"a return seen", func(h *migrate.Homes) { h.Bind(start, d.Binds(CoA1)); h.Bind(start, d.Binds(HoA)) },
			migrate.Snapshot{}, HoA, ""},
		{"a return unseen, then a movement without states", func(h *migrate.Homes) {
			h.Bind(start, d.Binds(CoA1))
			h.Begin(start, migrate.Snapshot{})
			h.Moved(start, h.Of(HoA), CoA2)
		}, migrate.Snapshot{}, CoA2, ""},
		{"a kernel that has no states", func(h *migrate.Homes) { h.Moved(start, h.Of(HoA), CoA1) },
			migrate.Snapshot{}, CoA1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := both(true, false, true)
			if test.before != nil {
				test.before(h)
			}
			Expect(t, h.Begin(later, test.snapshot), test.want)
			if got := h.Of(HoA).CareOf; got != test.careOf {
				t.Errorf("at %s, want %s", got, test.careOf)
			}
			Expect(t, h.Begin(later, test.snapshot), "") // once is enough
		})
	}
}

func withAgent(d Daemon, agent netip.Addr) Daemon {
	d.HomeAgent = agent
	return d
}

// Where mipsecd owns the policies it sets them at the start, each place's where that is, whatever was left there of an
// earlier run; and moves them when a movement has gone unseen.
func TestBeginSetsOwnPolicies(t *testing.T) {
	home := Home("one", true)
	d := Daemon{Protected: home.Protected}
	for _, left := range []netip.Addr{HoA, CoA1, CoA2, CN} {
		k := newKernel(t, home, false, left)
		policies := k.state().policies
		var h *migrate.Homes
		apply := func(snapshot migrate.Snapshot, at netip.Addr, plans int) {
			t.Helper()
			for _, e := range h.Begin(start, snapshot) {
				if c, ok := e.(migrate.Carry); ok {
					plans--
					k.do(c.Apply(k))
				}
			}
			got, want := k.state().policies, newKernel(t, home, false, at).state().policies
			if !reflect.DeepEqual(got, want) {
				t.Errorf("left at %s, found at %s: got %v\nwant %v", left, at, got, want)
			}
			if plans != 0 {
				t.Errorf("left at %s, found at %s: %d plans too few", left, at, plans)
			}
		}
		h = migrate.NewHomes([]migrate.Home{home}, false, true)
		apply(migrate.Snapshot{Policies: policies}, HoA, 1) // without a state it is at home
		k.do(migrate.Set(policies).Apply(k))
		h = migrate.NewHomes([]migrate.Home{home}, false, true)
		apply(migrate.Snapshot{Policies: policies, CareOf: []spd.CareOfState{d.Binds(CoA1)}}, CoA1, 1)
		apply(migrate.Snapshot{Policies: k.state().policies, CareOf: []spd.CareOfState{d.Binds(CoA2)}}, CoA2, 2)
		apply(migrate.Snapshot{Policies: k.state().policies}, HoA, 2)
	}
}

// A policy that the kernel refuses does not hold up those of other places.
func TestPoliciesAreSetByAPlanForEachPlace(t *testing.T) {
	h := both(true, true, true)
	h.Moved(start, h.Of(OtherHoA), CoA2)
	effects := h.Flushed(spd.Flushed{Policies: true})
	if len(effects) != 2 {
		t.Fatalf("%d effects, want one for each place: %v", len(effects), effects)
	}
	Expect(t, effects[1:], `
		carry
		set in OtherHoA -> HA mh type 5 protect esp/transport/unique:11
		set in OtherHoA -> HA mh protect esp/transport/unique:11
		set out HA -> OtherHoA mh type 6 protect esp/transport/unique:12
		set in OtherHoA -> * any protect esp/tunnel/CoA2 -> HA/unique:17
		set out * -> OtherHoA any protect esp/tunnel/HA -> CoA2/unique:18
		set fwd OtherHoA -> * any protect esp/tunnel/CoA2 -> HA/unique:17`)
}

// Policies of ours are set again. That the kernel's states are gone does not bring the mobile node home.
func TestFlushed(t *testing.T) {
	home := Home("one", true)
	d := Daemon{Protected: home.Protected}
	h := migrate.NewHomes([]migrate.Home{home}, false, false)
	h.Begin(start, migrate.Snapshot{CareOf: []spd.CareOfState{d.Binds(CoA1)}})
	Expect(t, h.Flushed(spd.Flushed{Policies: true}), "")
	Expect(t, h.Flushed(spd.Flushed{}), "reread")
	Expect(t, h.Begin(start, migrate.Snapshot{}), "")
	if at := h.Of(HoA).CareOf; at != CoA1 {
		t.Errorf("at %s, want %s", at, CoA1)
	}
}

// What an earlier run has left is for the mobile node where it is now, even if its tunnels are elsewhere.
func TestInherit(t *testing.T) {
	home := Home("ha", true)
	d := Daemon{Protected: home.Protected}
	h := migrate.NewHomes([]migrate.Home{home}, false, true)
	snapshot := migrate.Snapshot{
		Policies: append(d.Static(), d.Tunnels(CoA1)...), CareOf: []spd.CareOfState{d.Binds(CoA2)},
		SAs: []spd.SA{
			{SPI: 0x100, Proto: spd.ESP, Mode: spd.Transport, Reqid: 1, Endpoints: spd.Endpoints{Src: HoA, Dst: HA}},
			{SPI: 0x200, Proto: spd.ESP, Mode: spd.Transport, Reqid: 1, Endpoints: spd.Endpoints{Src: OtherHoA, Dst: HA}},
			{SPI: 0x300, Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 8, Endpoints: spd.Endpoints{Src: HA, Dst: CoA1}},
		},
	}
	kernel := image.New()
	kernel.Load(snapshot.Policies)
	h.Begin(start, snapshot)
	var got []string
	for _, d := range h.Inherit(snapshot, kernel) {
		got = append(got, d.String())
	}
	want := []string{
		fmt.Sprintf("binding with ha (transport, %s - %s)", HoA, HA), fmt.Sprintf("payload with ha (tunnel, %s - %s)", CoA2, HA),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	useless := []spd.SAID{{Dst: HA, Proto: spd.ESP, SPI: 0x100}, {Dst: CoA1, Proto: spd.ESP, SPI: 0x300}}
	if got := kernel.Disinherit(); !slices.Equal(got, useless) {
		t.Errorf("got %v, want %v", got, useless)
	}
	Expect(t, migrate.Discard(useless), `
		carry
		remove esp 00000100 to HA
		remove esp 00000300 to CoA1`)
	Expect(t, migrate.Discard(nil), "")

	home.Manual = true
	if got := migrate.NewHomes([]migrate.Home{home}, false, true).Inherit(snapshot, kernel); got != nil {
		t.Errorf("manual keys: got %v", got)
	}
}

func TestPlacesAreInTheOrderOfTheConfiguration(t *testing.T) {
	places := both(true, false, true).Places()
	if len(places) != 2 || places[0].HomeAddress != HoA || places[1].HomeAddress != OtherHoA {
		t.Errorf("got %v", places)
	}
	places[0].CareOf = CN
	h := both(true, false, true)
	h.Places()[0].CareOf = CN
	if h.Of(HoA).CareOf == CN {
		t.Error("a change of the list has changed the place")
	}
}
