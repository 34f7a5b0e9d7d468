package homeagent

import (
	"errors"
	"net/netip"
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// asksPrefix asks for the home prefix alone.
func asksPrefix(peer string) spd.AddressRequest {
	return spd.AddressRequest{Request: 5, Peer: peer, Wish: spd.Wish{HomePrefix: true}}
}

// A home agent that allows it tells who asks for the home prefix alone no more than that, and grants it the address for which
// it then asks for SAs, if that may be a host's and is nobody's (RFC 5026 section 9.2).
func TestRFC5026_5_3_2_Autoconfiguration(t *testing.T) {
	pool := rooms(3)
	pool.Autoconfiguration = true
	s := newInn(t, true, pool)
	assigned := s.gets("c", netip.Addr{})
	const told = "assign 5 [], prefix 2001:db8:1::/64, DNS []"
	s.says(told, asksPrefix("a"))
	if err := s.speaks("a", netip.IPv6Unspecified()); !errors.Is(err, spd.ErrUnassigned) {
		t.Errorf("before it has claimed an address: %v", err)
	}
	one, other := netip.MustParseAddr("2001:db8:1::abcd"), netip.MustParseAddr("2001:db8:1::abce")
	for name, a := range map[string]netip.Addr{
		"the home agent's": HA, "another's, configured": OtherHoA, "another's, assigned": assigned, "one elsewhere": CN,
		"the subnet routers'": homeLinkPrefix.Addr(), "the home agents'": netip.MustParseAddr("2001:db8:1:0:fdff:ffff:ffff:fffe"),
	} {
		if err := s.speaks("a", a); err == nil {
			t.Errorf("it may speak for an address that is %s, %s", name, a)
		}
	}
	if err := s.speaks("mn2", one); err == nil {
		t.Error("who has a configured address may speak for one of its own making")
	}
	if err := s.speaks("a", one); err != nil {
		t.Fatal(err)
	}
	s.up("a", 1)
	if err := s.speaks("b", one); err == nil {
		t.Error("b may speak for a's address")
	}
	s.says(told, asksPrefix("a")) // though it has one by now

	var vacated []spd.Vacate
	for _, e := range s.step(spd.Request{Request: 6, Peer: "a", Mode: spd.Transport, Traffic: spd.Traffic{
		Local: list(mh(HA, 6)), Remote: list(mh(other, 5)),
	}}) {
		if tell, ok := e.(migrate.Tell); ok {
			if v, ok := tell.Command.(spd.Vacate); ok {
				vacated = append(vacated, v)
			}
		}
	}
	if len(vacated) != 1 || vacated[0] != (spd.Vacate{Peer: "a", Address: one}) || len(s.agent.Places()) != 3 {
		t.Errorf("another in its place: %v, places %v", vacated, s.agent.Places())
	}
	if err := s.speaks("b", one); err != nil {
		t.Errorf("b may not speak for what a has given up: %v", err)
	}
}

// Where that is not allowed, who asks for the home prefix is assigned an address.
func TestRFC5026_5_3_2_UseAssigned(t *testing.T) {
	s := newInn(t, true, rooms(3))
	effects := s.step(asksPrefix("a"))
	tell, _ := effects[len(effects)-1].(migrate.Tell)
	if g, ok := tell.Command.(spd.AddressGrant); !ok || len(g.Addresses) != 1 || !s.agent.guests.pool.contains(g.Addresses[0].Addr()) {
		t.Errorf("it is told %+v", tell.Command)
	}
	if err := s.speaks("a", netip.MustParseAddr("2001:db8:1::abcd")); err == nil {
		t.Error("it may speak for an address of its own making")
	}
}

// Who has an IKE_SA and wishes for another address than it has gets another, as after Duplicate Address Detection has failed;
// it keeps what it has if there is none.
func TestRFC5026_5_3_2_AnotherAddress(t *testing.T) {
	s := newInn(t, true, rooms(2))
	asks := func(wish netip.Addr) netip.Addr {
		effects := s.step(spd.AddressRequest{Request: 5, Peer: "a", Anew: true, Wish: spd.Wish{Addresses: []netip.Addr{wish}}})
		return effects[len(effects)-1].(migrate.Tell).Command.(spd.AddressGrant).Addresses[0].Addr()
	}
	first := s.gets("a", netip.Addr{})
	s.up("a", 1)
	for _, wish := range []netip.Addr{{}, first} {
		if got := asks(wish); got != first {
			t.Errorf("it wishes for %s and gets %s in place of %s", wish, got, first)
		}
	}
	second := asks(first.Next())
	if err := s.speaks("a", second); err != nil || second == first || s.speaks("a", first) == nil {
		t.Errorf("%s in place of %s: %v", second, first, err)
	}
	if got := s.gets("b", first); got != first {
		t.Errorf("b gets %s", got)
	}
	if got := asks(first); got != second {
		t.Errorf("none is left, and it gets %s in place of %s", got, second)
	}
}
