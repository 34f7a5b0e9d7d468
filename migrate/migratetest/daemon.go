package migratetest

import (
	"net/netip"

	"mipsecd/migrate"
	"mipsecd/spd"
)

// Home is HoA with all that RFC 4877 section 4.2 names and the reqids 1 to 8.
func Home(peer string, keyMobility bool) migrate.Home {
	return migrate.Home{
		Protected: migrate.Protected{
			HomeAddress: HoA, HomeAgent: HA, What: migrate.Protections, Reqid: 1, Level: spd.Unique,
		},
		Peer: peer, KeyMobility: keyMobility,
	}
}

// OtherHome is OtherHoA with its binding, its payload and the reqids 11 to 18.
func OtherHome(peer string) migrate.Home {
	return migrate.Home{
		Protected: migrate.Protected{
			HomeAddress: OtherHoA, HomeAgent: HA, What: []migrate.Protection{migrate.ProtectBinding, migrate.ProtectPayload},
			Reqid: 11, Level: spd.Unique,
		},
		Peer: peer, KeyMobility: true,
	}
}

// Daemon says what the kernel reports of a mobility daemon's doings, in UMIP's order.
type Daemon struct {
	migrate.Protected
	OnHA      bool
	KMAddress bool // whether its MIGRATEs have it
}

// Static are the policies that always stand.
func (d Daemon) Static() (list []spd.Policy) {
	for _, p := range d.Policies(d.OnHA, d.HomeAddress) {
		if p.Templates[0].Mode == spd.Transport {
			list = append(list, p)
		}
	}
	return list
}

// Tunnels are the policies that stand while the mobile node is away, at a care-of address.
func (d Daemon) Tunnels(careOf netip.Addr) (list []spd.Policy) {
	for _, p := range d.Policies(d.OnHA, careOf) {
		if p.Templates[0].Mode == spd.Tunnel {
			list = append(list, p)
		}
	}
	return list
}

// Adds reports policies as added, Removes as deleted.
func Adds(policies []spd.Policy) []spd.Event { return changed(policies, false) }

// Removes reports policies as deleted.
func Removes(policies []spd.Policy) []spd.Event { return changed(policies, true) }

func changed(policies []spd.Policy, gone bool) (events []spd.Event) {
	for _, p := range policies {
		events = append(events, spd.PolicyChanged{Policy: p, Gone: gone})
	}
	return events
}

// MovesStatic reports the MIGRATEs of the transport mode policies: nothing moves, the news is the KMADDRESS.
func (d Daemon) MovesStatic(to netip.Addr) []spd.Event {
	return d.moves(d.Static(), d.ends(netip.IPv6Unspecified(), netip.IPv6Unspecified()), to)
}

// MovesTunnels reports the MIGRATEs of the tunnels.
func (d Daemon) MovesTunnels(from, to netip.Addr) []spd.Event {
	return d.moves(d.Tunnels(to), d.ends(from, d.HomeAgent), to)
}

// moves migrates policies from where the pair old is, outbound, to a care-of address.
func (d Daemon) moves(policies []spd.Policy, old spd.Endpoints, to netip.Addr) (events []spd.Event) {
	for _, p := range policies {
		t := p.Templates[0]
		m := spd.Migrate{PolicyKey: p.PolicyKey}
		c := spd.EndpointChange{Proto: t.Proto, Mode: t.Mode, Reqid: t.Reqid, Old: old, New: d.ends(to, d.HomeAgent)}
		if d.KMAddress {
			m.KMAddress = c.New
		}
		if p.Dir != spd.Out {
			c.Old, c.New = c.Old.Reverse(), c.New.Reverse()
		}
		m.Changes = []spd.EndpointChange{c}
		events = append(events, m)
	}
	return events
}

// ends are endpoints with this host's as Src.
func (d Daemon) ends(careOf, agent netip.Addr) spd.Endpoints {
	if d.OnHA {
		return spd.Endpoints{Src: agent, Dst: careOf}
	}
	return spd.Endpoints{Src: careOf, Dst: agent}
}

// Binds reports the kernel's Mobile IPv6 state between HoA and HA, with its deletion when careOf is the home address.
func (d Daemon) Binds(careOf netip.Addr) spd.CareOfState {
	return spd.CareOfState{
		Proto: spd.HomeOpt, Endpoints: spd.Endpoints{Src: d.HomeAddress, Dst: d.HomeAgent}, CareOf: careOf,
		Gone: careOf == d.HomeAddress,
	}
}

// RoadWarrior is HoA as a road warrior's, with the reqids 1 to 8.
func RoadWarrior(peer string, mobility migrate.Mobility) migrate.Home {
	return migrate.Home{
		Protected: migrate.Protected{
			HomeAddress: HoA, HomeAgent: HA, What: []migrate.Protection{migrate.ProtectPayload}, Reqid: 1, Level: spd.Unique,
		},
		Peer: peer, Mobility: mobility,
	}
}
