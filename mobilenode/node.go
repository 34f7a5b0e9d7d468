// Package mobilenode is the mobile node's part: when to key, from which address, and what a movement means for the keys.
package mobilenode

import (
	"fmt"
	"net/netip"
	"time"

	"mipsecd/internal/secret"
	"mipsecd/migrate"
	"mipsecd/mobility"
	"mipsecd/spd"
	"mipsecd/spd/image"
)

// Node is the mobile node's role.
type Node struct {
	now       time.Time
	effects   []migrate.Effect
	image     *image.Image
	homes     *migrate.Homes
	addresses []netip.Addr
	tenancies []*tenancy
	secret    secret.Bytes
}

// New makes a mobile node with these home addresses. A home without an address has one assigned by its home agent, or
// makes one by host, which nobody else knows. With own, mipsecd installs and moves the policies; otherwise the mobility daemon
// does, and none is touched but those of road warriors.
func New(homes []migrate.Home, own bool, host secret.Bytes) *Node {
	n := &Node{image: image.New(), homes: migrate.NewHomes(homes, false, own), secret: host}
	for _, open := range n.homes.Open() {
		n.tenancies = append(n.tenancies, &tenancy{
			open: open, sas: map[uint64]bool{}, search: search{wanted: !open.HomeAgent.IsValid()},
		})
	}
	return n
}

// Step implements migrate.Role.
func (n *Node) Step(now time.Time, in migrate.Input) []migrate.Effect {
	n.now = now
	switch in := in.(type) {
	case migrate.Kernel:
		n.kernel(in.Event)
	case migrate.Keying:
		n.keying(in.Notice)
	case migrate.Snapshot:
		n.snapshot(in)
	case migrate.Addresses:
		n.addresses = in.List
		n.emit(n.homes.Attached(n.now, in)...)
	case migrate.Tick:
	case migrate.HomeAgents:
		n.foundHomeAgents(in)
	case migrate.Acknowledged:
		n.acknowledged(in)
	case migrate.End:
		n.emit(migrate.Discard(n.image.Disinherit())...)
		for _, t := range n.tenancies {
			n.vacate(t)
		}
		n.tenancies = nil
	case migrate.Connect:
		if p := n.homes.With(in.Peer); p != nil {
			n.tell(spd.Connect{Peer: p.Peer, Path: n.path(p)})
		} else if t := n.tenancyOf(in.Peer); t != nil {
			t.again = time.Time{}
		}
	}
	n.seek()
	out := n.effects
	n.effects = nil
	return out
}

// Places implements migrate.Role.
func (n *Node) Places() []migrate.Place { return n.homes.Places() }

func (n *Node) emit(es ...migrate.Effect) { n.effects = append(n.effects, es...) }
func (n *Node) tell(c spd.Command)        { n.emit(migrate.Tell{Command: c}) }

// kernel follows what the kernel reports.
func (n *Node) kernel(e spd.Event) {
	e = n.image.AsMigrate(e)
	if c, ok := n.image.Event(e); ok {
		n.tell(c)
	}
	switch e := e.(type) {
	case spd.Acquire:
		n.acquire(e)
	case spd.Migrate:
		n.migrated(e)
	case spd.PolicyChanged:
		n.emit(n.homes.Changed(e)...)
	case spd.CareOfState:
		n.emit(n.homes.Bind(n.now, e)...)
	case spd.Binding:
		n.emit(n.homes.Hear(n.now, e)...)
	case spd.Flushed:
		n.emit(n.homes.Flushed(e)...)
	case spd.EventsLost:
		n.emit(migrate.Reread{})
	}
}

// acquire keys what the kernel calls for, from the CoA (RFC 4877 section 4.4).
func (n *Node) acquire(a spd.Acquire) {
	d, err := n.image.Wanted(a)
	if err != nil {
		n.emit(migrate.Report{What: "not keyed", Detail: err.Error()})
		return
	}
	p := n.homes.For(d)
	if p == nil {
		n.emit(migrate.Report{What: "not keyed", Detail: fmt.Sprintf(
			"ACQUIRE %d for %s: between no home address of ours and its home agent", a.Seq, a.Selector)})
		return
	}
	n.readPacket(p, a.Packet)
	d.Peer = p.Peer
	n.tell(spd.Key{Demand: d, Path: n.path(p)})
}

// readPacket learns the CoA from the Binding Update for which the kernel called, where it shows it.
func (n *Node) readPacket(p *migrate.Place, packet []byte) {
	if len(packet) == 0 {
		return
	}
	parsed, err := mobility.ParsePacket(packet)
	if err != nil {
		n.emit(migrate.Report{What: "unreadable packet", Peer: p.Peer, HomeAddress: p.HomeAddress, Detail: err.Error()})
		return
	}
	if _, careOf, ok := parsed.Binding(func(x netip.Addr) bool { return x == p.HomeAddress }); ok {
		n.emit(n.homes.Moved(n.now, p, careOf)...)
	}
}

// path is where the key exchange runs: from the CoA, or as long as none is known from an address that is no home
// address.
func (n *Node) path(p *migrate.Place) spd.Path {
	path := n.homes.Path(p)
	if p.CareOf.IsValid() {
		return path
	}
	for _, a := range n.addresses {
		if n.homes.Of(a) == nil && a.Is4() == path.Remote.Is4() {
			path.Local = a
			break
		}
	}
	return path
}

// migrated follows a MIGRATE: the kernel has moved a policy and its SAs; the key exchange follows them.
func (n *Node) migrated(m spd.Migrate) {
	movement, ok := mobility.FromMigrate(m)
	if p := n.homes.Of(movement.Local); ok && p != nil {
		n.emit(n.homes.Follow(n.now, p, movement.Path, m)...)
	}
}

// keying follows what the key exchange says, and answers what a home agent asks for.
func (n *Node) keying(notice spd.Notice) {
	n.emit(migrate.Discard(n.image.Notice(notice))...)
	n.tenant(notice)
	n.emit(n.homes.Keyed(n.now, notice)...)
	if r, ok := notice.(spd.Request); ok {
		n.tell(n.homes.Grant(r, n.image)) // to nobody else any (RFC 4877 section 7.1)
	}
}

// snapshot starts from what the kernel has, or starts anew after reports were lost.
func (n *Node) snapshot(s migrate.Snapshot) {
	for _, m := range n.image.Load(s.Policies) {
		n.migrated(m)
	}
	n.emit(n.homes.Begin(n.now, s)...)
	for _, lost := range n.image.Missing(s.SAs) {
		n.tell(lost)
	}
	// What an earlier run of the agent has left SAs for is keyed anew: the IKE_SAs that they belong to are gone with that.
	for _, d := range n.homes.Inherit(s, n.image) {
		n.tell(spd.Key{Demand: d, Path: n.path(n.homes.For(d))})
	}
}
