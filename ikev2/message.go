package ikev2

import (
	"errors"
	"fmt"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// sealed builds a message whose payloads are protected by the Encrypted payload (RFC 7296 section 3.14): one datagram, or
// several with a fragment each.
func (e *Engine) sealed(
	sa *ikeSA, to Datagram, ex wire.ExchangeType, id uint32, response bool, ps []wire.Payload,
) [][]byte {
	h, first := sa.header(ex, id, response), wire.FirstType(ps)
	plain := wire.AppendPayloads(nil, ps)
	body := sa.keys.out.Len(len(plain))
	e.traced(true, to, h, ps, plain)
	if ex == wire.ExchangeIKEIntermediate && sa.hs != nil {
		m := wire.Message{Header: h, Payloads: []wire.Payload{&wire.SK{Inner: first, Body: plain}}}
		sa.witness(response, m.Marshal())
	}
	if sa.fragments && wire.HeaderLen+4+body > e.cfg.FragmentSize {
		return e.fragmented(sa, h, first, plain)
	}
	return [][]byte{e.seal(sa, h, &wire.SK{Inner: first, Body: make([]byte, body)}, plain)}
}

// seal builds a message with just a header and an SK or SKF payload. That has room for what protects the content.
func (e *Engine) seal(sa *ikeSA, h wire.Header, envelope wire.Payload, plain []byte) []byte {
	m := wire.Message{Header: h, Payloads: []wire.Payload{envelope}}
	msg := m.Marshal()
	head := msg[:len(msg)-sa.keys.out.Len(len(plain))]
	msg, err := sa.keys.out.Seal(head, head, plain, e.cfg.Rand)
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

// opened checks and decrypts a message, and parses what is in it. Not ok is a message that is dropped in silence, as it
// fails its integrity check, or a fragment of one that is not all here yet. Malformed is what is wrong with a message that
// the peer itself protected: that it is told.
func (e *Engine) opened(
	sa *ikeSA, d Datagram, m *wire.Message, a *assembly,
) (ps []wire.Payload, malformed error, ok bool) {
	c, err := e.content(sa, d, m, a)
	if err != nil {
		e.drop(d, err)
	}
	if c == nil {
		return nil, nil, false
	}
	e.forgetFragments(a)
	if m.Exchange == wire.ExchangeIKEIntermediate && sa.hs != nil {
		sa.witness(m.Response, wire.Unencrypted(c.head, c.first, c.plain))
	}
	if ps, malformed = wire.ParsePayloads(c.first, c.plain); malformed == nil {
		e.traced(false, d, m.Header, ps, c.plain)
	}
	return ps, malformed, true
}

// content is what the Encrypted payload of a message holds.
type content struct {
	first wire.PayloadType
	plain []byte
	head  []byte // all before the Body of the Encrypted payload, or of the first fragment
}

// content is nil for a fragment until all of its message are here.
func (e *Engine) content(sa *ikeSA, d Datagram, m *wire.Message, a *assembly) (*content, error) {
	f, whole, err := sa.envelope(m)
	if err != nil {
		return nil, err
	}
	if !whole {
		return e.collect(sa, d, m, a, f)
	}
	plain, err := unseal(sa.keys.in, d, f.Body)
	if err != nil {
		return nil, err
	}
	return &content{f.Inner, plain, headOf(d, f.Body)}, nil
}

// envelope is the payload that protects a message. That of a whole one, an SK, is the only fragment.
func (sa *ikeSA) envelope(m *wire.Message) (f *wire.SKF, whole bool, err error) {
	if sk, ok := wire.Find[*wire.SK](m.Payloads); ok {
		return &wire.SKF{Inner: sk.Inner, Number: 1, Total: 1, Body: sk.Body}, true, nil
	}
	f, ok := wire.Find[*wire.SKF](m.Payloads)
	switch {
	case !ok:
		return nil, false, errors.New("no Encrypted payload in a protected exchange")
	case !sa.fragments:
		return nil, false, errors.New("a fragment, without agreement on fragments in IKE_SA_INIT")
	}
	return f, false, nil
}

// unseal checks and decrypts the body of the SK or SKF payload that ends a datagram.
func unseal(key *suite.Cipher, d Datagram, body []byte) ([]byte, error) {
	if key == nil {
		return nil, errors.New("a protected message before there are keys")
	}
	return key.Open(headOf(d, body), body)
}

// headOf is what is before the body that ends a datagram.
func headOf(d Datagram, body []byte) []byte { return d.Data[:len(d.Data)-len(body)] }

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

// errorIn is the first error notification of a message as an error, or nil. USE_ASSIGNED_HoA is one by its number only:
// what goes with it is in the CFG_REPLY (RFC 5026 section 5.3.2).
func errorIn(ps []wire.Payload) error {
	for n := range wire.Notifies(ps) {
		if n.Kind.IsError() && n.Kind != wire.NotifyUseAssignedHoA {
			return &peerError{n.Kind}
		}
	}
	return nil
}

// peerError is what a peer answered.
type peerError struct{ notify wire.NotifyType }

// Is lets roles know the answers that they have to tell from others.
func (p *peerError) Is(target error) bool {
	return target == spd.ErrTraffic && p.notify == wire.NotifyTSUnacceptable
}

func (p *peerError) Error() string { return "the peer answered " + p.notify.String() }

// answered reports whether err is the peer's answer n.
func answered(err error, n wire.NotifyType) bool {
	var p *peerError
	return errors.As(err, &p) && p.notify == n
}
