package configs

import (
	"net/netip"
	"slices"
	"strings"

	"mipsecd/homeagent"
	"mipsecd/ikev2"
	"mipsecd/migrate"
	"mipsecd/spd"
)

// assigning are the keys about what a home agent assigns and tells its mobile nodes.
func (d *document) assigning() []field {
	return []field{
		bind(&d.Pool.Prefix, homePrefix, Key{Name: "home-prefix", Role: HomeAgent,
			Meaning: "the prefix of the home link, out of which home addresses are assigned"}),
		bind(&d.Pool.Ranges, oneOrMore(addressRange), Key{Name: "pool", Role: HomeAgent,
			Meaning: "the home addresses that are assigned; without it all of home-prefix that no configuration names"}),
		bind(&d.Pool.Autoconfiguration, boolean, Key{Name: "autoconfiguration", Role: HomeAgent, Default: "false",
			Meaning: "a mobile node may make its home address out of home-prefix itself (RFC 5026 section 5.3.2), if its " +
				"home-address is assigned here; without it, it is told to use one that is assigned"}),
		bind(&d.Pool.Hold, duration("1s", "720h"), Key{Name: "address-hold", Role: HomeAgent, Default: `"1h"`,
			Meaning: "how long an assigned home address stays a mobile node's after its last IKE_SA has ended"}),
		bind(&d.Pool.DNS, oneOrMore(address), Key{Name: "dns", Role: HomeAgent,
			Meaning: "the name servers that mobile nodes are told of"}),
		bind(&d.HomeInterface, label, Key{Name: "home-interface", Role: MobileNode, Default: `"lo"`,
			Meaning: "the interface that an assigned home address is put on"}),
	}
}

var (
	homePrefix   = judged(`an IPv6 prefix of 64 to 120 bits such as "2001:db8:1::/64"`, parseHomePrefix)
	addressRange = judged(`a prefix such as "2001:db8:1::100/120", or a range such as "2001:db8:1::100-2001:db8:1::1ff"`,
		parseRange)
)

func parseHomePrefix(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	_, okAddr := parseAddress(p.Addr().String())
	return p, err == nil && okAddr && p == p.Masked() && 64 <= p.Bits() && p.Bits() <= 120
}

func parseRange(s string) (r homeagent.Range, ok bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		whole := spd.PrefixRange(p)
		return homeagent.Range{First: whole.Start, Last: whole.End}, p == p.Masked() && p.Bits() >= 64 && p.Addr().Is6()
	}
	first, last, _ := strings.Cut(s, "-")
	var okFirst, okLast bool
	r.First, okFirst = parseAddress(first)
	r.Last, okLast = parseAddress(last)
	return r, okFirst && okLast && r.First.Compare(r.Last) <= 0
}

// The home addresses of who has none from the start.
const (
	assignedWord       = "assigned"
	autoconfiguredWord = "autoconfigured"
)

// homeAddresses are those of a peer: one that is not known yet is the zero Addr.
type homeAddresses struct {
	list           []netip.Addr
	autoconfigured bool
}

func (h homeAddresses) open() bool { return len(h.list) == 1 && !h.list[0].IsValid() }

// homesFor takes addresses; or that one is assigned or, on the mobile node, made by itself.
func homesFor(role Role) kind[homeAddresses] {
	configured := oneOrMore(address)
	want := configured.want + `, or "` + assignedWord + `"`
	if role == MobileNode {
		want += ` or "` + autoconfiguredWord + `"`
	}
	return kind[homeAddresses]{want, func(v any) (h homeAddresses, err error) {
		h.autoconfigured = v == autoconfiguredWord && role == MobileNode
		if h.autoconfigured || v == assignedWord {
			h.list = []netip.Addr{{}}
			return h, nil
		}
		h.list, err = configured.read(v)
		if _, isList := v.([]any); err != nil && !isList {
			err = fault(v, want)
		}
		return h, err
	}}
}

// checkPool holds that there is something to assign where something is to be assigned.
func (r *reader) checkPool(d *document, t table) {
	p := d.Pool
	if p.Autoconfiguration && !p.Prefix.IsValid() {
		r.report(t.at.key("autoconfiguration"), "autoconfiguration", "there is no home-prefix; want that of the home link")
	}
	for i, x := range p.Ranges {
		at := t.at.key("pool")
		switch {
		case !p.Prefix.IsValid():
			r.report(at, "pool", "there is no home-prefix; want that of the home link")
			return
		case !p.Prefix.Contains(x.First) || !p.Prefix.Contains(x.Last):
			r.report(at, "pool", "got %s-%s; want addresses within the home-prefix %s", x.First, x.Last, p.Prefix)
		case slices.ContainsFunc(p.Ranges[:i], func(y homeagent.Range) bool {
			return x.First.Compare(y.Last) <= 0 && y.First.Compare(x.Last) <= 0
		}):
			r.report(at, "pool", "got %s-%s, which overlaps another; want each address only once", x.First, x.Last)
		}
	}
}

// assigned checks the home address of a peer that is assigned; on a mobile node it is asked for.
func (r *reader) assigned(to *ikev2.Peer, d *document, t table, p *peer) {
	open := p.homeAddresses.open()
	switch {
	case p.homeAddresses.autoconfigured && p.mobility != migrate.MobileIPv6:
		r.report(t.at.key("home-address"), t.key("home-address"), "got %q, which is for Mobile IPv6; want %q, or an address",
			autoconfiguredWord, assignedWord)
	case p.homeAddresses.autoconfigured && p.wished.IsValid():
		r.report(t.at.key("wished-address"), t.key("wished-address"), "the mobile node makes its home address itself; want home-address = %q",
			assignedWord)
	case p.homeAddresses.autoconfigured:
		to.Wish = &spd.Wish{HomePrefix: true, DNS: true}
	case open && r.role == HomeAgent && !d.Pool.Prefix.IsValid():
		r.report(t.at.key("home-address"), t.key("home-address"),
			"got %q without a home-prefix to assign it from; want that at the top, or an address", assignedWord)
	case open && r.role == MobileNode:
		to.Wish = &spd.Wish{Addresses: []netip.Addr{p.wished}, HomePrefix: true, DNS: true}
	case p.wished.IsValid():
		r.report(t.at.key("wished-address"), t.key("wished-address"), "the home address is configured; want home-address = %q",
			assignedWord)
	}
}
