package agent

import (
	"hash/fnv"
	"slices"

	"mipsecd/spd"
)

// Router finds the engines that a command is for. It is plain data.
type Router struct {
	engines int
	ikeSAs  map[string][]uint64 // by peer, the newest last
}

// NewRouter is for engines that are numbered from zero, and have these numbers as Shard.
func NewRouter(engines int) *Router { return &Router{engines: engines, ikeSAs: map[string][]uint64{}} }

// Heard notes which IKE_SAs there are with a peer: the first octet of one's SPI tells its engine. If ok, the engines are to
// be told of it.
func (r *Router) Heard(n spd.Notice) (tell spd.Command, ok bool) {
	switch n := n.(type) {
	case spd.PeerUp:
		r.ikeSAs[n.Peer] = append(r.ikeSAs[n.Peer], n.ID)
		return spd.Met{Peer: n.Peer, ID: n.ID}, r.engines > 1
	case spd.PeerDown:
		left := slices.DeleteFunc(r.ikeSAs[n.Peer], func(id uint64) bool { return id == n.ID })
		if r.ikeSAs[n.Peer] = left; len(left) == 0 {
			delete(r.ikeSAs, n.Peer)
		}
	}
	return nil, false
}

// Route is the engines from one up to, and without, another that a command concerns: for a Grant or AddressGrant the one
// that asked, for a Key or Connect the one that has the peer, for others all that may have something with the peer.
func (r *Router) Route(c spd.Command) (from, to int) {
	switch c := c.(type) {
	case spd.Grant:
		from = int(c.Request >> 56)
	case spd.AddressGrant:
		from = int(c.Request >> 56)
	case spd.Key:
		from = r.engineOf(c.Demand.Peer)
	case spd.Connect:
		from = r.engineOf(c.Peer)
	default:
		return 0, r.engines
	}
	return from, from + 1
}

// engineOf is that of the newest IKE_SA with a peer, or the one where it would be begun.
func (r *Router) engineOf(peer string) int {
	if ids := r.ikeSAs[peer]; len(ids) > 0 {
		return int(ids[len(ids)-1] >> 56)
	}
	h := fnv.New32a()
	h.Write([]byte(peer))
	return int(h.Sum32() % uint32(r.engines))
}
