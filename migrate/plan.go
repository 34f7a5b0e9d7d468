package migrate

import (
	"errors"
	"fmt"
	"strings"

	"mipsecd/spd"
)

// Mover is the part of spd.Backend that a movement needs.
type Mover interface {
	Migrate(spd.Migrate) error
	UpdatePolicy(spd.Policy) error
	RemovePolicy(spd.PolicyKey) error
	Remove(spd.SAID) error
}

// Plan is the steps of one movement, in order. The agent's own copy and the IKE_SA are not in it: they follow the
// kernel's reports of these steps, as they follow those of anybody else's.
type Plan struct {
	steps   []step
	instead *Plan // if one of them fails
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

// Unset plans policies to be there no more. It is not undone; what is gone already is fine.
func Unset(policies []spd.Policy) (p Plan) {
	for _, policy := range policies {
		p.remove(policy.PolicyKey.String(), func(k Mover) error { return k.RemovePolicy(policy.PolicyKey) })
	}
	return p
}

// Drop plans SAs to be there no more, likewise.
func Drop(sas []spd.SAID) (p Plan) {
	for _, id := range sas {
		p.remove(id.String(), func(k Mover) error { return k.Remove(id) })
	}
	return p
}

// Rest plans that the SAs follow which a movement has left behind: Linux moves one for each MIGRATE. Their policy has moved
// with the first; without a template that it finds, Linux would refuse. It is not undone.
func Rest(t spd.MovedTogether) (p Plan) {
	stay := t.Moved.Change
	stay.Old = stay.New
	m := spd.Migrate{PolicyKey: t.Moved.Policy, Changes: []spd.EndpointChange{stay, t.Moved.Change}, Encap: t.Moved.Encap}
	for range t.SAs - 1 {
		p.steps = append(p.steps, step{
			what: fmt.Sprintf("migrate the rest of %s from %s to %s", m.PolicyKey, t.Moved.Change.Old, stay.New),
			do:   func(k Mover) error { return k.Migrate(m) },
			undo: func(Mover) error { return nil },
		})
	}
	return p
}

func (p *Plan) remove(what string, do func(Mover) error) {
	p.steps = append(p.steps, step{
		what: "remove " + what,
		do: func(k Mover) error {
			if err := do(k); !errors.Is(err, spd.ErrNotFound) {
				return err
			}
			return nil
		},
		undo: func(Mover) error { return nil },
	})
}

// replace plans a policy in the place of another with the same key.
func (p *Plan) replace(old, policy spd.Policy) {
	p.steps = append(p.steps, step{
		what: "set " + policy.String(),
		do:   func(k Mover) error { return k.UpdatePolicy(policy) },
		undo: func(k Mover) error { return k.UpdatePolicy(old) },
	})
}

// migrate plans a movement of one policy, after which it is as moved says. Linux refuses it as long as the kernel calls for
// an SA of this policy, and so it does if somebody has put the policy elsewhere: then it is set anew. Its undoing keeps the
// KMAddress: the mobile node is there, whatever becomes of its policies.
func (p *Plan) migrate(m spd.Migrate, moved spd.Policy) {
	back := m
	back.Changes = make([]spd.EndpointChange, len(m.Changes))
	what := "migrate " + m.PolicyKey.String()
	for i, c := range m.Changes {
		what += fmt.Sprintf(" from %s to %s", c.Old, c.New)
		c.Old, c.New = c.New, c.Old
		back.Changes[i] = c
	}
	if m.Encap != (spd.Encap{}) {
		what += ", " + m.Encap.String()
	}
	p.steps = append(p.steps, step{
		what: what,
		do: func(k Mover) error {
			err := k.Migrate(m)
			if errors.Is(err, spd.ErrNoTemplate) {
				return k.UpdatePolicy(moved)
			}
			return err
		},
		undo: func(k Mover) error { return k.Migrate(back) },
	})
}

// or is the plan with another one to be carried out in its place should a step of it fail.
func (p Plan) or(other Plan) Plan {
	p.instead = &other
	return p
}

// Apply carries the plan out. If a step fails, those before it are undone, the last first; the error says what failed,
// and what could not be undone. It is an error even if there is another plan and that succeeds.
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
		if p.instead != nil {
			err = errors.Join(err, p.instead.Apply(k))
		}
		return err
	}
	return nil
}

// String lists the steps, a line each.
func (p Plan) String() string {
	var out strings.Builder
	for _, s := range p.steps {
		fmt.Fprintln(&out, s.what)
	}
	if p.instead != nil {
		fmt.Fprintf(&out, "or else\n%s", p.instead)
	}
	return out.String()
}
