package migrate

import (
	"time"

	"mipsecd/spd"
)

// Keyed follows what the key exchange says, as both roles do: where road warriors are, that a peer has begun anew, and that
// SAs have moved together.
func (h *Homes) Keyed(now time.Time, n spd.Notice) []Effect {
	out := h.warriorKeyed(now, n)
	switch n := n.(type) {
	case spd.PeerUp:
		h.settled(n.Peer)
		if n.First {
			out = append(out, Tell{spd.Superseded{Peer: n.Peer, Except: n.ID, Path: n.Path, Before: n.Began}})
		}
	case spd.MovedTogether:
		out = append(out, Carry{Rest(n)})
	}
	return out
}
