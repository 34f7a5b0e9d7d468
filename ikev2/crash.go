package ikev2

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// crashDetection tells a peer at once, when it asks for something on an IKE_SA that a crash of this host has made it forget,
// that there is none (RFC 6290): by a token that the peer was given with the IKE_SA, and that can be made again.
type crashDetection struct{ silent }

func (crashDetection) offerAuth(e *Engine, sa *ikeSA) []wire.Payload {
	return e.crashTokens(sa.header(wire.ExchangeInformational, 0, false))
}

func (crashDetection) answerAuth(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload {
	e.takeCrashToken(sa, request)
	return e.crashTokens(sa.header(wire.ExchangeInformational, 0, false))
}

func (crashDetection) authAnswered(e *Engine, sa *ikeSA, response []wire.Payload) {
	e.takeCrashToken(sa, response)
}

// Lengths of a token in octets (RFC 6290 section 5).
const (
	minCrashToken = 16
	maxCrashToken = 128
)

// crashTokens is the token of the IKE_SA on which this host's messages have such a header, or nothing. It comes from the
// secret, the SPIs and whose is whose alone (RFC 6290 section 5.1), and who knows some tokens cannot guess others.
func (e *Engine) crashTokens(ours wire.Header) []wire.Payload {
	if !e.cfg.CrashDetection || len(e.cfg.Secret) == 0 {
		return nil
	}
	key, err := hkdf.Key(sha256.New, e.cfg.Secret, nil, "crash detection token key", sha256.Size)
	if err != nil {
		panic(fmt.Sprintf("ikev2: no key for tokens: %v", err)) // of a length that is right it does not happen
	}
	mac := hmac.New(sha256.New, key)
	side := byte(0)
	if ours.Initiator {
		side = 1
	}
	mac.Write(slices.Concat([]byte{side}, spiBytes(ours.SPIi), spiBytes(ours.SPIr)))
	return []wire.Payload{&wire.Notify{
		Protocol: wire.ProtocolIKE, Kind: wire.NotifyQuickCrashDetection, Data: mac.Sum(nil),
	}}
}

// takeCrashToken keeps the token of the peer's in a protected message; a later one takes the place of an earlier one
// (RFC 6290 section 4.4).
func (e *Engine) takeCrashToken(sa *ikeSA, ps []wire.Payload) {
	n := wire.FindNotify(ps, wire.NotifyQuickCrashDetection)
	if e.cfg.CrashDetection && n != nil && len(n.Data) >= minCrashToken && len(n.Data) <= maxCrashToken {
		sa.crashToken = append(secret.Bytes(nil), n.Data...)
	}
}

// unknownIKE answers a protected request on an IKE_SA that is not here with its token. What is not limited would let a
// stranger collect tokens (RFC 6290 section 9.3), so others get no answer; nor do they without crash detection, as RFC 7296
// section 2.21.4 allows.
func (e *Engine) unknownIKE(d Datagram, h wire.Header) {
	e.drop(d, fmt.Errorf("%s for an unknown IKE_SA %016x", h.Exchange, ownSPI(h)))
	ours := h
	ours.Initiator = !h.Initiator
	tokens := e.crashTokens(ours)
	if tokens == nil || h.Response || h.SPIi == 0 || h.SPIr == 0 || e.sas[ownSPI(h)] != nil {
		return
	}
	m, err := wire.Parse(d.Data)
	if err != nil || !protected(m) || !e.crashAnswers.take(e.now) {
		return
	}
	e.answerUnprotected(d, h, append([]wire.Payload{&wire.Notify{Kind: wire.NotifyInvalidIKESPI}}, tokens...))
}

// protected reports whether a message has the form of one that is.
func protected(m *wire.Message) bool {
	_, whole := wire.Find[*wire.SK](m.Payloads)
	_, part := wire.Find[*wire.SKF](m.Payloads)
	return whole || part
}

// budget allows crashAnswersPerSecond answers in each second.
type budget struct {
	since time.Time
	spent int
}

// crashAnswersPerSecond of each engine is enough for thousands of mobile nodes to be back in a minute.
const crashAnswersPerSecond = 100

func (b *budget) take(now time.Time) bool {
	if now.Sub(b.since) >= time.Second {
		*b = budget{since: now}
	}
	b.spent++
	return b.spent <= crashAnswersPerSecond
}

// crashReported takes a response that nothing protects. With the token of the IKE_SA the peer has forgotten it, wherever the
// response came from; all else is dropped. To compare costs less than to count who sends how many.
func (e *Engine) crashReported(sa *ikeSA, d Datagram, m *wire.Message) {
	if sa.established && wire.FindNotify(m.Payloads, wire.NotifyInvalidIKESPI) != nil {
		for n := range wire.Notifies(m.Payloads) {
			if n.Kind == wire.NotifyQuickCrashDetection && len(sa.crashToken) > 0 && sa.crashToken.Equal(n.Data) {
				e.traced(false, d, m.Header, m.Payloads, nil)
				e.crashed(sa)
				return
			}
		}
	}
	e.drop(d, errors.New("an unprotected response, without the token of the IKE_SA"))
}

// crashed forgets an IKE_SA that its peer does not know any more. Who began it begins anew, with what it had.
func (e *Engine) crashed(sa *ikeSA) {
	a := e.association(sa.peer.Name)
	if sa.original {
		e.rewant(a, sa)
	}
	e.discard(sa, errCrashed)
	if len(a.wanted) > 0 && a.current() == nil && a.starting() == nil {
		e.initiate(sa.peer, sa.path())
		return
	}
	e.askWanted(sa.peer)
	e.failStranded(sa.peer.Name, errCrashed)
}

// rewant makes what an IKE_SA has, and what is asked for on it, wanted again.
func (e *Engine) rewant(a *association, sa *ikeSA) {
	e.reclaim(a, sa)
	for _, c := range sa.children {
		if !c.deleting && !c.replaced() && !a.has(c.demand) {
			a.wanted = append(a.wanted, c.demand)
		}
	}
}

var errCrashed = errors.New("the peer has lost it by a crash")

// refresh gives and asks for what goes with an IKE_SA, after it has replaced another (RFC 6290 section 4.3, RFC 5723 section
// 4.1).
func (e *Engine) refresh(sa *ikeSA) {
	e.ask(sa, &request{
		exchange: wire.ExchangeInformational,
		build: func() []wire.Payload {
			ps := e.crashTokens(sa.header(wire.ExchangeInformational, 0, false))
			if sa.original {
				ps = append(ps, ticketRequest(sa)...)
			}
			return ps
		},
		done: func(ps []wire.Payload, err error) {
			if err == nil && !sa.closing {
				e.takeTicket(sa, ps)
			}
		},
	})
}
