// Package image is the agent's own copy of a kernel's policies and of the SAs it made for them. It answers what the roles
// ask: which pair of SAs an ACQUIRE wants, which pair a peer's request may have, and whose an SA is. It follows the
// kernel's reports, movements included. All of it is plain data: no I/O.
package image

import (
	"net/netip"
	"slices"

	"mipsecd/spd"
)

// Image holds the policies that protect traffic, and whose the SAs are. Other policies, and sub policies, want no SA and
// are passed over.
type Image struct {
	policies policies
	owners   map[spd.SAID]string // peer by SA
	orphans  orphans
}

// New is an empty image.
func New() *Image {
	return &Image{policies: newPolicies(), owners: map[spd.SAID]string{}, orphans: newOrphans()}
}

// Load replaces all policies by what the kernel lists. A tunnel that is elsewhere than it was here has moved without a
// report having come: those movements are returned, in the order of the list, as the kernel would have reported them.
func (m *Image) Load(list []spd.Policy) (missed []spd.Migrate) {
	before := m.policies
	m.policies = newPolicies()
	for _, p := range list {
		m.policies.put(p)
		if changes := movements(before.byKey[p.PolicyKey], m.policies.byKey[p.PolicyKey]); len(changes) > 0 {
			missed = append(missed, spd.Migrate{PolicyKey: p.PolicyKey, Changes: changes})
			m.orphans.move(changes)
		}
	}
	return missed
}

// AsMigrate is what an event says of a movement: of a policy that the kernel has moved by itself it makes the Migrate that
// others report. Other events stay as they are.
func (m *Image) AsMigrate(e spd.Event) spd.Event {
	if c, ok := e.(spd.PolicyChanged); ok && c.Moved {
		if changes := movements(m.policies.byKey[c.Policy.PolicyKey], &c.Policy); len(changes) > 0 {
			return spd.Migrate{PolicyKey: c.Policy.PolicyKey, Changes: changes}
		}
	}
	return e
}

// movements are what took the tunnels of a policy from where they were to where they are.
func movements(was, is *spd.Policy) (changes []spd.EndpointChange) {
	if was == nil || is == nil || len(was.Templates) != len(is.Templates) {
		return nil
	}
	for i, t := range is.Templates {
		old := was.Templates[i]
		if t.Mode == spd.Tunnel && old.Mode == t.Mode && old.Proto == t.Proto && old.Reqid == t.Reqid &&
			old.Endpoints != t.Endpoints {
			changes = append(changes, spd.EndpointChange{
				Proto: t.Proto, Mode: t.Mode, Reqid: t.Reqid, Old: old.Endpoints, New: t.Endpoints,
			})
		}
	}
	return changes
}

// Event follows what the kernel reports of policies, and turns what it reports of our SAs into what the key exchange is
// to be told, if anything.
func (m *Image) Event(e spd.Event) (told spd.Command, ok bool) {
	switch e := e.(type) {
	case spd.PolicyChanged:
		if e.Gone {
			m.policies.drop(e.Policy.PolicyKey)
		} else {
			m.policies.put(e.Policy)
		}
	case spd.Migrate:
		m.migrate(e)
	case spd.Flushed:
		if e.Policies {
			m.policies = newPolicies()
		}
	case spd.Expire:
		if e.Hard {
			m.orphans.drop(e.ID)
		}
		peer, ok := m.owners[e.ID]
		return spd.Expired{Peer: peer, ID: e.ID, Hard: e.Hard}, ok
	case spd.Mapping:
		peer, ok := m.owners[e.ID]
		return spd.Rebound{Peer: peer, ID: e.ID, To: e.From}, ok
	case spd.SARemoved:
		m.orphans.drop(e.ID)
		peer, ok := m.owners[e.ID]
		return spd.Lost{Peer: peer, ID: e.ID}, ok
	}
	return nil, false
}

// migrate moves the tunnels of a policy as the kernel has done: a change without reqid is for any. Templates in transport
// mode have no endpoints that could move.
func (m *Image) migrate(r spd.Migrate) {
	m.orphans.move(r.Changes)
	p := m.policies.byKey[r.PolicyKey]
	if p == nil {
		return
	}
	moved := *p
	moved.Templates = slices.Clone(p.Templates)
	for i, t := range moved.Templates {
		for _, c := range r.Changes {
			if moves(c, t) {
				moved.Templates[i].Endpoints = c.New
			}
		}
	}
	m.policies.put(moved)
}

func moves(c spd.EndpointChange, t spd.Template) bool {
	return t.Mode == spd.Tunnel && c.Mode == t.Mode && c.Proto == t.Proto && (c.Reqid == 0 || c.Reqid == t.Reqid) &&
		c.Old == t.Endpoints
}

// Notice follows what a key exchange says of SAs. Of those that an earlier run of the agent has left it returns what is of
// no use any more, and is to be removed.
func (m *Image) Notice(n spd.Notice) (useless []spd.SAID) {
	switch n := n.(type) {
	case spd.ChildUp:
		m.own(n.Demand.Peer, n.In, n.Out)
	case spd.ChildDown:
		m.disown(n.In, n.Out)
	case spd.ChildMoved:
		m.disown(n.OldIn, n.OldOut)
		m.own(n.Demand.Peer, n.In, n.Out)
	}
	return m.replaced(n)
}

func (m *Image) own(peer string, in, out spd.SAID) { m.owners[in], m.owners[out] = peer, peer }

func (m *Image) disown(in, out spd.SAID) {
	delete(m.owners, in)
	delete(m.owners, out)
}

// hosts are the single addresses that a selector names.
func hosts(s spd.Selector) (hosts []netip.Addr) {
	for _, p := range []netip.Prefix{s.Src, s.Dst} {
		if p.IsSingleIP() {
			hosts = append(hosts, p.Addr())
		}
	}
	return hosts
}
