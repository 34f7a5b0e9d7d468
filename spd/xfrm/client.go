//go:build linux

package xfrm

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// client makes requests, one at a time.
type client struct {
	mu   sync.Mutex
	sock *socket
	seq  uint32
	buf  []byte
}

// maxDatagram is more than the kernel puts into one datagram, which is 32 KiB in a dump.
const maxDatagram = 1 << 16

func openClient() (*client, error) {
	sock, err := openSocket(0)
	if err != nil {
		return nil, err
	}
	return &client{sock: sock, buf: make([]byte, maxDatagram)}, nil
}

// do makes a request that the kernel only acknowledges.
func (c *client) do(kind uint16, body []byte) error {
	return c.ask(kind, body, func(message) error { return nil })
}

// ask makes a request and calls each for every answer before the acknowledgement.
func (c *client) ask(kind uint16, body []byte, each func(message) error) error {
	_, err := c.exchange(kind, unix.NLM_F_REQUEST|unix.NLM_F_ACK, body, each)
	return err
}

// dump lists all that there is of a kind. The decoded entries are those of one unchanged table: when the kernel says
// that the table changed under the dump, it is made anew.
func dump[T any](c *client, kind uint16, decode func(message) (T, error)) ([]T, error) {
	const attempts = 10
	for range attempts {
		var all []T
		interrupted, err := c.exchange(kind, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, nil, func(m message) error {
			entry, err := decode(m)
			switch {
			case errors.Is(err, errForeign):
				return nil
			case err != nil:
				return err
			}
			all = append(all, entry)
			return nil
		})
		if !interrupted || err != nil {
			return all, err
		}
	}
	return nil, fmt.Errorf("the table changed during each of %d dumps", attempts)
}

// exchange sends a request and reads to the end of its answer. An error of each is returned then, so that the kernel is
// through with a dump before the next begins.
func (c *client) exchange(kind, flags uint16, body []byte, each func(message) error) (interrupted bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	request := appendMessage(nil, message{kind: kind, flags: flags, seq: c.seq, body: body})
	defer clear(request) // it and the answer may hold keys
	defer clear(c.buf)
	if err := c.sock.send(request); err != nil {
		return false, err
	}
	var failed error
	for {
		datagram, err := c.sock.receive(c.buf, true)
		if err != nil {
			return false, err
		}
		all, err := decodeMessages(datagram)
		if err != nil {
			return false, err
		}
		for _, m := range all {
			if m.seq != c.seq {
				continue // the rest of a request that failed half way
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case m.kind == unix.NLMSG_ERROR, m.kind == unix.NLMSG_DONE:
				return interrupted, errors.Join(decodeEnd(m), failed)
			case failed == nil:
				failed = each(m)
			}
		}
	}
}

// decodeEnd reads the message that ends an answer: a struct nlmsgerr, or a dump's status. Nil is success.
func decodeEnd(m message) error {
	r := cursor.Native(m.body)
	status := int32(r.U32())
	if r.Err() != nil {
		return fmt.Errorf("end of an answer: %w", r.Err())
	}
	if status == 0 {
		return nil
	}
	return refusal(unix.Errno(-status), explanation(m, r))
}

// explanation is the kernel's own words in the attributes that may follow a status, or "".
func explanation(m message, r *cursor.Reader) string {
	const attrText = 1 // NLMSGERR_ATTR_MSG
	if m.flags&unix.NLM_F_ACK_TLVS == 0 {
		return ""
	}
	if m.kind == unix.NLMSG_ERROR {
		r.Skip(headerLen) // of the request
	}
	as, err := decodeAttributes(r.Rest())
	if err != nil {
		return ""
	}
	text, _, _ := strings.Cut(string(as.get(attrText)), "\x00")
	return text
}

// refusal is the error for an errno: what spd calls it, the kernel's words, and the errno itself.
func refusal(errno unix.Errno, text string) error {
	err := error(errno)
	if text != "" {
		err = fmt.Errorf("%w (%s)", err, text)
	}
	switch errno {
	case unix.EEXIST:
		return fmt.Errorf("%w: %w", spd.ErrExists, err)
	case unix.ENOENT, unix.ESRCH:
		return fmt.Errorf("%w: %w", spd.ErrNotFound, err)
	case unix.ENODATA:
		return fmt.Errorf("%w: %w", spd.ErrNoTemplate, err)
	case unix.EINVAL:
		return fmt.Errorf("%w: %w", spd.ErrInvalid, err)
	}
	return err
}
