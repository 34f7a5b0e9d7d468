package mobility

import (
	"net/netip"
	"testing"
)

// The identifiers of RFC 2526 section 2: under a prefix of 64 bits with the universal/local bit 0, else all ones.
func TestRFC2526_AnycastAddresses(t *testing.T) {
	for _, c := range []struct {
		prefix, homeAgents string
		anycast, hosts     []string
	}{
		{"2001:db8:1::/64", "2001:db8:1:0:fdff:ffff:ffff:fffe",
			[]string{"2001:db8:1::", "2001:db8:1:0:fdff:ffff:ffff:ff80", "2001:db8:1:0:fdff:ffff:ffff:ffff"},
			[]string{"2001:db8:1::1", "2001:db8:1:0:fdff:ffff:ffff:ff7f", "2001:db8:1:0:fe00::", "2001:db8:1:0:ffff:ffff:ffff:ffff"}},
		{"2001:db8:1::1:0/112", "2001:db8:1::1:fffe",
			[]string{"2001:db8:1::1:0", "2001:db8:1::1:ff80", "2001:db8:1::1:ffff"},
			[]string{"2001:db8:1::1:1", "2001:db8:1::1:ff7f"}},
		{"2001:db8:1::ab00/120", "2001:db8:1::abfe", []string{"2001:db8:1::ab00", "2001:db8:1::ab80"}, []string{"2001:db8:1::ab7f"}},
	} {
		prefix := netip.MustParsePrefix(c.prefix)
		if got := HomeAgents(prefix); got.String() != c.homeAgents || !IsAnycast(prefix, got) {
			t.Errorf("%s: home agents at %s, want %s", prefix, got, c.homeAgents)
		}
		for want, list := range map[bool][]string{true: c.anycast, false: c.hosts} {
			for _, a := range list {
				if got := IsAnycast(prefix, netip.MustParseAddr(a)); got != want {
					t.Errorf("%s is anycast: %t", a, got)
				}
			}
		}
	}
	if got := WithInterfaceID(netip.MustParsePrefix("2001:db8:1::ab00/120"), 0x1234_5677); got.String() != "2001:db8:1::ab77" {
		t.Error(got)
	}
}
