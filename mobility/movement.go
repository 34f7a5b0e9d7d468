package mobility

import (
	"net/netip"

	"mipsecd/spd"
)

// Movement says that the key exchange for the traffic between two hosts now runs over another path.
type Movement struct {
	// Local and Remote are the hosts of the policy: HoA and HA on the mobile node, the reverse on the home agent. One
	// of them is not valid where the policy is for any address.
	Local, Remote netip.Addr
	Path          spd.Path
}

// FromMigrate reads a movement out of a MIGRATE: the key exchange addresses if the sender gave them (SADB_X_EXT_KMADDRESS,
// XFRMA_KMADDRESS), else the new endpoints of a tunnel. Not ok when it has neither, as a transport mode entry without
// KMADDRESS, or a tunnel that stays: KAME says so of one whose mobile node has returned home, and leaves it at the last CoA.
func FromMigrate(m spd.Migrate) (movement Movement, ok bool) {
	outer := m.KMAddress // this host's address is Src, whatever the direction of the policy
	for _, c := range m.Changes {
		if c.Mode == spd.Tunnel && c.Old != c.New && !specified(outer) {
			outer = outward(m.Dir, c.New)
		}
	}
	hosts := outward(m.Dir, spd.Endpoints{Src: host(m.Selector.Src), Dst: host(m.Selector.Dst)})
	return Movement{
		Local: hosts.Src, Remote: hosts.Dst, Path: spd.Path{Local: outer.Src, Remote: outer.Dst},
	}, specified(outer)
}

// outward turns endpoints of a policy so that this host's side is Src.
func outward(d spd.Dir, e spd.Endpoints) spd.Endpoints {
	if d == spd.Out {
		return e
	}
	return e.Reverse()
}

func host(p netip.Prefix) netip.Addr {
	if p.IsSingleIP() {
		return p.Addr()
	}
	return netip.Addr{}
}

// specified reports whether both endpoints are addresses, and not "::" for want of one.
func specified(e spd.Endpoints) bool {
	return e.Src.IsValid() && !e.Src.IsUnspecified() && e.Dst.IsValid() && !e.Dst.IsUnspecified()
}
