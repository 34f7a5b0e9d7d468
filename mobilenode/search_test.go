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

// newSeeker is a mobile node that knows neither its home address nor its home agent's.
func newSeeker(t *testing.T, autoconfigured bool) *tenant {
	open := Home("ha", true)
	open.HomeAddress, open.HomeAgent, open.What = netip.Addr{}, netip.Addr{}, []migrate.Protection{migrate.ProtectBinding}
	open.Autoconfigured = autoconfigured
	return &tenant{newScript(t, true, open), start}
}

func agents(list ...netip.Addr) migrate.HomeAgents {
	return migrate.HomeAgents{Peer: "ha", From: CoA1, Addresses: list}
}

const (
	seeks     = "find ha from CoA1"
	turnsTo   = "report home agent ha: HA\n" + asks1
	turnsToCN = "report home agent ha: CN\n" +
		"key 0 binding with ha (transport, CoA1 - CN) [* mh 0x0500] [CN mh 0x0600] reqids 1 2 over CoA1 - CN"
)

// As soon as there is an address to ask from, home agents are looked for; the first that is found is asked for a home address,
// the next if it does not answer, and then they are looked for anew.
func TestRFC5026_5_1_2_NextHomeAgent(t *testing.T) {
	s := newSeeker(t, false)
	s.step("", migrate.Snapshot{}, migrate.Addresses{}, agents(HA)) // which nobody has asked for
	s.step(seeks, at1)
	s.step("", at1)
	s.step(turnsToCN, agents(CN, HA))
	s.says(turnsTo, failed)
	s.says("", failed)
	s.rests(10*time.Second, seeks) // the second failure in a row
	s.step(turnsTo, agents(HA))
	s.says(settled, assigned(HoA), up)
	if p := s.node.Places(); len(p) != 1 || p[0].HomeAgent != HA {
		t.Errorf("places %v", p)
	}
}

// Where none is found, they are looked for less and less often.
func TestNoHomeAgentFound(t *testing.T) {
	s := newSeeker(t, false)
	s.step(seeks, at1)
	for _, wait := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
		s.step("report no home agent found ha: no such host", migrate.HomeAgents{Peer: "ha", From: CoA1, Err: errors.New("no such host")})
		s.rests(wait*time.Second, seeks)
	}
	s.step(turnsTo, agents(HA))
}

// Who moves while it looks for a home agent looks again from where it is.
func TestMovesWhileSearching(t *testing.T) {
	s := newSeeker(t, false)
	s.step(seeks, at1)
	s.step("find ha from CoA2", at2)
	s.step("", migrate.HomeAgents{Peer: "ha", From: CoA1, Err: errors.New("no answer")}, agents(HA))
	s.step("report home agent ha: HA\n"+asks2, migrate.HomeAgents{Peer: "ha", From: CoA2, Addresses: []netip.Addr{HA}})
}

// A home agent that was lost is asked first (RFC 6275 section 11.4.1: any new registration is attempted with it); another one
// has to assign another home address.
func TestRFC6275_11_4_1_LostHomeAgent(t *testing.T) {
	s := newSeeker(t, false)
	s.step(seeks, at1)
	s.step(turnsTo, agents(HA, CN))
	s.says(settled, assigned(HoA), up)
	s.says("", down)
	s.rests(5*time.Second, asks1)
	s.says("", assigned(HoA), up)
	s.says("", down)
	s.rests(5*time.Second, asks1)
	s.says(vacated+"\n"+turnsToCN, failed)
}

// A home agent that tells a prefix, and then does not answer, has no say in the home address of the next.
func TestNextHomeAgentTellsAnotherPrefix(t *testing.T) {
	s := newSeeker(t, true)
	s.step(seeks, at1)
	s.step(turnsTo, agents(HA, CN))
	s.says(claims(0), tells(homeLink), up, failed)
	s.says(turnsToCN, down, spd.KeyFailed{Demand: claim(0), Err: errors.New("no answer")})
	if n := s.node.tenancies[0]; n.prefix.IsValid() || n.claimed.IsValid() {
		t.Errorf("%+v", n.own)
	}
}

// Whatever happens in whatever order, a node that has to find all has its address and an IKE_SA, or asks or looks for
// something, or will; and the host has the address that the node has.
func TestNeverAtALossWithoutAnyAddress(t *testing.T) {
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 3))
		s := newSeeker(t, seed%2 == 0)
		var asked []spd.Demand
		var from, onHost netip.Addr
		sas := map[uint64]bool{}
		step := func(in migrate.Input) {
			for _, e := range s.node.Step(s.now, in) {
				switch e := e.(type) {
				case migrate.SetAddress:
					if onHost = e.Address; e.Gone {
						onHost = netip.Addr{}
					}
				case migrate.FindHomeAgent:
					from = e.From
				case migrate.Tell:
					if key, ok := e.Command.(spd.Key); ok {
						asked = append(asked, key.Demand)
					}
				}
			}
		}
		says := func(n spd.Notice) { step(migrate.Keying{Notice: n}) }
		step(at1)
		for id := range uint64(300) {
			switch dice.IntN(8) {
			case 0:
				step([]migrate.Addresses{at1, at2}[dice.IntN(2)])
			case 1:
				if from.IsValid() {
					found := migrate.HomeAgents{Peer: "ha", From: from, Addresses: []netip.Addr{HA, CN}[dice.IntN(2):]}
					if dice.IntN(3) == 0 {
						found.Addresses, found.Err = nil, errors.New("no such host")
					}
					from = netip.Addr{}
					step(found)
				}
			case 2, 3: // the answer to one that was asked
				if len(asked) == 0 {
					break
				}
				d := asked[0]
				asked = asked[1:]
				answer := dice.IntN(4)
				if d.Unassigned && answer > 0 {
					if says([]spd.Notice{tells(homeLink), assigned(HoA), assigned(OtherHoA)}[dice.IntN(3)]); len(sas) == 0 {
						sas[id] = true
						says(spd.PeerUp{Peer: "ha", ID: id})
					}
				}
				if d.Unassigned || answer == 0 {
					says(spd.KeyFailed{Demand: d, Err: errors.New("no answer")})
				} else if answer == 1 {
					says(spd.KeyFailed{Demand: d, Err: spd.ErrTraffic})
				} else {
					if len(sas) == 0 {
						sas[id] = true
						says(spd.PeerUp{Peer: "ha", ID: id})
					}
					says(spd.ChildUp{Demand: d})
				}
			case 4: // the home agent begins
				sas[id] = true
				says(spd.PeerUp{Peer: "ha", ID: id})
			case 5:
				for _, id := range slices.Sorted(maps.Keys(sas)) {
					delete(sas, id)
					says(spd.PeerDown{Peer: "ha", ID: id})
				}
			case 6:
				if at := s.node.Deadline(); !at.IsZero() {
					s.now = at
					step(migrate.Tick{})
				}
			case 7:
				step(duplicate(onHost, HA))
			}
			tenancy := s.node.tenancies[0]
			settled := tenancy.address.IsValid() && len(sas) > 0
			if !settled && len(asked) == 0 && !from.IsValid() && s.node.Deadline().IsZero() {
				t.Fatalf("seed %d, step %d: at a loss: %+v", seed, id, tenancy)
			}
			if tenancy.address != onHost || len(s.node.Places()) > 0 != onHost.IsValid() {
				t.Fatalf("seed %d, step %d: the host has %s: %+v", seed, id, onHost, tenancy)
			}
		}
	}
}
