package main

import (
	"context"
	"net/netip"
	"slices"

	"mipsecd/configs"
	"mipsecd/internal/addrs"
	"mipsecd/migrate"
)

// usable delivers the addresses that IKE can be spoken from, and which of them the routes to the home agents have as
// source.
func usable(ctx context.Context, w *addrs.Watcher, cfg *configs.Config) <-chan migrate.Addresses {
	out := make(chan migrate.Addresses)
	go func() {
		for change := range w.Changes() {
			here := migrate.Addresses{Sources: map[netip.Addr]netip.Addr{}}
			for _, a := range change.Addresses {
				allowed := len(cfg.Interfaces) == 0 || slices.Contains(cfg.Interfaces, a.Interface)
				if !a.Tentative && !a.Deprecated && !a.Down && !a.Home && allowed {
					here.List = append(here.List, a.Addr)
				}
			}
			for _, to := range knownHomeAgents(cfg) {
				if source, err := addrs.Source(to); err == nil { // else there is no route
					here.Sources[to] = source
				}
			}
			select {
			case out <- here:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// knownHomeAgents are the addresses of a mobile node's home agents that are configured, each once. A home agent has none to find
// a way to.
func knownHomeAgents(cfg *configs.Config) (list []netip.Addr) {
	if cfg.Role != configs.MobileNode {
		return nil
	}
	for _, home := range cfg.Homes {
		if home.HomeAgent.IsValid() && !slices.Contains(list, home.HomeAgent) {
			list = append(list, home.HomeAgent)
		}
	}
	return list
}
