package manual

import "mipsecd/spd"

// in and out are the SAs as they are wanted in the kernel. They have no anti-replay window: after a restart the sender
// counts from the beginning again, and would be shut out (RFC 4303 sections 3.3.3 and 5).
func (p *pair) in() spd.SA {
	return p.sa(spd.In, p.In, spd.Endpoints{Src: p.demand.Remote, Dst: p.demand.Local})
}

func (p *pair) out() spd.SA {
	return p.sa(spd.Out, p.Out, spd.Endpoints{Src: p.demand.Local, Dst: p.demand.Remote})
}

func (p *pair) sa(dir spd.Dir, one SA, ends spd.Endpoints) spd.SA {
	sa := spd.SA{
		SPI: one.SPI, Proto: spd.ESP, Mode: p.demand.Mode, Endpoints: ends, Reqid: one.Reqid, Dir: dir,
		Transform: one.Transform,
	}
	if sa.Mode == spd.Transport {
		sa.Selector = spd.Selector{Src: spd.Host(ends.Src), Dst: spd.Host(ends.Dst)}
	}
	return sa
}

func (p *pair) ids() (in, out spd.SAID) { return p.in().ID(), p.out().ID() }

// install takes the pair to where a demand wants it. What has its names there goes first: an earlier run may have left it.
func (p *pair) install(d spd.Demand) (effects []Effect) {
	wasUp := p.up
	var oldIn, oldOut spd.SAID
	if wasUp {
		oldIn, oldOut = p.ids()
		effects = append(effects, Remove{oldIn}, Remove{oldOut})
	}
	p.demand, p.up = d, true
	p.demand.Acquire, p.demand.First = 0, spd.Traffic{}
	in, out := p.in(), p.out()
	for _, id := range []spd.SAID{in.ID(), out.ID()} {
		if id != oldIn && id != oldOut {
			effects = append(effects, Remove{id})
		}
	}
	effects = append(effects, Install{in}, Install{out})
	if wasUp {
		return append(effects, p.tellMoved(oldIn, oldOut))
	}
	return append(effects, Notice{spd.ChildUp{Demand: p.demand, In: in.ID(), Out: out.ID()}})
}

// moved follows the kernel, which has moved the SAs of one direction with their policy.
func (p *pair) moved(c spd.EndpointChange) []Effect {
	oldIn, oldOut := p.ids()
	if !p.demand.Readdress(c) {
		return nil
	}
	return []Effect{p.tellMoved(oldIn, oldOut)}
}

func (p *pair) tellMoved(oldIn, oldOut spd.SAID) Effect {
	in, out := p.ids()
	return Notice{spd.ChildMoved{Demand: p.demand, OldIn: oldIn, OldOut: oldOut, In: in, Out: out}}
}

// lost puts an SA back that somebody has deleted.
func (p *pair) lost(id spd.SAID) (effects []Effect) {
	for _, sa := range []spd.SA{p.in(), p.out()} {
		if sa.ID() == id {
			effects = append(effects, Install{sa})
		}
	}
	return effects
}

func (p *pair) remove(reason string) []Effect {
	in, out := p.ids()
	p.up = false
	return []Effect{Remove{out}, Remove{in}, Notice{spd.ChildDown{Demand: p.demand, In: in, Out: out, Reason: reason}}}
}
