package ikev2

import (
	"encoding/binary"
	"errors"
	"fmt"

	"mipsecd/ikev2/wire"
)

// sealed builds a message whose payloads are protected by the Encrypted payload (RFC 7296 section 3.14).
func (e *Engine) sealed(sa *ikeSA, to Datagram, ex wire.ExchangeType, id uint32, response bool, ps []wire.Payload) []byte {
	h := sa.header(ex, id, response)
	plain := wire.AppendPayloads(nil, ps)
	body := sa.keys.out.Len(len(plain))
	e.traced(true, to, h, ps, plain)

	h.NextPayload = wire.PayloadSK
	h.Length = uint32(wire.HeaderLen + 4 + body)
	msg := h.Append(make([]byte, 0, h.Length))
	msg = append(msg, byte(wire.FirstType(ps)), 0)
	msg = binary.BigEndian.AppendUint16(msg, uint16(4+body))
	msg, err := sa.keys.out.Seal(msg, msg, plain, e.cfg.Rand)
	if err != nil {
		panic(fmt.Sprintf("ikev2: sealing with a negotiated cipher: %v", err))
	}
	return msg
}

func (sa *ikeSA) header(ex wire.ExchangeType, id uint32, response bool) wire.Header {
	spii, spir := sa.spis()
	return wire.Header{
		SPIi: spii, SPIr: spir, Version: wire.Version20, Exchange: ex, Initiator: sa.initiator, Response: response, MessageID: id,
	}
}

// opened checks and decrypts a message, and parses what is in it.
func (e *Engine) opened(sa *ikeSA, d Datagram, m *wire.Message) ([]wire.Payload, error) {
	sk, ok := wire.Find[*wire.SK](m.Payloads)
	if !ok {
		return nil, errors.New("no Encrypted payload in a protected exchange")
	}
	if sa.keys.in == nil {
		return nil, errors.New("a protected message before there are keys")
	}
	plain, err := sa.keys.in.Open(d.Data[:len(d.Data)-len(sk.Body)], sk.Body)
	if err != nil {
		return nil, err
	}
	ps, err := wire.ParsePayloads(sk.Inner, plain)
	if err != nil {
		return nil, &contentError{err}
	}
	e.traced(false, d, m.Header, ps, plain)
	return ps, nil
}

// contentError is what is wrong with a message that the peer itself protected: it is answered, while a message that
// fails its integrity check is dropped in silence.
type contentError struct{ err error }

func (c *contentError) Error() string { return c.err.Error() }
func (c *contentError) Unwrap() error { return c.err }

// clear builds an unprotected message.
func (e *Engine) clear(to Datagram, h wire.Header, ps []wire.Payload) []byte {
	m := wire.Message{Header: h, Payloads: ps}
	e.traced(true, to, h, ps, nil)
	return m.Marshal()
}

// traced reports a message in clear. Plain is the chain of payloads where it is at hand.
func (e *Engine) traced(outbound bool, d Datagram, h wire.Header, ps []wire.Payload, plain []byte) {
	if !e.cfg.Trace {
		return
	}
	if plain == nil {
		plain = wire.AppendPayloads(nil, ps)
	}
	h.NextPayload = wire.FirstType(ps)
	h.Length = uint32(wire.HeaderLen + len(plain))
	e.emit(Traced{
		Local: d.Local, Remote: d.Remote, Outbound: outbound,
		Message: append(h.Append(nil), plain...), Summary: wire.Describe(h, ps),
	})
}

// protocolError is an error that the peer is told by a notification.
type protocolError struct {
	notify  wire.NotifyType
	section string // of RFC 7296
	err     error
}

func (p *protocolError) Error() string {
	return fmt.Sprintf("%s: %v (RFC 7296 section %s)", p.notify, p.err, p.section)
}
func (p *protocolError) Unwrap() error         { return p.err }
func (p *protocolError) payload() *wire.Notify { return &wire.Notify{Kind: p.notify} }

func refuse(n wire.NotifyType, section, format string, args ...any) error {
	return &protocolError{notify: n, section: section, err: fmt.Errorf(format, args...)}
}

// errorNotify is the notification that tells a peer of err.
func errorNotify(err error) *wire.Notify {
	var w *wire.Error
	var told interface{ payload() *wire.Notify }
	switch {
	case errors.As(err, &w):
		return &wire.Notify{Kind: w.Notify, Data: w.Data}
	case errors.As(err, &told):
		return told.payload()
	}
	return &wire.Notify{Kind: wire.NotifyInvalidSyntax}
}

// errorIn is the first error notification of a message as an error, or nil.
func errorIn(ps []wire.Payload) error {
	for n := range wire.Notifies(ps) {
		if n.Kind.IsError() {
			return &peerError{n.Kind}
		}
	}
	return nil
}

// peerError is what a peer answered.
type peerError struct{ notify wire.NotifyType }

func (p *peerError) Error() string { return "the peer answered " + p.notify.String() }

// answered reports whether err is the peer's answer n.
func answered(err error, n wire.NotifyType) bool {
	var p *peerError
	return errors.As(err, &p) && p.notify == n
}
