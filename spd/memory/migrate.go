package memory

import (
	"errors"
	"fmt"
	"slices"

	"mipsecd/spd"
)

// Migrate implements spd.Backend. As on Linux, a change matches a template in transport mode whatever its old
// endpoints are, and moves an SA in transport mode only if they are those of the SA.
func (b *Backend) Migrate(m spd.Migrate) error {
	return b.transact(func(k *Kernel) error {
		m.PolicyKey = normalize(m.PolicyKey)
		if err := checkChanges(m.Changes); err != nil {
			return fmt.Errorf("migrate policy %s: %w: %w", m.PolicyKey, err, spd.ErrInvalid)
		}
		policy := k.policies.byKey[m.PolicyKey]
		if policy == nil {
			return fmt.Errorf("migrate policy %s: %w", m.PolicyKey, spd.ErrNotFound)
		}
		templates, ok := moveTemplates(policy.Templates, m.Changes)
		if !ok {
			return fmt.Errorf("migrate policy %s: %w", m.PolicyKey, spd.ErrNoTemplate)
		}
		if err := k.moveSAs(m.Changes, m.Encap); err != nil {
			return fmt.Errorf("migrate policy %s: %w", m.PolicyKey, err)
		}
		policy.Templates = templates
		m.Changes = slices.Clone(m.Changes)
		k.report(m)
		return nil
	})
}

func checkChanges(changes []spd.EndpointChange) error {
	if len(changes) == 0 {
		return errors.New("it changes nothing")
	}
	for i, c := range changes {
		if !addressed(c.New) {
			return errors.New("a movement must be to two addresses of one family")
		}
		for _, other := range changes[:i] {
			if c.Proto == other.Proto && c.Mode == other.Mode && c.Reqid == other.Reqid && c.Old == other.Old {
				return errors.New("two movements have the same start")
			}
		}
	}
	return nil
}

// moveTemplates returns the moved templates, and whether any change found one.
func moveTemplates(templates []spd.Template, changes []spd.EndpointChange) ([]spd.Template, bool) {
	moved, found := slices.Clone(templates), false
	for i, t := range templates {
		for _, c := range changes {
			if t.Proto != c.Proto || t.Mode != c.Mode || c.Reqid != 0 && t.Reqid != c.Reqid {
				continue
			}
			if t.Mode == spd.Transport {
				found = true
			} else if t.Endpoints == c.Old {
				found = true
				moved[i].Endpoints = c.New
				break
			}
		}
	}
	return moved, found
}

// moveSAs moves all SAs of the changes or, when two would have one name, none. With the zero Encap they keep theirs.
func (k *Kernel) moveSAs(changes []spd.EndpointChange, encap spd.Encap) error {
	type move struct {
		*sa
		to spd.Endpoints
	}
	moves := map[spd.SAID]move{} // by the new name
	moving := map[*sa]bool{}
	for _, c := range changes {
		for _, s := range k.sas.byRoute[saRoute{c.Old, c.Proto}] {
			if s.larval || s.Mode != c.Mode || c.Reqid != 0 && s.Reqid != c.Reqid || moving[s] {
				continue
			}
			id := spd.SAID{Dst: c.New.Dst, Proto: s.Proto, SPI: s.SPI}
			if other := k.sas.byID[id]; other != nil && other != s || moves[id].sa != nil {
				return fmt.Errorf("SA %s: %w", id, spd.ErrExists)
			}
			moves[id], moving[s] = move{s, c.New}, true
			if k.options.MigrateOne {
				break
			}
		}
	}
	for _, m := range moves {
		k.sas.remove(m.sa)
		m.Endpoints = m.to
		if encap != (spd.Encap{}) {
			m.Encap = encap
		}
		k.sas.insert(m.sa)
	}
	return nil
}
