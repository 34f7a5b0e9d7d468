package ikev2

import (
	"errors"
	"slices"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// childless is the set-up of an IKE_SA without a Child SA (RFC 6023): a responder says that it takes that.
type childless struct{ silent }

func (childless) answerInit(e *Engine, _ *ikeSA, _ []wire.Payload) []wire.Payload {
	if !e.cfg.Childless {
		return nil
	}
	return []wire.Payload{&wire.Notify{Protocol: wire.ProtocolIKE, Kind: wire.NotifyChildlessIKEv2Supported}}
}

func (childless) initAnswered(_ *Engine, sa *ikeSA, response []wire.Payload) {
	sa.hs.childless = wire.FindNotify(response, wire.NotifyChildlessIKEv2Supported) != nil
}

// connect sets an IKE_SA up if there is none, nor one coming, whether or not a Child SA is wanted by then.
func (e *Engine) connect(c spd.Connect) {
	peer := e.cfg.Peers.ByName(c.Peer)
	if peer == nil {
		e.notify(spd.ConnectFailed{Peer: c.Peer, Err: errNoPeer})
		return
	}
	if a := e.association(c.Peer); a.current() == nil && a.starting() == nil {
		if !c.Path.Remote.IsValid() {
			e.tidy(c.Peer)
			e.notify(spd.ConnectFailed{Peer: c.Peer, Err: errPeerBegins})
			return
		}
		e.initiate(peer, c.Path).hs.alone = true
	}
}

var (
	errNoPeer     = errors.New("there is no such peer")
	errPeerBegins = errors.New("it is the peer that begins")
)

// firstChild is the Child SA to be asked for in IKE_AUTH, or nil for none.
func (e *Engine) firstChild(sa *ikeSA) (*negotiation, error) {
	a := e.association(sa.peer.Name)
	switch {
	case len(a.wanted) > 0:
		n := &negotiation{demand: a.wanted[0], proposals: withoutGroups(sa.peer.ESP), on: sa}
		a.wanted = slices.Delete(a.wanted, 0, 1)
		return n, nil
	case sa.hs.renews != nil && sa.hs.renews.heir().renewable(nil) != nil:
		c := sa.hs.renews.heir().renewable(nil)
		return &negotiation{demand: c.demand, proposals: withoutGroups(sa.peer.ESP), on: sa, renews: c}, nil
	case !sa.hs.alone && sa.hs.renews == nil:
		return nil, errors.New("nothing is wanted of the peer any more")
	case !sa.hs.childless:
		return nil, errors.New("the peer takes no IKE_SA without a Child SA")
	}
	return nil, nil
}
