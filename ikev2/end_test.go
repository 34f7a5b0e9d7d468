package ikev2

import (
	"errors"
	"slices"
	"testing"

	"mipsecd/spd"
)

func TestEndTellsEveryPeer(t *testing.T) {
	w, mn, _ := established(t, options{}, binding, returnRoute)
	mn.step(End{})
	w.run()
	w.settled(0)
}

// A peer that does not answer, and SAs that wait for their successors after a movement, do not hold an end up.
func TestAbandonLeavesNothing(t *testing.T) {
	for _, keep := range []bool{true, false} {
		w, mn, _ := established(t, options{}, binding, returnRoute)
		w.lose = func(*packet) bool { return true }
		mn.move(path1, path2, keep, true)
		mn.step(End{})
		mn.step(Abandon{})
		if len(mn.sas) != 0 || len(mn.larval) != 0 || len(mn.engine.Status()) != 0 {
			t.Errorf("K bit %t: left are SAs %v, larval %v, %v", keep, mn.sas, mn.larval, mn.engine.Status())
		}
	}
}

// While an agent waits for its peers' answers its peer's kernel may call for SAs again, and its own: what would begin now
// would be left behind. So it is with a peer that has begun and not said who it is.
func TestNothingBeginsAfterEnd(t *testing.T) {
	for _, half := range []bool{false, true} {
		w, mn, ha := newWorld(t, options{})
		if half {
			mn.tell(spd.Key{Demand: binding, Path: path1})
			w.deliver(0) // IKE_SA_INIT request and response
			w.deliver(0)
		}
		ha.step(End{})
		mn.key(binding)
		ha.tell(spd.Key{Demand: mirrored(returnRoute), Path: reversed(path1)})
		w.run()
		if failed, ok := ha.notices[len(ha.notices)-1].(spd.KeyFailed); !ok || !errors.Is(failed.Err, errEnding) {
			t.Errorf("half-open %t: the home agent tells its role %v", half, ha.notices)
		}
		if len(ha.sas)+len(ha.larval)+len(ha.engine.Status()) != 0 {
			t.Errorf("half-open %t: the home agent has SAs %v, larval %v, %v", half, ha.sas, ha.larval, ha.engine.Status())
		}
		if !slices.ContainsFunc(ha.dropped, func(err error) bool { return half || errors.Is(err, errEnding) }) {
			t.Errorf("half-open %t: the home agent has dropped %v", half, ha.dropped)
		}
	}
}
