package homeagent

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

var homeLinkPrefix = netip.MustParsePrefix("2001:db8:1::/64")

// rooms is a pool of so many addresses, of which ::200, as another's configured home address, is not to be had.
func rooms(n int) Pool {
	first := OtherHoA
	last := first
	for range n {
		last = last.Next()
	}
	return Pool{
		Prefix: homeLinkPrefix, Ranges: []Range{{first, last}}, DNS: []netip.Addr{CN}, Hold: time.Hour,
	}
}

// inn is a home agent that assigns to guests a, b and c what is in its pool.
type inn struct {
	script
	now time.Time
}

func newInn(t *testing.T, own bool, pool Pool) *inn {
	homes := []migrate.Home{OtherHome("mn2")}
	for i, name := range []string{"a", "b", "c"} {
		open := Home(name, true)
		open.HomeAddress, open.Reqid = netip.Addr{}, uint32(101+8*i)
		homes = append(homes, open)
	}
	return &inn{script{t, New(homes, own, pool)}, start}
}

func (s *inn) step(n spd.Notice) []migrate.Effect {
	return s.agent.Step(s.now, migrate.Keying{Notice: n})
}

// asks has a guest ask for an address, and yields what it is told.
func (s *inn) asks(peer string, wish netip.Addr) spd.AddressGrant {
	s.t.Helper()
	for _, e := range s.step(spd.AddressRequest{Request: 5, Peer: peer, Wish: spd.Wish{Addresses: []netip.Addr{wish}}}) {
		if tell, ok := e.(migrate.Tell); ok {
			return tell.Command.(spd.AddressGrant)
		}
	}
	s.t.Fatal("no answer")
	return spd.AddressGrant{}
}

// gets is asks for who must get one.
func (s *inn) gets(peer string, wish netip.Addr) netip.Addr {
	s.t.Helper()
	g := s.asks(peer, wish)
	if g.Err != nil || len(g.Addresses) != 1 || g.Addresses[0].Bits() != 64 {
		s.t.Fatalf("%s is told %+v", peer, g)
	}
	return g.Addresses[0].Addr()
}

// speaks reports whether a guest may have a Child SA for an address.
func (s *inn) speaks(peer string, home netip.Addr) error {
	s.t.Helper()
	for _, e := range s.step(spd.Request{Request: 6, Peer: peer, Mode: spd.Transport, Traffic: spd.Traffic{
		Local: list(mh(HA, 6)), Remote: list(mh(home, 5)),
	}}) {
		if tell, ok := e.(migrate.Tell); ok {
			return tell.Command.(spd.Grant).Err
		}
	}
	s.t.Fatal("no answer")
	return nil
}

func (s *inn) up(peer string, id uint64)   { s.step(spd.PeerUp{Peer: peer, ID: id}) }
func (s *inn) down(peer string, id uint64) { s.step(spd.PeerDown{Peer: peer, ID: id}) }

// pass lets time go by, with the ticks that the agent wants in it.
func (s *inn) pass(d time.Duration) (effects []migrate.Effect) {
	end := s.now.Add(d)
	for at := s.agent.Deadline(); !at.IsZero() && !at.After(end); at = s.agent.Deadline() {
		s.now = at
		effects = append(effects, s.agent.Step(at, migrate.Tick{})...)
	}
	s.now = end
	return effects
}

// A mobile node that asks is assigned an address; policies come with it, and what it asks for next is granted for it alone:
// also if it leaves its address open.
func TestRFC4877Section9_Assignment(t *testing.T) {
	pool := rooms(0)
	pool.Ranges = []Range{{HoA, HoA}}
	s := newInn(t, true, pool)
	s.says("refuse 6: a may speak for no home address yet: no address has been assigned",
		spd.Request{Request: 6, Peer: "a", Mode: spd.Transport,
			Traffic: spd.Traffic{Local: list(mh(HA, 6)), Remote: list(mh(HoA, 5))}})
	s.says(`
		report assigned a: HoA
		carry
		set in HoA -> HA mh type 5 protect esp/transport/unique:101
		set in HoA -> HA mh protect esp/transport/unique:101
		set out HA -> HoA mh type 6 protect esp/transport/unique:102
		set in HoA -> HA icmpv6 type 146 protect esp/transport/unique:103
		set out HA -> HoA icmpv6 type 147 protect esp/transport/unique:104
		set in HoA -> * mh type 1 bypass
		set in HoA -> * mh bypass
		set out * -> HoA mh type 3 bypass
		set out * -> HoA mh bypass
		set fwd HoA -> * mh type 1 bypass
		set fwd HoA -> * mh bypass
		set in HoA -> * any bypass
		set out * -> HoA any bypass
		set fwd HoA -> * any bypass
		assign 5 [HoA/64], prefix 2001:db8:1::/64, DNS [CN]`, spd.AddressRequest{
		Request: 5, Peer: "a", Wish: spd.Wish{Addresses: []netip.Addr{{}, {}}, HomePrefix: true, DNS: true},
	})
	const granted = "grant 6 binding with a (transport, HA - HoA) [HA mh 0x0600] [HoA mh 0x0500] reqids 102 101"
	for _, remote := range []spd.TrafficSelector{mh(HoA, 5), homeLink(spd.ProtoMH, 0x500, 0x500), everyone} {
		s.says(granted, spd.Request{Request: 6, Peer: "a", Mode: spd.Transport,
			Traffic: spd.Traffic{Local: list(mh(HA, 6)), Remote: list(remote)}})
	}
	s.says("refuse 6: a may not speak for OtherHoA, which is mn2's", spd.Request{Request: 6, Peer: "a", Mode: spd.Transport,
		Traffic: spd.Traffic{Local: list(mh(HA, 6)), Remote: list(mh(OtherHoA, 5))}})
	s.says("assign 7 [], prefix invalid Prefix, DNS [CN]", spd.AddressRequest{Request: 7, Peer: "a", Wish: spd.Wish{DNS: true}})
	if places := s.agent.Places(); len(places) != 2 || places[1].HomeAddress != HoA || places[1].Peer != "a" {
		t.Errorf("places %v", places)
	}
}

// Who has a configured home address is told that one, whatever it wishes for.
func TestAssignmentOfConfiguredAddresses(t *testing.T) {
	s := newInn(t, false, rooms(3))
	for _, wish := range []netip.Addr{{}, HoA, OtherHoA, OtherHoA.Next()} {
		if got := s.gets("mn2", wish); got != OtherHoA {
			t.Errorf("wished for %s, is told %s", wish, got)
		}
	}
	s = &inn{newScript(t, false, Home("mn", true)), start}
	if g := s.asks("mn", netip.Addr{}); g.Err != nil || g.Addresses[0] != netip.PrefixFrom(HoA, 128) {
		t.Errorf("without a home prefix it is told %+v", g)
	}
}

// A wish is heard where it can be: the address, or its interface identifier under the home prefix (RFC 7296 section
// 3.15.3, RFC 5026 section 5.3.2). What is another's, or no host's, it is not.
func TestRFC7296_3_15_3_Wishes(t *testing.T) {
	whole := Pool{Prefix: homeLinkPrefix, Hold: time.Hour}
	on := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for _, c := range []struct {
		name string
		wish string
		want string // empty: any other
	}{
		{"an address", "2001:db8:1::77", "2001:db8:1::77"},
		{"an address elsewhere", "2001:db8:f1::77", "2001:db8:1::77"},
		{"an interface identifier", "::1234:5678:9abc:def0", "2001:db8:1:0:1234:5678:9abc:def0"},
		{"the home agent's", "2001:db8:1::1", ""},
		{"another's, configured", "2001:db8:1::200", ""},
		{"another's, by its interface identifier", "2001:db8:2::200", ""},
		{"another's, assigned", "2001:db8:1::99", ""},
		{"the subnet-router anycast address", "2001:db8:1::", ""},
		{"the home agents' anycast address", "2001:db8:1:0:fdff:ffff:ffff:fffe", ""},
		{"an IPv4 address", "192.0.2.1", ""},
	} {
		s := newInn(t, false, whole)
		s.gets("c", on("2001:db8:1::99"))
		got := s.gets("a", on(c.wish))
		bad := got == on(c.wish) || got == OtherHoA || got == HA || !homeLinkPrefix.Contains(got)
		if c.want != "" {
			bad = got != on(c.want)
		}
		if bad {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// Whatever a mobile node does, it gets nobody else's address, nor a second one.
func TestNobodyGetsAnothersAddress(t *testing.T) {
	s := newInn(t, true, rooms(3))
	a := s.gets("a", netip.Addr{})
	s.up("a", 1)
	b := s.gets("b", a) // by a wish
	if b == a {
		t.Fatalf("both got %s", a)
	}
	s.up("b", 2)
	for name, err := range map[string]error{
		"by its traffic selectors": s.speaks("b", a),
		"of nobody":                s.speaks("b", s.free(t, a, b)),
		"configured":               s.speaks("b", OtherHoA),
	} {
		if err == nil || errors.Is(err, spd.ErrUnassigned) {
			t.Errorf("another's address %s: %v", name, err)
		}
	}
	if err := s.speaks("b", b); err != nil {
		t.Errorf("its own: %v", err)
	}
	if err := s.speaks("mn2", a); err == nil {
		t.Error("who has a configured one may speak for an assigned one")
	}
	if err := s.speaks("c", a); !errors.Is(err, spd.ErrUnassigned) {
		t.Errorf("who has none: %v", err)
	}
	// With a second IKE_SA, and with one that it was rekeyed to: the same, be it another that is wished for.
	s.up("a", 3)
	if again := s.gets("a", s.free(t, a, b)); again != a {
		t.Errorf("a second address, %s beside %s", again, a)
	}
	s.step(spd.PeerUp{Peer: "a", ID: 4, Replaces: 3})
	s.down("a", 3)
	s.down("a", 1)
	s.pass(10 * time.Hour)
	if again := s.gets("a", netip.Addr{}); again != a {
		t.Errorf("after rekeying %s, not %s", again, a)
	}
}

// free is an address of the pool that nobody has.
func (s *inn) free(t *testing.T, taken ...netip.Addr) netip.Addr {
	t.Helper()
	for x := OtherHoA.Next(); s.agent.guests.pool.contains(x); x = x.Next() {
		if !s.agent.guests.taken[x] {
			return x
		}
	}
	t.Fatalf("no address is free beside %v", taken)
	return netip.Addr{}
}

// An address is its mobile node's for a while after the last IKE_SA has ended, then anybody's, and its policies go
// (RFC 4877 section 9: it lives as long as the IKE_SA).
func TestRFC4877Section9_ReleaseAndReuse(t *testing.T) {
	pool := rooms(0)
	pool.Ranges = []Range{{HoA, HoA}}
	s := newInn(t, true, pool)
	s.gets("a", netip.Addr{})
	s.up("a", 1)
	s.pass(100 * time.Hour)
	if g := s.asks("b", netip.Addr{}); g.Err == nil || !strings.Contains(g.Err.Error(), "no home address is left for b") {
		t.Fatalf("the only address was assigned twice: %+v", g)
	}
	s.down("a", 1)
	Expect(t, s.pass(pool.Hold-1), "")
	if g := s.asks("b", netip.Addr{}); g.Err == nil {
		t.Fatalf("an address was given away too early: %+v", g)
	}
	// It comes back in time (INITIAL_CONTACT: the old IKE_SA is found dead), and its time begins anew.
	s.gets("a", netip.Addr{})
	s.step(spd.PeerUp{Peer: "a", ID: 2, First: true})
	Expect(t, s.pass(100*time.Hour), "")
	s.down("a", 2)
	Expect(t, s.pass(pool.Hold-1), "")
	Expect(t, s.pass(1), `
		report released a: HoA
		carry
		remove in HoA -> HA mh type 5
		remove in HoA -> HA mh
		remove out HA -> HoA mh type 6
		remove in HoA -> HA icmpv6 type 146
		remove out HA -> HoA icmpv6 type 147
		remove in HoA -> * mh type 1
		remove in HoA -> * mh
		remove out * -> HoA mh type 3
		remove out * -> HoA mh
		remove fwd HoA -> * mh type 1
		remove fwd HoA -> * mh
		remove in HoA -> * any
		remove out * -> HoA any
		remove fwd HoA -> * any`)
	if err := s.speaks("a", HoA); !errors.Is(err, spd.ErrUnassigned) {
		t.Errorf("who had it may still speak for it: %v", err)
	}
	if got := s.gets("b", netip.Addr{}); got != HoA {
		t.Errorf("b gets %s", got)
	}
	if err := s.speaks("b", HoA); err != nil {
		t.Error(err)
	}
	if len(s.agent.Places()) != 2 {
		t.Errorf("places %v", s.agent.Places())
	}
}

// An address that was assigned in a handshake which came to nothing is free again after a while.
func TestAssignmentWithoutAnIKESA(t *testing.T) {
	pool := rooms(1)
	s := newInn(t, false, pool)
	s.gets("a", netip.Addr{})
	s.pass(pool.Hold)
	s.gets("b", netip.Addr{})
	if g := s.asks("a", netip.Addr{}); g.Err == nil {
		t.Errorf("a got one, too: %+v", g)
	}
}

// As many get one as there are, each another; who was there before gets the same again, also from a home agent that has
// forgotten everything.
func TestPoolIsUsedUp(t *testing.T) {
	const n = 300
	var homes []migrate.Home
	for i := range n {
		open := Home(fmt.Sprint("mn", i), true)
		open.HomeAddress = netip.Addr{}
		homes = append(homes, open)
	}
	pool := rooms(n)
	run := func(count int) (got map[string]netip.Addr) {
		s := &inn{script{t, New(append(homes, OtherHome("other")), false, pool)}, start}
		got = map[string]netip.Addr{}
		seen := map[netip.Addr]bool{OtherHoA: true, HA: true}
		for _, home := range homes[:count] {
			a := s.gets(home.Peer, netip.Addr{})
			if seen[a] || !pool.contains(a) {
				t.Fatalf("%s gets %s", home.Peer, a)
			}
			seen[a], got[home.Peer] = true, a
		}
		return got
	}
	first, again := run(n), run(10)
	for name, a := range again {
		if first[name] != a {
			t.Errorf("%s got %s and %s", name, first[name], a)
		}
	}
}

func TestRangesOfAPrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"2001:db8:1::/64": "2001:db8:1::1-2001:db8:1:0:fdff:ffff:ffff:ff7f " +
			"2001:db8:1:0:fe00::-2001:db8:1:0:ffff:ffff:ffff:ffff",
		"2001:db8:1::/120":    "2001:db8:1::1-2001:db8:1::7f",
		"2001:db8:1::1:0/112": "2001:db8:1::1:1-2001:db8:1::1:ff7f",
	} {
		var got []string
		for _, r := range whole(netip.MustParsePrefix(prefix)) {
			got = append(got, r.First.String()+"-"+r.Last.String())
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%s: %s, want %s", prefix, got, want)
		}
	}
	p := Pool{Prefix: homeLinkPrefix, Ranges: whole(homeLinkPrefix)}
	if p.size() != 1<<63 || p.at(0) != p.Ranges[0].First || !p.contains(p.at(1<<63-1)) {
		t.Errorf("%d addresses, from %s to %s", p.size(), p.at(0), p.at(1<<63-1))
	}
	p.Ranges = []Range{{HoA, HoA}, {OtherHoA, OtherHoA.Next()}}
	if p.size() != 3 || p.at(0) != HoA || p.at(1) != OtherHoA || p.at(2) != OtherHoA.Next() || p.contains(HoA.Next()) {
		t.Errorf("%d addresses: %s %s %s", p.size(), p.at(0), p.at(1), p.at(2))
	}
}

// A road warrior that is assigned its address has a tunnel to where it asks from.
func TestRoadWarriorIsAssignedAnAddress(t *testing.T) {
	open := RoadWarrior("mn", migrate.NewIKE)
	open.HomeAddress = netip.Addr{}
	pool := rooms(0)
	pool.Ranges = []Range{{HoA, HoA}}
	s := &inn{script{t, New([]migrate.Home{open}, false, pool)}, start}
	if got := s.gets("mn", netip.Addr{}); got != HoA {
		t.Errorf("it is assigned %s", got)
	}
	here := spd.Path{Local: HA, Remote: CoA1}
	s.says("grant 6 payload with mn (tunnel, HA - CoA1) [* any] [HoA any] reqids 8 7", wants("mn", everyone, here))
	s.says(`
		carry
		set in HoA -> * any protect esp/tunnel/CoA1 -> HA/unique:7
		set out * -> HoA any protect esp/tunnel/HA -> CoA1/unique:8
		set fwd HoA -> * any protect esp/tunnel/CoA1 -> HA/unique:7
		report moved mn: to CoA1`, spd.PeerUp{Peer: "mn", ID: 1, Path: here})
	s.down("mn", 1)
	s.says("grant 6 payload with mn (tunnel, HA - CoA1) [* any] [HoA any] reqids 8 7", wants("mn", everyone, here))
	if effects := s.pass(pool.Hold); len(effects) != 2 || len(s.agent.Places()) != 0 {
		t.Errorf("in the end %v, places %v", effects, s.agent.Places())
	}
}
