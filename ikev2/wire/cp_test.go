package wire

import (
	"net/netip"
	"reflect"
	"testing"
)

// What attributes tell, of those that are empty too (RFC 7296 section 3.15.1, RFC 5026 section 8.2).
func TestConfigurationAttributes(t *testing.T) {
	home, prefix := netip.MustParsePrefix("2001:db8:1::100/64"), netip.MustParsePrefix("2001:db8:1::/64")
	dns := netip.MustParseAddr("2001:db8:1::53")
	p := &CP{Kind: CFGReply, Attributes: []CPAttribute{
		PrefixAttribute(InternalIP6Address, home), PrefixAttribute(InternalIP6Address, netip.Prefix{}),
		AddrAttribute(InternalIP6DNS, dns), AddrAttribute(InternalIP6DNS, netip.Addr{}),
		HomePrefixAttribute(prefix, 1), {Type: ApplicationVersion},
	}}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"addresses", p.Prefixes(InternalIP6Address), []netip.Prefix{home, {}}},
		{"home prefix", p.Prefixes(MIP6HomePrefix), []netip.Prefix{prefix}},
		{"servers", p.Addrs(InternalIP6DNS), []netip.Addr{dns, {}}},
		{"none", p.Addrs(InternalIP6DHCP), []netip.Addr(nil)},
		{"an empty one is there", p.Has(ApplicationVersion), true},
		{"another is not", p.Has(InternalIP4Address), false},
		{"what asks is empty", len(p.Attributes[1].Value) + len(p.Attributes[3].Value), 0},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}
