package ikev2

import (
	"encoding/binary"
	"errors"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
)

// ikeRekey is the rekeying of an IKE_SA (RFC 7296 section 1.3.2), and what this side's own attempt needs.
type ikeRekey struct {
	contest[ikeSA]

	next    *ikeSA // ours, until it is made
	group   suite.Group
	key     *suite.KEKey
	ni      []byte
	retried bool // INVALID_KE_PAYLOAD has been followed once
}

// replacedGrace is how long a replaced IKE_SA waits for the peer's Delete, and a failed rekeying for the next attempt.
const replacedGrace = 30 * time.Second

// renewLater sets the time for the IKE_SA to be rekeyed.
func (e *Engine) renewLater(sa *ikeSA) {
	if life := sa.peer.IKELifetime; life > 0 {
		sa.renewal = e.after(e.early(life), func() { e.rekeyIKE(sa) })
	}
}

// rekeyIKE asks for an IKE_SA in place of this one.
func (e *Engine) rekeyIKE(sa *ikeSA) {
	if sa.gone != nil || sa.closing || sa.rekeying != nil || sa.replaces != nil {
		return
	}
	rk := &ikeRekey{group: sa.suite.Group}
	rk.mine.pending = true
	sa.rekeying = rk
	e.offerSuccessor(sa, rk)
}

func (e *Engine) offerSuccessor(sa *ikeSA, rk *ikeRekey) {
	group, rnd := rk.group, e.cfg.Rand
	compute(e, sa, func() (*suite.KEKey, error) { return suite.GenerateKE(group, rnd) }, func(k *suite.KEKey, err error) {
		if err != nil {
			e.rekeyFailed(sa, rk, err)
			return
		}
		rk.key = k
		r := &request{exchange: wire.ExchangeCreateChildSA}
		r.build = func() []wire.Payload {
			if sa.closing || rk.theirs.pending || rk.theirs.made != nil {
				e.rekeyFailed(sa, rk, errReplaced)
				return nil
			}
			rk.ni, rk.next = e.random(nonceLen), e.successor(sa, true)
			return []wire.Payload{
				offerIKE(sa.peer.IKE, spiBytes(rk.next.own)), &wire.Nonce{Data: rk.ni},
				&wire.KE{Group: uint16(group), Data: k.Public()},
			}
		}
		r.done = func(ps []wire.Payload, err error) { e.rekeyIKEAnswered(sa, rk, r, ps, err) }
		e.ask(sa, r)
	})
}

// successor is the IKE_SA that may replace sa.
func (e *Engine) successor(sa *ikeSA, initiator bool) *ikeSA {
	next := &ikeSA{own: e.newSPI(), initiator: initiator, peer: sa.peer, agreed: sa.agreed, replaces: sa}
	e.sas[next.own] = next
	return next
}

// succeed makes the keys of a successor and establishes it, where sa is by now.
func (e *Engine) succeed(sa, next *ikeSA, c choice[suite.IKESuite], shared secrets, ni, nr []byte) error {
	next.other, next.suite = ikeSPI(c.spi), c.suite
	if err := deriveIKE(next, rekeySeed(sa, shared, ni, nr), ni, nr); err != nil {
		return err
	}
	next.local, next.remote, next.mobike, next.nat = sa.local, sa.remote, sa.mobike, sa.nat
	e.establish(next)
	return nil
}

func spiBytes(spi uint64) []byte { return binary.BigEndian.AppendUint64(nil, spi) }

func ikeSPI(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// rekeyIKEAnswered takes the answer to our rekeying.
func (e *Engine) rekeyIKEAnswered(sa *ikeSA, rk *ikeRekey, r *request, ps []wire.Payload, err error) {
	if err == nil {
		err = errorIn(ps)
	}
	if answered(err, wire.NotifyInvalidKEPayload) && !rk.retried {
		if group, ok := otherGroup(ps, sa.peer.IKE, rk.group); ok {
			e.forget(rk.next, err)
			rk.retried, rk.group = true, group
			e.offerSuccessor(sa, rk)
			return
		}
	}
	if err != nil {
		e.rekeyFailed(sa, rk, err)
		return
	}
	sa.refusals = 0
	answer, okSA := wire.Find[*wire.SA](ps)
	nonce, okN := wire.Find[*wire.Nonce](ps)
	if !okSA || !okN {
		e.rekeySpoilt(sa, rk, errors.New("CREATE_CHILD_SA response without SA or Nr"))
		return
	}
	c, ok := answeredIKE(sa.peer.IKE, answer)
	if !ok || ikeSPI(c.spi) == 0 || c.suite.Group != rk.group {
		e.rekeySpoilt(sa, rk, errors.New("the answer chooses what was not offered"))
		return
	}
	x := &keyExchanges{
		sa: sa, left: c.suite.AddKE.Steps(), over: func() bool { return sa.rekeying != rk },
		then: func(shared secrets, err error) {
			var refusal *peerError
			if err == nil {
				err = e.succeed(sa, rk.next, c, shared, rk.ni, nonce.Data)
			}
			switch {
			case sa.rekeying != rk:
			case errors.As(err, &refusal):
				e.rekeyFailed(sa, rk, err)
			case err != nil:
				e.rekeySpoilt(sa, rk, err)
			default:
				rk.mine = attempt[ikeSA]{made: rk.next, nonce: lower(rk.ni, nonce.Data)}
				e.settleIKE(sa)
			}
		},
	}
	x.take(e, r, rk.group, rk.key, ps)
}

// rekeyFailed gives our attempt up: the peer's, if there was one, stands; else it is tried again later.
func (e *Engine) rekeyFailed(sa *ikeSA, rk *ikeRekey, err error) {
	rk.mine.pending = false
	if rk.next != nil {
		e.forget(rk.next, err)
	}
	if sa.gone != nil {
		return
	}
	if !sa.closing && !errors.Is(err, errReplaced) {
		e.emit(Dropped{Remote: sa.remote, Err: err})
		again := func() { e.rekeyIKE(sa) }
		if answered(err, wire.NotifyTemporaryFailure) {
			e.tryLater(sa, again)
		} else {
			e.stop(sa.renewal)
			sa.renewal = e.after(replacedGrace, again)
		}
	}
	e.settleIKE(sa)
}

// rekeySpoilt ends an IKE_SA whose peer believes it to be replaced by one that could not be made here.
func (e *Engine) rekeySpoilt(sa *ikeSA, rk *ikeRekey, err error) {
	rk.mine.pending = false
	e.forget(rk.next, err)
	e.emit(Dropped{Remote: sa.remote, Err: err})
	e.terminate(sa)
	e.settleIKE(sa)
}

// settleIKE ends a rekeying once neither side's attempt is pending. The side that made the IKE_SA which takes over
// deletes the old one.
func (e *Engine) settleIKE(sa *ikeSA) {
	rk := sa.rekeying
	if rk == nil || rk.pending() {
		return
	}
	e.decide(sa)
	switch {
	case sa.next == nil:
		e.askNext(sa)
		e.askWanted(sa.peer)
	case sa.next == rk.mine.made:
		e.terminate(sa)
	default:
		e.awaitDelete(sa)
	}
}

// decide picks among what a rekeying has made the IKE_SA that takes over from sa, and ends the others that are ours. If
// there are two, that of the exchange with the lowest of the four nonces is closed by the side that asked for it
// (RFC 7296 section 2.8.2). If sa itself is being deleted, so are they.
func (e *Engine) decide(sa *ikeSA) {
	rk := sa.rekeying
	if rk == nil {
		return
	}
	sa.rekeying = nil
	if rk.next != nil && !rk.next.established {
		e.forget(rk.next, errReplaced)
	}
	for _, at := range []*attempt[ikeSA]{&rk.mine, &rk.theirs} {
		if at.made != nil && at.made.gone != nil {
			at.made = nil
		}
	}
	if sa.next == nil && !sa.closing {
		if next := rk.winner(); next != nil {
			e.inherit(sa, next)
		}
	}
	for _, made := range []*ikeSA{rk.mine.made, rk.theirs.made} {
		switch {
		case made == nil || made == sa.next:
		case made == rk.mine.made || sa.closing:
			e.terminate(made)
		default:
			e.awaitDelete(made)
		}
	}
}

func (rk *ikeRekey) winner() *ikeSA {
	if rk.mine.made == nil || rk.mineLoses() {
		return rk.theirs.made
	}
	return rk.mine.made
}

// confirm: the peer uses the IKE_SA for more than to end it, so for the peer it has taken over.
func (e *Engine) confirm(sa *ikeSA) {
	if old := sa.replaces; old != nil && old.gone == nil && old.next == nil && !old.closing {
		e.inherit(old, sa)
	}
}

// inherit moves Child SAs, and what is still to be asked, to the successor (RFC 7296 section 2.8).
func (e *Engine) inherit(old, next *ikeSA) {
	old.next, next.replaces = next, nil
	next.agreed = old.agreed
	e.revoke(old)
	for _, c := range old.children {
		c.ike = next
	}
	next.children = append(next.children, old.children...)
	left := old.queue
	old.children, old.queue = nil, nil
	e.up(next, false, old.own)
	e.passOn(old, left, errReplaced)
	e.askWanted(next.peer)
	e.refresh(next)
}

// awaitDelete keeps a replaced IKE_SA until the peer deletes it, but not for ever.
func (e *Engine) awaitDelete(sa *ikeSA) {
	e.retire(sa)
	sa.giveUp = e.after(replacedGrace, func() { e.lose(sa, errReplaced) })
}

// rekeyIKERequest answers a peer that rekeys the IKE_SA.
func (e *Engine) rekeyIKERequest(sa *ikeSA, in inbound, ps []wire.Payload, offered *wire.SA, ni []byte) {
	if sa.closing || sa.changingChildren() || sa.rekeying != nil && sa.rekeying.theirs.made != nil {
		e.answerError(sa, in, refuse(wire.NotifyTemporaryFailure, "2.25.2", "a Child SA or the IKE_SA is being changed"))
		return
	}
	ke, okKE := wire.Find[*wire.KE](ps)
	if !okKE {
		ke = &wire.KE{}
	}
	c, ok := chooseIKE(sa.peer.IKE, offered, suite.Group(ke.Group))
	switch {
	case !ok || ikeSPI(c.spi) == 0:
		e.answerError(sa, in, refuse(wire.NotifyNoProposalChosen, "2.7", "no IKE proposal of %s is acceptable", sa.peer.Name))
		return
	case !okKE:
		e.answerError(sa, in, refuse(wire.NotifyInvalidSyntax, "1.3.2", "IKE_SA rekeying without KE"))
		return
	}
	if c.suite.Group != suite.Group(ke.Group) {
		e.answerError(sa, in, &invalidKE{c.suite.Group})
		return
	}
	if sa.rekeying == nil {
		sa.rekeying = &ikeRekey{}
	}
	rk := sa.rekeying
	rk.theirs.pending = true
	nr, rnd := e.random(nonceLen), e.cfg.Rand
	compute(e, sa, func() (exchanged, error) { return exchange(c.suite.Group, rnd, ke.Data) }, func(x exchanged, err error) {
		next := e.successor(sa, false)
		f := &followUp{left: c.suite.AddKE.Steps(), secrets: secrets{first: x.shared}}
		f.complete = func(shared secrets, err error) error {
			rk.theirs.pending = false
			if err == nil && sa.closing {
				err = refuse(wire.NotifyTemporaryFailure, "2.25.2", "the IKE_SA is being deleted")
			} else if err == nil {
				err = e.succeed(sa, next, c, shared, ni, nr)
			}
			if err != nil {
				e.forget(next, err)
				return err
			}
			rk.theirs = attempt[ikeSA]{made: next, nonce: lower(ni, nr)}
			return nil
		}
		f.settle = func() {
			if sa.gone == nil {
				e.settleIKE(sa)
			}
		}
		if err != nil || sa.closing {
			e.finish(sa, in, f, nil, err)
			return
		}
		e.answerCreate(sa, in, f, []wire.Payload{
			acceptIKE(c, spiBytes(next.own)), &wire.Nonce{Data: nr}, &wire.KE{Group: uint16(c.suite.Group), Data: x.public},
		})
	})
}

// changingChildren reports whether a request of ours that makes, rekeys or deletes a Child SA is on its way.
func (sa *ikeSA) changingChildren() bool { return sa.outstanding != nil && sa.outstanding.children }
