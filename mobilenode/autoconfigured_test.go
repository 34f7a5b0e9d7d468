package mobilenode

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"mipsecd/internal/secret"
	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/mobility"
	"mipsecd/spd"
)

var homeLink = netip.MustParsePrefix("2001:db8:1::/64")

// made is the n-th address that the node of these tests makes.
func made(n uint32) netip.Addr { return ownAddress(homeLink, "ha", n, hostSecret) }

// maker is a mobile node that makes its home address itself.
func newMaker(t *testing.T) *tenant {
	open := Home("ha", true)
	open.HomeAddress, open.What, open.Autoconfigured = netip.Addr{}, []migrate.Protection{migrate.ProtectBinding}, true
	return &tenant{newScript(t, true, open), start}
}

func tells(p netip.Prefix) spd.Assigned {
	return spd.Assigned{Peer: "ha", Assignment: spd.Assignment{HomePrefix: p, DNS: []netip.Addr{CN}}}
}

func claims(n uint32) string {
	return fmt.Sprintf("key 0 binding with ha (transport, %[1]s - HA) [%[1]s mh 0x0500] [HA mh 0x0600] reqids 1 2 over CoA1 - HA", made(n))
}

func took(n uint32) string {
	return fmt.Sprintf(`
		address %[1]s
		report assigned ha: %[1]s
		carry
		set out %[1]s -> HA mh type 5 protect esp/transport/unique:1
		set in HA -> %[1]s mh type 6 protect esp/transport/unique:2
		set in HA -> %[1]s mh protect esp/transport/unique:2`, made(n))
}

func gaveUp(n uint32) string {
	return fmt.Sprintf(`
		report released ha: %[1]s
		carry
		remove out %[1]s -> HA mh type 5
		remove in HA -> %[1]s mh type 6
		remove in HA -> %[1]s mh
		no address %[1]s`, made(n))
}

// claim is the first pair of SAs for the n-th address.
func claim(n uint32) spd.Demand {
	return spd.Demand{Peer: "ha", Traffic: spd.Traffic{Local: []spd.TrafficSelector{{Start: made(n), End: made(n)}}}}
}

func granted(n uint32) spd.ChildUp { return spd.ChildUp{Demand: claim(n)} }

func refused(n uint32) spd.KeyFailed {
	return spd.KeyFailed{Demand: claim(n), Err: fmt.Errorf("the peer says: %w", spd.ErrTraffic)}
}

// begun is a maker whose home agent has told the prefix.
func begun(t *testing.T) *tenant {
	s := newMaker(t)
	s.step(asks1, at1)
	s.says(claims(0), tells(homeLink), up, failed) // the pair of IKE_AUTH, as there was no address yet
	return s
}

// The home agent tells the prefix, and the address is the node's once the first pair of SAs for it stands; with a new IKE_SA it
// is claimed at once.
func TestRFC5026_5_3_2_Autoconfiguration(t *testing.T) {
	s := begun(t)
	s.says(took(0), granted(0))
	if p := s.node.Places(); len(p) != 1 || p[0].HomeAddress != made(0) || len(p[0].DNS) != 1 {
		t.Errorf("places %v", p)
	}
	s.says("", tells(homeLink)) // in a new IKE_SA that took the place of the first
	if !s.node.Deadline().IsZero() {
		t.Error("it waits for something")
	}
	s.says("", down)
	s.rests(5*time.Second, claims(0))
	s.says("", tells(homeLink), up, granted(0))
	s.step(gaveUp(0), migrate.End{})
}

// A home agent whose addresses cannot be made by others assigns one.
func TestRFC5026_5_3_2_UseAssigned(t *testing.T) {
	s := newMaker(t)
	s.step(asks1, at1)
	s.says(settled, assigned(HoA), up)
	s.says("", down)
	s.rests(5*time.Second, asks1)
}

// An address that is refused is another's: the node makes others, but not for ever.
func TestRFC7217Section6_Refused(t *testing.T) {
	s := begun(t)
	s.says(claims(1), refused(0))
	s.says("", refused(0)) // is no news
	s.says(claims(2), refused(1))
	s.says("", refused(2))
	s.rests(5*time.Minute, claims(3))
	s.says("", spd.KeyFailed{Demand: claim(3), Err: errors.New("no answer")})
	s.says("", down)
	s.rests(5*time.Minute, claims(3))
	s.says(took(3), up, granted(3))
	// Nor is one any longer that the home agent does not know again.
	s.says("", down)
	s.rests(5*time.Second, claims(3))
	s.says(gaveUp(3)+"\n"+claims(4), tells(homeLink), up, refused(3))
}

// duplicate is the home agent's word that another host has a home address.
func duplicate(home, agent netip.Addr) migrate.Acknowledged {
	return migrate.Acknowledged{HomeAddress: home, HomeAgent: agent, Status: uint8(mobility.StatusDADFailed)}
}

// Who hears that another host has its address makes another one, on the IKE_SA that there is.
func TestRFC5026_5_3_2_Duplicate(t *testing.T) {
	s := begun(t)
	s.says(took(0), granted(0))
	s.step("", duplicate(OtherHoA, HA), duplicate(made(0), CN))
	s.step(fmt.Sprintf("report duplicate ha: another host has it\n%s\nvacate ha %s\n%s", gaveUp(0), made(0), claims(1)),
		duplicate(made(0), HA))
	s.step("", duplicate(made(0), HA))
	s.says(took(1), granted(1))
}

// So does who was assigned it: it wishes for another one.
func TestDuplicateOfAnAssignedAddress(t *testing.T) {
	s := newTenant(t, migrate.ProtectBinding)
	s.step(asks1, at1)
	s.says(settled, assigned(HoA), up)
	effects := s.node.Step(s.now, duplicate(HoA, HA))
	last := effects[len(effects)-1].(migrate.Tell).Command.(spd.Key)
	if !last.Demand.Unassigned || last.Demand.Wished != HoA.Next() {
		t.Errorf("it asks for %+v", last.Demand)
	}
	Expect(t, effects, "report duplicate ha: another host has it\n"+vacated+"\nvacate ha HoA\n"+asks1)
	s.says(`
		address OtherHoA
		report assigned ha: OtherHoA
		carry
		set out OtherHoA -> HA mh type 5 protect esp/transport/unique:1
		set in HA -> OtherHoA mh type 6 protect esp/transport/unique:2
		set in HA -> OtherHoA mh protect esp/transport/unique:2`, assigned(OtherHoA))
	if !s.node.Deadline().IsZero() {
		t.Error("it waits for something")
	}
}

// A configured home address stays, and people are told.
func TestDuplicateOfAConfiguredAddress(t *testing.T) {
	s := newScript(t, true, Home("ha", true))
	s.step("report duplicate ha: another host has it", duplicate(HoA, HA))
}

// A prefix under which no address can be made is as none.
func TestUnusableHomePrefix(t *testing.T) {
	for _, p := range []string{"2001:db8::/63", "2001:db8:1::/121", "fe80::/64", "192.0.2.0/24", "::/64"} {
		s := newMaker(t)
		s.step(asks1, at1)
		s.says("report unusable home prefix ha: "+p+"\nterminate ha", tells(netip.MustParsePrefix(p)), up, down)
		s.rests(5*time.Minute, asks1)
	}
}

// The prefix is told to who begins the IKE_SA.
func TestBeginsAnewWhereTheHomeAgentHasBegun(t *testing.T) {
	s := newMaker(t)
	s.says("", up)
	s.step("terminate ha", at1)
	s.says("", down)
	s.rests(5*time.Second, asks1)
}

// An address is the same each time, but for another prefix, home agent, number of collisions or host; it is no anycast
// address.
func TestRFC7217_OwnAddress(t *testing.T) {
	seen := map[netip.Addr]string{}
	for _, host := range []string{"one", "another"} {
		for _, prefix := range []string{"2001:db8:1::/64", "2001:db8:2::/64", "2001:db8:3::/96"} {
			for _, peer := range []string{"ha", "hb"} {
				for n := range uint32(10) {
					p := netip.MustParsePrefix(prefix)
					a := ownAddress(p, peer, n, secret.Bytes(host))
					what := fmt.Sprint(host, prefix, peer, n)
					if other, ok := seen[a]; ok || !p.Contains(a) || a != ownAddress(p, peer, n, secret.Bytes(host)) {
						t.Errorf("%s: %s, as %s", what, a, other)
					}
					seen[a] = what
				}
			}
		}
	}
	short := netip.MustParsePrefix("2001:db8:4::/120") // where every other one is an anycast address
	for n := range uint32(1000) {
		if a := ownAddress(short, "ha", n, nil); mobility.IsAnycast(short, a) {
			t.Errorf("%s", a)
		}
	}
}
