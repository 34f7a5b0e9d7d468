// Package tlsstep runs TLS one flight at a time, without a connection: in goes what the other side has sent, out comes what
// it is to be sent. Nothing waits and no goroutine is started: the handshake is a coroutine that rests when it wants to
// read more than there is.
package tlsstep

import (
	"crypto/tls"
	"iter"
	"net"
)

// Handshake is one side of a handshake. It is not safe for concurrent use, but its steps may be taken on any goroutine.
type Handshake struct {
	next    func() (struct{}, bool)
	stop    func()
	rest    func(struct{}) bool // called by the coroutine; false when it is to end
	in, out []byte
	err     error
}

// Client begins a handshake. After is called once it is complete, and may read and write: the last flight ends with it.
func Client(cfg *tls.Config, after func(*tls.Conn) error) *Handshake {
	return begin(tls.Client, cfg, after)
}

// Server is the other side of a Client.
func Server(cfg *tls.Config, after func(*tls.Conn) error) *Handshake {
	return begin(tls.Server, cfg, after)
}

func begin(side func(net.Conn, *tls.Config) *tls.Conn, cfg *tls.Config, after func(*tls.Conn) error) *Handshake {
	h := &Handshake{}
	h.next, h.stop = iter.Pull(func(rest func(struct{}) bool) {
		h.rest = rest
		c := side(wire{h: h}, cfg)
		if h.err = c.Handshake(); h.err == nil {
			h.err = after(c)
		}
	})
	return h
}

// Step takes the flight of the other side, which a client begins without, and yields this side's answer. Done is the last
// step; then err says whether the handshake failed, and the flight may be an alert that says so.
func (h *Handshake) Step(in []byte) (out []byte, done bool, err error) {
	h.in = append(h.in, in...)
	_, resting := h.next()
	out, h.out = h.out, nil
	return out, !resting, h.err
}

// Close gives a handshake up that has not come to its last step. It must be called then, and may be called otherwise.
func (h *Handshake) Close() { h.stop() }

// wire is the connection that crypto/tls believes to have. It uses nothing but Read and Write of it.
type wire struct {
	net.Conn
	h *Handshake
}

func (w wire) Read(b []byte) (int, error) {
	for len(w.h.in) == 0 {
		if !w.h.rest(struct{}{}) {
			return 0, net.ErrClosed
		}
	}
	n := copy(b, w.h.in)
	w.h.in = w.h.in[n:]
	return n, nil
}

func (w wire) Write(b []byte) (int, error) {
	w.h.out = append(w.h.out, b...)
	return len(b), nil
}
