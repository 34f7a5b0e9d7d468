package migrate

import (
	"errors"
	"fmt"
	"net/netip"

	"mipsecd/spd"
)

// Mover is the part of spd.Backend that a movement needs.
type Mover interface {
	Migrate(spd.Migrate) error
	UpdatePolicy(spd.Policy) error
}

// Plan is the steps of one movement, in order. The agent's own copy and the IKE_SA are not in it: they follow the
// kernel's reports of these steps, as they follow those of anybody else's.
type Plan struct {
	steps []step
}

// step is one change and its undoing.
type step struct {
	what     string
	do, undo func(Mover) error
}

// Set plans policies to be there, replacing those with the same key. It is not undone.
func Set(policies []spd.Policy) (p Plan) {
	for _, policy := range policies {
		p.steps = append(p.steps, step{
			what: "set " + policy.String(),
			do:   func(k Mover) error { return k.UpdatePolicy(policy) },
			undo: func(Mover) error { return nil },
		})
	}
	return p
}

func (p *Plan) migrate(m spd.Migrate) {
	back := m
	back.KMAddress = spd.Endpoints{}
	back.Changes = nil
	for _, c := range m.Changes {
		c.Old, c.New = c.New, c.Old
		back.Changes = append(back.Changes, c)
	}
	p.steps = append(p.steps, step{
		what: fmt.Sprintf("migrate %s", m.PolicyKey),
		do:   func(k Mover) error { return k.Migrate(m) },
		undo: func(k Mover) error { return k.Migrate(back) },
	})
}

// replace plans a policy in the place of another with the same key.
func (p *Plan) replace(old, policy spd.Policy) {
	p.steps = append(p.steps, step{
		what: fmt.Sprintf("set %s", policy),
		do:   func(k Mover) error { return k.UpdatePolicy(policy) },
		undo: func(k Mover) error { return k.UpdatePolicy(old) },
	})
}

// Empty reports whether nothing is to be done.
func (p Plan) Empty() bool { return len(p.steps) == 0 }

// Apply carries the plan out. If a step fails, those before it are undone, the last first; the error says what failed,
// and what could not be undone.
func (p Plan) Apply(k Mover) error {
	for i, s := range p.steps {
		err := s.do(k)
		if err == nil {
			continue
		}
		err = fmt.Errorf("%s: %w", s.what, err)
		for j := i - 1; j >= 0; j-- {
			if undo := p.steps[j].undo(k); undo != nil {
				err = errors.Join(err, fmt.Errorf("undo %s: %w", p.steps[j].what, undo))
			}
		}
		return err
	}
	return nil
}

// String lists the steps, a line each.
func (p Plan) String() (out string) {
	for _, s := range p.steps {
		out += s.what + "\n"
	}
	return out
}

// Between plans how the tunnels that mipsecd owns follow a mobile node from one address to another. Tunnels are the
// policies with the mobile node's end at from. At home, where that is the home address, they are bypassed (RFC 4877
// section 4.2): they are protected again before they leave home, and bypassed once they have come back.
func Between(tunnels []spd.Policy, home, from, to netip.Addr, km spd.Endpoints) (p Plan) {
	if from == to {
		return p
	}
	if from == home {
		for _, t := range tunnels {
			p.replace(Bypassed(t), t)
		}
	}
	for _, t := range tunnels {
		p.migrate(spd.Migrate{PolicyKey: t.PolicyKey, KMAddress: km, Changes: changes(t, from, to)})
	}
	if to == home {
		for _, t := range tunnels {
			p.replace(moved(t, from, to), Bypassed(t))
		}
	}
	return p
}

// Bypassed is the policy that lets pass in clear what p protects in a tunnel; a policy in transport mode stays.
func Bypassed(p spd.Policy) spd.Policy {
	if len(p.Templates) > 0 && p.Templates[0].Mode == spd.Tunnel {
		p.Action, p.Templates = spd.Bypass, nil
	}
	return p
}

func changes(p spd.Policy, from, to netip.Addr) (out []spd.EndpointChange) {
	for i, t := range moved(p, from, to).Templates {
		out = append(out, spd.EndpointChange{
			Proto: t.Proto, Mode: t.Mode, Reqid: t.Reqid, Old: p.Templates[i].Endpoints, New: t.Endpoints,
		})
	}
	return out
}

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
