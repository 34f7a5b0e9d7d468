package simulation

import (
	"net/netip"

	"mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// binding is what a mobility daemon does in the kernel for one home address: as UMIP does, or with policies that are
// mipsecd's own just Mobile IPv6's states.
type binding struct {
	migratetest.Daemon
	host   *host
	own    bool       // the policies are mipsecd's
	careOf netip.Addr // the home address at home
}

// start sets up the policies that always stand.
func (b *binding) start() {
	b.careOf = b.HomeAddress
	if !b.own {
		b.set(b.Static())
	}
}

// move takes the mobile node, which may be there already, to a care-of address, or home.
func (b *binding) move(to netip.Addr) {
	b.host.w.note(b.host, b.HomeAddress, "is bound to %s", to)
	from := b.careOf
	b.careOf = to
	if to != b.HomeAddress {
		b.setCareOf()
	}
	if !b.own && from != to {
		if from == b.HomeAddress {
			b.set(b.Tunnels(b.HomeAddress))
		}
		static, tunnels := b.MovesStatic(to), b.MovesTunnels(from, to)
		if to == b.HomeAddress && !b.OnHA {
			b.migrate(tunnels)
			b.unset(b.Tunnels(to))
			b.migrate(static)
		} else {
			b.migrate(static)
			b.migrate(tunnels)
			if to == b.HomeAddress {
				b.unset(b.Tunnels(to))
			}
		}
	}
	if to == b.HomeAddress && from != to {
		b.setCareOf()
	}
	b.host.hear()
}

// setCareOf makes packets find their way, with or without headers of Mobile IPv6.
func (b *binding) setCareOf() {
	up := spd.Endpoints{Src: b.HomeAddress, Dst: b.HomeAgent}
	s := spd.CareOfState{Proto: spd.HomeOpt, Endpoints: up, CareOf: b.careOf, Gone: b.careOf == b.HomeAddress}
	b.host.kernel.SetCareOf(s)
	if b.OnHA {
		s.Proto, s.Endpoints = spd.Route2, up.Reverse()
		b.host.kernel.SetCareOf(s)
	}
}

func (b *binding) set(policies []spd.Policy) {
	for _, p := range policies {
		if err := b.host.backend.AddPolicy(p); err != nil {
			b.host.w.t.Error(err)
		}
	}
}

func (b *binding) unset(policies []spd.Policy) {
	for _, p := range policies {
		if err := b.host.backend.RemovePolicy(p.PolicyKey); err != nil {
			b.host.w.t.Error(err)
		}
	}
}

func (b *binding) migrate(movements []spd.Event) {
	for _, m := range movements {
		if err := b.host.backend.Migrate(m.(spd.Migrate)); err != nil {
			b.host.w.t.Error(err)
		}
	}
}

// policies are those that are to stand now.
func (b *binding) policies() []spd.Policy {
	list := b.Policies(b.OnHA, b.careOf)
	if b.careOf != b.HomeAddress {
		return list
	}
	if !b.own {
		return b.Static()
	}
	for i, p := range list {
		if p.Templates[0].Mode == spd.Tunnel { // RFC 4877 section 4.2
			list[i].Action, list[i].Templates = spd.Bypass, nil
		}
	}
	return list
}
