package ikev2

import "testing"

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
