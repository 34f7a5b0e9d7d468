package ikev2

import (
	"errors"
	"fmt"
	"net/netip"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// Port is where IKE is spoken (RFC 7296 section 2).
const Port = 500

const nonceLen = 32

// maxCookies bounds how often one IKE_SA_INIT is started over for a cookie (RFC 7296 section 2.6).
const maxCookies = 5

// initiate begins an IKE_SA with a peer; what is wanted waits in the association.
func (e *Engine) initiate(peer *Peer, path spd.Path) *ikeSA {
	sa := &ikeSA{
		own: e.newSPI(), initiator: true, peer: peer, agreed: agreed{original: true}, startedAt: e.now,
		local: netip.AddrPortFrom(path.Local, Port), remote: netip.AddrPortFrom(path.Remote, Port),
		hs: &handshake{began: e.nextID(), ni: e.random(nonceLen), group: firstGroup(peer.IKE)},
	}
	e.sas[sa.own] = sa
	e.join(sa)
	if e.ending {
		e.after(0, func() { e.lose(sa, errEnding) })
		return sa
	}
	if peer.EAP != nil && !peer.EAP.Proves {
		e.after(0, func() { e.lose(sa, errNotToBegin) })
		return sa
	}
	e.begin(sa)
	return sa
}

// generate makes the key of the handshake's group, then sends IKE_SA_INIT with it. Until then no answer counts.
func (e *Engine) generate(sa *ikeSA) {
	sa.outstanding = nil
	group, rnd := sa.hs.group, e.cfg.Rand
	compute(e, sa, func() (*suite.KEKey, error) { return suite.GenerateKE(group, rnd) }, func(k *suite.KEKey, err error) {
		if err != nil {
			e.lose(sa, err)
			return
		}
		sa.hs.key = k
		e.sendInit(sa)
	})
}

// sendInit sends the IKE_SA_INIT request; again from the start when a cookie or another group is asked for.
func (e *Engine) sendInit(sa *ikeSA) {
	hs := sa.hs
	var ps []wire.Payload
	if hs.cookie != nil {
		ps = append(ps, &wire.Notify{Kind: wire.NotifyCookie, Data: hs.cookie})
	}
	ps = append(ps, offerIKE(sa.peer.IKE, nil),
		&wire.KE{Group: uint16(hs.group), Data: hs.key.Public()}, &wire.Nonce{Data: hs.ni})
	ps = append(ps, extensions.offerInit(e, sa)...)
	h := sa.header(wire.ExchangeIKESAInit, 0, false)
	hs.request = e.clear(Datagram{Local: sa.local, Remote: sa.remote}, h, ps)
	e.stop(sa.retransmit)
	e.transmit(sa, &request{exchange: wire.ExchangeIKESAInit, sent: [][]byte{hs.request}})
}

// initResponse takes the answer to IKE_SA_INIT. Nothing protects it: what makes no sense is dropped, so that a forger
// cannot end the handshake before the true answer comes (RFC 7296 section 2.21.1).
func (e *Engine) initResponse(sa *ikeSA, d Datagram, h wire.Header) {
	hs := sa.hs
	if hs == nil || hs.response != nil || sa.outstanding == nil || !h.Response || h.MessageID != 0 {
		e.drop(d, fmt.Errorf("%s response to no request of ours", h.Exchange))
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil {
		e.drop(d, err)
		return
	}
	e.traced(false, d, m.Header, m.Payloads, nil)
	if n := wire.FindNotify(m.Payloads, wire.NotifyCookie); n != nil {
		e.again(sa, d, hs.cookies < maxCookies && len(n.Data) > 0 && len(n.Data) <= 64, func() {
			hs.cookies++
			hs.cookie = n.Data
			e.sendInit(sa)
		})
		return
	}
	if wire.FindNotify(m.Payloads, wire.NotifyInvalidKEPayload) != nil {
		group, ok := otherGroup(m.Payloads, sa.peer.IKE, hs.group)
		e.again(sa, d, ok && !hs.retried, func() {
			hs.retried, hs.group = true, group
			e.stop(sa.retransmit)
			e.generate(sa)
		})
		return
	}
	if wire.FindNotify(m.Payloads, wire.NotifyRedirect) != nil {
		if to, ok := e.redirected(sa, m.Payloads, hs.ni); ok {
			e.followInit(sa, to)
		}
		return
	}
	if err := errorIn(m.Payloads); err != nil {
		// Nobody need believe an unprotected refusal, but nothing better may come: the retransmissions decide.
		e.drop(d, err)
		return
	}
	e.initAnswered(sa, d, m)
}

// again starts IKE_SA_INIT over if the answer that asks for it is reasonable.
func (e *Engine) again(sa *ikeSA, d Datagram, reasonable bool, start func()) {
	if !reasonable {
		e.drop(d, fmt.Errorf("%s: an unreasonable demand to start over", wire.ExchangeIKESAInit))
		return
	}
	start()
}

// initAnswered checks the responder's choice and makes the keys.
func (e *Engine) initAnswered(sa *ikeSA, d Datagram, m *wire.Message) {
	hs := sa.hs
	offered, okSA := wire.Find[*wire.SA](m.Payloads)
	ke, okKE := wire.Find[*wire.KE](m.Payloads)
	nonce, okN := wire.Find[*wire.Nonce](m.Payloads)
	if !okSA || !okKE || !okN || m.SPIr == 0 {
		e.drop(d, errors.New("IKE_SA_INIT response without SA, KE, Nr or SPI"))
		return
	}
	c, ok := answeredIKE(sa.peer.IKE, offered)
	unable := c.suite.AddKE != suite.AddKE{} && !knowsIntermediate(m.Payloads)
	if !ok || unable || c.suite.Group != hs.group || suite.Group(ke.Group) != hs.group {
		e.drop(d, errors.New("IKE_SA_INIT response chooses what was not offered"))
		return
	}
	if sa.peer.PPK.required() && !offersPPK(m.Payloads) {
		// Perhaps forged: RFC 8784 section 6 waits for another answer.
		e.drop(d, errors.New("IKE_SA_INIT response without USE_PPK, which is required"))
		return
	}
	hs.response, hs.nr = d.Data, nonce.Data
	e.stop(sa.retransmit)
	compute(e, sa, func() (secret.Bytes, error) { return hs.key.Shared(ke.Data) }, func(shared secret.Bytes, err error) {
		if err == nil {
			sa.other, sa.suite = m.SPIr, c.suite
			err = deriveIKE(sa, firstSeed(c.suite.PRF, shared, hs.ni, hs.nr), hs.ni, hs.nr)
		}
		if err != nil {
			// Perhaps forged: wait for another answer.
			e.drop(d, err)
			hs.response = nil
			e.scheduleRetransmit(sa, sa.outstanding)
			return
		}
		extensions.initAnswered(e, sa, m.Payloads)
		sa.outstanding = nil
		sa.nextSend = 1
		e.beforeAuth(sa)
	})
}

// authenticate proves who this side is, and sends IKE_AUTH with the first Child SA that is wanted (RFC 4877 section 7.3:
// the one for BU and BA).
func (e *Engine) authenticate(sa *ikeSA) {
	id := sa.peer.LocalID.payload(true)
	way := sa.peer.authentication(sa.hs)
	sa.withPPK(func(then func(proof, error)) { way.prove(e, sa, id, then) }, func(p proof, err error) {
		var n *negotiation
		if err == nil {
			n, err = e.firstChild(sa)
		}
		if err != nil {
			e.lose(sa, err)
			return
		}
		n.begin(e, func(err error) {
			if err != nil {
				e.lose(sa, err)
				return
			}
			e.askAuth(sa, id, p, n)
		})
	})
}

// askAuth sends the IKE_AUTH request, its payloads in the order of RFC 7296 appendix C.2; for a nil negotiation of no
// Child SA.
func (e *Engine) askAuth(sa *ikeSA, id *wire.ID, p proof, n *negotiation) {
	ps := append([]wire.Payload{id}, p.certificates...)
	if len(e.association(sa.peer.Name).sas) == 1 && !sa.hs.met {
		ps = append(ps, &wire.Notify{Kind: wire.NotifyInitialContact})
	}
	ps = append(ps, p.request...)
	ps = append(append(ps, sa.peer.RemoteID.payload(false)), p.auth...)
	ps = append(ps, extensions.offerAuth(e, sa)...)
	ps = append(ps, n.payloads()...)
	e.ask(sa, &request{
		exchange: wire.ExchangeIKEAuth,
		build:    func() []wire.Payload { return ps },
		done: func(ps []wire.Payload, err error) {
			if err != nil {
				e.lose(sa, err)
				return
			}
			e.checkResponder(sa, ps, func(err error) {
				if err == nil && sa.speaksEAP() {
					e.converse(sa, n, ps)
					return
				}
				e.authAnswered(sa, n, ps, err)
			})
		},
	})
}

// authAnswered completes IKE_SA and first Child SA, unless err says that the responder is not who it should be.
func (e *Engine) authAnswered(sa *ikeSA, n *negotiation, ps []wire.Payload, err error) {
	var unproven *identityError
	switch {
	case errors.As(err, &unproven):
		n.giveUp(e, err)
		e.disown(sa, err)
		return
	case err != nil && sa.hs.session != nil:
		e.resumptionRefused(sa, err)
		return
	case err != nil:
		e.lose(sa, err)
		return
	}
	if to, ok := e.redirected(sa, ps, nil); ok {
		e.followAuth(sa, to)
		return
	}
	first := wire.FindNotify(ps, wire.NotifyInitialContact) != nil
	ni, nr, began, renews := sa.hs.ni, sa.hs.nr, sa.hs.began, sa.hs.renews
	extensions.authAnswered(e, sa, ps)
	e.establish(sa)
	e.up(sa, first, 0)
	done := n.authAnswered(e, sa, ps, ni, nr)
	if renews != nil {
		e.renew(renews, sa, done)
	}
	if first {
		e.supersede(sa.peer.Name, sa, sa.path(), func(old *ikeSA) bool { return old.since < began })
	}
	e.askWanted(sa.peer)
}

// authAnswered takes the part of the answer that is about the Child SA, and says which that is. The IKE_SA stands in any
// case (RFC 7296 section 1.2).
func (n *negotiation) authAnswered(e *Engine, sa *ikeSA, ps []wire.Payload, ni, nr []byte) []spd.Demand {
	if n == nil {
		return nil
	}
	if err := errorIn(ps); answered(err, wire.NotifySinglePairRequired) && n.narrowed() {
		n.on, n.proposals, n.group = nil, sa.peer.ESP, firstGroup(sa.peer.ESP)
		n.prepare(e)
	} else if err != nil {
		n.giveUp(e, err)
	} else if c, err := n.accepted(e, ps); err != nil {
		n.reject(e, sa, err)
	} else {
		n.complete(e, sa, c, secrets{}, ni, nr)
	}
	return []spd.Demand{n.demand}
}

// disown ends an IKE_SA whose responder is not who it should be, but has established it (RFC 7296 section 2.21.2). The
// notification alone should end it; libreswan (4.10) needs the Delete.
func (e *Engine) disown(sa *ikeSA, why error) {
	e.close(sa, why, &wire.Notify{Kind: wire.NotifyAuthenticationFailed}, &wire.Delete{Protocol: wire.ProtocolIKE})
	e.failStranded(sa.peer.Name, why)
}

// identityError says that a peer has not proven to be who it should be.
type identityError struct{ reason string }

func (i *identityError) Error() string { return i.reason }

// checkResponder goes on without an error if IDr and AUTH are those of the peer.
func (e *Engine) checkResponder(sa *ikeSA, ps []wire.Payload, then func(error)) {
	idr := wire.FindID(ps, false)
	_, okAuth := wire.Find[*wire.Auth](ps)
	if idr == nil || !okAuth {
		err := errorIn(ps)
		if err == nil {
			err = errors.New("IKE_AUTH response without IDr or AUTH")
		}
		then(err)
		return
	}
	if got := identityOf(idr); got.Folded() != sa.peer.RemoteID.Folded() {
		then(&identityError{fmt.Sprintf("the peer says that it is %s, not %s", got, sa.peer.RemoteID)})
		return
	}
	if err := sa.ppkAnswered(ps); err != nil {
		then(err)
		return
	}
	sa.peer.authentication(sa.hs).check(e, sa, idr, ps, func(err error) {
		if err != nil {
			err = &identityError{fmt.Sprintf("%s is not proven: %v", sa.peer.RemoteID, err)}
		}
		then(err)
	})
}
