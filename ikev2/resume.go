package ikev2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// resumption lets an initiator begin anew without key exchange and authentication, with a ticket that it has asked the
// responder for (RFC 5723).
type resumption struct{ silent }

func (resumption) offerAuth(_ *Engine, sa *ikeSA) []wire.Payload { return ticketRequest(sa) }

func (resumption) answerAuth(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload {
	if s := sa.hs.session; s != nil {
		e.usedTickets.add(e.now, sa.hs.ticket, s.expires)
	}
	return e.giveTicket(sa, request)
}

func (resumption) authAnswered(e *Engine, sa *ikeSA, response []wire.Payload) {
	delete(e.sessions, sa.peer.Name) // used, or in vain
	e.takeTicket(sa, response)
}

// resumable are the extensions whose part of IKE_SA_INIT is in IKE_SESSION_RESUME, too.
var resumable = extensionList{natDetection{}, fragmentation{}, childless{}}

func ticketRequest(sa *ikeSA) []wire.Payload {
	if !sa.peer.Resumption {
		return nil
	}
	return []wire.Payload{&wire.Notify{Kind: wire.NotifyTicketRequest}}
}

// giveTicket answers a request for a ticket. It is good for as long as IKE_SA and authentication are, at most.
func (e *Engine) giveTicket(sa *ikeSA, request []wire.Payload) []wire.Payload {
	if wire.FindNotify(request, wire.NotifyTicketRequest) == nil || !sa.peer.Resumption || sa.original {
		return nil
	}
	life := maxTicketLife
	if ike := sa.peer.IKELifetime; ike > 0 {
		life = min(life, ike)
	}
	if !sa.authEnds.IsZero() {
		life = min(life, sa.authEnds.Sub(e.now))
	}
	life = life.Truncate(time.Second)
	if len(e.cfg.Secret) == 0 || life <= 0 {
		return []wire.Payload{&wire.Notify{Kind: wire.NotifyTicketNACK}}
	}
	e.revoke(sa)
	s := &session{
		suite: sa.suite, d: sa.keys.d, idi: sa.peer.RemoteID, idr: sa.peer.LocalID, proof: sa.peer.proof(), ppk: sa.ppk,
		authEnds: sa.authEnds, expires: e.now.Add(life), issuer: sa.own,
	}
	ticket, id := e.sealTicket(s)
	sa.ticket, sa.ticketEnds = id, s.expires
	data := append(binary.BigEndian.AppendUint32(nil, uint32(life/time.Second)), ticket...)
	return []wire.Payload{&wire.Notify{Kind: wire.NotifyTicketLTOpaque, Data: data}}
}

// takeTicket keeps a ticket that the responder gives.
func (e *Engine) takeTicket(sa *ikeSA, ps []wire.Payload) {
	n := wire.FindNotify(ps, wire.NotifyTicketLTOpaque)
	if n == nil || len(n.Data) <= 4 || !sa.peer.Resumption || !sa.original {
		return
	}
	life := time.Duration(binary.BigEndian.Uint32(n.Data)) * time.Second
	e.sessions[sa.peer.Name] = &session{
		suite: sa.suite, d: append(secret.Bytes(nil), sa.keys.d...), expires: e.now.Add(min(life, maxTicketLife)),
		ppk: sa.ppk, authEnds: sa.authEnds, issuer: sa.other, ticket: append([]byte(nil), n.Data[4:]...),
	}
}

// revoke makes an IKE_SA's ticket worthless, as it is deleted or replaced (RFC 5723 section 6.2).
func (e *Engine) revoke(sa *ikeSA) {
	e.usedTickets.add(e.now, sa.ticket, sa.ticketEnds)
	if sa.peer == nil {
		return
	}
	if s := e.sessions[sa.peer.Name]; s != nil && s.issuer == sa.other {
		delete(e.sessions, sa.peer.Name)
	}
}

// begin begins an IKE_SA by what there is for it: a ticket, or a full exchange.
func (e *Engine) begin(sa *ikeSA) {
	s := e.sessions[sa.peer.Name]
	if s == nil || !e.now.Before(s.expires) {
		e.generate(sa)
		return
	}
	sa.hs.session, sa.suite = s, s.suite
	// One who does not know of it does not answer.
	sa.giveUp = e.after(resumePatience*e.cfg.Timing.Retransmit, func() { e.beginFully(sa) })
	e.sendResume(sa)
}

// resumePatience is after how many times the first retransmission's wait a full exchange begins: it is sent three times.
const resumePatience = 6

// beginFully gives the ticket up.
func (e *Engine) beginFully(sa *ikeSA) {
	e.stop(sa.giveUp)
	e.stop(sa.retransmit)
	sa.hs.session, sa.hs.cookie, sa.hs.response, sa.other, sa.ppk = nil, nil, nil, 0, false
	e.generate(sa)
}

// sendResume sends the IKE_SESSION_RESUME request; again when a cookie is asked for.
func (e *Engine) sendResume(sa *ikeSA) {
	hs := sa.hs
	var ps []wire.Payload
	if hs.cookie != nil {
		ps = append(ps, &wire.Notify{Kind: wire.NotifyCookie, Data: hs.cookie})
	}
	ps = append(ps, &wire.Nonce{Data: hs.ni}, &wire.Notify{Kind: wire.NotifyTicketOpaque, Data: hs.session.ticket})
	ps = append(ps, resumable.offerInit(e, sa)...)
	hs.request = e.clear(sa.here(), sa.header(wire.ExchangeSessionResume, 0, false), ps)
	e.stop(sa.retransmit)
	e.transmit(sa, &request{exchange: wire.ExchangeSessionResume, sent: [][]byte{hs.request}})
}

// resumeResponse takes the answer to IKE_SESSION_RESUME. Nothing protects it, as in IKE_SA_INIT; but a refusal can be
// believed, as a full exchange follows.
func (e *Engine) resumeResponse(sa *ikeSA, d Datagram, h wire.Header) {
	hs := sa.hs
	if hs == nil || hs.session == nil || hs.response != nil || !h.Response || h.MessageID != 0 {
		e.drop(d, fmt.Errorf("%s response to no request of ours", h.Exchange))
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil {
		e.drop(d, err)
		return
	}
	e.traced(false, d, m.Header, m.Payloads, nil)
	nonce, ok := wire.Find[*wire.Nonce](m.Payloads)
	switch cookie := wire.FindNotify(m.Payloads, wire.NotifyCookie); {
	case cookie != nil:
		e.again(sa, d, hs.cookies < maxCookies && len(cookie.Data) > 0 && len(cookie.Data) <= 64, func() {
			hs.cookies++
			hs.cookie = cookie.Data
			e.sendResume(sa)
		})
	case wire.FindNotify(m.Payloads, wire.NotifyTicketNACK) != nil || errorIn(m.Payloads) != nil:
		delete(e.sessions, sa.peer.Name)
		e.drop(d, errors.New("the peer does not take the ticket"))
		e.beginFully(sa)
	case !ok || m.SPIr == 0:
		e.drop(d, errors.New("IKE_SESSION_RESUME response without Nr or SPI"))
	default:
		hs.response, hs.nr, sa.other = d.Data, nonce.Data, m.SPIr
		if err := resumeKeys(sa); err != nil {
			e.drop(d, err)
			e.beginFully(sa)
			return
		}
		e.stop(sa.giveUp)
		e.stop(sa.retransmit)
		resumable.initAnswered(e, sa, m.Payloads)
		sa.outstanding, sa.nextSend = nil, 1
		e.authenticate(sa)
	}
}

// resumeKeys makes the keys of an IKE_SA that resumes another (RFC 5723 section 5.1).
func resumeKeys(sa *ikeSA) error {
	hs := sa.hs
	sa.ppk = hs.session.ppk
	return deriveIKE(sa, sa.suite.PRF.Sum(hs.session.d, []byte("Resumption"), hs.ni, hs.nr), hs.ni, hs.nr)
}

// resumptionRefused begins an IKE_SA fully after IKE_AUTH has not resumed another. What it was to bring is wanted again.
func (e *Engine) resumptionRefused(sa *ikeSA, why error) {
	delete(e.sessions, sa.peer.Name)
	a, alone := e.association(sa.peer.Name), sa.hs.alone
	sa.hs.alone = false
	e.reclaim(a, sa)
	e.forget(sa, why)
	e.initiate(sa.peer, sa.path()).hs.alone = alone
}

// resumeRequest answers an IKE_SESSION_RESUME request: what costs nothing first.
func (e *Engine) resumeRequest(d Datagram, h wire.Header) {
	key := initKeyOf(d)
	if e.repeated(d, key) {
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil {
		e.drop(d, err)
		return
	}
	nonce, okN := wire.Find[*wire.Nonce](m.Payloads)
	presented := wire.FindNotify(m.Payloads, wire.NotifyTicketOpaque)
	if len(e.cfg.Secret) == 0 || !okN || presented == nil || h.MessageID != 0 || h.SPIi == 0 {
		e.drop(d, errors.New("IKE_SESSION_RESUME request without Ni, ticket or SPI, or resumption is off"))
		return
	}
	e.traced(false, d, m.Header, m.Payloads, nil)
	if !e.admits(d, m, nonce.Data) {
		return
	}
	s, id, err := e.openTicket(presented.Data)
	if err == nil && e.usedTickets.has(id, s.expires) {
		err = errTicketUsed
	}
	if err != nil {
		e.refuseUnprotected(d, h, &wire.Notify{Kind: wire.NotifyTicketNACK})
		e.drop(d, err)
		return
	}
	sa := &ikeSA{
		own: e.newSPI(), other: h.SPIi, local: d.Local, remote: d.Remote, suite: s.suite, begun: key, startedAt: e.now,
		hs: &handshake{began: e.nextID(), ni: nonce.Data, nr: e.random(nonceLen), request: d.Data, session: s, ticket: id},
	}
	e.halfOpened(sa)
	if err := resumeKeys(sa); err != nil {
		e.drop(d, err)
		e.lose(sa, err)
		return
	}
	ps := append([]wire.Payload{&wire.Nonce{Data: sa.hs.nr}}, resumable.answerInit(e, sa, m.Payloads)...)
	sa.hs.response = e.clear(d, sa.header(wire.ExchangeSessionResume, 0, true), ps)
	sa.nextReceive = 1
	e.emit(Send{Datagram{Local: d.Local, Remote: d.Remote, Data: sa.hs.response}})
}

var (
	errTicketUsed = errors.New("the ticket has been used, or its IKE_SA was deleted")
	errResumed    = errors.New("resumed by another IKE_SA")
)

// resumed drops the IKE_SA that another one has resumed, without a word (RFC 5723 section 4.3.4).
func (e *Engine) resumed(sa *ikeSA, s *session) {
	if old := e.sas[s.issuer]; old != nil && old != sa && old.established && old.peer == sa.peer {
		e.reclaim(e.association(sa.peer.Name), old)
		e.lose(old, errResumed)
	}
}

// byTicket is what both prove in an IKE_SA that resumes another: that they have the keys of that one (RFC 5723 section
// 4.3.3).
type byTicket struct{}

func (byTicket) mac(sa *ikeSA, id *wire.ID) secret.Bytes {
	key := sa.keys.pi
	if !id.Initiator {
		key = sa.keys.pr
	}
	return sa.suite.PRF.Sum(key, sa.signed(id))
}

func (b byTicket) prove(_ *Engine, sa *ikeSA, id *wire.ID, then func(proof, error)) {
	then(proof{auth: []wire.Payload{&wire.Auth{Method: wire.AuthSharedKey, Data: b.mac(sa, id)}}}, nil)
}

func (b byTicket) check(e *Engine, sa *ikeSA, id *wire.ID, ps []wire.Payload, then func(error)) {
	s := sa.hs.session
	claim, ok := wire.Find[*wire.Auth](ps)
	switch {
	case !ok:
		then(lacking(ps, "AUTH"))
	case claim.Method != wire.AuthSharedKey || !b.mac(sa, id).Equal(claim.Data):
		then(errors.New("it does not have the keys of the IKE_SA that is to be resumed"))
	case !sa.initiator && identityOf(id) != s.idi:
		then(fmt.Errorf("the ticket is of %s", s.idi))
	case !sa.initiator && e.usedTickets.has(sa.hs.ticket, s.expires):
		then(errTicketUsed)
	default:
		then(nil)
	}
}
