package ikev2

import (
	"errors"
	"time"

	"mipsecd/ikev2/wire"
)

// informRequest answers INFORMATIONAL: Delete, a movement, a question (CFG_REQUEST), or a sign of life (RFC 7296 section 1.4).
func (e *Engine) informRequest(sa *ikeSA, in inbound, ps []wire.Payload) {
	if wire.FindNotify(ps, wire.NotifyAuthenticationFailed) != nil { // RFC 7296 section 2.21.2
		e.reply(sa, in, nil)
		e.lose(sa, errors.New("the peer does not believe who we are"))
		return
	}
	var gone []uint32
	for _, p := range ps {
		d, ok := p.(*wire.Delete)
		switch {
		case !ok:
		case d.Protocol == wire.ProtocolIKE:
			e.revoke(sa)
			e.reply(sa, in, nil)
			e.lose(sa, errors.New("deleted by the peer"))
			return
		case d.Protocol == wire.ProtocolESP:
			gone = append(gone, e.deletedByPeer(sa, d.SPIs)...)
		}
	}
	answer, moved := e.moveRequest(sa, in, ps)
	if len(gone) > 0 {
		answer = append(answer, &wire.Delete{Protocol: wire.ProtocolESP, SPIs: gone})
	}
	e.takeCrashToken(sa, ps)
	answer = append(answer, e.giveTicket(sa, ps)...)
	e.configure(sa, ps, func(configuration []wire.Payload, err error) {
		if err != nil {
			configuration = []wire.Payload{errorNotify(err)}
		}
		e.reply(sa, in, append(answer, configuration...))
		e.limitAuth(sa, ps)
		if to, ok := e.redirected(sa, ps, nil); ok && !sa.closing {
			e.followInform(sa, to)
			return
		}
		if moved {
			e.follow(sa)
		}
	})
}

// deletedByPeer removes the pairs that the peer names by its inbound SPIs, and yields ours. A pair that we are deleting
// as well is not named again (RFC 7296 section 1.4.1).
func (e *Engine) deletedByPeer(sa *ikeSA, spis []uint32) (ours []uint32) {
	e.confirm(sa)
	for _, spi := range spis {
		c := sa.heir().childByOut(spi)
		if c == nil {
			if sa.changingChildren() && len(sa.early) < maxEarly {
				sa.early = append(sa.early, spi)
			}
			continue
		}
		if !c.deleting {
			ours = append(ours, c.in)
		}
		e.removeChild(c, "deleted by the peer")
	}
	return ours
}

// maxEarly bounds how many SPIs that are not known yet are kept. There can be one only, but a peer might name any.
const maxEarly = 64

// deleteChild deletes a Child SA at the peer and here.
func (e *Engine) deleteChild(c *childSA, reason string) {
	if c.ike == nil || c.deleting {
		return
	}
	c.deleting = true
	e.ask(c.ike, &request{
		exchange: wire.ExchangeInformational, children: true,
		build: func() []wire.Payload {
			if c.ike == nil {
				return nil
			}
			// What is sent goes by another pair from now on; what the peer has sent may still come.
			e.emit(Remove{c.outID()})
			return []wire.Payload{&wire.Delete{Protocol: wire.ProtocolESP, SPIs: []uint32{c.in}}}
		},
		done: func(_ []wire.Payload, err error) {
			if err == nil {
				e.removeChild(c, reason)
			}
		},
		again: func(*ikeSA) {
			c.deleting = false
			e.deleteChild(c, reason)
		},
	})
}

// askDelete tells the peer to delete a Child SA that did not come to stand here.
func (e *Engine) askDelete(sa *ikeSA, spi uint32) {
	e.ask(sa, &request{
		exchange: wire.ExchangeInformational, children: true,
		build: func() []wire.Payload {
			return []wire.Payload{&wire.Delete{Protocol: wire.ProtocolESP, SPIs: []uint32{spi}}}
		},
		done:  func([]wire.Payload, error) {},
		again: func(next *ikeSA) { e.askDelete(next, spi) },
	})
}

// terminate deletes an IKE_SA at the peer and here. What else was to be asked is no longer.
func (e *Engine) terminate(sa *ikeSA) {
	if !sa.closing {
		e.close(sa, errors.New("deleted"), &wire.Delete{Protocol: wire.ProtocolIKE})
	}
}

// close makes an IKE_SA's last request, which tells the peer that it ends.
func (e *Engine) close(sa *ikeSA, why error, last ...wire.Payload) {
	e.retire(sa)
	e.revoke(sa)
	dropped := sa.queue
	sa.queue = nil
	e.passOn(sa, dropped, errGone)
	e.ask(sa, &request{
		exchange: wire.ExchangeInformational,
		build:    func() []wire.Payload { return last },
		done: func(_ []wire.Payload, err error) {
			if err == nil {
				e.lose(sa, why)
			}
		},
	})
}

// probe asks for a sign of life: an empty INFORMATIONAL (RFC 7296 section 2.4). Any other request asks for one, too.
func (e *Engine) probe(sa *ikeSA) {
	asked := sa.probed
	sa.probed = true
	if asked || sa.outstanding != nil && !sa.outstanding.answered {
		return
	}
	e.ask(sa, &request{
		exchange: wire.ExchangeInformational,
		build:    func() []wire.Payload { return e.sounding(sa) },
		done: func(ps []wire.Payload, err error) {
			if err == nil {
				e.sounded(sa, ps)
			}
		},
	})
}

// watchLiveness probes a peer that has been silent for its Liveness.
func (e *Engine) watchLiveness(sa *ikeSA) {
	patience := sa.peer.Liveness
	if patience == 0 {
		return
	}
	var watch func(time.Duration)
	watch = func(wait time.Duration) {
		sa.liveness = e.after(wait, func() {
			silent := e.now.Sub(sa.heardAt)
			if silent >= patience {
				e.probe(sa)
				silent = 0
			}
			watch(patience - silent)
		})
	}
	watch(patience)
}
