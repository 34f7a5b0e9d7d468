package pfkey

import (
	"errors"
	"slices"
	"syscall"
	"time"

	"mipsecd/spd"
)

// listener turns what the kernel reports into events. It reads no further than its reader: what waits is in the
// kernel's buffer.
type listener struct {
	dialect *dialect
	conn    conn
	client  *client // to look up what reports leave out
	early   [][]byte
	events  chan spd.Event
	stop    chan struct{}
	stopped chan struct{}
}

func newListener(d *dialect, c conn, requests *client) *listener {
	return &listener{dialect: d, conn: c, client: requests,
		events: make(chan spd.Event), stop: make(chan struct{}), stopped: make(chan struct{})}
}

// register asks for ACQUIRE and EXPIRE messages and returns the algorithms that the kernel has. What the kernel reports
// meanwhile is kept.
func (l *listener) register() (*message, error) {
	c := newClient(l.dialect, l.conn)
	var reply *message
	for _, satype := range []uint8{satypeAH, satypeESP} {
		req := &message{header: header{typ: sadbRegister, satype: satype}}
		err := c.exchange(req, func(b []byte, h header) (done bool, err error) {
			if h.typ != sadbRegister || h.pid != c.pid || h.seq != req.seq {
				l.early = append(l.early, slices.Clone(b))
				return false, nil
			}
			reply, err = l.dialect.decode(b)
			return true, err
		})
		if err != nil {
			return nil, err
		}
	}
	return reply, nil
}

func (l *listener) run() {
	defer close(l.stopped)
	defer close(l.events)
	for _, b := range l.early {
		if !l.report(b) {
			return
		}
	}
	l.early = nil
	crowded := false
	for {
		b, err := l.conn.receive(time.Time{})
		if errors.Is(err, syscall.ENOBUFS) { // how BSD systems report a loss
			if !l.deliver(spd.EventsLost{}) {
				return
			}
			continue
		}
		if err != nil || !l.report(b) {
			return
		}
		was := crowded
		if crowded, err = l.conn.crowded(); err != nil {
			return
		}
		if was && !crowded && !l.deliver(spd.EventsLost{}) {
			return
		}
	}
}

// deliver hands over an event; false once the listener is to stop.
func (l *listener) deliver(e spd.Event) bool {
	select {
	case l.events <- e:
		return true
	case <-l.stop:
		return false
	}
}

// report delivers what the message b reports, if anything.
func (l *listener) report(b []byte) bool {
	m, err := l.dialect.decode(b)
	var e spd.Event
	if err == nil {
		e, err = l.event(m)
	}
	switch {
	case err != nil:
		return l.deliver(spd.EventsLost{})
	case e == nil:
		return true
	}
	return l.deliver(e)
}

// event is what the message reports; nil if nothing of interest.
func (l *listener) event(m *message) (spd.Event, error) {
	if m.errno != 0 {
		return nil, nil // somebody's failed request
	}
	switch m.typ {
	case sadbAcquire:
		return l.acquire(m)
	case sadbExpire:
		if id, ok := m.said(); ok { // else an ACQUIRE that nobody has answered
			return spd.Expire{ID: id, Hard: m.hard != nil}, nil
		}
	case sadbDelete:
		if id, ok := m.said(); ok {
			return spd.SARemoved{ID: id}, nil
		}
	case sadbFlush:
		return spd.Flushed{}, nil
	case sadbSPDFlush:
		return spd.Flushed{Policies: true}, nil
	case sadbSPDAdd, sadbSPDUpdate, sadbSPDDelete, sadbSPDDelete2, sadbSPDExpire:
		p, err := m.spdPolicy()
		if err != nil {
			return nil, err
		}
		gone := m.typ != sadbSPDAdd && m.typ != sadbSPDUpdate
		moved := l.dialect.movesItself && m.typ == sadbSPDUpdate && m.pid == 0
		return spd.PolicyChanged{Policy: p, Gone: gone, Moved: moved}, nil
	case sadbMigrate:
		return l.migration(m)
	case l.dialect.natMapping:
		return l.mapping(m)
	}
	return nil, nil
}

// acquire fills in what the message lacks from the policy that it names. If that is gone meanwhile there is no more to
// tell than the endpoints and the protocol.
func (l *listener) acquire(m *message) (spd.Event, error) {
	if m.src == nil || m.dst == nil {
		return nil, errors.New("SADB_ACQUIRE: must have two addresses")
	}
	a := spd.Acquire{
		Seq:       m.seq,
		Endpoints: spd.Endpoints{Src: m.src.prefix.Addr(), Dst: m.dst.prefix.Addr()},
		Template:  spd.Template{Proto: protoOf(m.satype)},
		Packet:    m.packet,
	}
	if m.policy == nil {
		return a, nil
	}
	a.PolicyIndex = m.policy.id
	p, err := l.client.policy(a.PolicyIndex)
	if err != nil {
		return a, nil
	}
	a.Selector = p.Selector
	for _, t := range p.Templates {
		if t.Proto == a.Template.Proto && (t.Mode != spd.Tunnel || t.Endpoints == a.Endpoints) {
			a.Template = t
			break
		}
	}
	return a, nil
}

// migration fills the ports of the selector in from the policy that was moved.
func (l *listener) migration(m *message) (spd.Event, error) {
	g, err := m.migration()
	if err != nil {
		return nil, err
	}
	if g.Selector.Proto == spd.ProtoAny { // has no ports
		return g, nil
	}
	policies, err := l.client.policies()
	if err != nil {
		return g, nil
	}
	if p, ok := moved(g, policies); ok {
		g.Selector = p.Selector
	}
	return g, nil
}

// moved is the policy that a report without ports is most likely about.
func moved(g spd.Migrate, policies []spd.Policy) (best spd.Policy, found bool) {
	bestScore := -1
	for _, p := range policies {
		without := p.PolicyKey
		without.Selector.SrcPort, without.Selector.DstPort = spd.Port{}, spd.Port{}
		if without != g.PolicyKey {
			continue
		}
		if s := likeness(g.Changes, p.Templates); s > bestScore {
			best, bestScore = p, s
		}
	}
	return best, bestScore >= 0
}

// likeness counts the changes that there is a template for, and again those that have moved it.
func likeness(changes []spd.EndpointChange, templates []spd.Template) int {
	n := 0
	for _, c := range changes {
		for _, t := range templates {
			if t.Proto == c.Proto && t.Mode == c.Mode && t.Reqid == c.Reqid {
				n++
				if t.Mode == spd.Tunnel && t.Endpoints == c.New {
					n++
				}
			}
		}
	}
	return n
}
