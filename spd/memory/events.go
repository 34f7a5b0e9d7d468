package memory

import "mipsecd/spd"

// Events implements spd.Backend.
func (b *Backend) Events() <-chan spd.Event { return b.events }

// report queues an event at every handle.
func (k *Kernel) report(e spd.Event) {
	for b := range k.handles {
		b.queue(e)
	}
}

// queue keeps the last place for an EventsLost, which then stands for all that finds no room until the reader has
// caught up. Only the holder of the kernel's lock sends, so the room seen is there.
func (b *Backend) queue(e spd.Event) {
	switch {
	case len(b.events) < cap(b.events)-1:
		b.events <- e
		b.lost = false
	case !b.lost:
		b.events <- spd.EventsLost{}
		b.lost = true
	}
}
