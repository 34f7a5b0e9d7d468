package ikev2

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/spd"
)

// childSA is a pair of ESP SAs.
type childSA struct {
	ike     *ikeSA // that it belongs to; nil once it is removed or an orphan
	demand  spd.Demand
	in, out uint32 // SPIs
	suite   suite.ESPSuite
	mine    bool // this side asked for it

	encap     spd.Encap // outbound
	installed time.Time
	removed   time.Time
	former    []spd.SAID    // what its SAs may be called in the kernel if that did not move them, as it should have
	inAt      spd.Endpoints // where the inbound SA is by the kernel's reports, which tell of it by itself
	outAt     spd.Endpoints
	deleting  bool // a Delete for it is on its way
	rekeying  contest[childSA]
}

func (c *childSA) inID() spd.SAID  { return espID(c.demand.Local, c.in) }
func (c *childSA) outID() spd.SAID { return espID(c.demand.Remote, c.out) }

// replaced reports whether a rekeying has made its successor.
func (c *childSA) replaced() bool {
	return c.rekeying.mine.made != nil || c.rekeying.theirs.made != nil
}

// install puts a new pair into the kernel, inbound first, and tells the role. Larva is the SAID that was reserved: it is
// another one than that of the inbound SA if the SA's addresses have moved meanwhile.
func (e *Engine) install(sa *ikeSA, c *childSA, larva spd.SAID, toUs, toPeer spd.Transform, replaces *childSA) {
	c.encap = sa.encapOf(c.demand)
	life := e.lifetime(sa.peer.ChildLifetime)
	one := func(dir spd.Dir, spi uint32, t spd.Transform) spd.SA {
		s := spd.SA{
			SPI: spi, Proto: spd.ESP, Mode: c.demand.Mode, Dir: dir, Transform: t, Lifetime: life, ReplayWindow: replayWindow,
			Endpoints: spd.Endpoints{Src: c.demand.Local, Dst: c.demand.Remote}, Reqid: c.demand.ReqidOut,
			Encap: c.encap,
		}
		if dir == spd.In {
			s.Endpoints, s.Reqid, s.Encap = s.Endpoints.Reverse(), c.demand.ReqidIn, c.encap.Reverse()
		} else {
			s.Acquire = c.demand.Acquire
		}
		if s.Mode == spd.Transport {
			// Where policies share a reqid, or have none, an SA must not carry another home address's traffic.
			s.Selector = spd.Selector{Src: spd.Host(s.Endpoints.Src), Dst: spd.Host(s.Endpoints.Dst)}
		}
		return s
	}
	if larva != c.inID() {
		e.emit(Remove{larva})
	}
	e.emit(Install{sa.peer.Name, one(spd.In, c.in, toUs)})
	e.emit(Install{sa.peer.Name, one(spd.Out, c.out, toPeer)})
	c.demand.Acquire, c.demand.First = 0, spd.Traffic{}
	c.installed = e.now
	c.outAt = c.demand.Endpoints()
	c.inAt = c.outAt.Reverse()
	c.ike = sa
	sa.children = append(sa.children, c)

	up := spd.ChildUp{Demand: c.demand, In: c.inID(), Out: c.outID()}
	if replaces != nil {
		up.Replaces = replaces.inID()
	}
	e.notify(up)
	e.adopt(sa.peer.Name, c.demand, "set up anew after a movement")
	if replaces == nil {
		e.settleTwins(c)
	}
}

// replayWindow is the anti-replay window of the SAs in packets.
const replayWindow = 32

// lifetime gives both ends of an SA's life; each side rekeys at a moment of its own.
func (e *Engine) lifetime(hard time.Duration) spd.Lifetime {
	if hard == 0 {
		return spd.Lifetime{}
	}
	return spd.Lifetime{Soft: e.early(hard), Hard: hard}
}

// removeChild takes a pair out of the kernel and out of its IKE_SA; one that is removed already is fine.
func (e *Engine) removeChild(c *childSA, reason string) {
	if c.ike == nil {
		return
	}
	c.ike.children = slices.DeleteFunc(c.ike.children, func(other *childSA) bool { return other == c })
	c.ike = nil
	e.removePair(c, reason)
}

func (e *Engine) removePair(c *childSA, reason string) {
	e.emit(Remove{c.outID()})
	e.emit(Remove{c.inID()})
	for _, id := range c.former {
		e.emit(Remove{id})
	}
	e.remember(c)
	e.notify(spd.ChildDown{Demand: c.demand, In: c.inID(), Out: c.outID(), Reason: reason})
}

// settleChild decides what becomes of a pair that was rekeyed: who made the surviving one deletes the old one, who made
// the other one deletes that (RFC 7296 section 2.8.1).
func (e *Engine) settleChild(old *childSA) {
	rekeyed := &old.rekeying
	switch {
	case rekeyed.pending() || rekeyed.mine.made == nil:
	case rekeyed.mineLoses():
		e.deleteChild(rekeyed.mine.made, "rekeyed by both sides at once")
	default:
		e.deleteChild(old, "rekeyed")
	}
}

// settleTwins leaves one pair for the same policies, beside those that are being rekeyed; who asked for another one
// deletes it. Two can come about when both sides' kernels call for SAs at once, as after a movement without the K bit.
// With both in place a MIGRATE would leave one behind.
func (e *Engine) settleTwins(c *childSA) {
	for _, sa := range slices.Clone(e.association(c.ike.peer.Name).sas) {
		for _, other := range slices.Clone(sa.children) {
			if other.ike != c.ike && other.ike.original == c.ike.original {
				continue // who has begun both authenticates anew, and deletes the older IKE_SA
			}
			if other == c || other.deleting || other.replaced() || other.rekeying.pending() || !sameDemand(other.demand, c.demand) {
				continue
			}
			loser := other
			if c.yields(other) {
				loser = c
			}
			if loser.mine {
				e.deleteChild(loser, "a second one for the same policies")
			}
		}
	}
}

// yields reports whether c, the newer, is the one of two pairs for the same policies that is to go. Both sides come to
// the same end: of two that one side asked for stays the newer; else, of one IKE_SA, what its initiator asked for, and of
// two IKE_SAs the pair of that with the higher SPIs.
func (c *childSA) yields(other *childSA) bool {
	switch {
	case c.mine == other.mine:
		return false
	case c.ike == other.ike:
		return other.mine == c.ike.initiator
	}
	i, r := c.ike.spis()
	oi, or := other.ike.spis()
	return cmp.Or(cmp.Compare(i, oi), cmp.Compare(r, or)) < 0
}

// childBy finds the Child SA that match picks, or nil.
func (a *association) childBy(match func(*childSA) bool) *childSA {
	for _, sa := range a.sas {
		if i := slices.IndexFunc(sa.children, match); i >= 0 {
			return sa.children[i]
		}
	}
	return nil
}

// childByOut finds the Child SA by the SPI that the peer receives on, as a Delete or a REKEY_SA names it.
func (sa *ikeSA) childByOut(spi uint32) *childSA {
	if i := slices.IndexFunc(sa.children, func(c *childSA) bool { return c.out == spi }); i >= 0 {
		return sa.children[i]
	}
	return nil
}

// installFailed ends a pair that the kernel did not take.
func (e *Engine) installFailed(f InstallFailed) {
	e.withChild(f.Peer, f.ID, func(c *childSA) {
		if !c.deleting {
			e.failed(c.demand, fmt.Errorf("the kernel refused %s: %w", f.ID, f.Err))
			e.deleteChild(c, "the kernel refused it")
		}
	})
}

// failed tells the role that a demand came to nothing.
func (e *Engine) failed(d spd.Demand, err error) { e.notify(spd.KeyFailed{Demand: d, Err: err}) }
