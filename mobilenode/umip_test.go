package mobilenode

import (
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// What UMIP does at home, away, on another link and home again, as the kernel reports it; and what the key exchange is
// told: where it runs, once for each movement, and which SAs have moved.
func TestUMIPWithKMAddress(t *testing.T) {
	home := Home("ha", true)
	d := Daemon{Protected: home.Protected, KMAddress: true}
	s := newScript(t, false, home, OtherHome("ha"))
	s.step("", migrate.Snapshot{Policies: d.Static()})

	// Initial registration: the tunnels are there at HoA before they move.
	s.kernel("", Adds(d.Tunnels(HoA))...)
	s.kernel(`
		report moved ha: to CoA1
		relocate ha to CoA1 - HA, keep, renew`, d.MovesStatic(CoA1)...)
	s.kernel("", d.Binds(CoA1))
	// A packet may be faster than the MIGRATE of its policy, which Linux refuses until it has the SAs that it calls for.
	s.kernel("key 1 payload with ha (tunnel, HoA - HA) [HoA any] [* any] reqids 7 8 over CoA1 - HA",
		acquire(d, HoA, migrate.ProtectPayload, nil))
	s.kernel(`
		move SAs of ha: esp tunnel 5 from HoA -> HA to CoA1 -> HA
		move SAs of ha: esp tunnel 6 from HA -> HoA to HA -> CoA1
		move SAs of ha: esp tunnel 7 from HoA -> HA to CoA1 -> HA
		move SAs of ha: esp tunnel 8 from HA -> HoA to HA -> CoA1`, d.MovesTunnels(HoA, CoA1)...)
	// RFC 4877 section 4.4: IKE from the CoA, SAs on the HoA.
	s.kernel("key 1 binding with ha (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2 over CoA1 - HA",
		acquire(d, CoA1, migrate.ProtectBinding, nil))
	s.kernel("key 1 prefix with ha (transport, HoA - HA) [HoA icmpv6 0x9200-0x92ff] [HA icmpv6 0x9300-0x93ff] reqids 3 4 "+
		"over CoA1 - HA",
		acquire(d, CoA1, migrate.ProtectPrefix, nil))
	s.kernel("key 1 home-test with ha (tunnel, CoA1 - HA) [HoA mh 0x0100] [* mh 0x0300] reqids 5 6 over CoA1 - HA",
		acquire(d, CoA1, migrate.ProtectHomeTest, nil))
	s.kernel("key 1 payload with ha (tunnel, CoA1 - HA) [HoA any] [* any] reqids 7 8 over CoA1 - HA",
		acquire(d, CoA1, migrate.ProtectPayload, nil))

	// Movement. Each message sent touches a policy, which is no news.
	s.kernel("", Adds(d.Static())...)
	s.kernel(`
		report moved ha: to CoA2
		relocate ha to CoA2 - HA, keep, renew
		move SAs of ha: esp tunnel 5 from CoA1 -> HA to CoA2 -> HA
		move SAs of ha: esp tunnel 6 from HA -> CoA1 to HA -> CoA2
		move SAs of ha: esp tunnel 7 from CoA1 -> HA to CoA2 -> HA
		move SAs of ha: esp tunnel 8 from HA -> CoA1 to HA -> CoA2`,
		append(append(d.MovesStatic(CoA2), d.Binds(CoA2)), d.MovesTunnels(CoA1, CoA2)...)...)
	s.kernel("key 1 home-test with ha (tunnel, CoA2 - HA) [HoA mh 0x0100] [* mh 0x0300] reqids 5 6 over CoA2 - HA",
		acquire(d, CoA2, migrate.ProtectHomeTest, nil))

	// Return home: tunnels come first, and go.
	s.kernel(`
		report moved ha: home
		relocate ha to HoA - HA, keep, renew
		move SAs of ha: esp tunnel 5 from CoA2 -> HA to HoA -> HA
		move SAs of ha: esp tunnel 6 from HA -> CoA2 to HA -> HoA
		move SAs of ha: esp tunnel 7 from CoA2 -> HA to HoA -> HA
		move SAs of ha: esp tunnel 8 from HA -> CoA2 to HA -> HoA`, d.MovesTunnels(CoA2, HoA)...)
	s.kernel("", Removes(d.Tunnels(HoA))...)
	s.kernel("", append(d.MovesStatic(HoA), d.Binds(HoA))...)
	s.kernel("key 1 binding with ha (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2 over HoA - HA",
		acquire(d, HoA, migrate.ProtectBinding, nil))

	// Leaving again.
	s.kernel("", Adds(d.Tunnels(HoA))...)
	s.kernel(`
		report moved ha: to CoA1
		relocate ha to CoA1 - HA, keep, renew`, d.MovesStatic(CoA1)...)

	if places := s.node.Places(); places[0].CareOf != CoA1 || places[0].Since != start || places[1].CareOf.IsValid() {
		t.Errorf("places %v", places)
	}
}

// Without KMADDRESS and without the kernel's states the tunnels tell; without the K bit the IKE_SA is set up anew.
func TestMovementsWithoutKMAddress(t *testing.T) {
	home := Home("ha", false)
	d := Daemon{Protected: home.Protected}
	s := newScript(t, false, home)
	s.step("", migrate.Snapshot{Policies: d.Static()})
	s.kernel("", append(Adds(d.Tunnels(HoA)), d.MovesStatic(CoA1)...)...)
	s.kernel(`
		report moved ha: to CoA1
		relocate ha to CoA1 - HA, renew
		move SAs of ha: esp tunnel 5 from HoA -> HA to CoA1 -> HA
		move SAs of ha: esp tunnel 6 from HA -> HoA to HA -> CoA1
		move SAs of ha: esp tunnel 7 from HoA -> HA to CoA1 -> HA
		move SAs of ha: esp tunnel 8 from HA -> HoA to HA -> CoA1`, d.MovesTunnels(HoA, CoA1)...)
	s.kernel("", d.MovesTunnels(CoA1, CoA1)...)
	s.kernel(`
		report moved ha: home
		relocate ha to HoA - HA, renew
		move SAs of ha: esp tunnel 5 from CoA1 -> HA to HoA -> HA
		move SAs of ha: esp tunnel 6 from HA -> CoA1 to HA -> HoA
		move SAs of ha: esp tunnel 7 from CoA1 -> HA to HoA -> HA
		move SAs of ha: esp tunnel 8 from HA -> CoA1 to HA -> HoA`, d.MovesTunnels(CoA1, HoA)...)
}

// Policies with a correspondent node are not keyed with the home agent, wherever they move.
func TestPoliciesWithOthersAreNotTheHomeAgents(t *testing.T) {
	home := Home("ha", true)
	d := Daemon{Protected: home.Protected, KMAddress: true}
	withCN := d
	withCN.HomeAgent = CN
	s := newScript(t, false, home)
	s.step("", migrate.Snapshot{Policies: append(d.Static(), withCN.Static()...)})
	s.kernel("", append(withCN.MovesStatic(CoA1), withCN.MovesTunnels(HoA, CoA1)...)...)
	s.kernel("report not keyed : ACQUIRE 1 for HoA -> CN mh type 5: between no home address of ours and its home agent",
		acquire(withCN, CoA1, migrate.ProtectBinding, nil))
	ofOthers := Daemon{Protected: OtherHome("").Protected, KMAddress: true}
	s.kernel("", append(ofOthers.MovesStatic(CoA1), ofOthers.MovesTunnels(OtherHoA, CoA1)...)...)
	s.kernel("report not keyed : ACQUIRE 1 for OtherHoA -> HA mh type 5: between no home address of ours and its home agent",
		acquire(ofOthers, CoA1, migrate.ProtectBinding, nil))
	s.kernel("report not keyed : ACQUIRE 9 from CoA1 -> HA: the policy is not there any more",
		spd.Acquire{Seq: 9, Endpoints: spd.Endpoints{Src: CoA1, Dst: HA}})
}

// After reports were lost the kernel is read anew: what has moved unseen is followed.
func TestEventsLost(t *testing.T) {
	home := Home("ha", true)
	d := Daemon{Protected: home.Protected, KMAddress: true}
	s := newScript(t, false, home)
	s.step("", migrate.Snapshot{Policies: append(d.Static(), d.Tunnels(CoA1)...), CareOf: []spd.CareOfState{d.Binds(CoA1)}})
	s.kernel("reread", spd.EventsLost{})
	s.step("", migrate.Snapshot{Policies: append(d.Static(), d.Tunnels(CoA1)...), CareOf: []spd.CareOfState{d.Binds(CoA1)}})
	s.kernel("reread", spd.EventsLost{})
	s.step(`
		report moved ha: to CoA2
		relocate ha to CoA2 - HA, keep, renew
		move SAs of ha: esp tunnel 5 from CoA1 -> HA to CoA2 -> HA
		move SAs of ha: esp tunnel 6 from HA -> CoA1 to HA -> CoA2
		move SAs of ha: esp tunnel 7 from CoA1 -> HA to CoA2 -> HA
		move SAs of ha: esp tunnel 8 from HA -> CoA1 to HA -> CoA2`,
		migrate.Snapshot{Policies: append(d.Static(), d.Tunnels(CoA2)...), CareOf: []spd.CareOfState{d.Binds(CoA2)}})
	s.kernel("reread", spd.EventsLost{})
	s.step(`
		report moved ha: home
		relocate ha to HoA - HA, keep, renew`, migrate.Snapshot{Policies: d.Static()})
}

// An agent that is started while the node is away finds the CoA and keys from there.
func TestRestartAway(t *testing.T) {
	home := Home("ha", true)
	d := Daemon{Protected: home.Protected}
	for name, snapshot := range map[string]migrate.Snapshot{
		"by the kernel's state": {Policies: d.Static(), CareOf: []spd.CareOfState{d.Binds(CoA1)}},
		"by the tunnels":        {Policies: append(d.Static(), d.Tunnels(CoA1)...)},
		"by the state, where the tunnels are elsewhere": {
			Policies: append(d.Static(), d.Tunnels(CoA2)...), CareOf: []spd.CareOfState{d.Binds(CoA1)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, false, home)
			s.step("", snapshot)
			s.kernel("key 1 binding with ha (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2 over CoA1 - HA",
				acquire(d, CoA1, migrate.ProtectBinding, nil))
		})
	}
}

// What an earlier run has left SAs for is keyed anew; they go when it is, or when it cannot be, or at the end.
func TestRestartWithSAs(t *testing.T) {
	home := Home("ha", true)
	d := Daemon{Protected: home.Protected}
	snapshot := migrate.Snapshot{
		Policies: append(d.Static(), d.Tunnels(CoA1)...), CareOf: []spd.CareOfState{d.Binds(CoA1)},
		SAs: []spd.SA{
			{SPI: 0x100, Proto: spd.ESP, Mode: spd.Transport, Reqid: 1, Endpoints: spd.Endpoints{Src: HoA, Dst: HA}},
			{SPI: 0x200, Proto: spd.ESP, Mode: spd.Transport, Reqid: 2, Endpoints: spd.Endpoints{Src: HA, Dst: HoA}},
			{SPI: 0x300, Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 7, Endpoints: spd.Endpoints{Src: CoA1, Dst: HA}},
		},
	}
	begin := func() script {
		s := newScript(t, false, home)
		s.step(`
			key 0 binding with ha (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2 over CoA1 - HA
			key 0 payload with ha (tunnel, CoA1 - HA) [HoA any] [* any] reqids 7 8 over CoA1 - HA`, snapshot)
		return s
	}
	const removed = "carry\nremove esp 00000100 to HA\nremove esp 00000200 to HoA"
	binding := spd.Demand{Peer: "ha", Mode: spd.Transport, ReqidOut: 1, ReqidIn: 2, Traffic: spd.Traffic{
		Local:  []spd.TrafficSelector{{PortEnd: 65535, Start: HoA, End: HoA}},
		Remote: []spd.TrafficSelector{{PortEnd: 65535, Start: HA, End: HA}},
	}}
	s := begin()
	s.says(removed, spd.ChildUp{Demand: binding})
	s.says("", spd.ChildUp{Demand: binding})
	s.step("carry\nremove esp 00000300 to HA", migrate.End{})
	s = begin()
	s.says(removed, spd.KeyFailed{Demand: binding})
	s.kernel("reread", spd.EventsLost{})
	s.step("", snapshot) // no reason to key once more
}
