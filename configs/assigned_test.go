package configs

import (
	"net/netip"
	"strings"
	"testing"
)

// A home address that is assigned has no address; on the mobile node it is asked for.
func TestAssignedHomeAddress(t *testing.T) {
	const configured = `home-address = "2001:db8:1::100"`
	text := strings.Replace(mobileNode("", ""), configured, `home-address = "assigned"`, 1)
	wishes := strings.Replace(text, `"assigned"`, `"assigned"`+"\nwished-address = \"2001:db8:1::77\"", 1)
	for text, want := range map[string]netip.Addr{text: {}, wishes: netip.MustParseAddr("2001:db8:1::77")} {
		c := parse(t, text)
		w := c.Peers[0].Wish
		if c.Homes[0].HomeAddress.IsValid() || w == nil || len(w.Addresses) != 1 || w.Addresses[0] != want ||
			!w.DNS || !w.HomePrefix {
			t.Errorf("home %v, wish %+v; want one for %s", c.Homes[0].HomeAddress, w, want)
		}
		if got := Describe(c); !strings.Contains(got, "\nassigned, home agent ha.example.org, K bit\n") {
			t.Errorf("described as\n%s", got)
		}
	}
	if c := parse(t, mobileNode("", "")); c.Peers[0].Wish != nil {
		t.Error("who has a configured one asks for another")
	}
	c := parse(t, strings.Replace(homeAgent(`home-prefix = "2001:db8:1::/64"`, ""), configured, `home-address = "assigned"`, 1))
	if c.Homes[0].HomeAddress.IsValid() || c.Peers[0].Wish != nil || c.Homes[0].Reqid == 0 {
		t.Errorf("home %+v, wish %+v", c.Homes[0], c.Peers[0].Wish)
	}
}

// A mobile node that makes its home address itself asks for the home prefix alone (RFC 5026 section 5.3.2).
func TestAutoconfiguredHomeAddress(t *testing.T) {
	const configured = `home-address = "2001:db8:1::100"`
	c := parse(t, strings.Replace(mobileNode("", ""), configured, `home-address = "autoconfigured"`, 1))
	if w := c.Peers[0].Wish; c.Homes[0].HomeAddress.IsValid() || !c.Homes[0].Autoconfigured || w == nil ||
		len(w.Addresses) != 0 || !w.DNS || !w.HomePrefix {
		t.Errorf("home %+v, wish %+v", c.Homes[0], w)
	}
	if got := Describe(c); !strings.Contains(got, "\nautoconfigured, home agent ha.example.org, K bit\n") {
		t.Errorf("described as\n%s", got)
	}
	c = parse(t, homeAgent("home-prefix = \"2001:db8:1::/64\"\nautoconfiguration = true", ""))
	if !c.Pool.Autoconfiguration {
		t.Errorf("pool %+v", c.Pool)
	}
}
