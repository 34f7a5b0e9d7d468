// Package discovery finds a mobile node's home agents: by a name in DNS (RFC 5026 section 5.1), or by asking the home link
// (Dynamic Home Agent Address Discovery, RFC 6275 section 11.4.1).
package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"mipsecd/configs"
)

// Finder finds home agents.
type Finder struct {
	// Resolver asks DNS.
	Resolver *net.Resolver
	// Timeout is the wait before the home link is asked again, which doubles each time.
	Timeout time.Duration
}

// New makes a Finder with the system's resolver.
func New() *Finder { return &Finder{Resolver: net.DefaultResolver, Timeout: initialTimeout} }

// Find finds the addresses of home agents, the preferred ones first, at least one. What is sent to the home link comes from an
// address of this host, which should be no home address.
func (f *Finder) Find(ctx context.Context, by configs.Discovery, from netip.Addr) ([]netip.Addr, error) {
	switch {
	case by.Prefix.IsValid():
		return f.onLink(ctx, by.Prefix, from)
	case by.Service != "":
		return f.byService(ctx, by.Service)
	}
	return f.byName(ctx, by.Host)
}

// byName looks a home agent's own name up (RFC 5026 section 5.1.1).
func (f *Finder) byName(ctx context.Context, name string) ([]netip.Addr, error) {
	list, err := f.Resolver.LookupNetIP(ctx, "ip6", name)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(a netip.Addr) bool { return !a.Is6() || a.Is4In6() || !a.IsGlobalUnicast() })
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no global unicast IPv6 address", name)
	}
	return list, nil
}

// byService looks up who serves a domain, and where these are (RFC 5026 section 5.1.2). The resolver orders them by priority
// and weight (RFC 2782).
func (f *Finder) byService(ctx context.Context, domain string) (list []netip.Addr, err error) {
	_, servers, err := f.Resolver.LookupSRV(ctx, "mip6", "ipv6", domain)
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, s := range servers {
		addresses, err := f.byName(ctx, s.Target)
		for _, a := range addresses {
			if !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
		failures = append(failures, err)
	}
	if len(list) == 0 {
		return nil, errors.Join(fmt.Errorf("no home agent of %s has an address", domain), errors.Join(failures...))
	}
	return list, nil
}
