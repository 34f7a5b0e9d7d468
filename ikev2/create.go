package ikev2

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// negotiation is one Child SA that this side asks for, in IKE_AUTH or CREATE_CHILD_SA.
type negotiation struct {
	demand    spd.Demand
	larva     spd.SAID // our inbound SA, reserved
	proposals []suite.Proposal
	rekeys    *childSA
	renews    *childSA // that it is to replace on another IKE_SA
	on        *ikeSA   // where it is being asked; nil before, and between two attempts
	after     func()   // what follows, whatever comes of it; may be nil
	over      bool

	group   suite.Group // zero without a key exchange of its own
	key     *suite.KEKey
	ni      []byte
	retried bool // INVALID_KE_PAYLOAD has been followed once
	paired  bool // SINGLE_PAIR_REQUIRED has been
}

// rekeyRetry is the wait after a rekeying of a Child SA that was refused.
const rekeyRetry = 30 * time.Second

// retryAfter is the least wait after TEMPORARY_FAILURE, and maxRefusals how many of them in a row are put up with: some
// minutes (RFC 7296 section 2.25).
const (
	retryAfter  = 2 * time.Second
	maxRefusals = 60
)

// fresh reports whether it is for what there is not yet.
func (n *negotiation) fresh() bool { return n.rekeys == nil && n.renews == nil }

// createChild asks for a Child SA in a CREATE_CHILD_SA exchange; rekeys is the one that it is to replace, or nil.
func (e *Engine) createChild(peer *Peer, demand spd.Demand, rekeys *childSA) {
	n := &negotiation{demand: demand, proposals: peer.ESP, rekeys: rekeys, group: firstGroup(peer.ESP)}
	if rekeys != nil {
		rekeys.rekeying.mine.pending = true
	}
	n.start(e)
}

// start makes a negotiation in a CREATE_CHILD_SA exchange.
func (n *negotiation) start(e *Engine) {
	n.begin(e, func(err error) {
		if err != nil {
			n.giveUp(e, err)
			return
		}
		n.prepare(e)
	})
}

// begin lists the negotiation, reserves its SPI and goes on, unless it is over by then. Nil, a negotiation of nothing,
// just goes on.
func (n *negotiation) begin(e *Engine, then func(error)) {
	if n == nil {
		then(nil)
		return
	}
	a := e.association(n.demand.Peer)
	a.underWay = append(a.underWay, n)
	e.allocSPI(n.demand, func(larva spd.SAID, err error) {
		switch {
		case n.over && err == nil:
			e.emit(Remove{larva})
		case n.over:
		case err != nil:
			then(fmt.Errorf("no SPI: %w", err))
		default:
			n.larva = larva
			then(nil)
		}
	})
}

// prepare makes a key if one is wanted, and sends the request.
func (n *negotiation) prepare(e *Engine) {
	if n.group == suite.GroupNone {
		n.send(e)
		return
	}
	group, rnd := n.group, e.cfg.Rand
	compute(e, nil, func() (*suite.KEKey, error) { return suite.GenerateKE(group, rnd) }, func(k *suite.KEKey, err error) {
		if err != nil {
			n.giveUp(e, err)
			return
		}
		n.key = k
		n.send(e)
	})
}

// send asks on the IKE_SA that there is by now. If a movement has ended it, the demand waits for the next.
func (n *negotiation) send(e *Engine) {
	if n.over {
		return
	}
	a := e.association(n.demand.Peer)
	sa := a.current()
	if n.rekeys != nil {
		sa = n.rekeys.ike
	}
	switch {
	case sa != nil && (n.renews == nil || n.renews.ike != sa):
		n.on = sa
		e.ask(sa, n.request(e, sa))
	case n.fresh() && a.starting() != nil:
		a.wanted = append(a.wanted, n.demand)
		n.giveUp(e, nil)
	default:
		n.giveUp(e, errGone)
	}
}

func (n *negotiation) request(e *Engine, sa *ikeSA) *request {
	r := &request{exchange: wire.ExchangeCreateChildSA, children: true}
	r.build = func() []wire.Payload {
		if n.pointless() {
			n.giveUp(e, nil)
			return nil
		}
		n.ni = e.random(nonceLen)
		if n.demand.Unassigned {
			return append(e.wish(sa.peer), n.createPayloads()...)
		}
		return n.createPayloads()
	}
	r.done = func(ps []wire.Payload, err error) { e.childAnswered(sa, n, r, ps, err) }
	r.again = func(*ikeSA) { n.send(e) }
	return r
}

// pointless reports whether the Child SA that was to be rekeyed has gone its way.
func (n *negotiation) pointless() bool {
	old := n.rekeys
	return n.over || old != nil && (old.ike == nil || old.deleting || old.replaced())
}

// createPayloads is the content of a CREATE_CHILD_SA request (RFC 7296 sections 1.3.1 and 1.3.3).
func (n *negotiation) createPayloads() []wire.Payload {
	var ps []wire.Payload
	if n.rekeys != nil {
		ps = append(ps, &wire.Notify{
			Protocol: wire.ProtocolESP, Kind: wire.NotifyRekeySA, SPI: binary.BigEndian.AppendUint32(nil, n.rekeys.in),
		})
	}
	var public []byte
	if n.key != nil {
		public = n.key.Public()
	}
	return append(ps, withExchange(n.payloads(), n.ni, n.group, public)...)
}

// payloads describe the wanted Child SA: N(USE_TRANSPORT_MODE), SA, TSi, TSr.
func (n *negotiation) payloads() []wire.Payload {
	if n == nil {
		return nil
	}
	var ps []wire.Payload
	if n.demand.Mode == spd.Transport {
		ps = append(ps, &wire.Notify{Kind: wire.NotifyUseTransportMode})
	}
	return append(ps, offerESP(n.proposals, n.larva.SPI), n.selectors(true), n.selectors(false))
}

// selectors are TSi or TSr, with that of the packet which made the kernel call first (RFC 7296 section 2.9).
func (n *negotiation) selectors(initiator bool) *wire.TS {
	all, first := n.demand.Traffic.Remote, n.demand.First.Remote
	if initiator {
		all, first = n.demand.Traffic.Local, n.demand.First.Local
	}
	if len(first) == 0 || first[0] == all[0] {
		return &wire.TS{Initiator: initiator, Selectors: all}
	}
	return &wire.TS{Initiator: initiator, Selectors: append(first[:1:1], all...)}
}

// narrowed asks for SAs of the packet's two addresses alone, if that is what the peer requires and it was not asked yet.
func (n *negotiation) narrowed() bool {
	if n.paired || len(n.demand.First.Local) == 0 {
		return false
	}
	between := func(all []spd.TrafficSelector, a netip.Addr) []spd.TrafficSelector {
		return spd.Narrow(all, []spd.TrafficSelector{{PortEnd: 65535, Start: a, End: a}})
	}
	d := &n.demand
	d.Traffic.Local = between(d.Traffic.Local, d.First.Local[0].Start)
	d.Traffic.Remote = between(d.Traffic.Remote, d.First.Remote[0].Start)
	n.paired = true
	return true
}

// withExchange inserts the nonce and, if there is one, the public value after the SA payload, where the figures of the
// RFC have them.
func withExchange(ps []wire.Payload, nonce []byte, group suite.Group, public []byte) []wire.Payload {
	more := []wire.Payload{&wire.Nonce{Data: nonce}}
	if public != nil {
		more = append(more, &wire.KE{Group: uint16(group), Data: public})
	}
	at := slices.IndexFunc(ps, func(p wire.Payload) bool { return p.Type() == wire.PayloadSA }) + 1
	return slices.Insert(ps, at, more...)
}

// childAnswered takes the answer to CREATE_CHILD_SA.
func (e *Engine) childAnswered(sa *ikeSA, n *negotiation, r *request, ps []wire.Payload, err error) {
	if n.over {
		return
	}
	if err == nil {
		err = errorIn(ps)
	}
	switch {
	case err == nil:
		sa.refusals = 0
		e.childAgreed(sa, n, r, ps)
	case answered(err, wire.NotifyTemporaryFailure):
		n.on = nil
		if !e.tryLater(sa, func() { n.send(e) }) {
			n.giveUp(e, err)
		}
	case answered(err, wire.NotifyInvalidKEPayload) && !n.retried:
		group, ok := otherGroup(ps, n.proposals, n.group)
		if !ok {
			n.giveUp(e, err)
			return
		}
		n.on, n.retried, n.group = nil, true, group
		n.prepare(e)
	case answered(err, wire.NotifySinglePairRequired) && n.narrowed():
		n.on = nil
		n.prepare(e)
	case answered(err, wire.NotifyChildSANotFound) && n.rekeys != nil:
		e.notThere(n)
	default:
		n.giveUp(e, err)
	}
}

// tryLater does something again after TEMPORARY_FAILURE, both sides at moments of their own. A peer that answers nothing
// else for minutes has another idea of what there is: then the IKE_SA is closed and nothing tried (RFC 7296 section 2.25).
func (e *Engine) tryLater(sa *ikeSA, again func()) bool {
	sa.refusals++
	if sa.refusals > maxRefusals {
		e.terminate(sa)
		return false
	}
	e.after(retryAfter+retryAfter*time.Duration(e.random(1)[0])/256, again)
	return true
}

// notThere: the peer does not know the Child SA to be rekeyed (RFC 7296 section 2.25). Either it has just rekeyed it
// itself, or it has lost it: then a new one is made from scratch.
func (e *Engine) notThere(n *negotiation) {
	old, sa := n.rekeys, n.on
	lost := !n.pointless()
	n.giveUp(e, nil)
	e.removeChild(old, "the peer does not know it")
	if lost {
		e.createChild(sa.peer, n.demand, nil)
	}
}

// childAgreed goes on with a response that has no error.
func (e *Engine) childAgreed(sa *ikeSA, n *negotiation, r *request, ps []wire.Payload) {
	if n.demand.Unassigned {
		e.wishAnswered(sa.peer, ps)
	}
	c, err := n.accepted(e, ps)
	nonce, okN := wire.Find[*wire.Nonce](ps)
	switch {
	case err != nil:
	case !okN:
		err = errors.New("CREATE_CHILD_SA response without Nr")
	case c.suite.Group == suite.GroupNone:
		n.complete(e, sa, c, secrets{}, n.ni, nonce.Data)
		return
	}
	if err != nil {
		n.reject(e, sa, err)
		return
	}
	restart := func() {
		n.on = nil
		n.prepare(e)
	}
	x := &keyExchanges{
		sa: sa, children: true, left: c.suite.AddKE.Steps(),
		over:  func() bool { return n.over },
		again: func(*ikeSA) { restart() },
		then: func(shared secrets, err error) {
			var refusal *peerError
			switch {
			case n.over:
			case err == nil:
				n.complete(e, sa, c, shared, n.ni, nonce.Data)
			case answered(err, wire.NotifyStateNotFound) && e.tryLater(sa, restart):
			case errors.As(err, &refusal):
				n.giveUp(e, err)
			default:
				n.reject(e, sa, err)
			}
		},
	}
	x.take(e, r, c.suite.Group, n.key, ps)
}

// accepted checks the peer's answer against what was asked.
func (n *negotiation) accepted(e *Engine, ps []wire.Payload) (*childSA, error) {
	answer, ok := wire.Find[*wire.SA](ps)
	if !ok {
		return nil, errors.New("the answer has no SA")
	}
	c, ok := answeredESP(n.proposals, answer)
	if !ok || espSPI(c.spi) == 0 || c.suite.Group != suite.GroupNone && c.suite.Group != n.group {
		return nil, errors.New("the answer chooses what was not offered")
	}
	traffic, err := trafficOf(ps, true)
	if err != nil {
		return nil, err
	}
	if n.demand.Mode == spd.Transport && n.on.carries(n.demand) {
		traffic = n.on.asSeen(traffic) // before all else: RFC 7296 section 2.23.1
	}
	if !spd.CoveredBy(traffic.Local, n.demand.Traffic.Local) || !spd.CoveredBy(traffic.Remote, n.demand.Traffic.Remote) {
		return nil, fmt.Errorf("the answer's traffic selectors %v, %v are wider than asked", traffic.Local, traffic.Remote)
	}
	if transport := wire.FindNotify(ps, wire.NotifyUseTransportMode) != nil; transport != (n.demand.Mode == spd.Transport) {
		return nil, fmt.Errorf("the peer does not agree to %s mode", n.demand.Mode)
	}
	if n.demand.Unassigned {
		if err := e.toAssigned(&n.demand, traffic.Local); err != nil {
			return nil, err
		}
	}
	d := n.demand
	d.Traffic = traffic
	return &childSA{demand: d, in: n.larva.SPI, out: espSPI(c.spi), suite: c.suite, mine: true}, nil
}

// trafficOf reads TSi and TSr as this side sees them: the initiator of the exchange is local if asked is.
func trafficOf(ps []wire.Payload, asked bool) (spd.Traffic, error) {
	local, remote := wire.FindTS(ps, asked), wire.FindTS(ps, !asked)
	if local == nil || remote == nil || len(local.Selectors) == 0 || len(remote.Selectors) == 0 {
		return spd.Traffic{}, refuse(wire.NotifyTSUnacceptable, "2.9",
			"TSi or TSr is missing or has no selector that is understood")
	}
	return spd.Traffic{Local: local.Selectors, Remote: remote.Selectors}, nil
}

// complete makes the Child SA of a good answer, unless the peer has deleted it by now: its Delete may overtake its answer.
func (n *negotiation) complete(e *Engine, sa *ikeSA, c *childSA, shared secrets, ni, nr []byte) {
	if slices.Contains(sa.early, c.out) {
		n.giveUp(e, errors.New("the peer has deleted it again"))
		return
	}
	c.demand.Local, c.demand.Remote = n.demand.Local, n.demand.Remote // they may have moved meanwhile
	toPeer, toUs := childKeys(sa, c.suite, shared, ni, nr)
	n.end(e)
	e.install(sa, c, n.larva, toUs, toPeer, cmp.Or(n.rekeys, n.renews))
	if n.rekeys != nil {
		n.rekeys.rekeying.mine = attempt[childSA]{made: c, nonce: lower(ni, nr)}
		e.settleChild(n.rekeys)
	}
	n.goOn()
}

func (n *negotiation) goOn() {
	if n.after != nil {
		n.after()
	}
}

// reject gives a Child SA up that the peer has made by its answer, and tells it so.
func (n *negotiation) reject(e *Engine, sa *ikeSA, err error) {
	n.giveUp(e, err)
	e.askDelete(sa, n.larva.SPI)
}

// giveUp ends a negotiation that came to nothing; the role is told of err, if there is one. A Child SA that could not be
// rekeyed stays until its hard lifetime, but for one that may not have moved with its policies.
func (n *negotiation) giveUp(e *Engine, err error) {
	if n == nil || n.over {
		return
	}
	n.end(e)
	if n.larva.SPI != 0 {
		e.emit(Remove{n.larva})
	}
	old := cmp.Or(n.rekeys, n.renews)
	var refusal *peerError
	switch {
	case old == nil && err != nil:
		e.failed(n.demand, err)
		if errors.As(err, &refusal) { // then it has none that would go with ours
			e.adopt(n.demand.Peer, n.demand, "not set up anew after a movement")
		}
	case old != nil && old.ike != nil && err != nil:
		e.emit(Dropped{Remote: old.ike.remote, Err: fmt.Errorf("rekeying %s: %w", n.demand, err)})
	}
	if n.rekeys != nil {
		old.rekeying.mine.pending = false
		e.settleChild(old)
		switch {
		case old.ike == nil || err == nil:
		case len(old.former) > 0:
			e.deleteChild(old, "not where its policies are, and not to be replaced")
		default: // the kernel does not say a second time that its life is about to end
			e.after(rekeyRetry, func() { e.rekeyChild(old) })
		}
	}
	n.goOn()
}

// end takes a negotiation off the list of those under way.
func (n *negotiation) end(e *Engine) {
	n.over = true
	if a := e.peers[n.demand.Peer]; a != nil {
		a.underWay = slices.DeleteFunc(a.underWay, func(other *negotiation) bool { return other == n })
		e.tidy(n.demand.Peer)
	}
}
