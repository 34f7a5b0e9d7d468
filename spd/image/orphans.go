package image

import (
	"maps"
	"slices"

	"mipsecd/spd"
)

// orphan is an SA that an earlier run of the agent has left in the kernel: no key exchange knows it. It serves until there
// is another one for what is demanded, or there will be none.
type orphan struct {
	sa     spd.SA
	demand spd.Demand
}

type orphans struct {
	byID   map[spd.SAID]*orphan
	byPeer map[string][]*orphan
}

func newOrphans() orphans { return orphans{map[spd.SAID]*orphan{}, map[string][]*orphan{}} }

func (l *orphans) put(o *orphan) {
	l.byID[o.sa.ID()] = o
	l.byPeer[o.demand.Peer] = append(l.byPeer[o.demand.Peer], o)
}

// drop forgets an orphan; one that is none is fine.
func (l *orphans) drop(id spd.SAID) {
	o := l.byID[id]
	if o == nil {
		return
	}
	delete(l.byID, id)
	peer := o.demand.Peer
	l.byPeer[peer] = slices.DeleteFunc(l.byPeer[peer], func(other *orphan) bool { return other == o })
	if len(l.byPeer[peer]) == 0 {
		delete(l.byPeer, peer)
	}
}

// move follows the kernel, which has moved SAs with a policy.
func (l *orphans) move(changes []spd.EndpointChange) {
	var moved []*orphan
	for id, o := range l.byID {
		made := spd.Template{Proto: o.sa.Proto, Mode: o.sa.Mode, Reqid: o.sa.Reqid, Endpoints: o.sa.Endpoints}
		if i := slices.IndexFunc(changes, func(c spd.EndpointChange) bool { return moves(c, made) }); i >= 0 {
			delete(l.byID, id)
			o.sa.Endpoints = changes[i].New
			moved = append(moved, o)
		}
	}
	for _, o := range moved {
		l.byID[o.sa.ID()] = o
	}
}

// release forgets those of a peer's whose demand matches, and tells which they are.
func (l *orphans) release(peer string, match func(spd.Demand) bool) (sas []spd.SAID) {
	for _, o := range slices.Clone(l.byPeer[peer]) {
		if match(o.demand) {
			sas = append(sas, o.sa.ID())
			l.drop(o.sa.ID())
		}
	}
	return sas
}

// Inherit makes orphans of the SAs that the policies have in the kernel before any key exchange has made one. They were
// made for the peers of whose the demands are, in the order in which the kernel looks at their policies; those of nobody
// are not ours.
func (m *Image) Inherit(list []spd.SA, whose func(spd.Demand) (peer string)) (demands []spd.Demand) {
	byReqid := map[uint32][]spd.SA{}
	for _, sa := range list {
		if sa.Proto == spd.ESP && sa.Reqid != 0 { // without one it might as well be somebody else's
			byReqid[sa.Reqid] = append(byReqid[sa.Reqid], sa)
		}
	}
	for _, p := range m.policies.outbound() {
		d := m.demand(p.Selector, p.Templates[0])
		if d.Mode == spd.Transport && !between(&d, d.Traffic.Local[0], d.Traffic.Remote[0]) {
			continue
		}
		if d.Peer = whose(d); d.Peer == "" {
			continue
		}
		before := len(m.orphans.byID)
		ends := spd.Endpoints{Src: d.Local, Dst: d.Remote}
		for _, sa := range slices.Concat(byReqid[d.ReqidOut], byReqid[d.ReqidIn]) {
			if sa.Mode == d.Mode && (sa.Reqid == d.ReqidOut && sa.Endpoints == ends ||
				sa.Reqid == d.ReqidIn && sa.Endpoints == ends.Reverse()) && m.orphans.byID[sa.ID()] == nil {
				m.orphans.put(&orphan{sa, d})
			}
		}
		if len(m.orphans.byID) > before {
			demands = append(demands, d)
		}
	}
	return demands
}

// Disinherit forgets all orphans, and tells which they are.
func (m *Image) Disinherit() (sas []spd.SAID) {
	for _, peer := range slices.Sorted(maps.Keys(m.orphans.byPeer)) {
		sas = append(sas, m.orphans.release(peer, func(spd.Demand) bool { return true })...)
	}
	return sas
}

// replaced forgets the orphans that a notice makes useless: there is another pair for what they serve, there will be none,
// or their peer has them no more.
func (m *Image) replaced(n spd.Notice) []spd.SAID {
	switch n := n.(type) {
	case spd.ChildUp:
		return m.orphans.release(n.Demand.Peer, func(d spd.Demand) bool { return sameUse(d, n.Demand) })
	case spd.KeyFailed:
		return m.orphans.release(n.Demand.Peer, func(d spd.Demand) bool { return sameUse(d, n.Demand) })
	case spd.PeerUp:
		return m.orphans.release(n.Peer, func(spd.Demand) bool { return n.First })
	}
	return nil
}

// sameUse reports whether SAs for the one demand are used for traffic of the other, too.
func sameUse(a, b spd.Demand) bool {
	return a.Mode == b.Mode && a.ReqidIn == b.ReqidIn && a.ReqidOut == b.ReqidOut &&
		len(spd.Narrow(a.Traffic.Local, b.Traffic.Local)) > 0 && len(spd.Narrow(a.Traffic.Remote, b.Traffic.Remote)) > 0
}
