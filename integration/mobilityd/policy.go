//go:build linux

package mobilityd

import (
	"fmt"
	"net/netip"
	"strings"

	"mipsecd/mobility"
	"mipsecd/spd"
)

// The reqids tie each of the daemon's policies to SAs of its own: MIGRATE tells a policy apart by nothing else.
const (
	ReqidBU          = 1
	ReqidBA          = 2
	ReqidHoTI        = 5
	ReqidHoT         = 6
	ReqidPayloadToHA = 7
	ReqidPayloadToMN = 8
)

// guard is a protected kind of traffic between the mobile node and its home agent. It has a policy for each direction,
// and what Linux needs besides.
type guard struct {
	toHA, toMN           spd.Selector
	reqidToHA, reqidToMN uint32
	mode                 spd.Mode
	priority             uint32
}

// binding protects Binding Updates and Acknowledgements (RFC 4877 section 4.3).
func (c Config) binding() guard {
	hoa, ha := spd.Host(c.HomeAddress), spd.Host(c.HomeAgent)
	return guard{
		toHA: spd.MH(hoa, ha, uint8(mobility.BU)), toMN: spd.MH(ha, hoa, uint8(mobility.BA)),
		reqidToHA: ReqidBU, reqidToMN: ReqidBA, mode: spd.Transport, priority: 2,
	}
}

// tunnels protect return routability and payload while the mobile node is away.
func (c Config) tunnels() []guard {
	hoa := spd.Host(c.HomeAddress)
	return []guard{{
		toHA: spd.MH(hoa, everywhere, uint8(mobility.HoTI)), toMN: spd.MH(everywhere, hoa, uint8(mobility.HoT)),
		reqidToHA: ReqidHoTI, reqidToMN: ReqidHoT, mode: spd.Tunnel, priority: 10,
	}, {
		toHA: spd.Selector{Src: hoa, Dst: everywhere}, toMN: spd.Selector{Src: everywhere, Dst: hoa},
		reqidToHA: ReqidPayloadToHA, reqidToMN: ReqidPayloadToMN, mode: spd.Tunnel, priority: 12,
	}}
}

var everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)

// side is where a policy stands.
type side int

const (
	atMN side = iota
	atHA
)

// policies are those of a guard at one side, in the order in which UMIP handles them. careOf is the mobile node's end of
// a tunnel.
func (c Config) policies(at side, g guard, careOf netip.Addr) (all []spd.Policy) {
	up := spd.Template{Proto: spd.ESP, Mode: g.mode, Level: spd.Unique, Reqid: g.reqidToHA}
	down := spd.Template{Proto: spd.ESP, Mode: g.mode, Level: spd.Unique, Reqid: g.reqidToMN}
	if g.mode == spd.Tunnel {
		up.Endpoints = spd.Endpoints{Src: careOf, Dst: c.HomeAgent}
		down.Endpoints = up.Endpoints.Reverse()
	}
	add := func(s spd.Selector, dir spd.Dir, t spd.Template) {
		p := spd.Policy{PolicyKey: spd.PolicyKey{Selector: s, Dir: dir}, Priority: g.priority, Action: spd.Protect,
			Templates: []spd.Template{t}}
		all = append(all, p)
		fromElsewhere := dir != spd.Out || at == atHA && g.mode == spd.Tunnel // received, or forwarded into the tunnel
		if s.SrcPort.Exact && fromElsewhere {
			all = append(all, typeless(p))
		}
	}
	if at == atMN {
		add(g.toHA, spd.Out, up)
		add(g.toMN, spd.In, down)
		return all
	}
	add(g.toHA, spd.In, up)
	if g.mode == spd.Tunnel {
		add(g.toHA, spd.Fwd, up)
	}
	add(g.toMN, spd.Out, down)
	return all
}

// typeless is the policy, less preferred, for any MH type. Linux reads the MH type of a message from elsewhere right only
// behind exactly one extension header, a Home Address option or a type 2 routing header. Messages
// between the home link and the home agent, and those of return routability, have none.
func typeless(p spd.Policy) spd.Policy {
	p.Selector.SrcPort = spd.Port{}
	p.Priority++
	return p
}

// addTunnels and removeTunnels are the commands for the policies that stand while the mobile node is away.
func (c Config) addTunnels(at side) (commands []string) {
	for _, g := range c.tunnels() {
		for _, p := range c.policies(at, g, c.HomeAddress) {
			commands = append(commands, addPolicy(p))
		}
	}
	return commands
}

func (c Config) removeTunnels(at side) (commands []string) {
	for _, g := range c.tunnels() {
		for _, p := range c.policies(at, g, c.HomeAddress) {
			commands = append(commands, deletePolicy(p.PolicyKey))
		}
	}
	return commands
}

// addBinding is the commands for the policies that always stand.
func (c Config) addBinding(at side) (commands []string) {
	for _, p := range c.policies(at, c.binding(), c.HomeAddress) {
		commands = append(commands, addPolicy(p))
	}
	return commands
}

// addPolicy and deletePolicy say a policy in iproute2's words.
func addPolicy(p spd.Policy) string {
	b := "xfrm policy add " + keyWords(p.PolicyKey) + fmt.Sprintf(" priority %d", p.Priority)
	if p.Action == spd.Discard {
		b += " action block"
	}
	for _, t := range p.Templates {
		b += templateWords(t)
	}
	return b
}

func deletePolicy(k spd.PolicyKey) string { return "xfrm policy delete " + keyWords(k) }

func keyWords(k spd.PolicyKey) string {
	var b strings.Builder
	fmt.Fprintf(&b, "src %s dst %s", k.Selector.Src, k.Selector.Dst)
	if k.Selector.Proto != spd.ProtoAny {
		fmt.Fprintf(&b, " proto %d", k.Selector.Proto)
	}
	if k.Selector.SrcPort.Exact {
		fmt.Fprintf(&b, " type %d", k.Selector.SrcPort.Value)
	}
	fmt.Fprintf(&b, " dir %s", k.Dir)
	if k.Sub {
		b.WriteString(" ptype sub")
	}
	return b.String()
}

func templateWords(t spd.Template) string {
	b := " tmpl"
	if t.Endpoints != (spd.Endpoints{}) {
		b += fmt.Sprintf(" src %s dst %s", t.Endpoints.Src, t.Endpoints.Dst)
	}
	b += fmt.Sprintf(" proto %s mode %s reqid %d", spd.IPsecName(t.Proto), t.Mode, t.Reqid)
	if t.Level == spd.Use {
		return b + " level use"
	}
	return b + " level required"
}
