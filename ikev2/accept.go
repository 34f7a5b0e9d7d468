package ikev2

import (
	"errors"
	"slices"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// acceptance is one Child SA that the peer asks for and the role has granted.
type acceptance struct {
	peer   string
	choice choice[suite.ESPSuite]
	demand spd.Demand
	larva  spd.SAID // our inbound SA, reserved
	rekeys *childSA
}

// offered goes through what comes with a request for a Child SA: a wish for addresses first, as what is assigned decides
// for which traffic the Child SA may be; what is to be told of it comes before the answer's SA payload.
func (e *Engine) offered(
	sa *ikeSA, in inbound, ps []wire.Payload, ours []suite.Proposal, then func([]wire.Payload, *acceptance, error),
) {
	e.configure(sa, ps, func(configuration []wire.Payload, err error) {
		if err != nil {
			then(nil, nil, err)
			return
		}
		e.offeredChild(sa, in, ps, ours, func(ch *acceptance, err error) { then(configuration, ch, err) })
	})
}

// offeredChild goes through what a peer's request for a Child SA needs: a proposal in common, the role's consent to the
// traffic, an SPI. In IKE_AUTH the request may be for none at all: then neither acceptance nor error.
func (e *Engine) offeredChild(
	sa *ikeSA, in inbound, ps []wire.Payload, ours []suite.Proposal, then func(*acceptance, error),
) {
	offered, ok := wire.Find[*wire.SA](ps)
	if !ok {
		then(nil, nil)
		return
	}
	ke, _ := wire.Find[*wire.KE](ps)
	var group suite.Group
	if ke != nil {
		group = suite.Group(ke.Group)
	}
	c, ok := chooseESP(ours, offered, group)
	if !ok || espSPI(c.spi) == 0 {
		then(nil, refuse(wire.NotifyNoProposalChosen, "2.7", "no ESP proposal of %s is acceptable", sa.peer.Name))
		return
	}
	traffic, err := trafficOf(ps, false)
	if err != nil {
		then(nil, err)
		return
	}
	mode := spd.Tunnel
	if wire.FindNotify(ps, wire.NotifyUseTransportMode) != nil {
		mode = spd.Transport
	}
	e.consentBehindNAT(sa, spd.Request{
		Peer: sa.peer.Name, Mode: mode, Traffic: traffic, Path: sa.path(),
	}, func(d spd.Demand, err error) {
		if err == nil && d.Mode != mode {
			err = refuse(wire.NotifyNoProposalChosen, "1.3.1", "the policy wants %s mode, not %s", d.Mode, mode)
		}
		if err != nil {
			then(nil, err)
			return
		}
		ch := &acceptance{peer: sa.peer.Name, choice: c, demand: d}
		a := e.association(ch.peer)
		a.granted = append(a.granted, ch)
		e.allocSPI(d, func(larva spd.SAID, err error) {
			if err != nil {
				err = refuse(wire.NotifyTemporaryFailure, "2.25", "no SPI: %w", err)
			} else {
				ch.larva = larva
			}
			if err != nil || sa.gone != nil {
				ch.giveUp(e)
			}
			if sa.gone == nil {
				then(ch, err)
			}
		})
	})
}

// consent asks the role and goes on with what it grants.
func (e *Engine) consent(sa *ikeSA, r spd.Request, then func(spd.Demand, error)) {
	r.Request = e.nextID()
	e.requests[r.Request] = func(g spd.Grant) {
		switch {
		case sa.gone != nil:
		case errors.Is(g.Err, spd.ErrUnassigned):
			then(spd.Demand{}, refuse(wire.NotifyFailedCPRequired, "2.19", "%w", g.Err))
		case errors.Is(g.Err, spd.ErrSinglePair):
			then(spd.Demand{}, refuse(wire.NotifySinglePairRequired, "2.9", "%w", g.Err))
		case g.Err != nil:
			then(spd.Demand{}, refuse(wire.NotifyTSUnacceptable, "2.9", "%w", g.Err))
		default:
			d := g.Demand
			if d.Mode == spd.Tunnel && d.Local == r.Path.Local && d.Remote == r.Path.Remote {
				d.Local, d.Remote = sa.local.Addr(), sa.remote.Addr() // they may have moved meanwhile
			}
			then(d, nil)
		}
	}
	e.notify(r)
}

// complete installs the pair.
func (ch *acceptance) complete(e *Engine, sa *ikeSA, shared secrets, ni, nr []byte) {
	ch.end(e)
	c := &childSA{demand: ch.demand, in: ch.larva.SPI, out: espSPI(ch.choice.spi), suite: ch.choice.suite}
	toUs, toPeer := childKeys(sa, c.suite, shared, ni, nr)
	e.install(sa.heir(), c, ch.larva, toUs, toPeer, ch.rekeys)
	if old := ch.rekeys; old != nil {
		old.rekeying.theirs = attempt[childSA]{made: c, nonce: lower(ni, nr)}
	}
}

// payloads describe the pair to the peer.
func (ch *acceptance) payloads() []wire.Payload {
	var ps []wire.Payload
	if ch.demand.Mode == spd.Transport {
		ps = append(ps, &wire.Notify{Kind: wire.NotifyUseTransportMode})
	}
	return append(ps, acceptESP(ch.choice, ch.larva.SPI),
		&wire.TS{Initiator: true, Selectors: ch.demand.Traffic.Remote}, &wire.TS{Selectors: ch.demand.Traffic.Local})
}

// covers reports whether the Child SA is for all that another one is for.
func (ch *acceptance) covers(old *childSA) bool {
	return spd.CoveredBy(old.demand.Traffic.Local, ch.demand.Traffic.Local) &&
		spd.CoveredBy(old.demand.Traffic.Remote, ch.demand.Traffic.Remote)
}

// giveUp gives the SPI back.
func (ch *acceptance) giveUp(e *Engine) {
	ch.end(e)
	if ch.larva.SPI != 0 {
		e.emit(Remove{ch.larva})
	}
}

// end takes an acceptance off the list of those that are not yet complete.
func (ch *acceptance) end(e *Engine) {
	if a := e.peers[ch.peer]; a != nil {
		a.granted = slices.DeleteFunc(a.granted, func(other *acceptance) bool { return other == ch })
		e.tidy(ch.peer)
	}
}

// createRequest answers CREATE_CHILD_SA: for a new Child SA, for one that replaces another, or for a new IKE_SA.
func (e *Engine) createRequest(sa *ikeSA, in inbound, ps []wire.Payload) {
	e.confirm(sa)
	offered, okSA := wire.Find[*wire.SA](ps)
	nonce, okN := wire.Find[*wire.Nonce](ps)
	switch {
	case !okSA || !okN:
		e.answerError(sa, in, refuse(wire.NotifyInvalidSyntax, "1.3", "CREATE_CHILD_SA request without SA or Ni"))
	case sa.followUp != nil:
		e.answerError(sa, in, refuse(wire.NotifyTemporaryFailure, "2.25", "key exchanges are still to follow another request"))
	case offered.Proposals[0].Protocol == wire.ProtocolIKE:
		e.rekeyIKERequest(sa, in, ps, offered, nonce.Data)
	case sa.closing || sa.rekeying != nil:
		e.answerError(sa, in, refuse(wire.NotifyTemporaryFailure, "2.25.2", "the IKE_SA is being replaced or deleted"))
	default:
		e.childRequest(sa, in, ps, nonce.Data)
	}
}

// childRequest answers a request for a Child SA.
func (e *Engine) childRequest(sa *ikeSA, in inbound, ps []wire.Payload, ni []byte) {
	old, err := rekeyTarget(sa, ps)
	if err != nil {
		e.answerError(sa, in, err)
		return
	}
	if old != nil {
		old.rekeying.theirs.pending = true
	}
	settle := func() {
		if old != nil {
			old.rekeying.theirs.pending = false
			e.settleChild(old)
		}
	}
	refused := func(err error) {
		e.answerError(sa, in, err)
		settle()
	}
	nr := e.random(nonceLen)
	e.offered(sa, in, ps, sa.peer.ESP, func(configuration []wire.Payload, ch *acceptance, err error) {
		if err != nil {
			refused(err)
			return
		}
		if ch.rekeys = old; old != nil && !ch.covers(old) {
			ch.giveUp(e)
			refused(refuse(wire.NotifyTSUnacceptable, "2.9.2", "less than what is rekeyed: %v - %v", ch.demand.Traffic.Local,
				ch.demand.Traffic.Remote))
			return
		}
		e.exchangeFor(ch, ps, func(x exchanged, err error) {
			switch {
			case sa.gone != nil:
				ch.giveUp(e)
				return
			case err != nil:
				ch.giveUp(e)
				refused(err)
				return
			}
			answer := append(configuration, withExchange(ch.payloads(), nr, ch.choice.suite.Group, x.public)...)
			f := &followUp{left: ch.choice.suite.AddKE.Steps(), secrets: secrets{first: x.shared}, settle: settle}
			f.complete = func(s secrets, err error) error {
				if err != nil {
					ch.giveUp(e)
					return err
				}
				ch.complete(e, sa, s, ni, nr)
				return nil
			}
			e.answerCreate(sa, in, f, answer)
		})
	})
}

// exchangeFor makes the key exchange that the chosen suite wants, if it wants one.
func (e *Engine) exchangeFor(ch *acceptance, ps []wire.Payload, then func(exchanged, error)) {
	group, rnd := ch.choice.suite.Group, e.cfg.Rand
	ke, ok := wire.Find[*wire.KE](ps)
	switch {
	case group == suite.GroupNone:
		then(exchanged{}, nil)
	case !ok || suite.Group(ke.Group) != group:
		then(exchanged{}, &invalidKE{group})
	default:
		compute(e, nil, func() (exchanged, error) { return exchange(group, rnd, ke.Data) }, then)
	}
}

// rekeyTarget is the Child SA that a request is to replace, or nil.
func rekeyTarget(sa *ikeSA, ps []wire.Payload) (*childSA, error) {
	n := wire.FindNotify(ps, wire.NotifyRekeySA)
	if n == nil {
		return nil, nil
	}
	old := sa.childByOut(espSPI(n.SPI))
	switch {
	case old == nil && sa.changingChildren():
		return nil, refuse(wire.NotifyTemporaryFailure, "2.25", "the answer that makes it may be still to come")
	case old == nil || n.Protocol != wire.ProtocolESP:
		return nil, &childNotFound{n}
	case old.deleting:
		return nil, refuse(wire.NotifyTemporaryFailure, "2.25.1", "the Child SA is being deleted")
	}
	return old, nil
}

// childNotFound names the SPI that we do not know (RFC 7296 section 2.25).
type childNotFound struct{ asked *wire.Notify }

func (c *childNotFound) Error() string {
	return "CHILD_SA_NOT_FOUND: there is no such Child SA to rekey"
}

func (c *childNotFound) payload() *wire.Notify {
	return &wire.Notify{Kind: wire.NotifyChildSANotFound, Protocol: c.asked.Protocol, SPI: c.asked.SPI}
}
