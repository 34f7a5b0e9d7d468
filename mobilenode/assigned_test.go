package mobilenode

import (
	"errors"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// tenant is a mobile node without a home address, with a clock of its own.
type tenant struct {
	script
	now time.Time
}

func newTenant(t *testing.T, what ...migrate.Protection) *tenant {
	open := Home("ha", true)
	open.HomeAddress, open.What = netip.Addr{}, what
	return &tenant{newScript(t, true, open), start}
}

func (s *tenant) step(want string, inputs ...migrate.Input) {
	s.t.Helper()
	var effects []migrate.Effect
	for _, in := range inputs {
		effects = append(effects, s.node.Step(s.now, in)...)
	}
	Expect(s.t, effects, want)
}

func (s *tenant) says(want string, notices ...spd.Notice) {
	s.t.Helper()
	var inputs []migrate.Input
	for _, n := range notices {
		inputs = append(inputs, migrate.Keying{Notice: n})
	}
	s.step(want, inputs...)
}

// rests lets time go by until the node wants a tick, which must be after so long.
func (s *tenant) rests(d time.Duration, want string) {
	s.t.Helper()
	if at := s.node.Deadline(); !at.Equal(s.now.Add(d)) {
		s.t.Fatalf("it waits %s, want %s", at.Sub(s.now), d)
	}
	s.now = s.now.Add(d)
	s.step(want, migrate.Tick{})
}

var (
	at1, at2 = migrate.Addresses{List: []netip.Addr{CoA1}}, migrate.Addresses{List: []netip.Addr{CoA2}}
	failed   = spd.KeyFailed{Demand: spd.Demand{Peer: "ha", Unassigned: true}, Err: errors.New("no answer")}
	up       = spd.PeerUp{Peer: "ha", ID: 1}
	down     = spd.PeerDown{Peer: "ha", ID: 1}
)

const (
	asks1 = "key 0 binding with ha (transport, CoA1 - HA) [* mh 0x0500] [HA mh 0x0600] reqids 1 2 over CoA1 - HA"
	asks2 = "key 0 binding with ha (transport, CoA2 - HA) [* mh 0x0500] [HA mh 0x0600] reqids 1 2 over CoA2 - HA"

	settled = `
		address HoA
		report assigned ha: HoA
		carry
		set out HoA -> HA mh type 5 protect esp/transport/unique:1
		set in HA -> HoA mh type 6 protect esp/transport/unique:2
		set in HA -> HoA mh protect esp/transport/unique:2`
	vacated = `
		report released ha: HoA
		carry
		remove out HoA -> HA mh type 5
		remove in HA -> HoA mh type 6
		remove in HA -> HoA mh
		no address HoA`
)

func assigned(a netip.Addr) spd.Assigned {
	return spd.Assigned{Peer: "ha", Assignment: spd.Assignment{
		Addresses: []netip.Prefix{netip.PrefixFrom(a, 64)}, DNS: []netip.Addr{CN},
	}}
}

// A node without a home address asks for one as soon as it has an address to ask from, and lives under what it is assigned
// until it ends.
func TestRFC4877Section9_FromStartToEnd(t *testing.T) {
	s := newTenant(t, migrate.ProtectBinding)
	s.step("", migrate.Snapshot{}, migrate.Addresses{})
	s.step(asks1, at1)
	s.step("", at1) // once is enough
	s.says(settled, assigned(HoA))
	s.says("", up)
	if p := s.node.Places(); len(p) != 1 || p[0].HomeAddress != HoA || !p[0].Assigned || len(p[0].DNS) != 1 {
		t.Errorf("places %v", p)
	}
	s.says("", assigned(HoA))
	if !s.node.Deadline().IsZero() {
		t.Error("it waits for something")
	}
	// It serves as one that is configured does.
	d := Daemon{Protected: Home("ha", true).Protected}
	s.step(`
		carry
		or else
		set out HoA -> HA mh type 5 protect esp/transport/unique:1
		set in HA -> HoA mh type 6 protect esp/transport/unique:2
		set in HA -> HoA mh protect esp/transport/unique:2
		report moved ha: to CoA1
		relocate ha to CoA1 - HA, keep, renew`, migrate.Kernel{Event: d.Binds(CoA1)})
	s.step(vacated, migrate.End{})
	s.says("", down)
	if !s.node.Deadline().IsZero() {
		t.Error("it waits for something after the end")
	}
}

// Who gets no answer asks again, less and less often; from where it is by then.
func TestAsksAgain(t *testing.T) {
	s := newTenant(t, migrate.ProtectBinding)
	s.step(asks1, at1)
	s.says("", failed)
	for _, wait := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
		s.rests(wait*time.Second, asks1)
		s.says("", failed, failed)
	}
	s.step("", at2)
	s.rests(5*time.Minute, asks2)
	s.step("relocate ha to CoA1 - HA, renew", at1) // it has moved meanwhile
	s.step("", migrate.Addresses{})
	s.says(settled, assigned(HoA))
	s.says("", up)
}

// An operator need not wait.
func TestConnectAsksAtOnce(t *testing.T) {
	s := newTenant(t, migrate.ProtectBinding)
	s.step(asks1, at1)
	s.says("", failed)
	s.step(asks1, migrate.Connect{Peer: "ha"})
}

// A home agent that has no address is left alone for minutes, without an IKE_SA (RFC 7296 section 3.15.4, RFC 4877
// section 9).
func TestRFC7296_3_15_4_NoAddress(t *testing.T) {
	s := newTenant(t, migrate.ProtectBinding)
	s.step(asks1, at1)
	s.says("terminate ha", spd.Assigned{Peer: "ha", Err: errors.New("INTERNAL_ADDRESS_FAILURE")}, up, failed)
	s.says("", down)
	s.rests(5*time.Minute, asks1)
}

// A home agent that takes the address away says so when it is asked again.
func TestRFC7296_3_15_4_AddressTakenAway(t *testing.T) {
	s := newTenant(t, migrate.ProtectBinding)
	s.step(asks1, at1)
	s.says(settled, assigned(HoA), up)
	s.says("", down)
	s.rests(5*time.Second, asks1)
	s.says(vacated+"\nterminate ha", spd.Assigned{Peer: "ha", Err: errors.New("INTERNAL_ADDRESS_FAILURE")}, up, failed, down)
	s.rests(5*time.Minute, asks1)
}

// Where the home agent was first to begin an IKE_SA, as when it has traffic for a mobile node that was started anew, the
// address is asked for all the same.
func TestAsksOnTheHomeAgentsIKESA(t *testing.T) {
	s := newTenant(t, migrate.ProtectBinding)
	s.says("", spd.PeerUp{Peer: "ha", ID: 9})
	s.step(asks1, at1)
	s.says("", failed)
	s.rests(5*time.Second, asks1)
	s.says(settled, assigned(HoA))
	s.says("", spd.PeerDown{Peer: "ha", ID: 9})
	s.rests(5*time.Second, asks1)
}

// When the IKE_SA has gone it is set up anew, with the address in use meanwhile. Another one that is assigned then takes
// its place.
func TestRFC4877Section9_AnotherAddress(t *testing.T) {
	s := newTenant(t, migrate.ProtectBinding)
	s.step(asks1, at1)
	s.says(settled, assigned(HoA))
	s.says("", up)
	s.says("", spd.PeerUp{Peer: "ha", ID: 2, Replaces: 1}, down)
	s.says("", spd.PeerDown{Peer: "ha", ID: 2})
	s.rests(5*time.Second, asks1)
	s.says("", assigned(HoA), up)
	s.says("", down)
	s.rests(5*time.Second, asks1)
	s.says(vacated+`
		address OtherHoA
		report assigned ha: OtherHoA
		carry
		set out OtherHoA -> HA mh type 5 protect esp/transport/unique:1
		set in HA -> OtherHoA mh type 6 protect esp/transport/unique:2
		set in HA -> OtherHoA mh protect esp/transport/unique:2`, assigned(OtherHoA), up)
	if p := s.node.Places(); len(p) != 1 || p[0].HomeAddress != OtherHoA {
		t.Errorf("places %v", p)
	}
}

// An address that is assigned and no good is not taken.
func TestUnusableAssignment(t *testing.T) {
	open := Home("ha", true)
	open.HomeAddress = netip.Addr{}
	s := &tenant{newScript(t, true, OtherHome("other"), open), start}
	for _, a := range []netip.Addr{OtherHoA, HA} {
		s.says("report unusable assignment ha: it is another's", assigned(a))
	}
	s.says("", spd.Assigned{Peer: "ha"}, spd.Assigned{Peer: "other", Assignment: assigned(HoA).Assignment},
		spd.PeerUp{Peer: "other"}, spd.PeerDown{Peer: "other"}, spd.KeyFailed{Demand: spd.Demand{Peer: "other", Unassigned: true}})
}

// A road warrior asks for its tunnel, and has it where it asked from.
func TestRoadWarriorIsAssignedAnAddress(t *testing.T) {
	open := RoadWarrior("ha", migrate.NewIKE)
	open.HomeAddress = netip.Addr{}
	s := &tenant{newScript(t, false, open), start}
	in := here(CoA2, CoA1)
	in.Sources = map[netip.Addr]netip.Addr{HA: CoA1}
	s.step("key 0 payload with ha (tunnel, CoA1 - HA) [* any] [* any] reqids 7 8 over CoA1 - HA", in)
	s.says(`
		address HoA
		report assigned ha: HoA`+shut+atCoA1, assigned(HoA))
	s.says("", up)
	s.step(moving+"relocate ha to CoA2 - HA, renew", here(CoA2, HoA))
	s.says("", spd.PeerUp{Peer: "ha", ID: 2}, down)
	s.step(`
		report released ha: HoA
		carry
		remove out HoA -> * any
		remove in * -> HoA any
		no address HoA`, migrate.End{})
}

// With MOBIKE the key exchange knows from the start which addresses there are.
func TestUnassignedRoadWarriorTellsItsAddresses(t *testing.T) {
	open := RoadWarrior("ha", migrate.MOBIKE)
	open.HomeAddress = netip.Addr{}
	s := &tenant{newScript(t, false, open), start}
	s.step(`
		addresses [CoA2 CoA1]
		key 0 payload with ha (tunnel, CoA2 - HA) [* any] [* any] reqids 7 8 over CoA2 - HA`, here(CoA2, CoA1))
}

// Whatever happens in whatever order, a node that has a care-of address has its address and an IKE_SA, or asks, or will ask;
// and the host has the address that the node has.
func TestNeverAtALoss(t *testing.T) {
	for seed := range uint64(100) {
		dice := rand.New(rand.NewPCG(seed, 2))
		s := newTenant(t, migrate.ProtectBinding)
		sas, asked := map[uint64]bool{}, false
		var onHost netip.Addr
		step := func(in migrate.Input) {
			for _, e := range s.node.Step(s.now, in) {
				switch e := e.(type) {
				case migrate.SetAddress:
					if onHost = e.Address; e.Gone {
						onHost = netip.Addr{}
					}
				case migrate.Tell:
					if _, key := e.Command.(spd.Key); key {
						asked = true
					}
				}
			}
		}
		says := func(n spd.Notice) { step(migrate.Keying{Notice: n}) }
		step(at1)
		for id := range uint64(200) {
			switch dice.IntN(7) {
			case 0:
				step([]migrate.Addresses{at1, at2}[dice.IntN(2)])
			case 1, 2: // the answer to what was asked, if it was
				if asked {
					asked = false
					none := spd.Assigned{Peer: "ha", Err: errors.New("none")}
					says([]spd.Notice{failed, assigned(HoA), assigned(OtherHoA), none}[dice.IntN(4)])
					if dice.IntN(2) == 0 {
						sas[id] = true
						says(spd.PeerUp{Peer: "ha", ID: id})
					} else {
						says(failed)
					}
				}
			case 3: // the home agent begins
				sas[id] = true
				says(spd.PeerUp{Peer: "ha", ID: id})
			case 4, 5:
				for _, id := range slices.Sorted(maps.Keys(sas)) {
					delete(sas, id)
					says(spd.PeerDown{Peer: "ha", ID: id})
				}
			case 6:
				if at := s.node.Deadline(); !at.IsZero() {
					s.now = at
					step(migrate.Tick{})
				}
			}
			tenancy, waits := s.node.tenancies[0], s.node.Deadline()
			if settled := tenancy.address.IsValid() && len(sas) > 0; !settled && !asked && waits.IsZero() {
				t.Fatalf("seed %d, step %d: at a loss: %+v", seed, id, tenancy)
			}
			if tenancy.address != onHost || len(s.node.Places()) > 0 != onHost.IsValid() {
				t.Fatalf("seed %d, step %d: the host has %s: %+v", seed, id, onHost, tenancy)
			}
		}
	}
}
