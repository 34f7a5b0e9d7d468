// Package image is the agent's own copy of a kernel's policies and of the SAs it made for them. It answers what the roles
// ask: which pair of SAs an ACQUIRE wants, which pair a peer's request may have, and whose an SA is. It follows the
// kernel's reports, movements included. All of it is plain data: no I/O.
package image

import (
	"cmp"
	"net/netip"
	"slices"

	"mipsecd/spd"
)

// Image holds policies and SAs. The zero Image is empty.
type Image struct {
	policies map[spd.PolicyKey]*spd.Policy
	hosts    map[netip.Addr]map[spd.PolicyKey]*spd.Policy // by each single address that a selector names
	wide     map[spd.PolicyKey]*spd.Policy                // those whose selector names none
	owners   map[spd.SAID]string                          // peer by SA
}

// New is an empty image.
func New() *Image {
	return &Image{
		policies: map[spd.PolicyKey]*spd.Policy{}, hosts: map[netip.Addr]map[spd.PolicyKey]*spd.Policy{},
		wide: map[spd.PolicyKey]*spd.Policy{}, owners: map[spd.SAID]string{},
	}
}

// Load replaces all policies by what the kernel lists.
func (m *Image) Load(policies []spd.Policy) {
	clear(m.policies)
	clear(m.hosts)
	clear(m.wide)
	for _, p := range policies {
		m.put(p)
	}
}

// Event follows what the kernel reports of policies, and turns what it reports of our SAs into what the key exchange is
// to be told. Movements are left to Migrate, ACQUIREs to Wanted.
func (m *Image) Event(e spd.Event) (told spd.Command, ok bool) {
	switch e := e.(type) {
	case spd.PolicyChanged:
		if e.Gone {
			m.drop(e.Policy.PolicyKey)
		} else {
			m.put(e.Policy)
		}
	case spd.Expire:
		peer, ok := m.owners[e.ID]
		return spd.Expired{Peer: peer, ID: e.ID, Hard: e.Hard}, ok
	case spd.SARemoved:
		peer, ok := m.owners[e.ID]
		return spd.Lost{Peer: peer, ID: e.ID}, ok
	}
	return nil, false
}

// Clear forgets all policies.
func (m *Image) Clear() { m.Load(nil) }

// Migrate moves the templates of a policy as the kernel has done. A policy that is not here is passed over.
func (m *Image) Migrate(r spd.Migrate) {
	p := m.policies[r.PolicyKey]
	if p == nil {
		return
	}
	moved := *p
	moved.Templates = slices.Clone(p.Templates)
	for i, t := range moved.Templates {
		for _, c := range r.Changes {
			if c.Mode == spd.Tunnel && t.Mode == c.Mode && t.Proto == c.Proto && t.Reqid == c.Reqid && t.Endpoints == c.Old {
				moved.Templates[i].Endpoints = c.New
			}
		}
	}
	m.put(moved)
}

func (m *Image) put(p spd.Policy) {
	m.policies[p.PolicyKey] = &p
	for _, set := range m.sets(p.Selector, true) {
		set[p.PolicyKey] = &p
	}
}

func (m *Image) drop(k spd.PolicyKey) {
	delete(m.policies, k)
	for _, set := range m.sets(k.Selector, false) {
		delete(set, k)
	}
	for _, a := range hostsOf(k.Selector) {
		if len(m.hosts[a]) == 0 {
			delete(m.hosts, a)
		}
	}
}

func hostsOf(s spd.Selector) (hosts []netip.Addr) {
	for _, p := range []netip.Prefix{s.Src, s.Dst} {
		if p.IsSingleIP() {
			hosts = append(hosts, p.Addr())
		}
	}
	return hosts
}

// sets are the index entries that a policy with this selector belongs to.
func (m *Image) sets(s spd.Selector, create bool) (sets []map[spd.PolicyKey]*spd.Policy) {
	hosts := hostsOf(s)
	if len(hosts) == 0 {
		return []map[spd.PolicyKey]*spd.Policy{m.wide}
	}
	for _, a := range hosts {
		set := m.hosts[a]
		if set == nil && create {
			set = map[spd.PolicyKey]*spd.Policy{}
			m.hosts[a] = set
		}
		if set != nil {
			sets = append(sets, set)
		}
	}
	return sets
}

// Policies lists all policies, in the order in which the kernel looks at them.
func (m *Image) Policies() []spd.Policy {
	out := make([]spd.Policy, 0, len(m.policies))
	for _, p := range m.policies {
		out = append(out, *p)
	}
	slices.SortFunc(out, order)
	return out
}

func order(a, b spd.Policy) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Index, b.Index),
		cmp.Compare(a.PolicyKey.String(), b.PolicyKey.String()))
}

// about lists the policies of a direction that name one of two addresses, or none. The address that fewer policies
// name is looked up: on a home agent its own is in all of them.
func (m *Image) about(dir spd.Dir, a, b netip.Addr) []spd.Policy {
	named := m.hosts[a]
	if other, ok := m.hosts[b]; ok && (len(named) == 0 || len(other) < len(named)) {
		named = other
	}
	var out []spd.Policy
	for _, set := range []map[spd.PolicyKey]*spd.Policy{named, m.wide} {
		for k, p := range set {
			if k.Dir == dir && !k.Sub && p.Action == spd.Protect && len(p.Templates) > 0 {
				out = append(out, *p)
			}
		}
	}
	slices.SortFunc(out, order)
	return out
}

// Notice follows what a key exchange says of SAs.
func (m *Image) Notice(n spd.Notice) {
	switch n := n.(type) {
	case spd.ChildUp:
		m.owners[n.In], m.owners[n.Out] = n.Demand.Peer, n.Demand.Peer
	case spd.ChildDown:
		delete(m.owners, n.In)
		delete(m.owners, n.Out)
	case spd.ChildMoved:
		delete(m.owners, n.OldIn)
		delete(m.owners, n.OldOut)
		m.owners[n.In], m.owners[n.Out] = n.Demand.Peer, n.Demand.Peer
	}
}
