package configs

import (
	"net/netip"
	"strings"
	"testing"
)

const configuredAgent = `address = "2001:db8:1::1"`

// seeking is a mobile node whose home agent is at this, and assigns the home address.
func seeking(at string) string {
	return strings.NewReplacer(configuredAgent, `address = "`+at+`"`, `"2001:db8:1::100"`, `"assigned"`).Replace(mobileNode("", ""))
}

// A home agent is at an address, or is found by what is there in place of it.
func TestDiscoveries(t *testing.T) {
	long := strings.Repeat("a", 63)
	for at, want := range map[string]Discovery{
		"2001:db8:1::1":           {},
		"ha.example.org":          {Host: "ha.example.org"},
		"ha.example.org.":         {Host: "ha.example.org."},
		"HA-1":                    {Host: "HA-1"},
		long + ".example.org":     {Host: long + ".example.org"},
		"_mip6._ipv6.example.org": {Service: "example.org"},
		"2001:db8:1::/64":         {Prefix: netip.MustParsePrefix("2001:db8:1::/64")},
	} {
		c := parse(t, seeking(at))
		if got := c.Discoveries["ha.example.org"]; got != want || c.Homes[0].HomeAgent.IsValid() != (want == Discovery{}) {
			t.Errorf("%s: %+v, home %+v", at, got, c.Homes[0])
		}
	}
	for _, at := range []string{
		"", "ff02::1", "2001:db8:1::/63", "2001:db8:1::1/64", "192.0.2.1.", "192.0.2.300", "ha..example.org", "-ha.example.org",
		"ha-.example.org", "ha_1.example.org", "h\u00e4.example.org", "_mip6._ipv6.", "_mip6._udp.example.org", long + "a.example.org",
		strings.Repeat(long+".", 4) + "org", "ha.example.org/64",
	} {
		if _, err := Parse("x.toml", []byte(seeking(at)), anySecret); err == nil || !strings.Contains(err.Error(),
			`want a global unicast address such as "2001:db8::1", a host name such as "ha.example.org"`) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// What is found later is of no use where the home address is configured, or for a road warrior.
func TestDiscoveryIsForHomeAddressesNotConfigured(t *testing.T) {
	const want = `x.toml:6: home-agent.address: a home agent is looked for only with Mobile IPv6, and where home-address is ` +
		`"assigned" or "autoconfigured"; want its address`
	configured := strings.Replace(mobileNode("", ""), configuredAgent, `address = "ha.example.org"`, 1)
	warrior := strings.Replace(seeking("ha.example.org"), "[home-agent]", "[home-agent]\nmobility = \"mobike\"", 1)
	for _, text := range []string{configured, strings.Replace(warrior, "\n\n", "\n", 1)} {
		if _, err := Parse("x.toml", []byte(text), anySecret); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
