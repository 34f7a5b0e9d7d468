package spd

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// This file is the vocabulary between the roles, which know about mobility, and a key exchange (ikev2, kink), which
// knows about peers and SAs. A role gives a Command; the key exchange answers with a Notice.

// Path is where the datagrams of a key exchange go: this host's address and the peer's. On a mobile node away from home
// Local is the CoA, while the SAs are on the HoA (RFC 4877 section 4.4).
type Path struct {
	Local, Remote netip.Addr
}

func (p Path) String() string { return p.Local.String() + " - " + p.Remote.String() }

// Demand is a wanted pair of SAs: for which traffic, on which addresses, tied to which policies. An SA pair that a key
// exchange has made keeps its Demand, so that it can be rekeyed from it.
type Demand struct {
	Peer    string // the peer's name in the configuration
	Name    string // what is protected, in the configuration's words, such as "binding"
	Traffic Traffic
	Mode    Mode
	// First is the traffic of the packet that made the kernel call for the pair, one selector each, within Traffic: a peer
	// that cannot give all gives SAs for this (RFC 7296 section 2.9). It is empty where the packet is not known.
	First Traffic
	// Local and Remote are the addresses of the SAs.
	Local, Remote netip.Addr
	// Unassigned leaves it to the peer which of the addresses in Traffic.Local this host gets: the traffic is narrowed to
	// what the peer assigns, and in transport mode Local becomes that. Wished is the one that it had best be, or the zero Addr
	// for the one that it was before.
	Unassigned bool
	Wished     netip.Addr
	// ReqidIn and ReqidOut tie the SAs to their policies, each direction to its own.
	ReqidIn, ReqidOut uint32
	// Acquire is the sequence number of the kernel's ACQUIRE that asks for the pair, or zero.
	Acquire uint32
}

// Endpoints are those of the outbound SA.
func (d Demand) Endpoints() Endpoints { return Endpoints{Src: d.Local, Dst: d.Remote} }

func (d Demand) String() string {
	return fmt.Sprintf("%s with %s (%s, %s - %s)", d.Name, d.Peer, d.Mode, d.Local, d.Remote)
}

// Readdress moves the demand if the change is about the SAs of one of its directions, and reports whether it did. A change
// without reqid is for any.
func (d *Demand) Readdress(c EndpointChange) bool {
	out := Endpoints{Src: d.Local, Dst: d.Remote}
	switch {
	case d.Mode != c.Mode || c.Old == c.New:
		return false
	case (c.Reqid == 0 || c.Reqid == d.ReqidOut) && c.Old == out:
		d.Local, d.Remote = c.New.Src, c.New.Dst
	case (c.Reqid == 0 || c.Reqid == d.ReqidIn) && c.Old == out.Reverse():
		d.Local, d.Remote = c.New.Dst, c.New.Src
	default:
		return false
	}
	return true
}

// Command is what a role tells a key exchange.
type Command interface{ command() }

// Key asks for a pair of SAs. The key exchange reuses what it has with the peer, or begins anew over Path; over the zero
// Path it begins nothing. A second Key for a Demand under way is ignored.
type Key struct {
	Demand Demand
	Path   Path
}

// Connect asks for an IKE_SA with a peer over Path, which is as in Key, if there is none, though no pair of SAs is wanted
// (RFC 6023). KINK, which has none, ignores it.
type Connect struct {
	Peer string
	Path Path
}

// Relocate says that the key exchange with a peer now runs over another path. With Keep (the K bit on both sides,
// RFC 6275 sections 10.3.1 and 11.7.3) what is established goes on there and no message is sent. Without it what was
// established over another path is discarded; Renew says that this side sets it up anew from the new path. Who has begun an
// IKE_SA with MOBIKE on both sides tells the peer instead that it moves (RFC 4555).
type Relocate struct {
	Peer  string
	Path  Path
	Keep  bool
	Renew bool
}

// Addresses are all of this host's that the key exchange may be spoken from, and that peers with MOBIKE are told of.
type Addresses struct{ List []netip.Addr }

// MoveSAs says that the kernel has moved a policy, and the tunnel SAs of a peer with its reqid, to other addresses. Encap is
// that of the Migrate.
type MoveSAs struct {
	Peer   string
	Policy PolicyKey
	Change EndpointChange
	Encap  Encap
}

// Rebound says that an authentic packet of an inbound SA came from elsewhere than is known, as a NAT before the peer has
// another mapping for it: the peer is to be found at To from now on.
type Rebound struct {
	Peer string
	ID   SAID
	To   netip.AddrPort
}

// Expired says that an SA has reached its soft lifetime, so that it be rekeyed, or its hard one, so that it be deleted
// with its pair.
type Expired struct {
	Peer string
	ID   SAID
	Hard bool
}

// Lost says that an SA is no longer in the kernel: the pair is deleted at the peer, too.
type Lost struct {
	Peer string
	ID   SAID
}

// Probe asks whether the peer is alive.
type Probe struct{ Peer string }

// RekeyPeer asks for a new IKE_SA in place of the one with the peer. KINK, which has none, ignores it.
type RekeyPeer struct{ Peer string }

// Reauthenticate asks for both peers to prove anew who they are (RFC 4478). KINK ignores it.
type Reauthenticate struct{ Peer string }

// RedirectPeer sends a peer that has begun to another address (RFC 5685). KINK ignores it.
type RedirectPeer struct {
	Peer string
	To   netip.Addr
}

// Terminate ends all that is established with a peer.
type Terminate struct{ Peer string }

// ErrSinglePair refuses a Request for traffic between more than two addresses, where a request for one pair of them would
// be granted.
var ErrSinglePair = errors.New("the policy wants SAs between two addresses only")

// Grant answers a Request: Demand has the narrowed traffic, or Err says why there will be no SA.
type Grant struct {
	Request uint64
	Demand  Demand
	Err     error
}

// Superseded says that a peer has begun anew (INITIAL_CONTACT) with Except, over Path: all else is forgotten that was
// there before the peer did so, at Before. SAs of another path serve until they are replaced, for a short while.
type Superseded struct {
	Peer   string
	Except uint64
	Path   Path
	Before time.Time
}

// Met says that there is something with a peer, ID, of which not every engine of a key exchange knows.
type Met struct {
	Peer string
	ID   uint64
}

func (Key) command()        {}
func (Connect) command()    {}
func (Relocate) command()   {}
func (Addresses) command()  {}
func (MoveSAs) command()    {}
func (Rebound) command()    {}
func (Expired) command()    {}
func (Lost) command()       {}
func (Probe) command()      {}
func (RekeyPeer) command()  {}
func (Terminate) command()  {}
func (Grant) command()      {}
func (Superseded) command() {}
func (Met) command()        {}

func (Reauthenticate) command() {}
func (RedirectPeer) command()   {}

// Notice is what a key exchange tells a role.
type Notice interface{ notice() }

// Request says that an authenticated peer asks for a pair of SAs; it waits for the role's Grant with the same Request.
// Traffic is as seen from this host: Remote is the peer's side.
type Request struct {
	Request uint64
	Peer    string
	Mode    Mode
	Traffic Traffic
	Path    Path
}

// PeerUp says that the key exchange with a peer is established. ID tells apart several with one peer.
type PeerUp struct {
	Peer string
	ID   uint64
	Path Path
	// Initiator tells whether this host began it.
	Initiator bool
	// First: the peer says that it knows of nothing else with this host (INITIAL_CONTACT).
	First bool
	// Began is when the first message of it was sent or came.
	Began time.Time
	// Replaces is the ID of the one that it was rekeyed from, or zero.
	Replaces uint64
}

// PeerDown says that what was established with a peer is gone.
type PeerDown struct {
	Peer   string
	ID     uint64
	Reason string
}

// PeerMoved says that the key exchange with a peer runs over another path: a Relocate has been carried out, the peer has
// moved by MOBIKE, or a NAT before it has another mapping for it. Then Encap is the UDP encapsulation of what goes out to it; SAs at the
// addresses of New have that already. Where these are not those of Old, policies and SAs are to be moved.
type PeerMoved struct {
	Peer     string
	ID       uint64
	Old, New Path
	Encap    Encap
}

// PeerAlive answers a Probe.
type PeerAlive struct {
	Peer string
	ID   uint64
}

// ChildUp says that a pair of SAs is installed. Replaces is the inbound SA of the pair that it takes over from, or the
// zero SAID.
type ChildUp struct {
	Demand   Demand
	In, Out  SAID
	Replaces SAID
}

// ChildDown says that a pair of SAs is removed.
type ChildDown struct {
	Demand  Demand
	In, Out SAID
	Reason  string
}

// KeyFailed says that a Key came to nothing.
type KeyFailed struct {
	Demand Demand
	Err    error
}

// ConnectFailed says that a Connect came to nothing.
type ConnectFailed struct {
	Peer string
	Err  error
}

func (Request) notice()   {}
func (PeerUp) notice()    {}
func (PeerDown) notice()  {}
func (PeerMoved) notice() {}
func (PeerAlive) notice() {}
func (ChildUp) notice()   {}
func (ChildDown) notice() {}
func (KeyFailed) notice() {}

func (ConnectFailed) notice() {}

// Redirected says that a peer is to be spoken to at another address from now on, and that the tunnels with it lead there.
type Redirected struct {
	Peer string
	Path Path
}

func (Redirected) notice() {}

// MovedTogether says that a MoveSAs was about several SAs, as there are while one pair takes over from another. A kernel may
// have moved only one of them (Linux): then the others are to follow.
type MovedTogether struct {
	Moved MoveSAs
	SAs   int
}

func (MovedTogether) notice() {}

// ChildMoved says that a MoveSAs has changed the addresses, and so the names, of a pair of SAs.
type ChildMoved struct {
	Demand        Demand
	OldIn, OldOut SAID
	In, Out       SAID
}

func (ChildMoved) notice() {}
