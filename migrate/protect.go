package migrate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mipsecd/spd"
)

// Protection is one kind of traffic between a mobile node and its home agent that is to be protected, in the
// configuration's words.
type Protection string

// The kinds of traffic that RFC 4877 section 4.2 names.
const (
	ProtectBinding  Protection = "binding"   // Binding Update and Acknowledgement
	ProtectPrefix   Protection = "prefix"    // Mobile Prefix Solicitation and Advertisement
	ProtectHomeTest Protection = "home-test" // return routability by way of the home agent, in a tunnel
	ProtectPayload  Protection = "payload"   // all traffic of the home address, in a tunnel
)

// Protections lists all kinds, in the order of their reqids.
var Protections = []Protection{ProtectBinding, ProtectPrefix, ProtectHomeTest, ProtectPayload}

// ParseProtection reads one kind.
func ParseProtection(s string) (Protection, error) {
	for _, p := range Protections {
		if string(p) == s {
			return p, nil
		}
	}
	names := make([]string, len(Protections))
	for i, p := range Protections {
		names[i] = string(p)
	}
	return "", fmt.Errorf("%q is no kind of traffic; want one of %s", s, strings.Join(names, ", "))
}

// kind says which messages a Protection is about and how they are protected.
type kind struct {
	proto      uint8
	toHA, toMN spd.Port // MH or ICMPv6 message type in each direction
	// tunnel: the traffic is with any correspondent by way of the home agent; else with the home agent itself, in
	// transport mode.
	tunnel   bool
	priority uint32
}

var kinds = map[Protection]kind{
	ProtectBinding: {
		proto: spd.ProtoMH, toHA: spd.ExactPort(5), toMN: spd.ExactPort(6), priority: 2,
	},
	ProtectPrefix: {proto: spd.ProtoICMPv6, toHA: spd.ExactPort(146), toMN: spd.ExactPort(147), priority: 5},
	ProtectHomeTest: {
		proto: spd.ProtoMH, toHA: spd.ExactPort(1), toMN: spd.ExactPort(3), tunnel: true, priority: 8,
	},
	ProtectPayload: {tunnel: true, priority: 10},
}

// Protected describes what a mobile node and its home agent protect for one home address.
type Protected struct {
	HomeAddress, HomeAgent netip.Addr
	What                   []Protection
	// Network is what the tunnels lead to; the zero Prefix is everything (IPv6).
	Network netip.Prefix
	// Reqid is the first of the eight reqids that the policies use: for each of Protections one toward the home agent
	// and one toward the mobile node.
	Reqid uint32
	// Reqids are those of a mobility daemon's policies, where they are known; they count more than Reqid.
	Reqids map[Protection]Reqids
	Level  spd.Level
}

// Reqids tie one kind of traffic to its SAs, toward the home agent and toward the mobile node.
type Reqids struct{ ToHA, ToMN uint32 }

// ReqidsPerHome is how many reqids one home address takes.
const ReqidsPerHome = 8

// Policies are the policies on the home agent (onHA) or the mobile node, with the mobile node's end of the tunnels at
// careOf.
func (p Protected) Policies(onHA bool, careOf netip.Addr) (out []spd.Policy) {
	for _, name := range Protections {
		if slices.Contains(p.What, name) {
			out = append(out, p.PoliciesFor(name, onHA, careOf)...)
		}
	}
	return out
}

// PoliciesFor are the policies for one kind of traffic, as in Policies.
func (p Protected) PoliciesFor(name Protection, onHA bool, careOf netip.Addr) (out []spd.Policy) {
	k, reqids := kinds[name], p.ReqidsFor(name)
	home, peer := spd.Host(p.HomeAddress), spd.Host(p.HomeAgent)
	if k.tunnel {
		peer = p.network()
	}
	toHA := spd.Selector{Src: home, Dst: peer, Proto: k.proto, SrcPort: k.toHA}
	toMN := spd.Selector{Src: peer, Dst: home, Proto: k.proto, SrcPort: k.toMN}
	add := func(s spd.Selector, dir spd.Dir, reqid uint32, outer spd.Endpoints) {
		t := spd.Template{Proto: spd.ESP, Mode: spd.Transport, Level: p.Level, Reqid: reqid}
		if k.tunnel {
			t.Mode, t.Endpoints = spd.Tunnel, outer
			if t.Level == spd.Use {
				t.Level = spd.Unique // what is not tunnelled would leave with a home address abroad; Linux refuses it, too
			}
		}
		out = append(out, spd.Policy{
			PolicyKey: spd.PolicyKey{Selector: s, Dir: dir}, Priority: k.priority, Action: spd.Protect,
			Templates: []spd.Template{t},
		})
	}
	outer := spd.Endpoints{Src: careOf, Dst: p.HomeAgent}
	if !onHA {
		add(toHA, spd.Out, reqids.ToHA, outer)
		add(toMN, spd.In, reqids.ToMN, outer.Reverse())
		return out
	}
	add(toHA, spd.In, reqids.ToHA, outer)
	add(toMN, spd.Out, reqids.ToMN, outer.Reverse())
	if k.tunnel { // Linux checks what it forwards out of a tunnel apart
		add(toHA, spd.Fwd, reqids.ToHA, outer)
	}
	return out
}

// ReqidsFor are those of the policies for one kind of traffic.
func (p Protected) ReqidsFor(name Protection) Reqids {
	if r, ok := p.Reqids[name]; ok {
		return r
	}
	first := p.Reqid + 2*uint32(slices.Index(Protections, name))
	return Reqids{first, first + 1}
}

func (p Protected) network() netip.Prefix {
	if p.Network.IsValid() {
		return p.Network
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// guarded puts after each policy for a type of Mobility Header from elsewhere one for all types with the same SAs: Linux (6.1)
// misreads the type of a message that comes without extension headers, as a Binding Update from home does, or a Home Test
// that the home agent forwards into the tunnel. Without the guard it would pass unprotected, or be handled by the policy for
// payload.
func guarded(policies []spd.Policy, onHA bool) (out []spd.Policy) {
	for _, p := range policies {
		out = append(out, p)
		fromElsewhere := p.Dir != spd.Out || onHA && isTunnel(p)
		if p.Selector.Proto == spd.ProtoMH && p.Selector.SrcPort.Exact && fromElsewhere {
			p.Selector.SrcPort = spd.Port{}
			p.Priority++
			out = append(out, p)
		}
	}
	return out
}
