//go:build linux

package xfrm

import (
	"errors"

	"golang.org/x/sys/unix"

	"mipsecd/spd"
)

// watch turns notifications into events until the socket is closed. While the reader of the events is slow,
// notifications wait in the kernel; when that has no more room for them it says so, and they are lost.
func (b *Backend) watch() {
	defer close(b.events)
	buf := make([]byte, maxDatagram)
	lost := false
	for {
		datagram, err := b.news.receive(buf, !lost)
		switch {
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EMSGSIZE):
			lost = true
		case errors.Is(err, unix.EAGAIN):
			// The kernel tells of a loss before what it had kept by then, and goes on losing in silence until that is
			// read. Only now is it worth while to look anew.
			lost = false
			b.deliver(b.relevant(spd.EventsLost{}))
		case err != nil:
			return
		default:
			b.report(datagram)
		}
	}
}

// report delivers the events of a datagram. What cannot be read counts as lost.
func (b *Backend) report(datagram []byte) {
	defer clear(datagram) // notifications of SAs hold keys
	all, err := decodeMessages(datagram)
	if err != nil {
		b.deliver(b.relevant(spd.EventsLost{}))
		return
	}
	for _, m := range all {
		event, err := decodeEvent(m)
		if err != nil {
			event = spd.EventsLost{}
		}
		if event = b.relevant(event); event != nil {
			b.deliver(event)
		}
	}
}

// relevant is the event as this Backend reports it, or nil.
func (b *Backend) relevant(event spd.Event) spd.Event {
	switch e := event.(type) {
	case spd.Expire:
		if b.unreserve(e.ID) {
			return nil // no SA: a larval one
		}
	case spd.SARemoved:
		if b.unreserve(e.ID) {
			return nil
		}
	case spd.Flushed:
		if !e.Policies {
			b.unreserveAll()
		}
	case spd.EventsLost:
		b.unreserveAll() // their ends may be among what is lost
	}
	if !b.careOf {
		return event
	}
	switch event.(type) {
	case spd.CareOfState, spd.EventsLost, spd.Flushed: // that may be of the Mobile IPv6 states, too
		return event
	}
	return nil
}

// deliver waits until the event has room in the queue, or the Backend is closed.
func (b *Backend) deliver(event spd.Event) {
	select {
	case b.events <- event:
	case <-b.closing:
	}
}
