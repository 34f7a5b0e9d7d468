package ikev2

import (
	"encoding/binary"
	"fmt"
	"slices"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// IKE_INTERMEDIATE exchanges come between IKE_SA_INIT and IKE_AUTH (RFC 9242). They carry the additional key exchanges of
// a new IKE_SA, one each (RFC 9370 section 2.2.2); one that carries nothing we know is answered by nothing.

// maxIntermediate is how many of them a responder takes: those of the most additional key exchanges that there can be, and
// one more. Each may cost it a key exchange, for one who has not said who it is.
const maxIntermediate = suite.MaxAddKE + 1

// intermediate is what a handshake keeps of its IKE_INTERMEDIATE exchanges.
type intermediate struct {
	agreed bool          // both sides know the exchange
	addKE  []suite.Group // additional key exchanges that are still to come
	count  uint32        // exchanges that have begun
	// IntAuth_i and IntAuth_r, which carry all messages of either side into what AUTH signs (RFC 9242 section 3.3.2).
	initiators, responders []byte
}

// intermediates says in IKE_SA_INIT that we know the exchange: an initiator if it may need it, a responder if the
// initiator says so.
type intermediates struct{ silent }

func (intermediates) offerInit(_ *Engine, sa *ikeSA) []wire.Payload {
	if !slices.ContainsFunc(sa.peer.IKE, suite.Proposal.HasAddKE) {
		return nil
	}
	return []wire.Payload{&wire.Notify{Kind: wire.NotifyIntermediateExchangeSupported}}
}

func (x intermediates) answerInit(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload {
	if !knowsIntermediate(request) {
		return nil
	}
	x.initAnswered(e, sa, request)
	return []wire.Payload{&wire.Notify{Kind: wire.NotifyIntermediateExchangeSupported}}
}

func (intermediates) initAnswered(_ *Engine, sa *ikeSA, theirs []wire.Payload) {
	sa.hs.agreed, sa.hs.addKE = knowsIntermediate(theirs), sa.suite.AddKE.Steps()
}

func knowsIntermediate(ps []wire.Payload) bool {
	return wire.FindNotify(ps, wire.NotifyIntermediateExchangeSupported) != nil
}

// beforeAuth makes the additional key exchanges that are still to come, and then goes on to IKE_AUTH.
func (e *Engine) beforeAuth(sa *ikeSA) {
	if len(sa.hs.addKE) == 0 {
		e.authenticate(sa)
		return
	}
	group, rnd := sa.hs.addKE[0], e.cfg.Rand
	compute(e, sa, func() (*suite.KEKey, error) { return suite.GenerateKE(group, rnd) }, func(k *suite.KEKey, err error) {
		if err != nil {
			e.lose(sa, err)
			return
		}
		r := &request{exchange: wire.ExchangeIKEIntermediate}
		r.build = func() []wire.Payload { return []wire.Payload{&wire.KE{Group: uint16(group), Data: k.Public()}} }
		r.done = func(ps []wire.Payload, err error) {
			if err == nil {
				err = errorIn(ps)
			}
			ke, ok := wire.Find[*wire.KE](ps)
			if err == nil && (!ok || suite.Group(ke.Group) != group) {
				err = fmt.Errorf("IKE_INTERMEDIATE response without KE of %s", group)
			}
			if err != nil {
				e.lose(sa, err)
				return
			}
			digest(e, sa, r, func() (secret.Bytes, error) { return k.Shared(ke.Data) }, func(shared secret.Bytes, err error) {
				if err == nil {
					err = sa.addKey(shared)
				}
				if err != nil {
					e.lose(sa, err)
					return
				}
				e.beforeAuth(sa)
			})
		}
		e.ask(sa, r)
	})
}

// takesIntermediate reports whether a responder expects one more of these exchanges.
func (hs *handshake) takesIntermediate() bool { return hs.agreed && hs.count < maxIntermediate }

// intermediateRequest answers IKE_INTERMEDIATE. The keys change after the answer (RFC 9242 section 3.3.1).
func (e *Engine) intermediateRequest(sa *ikeSA, in inbound, ps []wire.Payload) {
	ke, ok := wire.Find[*wire.KE](ps)
	if !ok {
		e.reply(sa, in, nil)
		return
	}
	group, rnd := suite.Group(ke.Group), e.cfg.Rand
	if len(sa.hs.addKE) == 0 || group != sa.hs.addKE[0] {
		e.answerError(sa, in, refuse(wire.NotifyInvalidSyntax, "3.4", "KE of %s, to come are %s", group, sa.hs.addKE))
		return
	}
	compute(e, sa, func() (exchanged, error) { return exchange(group, rnd, ke.Data) }, func(x exchanged, err error) {
		if err != nil {
			e.answerError(sa, in, err)
			return
		}
		e.reply(sa, in, []wire.Payload{&wire.KE{Group: uint16(group), Data: x.public}})
		if err := sa.addKey(x.shared); err != nil {
			e.lose(sa, err)
		}
	})
}

// addKey makes the next generation of keys from the secret of an additional key exchange (RFC 9370 section 2.2.2).
func (sa *ikeSA) addKey(shared secret.Bytes) error {
	hs, old := sa.hs, sa.keys
	hs.addKE = hs.addKE[1:]
	err := deriveIKE(sa, rekeySeed(sa, secrets{first: shared}, hs.ni, hs.nr), hs.ni, hs.nr)
	old.wipe()
	return err
}

// witness carries a message of the handshake, as it is before its encryption, into what AUTH signs. It is called once for
// each IKE_INTERMEDIATE message, before the keys change.
func (sa *ikeSA) witness(response bool, message []byte) {
	chain, key := &sa.hs.initiators, sa.keys.pi
	if response {
		chain, key = &sa.hs.responders, sa.keys.pr
	} else {
		sa.hs.count++
	}
	*chain = sa.suite.PRF.Sum(key, *chain, message)
}

// intAuth is the part of what AUTH signs that speaks for the IKE_INTERMEDIATE exchanges; nothing if there were none. The
// Message ID of IKE_AUTH follows theirs.
func (i *intermediate) intAuth() []byte {
	if i.count == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint32(slices.Concat(i.initiators, i.responders), i.count+1)
}

// withoutAddKE is the proposals that can do without additional key exchanges, without them.
func withoutAddKE(proposals []suite.Proposal) (out []suite.Proposal) {
	for _, p := range proposals {
		if p, ok := p.WithoutAddKE(); ok {
			out = append(out, p)
		}
	}
	return out
}
