package homeagent

import (
	"net/netip"
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// What UMIP does for a binding, a movement and a deregistration, as the kernel reports it: in, fwd and out, transport mode
// with the news in the KMADDRESS, and from HoA to HoA at the end. Each movement is one Relocate, and one MoveSAs for each
// direction of each tunnel.
func TestUMIPWithKMAddress(t *testing.T) {
	home := Home("mn", true)
	d := Daemon{Protected: home.Protected, OnHA: true, KMAddress: true}
	s := newScript(t, false, home, OtherHome("mn2"))
	s.step("", migrate.Snapshot{Policies: d.Static()})

	// First binding. The IKE_SA is with the CoA already: the mobile node has begun it there.
	s.kernel("", Adds(d.Tunnels(HoA))...)
	s.kernel(`
		report moved mn: to CoA1
		relocate mn to HA - CoA1, keep`, d.MovesStatic(CoA1)...)
	s.kernel("", d.Binds(CoA1))
	s.kernel(`
		move SAs of mn: esp tunnel 5 from HoA -> HA to CoA1 -> HA
		move SAs of mn: esp tunnel 6 from HA -> HoA to HA -> CoA1
		move SAs of mn: esp tunnel 7 from HoA -> HA to CoA1 -> HA
		move SAs of mn: esp tunnel 8 from HA -> HoA to HA -> CoA1`, d.MovesTunnels(HoA, CoA1)...)

	// RFC 4877 section 7.3: the home agent begins when a correspondent node is the one to start return routability.
	hot := d.Tunnels(CoA1)[1]
	acquire := spd.Acquire{Seq: 1, Selector: hot.Selector, Template: hot.Templates[0], Endpoints: hot.Templates[0].Endpoints}
	// Of a packet that was faster than the MIGRATE, which Linux refuses until it has the SAs that it calls for.
	old := d.Tunnels(HoA)[1].Templates[0]
	s.kernel("key 1 home-test with mn (tunnel, HA - CoA1) [* mh 0x0300] [HoA mh 0x0100] reqids 6 5 over HA - CoA1", acquire)
	acquire.Template, acquire.Endpoints = old, old.Endpoints
	s.kernel("key 1 home-test with mn (tunnel, HA - HoA) [* mh 0x0300] [HoA mh 0x0100] reqids 6 5 over HA - CoA1", acquire)

	// Movement, the kernel's state first.
	s.kernel(`
		report moved mn: to CoA2
		relocate mn to HA - CoA2, keep
		move SAs of mn: esp tunnel 5 from CoA1 -> HA to CoA2 -> HA
		move SAs of mn: esp tunnel 6 from HA -> CoA1 to HA -> CoA2
		move SAs of mn: esp tunnel 7 from CoA1 -> HA to CoA2 -> HA
		move SAs of mn: esp tunnel 8 from HA -> CoA1 to HA -> CoA2`,
		append(append([]spd.Event{d.Binds(CoA2)}, d.MovesStatic(CoA2)...), d.MovesTunnels(CoA1, CoA2)...)...)

	// Deregistration (RFC 6275 section 10.3.2).
	s.kernel(`
		report moved mn: home
		relocate mn to HA - HoA, keep
		move SAs of mn: esp tunnel 5 from CoA2 -> HA to HoA -> HA
		move SAs of mn: esp tunnel 6 from HA -> CoA2 to HA -> HoA
		move SAs of mn: esp tunnel 7 from CoA2 -> HA to HoA -> HA
		move SAs of mn: esp tunnel 8 from HA -> CoA2 to HA -> HoA`,
		append(d.MovesStatic(HoA), d.MovesTunnels(CoA2, HoA)...)...)
	s.kernel("", append(d.MovesTunnels(HoA, HoA), d.Binds(HoA))...)
	s.kernel("", Removes(d.Tunnels(HoA))...)

	ba := d.Static()[1]
	acquire = spd.Acquire{Seq: 2, Selector: ba.Selector, Template: ba.Templates[0], Endpoints: spd.Endpoints{Src: HA, Dst: HoA}}
	s.kernel("key 2 binding with mn (transport, HA - HoA) [HA mh 0x0600] [HoA mh 0x0500] reqids 2 1 over HA - HoA", acquire)

	if places := s.agent.Places(); places[0].CareOf != HoA || places[1].CareOf.IsValid() {
		t.Errorf("places %v", places)
	}
}

// Without the K bit the home agent discards what runs over the old path (RFC 6275 section 10.3.1); without KMADDRESS the
// tunnels tell where the mobile node is.
func TestMovementsWithoutKMAddress(t *testing.T) {
	home := Home("mn", false)
	home.What = []migrate.Protection{migrate.ProtectBinding, migrate.ProtectPayload}
	d := Daemon{Protected: home.Protected, OnHA: true}
	s := newScript(t, false, home)
	s.step("", migrate.Snapshot{Policies: append(d.Static(), d.Tunnels(CoA1)...)})
	s.kernel("", append(Adds(d.Tunnels(CoA1)), d.MovesStatic(CoA2)...)...)
	s.kernel(`
		report moved mn: to CoA2
		relocate mn to HA - CoA2
		move SAs of mn: esp tunnel 7 from CoA1 -> HA to CoA2 -> HA
		move SAs of mn: esp tunnel 8 from HA -> CoA1 to HA -> CoA2`, d.MovesTunnels(CoA1, CoA2)...)
	s.kernel(`
		report moved mn: home
		relocate mn to HA - HoA
		move SAs of mn: esp tunnel 7 from CoA2 -> HA to HoA -> HA
		move SAs of mn: esp tunnel 8 from HA -> CoA2 to HA -> HoA`, d.MovesTunnels(CoA2, HoA)...)
	s.kernel("", d.MovesTunnels(HoA, HoA)...)
}

// SHISA tells of bindings by its mobility socket, and KAME moves the tunnels by itself.
func TestSHISAByMobilitySocket(t *testing.T) {
	home := Home("mn", true)
	home.What = []migrate.Protection{migrate.ProtectBinding, migrate.ProtectPayload}
	d := Daemon{Protected: home.Protected, OnHA: true}
	s := newScript(t, false, home)
	s.step("", migrate.Snapshot{Policies: append(d.Static(), d.Tunnels(HoA)...)})
	for _, to := range []struct {
		careOf netip.Addr
		want   string
	}{
		{CoA1, "report moved mn: to CoA1\nrelocate mn to HA - CoA1, keep"},
		{HoA, "report moved mn: home\nrelocate mn to HA - HoA, keep"},
		{CoA2, "report moved mn: to CoA2\nrelocate mn to HA - CoA2, keep"},
	} {
		s.kernel(to.want, spd.Binding{HomeAddress: HoA, CareOf: to.careOf, HomeAgent: HA})
		s.kernel("", spd.Binding{HomeAddress: HoA, CareOf: to.careOf, HomeAgent: HA})
	}
	var updates []spd.Event
	for _, p := range d.Tunnels(CoA2) {
		updates = append(updates, spd.PolicyChanged{Policy: p, Moved: true})
	}
	s.kernel(`
		move SAs of mn: esp tunnel 7 from HoA -> HA to CoA2 -> HA
		move SAs of mn: esp tunnel 8 from HA -> HoA to HA -> CoA2`, updates...)
}

// After reports were lost the kernel is read anew: what has moved unseen is followed.
func TestEventsLost(t *testing.T) {
	home := Home("mn", true)
	home.What = []migrate.Protection{migrate.ProtectBinding, migrate.ProtectPayload}
	d := Daemon{Protected: home.Protected, OnHA: true, KMAddress: true}
	at := func(careOf []spd.Policy, states ...spd.CareOfState) migrate.Snapshot {
		return migrate.Snapshot{Policies: append(d.Static(), careOf...), CareOf: states}
	}
	s := newScript(t, false, home)
	s.step("", at(d.Tunnels(CoA1), d.Binds(CoA1)))
	s.kernel("reread", spd.EventsLost{})
	s.step(`
		report moved mn: to CoA2
		relocate mn to HA - CoA2, keep
		move SAs of mn: esp tunnel 7 from CoA1 -> HA to CoA2 -> HA
		move SAs of mn: esp tunnel 8 from HA -> CoA1 to HA -> CoA2`, at(d.Tunnels(CoA2), d.Binds(CoA2)))
	s.kernel("reread", spd.EventsLost{})
	s.step("", at(d.Tunnels(CoA2), d.Binds(CoA2)))
	s.step(`
		report moved mn: home
		relocate mn to HA - HoA, keep`, at(nil))
}

// Policies are known from the moment on that they are reported, and until they are gone.
func TestPolicyChanged(t *testing.T) {
	home := Home("mn", true)
	d := Daemon{Protected: home.Protected, OnHA: true}
	s := newScript(t, false, home)
	bu := spd.Request{Request: 4, Peer: "mn", Mode: spd.Transport, Traffic: spd.Traffic{
		Local: []spd.TrafficSelector{mh(HA, 6)}, Remote: []spd.TrafficSelector{mh(HoA, 5)},
	}}
	const (
		refused = "refuse 4: no transport policy for [HA mh 0x0600] - [HoA mh 0x0500] with mn"
		granted = "grant 4 binding with mn (transport, HA - HoA) [HA mh 0x0600] [HoA mh 0x0500] reqids 2 1"
	)
	s.says(refused, bu)
	s.kernel("", Adds(d.Static())...)
	s.says(granted, bu)
	s.kernel("", Removes(d.Static())...)
	s.says(refused, bu)
	s.kernel("", Adds(d.Static())...)
	s.kernel("", spd.Flushed{Policies: true})
	s.says(refused, bu)
}

// An ACQUIRE for somebody whose SAs are not ours is left alone.
func TestAcquireForNoMobileNode(t *testing.T) {
	d := Daemon{Protected: OtherHome("").Protected, OnHA: true}
	s := newScript(t, false, Home("mn", true))
	s.step("", migrate.Snapshot{Policies: d.Static()})
	ba := d.Static()[1]
	s.kernel("report not keyed : ACQUIRE 3 for HA -> OtherHoA mh type 6: between us and no mobile node of ours",
		spd.Acquire{Seq: 3, Selector: ba.Selector, Template: ba.Templates[0], Endpoints: spd.Endpoints{Src: HA, Dst: OtherHoA}})
	s.kernel("report not keyed : ACQUIRE 9 from HA -> CoA1: the policy is not there any more",
		spd.Acquire{Seq: 9, Endpoints: spd.Endpoints{Src: HA, Dst: CoA1}})
}

// Where mipsecd owns the policies a binding moves them before the key exchange, and a flush brings them back.
func TestOwnPolicies(t *testing.T) {
	home := OtherHome("mn")
	d := Daemon{Protected: home.Protected, OnHA: true}
	s := newScript(t, true, home)
	const binding = `
		set in OtherHoA -> HA mh type 5 protect esp/transport/unique:11
		set in OtherHoA -> HA mh protect esp/transport/unique:11
		set out HA -> OtherHoA mh type 6 protect esp/transport/unique:12`
	const bypassed = `
		set in OtherHoA -> * any bypass
		set out * -> OtherHoA any bypass
		set fwd OtherHoA -> * any bypass`
	const protected = `
		set in OtherHoA -> * any protect esp/tunnel/CoA1 -> HA/unique:17
		set out * -> OtherHoA any protect esp/tunnel/HA -> CoA1/unique:18
		set fwd OtherHoA -> * any protect esp/tunnel/CoA1 -> HA/unique:17`
	s.step("carry"+binding+bypassed, migrate.Snapshot{})
	s.kernel(`
		carry
		set in OtherHoA -> * any protect esp/tunnel/OtherHoA -> HA/unique:17
		set out * -> OtherHoA any protect esp/tunnel/HA -> OtherHoA/unique:18
		set fwd OtherHoA -> * any protect esp/tunnel/OtherHoA -> HA/unique:17
		migrate in OtherHoA -> * any from OtherHoA -> HA to CoA1 -> HA
		migrate out * -> OtherHoA any from HA -> OtherHoA to HA -> CoA1
		migrate fwd OtherHoA -> * any from OtherHoA -> HA to CoA1 -> HA
		or else`+binding+protected+`
		report moved mn: to CoA1
		relocate mn to HA - CoA1, keep`, d.Binds(CoA1))
	s.kernel("carry"+binding+protected, spd.Flushed{Policies: true})
}

// Reports of our SAs reach the key exchange, whose reports tell whose they are.
func TestLifeOfAnSA(t *testing.T) {
	s := newScript(t, false, Home("mn", true), OtherHome("mn2"))
	in, out := spd.SAID{Dst: HA, Proto: spd.ESP, SPI: 0x100}, spd.SAID{Dst: CoA1, Proto: spd.ESP, SPI: 0x200}
	s.kernel("", spd.Expire{ID: in}, spd.SARemoved{ID: out})
	s.says("", spd.ChildUp{Demand: spd.Demand{Peer: "mn2"}, In: in, Out: out})
	s.kernel("expired mn2 esp 00000100 to HA false", spd.Expire{ID: in})
	s.kernel("lost mn2 esp 00000200 to CoA1", spd.SARemoved{ID: out})
	s.says("", spd.ChildDown{Demand: spd.Demand{Peer: "mn2"}, In: in, Out: out})
	s.kernel("", spd.Expire{ID: in, Hard: true})
	s.kernel("reread", spd.Flushed{})
	s.says("", spd.ChildUp{Demand: spd.Demand{Peer: "mn2"}, In: in, Out: out})
	s.step("lost mn2 esp 00000100 to HA\nlost mn2 esp 00000200 to CoA1", migrate.Snapshot{})
}

// What an earlier run has left SAs for is left to the mobile node; it has none of them any more when it says so, or with
// the next pair.
func TestRestartWithSAs(t *testing.T) {
	home := Home("mn", true)
	d := Daemon{Protected: home.Protected, OnHA: true}
	begin := func() script {
		s := newScript(t, false, home)
		s.step("", migrate.Snapshot{
			Policies: append(d.Static(), d.Tunnels(CoA1)...), CareOf: []spd.CareOfState{d.Binds(CoA1)},
			SAs: []spd.SA{
				{SPI: 0x100, Proto: spd.ESP, Mode: spd.Transport, Reqid: 1, Endpoints: spd.Endpoints{Src: HoA, Dst: HA}},
				{SPI: 0x300, Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 8, Endpoints: spd.Endpoints{Src: HA, Dst: CoA1}},
			},
		})
		return s
	}
	s := begin()
	s.says("", spd.PeerUp{Peer: "mn", ID: 7})
	s.says("carry\nremove esp 00000100 to HA", spd.ChildUp{Demand: spd.Demand{
		Peer: "mn", Mode: spd.Transport, ReqidOut: 2, ReqidIn: 1, Traffic: spd.Traffic{
			Local:  []spd.TrafficSelector{{PortEnd: 65535, Start: HA, End: HA}},
			Remote: []spd.TrafficSelector{{PortEnd: 65535, Start: HoA, End: HoA}},
		}}})
	s.step("carry\nremove esp 00000300 to CoA1", migrate.End{})
	begin().says(`
		carry
		remove esp 00000100 to HA
		remove esp 00000300 to CoA1
		superseded mn but 8`, spd.PeerUp{Peer: "mn", ID: 8, First: true})
}

// A mobile node that has lost its memory says so; what it had is forgotten (RFC 7296 section 2.4).
func TestPeerThatBeginsAnew(t *testing.T) {
	s := newScript(t, false, Home("mn", true))
	s.says("", spd.PeerUp{Peer: "mn", ID: 7})
	s.says("superseded mn but 8", spd.PeerUp{Peer: "mn", ID: 8, First: true})
}

// A home agent stays where it is.
func TestAddressesAreNoNews(t *testing.T) {
	newScript(t, false, Home("mn", true)).step("", migrate.Addresses{List: nil})
}

// What the kernel has left behind because it is of one reqid with what it has moved is to follow.
func TestSeveralSAsMovedTogether(t *testing.T) {
	home := Home("mn", true)
	d := Daemon{Protected: home.Protected, OnHA: true}
	s := newScript(t, false, home)
	s.step("", migrate.Snapshot{Policies: append(d.Static(), d.Tunnels(CoA1)...)})
	m := d.MovesTunnels(CoA1, CoA2)[4].(spd.Migrate)
	s.says("carry\nmigrate the rest of out * -> HoA any from HA -> CoA1 to HA -> CoA2",
		spd.MovedTogether{Moved: spd.MoveSAs{Peer: "mn", Policy: m.PolicyKey, Change: m.Changes[0]}, SAs: 2})
}
