package configs

import (
	"fmt"
	"io"
	"slices"
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
	switch {
	case !slices.ContainsFunc(c.Homes, func(h migrate.Home) bool { return h.Mobility == migrate.MobileIPv6 }):
		fmt.Fprint(&out, "The policies are mipsecd's.\n")
	case c.OwnPolicies:
		fmt.Fprint(&out, "The policies are mipsecd's. Away from home, tunnels end at the care-of address\n"+
			"in place of the home address; at home, mipsecd bypasses them.\n")
	default:
		fmt.Fprint(&out, "The policies are the mobility daemon's, with its own reqids. Expected are:\n")
	}
	for _, home := range c.Homes {
		address, peer, mobility := home.HomeAddress.String(), "mobile node", "K bit"
		if !home.HomeAddress.IsValid() {
			address = assignedWord
			if home.Autoconfigured {
				address = autoconfiguredWord
			}
		}
		if c.Role == MobileNode {
			peer = "home agent"
		}
		switch {
		case home.Mobility == migrate.MOBIKE:
			mobility = "a road warrior with MOBIKE"
		case home.Mobility == migrate.NewIKE:
			mobility = "a road warrior"
		case home.Manual:
			mobility = "manual keys"
		case !home.KeyMobility:
			mobility = "no K bit"
		}
		fmt.Fprintf(&out, "\n%s, %s %s, %s\n", address, peer, home.Peer, mobility)
		if !home.HomeAddress.IsValid() {
			continue // there are policies once it is
		}
		for _, what := range migrate.Protections {
			if slices.Contains(home.What, what) {
				describe(&out, c, home, what)
			}
		}
	}
	if len(c.Manual) > 0 {
		fmt.Fprint(&out, "\nWith manual keys IPsec does not tell a replayed packet from a new one (RFC 6275\n"+
			"section 15.3). A home agent that restarts may believe an old Binding Update.\n")
	}
	return out.String()
}

// describe writes what is about one pair of SAs.
func describe(w io.Writer, c *Config, home migrate.Home, what migrate.Protection) {
	policies := home.PoliciesFor(what, c.Role == HomeAgent, home.HomeAddress)
	t := policies[0].Templates[0]
	owned := c.OwnPolicies || home.Mobility != migrate.MobileIPv6
	fmt.Fprintf(w, "  %s: %s %s", what, spd.IPsecName(t.Proto), t.Mode)
	if t.Mode == spd.Tunnel {
		mobile := home.HomeAddress.String()
		if home.Mobility != migrate.MobileIPv6 {
			mobile = "care-of address"
		}
		fmt.Fprintf(w, " %s - %s", mobile, home.HomeAgent)
	}
	if owned {
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
		if owned || home.Manual {
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
	for _, p := range c.Manual {
		if r := home.ReqidsFor(what); p.Peer == home.Peer && (p.Out.Reqid == r.ToHA || p.Out.Reqid == r.ToMN) {
			fmt.Fprintf(w, "    SPI in 0x%08x, out 0x%08x, %s\n", p.In.SPI, p.Out.SPI, p.Suite)
		}
	}
}
