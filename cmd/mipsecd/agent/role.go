package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mipsecd/ikev2"
	"mipsecd/migrate"
	"mipsecd/spd"
)

// runRole gives the role what kernel, key exchange and network report.
func (a *Agent) runRole(ctx context.Context, stop context.CancelCauseFunc) {
	if err := a.snapshot(); err != nil {
		stop(err)
		return
	}
	var careOf <-chan spd.Event
	if a.opt.CareOf != nil {
		careOf = a.opt.CareOf.Events()
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wake(timer, a.opt.Role.Deadline())
		select {
		case <-timer.C:
			a.step(migrate.Tick{})
		case e, ok := <-a.opt.Backend.Events():
			if !ok {
				stop(errors.New("the kernel's reports have ended"))
				return
			}
			a.step(migrate.Kernel{Event: e})
		case e, ok := <-careOf:
			if !ok {
				stop(errors.New("the kernel's reports of Mobile IPv6 states have ended"))
				return
			}
			a.step(migrate.Kernel{Event: e})
		case <-a.notices.wake:
			a.hear()
		case here := <-a.opt.Addresses:
			a.step(here)
		case ack := <-a.opt.Acknowledged:
			a.step(ack)
		case call := <-a.calls:
			call()
		case <-ctx.Done():
			return
		}
	}
}

// hear tells the role what the key exchange has said.
func (a *Agent) hear() {
	for _, n := range a.notices.take() {
		if c, ok := a.router.Heard(n); ok {
			a.tell(c)
		}
		a.step(migrate.Keying{Notice: n})
	}
}

// reread reads the kernel anew for the role, once that knows all that the shards have done so far: then the kernel has
// whatever the role knows of.
func (a *Agent) reread() {
	for _, s := range a.shards {
		s.ask(func(*ikev2.Engine) {})
	}
	a.call(func() {
		a.hear()
		a.failed("reading the kernel anew", a.snapshot())
	})
}

// snapshot reads the kernel for the role.
func (a *Agent) snapshot() error {
	policies, err := a.opt.Backend.Policies()
	if err != nil {
		return fmt.Errorf("reading the policies: %w", err)
	}
	sas, err := a.opt.Backend.SAs()
	if err != nil {
		return fmt.Errorf("reading the SAs: %w", err)
	}
	source, ok := a.opt.Backend.(interface {
		CareOfStates() ([]spd.CareOfState, error)
	})
	if a.opt.CareOf != nil {
		source, ok = a.opt.CareOf, true
	}
	var states []spd.CareOfState
	if ok {
		if states, err = source.CareOfStates(); err != nil {
			return fmt.Errorf("reading the Mobile IPv6 states: %w", err)
		}
	}
	a.step(migrate.Snapshot{Policies: policies, SAs: sas, CareOf: states})
	return a.compareManual()
}

// step carries out, in their order, the effects of one input.
func (a *Agent) step(in migrate.Input) {
	for _, effect := range a.opt.Role.Step(time.Now(), in) {
		switch f := effect.(type) {
		case migrate.Tell:
			a.tell(f.Command)
		case migrate.Carry:
			a.failed("changing the kernel", f.Apply(a.opt.Backend))
		case migrate.SetAddress:
			a.setAddress(f)
		case migrate.FindHomeAgent:
			go func() {
				list, err := a.opt.HomeAgents.Find(f.Peer, f.From)
				a.call(func() { a.step(migrate.HomeAgents{Peer: f.Peer, From: f.From, Addresses: list, Err: err}) })
			}()
		case migrate.Reread:
			a.watch(f)
			go a.reread()
		default:
			a.watch(f)
		}
	}
}

// setAddress puts an assigned home address onto this host, or takes it away.
func (a *Agent) setAddress(s migrate.SetAddress) {
	set, what := a.opt.HomeAddresses.Add, "adding home address "
	if s.Gone {
		set, what = a.opt.HomeAddresses.Remove, "removing home address "
	}
	a.failed(what+s.Address.String(), set(s.Address))
}

// tell gives a command to the table of manual keys, or to the engines that it concerns.
func (a *Agent) tell(c spd.Command) {
	if effects, ours := a.manual.Step(c); ours {
		a.carry(effects)
		return
	}
	from, to := a.router.Route(c)
	for _, s := range a.shards[from:to] {
		s.inbox.put(ikev2.Command{Command: c})
	}
}

// Tell gives the key exchange a command from outside: an operator's, or a test's.
func (a *Agent) Tell(c spd.Command) { a.call(func() { a.tell(c) }) }

// call has the role's goroutine do something.
func (a *Agent) call(f func()) {
	select {
	case a.calls <- f:
	case <-a.done:
	}
}

// Connect asks for an IKE_SA with a peer, though nothing calls for SAs yet.
func (a *Agent) Connect(peer string) error {
	return a.about(peer, func() { a.step(migrate.Connect{Peer: peer}) })
}

// Reauthenticate asks for a peer and this host to authenticate anew.
func (a *Agent) Reauthenticate(peer string) error {
	return a.about(peer, func() { a.tell(spd.Reauthenticate{Peer: peer}) })
}

// Redirect sends a peer that has begun to another address.
func (a *Agent) Redirect(peer string, to netip.Addr) error {
	return a.about(peer, func() { a.tell(spd.RedirectPeer{Peer: peer, To: to}) })
}

// about does something about a peer if there is one of that name.
func (a *Agent) about(peer string, do func()) error {
	if a.manual.Has(peer) {
		return fmt.Errorf("%q has manual keys: there is no key exchange with it", peer)
	}
	if a.opt.Engine.Peers.ByName(peer) == nil {
		return fmt.Errorf("no peer is called %q", peer)
	}
	a.call(do)
	return nil
}
