// Package manual stands in place of a key exchange where the keys of SAs are configured (RFC 6275 section 5.1, RFC 4877
// section 6): to a role's commands it answers out of a table. All of it is plain data: no I/O.
package manual

import (
	"fmt"
	"slices"

	"mipsecd/spd"
)

// SA is one direction of a Pair.
type SA struct {
	SPI       uint32
	Reqid     uint32 // of the policies that it serves
	Transform spd.Transform
}

// Pair is the SAs for one kind of traffic with a peer. No other pair with the peer has its reqids.
type Pair struct {
	Peer    string
	Suite   string // the algorithms of both, in words
	In, Out SA
}

// Status is a Pair that is in the kernel.
type Status struct {
	Pair
	Demand spd.Demand
}

// Table answers the commands about the peers whose keys are manual. Which pair a spd.Demand means its reqids say. An SA
// never expires, and a pair stays where it is while no policy wants it (RFC 4877 section 4.2).
type Table struct{ pairs []*pair }

type pair struct {
	Pair
	demand spd.Demand // that it was installed for
	up     bool
}

// New is a table of which nothing is installed yet.
func New(pairs []Pair) *Table {
	t := &Table{}
	for _, p := range pairs {
		t.pairs = append(t.pairs, &pair{Pair: p})
	}
	return t
}

// Effect is one thing that the table wants done.
type Effect interface{ effect() }

// Install puts an SA into the kernel. One that is there already is fine; of another failure Failed is to be told, once
// all other effects are carried out.
type Install struct{ spd.SA }

// Remove takes an SA out of the kernel. One that is gone already is fine.
type Remove struct{ ID spd.SAID }

// Verify wants Compare told what is in the kernel.
type Verify struct{}

// Notice is for the role.
type Notice struct{ spd.Notice }

func (Install) effect() {}
func (Remove) effect()  {}
func (Verify) effect()  {}
func (Notice) effect()  {}

// Has reports whether the keys of a peer are manual.
func (t *Table) Has(peer string) bool {
	return slices.ContainsFunc(t.pairs, func(p *pair) bool { return p.Peer == peer })
}

// Status lists the pairs that are in the kernel, in the order of the configuration.
func (t *Table) Status() (list []Status) {
	for _, p := range t.pairs {
		if p.up {
			list = append(list, Status{p.Pair, p.demand})
		}
	}
	return list
}

// Step answers a command. Not ours are those that are for a key exchange.
func (t *Table) Step(c spd.Command) (out []Effect, ours bool) {
	switch c := c.(type) {
	case spd.Key:
		if !t.Has(c.Demand.Peer) {
			return nil, false
		}
		return t.key(c.Demand), true
	case spd.MoveSAs:
		return t.each(c.Peer, func(p *pair) []Effect { return p.moved(c.Change) })
	case spd.Lost:
		return t.each(c.Peer, func(p *pair) []Effect { return p.lost(c.ID) })
	}
	return nil, false
}

// each does something to the pairs with a peer that are in the kernel.
func (t *Table) each(peer string, do func(*pair) []Effect) (out []Effect, ours bool) {
	for _, p := range t.pairs {
		if p.Peer == peer {
			ours = true
			if p.up {
				out = append(out, do(p)...)
			}
		}
	}
	return out, ours
}

// key installs the pair that a demand means, if it is not there already. That the kernel calls for it casts doubt on that.
func (t *Table) key(d spd.Demand) []Effect {
	i := slices.IndexFunc(t.pairs, func(p *pair) bool {
		return p.Peer == d.Peer && p.In.Reqid == d.ReqidIn && p.Out.Reqid == d.ReqidOut
	})
	if i < 0 {
		err := fmt.Errorf("no manual keys are configured for policies with the reqids %d inbound and %d outbound",
			d.ReqidIn, d.ReqidOut)
		return []Effect{Notice{spd.KeyFailed{Demand: d, Err: err}}}
	}
	p := t.pairs[i]
	switch there := p.up && p.demand.Local == d.Local && p.demand.Remote == d.Remote; {
	case !there:
		return p.install(d)
	case d.Acquire != 0:
		return []Effect{Verify{}}
	}
	return nil
}

// Failed answers that an SA cannot be installed: its pair is given up until it is asked for again.
func (t *Table) Failed(id spd.SAID, err error) (out []Effect) {
	for _, p := range t.pairs {
		if !p.up {
			continue
		}
		if in, outbound := p.ids(); id == in || id == outbound {
			out = append(out, p.remove(err.Error())...)
		}
	}
	return out
}

// Compare makes good what is not in the kernel as it should be: SAs that an earlier run has left elsewhere are removed,
// and those that are missing are installed.
func (t *Table) Compare(kernel []spd.SA) (out []Effect) {
	type name struct{ spi, reqid uint32 }
	ours, missing := map[name]bool{}, map[spd.SAID]spd.SA{}
	for _, p := range t.pairs {
		ours[name{p.In.SPI, p.In.Reqid}], ours[name{p.Out.SPI, p.Out.Reqid}] = true, true
		if p.up {
			missing[p.in().ID()], missing[p.out().ID()] = p.in(), p.out()
		}
	}
	for _, sa := range kernel {
		switch want, ok := missing[sa.ID()]; {
		case ok && sa.Endpoints == want.Endpoints:
			delete(missing, sa.ID())
		case sa.Proto == spd.ESP && ours[name{sa.SPI, sa.Reqid}]:
			out = append(out, Remove{sa.ID()})
		}
	}
	for _, p := range t.pairs {
		for _, sa := range []spd.SA{p.in(), p.out()} {
			if _, ok := missing[sa.ID()]; ok && p.up {
				out = append(out, Install{sa})
			}
		}
	}
	return out
}

// End removes all.
func (t *Table) End() (out []Effect) {
	for _, p := range t.pairs {
		if p.up {
			out = append(out, p.remove("the agent ends")...)
		}
	}
	return out
}
