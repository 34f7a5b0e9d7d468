//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"testing"
)

// Roamer is one of several mobile nodes in the lab. Its links are those of all, and it has an address of its own on each.
type Roamer struct {
	Node
	Number int  // less than 256
	On     Link // where it is
}

// BuildFleet builds the lab with so many mobile nodes, at home, in the place of the one. The links are bridges.
func BuildFleet(t testing.TB, size int) (fleet []*Roamer) {
	t.Helper()
	hosts := []Node{HA, CN, Router}
	for i := range size {
		r := &Roamer{Node: Node(fmt.Sprint("mn", i)), Number: i, On: Home}
		fleet, hosts = append(fleet, r), append(hosts, r.Node)
	}
	addHosts(t, hosts...)
	join(t, "type bridge", `
		link add foreign1 type bridge
		link add foreign2 type bridge`)
	for _, r := range fleet {
		for _, l := range []Link{Home, Foreign1, Foreign2} {
			l.at.mustIP(t, fmt.Sprintf(`
				link add %[1]s type veth peer name %[2]s netns %[1]s
				link set %[1]s name %[2]s%[3]d master %[2]s up`, r.Node, l.Name, r.Number))
		}
		r.mustIP(t, fmt.Sprintf(`
			link set lo up
			addr add %s/128 dev lo home nodad`, r.Address(Home)))
		r.MoveTo(t, Home)
	}
	return fleet
}

// Address is the mobile node's own on a link.
func (r *Roamer) Address(l Link) netip.Addr {
	a := l.Address.As16()
	a[14], a[15] = 2, byte(r.Number)
	return netip.AddrFrom16(a)
}

// MoveTo takes it to a link, and off the one where it was.
func (r *Roamer) MoveTo(t testing.TB, to Link) {
	t.Helper()
	r.mustIP(t, fmt.Sprintf("link set %s down", r.On.Name))
	r.On = to
	r.attach(t, to, r.Address(to))
}
