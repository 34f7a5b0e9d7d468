package mobilenode

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"

	"mipsecd/internal/secret"
	"mipsecd/migrate"
	"mipsecd/mobility"
	"mipsecd/spd"
)

// own is what a mobile node that makes a home address itself knows of that (RFC 5026 section 5.3.2). The home agent tells the
// prefix in IKE_AUTH; by the traffic selectors of the first pair of SAs the node then claims an address, which is its own
// when the pair stands.
type own struct {
	prefix     netip.Prefix // the zero Prefix if the home agent assigns addresses
	dns        []netip.Addr
	claimed    netip.Addr // while the home agent is asked
	collisions uint32     // addresses so far that were another's
	refusals   int        // of them, those that the home agent has refused in a row
}

// maxRefusals is how many addresses are claimed in a row before the home agent is left alone (RFC 7217 section 6).
const maxRefusals = 3

// claims reports whether a demand is for the address that is being claimed.
func (t *tenancy) claims(d spd.Demand) bool {
	return t.claimed.IsValid() && !d.Unassigned && len(d.Traffic.Local) > 0 && d.Traffic.Local[0].Start == t.claimed
}

// autoconfigure takes what the home agent tells, and claims an address unless there is one under that prefix.
func (n *Node) autoconfigure(t *tenancy, told spd.Assignment) {
	p := told.HomePrefix
	if !p.Addr().Is6() || !p.Addr().IsGlobalUnicast() || p.Bits() < 64 || p.Bits() > 120 {
		n.emit(migrate.Report{What: "unusable home prefix", Peer: t.open.Peer, Detail: p.String()})
		n.unassigned(t)
		return
	}
	t.dns = told.DNS
	if path, ok := n.homes.OpenPath(t.open); ok && p != t.prefix {
		t.prefix = p
		n.claim(t, path)
	}
}

// claim asks the home agent for the first pair of SAs of an address of our own.
func (n *Node) claim(t *tenancy, path spd.Path) {
	t.claimed = t.address
	if !t.prefix.Contains(t.address) {
		t.claimed = ownAddress(t.prefix, t.open.Peer, t.collisions, n.secret)
	}
	home := t.open
	home.HomeAddress = t.claimed
	n.tell(spd.Key{Demand: n.homes.FirstDemand(home, path), Path: path})
}

// claimed takes an address that the home agent has agreed to.
func (n *Node) claimed(t *tenancy) {
	address := t.claimed
	t.claimed, t.refusals = netip.Addr{}, 0
	n.settle(t, address, t.dns)
}

// claimFailed claims another address if the home agent refuses this one, as somebody else's.
func (n *Node) claimFailed(t *tenancy, err error) {
	t.claimed = netip.Addr{}
	if !errors.Is(err, spd.ErrTraffic) {
		n.unanswered(t)
		return
	}
	n.vacate(t)
	t.collisions++
	if t.refusals++; t.refusals == maxRefusals {
		t.refusals = 0
		t.retry(n.now, lastWait)
		return
	}
	t.retry(n.now, 0)
}

// renounce gives up a home address that somebody else on the home link has, and asks for another one on the IKE_SA that there
// is (RFC 5026 section 5.3.2).
func (n *Node) renounce(p *migrate.Place) {
	home := p.HomeAddress
	n.emit(migrate.Report{What: "duplicate", Peer: p.Peer, HomeAddress: home, Detail: "another host has it"})
	t := n.tenancyOf(p.Peer)
	if t == nil || t.address != home {
		return
	}
	n.vacate(t)
	n.tell(spd.Vacate{Peer: p.Peer, Address: home})
	t.collisions++
	path, ok := n.homes.OpenPath(t.open)
	switch {
	case !ok || t.underWay():
	case t.prefix.IsValid():
		n.claim(t, path)
	default:
		t.asking = path
		wanted := n.homes.FirstDemand(t.open, path)
		wanted.Wished = home.Next() // any other
		n.tell(spd.Key{Demand: wanted, Path: path})
	}
}

// ownAddress is a home address under a prefix of 64 to 120 bits that only who knows the secret can foretell: the same each
// time for the same home agent and number of collisions (RFC 7217 section 5), and no anycast address.
func ownAddress(prefix netip.Prefix, peer string, collisions uint32, host secret.Bytes) netip.Addr {
	for try := uint32(0); ; try++ {
		h := hmac.New(sha256.New, host)
		h.Write([]byte("home address\x00" + prefix.String() + "\x00" + peer + "\x00"))
		h.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, collisions), try))
		a := mobility.WithInterfaceID(prefix, binary.BigEndian.Uint64(h.Sum(nil)))
		if !mobility.IsAnycast(prefix, a) {
			return a
		}
	}
}
