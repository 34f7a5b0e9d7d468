// Package homeagent is the home agent's part: who may speak for which home address, and what the movement of a mobile
// node means for the keys.
package homeagent

import (
	"fmt"
	"time"

	"mipsecd/migrate"
	"mipsecd/mobility"
	"mipsecd/spd"
	"mipsecd/spd/image"
)

// Agent is the home agent's role.
type Agent struct {
	now     time.Time
	effects []migrate.Effect
	image   *image.Image
	homes   *migrate.Homes
	guests  guests
}

// New makes a home agent for these home addresses. Together they are the peer authorization database (RFC 4301 section
// 4.4.3, RFC 4877 section 7.1): the peer of each, once authenticated, speaks for it, and nobody else does. A home without
// an address has one assigned out of the pool. With own, mipsecd installs and moves the policies; otherwise the mobility
// daemon does, and none is touched but those of road warriors.
func New(homes []migrate.Home, own bool, pool Pool) *Agent {
	return &Agent{image: image.New(), homes: migrate.NewHomes(homes, true, own), guests: newGuests(pool, homes)}
}

// Step implements migrate.Role.
func (a *Agent) Step(now time.Time, in migrate.Input) []migrate.Effect {
	a.now = now
	switch in := in.(type) {
	case migrate.Kernel:
		a.kernel(in.Event)
	case migrate.Keying:
		a.keying(in.Notice)
	case migrate.Snapshot:
		a.snapshot(in)
	case migrate.Tick:
	case migrate.End:
		a.emit(migrate.Discard(a.image.Disinherit())...)
	case migrate.Addresses:
		// A home agent stays where it is: its address is in the configuration.
	case migrate.Connect:
		if p := a.homes.With(in.Peer); p != nil {
			a.tell(spd.Connect{Peer: p.Peer, Path: a.homes.KeyPath(p)})
		}
	}
	a.tick()
	out := a.effects
	a.effects = nil
	return out
}

// Places implements migrate.Role.
func (a *Agent) Places() []migrate.Place { return a.homes.Places() }

func (a *Agent) emit(es ...migrate.Effect) { a.effects = append(a.effects, es...) }
func (a *Agent) tell(c spd.Command)        { a.emit(migrate.Tell{Command: c}) }

// kernel follows what the kernel reports.
func (a *Agent) kernel(e spd.Event) {
	e = a.image.AsMigrate(e)
	if c, ok := a.image.Event(e); ok {
		a.tell(c)
	}
	switch e := e.(type) {
	case spd.Acquire:
		a.acquire(e)
	case spd.Migrate:
		a.migrated(e)
	case spd.PolicyChanged:
		a.emit(a.homes.Changed(e)...)
	case spd.CareOfState:
		a.emit(a.homes.Bind(a.now, e)...)
	case spd.Binding:
		a.emit(a.homes.Hear(a.now, e)...)
	case spd.Flushed:
		a.emit(a.homes.Flushed(e)...)
	case spd.EventsLost:
		a.emit(migrate.Reread{})
	}
}

// acquire keys what the kernel calls for: traffic to a mobile node for which there is no SA (RFC 4877 section 7.3).
func (a *Agent) acquire(e spd.Acquire) {
	d, err := a.image.Wanted(e)
	if err != nil {
		a.emit(migrate.Report{What: "not keyed", Detail: err.Error()})
		return
	}
	p := a.homes.For(d)
	if p == nil {
		a.emit(migrate.Report{What: "not keyed", Detail: fmt.Sprintf(
			"ACQUIRE %d for %s: between us and no mobile node of ours", e.Seq, e.Selector)})
		return
	}
	d.Peer = p.Peer
	a.tell(spd.Key{Demand: d, Path: a.homes.KeyPath(p)})
}

// migrated follows a MIGRATE: the kernel has moved a policy and its SAs; the key exchange follows them.
func (a *Agent) migrated(m spd.Migrate) {
	movement, ok := mobility.FromMigrate(m)
	if p := a.homes.Of(movement.Remote); ok && p != nil {
		a.emit(a.homes.Follow(a.now, p, movement.Path, m)...)
	}
}

// keying follows what the key exchange says, and decides what a mobile node may have.
func (a *Agent) keying(notice spd.Notice) {
	a.emit(migrate.Discard(a.image.Notice(notice))...)
	a.emit(a.homes.Keyed(a.now, notice)...)
	switch x := notice.(type) {
	case spd.Request:
		a.tell(a.authorize(x))
	case spd.AddressRequest:
		a.tell(a.assign(x))
	case spd.PeerUp:
		a.keyed(x.Peer, x.ID, true)
	case spd.PeerDown:
		a.keyed(x.Peer, x.ID, false)
	}
}

// snapshot starts from what the kernel has, or starts anew after reports were lost. What an earlier run has left SAs for is
// not keyed anew before a mobile node or the kernel asks for it: until the mobile nodes notice, those SAs serve, and not
// all notice at once.
func (a *Agent) snapshot(s migrate.Snapshot) {
	for _, m := range a.image.Load(s.Policies) {
		a.migrated(m)
	}
	a.emit(a.homes.Begin(a.now, s)...)
	for _, lost := range a.image.Missing(s.SAs) {
		a.tell(lost)
	}
	a.homes.Inherit(s, a.image)
}
