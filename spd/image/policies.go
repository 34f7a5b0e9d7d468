package image

import (
	"cmp"
	"net/netip"
	"slices"

	"mipsecd/spd"
)

// policies are those that protect traffic. A home agent has some for each of a hundred thousand mobile nodes, and its own
// address is in all of them; so they are found by the address that fewer of them name.
type policies struct {
	byKey map[spd.PolicyKey]*spd.Policy
	pairs index // those between two hosts, by either
	alone index // those with one host, by that; those with none, by the zero Addr

	byReqid map[uint32]set // the outbound ones that have a reqid
}

type (
	index map[netip.Addr]set
	set   map[spd.PolicyKey]*spd.Policy
)

func newPolicies() policies {
	return policies{byKey: map[spd.PolicyKey]*spd.Policy{}, pairs: index{}, alone: index{}, byReqid: map[uint32]set{}}
}

// put adds a policy, or replaces the one with its key.
func (l *policies) put(p spd.Policy) {
	if p.Sub || p.Action != spd.Protect || len(p.Templates) == 0 {
		l.drop(p.PolicyKey)
		return
	}
	l.drop(p.PolicyKey) // its reqid may have been another one
	l.byKey[p.PolicyKey] = &p
	if reqid := p.Templates[0].Reqid; reqid != 0 && p.Dir == spd.Out {
		if l.byReqid[reqid] == nil {
			l.byReqid[reqid] = set{}
		}
		l.byReqid[reqid][p.PolicyKey] = &p
	}
	in, names := l.index(p.Selector)
	for _, host := range names {
		if in[host] == nil {
			in[host] = set{}
		}
		in[host][p.PolicyKey] = &p
	}
}

func (l *policies) drop(k spd.PolicyKey) {
	p := l.byKey[k]
	if p == nil {
		return
	}
	delete(l.byKey, k)
	reqid := p.Templates[0].Reqid
	if delete(l.byReqid[reqid], k); len(l.byReqid[reqid]) == 0 {
		delete(l.byReqid, reqid)
	}
	in, names := l.index(k.Selector)
	for _, host := range names {
		delete(in[host], k)
		if len(in[host]) == 0 {
			delete(in, host)
		}
	}
}

// index is where policies with a selector are, and under which addresses.
func (l *policies) index(s spd.Selector) (index, []netip.Addr) {
	switch names := hosts(s); len(names) {
	case 2:
		return l.pairs, names
	case 1:
		return l.alone, names
	}
	return l.alone, []netip.Addr{{}}
}

// about lists the policies of a direction that are for traffic with all of these hosts, in the order in which the kernel
// looks at them. Each policy that would match is there; of the others, as few as can be.
func (l *policies) about(dir spd.Dir, hosts []netip.Addr) (list []*spd.Policy) {
	sets := []set{l.alone[netip.Addr{}]}
	var fewest set
	for i, host := range slices.Compact(hosts) {
		sets = append(sets, l.alone[host])
		if pairs := l.pairs[host]; i == 0 || len(pairs) < len(fewest) {
			fewest = pairs
		}
	}
	for _, s := range append(sets, fewest) {
		for k, p := range s {
			if k.Dir == dir {
				list = append(list, p)
			}
		}
	}
	slices.SortFunc(list, order)
	return list
}

// outbound lists the outbound policies in the order in which the kernel looks at them.
func (l *policies) outbound() (list []*spd.Policy) {
	for k, p := range l.byKey {
		if k.Dir == spd.Out {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, order)
	return list
}

// order is the kernel's: by priority, then by age. Where the index is not known any order will do that is always the
// same.
func order(a, b *spd.Policy) int {
	x, y := a.Selector, b.Selector
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Index, b.Index),
		x.Src.Compare(y.Src), x.Dst.Compare(y.Dst), cmp.Compare(x.Proto, y.Proto),
		cmp.Compare(rank(x.SrcPort), rank(y.SrcPort)), cmp.Compare(rank(x.DstPort), rank(y.DstPort)))
}

func rank(p spd.Port) int {
	if !p.Exact {
		return -1
	}
	return int(p.Value)
}
