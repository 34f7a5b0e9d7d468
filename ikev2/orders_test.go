package ikev2

import (
	"math/rand/v2"
	"testing"
	"time"

	"mipsecd/spd"
)

// orders walks through the orders in which what is on its way can arrive: each run takes the next choice of all.
type orders struct {
	trail, of []int // what was chosen, of how many
	at        int
	dice      *rand.Rand // chooses instead, when there are too many to try all
}

func (o *orders) choose(n int) int {
	if o.dice != nil {
		return o.dice.IntN(n)
	}
	if o.at == len(o.trail) {
		o.trail, o.of = append(o.trail, 0), append(o.of, n)
	}
	o.at++
	return o.trail[o.at-1]
}

// next is false when all have been tried.
func (o *orders) next() bool {
	for o.at = 0; len(o.trail) > 0; {
		last := len(o.trail) - 1
		o.trail[last]++
		if o.trail[last] < o.of[last] {
			return true
		}
		o.trail, o.of = o.trail[:last], o.of[:last]
	}
	return false
}

// inAnyOrder lets messages arrive, and jobs that hosts hold end, in an order of the chooser's.
func (w *world) inAnyOrder(o *orders) {
	w.t.Helper()
	for {
		var can []func()
		for i := range w.flight {
			can = append(can, func() { w.deliver(i) })
		}
		for _, h := range w.hosts {
			for i, f := range h.jobs {
				can = append(can, func() {
					h.jobs = append(h.jobs[:i:i], h.jobs[i+1:]...)
					f()
				})
			}
		}
		if len(can) == 0 {
			return
		}
		can[o.choose(len(can))]()
	}
}

// most is how many orders are tried one after the other: all, where two requests cross. Drawn is how many are drawn.
const most, drawn = 60, 20

// collide runs one encounter in the orders of arrival, and in some of those of arrivals and the ends of jobs: with
// several seeds, and so with each outcome of a comparison of nonces. Check looks at each result, once both sides have
// come to rest.
func collide(t *testing.T, o options, demands []spd.Demand, start func(mn, ha *host), check func(w *world, mn, ha *host)) {
	t.Helper()
	run := func(seed uint64, hold bool, orders *orders) {
		o.seed = seed
		w, mn, ha := established(t, o, demands...)
		mn.hold, ha.hold = hold, hold
		start(mn, ha)
		w.inAnyOrder(orders)
		mn.hold, ha.hold = false, false
		w.pass(2 * time.Minute)
		check(w, mn, ha)
		if t.Failed() {
			t.Fatalf("seed %d, order %v:\n%s", seed, orders.trail, w.log.String())
		}
	}
	for seed := range uint64(2) {
		all := &orders{}
		for n := 0; n == 0 || n < most && all.next(); n++ {
			run(seed, false, all)
		}
	}
	for seed := range uint64(drawn) {
		run(seed, true, &orders{dice: rand.New(rand.NewPCG(seed, 0))})
	}
}
