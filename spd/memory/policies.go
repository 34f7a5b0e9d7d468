package memory

import (
	"fmt"
	"net/netip"
	"slices"

	"mipsecd/spd"
)

// policyTable is the SPD. A home agent has policies for thousands of home addresses, so look-up goes through buckets
// of policies for the same pair of hosts.
type policyTable struct {
	byKey   map[spd.PolicyKey]*spd.Policy
	buckets map[bucket][]*spd.Policy // each in order of insertion
	created uint32
}

// bucket has the zero Addr for a prefix of more than one address.
type bucket struct {
	dir      spd.Dir
	sub      bool
	src, dst netip.Addr
}

func newPolicyTable() policyTable {
	return policyTable{byKey: map[spd.PolicyKey]*spd.Policy{}, buckets: map[bucket][]*spd.Policy{}}
}

func bucketOf(k spd.PolicyKey) bucket {
	return bucket{k.Dir, k.Sub, hostOf(k.Selector.Src), hostOf(k.Selector.Dst)}
}

func hostOf(p netip.Prefix) netip.Addr {
	if p.IsSingleIP() {
		return p.Addr()
	}
	return netip.Addr{}
}

// put adds or replaces. An index has the direction in its low bits, as on Linux, and outlives a replacement.
func (t *policyTable) put(p spd.Policy) spd.Policy {
	p.Templates = slices.Clone(p.Templates)
	if old := t.byKey[p.PolicyKey]; old != nil {
		p.Index = old.Index
		*old = p
		return p
	}
	t.created++
	p.Index = t.created<<3 | uint32(p.Dir)
	t.byKey[p.PolicyKey] = &p
	b := bucketOf(p.PolicyKey)
	t.buckets[b] = append(t.buckets[b], &p)
	return p
}

func (t *policyTable) remove(key spd.PolicyKey) {
	p, b := t.byKey[key], bucketOf(key)
	delete(t.byKey, key)
	t.buckets[b] = slices.DeleteFunc(t.buckets[b], func(o *spd.Policy) bool { return o == p })
	if len(t.buckets[b]) == 0 {
		delete(t.buckets, b)
	}
}

// lookup finds the policy for a packet: the least priority, then the oldest. Nil if there is none.
func (t *policyTable) lookup(dir spd.Dir, sub bool, p Packet) *spd.Policy {
	var best *spd.Policy
	for _, b := range [...]bucket{{dir, sub, p.Src, p.Dst}, {dir: dir, sub: sub, src: p.Src},
		{dir: dir, sub: sub, dst: p.Dst}, {dir: dir, sub: sub}} {
		for _, c := range t.buckets[b] {
			if selects(c.Selector, p) && (best == nil || c.Priority < best.Priority ||
				c.Priority == best.Priority && c.Index < best.Index) {
				best = c
			}
		}
	}
	return best
}

// AddPolicy implements spd.Backend.
func (b *Backend) AddPolicy(p spd.Policy) error { return b.putPolicy(p, false) }

// UpdatePolicy implements spd.Backend.
func (b *Backend) UpdatePolicy(p spd.Policy) error { return b.putPolicy(p, true) }

func (b *Backend) putPolicy(p spd.Policy, replace bool) error {
	return b.transact(func(k *Kernel) error {
		p.PolicyKey = normalize(p.PolicyKey)
		if err := checkPolicy(p); err != nil {
			return err
		}
		if !replace && k.policies.byKey[p.PolicyKey] != nil {
			return fmt.Errorf("policy %s: %w", p.PolicyKey, spd.ErrExists)
		}
		k.report(spd.PolicyChanged{Policy: clonePolicy(k.policies.put(p))})
		return nil
	})
}

// RemovePolicy implements spd.Backend.
func (b *Backend) RemovePolicy(key spd.PolicyKey) error {
	return b.transact(func(k *Kernel) error {
		key = normalize(key)
		p := k.policies.byKey[key]
		if p == nil {
			return fmt.Errorf("policy %s: %w", key, spd.ErrNotFound)
		}
		k.policies.remove(key)
		k.report(spd.PolicyChanged{Policy: *p, Gone: true})
		return nil
	})
}

// Policies implements spd.Backend, in the order in which the policies were added.
func (b *Backend) Policies() ([]spd.Policy, error) {
	var all []spd.Policy
	err := b.transact(func(k *Kernel) error {
		for _, p := range k.policies.byKey {
			all = append(all, clonePolicy(*p))
		}
		return nil
	})
	slices.SortFunc(all, func(p, q spd.Policy) int { return int(p.Index) - int(q.Index) })
	return all, err
}

// Policy is the policy with a key, if there is one.
func (b *Backend) Policy(key spd.PolicyKey) (p spd.Policy, ok bool) {
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	found := b.kernel.policies.byKey[normalize(key)]
	if found == nil {
		return p, false
	}
	return clonePolicy(*found), true
}

// FlushPolicies deletes all policies, as an administrator may.
func (k *Kernel) FlushPolicies() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.policies = newPolicyTable()
	k.report(spd.Flushed{Policies: true})
}

func clonePolicy(p spd.Policy) spd.Policy {
	p.Templates = slices.Clone(p.Templates)
	return p
}

// normalize drops the value of a port that is not exact, so that equal keys compare equal.
func normalize(k spd.PolicyKey) spd.PolicyKey {
	for _, p := range []*spd.Port{&k.Selector.SrcPort, &k.Selector.DstPort} {
		if !p.Exact {
			p.Value = 0
		}
	}
	return k
}

func checkPolicy(p spd.Policy) error {
	invalid := func(why string) error { return fmt.Errorf("policy %s: %s: %w", p.PolicyKey, why, spd.ErrInvalid) }
	switch src, dst := p.Selector.Src, p.Selector.Dst; {
	case !src.IsValid() || !dst.IsValid() || src.Addr().BitLen() != dst.Addr().BitLen():
		return invalid("the selector needs two prefixes of one family")
	case p.Dir < spd.In || p.Dir > spd.Fwd:
		return invalid("the direction must be in, out or fwd")
	case p.Action < spd.Protect || p.Action > spd.Discard:
		return invalid("the action must be protect, bypass or discard")
	case (p.Action == spd.Protect) != (len(p.Templates) > 0):
		return invalid("to protect, and only to protect, it needs templates")
	}
	for _, t := range p.Templates {
		switch t.Mode {
		case spd.Transport:
			if t.Endpoints != (spd.Endpoints{}) {
				return invalid("a template in transport mode has no endpoints")
			}
		case spd.Tunnel, spd.BEET:
			if !addressed(t.Endpoints) {
				return invalid("a template in tunnel mode needs endpoints")
			}
		case spd.RouteOptimization:
		default:
			return invalid("a template has no mode")
		}
	}
	return nil
}

// addressed reports whether both endpoints are addresses that an SA can have.
func addressed(e spd.Endpoints) bool {
	return e.Src.IsValid() && e.Dst.IsValid() && !e.Src.IsUnspecified() && !e.Dst.IsUnspecified() &&
		e.Src.BitLen() == e.Dst.BitLen()
}
