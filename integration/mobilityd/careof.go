//go:build linux

package mobilityd

import (
	"fmt"
	"net/netip"

	"mipsecd/spd"
)

// The kernel's Mobile IPv6 is made of states that add and check a Home Address option or a type 2 routing header, and of
// sub policies that say which packets get one. Those here are optional ("level use"), so that the same packets pass
// without when the mobile node is at home.

// anyCareOf is a state that accepts such a header from anyone; what may pass with it the policies say.
func anyCareOf(proto uint8) string {
	return fmt.Sprintf("xfrm state add src :: dst :: proto %s mode ro coa :: flag wildrecv", spd.IPsecName(proto))
}

// anyone is the addresses of that state.
var anyone = spd.Endpoints{Src: netip.IPv6Unspecified(), Dst: netip.IPv6Unspecified()}

func addCareOf(proto uint8, ends spd.Endpoints, careOf netip.Addr) string {
	return fmt.Sprintf("xfrm state add src %s dst %s proto %s mode ro coa %s",
		ends.Src, ends.Dst, spd.IPsecName(proto), careOf)
}

func updateCareOf(proto uint8, ends spd.Endpoints, careOf netip.Addr) string {
	return fmt.Sprintf("xfrm state update src %s dst %s proto %s mode ro coa %s",
		ends.Src, ends.Dst, spd.IPsecName(proto), careOf)
}

func deleteCareOf(proto uint8, ends spd.Endpoints) string {
	return fmt.Sprintf("xfrm state delete src %s dst %s proto %s", ends.Src, ends.Dst, spd.IPsecName(proto))
}

// upward and downward are the addresses of the states.
func (c Config) upward() spd.Endpoints {
	return spd.Endpoints{Src: c.HomeAddress, Dst: c.HomeAgent}
}

func (c Config) downward() spd.Endpoints { return c.upward().Reverse() }

// homeOption lets Binding Updates have a Home Address option, routeType2 Binding Acknowledgements a type 2 routing header.
func (c Config) homeOption(dir spd.Dir) spd.Policy {
	return c.sub(c.binding().toHA, dir, spd.HomeOpt)
}

func (c Config) routeType2(dir spd.Dir) spd.Policy {
	return c.sub(c.binding().toMN, dir, spd.Route2)
}

func (c Config) sub(s spd.Selector, dir spd.Dir, proto uint8) spd.Policy {
	return spd.Policy{
		PolicyKey: spd.PolicyKey{Selector: s, Dir: dir, Sub: true}, Priority: 2, Action: spd.Protect,
		Templates: []spd.Template{{Proto: proto, Mode: spd.RouteOptimization, Level: spd.Use}},
	}
}

// barrier is what UMIP puts up until its first Binding Update is acknowledged: nothing leaves the mobile node but Binding
// Updates, Neighbor Discovery and what a socket sends past the policies.
func (c Config) barrier() []spd.Policy {
	out := func(s spd.Selector) spd.PolicyKey { return spd.PolicyKey{Selector: s, Dir: spd.Out, Sub: true} }
	all := spd.Selector{Src: everywhere, Dst: everywhere}
	policies := []spd.Policy{{PolicyKey: out(all), Priority: 4, Action: spd.Discard}}
	for t := routerSolicitation; t <= redirect; t++ {
		nd := all
		nd.Proto, nd.SrcPort = spd.ProtoICMPv6, spd.ExactPort(uint16(t))
		policies = append(policies, spd.Policy{PolicyKey: out(nd), Priority: 1, Action: spd.Bypass})
	}
	return policies
}

// hold keeps packets from the tunnels while these are being put up, first to the HoA and then moved to the CoA: Linux
// (6.1) refuses to move a policy under which a packet has made it call for an SA that is not there yet.
func (c Config) hold() spd.Policy {
	s := spd.Selector{Src: everywhere, Dst: spd.Host(c.HomeAddress)}
	return spd.Policy{PolicyKey: spd.PolicyKey{Selector: s, Dir: spd.Out, Sub: true}, Priority: 4, Action: spd.Discard}
}

// The ICMPv6 types of Neighbor Discovery (RFC 4861) are all between these.
const (
	routerSolicitation = 133
	redirect           = 137
)
