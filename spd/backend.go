package spd

import (
	"errors"
	"net/netip"
)

// Backend is a kernel's IPsec. Its methods may be called from several goroutines; each is one small transaction that
// holds wholly or not at all. The memory backend is its executable specification.
type Backend interface {
	// AllocSPI reserves an SPI for an inbound SA: a larval SA stands until Install completes it, Remove gives it up or
	// the kernel lets it expire (30 s on Linux).
	AllocSPI(LarvalSA) (uint32, error)
	// Install adds the SA, completing the larval SA of the same SAID if AllocSPI made one. ErrExists if one is there.
	Install(SA) error
	// SetEncap gives an SA with UDP encapsulation other ports. It keeps its keys and sequence numbers. ErrNotFound if there
	// is no such SA, ErrInvalid if it has no encapsulation, which cannot be added or taken away.
	SetEncap(SAID, Encap) error
	// Remove deletes an SA, larval or not. ErrNotFound if there is none.
	Remove(SAID) error
	// SAs lists the ESP and AH SAs, without their keys; larval SAs are left out.
	SAs() ([]SA, error)

	// AddPolicy adds a policy. ErrExists if one with its PolicyKey is there.
	AddPolicy(Policy) error
	// UpdatePolicy adds the policy, or replaces the one with its PolicyKey.
	UpdatePolicy(Policy) error
	// RemovePolicy deletes a policy. ErrNotFound if there is none.
	RemovePolicy(PolicyKey) error
	// Policies lists the policies that apply to any socket, with their Index.
	Policies() ([]Policy, error)

	// Migrate moves the templates of one policy, and the SAs in use under them, from the old endpoints to the new. The
	// SAs keep SPI, keys and sequence numbers. ErrNotFound if the policy is not there, ErrNoTemplate if none of its
	// templates has the old endpoints; then nothing is changed.
	Migrate(Migrate) error

	// Events delivers what the kernel reports, in its order. It is closed by Close. When the kernel reports that
	// messages were lost, an EventsLost is in their place.
	Events() <-chan Event

	Close() error
}

// LarvalSA is what a kernel wants to know to reserve an SPI. It has no reqid, so that it is no policy's: Linux would move
// it with a policy's other SAs and refuse the whole Migrate, as it has no keys yet.
type LarvalSA struct {
	Endpoints Endpoints
	Proto     uint8
	Mode      Mode
}

// What a Backend refuses, to be found with errors.Is. Other errors carry the kernel's errno.
var (
	ErrExists     = errors.New("already there")
	ErrNotFound   = errors.New("not there")
	ErrNoTemplate = errors.New("no template has the old endpoints")
	ErrInvalid    = errors.New("refused as invalid")
)

// Event is something that the kernel reports.
type Event interface{ event() }

// Acquire is the kernel's call for an SA: a packet met a policy that no SA serves. Not every kernel tells all of it:
// Selector, Template and PolicyIndex are filled in from the SPD where the message itself lacks them.
type Acquire struct {
	Seq         uint32
	Selector    Selector // of the policy
	PolicyIndex uint32
	Template    Template
	Endpoints   Endpoints // of the wanted SA
	Flow        Selector  // of the packet that met the policy, where the kernel tells; else the zero Selector
	// Packet is the packet that met the policy, from its IPv6 header on, where the kernel tells
	// (SADB_X_EXT_PACKET); else nil.
	Packet []byte
}

// Expire reports that an SA has reached its soft or its hard lifetime.
type Expire struct {
	ID   SAID
	Hard bool
}

// Migrate is one policy's movement, as a request and as the kernel's report of what anyone requested.
type Migrate struct {
	PolicyKey
	Changes []EndpointChange
	// KMAddress, where the sender gave it, has this host's key exchange address as Src and the peer's as Dst, whatever
	// the direction of the policy. The zero Endpoints when absent.
	KMAddress Endpoints
	// Encap is the encapsulation that the SAs have from now on, in the direction of the policy. With the zero Encap each
	// keeps what it has. Not every kernel can do more: its Migrate returns ErrInvalid.
	Encap Encap
}

// EndpointChange moves the templates of one protocol, mode and reqid. In a report of transport mode Old may be
// unspecified addresses: such SAs do not move, only the KMAddress is news.
type EndpointChange struct {
	Proto    uint8
	Mode     Mode
	Reqid    uint32
	Old, New Endpoints
}

// PolicyChanged reports that a policy was added, replaced or, when Gone, deleted. It is sent for the agent's own
// changes too.
type PolicyChanged struct {
	Policy Policy
	Gone   bool
	// Moved: the kernel itself has moved the policy and its SAs, which others report as a Migrate (KAME).
	Moved bool
}

// SARemoved reports that somebody deleted an SA.
type SARemoved struct{ ID SAID }

// Mapping reports that an authentic packet of an inbound SA with UDP encapsulation came from another address or port than
// is known: a NAT has another mapping for the peer (RFC 7296 section 2.23). From is where the peer is to be found now.
type Mapping struct {
	ID   SAID
	From netip.AddrPort
}

// Flushed reports that somebody deleted all SAs (or, with Policies, all policies).
type Flushed struct{ Policies bool }

// EventsLost reports that the kernel had more to say than there was room for; the reader must look at SAs and Policies
// anew.
type EventsLost struct{}

// CareOfState reports a Mobile IPv6 state of the kernel that binds a home address to a care-of address. Src and Dst are
// those of the state: on the mobile node from HoA to the peer (home address option), on the home agent also from the
// peer to HoA (type 2 routing header). Gone when the state was deleted.
type CareOfState struct {
	Proto     uint8 // HomeOpt or Route2
	Endpoints Endpoints
	CareOf    netip.Addr
	Gone      bool
}

// Binding is a mobility daemon's word of where a home address is, which may come before the kernel follows. At home CareOf
// is the home address. HomeAgent is the zero Addr where that is not told.
type Binding struct {
	HomeAddress, CareOf, HomeAgent netip.Addr
}

func (Acquire) event()       {}
func (Expire) event()        {}
func (Migrate) event()       {}
func (PolicyChanged) event() {}
func (SARemoved) event()     {}
func (Mapping) event()       {}
func (Flushed) event()       {}
func (EventsLost) event()    {}
func (CareOfState) event()   {}
func (Binding) event()       {}
