package ikev2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// MOBIKE (RFC 4555) moves an IKE_SA and its tunnels to other addresses. Who has begun the IKE_SA decides where it is, and
// announces it; the other one follows, once it has seen that its peer is there. Where that is told by Mobile IPv6 instead
// (the K bit), none of this is used.

// mobike is what the two sides know of each other's addresses.
type mobike struct {
	on     bool         // both take part
	theirs []netip.Addr // the peer's
	told   []netip.Addr // the peer knows these of ours, beside the one in use
	placed spd.Path     // where the Child SAs are: behind the IKE_SA until the peer has been seen there
	moved  bool         // to be announced
	seen   []byte       // what the peer last said of where it sees this side: a hash; nil until it is asked
}

// maxAddresses bounds how many of a peer's addresses are kept, and how many of ours it is told.
const maxAddresses = 16

// mobikeSupport agrees on MOBIKE in IKE_AUTH (RFC 4555 sections 3.2 and 3.4).
type mobikeSupport struct{ silent }

func (mobikeSupport) offerAuth(e *Engine, sa *ikeSA) []wire.Payload {
	if !sa.peer.MOBIKE {
		return nil
	}
	ps := e.mobikeSupported(sa)
	if !sa.nat.sought {
		ps = append(ps, e.whence(sa)...)
	}
	return ps
}

func (m mobikeSupport) answerAuth(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload {
	if m.authAnswered(e, sa, request); !sa.mobike.on {
		return nil
	}
	return e.mobikeSupported(sa)
}

func (mobikeSupport) authAnswered(_ *Engine, sa *ikeSA, theirs []wire.Payload) {
	m := &sa.mobike
	m.on = sa.peer.MOBIKE && wire.FindNotify(theirs, wire.NotifyMOBIKESupported) != nil
	m.theirs, _ = addressesIn(theirs, sa.remote.Addr())
	m.placed = sa.path()
}

func (e *Engine) mobikeSupported(sa *ikeSA) []wire.Payload {
	sa.mobike.told = e.otherAddresses(sa)
	return append([]wire.Payload{&wire.Notify{Kind: wire.NotifyMOBIKESupported}}, addressPayloads(sa.mobike.told)...)
}

// otherAddresses are this host's, beside the one in use.
func (e *Engine) otherAddresses(sa *ikeSA) (list []netip.Addr) {
	for _, a := range e.addresses {
		if a != sa.local.Addr() && len(list) < maxAddresses {
			list = append(list, a)
		}
	}
	return list
}

func addressPayloads(list []netip.Addr) (ps []wire.Payload) {
	for _, a := range list {
		kind := wire.NotifyAdditionalIP6Address
		if a.Is4() {
			kind = wire.NotifyAdditionalIP4Address
		}
		ps = append(ps, &wire.Notify{Kind: kind, Data: a.AsSlice()})
	}
	return ps
}

// addressesIn are the peer's addresses: that from which it speaks, and those that it names. Not ok if it says nothing of
// any others.
func addressesIn(ps []wire.Payload, from netip.Addr) (list []netip.Addr, ok bool) {
	list = []netip.Addr{from}
	for n := range wire.Notifies(ps) {
		switch n.Kind {
		case wire.NotifyNoAdditionalAddresses:
			ok = true
		case wire.NotifyAdditionalIP4Address, wire.NotifyAdditionalIP6Address:
			ok = true
			a, valid := netip.AddrFromSlice(n.Data)
			if valid && reachable(a) && len(list) <= maxAddresses && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list, ok
}

// reachable reports whether there can be a peer at an address.
func reachable(a netip.Addr) bool { return a.IsGlobalUnicast() && !a.Is4In6() }

// setAddresses takes note of this host's addresses, which peers are told of (RFC 4555 section 3.6). If the one in use is
// gone another path is looked for; until there is one nothing can be said.
func (e *Engine) setAddresses(list []netip.Addr) {
	e.addresses = list
	for _, spi := range slices.Sorted(maps.Keys(e.sas)) {
		sa := e.sas[spi]
		switch {
		case sa == nil || !sa.established || !sa.mobike.on || sa.closing || sa.next != nil:
		case sa.original && !slices.Contains(list, sa.local.Addr()):
			e.seekPath(sa)
		default:
			e.announce(sa)
		}
	}
}

// carry takes an IKE_SA to another path, as the one who has begun it decides, and announces that (RFC 4555 section 3.5).
func (e *Engine) carry(sa *ikeSA, to spd.Path) {
	e.moveIKE(sa, to)
	sa.mobike.placed, sa.mobike.moved = to, true
	e.resend(sa)
	if !sa.closing && sa.next == nil {
		e.announce(sa)
	}
}

// announce tells the peer what it does not know yet: where the IKE_SA is, which other addresses this host has. It is said
// what holds when it is its turn; what changes after that is announced anew.
func (e *Engine) announce(sa *ikeSA) {
	var at Datagram
	cookie := e.random(cookieLen)
	e.askFirst(sa, &request{
		exchange: wire.ExchangeInformational,
		build: func() []wire.Payload {
			ps := e.news(sa)
			if ps == nil {
				return nil
			}
			at = sa.here()
			ps = append(ps, e.whence(sa)...)
			return append(ps, &wire.Notify{Kind: wire.NotifyCookie2, Data: cookie})
		},
		done: func(ps []wire.Payload, err error) {
			if err == nil && e.returned(sa, cookie, ps) && sameEnds(sa.here(), at) {
				e.announced(sa, ps)
			}
		},
		again: func(next *ikeSA) {
			next.mobike.moved = true
			e.announce(next)
		},
	})
}

// news is what the peer does not know yet, or nil.
func (e *Engine) news(sa *ikeSA) (ps []wire.Payload) {
	m := &sa.mobike
	if m.moved {
		m.moved = false
		ps = append(ps, &wire.Notify{Kind: wire.NotifyUpdateSAAddresses})
	}
	if others := e.otherAddresses(sa); !slices.Equal(others, m.told) {
		m.told = others
		if ps = append(ps, addressPayloads(others)...); len(others) == 0 {
			ps = append(ps, &wire.Notify{Kind: wire.NotifyNoAdditionalAddresses})
		}
	}
	return ps
}

// announced takes the peer's answer, unless this side has moved on since.
func (e *Engine) announced(sa *ikeSA, ps []wire.Payload) {
	switch {
	case wire.FindNotify(ps, wire.NotifyUnexpectedNATDetected) != nil && sa.mistaken < e.cfg.Timing.Tries:
		// Perhaps only this one message was changed on its way (RFC 4555 section 3.9).
		sa.mistaken++
		sa.mobike.moved = true
		e.announce(sa)
	case errorIn(ps) != nil:
		e.emit(Dropped{Remote: sa.remote, Err: fmt.Errorf("moving to %s: %w", sa.path(), errorIn(ps))})
		if wire.FindNotify(ps, wire.NotifyUnacceptableAddresses) != nil {
			e.seekPath(sa)
		}
	default:
		sa.mistaken = 0
		sa.mobike.seen = seenAs(ps)
		spii, spir := sa.spis()
		e.findNAT(sa, ps, spii, spir)
		e.refit(sa)
	}
}

// seenAs is what a message says of where its sender sees this side, or nil.
func seenAs(ps []wire.Payload) []byte {
	if n := wire.FindNotify(ps, wire.NotifyNATDetectionDestinationIP); n != nil {
		return n.Data
	}
	return nil
}

// sounding is what goes with the question for a sign of life, from one who is behind a NAT.
func (e *Engine) sounding(sa *ikeSA) []wire.Payload {
	if !sa.mobike.on || !sa.original || !sa.nat.ours {
		return []wire.Payload{}
	}
	return e.natHashes(sa, sa.here())
}

// sounded announces where this side is if the peer sees it elsewhere than before: the NAT has another mapping (RFC 4555
// section 3.8).
func (e *Engine) sounded(sa *ikeSA, ps []wire.Payload) {
	if seen := seenAs(ps); sa.mobike.on && sa.original && seen != nil && !bytes.Equal(seen, sa.mobike.seen) {
		sa.mobike.moved = true
		e.announce(sa)
	}
}

// moveRequest takes what an INFORMATIONAL request says of the peer's addresses, and is what the answer says of that (RFC 4555
// sections 3.5 to 3.9). Moved: the IKE_SA is there now.
func (e *Engine) moveRequest(sa *ikeSA, in inbound, ps []wire.Payload) (answer []wire.Payload, moved bool) {
	if c := wire.FindNotify(ps, wire.NotifyCookie2); c != nil {
		answer = append(answer, &wire.Notify{Kind: wire.NotifyCookie2, Data: c.Data})
	}
	if !sa.mobike.on {
		return answer, false
	}
	update := wire.FindNotify(ps, wire.NotifyUpdateSAAddresses) != nil
	theirs, said := addressesIn(ps, in.at.Remote.Addr())
	switch {
	case (update || said) && natDenied(in.at, ps):
		return append(answer, &wire.Notify{Kind: wire.NotifyUnexpectedNATDetected}), false
	case update && !e.acceptable(sa, in.at):
		return append(answer, &wire.Notify{Kind: wire.NotifyUnacceptableAddresses}), false
	}
	if said {
		sa.mobike.theirs = theirs
	}
	if sa.nat.sought && wire.FindNotify(ps, wire.NotifyNATDetectionSourceIP) != nil {
		answer = append(answer, e.natHashes(sa, in.at)...)
	}
	if update {
		e.shift(sa, in.at)
		spii, spir := sa.spis()
		e.findNAT(sa, ps, spii, spir)
	}
	return answer, update
}

// acceptable reports whether a peer may take an IKE_SA there: it is the one to decide, the address is none of those inside
// its own tunnel, and ours is one that it was told.
func (e *Engine) acceptable(sa *ikeSA, at Datagram) bool {
	from := at.Remote.Addr()
	for _, c := range sa.heir().children {
		for _, ts := range c.demand.Traffic.Remote {
			if ts.Start == from && ts.End == from {
				return false
			}
		}
	}
	ours := len(e.addresses) == 0 || slices.Contains(e.addresses, at.Local.Addr())
	return !sa.original && reachable(from) && ours
}

// shift takes all that is with a peer where it says that it is.
func (e *Engine) shift(sa *ikeSA, at Datagram) {
	from := sa.path()
	for _, other := range e.association(sa.peer.Name).sas {
		if other.established && other.path() == from {
			other.local, other.remote = at.Local, at.Remote
		}
	}
}

// follow goes on where a peer has moved. The Child SAs come along once it has been seen there.
func (e *Engine) follow(sa *ikeSA) {
	next := sa.heir()
	next.nat = sa.nat
	sa = next
	e.resend(sa)
	switch {
	case sa.path() == sa.mobike.placed:
		e.refit(sa)
	case sa.peer.BelieveAddresses:
		e.place(sa)
	default:
		e.checkRoute(sa)
	}
}

// refit has the Child SAs take up what has been found out about NATs.
func (e *Engine) refit(sa *ikeSA) {
	e.stop(sa.keepalive)
	e.keepAlive(sa)
	for _, c := range slices.Clone(sa.children) {
		e.reencapsulate(c)
	}
}

// place has the Child SAs follow the IKE_SA.
func (e *Engine) place(sa *ikeSA) {
	old := sa.mobike.placed
	if sa.mobike.placed = sa.path(); old != sa.mobike.placed {
		e.notify(spd.PeerMoved{Peer: sa.peer.Name, ID: sa.own, Old: old, New: sa.path(), Encap: sa.encap()})
		e.association(sa.peer.Name).takeAlong(old, sa.path())
	}
}

// checkRoute asks the peer, where the IKE_SA is now, for what it can know only if it is there (RFC 4555 section 3.7).
func (e *Engine) checkRoute(sa *ikeSA) {
	var at Datagram
	cookie := e.random(cookieLen)
	e.askFirst(sa, &request{
		exchange: wire.ExchangeInformational,
		build: func() []wire.Payload {
			at = sa.here()
			return []wire.Payload{&wire.Notify{Kind: wire.NotifyCookie2, Data: cookie}}
		},
		done: func(ps []wire.Payload, err error) {
			switch {
			case err != nil || !e.returned(sa, cookie, ps):
			case !sameEnds(sa.here(), at):
				e.checkRoute(sa) // it was sent to several: which one it has reached is not known
			default:
				e.place(sa)
			}
		},
		again: func(next *ikeSA) { e.checkRoute(next) },
	})
}

// cookieLen is the length of COOKIE2 in octets, from 8 to 64 (RFC 4555 section 4.2.5).
const cookieLen = 16

// returned reports whether an answer has the COOKIE2 of its request. If it has not the IKE_SA ends.
func (e *Engine) returned(sa *ikeSA, cookie []byte, ps []wire.Payload) bool {
	if n := wire.FindNotify(ps, wire.NotifyCookie2); n != nil && bytes.Equal(n.Data, cookie) {
		return true
	}
	if !sa.closing {
		e.close(sa, errors.New("the peer returns another COOKIE2"), &wire.Delete{Protocol: wire.ProtocolIKE})
	}
	return false
}

func sameEnds(a, b Datagram) bool { return a.Local == b.Local && a.Remote == b.Remote }

// whence says from where to where this side sends, so that the peer finds NATs or, where these are not looked for, that
// somebody changes addresses on the way (RFC 4555 sections 3.8 and 3.9).
func (e *Engine) whence(sa *ikeSA) []wire.Payload {
	if sa.nat.sought {
		return e.natHashes(sa, sa.here())
	}
	return []wire.Payload{&wire.Notify{Kind: wire.NotifyNoNATsAllowed, Data: ends(sa.local, sa.remote)}}
}

// natDenied reports whether a message has come from or to elsewhere than it says.
func natDenied(at Datagram, ps []wire.Payload) bool {
	n := wire.FindNotify(ps, wire.NotifyNoNATsAllowed)
	return n != nil && !bytes.Equal(n.Data, ends(at.Remote, at.Local))
}

// ends is the content of NO_NATS_ALLOWED (RFC 4555 section 4.2.6).
func ends(src, dst netip.AddrPort) []byte {
	b := append(src.Addr().AsSlice(), dst.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	return binary.BigEndian.AppendUint16(b, dst.Port())
}
