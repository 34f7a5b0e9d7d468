// Package spd is the model of IPsec that the whole agent shares: selectors, policies, SAs, the traffic selectors of a
// key exchange, the vocabulary between the roles and a key exchange, and the interface to a kernel (RFC 4301).
package spd

import (
	"fmt"
	"net/netip"
)

// Dir is the direction of a policy, seen from this host.
type Dir uint8

// The directions. Forward is Linux's check of forwarded packets that came out of a tunnel.
const (
	In Dir = iota + 1
	Out
	Fwd
)

func (d Dir) String() string { return name(d, "", "in", "out", "fwd") }

// Mode is how an SA encapsulates.
type Mode uint8

// The modes. RouteOptimization is the pseudo-mode of Mobile IPv6 states on Linux (home address option, type 2 routing
// header).
const (
	Transport Mode = iota + 1
	Tunnel
	BEET
	RouteOptimization
)

func (m Mode) String() string { return name(m, "any", "transport", "tunnel", "beet", "ro") }

// Level says how strongly a template binds traffic to its SA.
type Level uint8

// The levels. Unique ties a policy to the SAs with its own reqid, so that no other policy's traffic uses them.
const (
	Use Level = iota + 1
	Require
	Unique
)

func (l Level) String() string { return name(l, "default", "use", "require", "unique") }

// Action is what a policy does with the packets that it selects.
type Action uint8

// The actions.
const (
	Protect Action = iota + 1
	Bypass
	Discard
)

func (a Action) String() string { return name(a, "", "protect", "bypass", "discard") }

func name[T ~uint8](v T, names ...string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%T(%d)", v, v)
}

// IPsec protocols, and the two pseudo-protocols of Mobile IPv6 states on Linux.
const (
	ESP     uint8 = 50
	AH      uint8 = 51
	Route2  uint8 = 43 // type 2 routing header state
	HomeOpt uint8 = 60 // home address destination option state
)

// Endpoints is an ordered pair of addresses: of an SA, of a tunnel template, or of a movement.
type Endpoints struct {
	Src, Dst netip.Addr
}

func (e Endpoints) String() string { return e.Src.String() + " -> " + e.Dst.String() }

// Reverse swaps source and destination.
func (e Endpoints) Reverse() Endpoints { return Endpoints{Src: e.Dst, Dst: e.Src} }

// Template is one transformation that a policy asks for. Endpoints are valid addresses in tunnel mode and the zero
// Endpoints in transport mode. Reqid links the policy to its SAs; zero accepts any.
type Template struct {
	Proto     uint8
	Mode      Mode
	Level     Level
	Reqid     uint32
	Endpoints Endpoints
}

func (t Template) String() string {
	out := fmt.Sprintf("%s/%s", IPsecName(t.Proto), t.Mode)
	if t.Mode == Tunnel {
		out += "/" + t.Endpoints.String()
	}
	return fmt.Sprintf("%s/%s:%d", out, t.Level, t.Reqid)
}

// IPsecName is the name of an IPsec protocol, or its number.
func IPsecName(proto uint8) string {
	switch proto {
	case ESP:
		return "esp"
	case AH:
		return "ah"
	case Route2:
		return "route2"
	case HomeOpt:
		return "hao"
	}
	return fmt.Sprintf("proto %d", proto)
}

// PolicyKey identifies a policy in a kernel: no two policies share one. Sub policies (Mobile IPv6's own on Linux) are a
// table apart.
type PolicyKey struct {
	Selector Selector
	Dir      Dir
	Sub      bool
}

func (k PolicyKey) String() string { return fmt.Sprintf("%s %s", k.Dir, k.Selector) }

// Policy is one entry of the security policy database (RFC 4301 section 4.4.1). Index is the kernel's number for it,
// zero when not known; a lower Priority is looked at first.
type Policy struct {
	PolicyKey
	Index     uint32
	Priority  uint32
	Action    Action
	Templates []Template
}

func (p Policy) String() string {
	out := fmt.Sprintf("%s %s", p.PolicyKey, p.Action)
	for _, t := range p.Templates {
		out += " " + t.String()
	}
	return out
}
