package ikev2

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// redirection sends initiators to another responder, or follows one that says so (RFC 5685). What is known of the peer stays
// the same: the other one has to prove the same identity.
type redirection struct{ silent }

func (redirection) offerInit(_ *Engine, sa *ikeSA) []wire.Payload {
	switch {
	case !sa.peer.AcceptRedirects:
		return nil
	case sa.hs.redirectedFrom.IsValid():
		return []wire.Payload{&wire.Notify{Kind: wire.NotifyRedirectedFrom, Data: gatewayIdentity(sa.hs.redirectedFrom)}}
	}
	return []wire.Payload{&wire.Notify{Kind: wire.NotifyRedirectSupported}}
}

func (redirection) answerInit(_ *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload {
	sa.redirectable = followsRedirects(request)
	return nil
}

func followsRedirects(ps []wire.Payload) bool {
	return wire.FindNotify(ps, wire.NotifyRedirectSupported) != nil || wire.FindNotify(ps, wire.NotifyRedirectedFrom) != nil
}

const (
	// maxRedirects in redirectPeriod are followed (RFC 5685 section 7).
	maxRedirects   = 5
	redirectPeriod = 300 * time.Second
	// redirectGrace is how long one who is redirected may take to end what it has here.
	redirectGrace = time.Minute
)

// The types of a gateway's identity (RFC 5685 section 9.2).
const (
	gatewayIPv4 = 1
	gatewayIPv6 = 2
	gatewayFQDN = 3
)

// gatewayIdentity names a gateway by its address.
func gatewayIdentity(a netip.Addr) []byte {
	kind := byte(gatewayIPv6)
	if a.Is4() {
		kind = gatewayIPv4
	}
	return append([]byte{kind, byte(a.BitLen() / 8)}, a.AsSlice()...)
}

// redirectTo is the notification that sends an initiator to a gateway; the nonce goes back to it in IKE_SA_INIT only.
func redirectTo(a netip.Addr, nonce []byte) *wire.Notify {
	return &wire.Notify{Kind: wire.NotifyRedirect, Data: append(gatewayIdentity(a), nonce...)}
}

// parseRedirect reads the content of a REDIRECT. A gateway that is named by a name is none: here is nobody who could find out
// its address.
func parseRedirect(b []byte) (to netip.Addr, nonce []byte, err error) {
	if len(b) < 2 || len(b)-2 < int(b[1]) {
		return to, nil, fmt.Errorf("REDIRECT of %d octets, want those of an identity", len(b))
	}
	kind, identity, nonce := b[0], b[2:2+b[1]], b[2+b[1]:]
	switch {
	case kind == gatewayFQDN:
		return to, nil, fmt.Errorf("REDIRECT to the name %s; only addresses are followed", printable(string(identity)))
	case kind == gatewayIPv4 && len(identity) == 4, kind == gatewayIPv6 && len(identity) == 16:
		to, _ = netip.AddrFromSlice(identity)
		return to, nonce, nil
	}
	return to, nil, fmt.Errorf("REDIRECT to an identity of type %d and %d octets", kind, len(identity))
}

// redirects answers IKE_SA_INIT with where all are to go, unless that is here or where the initiator comes from.
func (e *Engine) redirects(d Datagram, m *wire.Message, ni []byte) bool {
	to := e.cfg.RedirectTo
	if !to.IsValid() || to == d.Local.Addr() || !followsRedirects(m.Payloads) {
		return false
	}
	if from := wire.FindNotify(m.Payloads, wire.NotifyRedirectedFrom); from != nil && bytes.Equal(from.Data, gatewayIdentity(to)) {
		return false
	}
	e.refuseUnprotected(d, m.Header, redirectTo(to, ni))
	return true
}

// redirectPeer sends the initiator of an IKE_SA elsewhere in the midst of it (RFC 5685 section 5).
func (e *Engine) redirectPeer(sa *ikeSA, to netip.Addr) {
	if sa.original || !sa.redirectable {
		e.emit(Dropped{Remote: sa.remote, Err: fmt.Errorf("%s cannot be redirected: it does not follow redirects", sa.peer.Name)})
		return
	}
	e.ask(sa, &request{
		exchange: wire.ExchangeInformational,
		build:    func() []wire.Payload { return []wire.Payload{redirectTo(to, nil)} },
		done: func(_ []wire.Payload, err error) {
			if err == nil {
				e.closeLater(sa)
			}
		},
		again: func(next *ikeSA) { e.redirectPeer(next, to) },
	})
}

// closeLater ends an IKE_SA whose initiator is redirected and does not end it itself.
func (e *Engine) closeLater(sa *ikeSA) {
	e.after(redirectGrace, func() {
		if now := sa.heir(); now.gone == nil && !now.closing {
			e.close(now, errRedirected, &wire.Delete{Protocol: wire.ProtocolIKE})
		}
	})
}

var errRedirected = errors.New("redirected to another gateway")

// redirected is where a message of the responder's sends this side, if it says so and this side goes there. In IKE_SA_INIT the
// nonce has to be that of the request, so that only those can send us elsewhere who see what we send.
func (e *Engine) redirected(sa *ikeSA, ps []wire.Payload, ni []byte) (to netip.Addr, ok bool) {
	n := wire.FindNotify(ps, wire.NotifyRedirect)
	if n == nil {
		return to, false
	}
	to, nonce, err := parseRedirect(n.Data)
	switch {
	case err != nil:
	case !sa.original || !sa.peer.AcceptRedirects:
		err = fmt.Errorf("REDIRECT to %s, which is not to be followed", to)
	case !bytes.Equal(nonce, ni):
		err = fmt.Errorf("REDIRECT to %s with another nonce", to)
	case to == sa.remote.Addr() || to.Is4() != sa.local.Addr().Is4():
		err = fmt.Errorf("REDIRECT to %s, which cannot be reached from %s", to, sa.local.Addr())
	case sa.hs != nil && sa.hs.renews != nil:
		err = fmt.Errorf("REDIRECT to %s, while there is an IKE_SA", to)
	case !e.mayFollow(sa.peer.Name):
		err = fmt.Errorf("REDIRECT to %s after %d others in %s", to, maxRedirects, redirectPeriod)
	default:
		return to, true
	}
	e.emit(Dropped{Remote: sa.remote, Err: err})
	return to, false
}

// mayFollow counts the redirects from a peer (RFC 5685 section 7).
func (e *Engine) mayFollow(peer string) bool {
	var recent []time.Time
	for _, at := range e.followed[peer] {
		if e.now.Sub(at) < redirectPeriod {
			recent = append(recent, at)
		}
	}
	if len(recent) >= maxRedirects {
		return false
	}
	e.followed[peer] = append(recent, e.now)
	return true
}

// followInit begins anew with the gateway that the answer to IKE_SA_INIT names.
func (e *Engine) followInit(sa *ikeSA, to netip.Addr) {
	alone := sa.hs.alone
	sa.hs.alone = false
	e.reclaim(e.association(sa.peer.Name), sa)
	e.forget(sa, errRedirected)
	e.goTo(sa, to, alone)
}

// followAuth does so when the gateway has proven itself; that one forgets us.
func (e *Engine) followAuth(sa *ikeSA, to netip.Addr) {
	alone := sa.hs.alone
	sa.hs.alone = false
	e.reclaim(e.association(sa.peer.Name), sa)
	e.close(sa, errRedirected, &wire.Delete{Protocol: wire.ProtocolIKE})
	e.goTo(sa, to, alone)
}

// followInform does so with all that there is.
func (e *Engine) followInform(sa *ikeSA, to netip.Addr) {
	a := e.association(sa.peer.Name)
	e.rewant(a, sa)
	e.close(sa, errRedirected, &wire.Delete{Protocol: wire.ProtocolIKE})
	e.goTo(sa, to, len(a.wanted) == 0)
}

// goTo begins an IKE_SA with another gateway. The tunnels that are wanted lead there.
func (e *Engine) goTo(sa *ikeSA, to netip.Addr, alone bool) {
	a, from := e.association(sa.peer.Name), sa.remote.Addr()
	for i := range a.wanted {
		if d := &a.wanted[i]; d.Mode == spd.Tunnel && d.Remote == from {
			d.Remote, d.Acquire = to, 0
		}
	}
	delete(e.sessions, sa.peer.Name) // the ticket is for the other one
	path := spd.Path{Local: sa.local.Addr(), Remote: to}
	e.notify(spd.Redirected{Peer: sa.peer.Name, Path: path})
	next := e.initiate(sa.peer, path)
	next.hs.redirectedFrom, next.hs.alone = from, alone
}
