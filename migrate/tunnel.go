package migrate

import (
	"net/netip"

	"mipsecd/spd"
)

// Between plans how the tunnels that mipsecd owns follow a mobile node from one address to another. Tunnels are the
// policies with the mobile node's end at from. At home, where that is the home address, they are bypassed (RFC 4877
// section 4.2): they are protected again before they leave home, and bypassed once they have come back. The reports of
// the movement are to carry km, where the key exchange is now.
func Between(tunnels []spd.Policy, home, from, to netip.Addr, km spd.Endpoints) (p Plan) {
	if from == to {
		return p
	}
	if from == home {
		for _, t := range tunnels {
			p.replace(bypassed(t), t)
		}
	}
	for _, t := range tunnels {
		p.follow(t, moved(t, from, to), km, spd.Encap{})
	}
	if to == home {
		for _, t := range tunnels {
			p.replace(moved(t, from, to), bypassed(t))
		}
	}
	return p
}

// follow plans that a tunnel moves to where another policy with its key has it. Encap is the encapsulation of what goes out.
func (p *Plan) follow(was, is spd.Policy, km spd.Endpoints, encap spd.Encap) {
	m := spd.Migrate{PolicyKey: was.PolicyKey, KMAddress: km, Encap: encap}
	if was.Dir != spd.Out {
		m.Encap = encap.Reverse()
	}
	for i, t := range is.Templates {
		m.Changes = append(m.Changes, spd.EndpointChange{
			Proto: t.Proto, Mode: t.Mode, Reqid: t.Reqid, Old: was.Templates[i].Endpoints, New: t.Endpoints,
		})
	}
	p.migrate(m, is)
}

// bypassed is the policy that lets pass in clear what p protects.
func bypassed(p spd.Policy) spd.Policy {
	p.Action, p.Templates = spd.Bypass, nil
	return p
}

// discarded is the policy that lets nothing pass of what p protects.
func discarded(p spd.Policy) spd.Policy {
	p.Action, p.Templates = spd.Discard, nil
	return p
}

func isTunnel(p spd.Policy) bool { return len(p.Templates) > 0 && p.Templates[0].Mode == spd.Tunnel }

// moved is the policy with its templates' ends at from taken to to.
func moved(p spd.Policy, from, to netip.Addr) spd.Policy {
	templates := make([]spd.Template, len(p.Templates))
	for i, t := range p.Templates {
		if t.Endpoints.Src == from {
			t.Endpoints.Src = to
		}
		if t.Endpoints.Dst == from {
			t.Endpoints.Dst = to
		}
		templates[i] = t
	}
	p.Templates = templates
	return p
}
