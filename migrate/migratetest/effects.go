// Package migratetest is for tests of roles: it plays a mobility daemon, and says effects in words.
package migratetest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"mipsecd/migrate"
	"mipsecd/spd"
)

// The addresses of the tests. Effects show them by these names.
var (
	HoA      = netip.MustParseAddr("2001:db8:1::100")
	OtherHoA = netip.MustParseAddr("2001:db8:1::200")
	HA       = netip.MustParseAddr("2001:db8:1::1")
	CoA1     = netip.MustParseAddr("2001:db8:2::100")
	CoA2     = netip.MustParseAddr("2001:db8:3::100")
	CN       = netip.MustParseAddr("2001:db8:9::9")
)

// names puts an address before those that begin like it.
var names = strings.NewReplacer(
	HoA.String(), "HoA", OtherHoA.String(), "OtherHoA", CoA1.String(), "CoA1", CoA2.String(), "CoA2", CN.String(), "CN",
	HA.String(), "HA", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "*", "::/0", "*", "/128", "",
)

// Expect compares effects with what they are in words: the lines of all effects in their order, without indentation and
// empty lines.
func Expect(t *testing.T, got []migrate.Effect, want string) {
	t.Helper()
	var lines []string
	for _, e := range got {
		lines = append(lines, describe(e))
	}
	if g, w := tidy(strings.Join(lines, "\n")), tidy(want); g != w {
		t.Errorf("got:\n%s\nwant:\n%s", g, w)
	}
}

func tidy(text string) string {
	var out []string
	for line := range strings.Lines(names.Replace(text)) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

func describe(e migrate.Effect) string {
	switch e := e.(type) {
	case migrate.Tell:
		return command(e.Command)
	case migrate.Carry:
		return "carry\n" + e.String()
	case migrate.SetAddress:
		if e.Gone {
			return "no address " + e.Address.String()
		}
		return "address " + e.Address.String()
	case migrate.FindHomeAgent:
		return fmt.Sprintf("find %s from %s", e.Peer, e.From)
	case migrate.Reread:
		return "reread"
	case migrate.Report:
		return fmt.Sprintf("report %s %s: %s", e.What, e.Peer, e.Detail)
	}
	return fmt.Sprintf("%#v", e)
}

func command(c spd.Command) string {
	switch c := c.(type) {
	case spd.Key:
		return fmt.Sprintf("key %d %s over %s", c.Demand.Acquire, demand(c.Demand), c.Path)
	case spd.Connect:
		return fmt.Sprintf("connect %s over %s", c.Peer, c.Path)
	case spd.Grant:
		if c.Err != nil {
			return fmt.Sprintf("refuse %d: %v", c.Request, c.Err)
		}
		return fmt.Sprintf("grant %d %s", c.Request, demand(c.Demand))
	case spd.AddressGrant:
		if c.Err != nil {
			return fmt.Sprintf("assign none %d: %v", c.Request, c.Err)
		}
		return fmt.Sprintf("assign %d %v, prefix %s, DNS %v", c.Request, c.Addresses, c.HomePrefix, c.DNS)
	case spd.Relocate:
		out := fmt.Sprintf("relocate %s to %s", c.Peer, c.Path)
		if c.Keep {
			out += ", keep"
		}
		if c.Renew {
			out += ", renew"
		}
		return out
	case spd.Addresses:
		return fmt.Sprintf("addresses %s", c.List)
	case spd.MoveSAs:
		return fmt.Sprintf("move SAs of %s: %s %s %d from %s to %s",
			c.Peer, spd.IPsecName(c.Change.Proto), c.Change.Mode, c.Change.Reqid, c.Change.Old, c.Change.New)
	case spd.Expired:
		return fmt.Sprintf("expired %s %s %v", c.Peer, c.ID, c.Hard)
	case spd.Lost:
		return fmt.Sprintf("lost %s %s", c.Peer, c.ID)
	case spd.Vacate:
		return fmt.Sprintf("vacate %s %s", c.Peer, c.Address)
	case spd.Reauthenticate:
		return "reauthenticate " + c.Peer
	case spd.Terminate:
		return "terminate " + c.Peer
	case spd.Superseded:
		return fmt.Sprintf("superseded %s but %d", c.Peer, c.Except)
	}
	return fmt.Sprintf("%#v", c)
}

func demand(d spd.Demand) string {
	return fmt.Sprintf("%s %v %v reqids %d %d", d, d.Traffic.Local, d.Traffic.Remote, d.ReqidOut, d.ReqidIn)
}
