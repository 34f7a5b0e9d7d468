package migrate

import (
	"fmt"
	"net/netip"
	"time"

	"mipsecd/spd"
	"mipsecd/spd/image"
)

// Mobility is how a peer gets to know where a home address is.
type Mobility uint8

// The ways. Without Mobile IPv6 the mobile node is a road warrior (roadwarrior.go).
const (
	MobileIPv6 Mobility = iota // by Binding Updates, which are a mobility daemon's
	NewIKE                     // by a new IKE_SA from there
	MOBIKE                     // by the IKE_SA's own word (RFC 4555)
)

// Home is one home address, its policies and its peer, as configured. Its HomeAddress is the zero Addr if that is assigned
// (assigned.go), and then its HomeAgent may be, if that is to be found. Without Mobile IPv6 the HomeAgent is a gateway.
type Home struct {
	Protected
	// Peer is the name in the configuration of the home agent on a mobile node, of the mobile node on a home agent.
	Peer     string
	Mobility Mobility
	// Autoconfigured: the mobile node makes the address itself, if the home agent lets it.
	Autoconfigured bool
	// KeyMobility is the K bit (RFC 6275 sections 6.1.7 and 6.1.8): the IKE_SA survives movements.
	KeyMobility bool
	// Manual: the keys are configured (manual.go).
	Manual bool
}

// Place is where a home address is.
type Place struct {
	Home
	// CareOf is the home address itself at home, and the zero Addr as long as nothing is known.
	CareOf netip.Addr
	Since  time.Time
	bound  bool // the kernel has a Mobile IPv6 state for it
	along  bool // the IKE_SA has moved along, which the home agent has not confirmed yet
	// Assigned: not configured. DNS are the name servers that were told with it.
	Assigned bool
	DNS      []netip.Addr

	// Of a road warrior: the IKE_SA in use, and where that finds the gateway if not at HomeAgent.
	ike     uint64
	gateway netip.Addr
}

// at is where the mobile node is: as long as nothing is known, at home.
func (p *Place) at() netip.Addr {
	if p.CareOf.IsValid() {
		return p.CareOf
	}
	return p.HomeAddress
}

// traffic is all that the home address may send or receive.
func (p *Place) traffic() spd.TrafficSelector {
	return spd.TrafficSelector{PortEnd: 65535, Start: p.HomeAddress, End: p.HomeAddress}
}

// Homes follows where the home addresses are, on either end.
type Homes struct {
	onHA   bool
	own    bool
	order  []*Place
	places map[netip.Addr]*Place
	peers  map[string][]*Place
	open   []Home                         // whose address is assigned
	begun  bool                           // the kernel has been read
	heir   bool                           // what an earlier run has left has been taken up
	early  map[netip.Addr]spd.CareOfState // of addresses that are no home addresses, or not yet
	here   Addresses                      // of this host, where it has road warriors
}

// NewHomes follows home addresses on a home agent (onHA) or a mobile node. A home without an address is open: it has one
// when that is assigned. With own, mipsecd moves the policies itself; otherwise the mobility daemon does, and none is
// touched but those of road warriors.
func NewHomes(homes []Home, onHA, own bool) *Homes {
	h := &Homes{
		onHA: onHA, own: own, places: make(map[netip.Addr]*Place, len(homes)), peers: map[string][]*Place{},
		early: map[netip.Addr]spd.CareOfState{},
	}
	for _, home := range homes {
		if home.HomeAddress.IsValid() {
			h.add(&Place{Home: home})
		} else {
			h.open = append(h.open, home)
		}
	}
	return h
}

func (h *Homes) add(p *Place) {
	h.order = append(h.order, p)
	h.places[p.HomeAddress] = p
	h.peers[p.Peer] = append(h.peers[p.Peer], p)
}

// Places lists where all are: in the order of the configuration, and then in that in which they were assigned.
func (h *Homes) Places() []Place {
	out := make([]Place, len(h.order))
	for i, p := range h.order {
		out[i] = *p
	}
	return out
}

// Of is the place of a home address, or nil.
func (h *Homes) Of(home netip.Addr) *Place { return h.places[home] }

// With is the first place that concerns a peer, or nil.
func (h *Homes) With(peer string) *Place {
	if places := h.peers[peer]; len(places) > 0 {
		return places[0]
	}
	return nil
}

// For is the place whose SAs a demand is about: all its traffic on the mobile node's side is the home address's, and the
// SAs end at the home agent. Nil if there is none.
func (h *Homes) For(d spd.Demand) *Place {
	mobile, agent := d.Traffic.Local, d.Remote
	if h.onHA {
		mobile, agent = d.Traffic.Remote, d.Local
	}
	if len(mobile) == 0 {
		return nil
	}
	p := h.places[mobile[0].Start]
	if p == nil || agent != p.agent() && !p.roadWarrior() || !spd.CoveredBy(mobile, []spd.TrafficSelector{p.traffic()}) {
		return nil
	}
	return p
}

// TrafficWith is all traffic of the home addresses that concern a peer: on a home agent those that it may speak for, on a
// mobile node those that it serves.
func (h *Homes) TrafficWith(peer string) (out []spd.TrafficSelector) {
	for _, p := range h.peers[peer] {
		out = append(out, p.traffic())
	}
	return out
}

// Path is where the key exchange for a place runs: between its CoA and the home agent. At home, and as long as nothing
// else is known, the home address stands for the CoA.
func (h *Homes) Path(p *Place) spd.Path { return h.path(p, p.at()) }

func (h *Homes) path(p *Place, careOf netip.Addr) spd.Path {
	if h.onHA {
		return spd.Path{Local: p.agent(), Remote: careOf}
	}
	return spd.Path{Local: careOf, Remote: p.agent()}
}

// Grant gives a peer what this host's policies allow of what it asks for, for the home addresses that concern it. Kernel has
// the policies, but for those of road warriors.
func (h *Homes) Grant(r spd.Request, kernel *image.Image) spd.Grant {
	own := r
	if mobile := h.TrafficWith(r.Peer); h.onHA {
		own.Traffic.Remote = spd.Narrow(r.Traffic.Remote, mobile)
	} else {
		own.Traffic.Local = spd.Narrow(r.Traffic.Local, mobile)
	}
	if tunnels := h.tunnelsFor(r); tunnels != nil {
		kernel = tunnels
	}
	offers, err := kernel.Offers(own)
	for _, d := range offers {
		if p := h.For(d); p != nil {
			return spd.Grant{Request: r.Request, Demand: h.atPlace(p, d)}
		}
	}
	if err != nil {
		err = fmt.Errorf("%v - %v with %s: %w", r.Traffic.Local, r.Traffic.Remote, r.Peer, err)
	} else {
		err = fmt.Errorf("no %s policy for %v - %v with %s", r.Mode, r.Traffic.Local, r.Traffic.Remote, r.Peer)
	}
	return spd.Grant{Request: r.Request, Err: err}
}

// atPlace gives a peer's demand for a tunnel the end where the mobile node is by now: of its policies one is moved after the
// other, and the report about this one may be still to come.
func (h *Homes) atPlace(p *Place, d spd.Demand) spd.Demand {
	switch {
	case d.Mode != spd.Tunnel || !p.CareOf.IsValid() || p.roadWarrior():
	case h.onHA:
		d.Remote = p.CareOf
	default:
		d.Local = p.CareOf
	}
	return d
}

// ends are the two sides of a pair of addresses of which this host's is src.
func (h *Homes) ends(src, dst netip.Addr) (careOf, agent netip.Addr) {
	if h.onHA {
		return dst, src
	}
	return src, dst
}
