package ikev2

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// window is the message window of an IKE_SA, of size one each way (RFC 7296 section 2.3): one request of ours
// outstanding, one of the peer's answered at a time.
type window struct {
	nextSend    uint32
	outstanding *request
	queue       []*request
	retransmit  *timer

	nextReceive uint32
	answering   bool          // the request nextReceive is being worked on
	lastReply   [][]byte      // the answer to nextReceive-1, for its retransmissions: the datagrams
	lastKey     *suite.Cipher // what that request came under

	// Fragments of the request nextReceive, and of the response to the outstanding one.
	requestParts, responseParts assembly
}

// request is an exchange that this side starts.
type request struct {
	exchange wire.ExchangeType
	children bool // it makes, rekeys or deletes a Child SA
	// build makes the payloads when the request's turn comes; nil means that it is no longer wanted.
	build func() []wire.Payload
	// done gets the answer, or the error that there will be none.
	done func([]wire.Payload, error)
	// again asks the same on the IKE_SA that has replaced this one; nil if it need not be.
	again func(*ikeSA)

	id       uint32
	sent     [][]byte  // the datagrams
	since    time.Time // when it was sent first
	tries    int
	tried    []spd.Path // other paths over which it was sent, too
	answered bool       // its answer is being worked on
}

// ask queues a request and sends it when it is its turn.
func (e *Engine) ask(sa *ikeSA, r *request) {
	sa.queue = append(sa.queue, r)
	e.askNext(sa)
}

// askFirst queues a request before all others.
func (e *Engine) askFirst(sa *ikeSA, r *request) {
	sa.queue = slices.Insert(sa.queue, 0, r)
	e.askNext(sa)
}

func (e *Engine) askNext(sa *ikeSA) {
	for sa.outstanding == nil && sa.gone == nil {
		// While an IKE_SA is being rekeyed its Child SAs are left alone (RFC 7296 section 1.3.2), but what has begun goes on.
		i := slices.IndexFunc(sa.queue, func(r *request) bool {
			return !r.children || sa.rekeying == nil || r.exchange == wire.ExchangeFollowupKE
		})
		if i < 0 {
			return
		}
		r := sa.queue[i]
		sa.queue = slices.Delete(sa.queue, i, i+1)
		ps := r.build()
		if ps == nil {
			continue
		}
		r.id = sa.nextSend
		sa.nextSend++
		e.watchIDs(sa, sa.nextSend)
		r.sent = e.sealed(sa, sa.here(), r.exchange, r.id, false, ps)
		e.transmit(sa, r)
	}
}

// lastIDs is where an IKE_SA begins to run out of message IDs, which must not be used again (RFC 7296 section 2.2).
const lastIDs = 1<<32 - 1<<16

// watchIDs rekeys an IKE_SA in time, and gives up one that could not be.
func (e *Engine) watchIDs(sa *ikeSA, next uint32) {
	switch next {
	case lastIDs:
		e.after(0, func() { e.rekeyIKE(sa) })
	case 1<<32 - 1:
		e.after(0, func() { e.lose(sa, errors.New("its message IDs are used up")) })
	}
}

// transmit sends a request for the first time.
func (e *Engine) transmit(sa *ikeSA, r *request) {
	sa.outstanding, sa.early = r, nil
	e.send(sa.here(), r.sent)
	r.since, r.tries = e.now, 1
	e.scheduleRetransmit(sa, r)
}

// send sends a message between the addresses of at.
func (e *Engine) send(at Datagram, message [][]byte) {
	for _, at.Data = range message {
		e.emit(Send{at})
	}
}

// here is without data: where the IKE_SA is spoken on.
func (sa *ikeSA) here() Datagram { return Datagram{Local: sa.local, Remote: sa.remote} }

// scheduleRetransmit doubles the wait each time (RFC 7296 section 2.4); the very same octets are sent again, from
// wherever the IKE_SA is by then.
func (e *Engine) scheduleRetransmit(sa *ikeSA, r *request) {
	wait := e.cfg.Timing.Retransmit << (min(r.tries, e.cfg.Timing.Tries) - 1)
	sa.retransmit = e.after(wait, func() {
		if e.givesUp(sa, r) {
			e.unanswered(sa, r)
			return
		}
		e.send(sa.here(), r.sent)
		if r.tries++; r.tries > suspicious {
			e.tryPaths(sa, r)
		}
		e.scheduleRetransmit(sa, r)
	})
}

// unanswered gives the whole IKE_SA up: a peer that does not answer one request has lost it, or is gone.
func (e *Engine) unanswered(sa *ikeSA, r *request) {
	e.lose(sa, fmt.Errorf("%w (%s request %d, sent %d times)", errNoAnswer, r.exchange, r.id, r.tries))
}

// abandonRequests ends everything asked and queued.
func (e *Engine) abandonRequests(sa *ikeSA, why error) {
	all := sa.queue
	if sa.outstanding != nil {
		all = append([]*request{sa.outstanding}, all...)
	}
	sa.outstanding, sa.queue = nil, nil
	e.passOn(sa, all, why)
}

// passOn asks again on the IKE_SA that has taken over, or tells that there will be no answer.
func (e *Engine) passOn(sa *ikeSA, requests []*request, why error) {
	for _, r := range requests {
		switch {
		case sa.next != nil && r.again != nil && !r.answered:
			r.again(sa.heir())
		case r.done != nil:
			r.done(nil, why)
		}
	}
}

// answer matches a response to the outstanding request.
func (e *Engine) answer(sa *ikeSA, d Datagram, m *wire.Message) {
	r := sa.outstanding
	if r == nil || r.answered || r.id != m.MessageID || r.exchange != m.Exchange {
		e.drop(d, fmt.Errorf("%s response %d to no request of ours", m.Exchange, m.MessageID))
		return
	}
	ps, err, ok := e.opened(sa, d, m, &sa.responseParts)
	if !ok {
		return
	}
	e.heard(sa, d)
	e.arrivedBy(sa, r, d)
	sa.outstanding = nil
	e.stop(sa.retransmit)
	if sa.probed {
		sa.probed = false
		e.notify(spd.PeerAlive{Peer: sa.peer.Name, ID: sa.own})
	}
	if err != nil {
		err = fmt.Errorf("malformed response: %w", err)
	} else if n := wire.FindNotify(ps, wire.NotifyInvalidSyntax); n != nil {
		err = &peerError{n.Kind}
	}
	if err != nil {
		// What one side has protected and the other cannot read ends the IKE_SA on both (RFC 7296 section 2.21.3).
		r.done(nil, err)
		e.lose(sa, err)
		return
	}
	r.done(ps, nil)
	e.askNext(sa)
}

// digest works on the answer to r as a job and goes on with the result. Until then r stays outstanding: nothing else is
// asked, and the peer knows by our refusals that Child SAs are changing.
func digest[T any](e *Engine, sa *ikeSA, r *request, work func() (T, error), then func(T, error)) {
	sa.outstanding, r.answered = r, true
	compute(e, sa, work, func(v T, err error) {
		sa.outstanding = nil
		then(v, err)
		e.askNext(sa)
	})
}

// inbound is a peer's request while it is being answered.
type inbound struct {
	at       Datagram // without data: where the answer goes (RFC 7296 section 2.11)
	exchange wire.ExchangeType
	id       uint32
}

// question takes a peer's request, once.
func (e *Engine) question(sa *ikeSA, d Datagram, m *wire.Message) {
	if m.MessageID != sa.nextReceive && m.MessageID+1 != sa.nextReceive {
		e.drop(d, fmt.Errorf("%s request %d is outside the window, %d is next", m.Exchange, m.MessageID, sa.nextReceive))
		return
	}
	if m.MessageID != sa.nextReceive {
		e.askedAgain(sa, d, m)
		return
	}
	if sa.answering {
		return // a retransmission of what is being worked on
	}
	if !sa.expects(m.Exchange) {
		// A responder may be ahead of us: its answer to IKE_AUTH is not here yet, and it will repeat its request.
		e.drop(d, fmt.Errorf("%s request %d before the IKE_SA is established", m.Exchange, m.MessageID))
		return
	}
	ps, malformed, ok := e.opened(sa, d, m, &sa.requestParts)
	if !ok {
		return
	}
	e.heard(sa, d)
	sa.answering = true
	in := inbound{at: Datagram{Local: d.Local, Remote: d.Remote}, exchange: m.Exchange, id: m.MessageID}
	if malformed != nil {
		e.answerError(sa, in, malformed)
		return
	}
	switch {
	case !sa.established && m.Exchange == wire.ExchangeIKEIntermediate:
		e.intermediateRequest(sa, in, ps)
	case !sa.established:
		e.authRequest(sa, in, ps)
	case m.Exchange == wire.ExchangeCreateChildSA:
		e.createRequest(sa, in, ps)
	case m.Exchange == wire.ExchangeFollowupKE:
		e.followUpRequest(sa, in, ps)
	case m.Exchange == wire.ExchangeInformational:
		e.informRequest(sa, in, ps)
	default:
		e.answerError(sa, in, refuse(wire.NotifyInvalidSyntax, "2.21.3", "%s does not fit the state of the IKE_SA", m.Exchange))
	}
}

// expects reports whether it is time for a request of this exchange.
func (sa *ikeSA) expects(exchange wire.ExchangeType) bool {
	switch {
	case sa.established:
		return true
	case sa.hs == nil || sa.initiator:
		return false
	case exchange == wire.ExchangeInformational:
		return sa.hs.dialogue != nil // the initiator may give it up
	case sa.closing:
		return false
	case exchange == wire.ExchangeIKEIntermediate:
		return sa.hs.dialogue == nil && sa.hs.takesIntermediate()
	}
	return exchange == wire.ExchangeIKEAuth
}

// askedAgain answers a retransmission with the very same octets (RFC 7296 section 2.1); of one in fragments, the first
// (RFC 7383 section 2.6.1).
func (e *Engine) askedAgain(sa *ikeSA, d Datagram, m *wire.Message) {
	f, _, err := sa.envelope(m)
	if err == nil && f.Number > 1 {
		return
	}
	if err == nil {
		_, err = unseal(sa.lastKey, d, f.Body)
	}
	if err != nil {
		e.drop(d, err)
		return
	}
	sa.heardAt = e.now
	e.send(Datagram{Local: d.Local, Remote: d.Remote}, sa.lastReply)
}

// reply answers a peer's request and keeps the answer for retransmissions.
func (e *Engine) reply(sa *ikeSA, in inbound, ps []wire.Payload) {
	sa.answering = false
	sa.nextReceive++
	e.watchIDs(sa, sa.nextReceive)
	sa.lastReply, sa.lastKey = e.sealed(sa, in.at, in.exchange, in.id, true, ps), sa.keys.in
	e.send(in.at, sa.lastReply)
}

// answerError answers with the notification of err. It ends an IKE_SA that is not yet established; INVALID_SYNTAX ends
// any (RFC 7296 section 2.21).
func (e *Engine) answerError(sa *ikeSA, in inbound, err error) {
	e.emit(Dropped{Remote: in.at.Remote, Err: err})
	n := errorNotify(err)
	e.reply(sa, in, []wire.Payload{n})
	if !sa.established {
		e.linger(sa, err)
	} else if n.Kind == wire.NotifyInvalidSyntax {
		e.lose(sa, err)
	}
}

// linger keeps a failed half-open IKE_SA for a moment, only to repeat its answer.
func (e *Engine) linger(sa *ikeSA, why error) {
	sa.closing = true
	e.stop(sa.giveUp)
	sa.giveUp = e.after(lingering, func() { e.lose(sa, why) })
}

// lingering is how long an answer is kept after all else is gone: the peer's first retransmissions fall into it.
const lingering = 10 * time.Second
