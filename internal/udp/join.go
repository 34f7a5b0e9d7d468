package udp

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// Port is a Conn and the number of its port.
type Port struct {
	Number uint16
	Conn
}

// Join makes one Conn of several ports: a datagram leaves by the port that its local address names. Closing it closes
// them all.
func Join(ports ...Port) Conn {
	j := &joined{ports: map[uint16]Conn{}, received: make(chan received), closed: make(chan struct{})}
	for _, p := range ports {
		j.ports[p.Number] = p.Conn
		j.running.Go(func() { j.read(p.Conn) })
	}
	return j
}

type joined struct {
	ports    map[uint16]Conn
	received chan received
	closed   chan struct{}
	close    sync.Once
	running  sync.WaitGroup
}

func (j *joined) Send(d Datagram) error {
	c := j.ports[d.Local.Port()]
	if c == nil {
		return fmt.Errorf("udp: send from %s to %s: the port is not open", d.Local, d.Remote)
	}
	return c.Send(d)
}

func (j *joined) Receive() (Datagram, error) {
	select {
	case r := <-j.received:
		return r.datagram, r.err
	case <-j.closed:
		return Datagram{}, net.ErrClosed
	}
}

// read passes on what arrives at one port, until Close.
func (j *joined) read(c Conn) {
	for {
		d, err := c.Receive()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case j.received <- received{d, err}:
		case <-j.closed:
			return
		}
	}
}

func (j *joined) Close() (err error) {
	j.close.Do(func() {
		close(j.closed)
		for _, c := range j.ports {
			err = errors.Join(err, c.Close())
		}
	})
	j.running.Wait()
	return err
}
