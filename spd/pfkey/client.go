package pfkey

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mipsecd/spd"
)

// conn is a PF_KEY socket.
type conn interface {
	send(b []byte) error
	// receive returns the next message, which is good until the next call. It waits until the deadline, or for ever if
	// that is the zero time; the error is then os.ErrDeadlineExceeded.
	receive(deadline time.Time) ([]byte, error)
	// drain receives what is there already, without waiting for more. Each message is good until see returns.
	drain(see func([]byte)) error
	// crowded reports that the kernel may have had no room for a message since the last receive. Messages that it has
	// no room for are gone without a trace.
	crowded() (bool, error)
	close() error
}

// replyTimeout bounds the wait for a reply. Kernels reply before the send is over; a reply is missing only when there
// was no room for it.
const replyTimeout = 5 * time.Second

// sequence numbers the requests of the process. Those of the kernel's ACQUIREs count up from one, and a GETSPI with the
// number of an ACQUIRE would be taken for its answer: ours have the highest bit set.
var sequence atomic.Uint32

func nextSequence() uint32 { return 1<<31 | sequence.Add(1) }

// client makes requests, one at a time. Its socket gets what is broadcast to all PF_KEY sockets, too; replies are told
// apart by type, process and sequence number.
type client struct {
	dialect *dialect
	pid     uint32
	mu      sync.Mutex
	conn    conn
}

func newClient(d *dialect, c conn) *client {
	return &client{dialect: d, pid: uint32(os.Getpid()), conn: c}
}

// do makes a request and returns the reply.
func (c *client) do(req *message) (reply *message, err error) {
	err = c.ask(req, func(b []byte) (err error) {
		reply, err = c.dialect.decode(b)
		return err
	})
	return reply, err
}

// ask makes a request and shows the reply, of at least a header.
func (c *client) ask(req *message, see func(reply []byte) error) error {
	return c.exchange(req, func(b []byte, h header) (done bool, err error) {
		if h.typ != req.typ || h.pid != c.pid || h.seq != req.seq {
			return false, nil
		}
		return true, see(b)
	})
}

// dump makes a request that is answered by a series of messages, numbered down to zero. A kernel with nothing to list
// says that it is not there.
func (c *client) dump(t msgType, each func(*message) error) error {
	err := c.exchange(&message{header: header{typ: t, satype: satypeUnspec}}, func(b []byte, h header) (bool, error) {
		if h.typ != t || h.pid != c.pid {
			return false, nil
		}
		m, err := c.dialect.decode(b)
		if err == nil {
			err = each(m)
		}
		return h.seq == 0, err
	})
	if errors.Is(err, spd.ErrNotFound) {
		return nil
	}
	return err
}

// migrate makes a request that is answered only when it fails: before the send is over there is a message to the sender,
// or no room for it and the send itself fails. Success is reported to all sockets, in a message that does not say whose
// request it was; that is not waited for, as another process could have asked for the same.
func (c *client) migrate(req *message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.send(req); err != nil {
		return err
	}
	var failed error
	err := c.conn.drain(func(b []byte) {
		if h, _, err := decodeHeader(b); err == nil && c.refuses(h, req) {
			failed = c.dialect.failure(req.typ, h.errno)
		}
	})
	return errors.Join(err, failed)
}

// exchange sends a request and shows what is received to see, up to the reply. A message with our numbers and an errno
// is the reply in any case. Whatever see has to say against the messages, all up to the last are read.
func (c *client) exchange(req *message, see func(b []byte, h header) (done bool, err error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.send(req); err != nil {
		return err
	}
	var complaint error
	for {
		b, err := c.conn.receive(time.Now().Add(replyTimeout))
		if err != nil {
			return fmt.Errorf("%s: no reply: %w", req.typ, err)
		}
		h, _, err := decodeHeader(b)
		if err != nil {
			continue // not what anyone could match
		}
		if c.refuses(h, req) {
			return c.dialect.failure(req.typ, h.errno)
		}
		if h.errno != 0 {
			continue
		}
		done, err := see(b, h)
		complaint = errors.Join(complaint, err)
		if done {
			return complaint
		}
	}
}

// refuses tells whether a message is the answer to our request that it has failed. That to a dump has no number.
func (c *client) refuses(h header, req *message) bool {
	return h.errno != 0 && h.typ == req.typ && h.pid == c.pid && (h.seq == req.seq || h.seq == 0)
}

// send numbers a request and sends it.
func (c *client) send(req *message) error {
	if req.pid = c.pid; req.seq == 0 {
		req.seq = nextSequence()
	}
	b, err := c.dialect.encode(req)
	if err != nil {
		return err
	}
	// What has piled up since the last request could leave no room for the reply.
	if err := c.conn.drain(func([]byte) {}); err != nil {
		return fmt.Errorf("%s: %w", req.typ, err)
	}
	err = c.conn.send(b)
	clear(b) // there may be keys in it
	if err != nil {
		return c.sendError(req.typ, err)
	}
	return nil
}

// sendError gives the errno of a send the meaning that it has in a reply.
func (c *client) sendError(t msgType, err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok && errno < 256 {
		return c.dialect.failure(t, uint8(errno))
	}
	return fmt.Errorf("%s: %w", t, err)
}

// policies lists the SPD, without the policies of single sockets, which Linux lists with directions of their own.
func (c *client) policies() ([]spd.Policy, error) {
	var all []spd.Policy
	err := c.dump(sadbSPDDump, func(m *message) error {
		p, err := m.spdPolicy()
		if err == nil && p.Dir >= spd.In && p.Dir <= spd.Fwd {
			all = append(all, p)
		}
		return err
	})
	return all, err
}

// policy is the policy with an index.
func (c *client) policy(index uint32) (spd.Policy, error) {
	reply, err := c.do(&message{header: header{typ: sadbSPDGet}, policy: &policyExt{id: index}})
	if err != nil {
		return spd.Policy{}, err
	}
	return reply.spdPolicy()
}
