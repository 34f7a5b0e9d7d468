package ikev2

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// authLifetime limits how long an authentication is good for (RFC 4478): the responder of IKE_SA_INIT says so, and ends
// the IKE_SA by then; the initiator authenticates anew before, on an IKE_SA of its own.
type authLifetime struct{ silent }

func (authLifetime) answerAuth(e *Engine, sa *ikeSA, _ []wire.Payload) []wire.Payload {
	life := sa.peer.AuthLifetime
	if d := sa.hs.dialogue; d != nil && d.lifetime > 0 && (life == 0 || d.lifetime < life) {
		life = d.lifetime
	}
	if s := sa.hs.session; s != nil && !s.authEnds.IsZero() {
		life = max(time.Second, s.authEnds.Sub(e.now))
	}
	if life == 0 {
		return nil
	}
	sa.authEnds = e.now.Add(life)
	return []wire.Payload{lifetimeNotify(life)}
}

func (authLifetime) authAnswered(e *Engine, sa *ikeSA, response []wire.Payload) {
	life := sa.peer.AuthLifetime
	if s := sa.hs.session; s != nil && !s.authEnds.IsZero() {
		life = max(time.Second, s.authEnds.Sub(e.now))
	}
	if told, ok := lifetimeIn(response); ok && (life == 0 || told < life) {
		life = max(told, minAuthLifetime)
	}
	if life > 0 {
		sa.authEnds = e.now.Add(life)
	}
}

const (
	// minAuthLifetime keeps a responder from having us authenticate without an end.
	minAuthLifetime = 10 * time.Second
	// authGrace is how long after the end an initiator may be late.
	authGrace = time.Minute
	// authRetry is the wait after an authentication that failed.
	authRetry = 10 * time.Second
)

// lifetimeNotify has the lifetime in whole seconds.
func lifetimeNotify(life time.Duration) *wire.Notify {
	seconds := binary.BigEndian.AppendUint32(nil, uint32(life/time.Second))
	return &wire.Notify{Kind: wire.NotifyAuthLifetime, Data: seconds}
}

func lifetimeIn(ps []wire.Payload) (life time.Duration, ok bool) {
	n := wire.FindNotify(ps, wire.NotifyAuthLifetime)
	if n == nil || len(n.Data) != 4 {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint32(n.Data)) * time.Second, true
}

// limitAuth takes the AUTH_LIFETIME of an INFORMATIONAL request: it counts from now, and zero is at once.
func (e *Engine) limitAuth(sa *ikeSA, ps []wire.Payload) {
	if life, ok := lifetimeIn(ps); ok && sa.original && !sa.closing {
		sa.authEnds = e.now.Add(life)
		e.watchAuth(sa)
	}
}

// watchAuth sets the time for the next authentication, or for the end of an IKE_SA whose peer has not managed it.
func (e *Engine) watchAuth(sa *ikeSA) {
	e.stop(sa.authTimer)
	left := sa.authEnds.Sub(e.now)
	switch {
	case sa.authEnds.IsZero():
	case sa.original:
		sa.authTimer = e.after(e.early(left), func() { e.reauthenticate(sa) })
	default:
		sa.authTimer = e.after(left, func() { e.close(sa, errAuthEnded, &wire.Delete{Protocol: wire.ProtocolIKE}) })
	}
}

var (
	errAuthEnded = errors.New("the authentication has ended")
	errRenewed   = errors.New("authenticated anew")
)

// renewAuth has the initiator of IKE_SA_INIT authenticate anew, be that this side or the peer.
func (e *Engine) renewAuth(sa *ikeSA) {
	if sa.original {
		e.reauthenticate(sa)
		return
	}
	e.ask(sa, &request{
		exchange: wire.ExchangeInformational,
		build:    func() []wire.Payload { return []wire.Payload{lifetimeNotify(0)} },
		done: func(_ []wire.Payload, err error) {
			if err == nil && !sa.closing {
				sa.authEnds = e.now.Add(authGrace)
				e.watchAuth(sa)
			}
		},
		again: e.renewAuth,
	})
}

// reauthenticate begins an IKE_SA in place of one whose authentication is about to end.
func (e *Engine) reauthenticate(sa *ikeSA) {
	if sa.gone == nil && !sa.closing && e.association(sa.peer.Name).starting() == nil {
		delete(e.sessions, sa.peer.Name) // who has a ticket need not prove who it is
		e.initiate(sa.peer, sa.path()).hs.renews = sa
	}
}

// reauthenticationFailed tries again later if there is a limit, after a movement at once, and ends the IKE_SA when the
// responder should have.
func (e *Engine) reauthenticationFailed(sa *ikeSA, why error) {
	wait := authRetry
	if errors.Is(why, errMoved) {
		wait = 0
	}
	switch {
	case sa.gone != nil || sa.closing || sa.authEnds.IsZero():
	case e.now.Sub(sa.authEnds) > authGrace:
		e.close(sa, errAuthEnded, &wire.Delete{Protocol: wire.ProtocolIKE})
	default:
		e.stop(sa.authTimer)
		sa.authTimer = e.after(wait, func() { e.reauthenticate(sa) })
	}
}

// renewable is a Child SA that is to be made anew with its IKE_SA, other than those done; nil if there is none.
func (sa *ikeSA) renewable(done []spd.Demand) *childSA {
	for _, c := range sa.children {
		same := func(d spd.Demand) bool { return sameDemand(d, c.demand) }
		if !c.deleting && !c.replaced() && !slices.ContainsFunc(done, same) {
			return c
		}
	}
	return nil
}

// renew makes the Child SAs of an IKE_SA anew on next, on which both have authenticated, one after the other; then it
// deletes the old one.
func (e *Engine) renew(old, next *ikeSA, done []spd.Demand) {
	old, next = old.heir(), next.heir()
	c := old.renewable(done)
	switch {
	case old.gone != nil || old.closing:
	case next.gone != nil:
		e.reauthenticationFailed(old, next.gone)
	case c != nil:
		n := &negotiation{demand: c.demand, proposals: old.peer.ESP, group: firstGroup(old.peer.ESP), renews: c}
		n.after = func() { e.renew(old, next, append(done, c.demand)) }
		n.start(e)
	default:
		for _, c := range old.children {
			e.emit(Remove{c.outID()}) // what the peer has sent may still come
		}
		e.close(old, errRenewed, &wire.Delete{Protocol: wire.ProtocolIKE})
	}
}
