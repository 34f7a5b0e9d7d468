package simulation

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// world is all hosts under one clock.
type world struct {
	t       *testing.T
	seed    uint64
	dice    *rand.Rand
	now     time.Time
	events  events
	owners  map[netip.Addr]*host // who gets what is sent to an address now
	quality quality

	ha       *homeAgent
	cn       *host
	nodes    []*mobileNode
	byName   map[string]*mobileNode
	byAddr   map[netip.Addr]*mobileNode // by home address and care-of addresses
	touched  map[*mobileNode]bool       // by the present event
	counters map[string]int
	settling bool // nothing new is to happen
}

// quality is what the network does to packets.
type quality struct {
	delay, jitter            time.Duration
	loss, duplicate, reorder float64
}

var (
	rough = quality{delay: 10 * time.Millisecond, jitter: 60 * time.Millisecond, loss: 0.03, duplicate: 0.03, reorder: 0.03}
	fine  = quality{delay: 10 * time.Millisecond}
)

type event struct {
	at    time.Time
	order uint64
	what  func()
}

// events is a heap by time, then by the order in which they were arranged.
type events struct {
	list  []event
	count uint64
}

func (e *events) Len() int      { return len(e.list) }
func (e *events) Swap(i, j int) { e.list[i], e.list[j] = e.list[j], e.list[i] }
func (e *events) Push(x any)    { e.list = append(e.list, x.(event)) }
func (e *events) Less(i, j int) bool {
	a, b := &e.list[i], &e.list[j]
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.order < b.order
}
func (e *events) Pop() any {
	last := e.list[len(e.list)-1]
	e.list[len(e.list)-1] = event{}
	e.list = e.list[:len(e.list)-1]
	return last
}

// at arranges an event.
func (w *world) at(when time.Time, what func()) {
	w.events.count++
	heap.Push(&w.events, event{when, w.events.count, what})
}

func (w *world) after(d time.Duration, what func()) { w.at(w.now.Add(d), what) }

// pass lets time go by with all that happens in it. After each event the mobile nodes that it was about are checked.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for len(w.events.list) > 0 && !w.events.list[0].at.After(end) {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		w.counters["events"]++
		e.what()
		for n := range w.touched {
			delete(w.touched, n)
			n.check()
		}
	}
	w.now = end
}

// upTo is a random duration.
func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.dice.Int64N(int64(d))) }

// chance is true so often of one.
func (w *world) chance(p float64) bool { return w.dice.Float64() < p }

// carry takes something from one address to whoever has another when it arrives. The network may lose, repeat and reorder
// it; what is from an address that the sender no longer has is lost.
func (w *world) carry(from *host, src, dst netip.Addr, arrive func(to *host)) {
	q := w.quality
	if w.owners[src] != from || w.chance(q.loss) {
		return
	}
	copies := 1
	if w.chance(q.duplicate) {
		copies++
	}
	for range copies {
		delay := q.delay
		if q.jitter > 0 {
			delay += w.upTo(q.jitter)
		}
		if w.chance(q.reorder) {
			delay += 2 * (q.delay + q.jitter)
		}
		w.after(delay, func() {
			if to := w.owners[dst]; to != nil {
				arrive(to)
			}
		})
	}
}
