package homeagent

import (
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// wants is a road warrior's request for its tunnel, from a care-of address.
func wants(peer string, remote spd.TrafficSelector, path spd.Path) spd.Request {
	return spd.Request{
		Request: 6, Peer: peer, Mode: spd.Tunnel, Path: path,
		Traffic: spd.Traffic{Local: list(everyone), Remote: list(remote)},
	}
}

// The gateway knows a road warrior's place by its newest IKE_SA, and only as long as there is one.
func TestRoadWarriorIsWhereItsIKESAIs(t *testing.T) {
	const shut = `
		carry
		set in HoA -> * any discard
		set out * -> HoA any discard
		set fwd HoA -> * any discard
	`
	at := func(careOf string) string {
		return `
		carry
		set in HoA -> * any protect esp/tunnel/` + careOf + ` -> HA/unique:7
		set out * -> HoA any protect esp/tunnel/HA -> ` + careOf + `/unique:8
		set fwd HoA -> * any protect esp/tunnel/` + careOf + ` -> HA/unique:7
		report moved mn: to ` + careOf
	}
	s := newScript(t, false, RoadWarrior("mn", migrate.NewIKE))
	s.step(shut, migrate.Snapshot{})
	here, there := spd.Path{Local: HA, Remote: CoA1}, spd.Path{Local: HA, Remote: CoA2}
	all := ts(0, 0, 65535, HoA, HoA)
	s.says("grant 6 payload with mn (tunnel, HA - CoA1) [* any] [HoA any] reqids 8 7", wants("mn", all, here))
	s.says(at("CoA1"), spd.PeerUp{Peer: "mn", ID: 1, Path: here})
	s.says("", spd.PeerUp{Peer: "mn", ID: 2, Path: here, Replaces: 1})
	s.says("", spd.PeerDown{Peer: "mn", ID: 1})
	// From elsewhere, though the policies still stand where it was.
	s.says("grant 6 payload with mn (tunnel, HA - CoA2) [* any] [HoA any] reqids 8 7", wants("mn", all, there))
	s.says(at("CoA2"), spd.PeerUp{Peer: "mn", ID: 3, Path: there})
	s.says("", spd.PeerDown{Peer: "mn", ID: 2})
	s.says(shut+"report gone mn: nobody knows where it is", spd.PeerDown{Peer: "mn", ID: 3})
}

// A gateway's agent that is started again leaves the tunnel where it was, for the SAs that are there.
func TestRoadWarriorIsFoundByItsTunnel(t *testing.T) {
	home := RoadWarrior("mn", migrate.NewIKE)
	s := newScript(t, false, home)
	s.step(`
		carry
		set in HoA -> * any protect esp/tunnel/CoA1 -> HA/unique:7
		set out * -> HoA any protect esp/tunnel/HA -> CoA1/unique:8
		set fwd HoA -> * any protect esp/tunnel/CoA1 -> HA/unique:7
	`, migrate.Snapshot{Policies: Daemon{Protected: home.Protected, OnHA: true}.Tunnels(CoA1)})
	s.says("", spd.PeerUp{Peer: "mn", ID: 1, Path: spd.Path{Local: HA, Remote: CoA1}})
}

// A NAT before a road warrior has another address for it: the tunnel moves there, with what gets it through.
func TestRFC7296Section2_23RoadWarriorsNATMoves(t *testing.T) {
	s := newScript(t, false, RoadWarrior("mn", migrate.NewIKE))
	s.agent.Step(start, migrate.Snapshot{})
	here, there := spd.Path{Local: HA, Remote: CoA1}, spd.Path{Local: HA, Remote: CoA2}
	s.agent.Step(start, migrate.Keying{Notice: spd.PeerUp{Peer: "mn", ID: 1, Path: here}})
	ports := spd.Encap{Src: 4500, Dst: 20001}
	s.says("", spd.PeerMoved{Peer: "mn", ID: 2, Old: here, New: there, Encap: ports}) // another IKE_SA
	s.says("", spd.PeerMoved{Peer: "mn", ID: 1, Old: here, New: here, Encap: ports})
	s.says(`
		carry
		migrate in HoA -> * any from CoA1 -> HA to CoA2 -> HA, udp 20001 -> 4500
		migrate out * -> HoA any from HA -> CoA1 to HA -> CoA2, udp 4500 -> 20001
		migrate fwd HoA -> * any from CoA1 -> HA to CoA2 -> HA, udp 20001 -> 4500
		or else
		set in HoA -> * any protect esp/tunnel/CoA2 -> HA/unique:7
		set out * -> HoA any protect esp/tunnel/HA -> CoA2/unique:8
		set fwd HoA -> * any protect esp/tunnel/CoA2 -> HA/unique:7
		report moved mn: to CoA2
	`, spd.PeerMoved{Peer: "mn", ID: 1, Old: here, New: there, Encap: ports})
}

// A gateway moves a road warrior's tunnel when the key exchange says so, be it to another address of its own.
func TestGatewayFollowsMOBIKE(t *testing.T) {
	s := newScript(t, false, RoadWarrior("mn", migrate.MOBIKE))
	s.agent.Step(start, migrate.Snapshot{})
	here, there := spd.Path{Local: HA, Remote: CoA1}, spd.Path{Local: CN, Remote: CoA2}
	s.agent.Step(start, migrate.Keying{Notice: spd.PeerUp{Peer: "mn", ID: 1, Path: here}})
	s.says("", spd.PeerMoved{Peer: "mn", ID: 7, Old: here, New: there}) // another IKE_SA
	s.says(`
		carry
		migrate in HoA -> * any from CoA1 -> HA to CoA2 -> CN
		migrate out * -> HoA any from HA -> CoA1 to CN -> CoA2
		migrate fwd HoA -> * any from CoA1 -> HA to CoA2 -> CN
		or else
		set in HoA -> * any protect esp/tunnel/CoA2 -> CN/unique:7
		set out * -> HoA any protect esp/tunnel/CN -> CoA2/unique:8
		set fwd HoA -> * any protect esp/tunnel/CoA2 -> CN/unique:7
		report moved mn: to CoA2
	`, spd.PeerMoved{Peer: "mn", ID: 1, Old: here, New: there})
	s.says("", spd.PeerMoved{Peer: "mn", ID: 1, Old: here, New: there})
}

// A gateway cannot find a road warrior: it keys what its kernel calls for on the IKE_SA that is there.
func TestGatewayBeginsNoIKESA(t *testing.T) {
	home := RoadWarrior("mn", migrate.NewIKE)
	s := newScript(t, false, home)
	policies := home.Policies(true, CoA1)
	s.agent.Step(start, migrate.Snapshot{})
	s.agent.Step(start, migrate.Keying{Notice: spd.PeerUp{Peer: "mn", ID: 1, Path: spd.Path{Local: HA, Remote: CoA1}}})
	for _, p := range policies {
		s.kernel("", spd.PolicyChanged{Policy: p})
	}
	out := policies[1]
	s.kernel("key 9 payload with mn (tunnel, HA - CoA1) [* any] [HoA any] reqids 8 7 over invalid IP - invalid IP",
		spd.Acquire{Seq: 9, Selector: out.Selector, Template: out.Templates[0], Endpoints: out.Templates[0].Endpoints})
	s.step("connect mn over invalid IP - invalid IP", migrate.Connect{Peer: "mn"})
}

// The peer authorization database holds for road warriors, too (RFC 4555 section 5.2).
func TestRFC4555Section5_2RoadWarriorSpeaksForItself(t *testing.T) {
	other := RoadWarrior("mn2", migrate.NewIKE)
	other.HomeAddress, other.Reqid = OtherHoA, 11
	mobile := Home("mn3", true)
	mobile.HomeAddress, mobile.Reqid = second, 21
	s := newScript(t, true, RoadWarrior("mn", migrate.NewIKE), other, mobile)
	s.agent.Step(start, migrate.Snapshot{})
	path := spd.Path{Local: HA, Remote: CoA1}
	s.says("refuse 6: mn2 may not speak for HoA, which is mn's", wants("mn2", ts(0, 0, 65535, HoA, HoA), path))
	s.says("refuse 6: mn may not speak for 2001:db8:1::150, which is mn3's", wants("mn", ts(0, 0, 65535, second, second), path))
	s.says("refuse 6: mn may not speak for CoA1, which is nobody's home address", wants("mn", ts(0, 0, 65535, CoA1, CoA1), path))
	s.says("grant 6 payload with mn2 (tunnel, HA - CoA1) [* any] [OtherHoA any] reqids 18 17", wants("mn2", everyone, path))
}
