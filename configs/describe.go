package configs

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"mipsecd/migrate"
	"mipsecd/spd"
)

// Describe is a text for people: the policies of each home address, and the traffic selectors of their Child SAs as the
// mobile node proposes them, the same at both ends. It has no secrets.
func Describe(c *Config) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s, kernel interface %s\n", c.Role, c.Identity, c.Kernel)
	if c.OwnPolicies {
		fmt.Fprint(&out, "The policies are mipsecd's. Away from home, tunnels end at the care-of address\n"+
			"in place of the home address; at home, mipsecd bypasses them.\n")
	} else {
		fmt.Fprint(&out, "The policies are the mobility daemon's, with its own reqids. Expected are:\n")
	}
	for _, home := range c.Homes {
		kBit := "K bit"
		if !home.KeyMobility {
			kBit = "no K bit"
		}
		address := home.HomeAddress.String()
		if !home.HomeAddress.IsValid() {
			address = assignedWord
		}
		if c.Role == MobileNode {
			fmt.Fprintf(&out, "\n%s, home agent %s, %s\n", address, home.Peer, kBit)
		} else {
			fmt.Fprintf(&out, "\n%s, mobile node %s, %s\n", address, home.Peer, kBit)
		}
		if !home.HomeAddress.IsValid() {
			continue // there are policies once it is
		}
		policies := home.Policies(c.Role == HomeAgent, home.HomeAddress)
		for len(policies) > 0 {
			n := pairOf(policies, home.Reqid)
			describe(&out, c, home, policies[:n])
			policies = policies[n:]
		}
	}
	return out.String()
}

// purpose is the kind of traffic that a policy of a home address is for, by its reqid.
func purpose(p spd.Policy, base uint32) migrate.Protection {
	return migrate.Protections[(p.Templates[0].Reqid-base)/2]
}

// pairOf counts the policies that one pair of SAs serves, at the beginning of those of a home address.
func pairOf(policies []spd.Policy, base uint32) int {
	for i, p := range policies {
		if purpose(p, base) != purpose(policies[0], base) {
			return i
		}
	}
	return len(policies)
}

// describe writes what is about one pair of SAs.
func describe(w io.Writer, c *Config, home migrate.Home, policies []spd.Policy) {
	t := policies[0].Templates[0]
	fmt.Fprintf(w, "  %s: %s %s", purpose(policies[0], home.Reqid), spd.IPsecName(t.Proto), t.Mode)
	if t.Mode == spd.Tunnel {
		fmt.Fprintf(w, " %s - %s", home.HomeAddress, home.HomeAgent)
	}
	if c.OwnPolicies {
		fmt.Fprintf(w, ", level %s", t.Level)
	}
	fmt.Fprintln(w)
	var out, in spd.Selector
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range policies {
		switch p.Dir {
		case spd.Out:
			out = p.Selector
		case spd.In:
			in = p.Selector
		}
		fmt.Fprintf(columns, "    %s\t%s", p.Dir, p.Selector)
		if c.OwnPolicies {
			fmt.Fprintf(columns, "\treqid %d", p.Templates[0].Reqid)
		}
		fmt.Fprintln(columns)
	}
	traffic := spd.NewTraffic(out, in)
	tsi, tsr := traffic.Local, traffic.Remote
	if c.Role == HomeAgent {
		tsi, tsr = tsr, tsi
	}
	for i := range tsi {
		fmt.Fprintf(columns, "    TSi\t%s\n    TSr\t%s\n", tsi[i], tsr[i])
	}
	columns.Flush()
}
