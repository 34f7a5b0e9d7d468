package configs

import (
	"net/netip"
	"strings"

	"mipsecd/migrate"
)

// Discovery says how a home agent is found: by one of these.
type Discovery struct {
	// Host is its name in DNS (RFC 5026 section 5.1.1).
	Host string
	// Service is the domain that it serves (RFC 5026 section 5.1.2).
	Service string
	// Prefix is that of the home link, on which home agents are asked (RFC 6275 section 11.4.1).
	Prefix netip.Prefix
}

// whereabouts are where a home agent is: its address, or how that is found.
type whereabouts struct {
	address netip.Addr
	by      Discovery
}

func (w whereabouts) unknown() bool { return w.by != Discovery{} }

// servicePrefix begins the name under which DNS has the home agents of a domain.
const servicePrefix = "_mip6._ipv6."

// homeAgentAt takes an address, or what is looked up to find it.
var homeAgentAt = judged(`a global unicast address such as "2001:db8::1", a host name such as "ha.example.org", the service name "`+
	servicePrefix+`example.org", or the prefix of the home link such as "2001:db8:1::/64"`, parseWhereabouts)

func parseWhereabouts(s string) (w whereabouts, ok bool) {
	if w.address, ok = parseAnyAddress(s); ok {
		return w, true
	}
	if w.by.Prefix, ok = parseHomePrefix(s); ok {
		return w, true
	}
	w = whereabouts{}
	if domain, service := strings.CutPrefix(s, servicePrefix); service {
		w.by.Service = domain
		return w, isHostName(domain)
	}
	w.by.Host = s
	return w, isHostName(s)
}

// isHostName holds a name to RFC 1123 section 2.1: labels of letters, digits and hyphens, the last of them not of digits alone,
// as that of an address would be.
func isHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	labels := strings.Split(s, ".")
	for _, l := range labels {
		other := func(c rune) bool { return c != '-' && (c < '0' || '9' < c) && (c|0x20 < 'a' || 'z' < c|0x20) }
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.ContainsFunc(l, other) {
			return false
		}
	}
	return len(s) <= 253 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// discovery notes how the home agent of a table is found, which is asked for the home address then.
func (r *reader) discovery(d *document, t table, p *peer, name string) {
	if !p.at.unknown() {
		return
	}
	if p.mobility != migrate.MobileIPv6 || !p.homeAddresses.open() {
		r.report(t.at.key("address"), t.key("address"), "a home agent is looked for only with Mobile IPv6, and where home-address is "+
			"%q or %q; want its address", assignedWord, autoconfiguredWord)
		return
	}
	if d.Discoveries == nil {
		d.Discoveries = map[string]Discovery{}
	}
	d.Discoveries[name] = p.at.by
}
