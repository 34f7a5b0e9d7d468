package homeagent

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
	"mipsecd/spd/memory"
)

// Whatever guests do, in whatever order: no two have one address, who has an IKE_SA keeps his, each gets SAs for his own
// alone, and the kernel has the policies of those who have one.
func TestGuestsAtRandom(t *testing.T) {
	const guests = 4
	for seed := range uint64(30) {
		dice := rand.New(rand.NewPCG(seed, 1))
		homes := []migrate.Home{OtherHome("configured")}
		for i := range guests {
			open := Home(fmt.Sprint("mn", i), true)
			open.HomeAddress, open.Reqid = netip.Addr{}, uint32(100+8*i)
			homes = append(homes, open)
		}
		s := &inn{script{t, New(homes, true, rooms(guests-1))}, start}
		kernel := memory.New(memory.Options{}).Open()
		defer kernel.Close()
		has, up := map[string]netip.Addr{}, map[string][]uint64{}
		step := func(in migrate.Input) {
			for _, e := range s.agent.Step(s.now, in) {
				switch e := e.(type) {
				case migrate.Carry:
					if err := e.Apply(kernel); err != nil {
						t.Fatal(err)
					}
				case migrate.Report:
					if e.What == "released" {
						if len(up[e.Peer]) > 0 {
							t.Fatalf("seed %d: %s lost its address with an IKE_SA", seed, e.Peer)
						}
						delete(has, e.Peer)
					}
				case migrate.Tell:
					if g, ok := e.Command.(spd.AddressGrant); ok && g.Err == nil {
						who := in.(migrate.Keying).Notice.(spd.AddressRequest).Peer
						if was, ok := has[who]; ok && was != g.Addresses[0].Addr() {
							t.Fatalf("seed %d: %s has %s, and is assigned %s", seed, who, was, g.Addresses[0])
						}
						has[who] = g.Addresses[0].Addr()
					}
				}
			}
		}
		step(migrate.Snapshot{})
		for id := range uint64(300) {
			who := fmt.Sprint("mn", dice.IntN(guests))
			switch dice.IntN(6) {
			case 0, 1:
				wish := s.agent.guests.pool.at(dice.Uint64N(s.agent.guests.pool.size()))
				step(migrate.Keying{Notice: spd.AddressRequest{Peer: who, Wish: spd.Wish{Addresses: []netip.Addr{wish}}}})
			case 2:
				up[who] = append(up[who], id)
				step(migrate.Keying{Notice: spd.PeerUp{Peer: who, ID: id}})
			case 3, 4:
				if n := len(up[who]); n > 0 {
					gone := up[who][n-1]
					up[who] = up[who][:n-1]
					step(migrate.Keying{Notice: spd.PeerDown{Peer: who, ID: gone}})
				}
			case 5:
				s.now = s.now.Add(time.Duration(dice.Int64N(int64(s.agent.guests.pool.Hold))))
				step(migrate.Tick{})
			}
			s.consistent(kernel, has)
		}
	}
}

// consistent holds that the agent, its kernel and what guests were told agree.
func (s *inn) consistent(kernel *memory.Backend, has map[string]netip.Addr) {
	s.t.Helper()
	policies := len(s.agent.homes.Policies(OtherHoA))
	owner := map[netip.Addr]string{OtherHoA: "configured"}
	for who, a := range has {
		if other, taken := owner[a]; taken {
			s.t.Fatalf("%s is %s's and %s's", a, who, other)
		}
		owner[a] = who
		policies += len(s.agent.homes.Policies(a))
	}
	if got, err := kernel.Policies(); err != nil || len(got) != policies || len(s.agent.Places()) != len(owner) {
		s.t.Fatalf("%d policies, want %d; %v", len(got), policies, err)
	}
	for a := OtherHoA; s.agent.guests.pool.contains(a); a = a.Next() {
		for _, who := range []string{"mn0", "mn1", "mn2", "mn3"} {
			if err := s.speaks(who, a); (err == nil) != (owner[a] == who) {
				s.t.Fatalf("%s asks for %s, which is %q's: %v", who, a, owner[a], err)
			}
		}
	}
}
