package ikev2

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// NATPort is where IKE and UDP-encapsulated ESP are spoken through a NAT (RFC 7296 section 2.23).
const NATPort = 4500

// keepaliveInterval is how often the side behind a NAT sends something (RFC 3948 section 4).
const keepaliveInterval = 20 * time.Second

// NATTraversal says what is done about NATs.
type NATTraversal uint8

// What can be done about NATs.
const (
	NATAuto   NATTraversal = iota // ESP goes in UDP where a NAT is found
	NATAlways                     // the same everywhere: the peer is made to believe that there is one
	NATNever                      // they are not looked for
)

// nat is what stands between the two sides of an IKE_SA.
type nat struct {
	ours, theirs bool // the side that is behind a NAT
	pretended    bool // by this side, so that ESP goes in UDP
	sought       bool // by both sides
}

func (n nat) between() bool { return n.ours || n.theirs || n.pretended }

// natDetection finds NATs in IKE_SA_INIT, by hashes of the addresses and ports that each side sees (RFC 7296 section 2.23).
type natDetection struct{ silent }

func (natDetection) offerInit(e *Engine, sa *ikeSA) []wire.Payload {
	if e.cfg.NAT == NATNever {
		return nil
	}
	return e.natHashes(sa, sa.here())
}

// natHashes are of a message that is sent there.
func (e *Engine) natHashes(sa *ikeSA, at Datagram) []wire.Payload {
	spii, spir := sa.spis()
	source := at.Local
	if e.cfg.NAT == NATAlways {
		source = netip.AddrPortFrom(source.Addr(), 0)
	}
	return []wire.Payload{
		&wire.Notify{Kind: wire.NotifyNATDetectionSourceIP, Data: natHash(spii, spir, source)},
		&wire.Notify{Kind: wire.NotifyNATDetectionDestinationIP, Data: natHash(spii, spir, at.Remote)},
	}
}

func (n natDetection) answerInit(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload {
	spii, _ := sa.spis()
	if !e.findNAT(sa, request, spii, 0) {
		return nil
	}
	return n.offerInit(e, sa)
}

// initAnswered moves to port 4500 if there is a NAT, or may be one elsewhere (RFC 4555 section 3.3).
func (natDetection) initAnswered(e *Engine, sa *ikeSA, response []wire.Payload) {
	spii, spir := sa.spis()
	if e.findNAT(sa, response, spii, spir) && (sa.nat.between() || sa.peer.MOBIKE) {
		sa.local = netip.AddrPortFrom(sa.local.Addr(), NATPort)
		sa.remote = netip.AddrPortFrom(sa.remote.Addr(), NATPort)
	}
}

// findNAT compares the hashes of a message that has these SPIs in its header. Not ok means that one side does not look for
// NATs.
func (e *Engine) findNAT(sa *ikeSA, ps []wire.Payload, spii, spir uint64) (ok bool) {
	source, someSource := natHashIn(ps, wire.NotifyNATDetectionSourceIP, natHash(spii, spir, sa.remote))
	destination, someDestination := natHashIn(ps, wire.NotifyNATDetectionDestinationIP, natHash(spii, spir, sa.local))
	if e.cfg.NAT == NATNever || !someSource || !someDestination {
		return false
	}
	sa.nat = nat{ours: !destination, theirs: !source, pretended: e.cfg.NAT == NATAlways, sought: true}
	return true
}

// natHashIn looks for a hash among the notifications of a kind, of which there may be several.
func natHashIn(ps []wire.Payload, kind wire.NotifyType, want []byte) (found, some bool) {
	for n := range wire.Notifies(ps) {
		if n.Kind == kind {
			found, some = found || bytes.Equal(n.Data, want), true
		}
	}
	return found, some
}

// natHash is the content of a NAT_DETECTION notification. It keeps no secret and proves nothing.
func natHash(spii, spir uint64, at netip.AddrPort) []byte {
	b := binary.BigEndian.AppendUint64(nil, spii)
	b = binary.BigEndian.AppendUint64(b, spir)
	b = append(b, at.Addr().AsSlice()...)
	h := sha1.Sum(binary.BigEndian.AppendUint16(b, at.Port()))
	return h[:]
}

// heard takes note of a new and authentic message of the peer's, and of where it came from: IKE_AUTH may come to another
// port than IKE_SA_INIT, and later a NAT before the peer may have another mapping.
func (e *Engine) heard(sa *ikeSA, d Datagram) {
	sa.heardAt = e.now
	switch {
	case !sa.established && !sa.initiator:
		sa.local, sa.remote = d.Local, d.Remote
	case sa.established && !sa.mobike.on: // else the peer says so (RFC 4555 section 3.8)
		e.rebound(sa, d.Remote)
	}
}

// rebound takes an IKE_SA to where its peer is by now, which is behind a NAT. One who is behind a NAT himself does not
// follow: a forger who lets a true message take another way could cut him off (RFC 7296 section 2.23). A port is all that
// is changed here of SAs; to another address their policies are moved first.
func (e *Engine) rebound(sa *ikeSA, to netip.AddrPort) {
	if !sa.nat.theirs || sa.nat.ours || to == sa.remote {
		return
	}
	old := sa.path()
	sa.remote = to
	for _, c := range sa.children {
		e.reencapsulate(c)
	}
	e.notify(spd.PeerMoved{Peer: sa.peer.Name, ID: sa.own, Old: old, New: sa.path(), Encap: sa.encap()})
	e.association(sa.peer.Name).takeAlong(old, sa.path())
}

// mapped follows what the kernel reports of an SA.
func (e *Engine) mapped(c spd.Rebound) {
	e.withChild(c.Peer, c.ID, func(child *childSA) { e.rebound(child.ike, c.To) })
}

// encap is the UDP encapsulation of what goes out; none without a NAT, nor with a peer that stays on port 500 nevertheless.
func (sa *ikeSA) encap() spd.Encap {
	if !sa.nat.between() || sa.local.Port() != NATPort {
		return spd.Encap{}
	}
	return spd.Encap{Src: sa.local.Port(), Dst: sa.remote.Port()}
}

// encapOf is that of SAs for a demand. Only SAs between the addresses of the IKE_SA pass the NAT as they are: those on a
// home address do not.
func (sa *ikeSA) encapOf(d spd.Demand) spd.Encap {
	if !sa.carries(d) {
		return spd.Encap{}
	}
	return sa.encap()
}

func (sa *ikeSA) carries(d spd.Demand) bool {
	return sa.path() == spd.Path{Local: d.Local, Remote: d.Remote}
}

// reencapsulate gives the SAs of a pair in UDP the ports of the IKE_SA, where its addresses are theirs. Where a movement has
// led to or from behind a NAT, they are replaced (RFC 4555 section 3.5): no kernel takes an encapsulation away. To give them
// one is part of the peer's movement (spd.PeerMoved).
func (e *Engine) reencapsulate(c *childSA) {
	encap, none := c.ike.encapOf(c.demand), spd.Encap{}
	switch {
	case encap == c.encap || !c.ike.carries(c.demand) || c.deleting:
		return
	case (encap == none || c.encap == none) && !c.ike.mobike.on:
		return
	case encap == none || c.encap == none && c.ike.original:
		e.expired(spd.Expired{Peer: c.demand.Peer, ID: c.inID()})
		return
	case c.encap == none:
		c.encap = encap
		return
	}
	c.encap = encap
	e.emit(SetEncap{Peer: c.demand.Peer, ID: c.inID(), Encap: encap.Reverse()})
	e.emit(SetEncap{Peer: c.demand.Peer, ID: c.outID(), Encap: encap})
}

// keepAlive keeps the mapping of a NAT before this side alive for as long as an IKE_SA is in use.
func (e *Engine) keepAlive(sa *ikeSA) {
	if !sa.nat.ours {
		return
	}
	sa.keepalive = e.after(keepaliveInterval, func() {
		e.emit(Send{sa.here()})
		e.keepAlive(sa)
	})
}

// consentBehindNAT asks the role about traffic in transport mode with the addresses as this side sees them, and if it does
// not consent with those that the peer has named (RFC 7296 section 2.23.1).
func (e *Engine) consentBehindNAT(sa *ikeSA, r spd.Request, then func(spd.Demand, error)) {
	seen := r
	seen.Traffic = sa.asSeen(r.Traffic)
	if r.Mode != spd.Transport || !sa.nat.ours && !sa.nat.theirs {
		e.consent(sa, r, then)
		return
	}
	e.consent(sa, seen, func(d spd.Demand, err error) {
		if err == nil {
			then(d, nil)
			return
		}
		e.consent(sa, r, then)
	})
}

// asSeen is traffic in transport mode with the addresses that this side sees: a NAT has others inside.
func (sa *ikeSA) asSeen(t spd.Traffic) spd.Traffic {
	if sa.nat.ours {
		t.Local = at(sa.local.Addr(), t.Local)
	}
	if sa.nat.theirs {
		t.Remote = at(sa.remote.Addr(), t.Remote)
	}
	return t
}

// at puts an address in the place of the one that there is in the selectors. Several are left alone: in transport mode
// there is one.
func at(a netip.Addr, list []spd.TrafficSelector) []spd.TrafficSelector {
	first := list[0].Start
	if slices.ContainsFunc(list, func(s spd.TrafficSelector) bool { return s.Start != first || s.End != first }) {
		return list
	}
	out := slices.Clone(list)
	for i := range out {
		out[i].Start, out[i].End = a, a
	}
	return out
}
