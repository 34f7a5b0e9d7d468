package migrate

import (
	"net/netip"
	"time"

	"mipsecd/spd"
)

// Role is the part that mipsecd plays: mobile node or home agent. It is a pure state machine: an Input with the time goes
// in, ordered Effects come out.
type Role interface {
	Step(now time.Time, in Input) []Effect
	// Deadline is when it wants a Tick, if it is told nothing else before; the zero Time is never.
	Deadline() time.Time
	// Places lists the home addresses that it serves: those of the configuration in their order, then those assigned.
	Places() []Place
}

// Input is one thing that a role is told.
type Input interface{ input() }

// Kernel brings a report of the kernel.
type Kernel struct{ spd.Event }

// Keying brings what a key exchange says.
type Keying struct{ spd.Notice }

// Snapshot brings what is in the kernel: at the start, and as the answer to Reread.
type Snapshot struct {
	Policies []spd.Policy
	SAs      []spd.SA
	CareOf   []spd.CareOfState
}

// Addresses brings the addresses of this host that packets can be sent from, home addresses included. Sources are those
// that packets to a peer's address would be sent from if nobody chose, by that address, where the system tells.
type Addresses struct {
	List    []netip.Addr
	Sources map[netip.Addr]netip.Addr
}

// Connect is an operator's wish for an IKE_SA with a peer, though nothing calls for SAs yet.
type Connect struct{ Peer string }

// Acknowledged tells of a Binding Acknowledgement for a home address of this host's (RFC 6275 section 6.1.8): its status, as
// of mobility.BindingStatus, and whether the home agent keeps the IKE_SA over movements (K bit).
type Acknowledged struct {
	HomeAddress, HomeAgent netip.Addr
	Status                 uint8
	KeyMobility            bool
}

// HomeAgents answers a FindHomeAgent with the same Peer and From: addresses to be tried, the preferred ones first, or Err says
// why there is none.
type HomeAgents struct {
	Peer      string
	From      netip.Addr
	Addresses []netip.Addr
	Err       error
}

// End says that the agent ends: what was assigned to this host is given up, and what was left of an earlier run.
type End struct{}

// Tick says only that time has passed.
type Tick struct{}

func (Kernel) input()       {}
func (Keying) input()       {}
func (Snapshot) input()     {}
func (Addresses) input()    {}
func (Connect) input()      {}
func (Acknowledged) input() {}
func (HomeAgents) input()   {}
func (Tick) input()         {}
func (End) input()          {}

// Effect is one thing that a role wants done.
type Effect interface{ effect() }

// Tell gives the key exchange a command.
type Tell struct{ spd.Command }

// Carry wants a plan applied to the kernel.
type Carry struct{ Plan }

// SetAddress wants an assigned home address on this host or, when Gone, no longer.
type SetAddress struct {
	Address netip.Addr
	Gone    bool
}

// FindHomeAgent wants to know where home agents are, whose addresses are not configured; From is where this host can be
// reached. It is answered by HomeAgents.
type FindHomeAgent struct {
	Peer string
	From netip.Addr
}

// Reread wants a Snapshot.
type Reread struct{}

// Report is for people: one event in the life of a binding.
type Report struct {
	What        string // such as "moved"
	Peer        string
	HomeAddress netip.Addr
	Detail      string
}

func (Tell) effect()          {}
func (Carry) effect()         {}
func (SetAddress) effect()    {}
func (Reread) effect()        {}
func (Report) effect()        {}
func (FindHomeAgent) effect() {}
