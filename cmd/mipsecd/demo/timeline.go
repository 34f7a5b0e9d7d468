package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"mipsecd/ikev2"
	"mipsecd/migrate"
	"mipsecd/spd"
)

// timeline prints what happens, when and where.
type timeline struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
	short *strings.Replacer // addresses by their names
	ike   int               // IKE messages sent
	ended bool
}

// newTimeline begins with the cast.
func newTimeline(out io.Writer) *timeline {
	var pairs []string
	for _, n := range names {
		fmt.Fprintf(out, "%-5s %-18s %s\n", n.name, n.addr, n.what)
		pairs = append(pairs, spd.Host(n.addr).String(), n.name, n.addr.String(), n.name)
	}
	return &timeline{out: out, start: time.Now(), short: strings.NewReplacer(append(pairs, "::/0", "any")...)}
}

// end closes the timeline: what the agents say as they end is no part of the story.
func (t *timeline) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

func (t *timeline) chapter(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "\n== "+format+"\n", args...)
}

func (t *timeline) add(who, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		text := t.short.Replace(fmt.Sprintf(format, args...))
		fmt.Fprintf(t.out, "%7.1f ms  %-3s  %s\n", float64(time.Since(t.start).Microseconds())/1000, who, text)
	}
}

// sent is the number of IKE messages so far.
func (t *timeline) sent() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ike
}

// watch puts what an agent does into words.
func (t *timeline) watch(who string) func(time.Time, any) {
	return func(_ time.Time, what any) {
		switch x := what.(type) {
		case ikev2.Traced:
			if x.Outbound {
				t.mu.Lock()
				t.ike++
				t.mu.Unlock()
				t.add(who, "%s > %s: %s", x.Local.Addr(), x.Remote.Addr(), x.Summary)
			}
		case ikev2.Dropped:
			t.add(who, "refused: %v", x.Err)
		case spd.PeerUp:
			t.add(who, "IKE_SA with %s is up, %s", x.Peer, x.Path)
		case spd.PeerMoved:
			t.add(who, "IKE_SA with %s moved without a message: now %s", x.Peer, x.New)
		case spd.PeerDown:
			t.add(who, "IKE_SA with %s is down: %s", x.Peer, x.Reason)
		case spd.PeerAlive:
			t.add(who, "%s is alive", x.Peer)
		case spd.ChildUp:
			t.add(who, "Child SA for %s is up: in %s, out %s", x.Demand.Name, x.In, x.Out)
		case spd.ChildMoved:
			t.add(who, "Child SA for %s moved: now %s - %s", x.Demand.Name, x.Demand.Local, x.Demand.Remote)
		case spd.ChildDown:
			t.add(who, "Child SA for %s is down: %s", x.Demand.Name, x.Reason)
		case spd.KeyFailed:
			t.add(who, "no Child SA for %s: %v", x.Demand.Name, x.Err)
		case migrate.Report:
			t.add(who, "%s %s", x.What, x.Detail)
		}
	}
}

// watchKernel prints what a kernel reports to everybody: calls for SAs, and movements.
func (t *timeline) watchKernel(who string, events <-chan spd.Event) {
	for e := range events {
		switch e := e.(type) {
		case spd.Acquire:
			t.add(who, "kernel: ACQUIRE for %s", e.Selector)
		case spd.Migrate:
			for _, c := range e.Changes {
				t.add(who, "kernel: MIGRATE %s %s: %s becomes %s", e.Dir, e.Selector, c.Old, c.New)
			}
		}
	}
}
