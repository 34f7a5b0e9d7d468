package ikev2

import (
	"container/heap"
	"time"
)

// timer is one thing to be done at a time.
type timer struct {
	at    time.Time
	run   func()
	index int // in the heap; -1 when not in it
}

// timerHeap has the earliest timer first.
type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}

// after runs f once d has passed.
func (e *Engine) after(d time.Duration, f func()) *timer {
	t := &timer{at: e.now.Add(d), run: f}
	heap.Push(&e.timers, t)
	return t
}

// stop takes a timer back; nil and one that has run are fine.
func (e *Engine) stop(t *timer) {
	if t != nil && t.index >= 0 {
		heap.Remove(&e.timers, t.index)
	}
}

func (e *Engine) runTimers() {
	for len(e.timers) > 0 && !e.timers[0].at.After(e.now) {
		heap.Pop(&e.timers).(*timer).run()
	}
}

// Deadline is when the engine wants its next Step at the latest; the zero time when it waits for nothing.
func (e *Engine) Deadline() time.Time {
	if len(e.timers) == 0 {
		return time.Time{}
	}
	return e.timers[0].at
}
