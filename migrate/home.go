package migrate

import (
	"net/netip"
	"slices"
	"time"

	"mipsecd/spd"
)

// Home is one home address, its policies and its peer, as configured.
type Home struct {
	Protected
	// Peer is the name in the configuration of the home agent on a mobile node, of the mobile node on a home agent.
	Peer string
	// KeyMobility is the K bit (RFC 6275 sections 6.1.7 and 6.1.8): the IKE_SA survives movements.
	KeyMobility bool
}

// Place is where a home address is.
type Place struct {
	Home
	// CareOf is the home address itself at home, and the zero Addr as long as nothing is known.
	CareOf netip.Addr
	Since  time.Time
}

// Homes follows where the home addresses are, on either end.
type Homes struct {
	onHA   bool
	own    bool
	order  []*Place
	places map[netip.Addr]*Place
}

// NewHomes follows home addresses on a home agent (onHA) or a mobile node. With own, mipsecd moves the policies itself;
// otherwise the mobility daemon does, and none is touched.
func NewHomes(homes []Home, onHA, own bool) *Homes {
	h := &Homes{onHA: onHA, own: own, places: make(map[netip.Addr]*Place, len(homes))}
	for _, home := range homes {
		p := &Place{Home: home}
		h.order = append(h.order, p)
		h.places[home.HomeAddress] = p
	}
	return h
}

// Places lists where all are, in the order of the configuration.
func (h *Homes) Places() []Place {
	out := make([]Place, len(h.order))
	for i, p := range h.order {
		out[i] = *p
	}
	return out
}

// Of is the place of a home address, or nil.
func (h *Homes) Of(home netip.Addr) *Place { return h.places[home] }

// Path is where the key exchange for a place runs: between its CoA and the home agent. At home, and as long as nothing
// else is known, the home address stands for the CoA.
func (h *Homes) Path(p *Place) spd.Path { return h.path(p, p.at()) }

func (h *Homes) path(p *Place, careOf netip.Addr) spd.Path {
	if h.onHA {
		return spd.Path{Local: p.HomeAgent, Remote: careOf}
	}
	return spd.Path{Local: careOf, Remote: p.HomeAgent}
}

func (p *Place) at() netip.Addr {
	if p.CareOf.IsValid() {
		return p.CareOf
	}
	return p.HomeAddress
}

// Follow takes a place to another path, because somebody has moved its policies there. With the K bit the IKE_SA moves
// along; without it the mobile node sets up a new one, and the home agent discards the one over the old path (RFC 6275
// sections 10.3.1 and 11.7.3, RFC 4877 section 7.4). Nothing is to be done when it was there already.
func (h *Homes) Follow(now time.Time, p *Place, path spd.Path) []Effect {
	to := path.Local
	if h.onHA {
		to = path.Remote
	}
	if p.CareOf == to {
		return nil
	}
	p.CareOf, p.Since = to, now
	detail := "to " + to.String()
	if to == p.HomeAddress {
		detail = "home"
	}
	return []Effect{
		Report{What: "moved", Peer: p.Peer, HomeAddress: p.HomeAddress, Detail: detail},
		Tell{spd.Relocate{Peer: p.Peer, Path: path, Keep: p.KeyMobility, Renew: !h.onHA}},
	}
}

// FollowSAs tells the key exchange which tunnel SAs the kernel has moved.
func FollowSAs(p *Place, changes []spd.EndpointChange) (out []Effect) {
	for _, c := range changes {
		if c.Mode == spd.Tunnel && c.Old != c.New {
			out = append(out, Tell{spd.MoveSAs{Peer: p.Peer, Change: c}})
		}
	}
	return out
}

// Bind follows the kernel's own Mobile IPv6 state, which binds HoA to CoA between mobile node and home agent; when it is
// gone, the mobile node is at home. Where mipsecd owns the policies it takes them there first.
func (h *Homes) Bind(now time.Time, s spd.CareOfState) (out []Effect) {
	p := h.places[s.Endpoints.Src]
	if p == nil || s.Proto != spd.HomeOpt || s.Endpoints.Dst != p.HomeAgent {
		return nil
	}
	from, to := p.at(), s.CareOf
	if s.Gone {
		to = p.HomeAddress
	}
	path := h.path(p, to)
	if h.own && from != to {
		km := spd.Endpoints{Src: path.Local, Dst: path.Remote}
		out = append(out, Carry{Between(h.tunnels(p, from), p.HomeAddress, from, to, km)})
	}
	return append(out, h.Follow(now, p, path)...)
}

func (h *Homes) tunnels(p *Place, careOf netip.Addr) []spd.Policy {
	return slices.DeleteFunc(p.Policies(h.onHA, careOf), func(p spd.Policy) bool { return p.Templates[0].Mode != spd.Tunnel })
}

// Begin takes up what a kernel has, at the start and after its reports were lost: where the places are, and whether
// policies of ours are to be set.
func (h *Homes) Begin(now time.Time, states []spd.CareOfState) (out []Effect) {
	for _, s := range states {
		p := h.places[s.Endpoints.Src]
		if p != nil && s.Proto == spd.HomeOpt && s.Endpoints.Dst == p.HomeAgent && !p.CareOf.IsValid() {
			p.CareOf, p.Since = s.CareOf, now // nothing is there yet that could be moved
		}
	}
	out = h.Restore()
	for _, s := range states {
		out = append(out, h.Bind(now, s)...)
	}
	return out
}

// Restore sets the policies, where mipsecd owns them, as the places want them now.
func (h *Homes) Restore() []Effect {
	if !h.own {
		return nil
	}
	return []Effect{Carry{Set(h.Policies())}}
}

// Policies are those that the places want where they are now.
func (h *Homes) Policies() (out []spd.Policy) {
	for _, p := range h.order {
		for _, policy := range p.Policies(h.onHA, p.at()) {
			if p.at() == p.HomeAddress {
				policy = Bypassed(policy)
			}
			out = append(out, policy)
		}
	}
	return out
}

// Flushed answers somebody's emptying the kernel: policies are set again; without SAs nothing of the key exchanges is
// left to go on with.
func (h *Homes) Flushed(f spd.Flushed) (out []Effect) {
	if f.Policies {
		return h.Restore()
	}
	for _, p := range h.order {
		out = append(out, Tell{spd.Terminate{Peer: p.Peer}})
	}
	return out
}
