package ikev2

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// Additional key exchanges follow that of a CREATE_CHILD_SA exchange, one in each IKE_FOLLOWUP_KE exchange, before there
// is the new IKE_SA or Child SA (RFC 9370 section 2.2.4). The responder gives a link, by which it knows again in each what
// it belongs to.

// secrets are those of the key exchanges that make one SA.
type secrets struct {
	first secret.Bytes // none in a Child SA without a key exchange of its own
	more  secret.Bytes // of the additional ones, one after the other
}

// seed is what keys are made of, with SK_d (RFC 7296 sections 2.17 and 2.18, RFC 9370 section 2.2.4).
func (s secrets) seed(ni, nr []byte) []byte { return slices.Concat(s.first, ni, nr, s.more) }

// keyExchanges are those that this side has asked for by CREATE_CHILD_SA.
type keyExchanges struct {
	sa       *ikeSA
	children bool          // for a Child SA
	left     []suite.Group // additional key exchanges that are still to come
	secrets
	over  func() bool          // nothing will come of it any more
	again func(*ikeSA)         // asks from the start on another IKE_SA
	then  func(secrets, error) // gets all secrets, or what went wrong
}

// take takes the answer to r, which asked with k. The secret and the key for the next exchange are made in one job,
// so that nothing else is asked in between.
func (x *keyExchanges) take(e *Engine, r *request, group suite.Group, k *suite.KEKey, ps []wire.Payload) {
	ke, ok := wire.Find[*wire.KE](ps)
	link := wire.FindNotify(ps, wire.NotifyAdditionalKeyExchange)
	switch {
	case !ok || suite.Group(ke.Group) != group:
		x.then(secrets{}, fmt.Errorf("%s response without KE of %s", r.exchange, group))
		return
	case len(x.left) > 0 && link == nil:
		x.then(secrets{}, fmt.Errorf("%s response without a link to the key exchange of %s", r.exchange, x.left[0]))
		return
	}
	type step struct {
		shared secret.Bytes
		next   *suite.KEKey
	}
	left, rnd := x.left, e.cfg.Rand
	digest(e, x.sa, r, func() (s step, err error) {
		if s.shared, err = k.Shared(ke.Data); err == nil && len(left) > 0 {
			s.next, err = suite.GenerateKE(left[0], rnd)
		}
		return s, err
	}, func(s step, err error) {
		if r.exchange == wire.ExchangeCreateChildSA {
			x.first = s.shared
		} else {
			x.more = append(x.more, s.shared...)
		}
		if err != nil || len(left) == 0 {
			x.then(x.secrets, err)
			return
		}
		x.left = left[1:]
		x.followUp(e, left[0], s.next, link)
	})
}

// followUp asks for one additional key exchange, before anything else that is to be asked.
func (x *keyExchanges) followUp(e *Engine, group suite.Group, k *suite.KEKey, link *wire.Notify) {
	r := &request{exchange: wire.ExchangeFollowupKE, children: x.children, again: x.again}
	r.build = func() []wire.Payload {
		if x.over() {
			return nil
		}
		return []wire.Payload{
			&wire.KE{Group: uint16(group), Data: k.Public()},
			&wire.Notify{Kind: wire.NotifyAdditionalKeyExchange, Data: link.Data},
		}
	}
	r.done = func(ps []wire.Payload, err error) {
		if err == nil {
			err = errorIn(ps)
		}
		if err != nil {
			x.then(secrets{}, err)
			return
		}
		x.take(e, r, group, k, ps)
	}
	x.sa.queue = slices.Insert(x.sa.queue, 0, r)
}

// followUp is what a responder keeps until the key exchanges that follow a CREATE_CHILD_SA exchange are made. An IKE_SA has
// one at a time.
type followUp struct {
	link    []byte
	left    []suite.Group
	secrets secrets
	timeout *timer
	// complete makes the SA, or gives it up because of an error; settle goes on after the answer.
	complete func(secrets, error) error
	settle   func()
}

const (
	// followUpTime is how long the next of the exchanges is waited for: RFC 9370 section 2.2.4 thinks of 5 to 20 seconds.
	followUpTime = 20 * time.Second

	linkLen = 8
)

var errFollowUp = errors.New("IKE_FOLLOWUP_KE did not come")

// answerCreate answers CREATE_CHILD_SA: with a link if key exchanges are to follow, else for good.
func (e *Engine) answerCreate(sa *ikeSA, in inbound, f *followUp, answer []wire.Payload) {
	if len(f.left) == 0 {
		e.finish(sa, in, f, answer, nil)
		return
	}
	f.link, sa.followUp = e.random(linkLen), f
	f.wait(e, sa)
	e.reply(sa, in, append(answer, f.notify()))
}

// finish makes the SA, if err does not prevent it, and gives the last answer.
func (e *Engine) finish(sa *ikeSA, in inbound, f *followUp, answer []wire.Payload, err error) {
	if err = f.complete(f.secrets, err); err != nil {
		e.answerError(sa, in, err)
	} else {
		e.reply(sa, in, answer)
	}
	f.settle()
}

func (f *followUp) notify() *wire.Notify {
	return &wire.Notify{Kind: wire.NotifyAdditionalKeyExchange, Data: f.link}
}

func (f *followUp) wait(e *Engine, sa *ikeSA) {
	e.stop(f.timeout)
	f.timeout = e.after(followUpTime, func() { e.abandonFollowUps(sa, errFollowUp) })
}

// abandonFollowUps gives up what the peer has not completed, if there is anything.
func (e *Engine) abandonFollowUps(sa *ikeSA, why error) {
	f := sa.followUp
	if f == nil {
		return
	}
	e.endFollowUps(sa)
	_ = f.complete(secrets{}, why)
	f.settle()
}

func (e *Engine) endFollowUps(sa *ikeSA) {
	e.stop(sa.followUp.timeout)
	sa.followUp = nil
}

// followUpRequest answers IKE_FOLLOWUP_KE.
func (e *Engine) followUpRequest(sa *ikeSA, in inbound, ps []wire.Payload) {
	unknown := refuse(wire.NotifyStateNotFound, "2.25", "no key exchange that this one follows")
	f := sa.followUp
	link := wire.FindNotify(ps, wire.NotifyAdditionalKeyExchange)
	if f == nil || link == nil || !bytes.Equal(link.Data, f.link) {
		e.answerError(sa, in, unknown)
		return
	}
	group, rnd := f.left[0], e.cfg.Rand
	ke, ok := wire.Find[*wire.KE](ps)
	if !ok || suite.Group(ke.Group) != group {
		e.answerError(sa, in, refuse(wire.NotifyInvalidSyntax, "3.4", "IKE_FOLLOWUP_KE without KE of %s", group))
		return
	}
	compute(e, sa, func() (exchanged, error) { return exchange(group, rnd, ke.Data) }, func(x exchanged, err error) {
		if sa.followUp != f {
			e.answerError(sa, in, unknown)
			return
		}
		f.left, f.secrets.more = f.left[1:], append(f.secrets.more, x.shared...)
		answer := []wire.Payload{&wire.KE{Group: uint16(group), Data: x.public}}
		if err == nil && len(f.left) > 0 {
			f.wait(e, sa)
			e.reply(sa, in, append(answer, f.notify()))
			return
		}
		e.endFollowUps(sa)
		e.finish(sa, in, f, answer, err)
	})
}
