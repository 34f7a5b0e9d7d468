package vnet

import (
	"container/heap"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// flow is what has a fate of its own.
type flow struct {
	src, dst netip.Addr
	proto    uint8
}

type fate = rand.Rand

// fateOf gives the flow's randomness.
func (n *Network) fateOf(f flow) *fate {
	if n.flows[f] == nil {
		src, dst := f.src.As16(), f.dst.As16()
		h := fnv.New64a()
		h.Write(src[:])
		h.Write(dst[:])
		h.Write([]byte{f.proto})
		n.flows[f] = rand.New(rand.NewPCG(n.seed, h.Sum64()))
	}
	return n.flows[f]
}

// minHold is how long a reordered packet is held at least.
const minHold = 10 * time.Millisecond

// dispatch lets the links have their way with a packet and queues what is left of it.
func (n *Network) dispatch(p Packet, path ...*Link) {
	random, now := n.fateOf(flow{p.Src, p.Dst, p.Proto}), time.Now()
	copies := 1
	for _, l := range path {
		if random.Float64() < l.quality.Loss {
			return
		}
		if random.Float64() < l.quality.Duplicate {
			copies++
		}
	}
	for range copies {
		at := now
		for _, l := range path {
			q := l.quality
			at = at.Add(q.Delay)
			if q.Jitter > 0 {
				at = at.Add(time.Duration(random.Int64N(int64(q.Jitter))))
			}
			if random.Float64() < q.Reorder {
				at = at.Add(max(2*(q.Delay+q.Jitter), minHold))
			}
		}
		n.enqueue(p, at)
	}
}

// deliver gives the head of the queue to whoever has its destination now.
func (n *Network) deliver() {
	n.mu.Lock()
	p := heap.Pop(&n.queue).(queued).packet
	var handler func(Packet)
	if inside := n.nats[p.Dst]; inside != nil {
		p, _ = inside.nat.inward(p) // what does not pass stays without a receiver
	}
	if to := n.owners[p.Dst]; to != nil {
		if s := to.socketFor(p); s != nil {
			s.queue(p)
		} else {
			handler = to.handler
		}
	}
	n.mu.Unlock()
	if handler != nil {
		p.Payload = slices.Clone(p.Payload) // a duplicate has the same
		handler(p)
	}
}

// run delivers packets when their time has come.
func (n *Network) run() {
	defer close(n.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		at, ok := n.nextTime()
		if wait := time.Until(at); !ok {
			timer.Stop() // so that a bubble sees that nothing will happen
		} else if wait > 0 {
			timer.Reset(wait)
		} else {
			n.deliver()
			continue
		}
		select {
		case <-timer.C:
		case <-n.wake:
		case <-n.closed:
			return
		}
	}
}

// nextTime is when the head of the queue is due.
func (n *Network) nextTime() (at time.Time, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isClosed() || len(n.queue.packets) == 0 {
		return at, false
	}
	return n.queue.packets[0].at, true
}

func (n *Network) isClosed() bool {
	select {
	case <-n.closed:
		return true
	default:
		return false
	}
}

func (n *Network) enqueue(p Packet, at time.Time) {
	n.queue.count++
	heap.Push(&n.queue, queued{p, at, n.queue.count})
	if n.queue.packets[0].order == n.queue.count {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// queue is the packets on their way as a heap by the time of arrival, then by the order of sending.
type queue struct {
	packets []queued
	count   uint64
}

type queued struct {
	packet Packet
	at     time.Time
	order  uint64
}

func (q *queue) Len() int      { return len(q.packets) }
func (q *queue) Swap(i, j int) { q.packets[i], q.packets[j] = q.packets[j], q.packets[i] }
func (q *queue) Push(x any)    { q.packets = append(q.packets, x.(queued)) }
func (q *queue) Less(i, j int) bool {
	a, b := q.packets[i], q.packets[j]
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.order < b.order
}
func (q *queue) Pop() any {
	last := len(q.packets) - 1
	p := q.packets[last]
	q.packets[last] = queued{}
	q.packets = q.packets[:last]
	return p
}
