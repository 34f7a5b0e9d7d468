package ikev2

import (
	"net/netip"
	"slices"
	"time"

	"mipsecd/spd"
)

// A path may die while both sides are there. The one who has begun the IKE_SA then tries what other pairs of addresses
// there are (RFC 4555 sections 3.10 and 3.11): it retransmits over them, too, and goes on over the first that an answer
// comes by.

// suspicious is how often a request is sent before other paths are tried.
const suspicious = 2

// responderPatience is how long the other one waits for the answer to a request (RFC 4555 section 3.11).
const responderPatience = 5 * time.Minute

// tryPaths sends a request over all other paths.
func (e *Engine) tryPaths(sa *ikeSA, r *request) {
	if !sa.established || !sa.mobike.on || !sa.original {
		return
	}
	r.tried = e.otherPaths(sa)
	for _, p := range r.tried {
		e.send(Datagram{
			Local: netip.AddrPortFrom(p.Local, sa.local.Port()), Remote: netip.AddrPortFrom(p.Remote, sa.remote.Port()),
		}, r.sent)
	}
}

// otherPaths are all pairs of addresses of one family but the one in use.
func (e *Engine) otherPaths(sa *ikeSA) (paths []spd.Path) {
	for _, local := range e.addresses {
		for _, remote := range sa.mobike.theirs {
			p := spd.Path{Local: local, Remote: remote}
			if local.Is4() == remote.Is4() && p != sa.path() && len(paths) < maxAddresses {
				paths = append(paths, p)
			}
		}
	}
	return paths
}

// seekPath looks for another path at once, if there is any.
func (e *Engine) seekPath(sa *ikeSA) {
	if len(e.otherPaths(sa)) == 0 {
		return
	}
	e.probe(sa)
	if r := sa.outstanding; r != nil && !r.answered {
		e.tryPaths(sa, r)
	}
}

// arrivedBy goes on over the path that an answer has come by, if it was tried.
func (e *Engine) arrivedBy(sa *ikeSA, r *request, d Datagram) {
	path := spd.Path{Local: d.Local.Addr(), Remote: d.Remote.Addr()}
	if from := sa.path(); path != from && slices.Contains(r.tried, path) {
		a := e.association(sa.peer.Name)
		for _, other := range slices.Clone(a.sas) {
			if other.established && other.path() == from {
				e.carry(other, path)
			}
		}
		a.takeAlong(from, path)
	}
}

// resend sends the outstanding request over the present path, and begins to count anew.
func (e *Engine) resend(sa *ikeSA) {
	if r := sa.outstanding; r != nil && !r.answered {
		e.stop(sa.retransmit)
		e.send(sa.here(), r.sent)
		r.tries, r.tried, r.since = 1, nil, e.now
		e.scheduleRetransmit(sa, r)
	}
}

// givesUp reports whether an unanswered request has been sent often enough.
func (e *Engine) givesUp(sa *ikeSA, r *request) bool {
	if sa.mobike.on && !sa.original && e.now.Sub(r.since) < responderPatience {
		return false
	}
	return r.tries >= e.cfg.Timing.Tries
}
