//go:build linux

// Package lab is a small Mobile IPv6 internet in the network namespaces of one kernel:
//
//	                        2001:db8:2::/64
//	                      ┌──── foreign 1 ────┐ ::100
//	cn ──── internet ──── r                   mn   HoA 2001:db8:1::100
//	     2001:db8:c::/64  │├──── foreign 2 ───┤│
//	                      │ 2001:db8:3::/64    │ ::100
//	     2001:db8:f::/64  │                    │
//	                      ha ────── home ──────┘
//	                         2001:db8:1::/64
//
// The home agent is the home link's router, so what the correspondent sends to the home address passes it. Each link has
// its router at ::1. There is no Duplicate Address Detection, so that an address can be used at once.
package lab

import (
	"fmt"
	"net/netip"
	"testing"

	"mipsecd/internal/uml"
)

// Addresses of the lab.
var (
	HoA           = netip.MustParseAddr("2001:db8:1::100")
	HomeAgent     = netip.MustParseAddr("2001:db8:1::1")
	Correspondent = netip.MustParseAddr("2001:db8:c::100")
)

// Link is one that the mobile node attaches to.
type Link struct {
	Name string // of the interface at both ends
	// Address is the mobile node's on this link: a CoA, or at home its HoA.
	Address netip.Addr
	router  netip.Addr
	at      Node // the router
}

// The links.
var (
	Home     = Link{"home", HoA, HomeAgent, HA}
	Foreign1 = Link{"foreign1", netip.MustParseAddr("2001:db8:2::100"), netip.MustParseAddr("2001:db8:2::1"), Router}
	Foreign2 = Link{"foreign2", netip.MustParseAddr("2001:db8:3::100"), netip.MustParseAddr("2001:db8:3::1"), Router}
)

// acquireExpires is how many seconds the kernel waits for an SA before it calls for it again. Meanwhile it does not move
// the policy (MIGRATE). By default it waits for 30.
const acquireExpires = "3"

// homeRouterMAC is the home agent's link-layer address on the home link.
const homeRouterMAC = "02:00:00:00:00:01"

// Build builds the lab with the mobile node at home, and takes it down when the test ends.
func Build(t testing.TB) {
	t.Helper()
	addHosts(t, nodes...)
	join(t, "type veth peer name home netns mn", `
		link add foreign1 type veth peer name foreign1 netns mn
		link add foreign2 type veth peer name foreign2 netns mn`)
	MN.mustIP(t, fmt.Sprintf(`
		link set lo up
		addr add %s/128 dev lo home nodad`, HoA))
	Attach(t, Home)
}

// addHosts adds hosts, and takes them away when the test ends.
func addHosts(t testing.TB, hosts ...Node) {
	t.Helper()
	t.Cleanup(func() {
		for _, n := range hosts {
			uml.Sh(t, "ip netns del %s", n)
		}
	})
	for _, n := range hosts {
		uml.Sh(t, "ip netns add %s", n)
		n.sysctl(t, "ipv6/conf/all/accept_dad", "0")
		n.sysctl(t, "ipv6/conf/default/accept_dad", "0")
		n.sysctl(t, "core/xfrm_acq_expires", acquireExpires)
	}
	for _, n := range []Node{Router, HA} {
		n.sysctl(t, "ipv6/conf/all/forwarding", "1")
	}
	HA.sysctl(t, "ipv6/conf/all/proxy_ndp", "1")
}

// join joins router, correspondent and home agent. The home link is of a kind, and the foreign links are made by commands.
func join(t testing.TB, home, foreign string) {
	t.Helper()
	Router.mustIP(t, `
		link set lo up
		link add cn type veth peer name internet netns cn
		link add ha type veth peer name internet netns ha`+foreign+`
		addr add 2001:db8:c::1/64 dev cn
		addr add 2001:db8:f::1/64 dev ha
		addr add 2001:db8:2::1/64 dev foreign1
		addr add 2001:db8:3::1/64 dev foreign2
		link set cn up
		link set ha up
		link set foreign1 up
		link set foreign2 up
		route add 2001:db8:1::/64 via 2001:db8:f::100`)
	CN.mustIP(t, `
		link set lo up
		link set internet up
		addr add 2001:db8:c::100/64 dev internet
		route add default via 2001:db8:c::1`)
	HA.mustIP(t, fmt.Sprintf(`
		link set lo up
		link add home address %s %s
		link set internet up
		link set home up
		addr add 2001:db8:f::100/64 dev internet
		addr add 2001:db8:1::1/64 dev home
		route add default via 2001:db8:f::1`, homeRouterMAC, home))
}

// Attach brings a link of the mobile node up, with its address on that link, and makes the link's router the default
// router. Other links stay up. At home the mobile node knows its home agent's link-layer address, as a Router
// Advertisement would tell it: until the home agent has deleted the binding, it could not ask (RFC 6275 section 11.5.5).
func Attach(t testing.TB, link Link) {
	t.Helper()
	MN.attach(t, link, link.Address)
}

func (n Node) attach(t testing.TB, link Link, address netip.Addr) {
	t.Helper()
	flags := "nodad"
	if link == Home {
		flags = "home nodad"
	}
	n.mustIP(t, fmt.Sprintf(`
		link set %[1]s up
		addr add %[2]s/64 dev %[1]s %[4]s
		route replace default via %[3]s dev %[1]s`, link.Name, address, link.router, flags))
	if link == Home {
		n.mustIP(t, fmt.Sprintf("neigh replace %s lladdr %s dev home nud permanent", HomeAgent, homeRouterMAC))
	}
}

// Detach takes a link of the mobile node down; its addresses and routes go with it.
func Detach(t testing.TB, link Link) {
	t.Helper()
	MN.mustIP(t, fmt.Sprintf("link set %s down", link.Name))
}
