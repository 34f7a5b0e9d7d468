package ikev2

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// initKey recognises a retransmitted IKE_SA_INIT request by all of it and where it is from (RFC 7296 section 2.1).
type initKey [sha256.Size]byte

func initKeyOf(d Datagram) (k initKey) {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint16(d.Remote.Addr().AsSlice(), d.Remote.Port()))
	h.Write(d.Data)
	h.Sum(k[:0])
	return k
}

// initRequest answers an IKE_SA_INIT request: first what costs nothing, then the cookie, and cryptography last.
func (e *Engine) initRequest(d Datagram, h wire.Header) {
	key := initKeyOf(d)
	if e.repeated(d, key) {
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil {
		var w *wire.Error
		if errors.As(err, &w) && w.Notify == wire.NotifyUnsupportedCriticalPayload && h.MessageID == 0 {
			e.refuseUnprotected(d, h, errorNotify(err))
		}
		e.drop(d, err)
		return
	}
	offered, okSA := wire.Find[*wire.SA](m.Payloads)
	ke, okKE := wire.Find[*wire.KE](m.Payloads)
	nonce, okN := wire.Find[*wire.Nonce](m.Payloads)
	if !okSA || !okKE || !okN || h.MessageID != 0 || h.SPIi == 0 {
		e.drop(d, errors.New("IKE_SA_INIT request without SA, KE, Ni or SPI"))
		return
	}
	e.traced(false, d, m.Header, m.Payloads, nil)
	if !e.admits(d, m, nonce.Data) || e.redirects(d, m, nonce.Data) {
		return
	}
	ours := e.cfg.IKE
	if !knowsIntermediate(m.Payloads) {
		ours = withoutAddKE(ours)
	}
	c, ok := chooseIKE(ours, offered, suite.Group(ke.Group))
	if !ok {
		e.refuseUnprotected(d, h, &wire.Notify{Kind: wire.NotifyNoProposalChosen})
		return
	}
	if c.suite.Group != suite.Group(ke.Group) {
		e.refuseUnprotected(d, h, (&invalidKE{c.suite.Group}).payload())
		return
	}
	e.respond(d, key, m, c, ke.Data, nonce.Data)
}

// repeated answers a retransmission of a request that began an IKE_SA. It is ignored while its answer is being worked on,
// and once that has been used.
func (e *Engine) repeated(d Datagram, key initKey) bool {
	sa := e.begun[key]
	if sa != nil && sa.hs != nil && sa.hs.response != nil && !sa.answering && sa.nextReceive == 1 {
		e.emit(Send{Datagram{Local: d.Local, Remote: d.Remote, Data: sa.hs.response}})
	}
	return sa != nil
}

// admits asks for a cookie when there are many half-open IKE_SAs, and takes no more when there are too many.
func (e *Engine) admits(d Datagram, m *wire.Message, ni []byte) bool {
	if e.halfOpen.total >= e.cfg.Limits.Cookies {
		n := wire.FindNotify(m.Payloads, wire.NotifyCookie)
		if n == nil || !e.cookieValid(n.Data, ni, d.Remote, m.SPIi) {
			e.refuseUnprotected(d, m.Header, &wire.Notify{Kind: wire.NotifyCookie, Data: e.cookie(ni, d.Remote, m.SPIi)})
			return false
		}
	}
	if network := networkOf(d.Remote.Addr()); e.halfOpen.total >= e.cfg.Limits.HalfOpen ||
		e.halfOpen.from[network] >= e.cfg.Limits.HalfOpenPerNetwork {
		e.drop(d, fmt.Errorf("%d half-open IKE_SAs already, %d of them with %s", e.halfOpen.total, e.halfOpen.from[network], network))
		return false
	}
	return true
}

// halfOpened puts a responder's IKE_SA into the tables, until IKE_AUTH comes or for too long does not.
func (e *Engine) halfOpened(sa *ikeSA) {
	e.sas[sa.own] = sa
	e.begun[sa.begun] = sa
	e.halfOpen.open(sa)
	sa.giveUp = e.after(e.cfg.Timing.HalfOpen, func() { e.lose(sa, errors.New("IKE_AUTH did not come")) })
}

// refuseUnprotected answers a request unprotected, without keeping anything.
func (e *Engine) refuseUnprotected(d Datagram, h wire.Header, n *wire.Notify) {
	e.answerUnprotected(d, h, []wire.Payload{n})
}

func (e *Engine) answerUnprotected(d Datagram, h wire.Header, ps []wire.Payload) {
	answer := wire.Header{
		SPIi: h.SPIi, SPIr: h.SPIr, Version: wire.Version20, Exchange: h.Exchange, Initiator: !h.Initiator, Response: true,
		MessageID: h.MessageID,
	}
	e.emit(Send{Datagram{Local: d.Local, Remote: d.Remote, Data: e.clear(d, answer, ps)}})
}

// respond makes the key exchange and answers IKE_SA_INIT.
func (e *Engine) respond(d Datagram, key initKey, m *wire.Message, c choice[suite.IKESuite], theirs, ni []byte) {
	sa := &ikeSA{
		own: e.newSPI(), other: m.SPIi, local: d.Local, remote: d.Remote, suite: c.suite, begun: key,
		startedAt: e.now,
		hs:        &handshake{began: e.nextID(), ni: ni, nr: e.random(nonceLen), group: c.suite.Group, request: d.Data},
	}
	e.halfOpened(sa)

	rnd := e.cfg.Rand
	compute(e, sa, func() (exchanged, error) { return exchange(c.suite.Group, rnd, theirs) }, func(x exchanged, err error) {
		if err == nil {
			err = deriveIKE(sa, firstSeed(c.suite.PRF, x.shared, ni, sa.hs.nr), ni, sa.hs.nr)
		}
		if err != nil {
			e.drop(d, err)
			e.lose(sa, err)
			return
		}
		ps := []wire.Payload{
			acceptIKE(c, nil), &wire.KE{Group: uint16(c.suite.Group), Data: x.public}, &wire.Nonce{Data: sa.hs.nr},
		}
		ps = append(ps, extensions.answerInit(e, sa, m.Payloads)...)
		sa.hs.response = e.clear(d, sa.header(wire.ExchangeIKESAInit, 0, true), ps)
		sa.nextReceive = 1
		e.emit(Send{Datagram{Local: d.Local, Remote: d.Remote, Data: sa.hs.response}})
	})
}

// exchanged is a responder's half of a key exchange and its result. A public value of the initiator that is none is a
// malformed message (RFC 6989 section 2.5).
type exchanged struct {
	public []byte
	shared secret.Bytes
}

func exchange(g suite.Group, rnd io.Reader, theirs []byte) (x exchanged, err error) {
	x.public, x.shared, err = suite.AnswerKE(g, rnd, theirs)
	return x, err
}

// authRequest finds out who the initiator is, proves who this side is, and then looks at what the initiator may have.
func (e *Engine) authRequest(sa *ikeSA, in inbound, ps []wire.Payload) {
	if len(sa.hs.addKE) > 0 {
		e.answerError(sa, in, refuse(wire.NotifyInvalidSyntax, "2.21.3", "IKE_AUTH while %s are to come", sa.hs.addKE))
		return
	}
	if sa.hs.dialogue != nil {
		e.authGoesOn(sa, in, ps)
		return
	}
	sa.hs.asked(ps)
	e.checkInitiator(sa, ps, func(peer *Peer, err error) {
		if err != nil {
			e.answerError(sa, in, err)
			return
		}
		sa.peer = peer
		idr := peer.LocalID.payload(false)
		peer.authentication(sa.hs).prove(e, sa, idr, func(p proof, err error) {
			if err != nil {
				e.answerError(sa, in, refuse(wire.NotifyAuthenticationFailed, "2.15", "%w", err))
				return
			}
			answer := slices.Concat([]wire.Payload{idr}, p.certificates, p.auth)
			if sa.speaksEAP() {
				e.challenge(sa, in, ps, answer)
				return
			}
			e.answerAuth(sa, in, ps, answer)
		})
	})
}

// answerAuth answers IKE_AUTH of an initiator that is known; answer has the proof of who this side is.
func (e *Engine) answerAuth(sa *ikeSA, in inbound, ps, answer []wire.Payload) {
	if _, wantsChild := wire.Find[*wire.SA](ps); !wantsChild && !e.cfg.Childless { // RFC 6023 section 3
		e.answerError(sa, in, refuse(wire.NotifyInvalidSyntax, "1.2", "IKE_AUTH request without SA"))
		return
	}
	if natDenied(in.at, ps) {
		e.answerError(sa, in, refuse(wire.NotifyUnexpectedNATDetected, "2.23",
			"addresses are changed on the way, and RFC 4555 section 3.9 forbids that"))
		return
	}
	first := wire.FindNotify(ps, wire.NotifyInitialContact) != nil
	ni, nr, began, session := sa.hs.ni, sa.hs.nr, sa.hs.began, sa.hs.session
	answer = append(answer, extensions.answerAuth(e, sa, ps)...)
	if to := sa.peer.RedirectTo; to.IsValid() && sa.redirectable && to != in.at.Local.Addr() {
		e.establish(sa)
		e.up(sa, first, 0)
		e.reply(sa, in, append(answer, redirectTo(to, nil)))
		e.closeLater(sa)
		return
	}

	e.offered(sa, in, ps, withoutGroups(sa.peer.ESP), func(configuration []wire.Payload, ch *acceptance, err error) {
		e.establish(sa)
		e.up(sa, first, 0)
		answer = append(answer, configuration...)
		if err != nil {
			// The Child SA is refused, the IKE_SA stands (RFC 7296 section 1.2).
			e.emit(Dropped{Remote: in.at.Remote, Err: err})
			e.reply(sa, in, append(answer, errorNotify(err)))
		} else {
			if ch != nil {
				ch.complete(e, sa, secrets{}, ni, nr)
				answer = append(answer, ch.payloads()...)
			}
			e.reply(sa, in, answer)
		}
		if session != nil {
			e.resumed(sa, session)
		}
		if first {
			e.supersede(sa.peer.Name, sa, sa.path(), func(old *ikeSA) bool { return old.since < began })
		}
		e.askWanted(sa.peer)
	})
}

// checkInitiator finds the peer with the identity IDi, and goes on with it if AUTH proves that it is that one, or EAP is to
// prove it: whatever its address is, its parameters are chosen by who it is.
func (e *Engine) checkInitiator(sa *ikeSA, ps []wire.Payload, then func(*Peer, error)) {
	unproven := func(format string, args ...any) {
		then(nil, refuse(wire.NotifyAuthenticationFailed, "2.15", format, args...))
	}
	idi := wire.FindID(ps, true)
	if idi == nil {
		unproven("IKE_AUTH request without IDi")
		return
	}
	id := identityOf(idi)
	peer := e.cfg.Peers.ByIdentity(id)
	if peer == nil {
		unproven("nobody here knows %s", id)
		return
	}
	if _, ok := chooseIKE(peer.IKE, acceptIKE(choice[suite.IKESuite]{suite: sa.suite, num: 1}, nil), sa.suite.Group); !ok {
		unproven("%s may not use %s", id, sa.suite)
		return
	}
	ps, err := sa.ppkAsked(peer, ps)
	if err != nil {
		unproven("%s is not proven: %w", id, err)
		return
	}
	peer.authentication(sa.hs).check(e, sa, idi, ps, func(err error) {
		if err != nil {
			unproven("%s is not proven: %w", id, err)
			return
		}
		then(peer, nil)
	})
}
