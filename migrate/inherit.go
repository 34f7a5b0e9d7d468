package migrate

import (
	"mipsecd/spd"
	"mipsecd/spd/image"
)

// Inherit takes up the SAs that an earlier run of the agent has left in the kernel, and is what they serve: demands that
// are to be met anew, where the mobile nodes are now. Those of manual keys are not left by anybody. After the start there
// are none.
func (h *Homes) Inherit(s Snapshot, kernel *image.Image) (demands []spd.Demand) {
	if h.heir {
		return nil
	}
	h.heir = true
	whose := func(d spd.Demand) string {
		if p := h.For(d); p != nil && !p.Manual {
			return p.Peer
		}
		return ""
	}
	for _, d := range kernel.Inherit(s.SAs, whose) {
		demands = append(demands, h.atPlace(h.For(d), d))
	}
	return demands
}

// Discard removes SAs that are of no use any more.
func Discard(sas []spd.SAID) []Effect {
	if len(sas) == 0 {
		return nil
	}
	return []Effect{Carry{Drop(sas)}}
}
