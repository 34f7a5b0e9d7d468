package ikev2

import (
	"errors"
	"fmt"
	"io"
	"time"

	"mipsecd/ikev2/eap"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// EAP is how the one of two peers that begins proves who it is (RFC 7296 section 2.16). The other one proves itself by a
// certificate before.
type EAP struct {
	// Proves: this host is the one that proves itself, and the other never begins. Else it is the other way round.
	Proves bool
	// Begin begins a conversation of the EAP peer if this host Proves, else of the server, at that time. It may be called
	// by several engines at once.
	Begin func(now time.Time, rand io.Reader) eap.Conversation
}

// maxRounds bounds the packets that one authentication takes from the other side. RFC 7296 section 2.16 wants at least ten
// exchanges; long chains of certificates take some more.
const maxRounds = 100

// maxEAP bounds how long a responder may keep an initiator busy with EAP. A responder gives an initiator up by
// Timing.HalfOpen.
const maxEAP = 2 * time.Minute

// dialogue is an authentication by EAP under way.
type dialogue struct {
	conversation eap.Conversation
	busy         bool // taking a step, which is not to be disturbed
	rounds       int
	request      []wire.Payload // in the responder: the first of IKE_AUTH, which wants a Child SA
	idr          *wire.ID
	done         bool // EAP has succeeded, AUTH is to follow
	msk          secret.Bytes
	lifetime     time.Duration // of the authentication; zero if EAP leaves that open
}

// step has the conversation take a packet.
func (e *Engine) step(sa *ikeSA, packet []byte, then func(eap.Step, error)) {
	d := sa.hs.dialogue
	if d.rounds++; d.rounds > maxRounds {
		then(eap.Step{}, fmt.Errorf("more than %d rounds of EAP", maxRounds))
		return
	}
	d.busy = true
	compute(e, nil, func() (eap.Step, error) { return d.conversation.Step(packet) }, func(s eap.Step, err error) {
		d.busy = false
		if sa.gone != nil {
			d.end()
			return
		}
		d.done, d.msk, d.lifetime = s.Done, s.MSK, s.Lifetime
		then(s, err)
	})
}

// end gives up what may still be under way.
func (d *dialogue) end() {
	if d != nil && !d.busy {
		d.conversation.Close()
		d.msk.Wipe()
	}
}

// auth is what the side with an identity proves by AUTH: that it is the one that EAP was spoken with. Of a method that
// makes no key that proves little, and only that IKE_SA_INIT was not changed.
func (d *dialogue) auth(sa *ikeSA, id *wire.ID) *wire.Auth {
	key := d.msk
	switch {
	case key != nil:
	case id.Initiator:
		key = sa.keys.pi
	default:
		key = sa.keys.pr
	}
	return &wire.Auth{Method: wire.AuthSharedKey, Data: preShared{key}.mac(sa, id)}
}

// check is an error unless the payloads have the AUTH of the side with an identity.
func (d *dialogue) check(sa *ikeSA, id *wire.ID, ps []wire.Payload) error {
	claim, ok := wire.Find[*wire.Auth](ps)
	switch {
	case !ok:
		return lacking(ps, "AUTH after EAP")
	case claim.Method != wire.AuthSharedKey || !secret.Bytes(claim.Data).Equal(d.auth(sa, id).Data):
		return &identityError{fmt.Sprintf("%s is not proven: EAP was spoken with another, or on another IKE_SA", identityOf(id))}
	}
	return nil
}

// lacking is why a message of IKE_AUTH has not what it should have.
func lacking(ps []wire.Payload, what string) error {
	if err := errorIn(ps); err != nil {
		return err
	}
	return errors.New("IKE_AUTH without " + what)
}

// converse answers the EAP packet of a responder that has proven itself, until EAP is at its end.
func (e *Engine) converse(sa *ikeSA, n *negotiation, ps []wire.Payload) {
	message, ok := wire.Find[*wire.EAP](ps)
	if !ok {
		e.lose(sa, lacking(ps, "EAP"))
		return
	}
	if sa.hs.dialogue == nil {
		sa.hs.dialogue = &dialogue{conversation: sa.peer.EAP.Begin(e.now, e.cfg.Rand), idr: wire.FindID(ps, false)}
		sa.giveUp = e.after(maxEAP, func() { e.lose(sa, fmt.Errorf("EAP takes more than %s", maxEAP)) })
	}
	e.step(sa, message.Data, func(s eap.Step, err error) {
		switch {
		case errors.Is(err, eap.ErrFailure):
			e.lose(sa, err)
		case err != nil:
			e.authAnswered(sa, n, nil, &identityError{"EAP: " + err.Error()})
		case s.Done:
			e.concludeAsking(sa, n)
		default:
			e.askOn(sa, []wire.Payload{&wire.EAP{Data: s.Packet}}, func(ps []wire.Payload) { e.converse(sa, n, ps) })
		}
	})
}

// concludeAsking proves that it was this side that EAP was spoken with, and wants that proof of the responder.
func (e *Engine) concludeAsking(sa *ikeSA, n *negotiation) {
	d := sa.hs.dialogue
	sa.withPPK(func(then func(proof, error)) {
		then(proof{auth: []wire.Payload{d.auth(sa, sa.peer.LocalID.payload(true))}}, nil)
	}, func(p proof, _ error) {
		e.askOn(sa, append(p.auth, ppks{}.offerAuth(e, sa)...), func(ps []wire.Payload) {
			err := sa.ppkAnswered(ps)
			if err == nil {
				err = d.check(sa, d.idr, ps)
			}
			e.authAnswered(sa, n, ps, err)
		})
	})
}

// askOn is one of the IKE_AUTH exchanges after the first.
func (e *Engine) askOn(sa *ikeSA, content []wire.Payload, then func([]wire.Payload)) {
	e.ask(sa, &request{
		exchange: wire.ExchangeIKEAuth,
		build:    func() []wire.Payload { return content },
		done: func(ps []wire.Payload, err error) {
			if err != nil {
				e.lose(sa, err)
				return
			}
			then(ps)
		},
	})
}

// challenge begins EAP with an initiator of whom nothing is known but what it says; answer has the proof of who this side
// is.
func (e *Engine) challenge(sa *ikeSA, in inbound, request, answer []wire.Payload) {
	sa.hs.dialogue = &dialogue{
		conversation: sa.peer.EAP.Begin(e.now, e.cfg.Rand), request: request, idr: sa.peer.LocalID.payload(false),
	}
	e.examine(sa, in, nil, answer)
}

// examine answers the initiator's EAP packet.
func (e *Engine) examine(sa *ikeSA, in inbound, packet []byte, answer []wire.Payload) {
	e.step(sa, packet, func(s eap.Step, err error) {
		if err != nil {
			err = refuse(wire.NotifyAuthenticationFailed, "2.16", "%s is not proven: EAP: %w", sa.peer.RemoteID, err)
		}
		if s.Packet == nil {
			e.answerError(sa, in, err)
			return
		}
		e.reply(sa, in, append(answer, &wire.EAP{Data: s.Packet}))
		if err != nil {
			e.emit(Dropped{Remote: in.at.Remote, Err: err})
			e.linger(sa, err)
		}
	})
}

// authGoesOn takes what an initiator says in the IKE_AUTH exchanges after the first. One that does not believe us says so
// in an INFORMATIONAL exchange (RFC 7296 section 2.21.2).
func (e *Engine) authGoesOn(sa *ikeSA, in inbound, ps []wire.Payload) {
	d := sa.hs.dialogue
	message, ok := wire.Find[*wire.EAP](ps)
	switch {
	case in.exchange == wire.ExchangeInformational:
		err := fmt.Errorf("the initiator gives up: %w", lacking(ps, "EAP"))
		e.emit(Dropped{Remote: in.at.Remote, Err: err})
		e.reply(sa, in, nil)
		e.lose(sa, err)
	case d.done:
		ps, err := sa.ppkAsked(sa.peer, ps)
		if err == nil {
			err = d.check(sa, wire.FindID(d.request, true), ps)
		}
		if err != nil {
			e.answerError(sa, in, refuse(wire.NotifyAuthenticationFailed, "2.16", "%w", err))
			return
		}
		e.answerAuth(sa, in, d.request, []wire.Payload{d.auth(sa, d.idr)})
	case !ok:
		e.answerError(sa, in, refuse(wire.NotifyAuthenticationFailed, "2.16", "%w", lacking(ps, "EAP")))
	default:
		e.examine(sa, in, message.Data, nil)
	}
}

// byEAP is the part of both sides before EAP: the responder proves itself by its certificate. Nothing else of certified is
// used: one side has no certificate of its own, the other none to look at.
type byEAP struct {
	certified
	way *EAP
}

// prove: the initiator asks for EAP by not proving anything.
func (b *byEAP) prove(e *Engine, sa *ikeSA, id *wire.ID, then func(proof, error)) {
	if id.Initiator {
		then(proof{request: b.requests()}, nil)
		return
	}
	b.certified.prove(e, sa, id, then)
}

// check: an initiator has nothing to prove yet, but must not be one that wants to do without EAP.
func (b *byEAP) check(e *Engine, sa *ikeSA, id *wire.ID, ps []wire.Payload, then func(error)) {
	_, proven := wire.Find[*wire.Auth](ps)
	switch {
	case !id.Initiator:
		b.certified.check(e, sa, id, ps, then)
	case b.way.Proves:
		then(errors.New("it began; want it to leave that to this host, which proves itself by EAP"))
	case proven:
		then(errors.New("it sends AUTH in its first message; want it to ask for EAP"))
	default:
		then(nil)
	}
}

var errNotToBegin = errors.New("the peer proves itself by EAP, so only it can begin")

// speaksEAP reports whether the initiator of a handshake proves itself by EAP: in one that resumes another it need not.
func (sa *ikeSA) speaksEAP() bool { return sa.peer.EAP != nil && sa.hs.session == nil }
