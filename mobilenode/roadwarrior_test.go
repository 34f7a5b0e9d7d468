package mobilenode

import (
	"net/netip"
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

const shut = `
	carry
	set out HoA -> * any discard
	set in * -> HoA any discard
`

// moving is the plan of a movement from CoA1 to CoA2.
const moving = `
	carry
	migrate out HoA -> * any from CoA1 -> HA to CoA2 -> HA
	migrate in * -> HoA any from HA -> CoA1 to HA -> CoA2
	or else
	set out HoA -> * any protect esp/tunnel/CoA2 -> HA/unique:7
	set in * -> HoA any protect esp/tunnel/HA -> CoA2/unique:8
	report moved ha: to CoA2
`

const atCoA1 = `
	carry
	set out HoA -> * any protect esp/tunnel/CoA1 -> HA/unique:7
	set in * -> HoA any protect esp/tunnel/HA -> CoA1/unique:8
	report moved ha: to CoA1
	relocate ha to CoA1 - HA, renew
`

func here(list ...netip.Addr) migrate.Addresses { return migrate.Addresses{List: list} }

// A road warrior is where its host's addresses say; nothing passes as long as there is none.
func TestRoadWarriorFollowsItsAddresses(t *testing.T) {
	v4 := netip.MustParseAddr("192.0.2.7")
	s := newScript(t, false, RoadWarrior("ha", migrate.NewIKE))
	s.step(shut, migrate.Snapshot{})
	s.step("", here(), here(HoA, v4))
	s.step(atCoA1, here(HoA, v4, CoA1))
	s.step("", here(CoA2, HoA, CoA1)) // the present one is still there
	s.step("", here(HoA))             // and stays as long as there is no other
	s.step(moving+"relocate ha to CoA2 - HA, renew", here(CoA2, HoA))
}

// An agent that is started again finds the tunnel where it was, and keys it anew from there; nothing is shut meanwhile.
func TestRoadWarriorsRestart(t *testing.T) {
	home := RoadWarrior("ha", migrate.NewIKE)
	const found = `
		carry
		set out HoA -> * any protect esp/tunnel/CoA1 -> HA/unique:7
		set in * -> HoA any protect esp/tunnel/HA -> CoA1/unique:8
		key 0 payload with ha (tunnel, CoA1 - HA) [HoA any] [* any] reqids 7 8 over CoA1 - HA
	`
	snapshot := migrate.Snapshot{
		Policies: Daemon{Protected: home.Protected}.Tunnels(CoA1),
		SAs: []spd.SA{
			{SPI: 0x100, Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 7, Endpoints: spd.Endpoints{Src: CoA1, Dst: HA}},
		},
	}
	s := newScript(t, false, home)
	s.step(found, snapshot)
	s.step("", here(HoA, CoA1))
	s = newScript(t, false, home)
	s.step(found, snapshot)
	s.step(moving+"relocate ha to CoA2 - HA, renew", here(HoA, CoA2)) // has moved while nobody looked
}

func TestCareOfAddressIsTheRoutesSource(t *testing.T) {
	s := newScript(t, false, RoadWarrior("ha", migrate.NewIKE))
	s.begin(shut)
	in := here(CoA2, HoA, CoA1)
	in.Sources = map[netip.Addr]netip.Addr{HA: CoA1}
	s.step(atCoA1, in)
	in.List, in.Sources = []netip.Addr{HoA, CoA2}, map[netip.Addr]netip.Addr{HA: HoA} // a route that prefers the home address
	s.step(moving+"relocate ha to CoA2 - HA, renew", in)
}

// With MOBIKE the key exchange may find another path by itself. When the IKE_SA is gone the gateway is looked for where it
// was in the beginning.
func TestRoadWarriorFollowsItsIKESA(t *testing.T) {
	s := newScript(t, false, RoadWarrior("ha", migrate.MOBIKE))
	s.begin(shut)
	s.step(atCoA1+"addresses [CoA1 CoA2]", here(HoA, CoA1, CoA2))
	s.says("", spd.PeerUp{Peer: "ha", ID: 1, Path: spd.Path{Local: CoA1, Remote: HA}})
	other := spd.Path{Local: CoA2, Remote: CN}
	s.says("", spd.PeerMoved{Peer: "ha", ID: 1, New: spd.Path{Local: OtherHoA, Remote: HA}}) // no address of this host any more
	s.says(`
		carry
		migrate out HoA -> * any from CoA1 -> HA to CoA2 -> CN
		migrate in * -> HoA any from HA -> CoA1 to CN -> CoA2
		or else
		set out HoA -> * any protect esp/tunnel/CoA2 -> CN/unique:7
		set in * -> HoA any protect esp/tunnel/CN -> CoA2/unique:8
		report moved ha: to CoA2
	`, spd.PeerMoved{Peer: "ha", ID: 1, New: other})
	s.step("addresses [CoA1 CoA2]", here(HoA, CoA1, CoA2)) // stays
	s.says(`
		carry
		set out HoA -> * any protect esp/tunnel/CoA2 -> HA/unique:7
		set in * -> HoA any protect esp/tunnel/HA -> CoA2/unique:8
		report moved ha: to CoA2
	`, spd.PeerDown{Peer: "ha", ID: 1})
}

// Who is redirected has its tunnel lead to the other gateway. If that cannot be reached, or is lost, it is back where it was.
func TestRFC5685RoadWarriorIsRedirected(t *testing.T) {
	s := newScript(t, false, RoadWarrior("ha", migrate.NewIKE))
	s.begin(shut)
	s.step(atCoA1, here(HoA, CoA1))
	const there = `
		carry
		set out HoA -> * any protect esp/tunnel/CoA1 -> CN/unique:7
		set in * -> HoA any protect esp/tunnel/CN -> CoA1/unique:8
		report moved ha: to CoA1
		report redirected ha: to the gateway CN
	`
	const back = `
		carry
		set out HoA -> * any protect esp/tunnel/CoA1 -> HA/unique:7
		set in * -> HoA any protect esp/tunnel/HA -> CoA1/unique:8
		report moved ha: to CoA1
	`
	redirected := spd.Redirected{Peer: "ha", Path: spd.Path{Local: CoA1, Remote: CN}}
	s.says("", spd.PeerUp{Peer: "ha", ID: 1, Path: spd.Path{Local: CoA1, Remote: HA}})
	s.says(there, redirected)
	s.says("", spd.PeerDown{Peer: "ha", ID: 1}) // of the first gateway
	s.says(back, spd.KeyFailed{Demand: spd.Demand{Peer: "ha"}})
	s.says("", spd.KeyFailed{Demand: spd.Demand{Peer: "ha"}})
	s.says(there, redirected)
	s.says(back, spd.ConnectFailed{Peer: "ha"})
	s.says(there, redirected)
	s.says("", spd.PeerUp{Peer: "ha", ID: 2, Path: redirected.Path})
	s.says("", spd.KeyFailed{Demand: spd.Demand{Peer: "ha"}}) // one Child SA of several
	s.says(back, spd.PeerDown{Peer: "ha", ID: 2})
}

// begin is the first step.
func (s script) begin(want string) {
	s.t.Helper()
	s.step(want, migrate.Snapshot{})
}

// A movement's reports move the SAs; they are no movement of their own, even if they come late.
func TestReportsOfARoadWarriorsMovement(t *testing.T) {
	s := newScript(t, false, RoadWarrior("ha", migrate.NewIKE))
	s.begin(shut)
	s.step(atCoA1, here(CoA1))
	d := Daemon{Protected: RoadWarrior("ha", migrate.NewIKE).Protected}
	s.kernel("", Adds(d.Tunnels(CoA1))...)
	late := d.MovesTunnels(CoA2, CoA1)
	s.kernel(`
		move SAs of ha: esp tunnel 7 from CoA2 -> HA to CoA1 -> HA
		move SAs of ha: esp tunnel 8 from HA -> CoA2 to HA -> CoA1
	`, late...)
}

// Its gateway may ask for a tunnel on the IKE_SA that is there, for the home address alone.
func TestRoadWarriorGrants(t *testing.T) {
	s := newScript(t, false, RoadWarrior("ha", migrate.NewIKE))
	s.begin(shut)
	one := func(a netip.Addr) []spd.TrafficSelector {
		return []spd.TrafficSelector{{PortEnd: 65535, Start: a, End: a}}
	}
	r := spd.Request{Request: 5, Peer: "ha", Mode: spd.Tunnel, Path: spd.Path{Local: CoA1, Remote: HA},
		Traffic: spd.Traffic{Local: one(HoA), Remote: one(CN)}}
	s.says("grant 5 payload with ha (tunnel, CoA1 - HA) [HoA any] [CN any] reqids 7 8", r)
	r.Traffic.Local = one(OtherHoA)
	s.says("refuse 5: no tunnel policy for [OtherHoA any] - [CN any] with ha", r)
}
