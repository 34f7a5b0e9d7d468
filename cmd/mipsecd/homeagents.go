package main

import (
	"context"
	"net/netip"
	"time"

	"mipsecd/cmd/mipsecd/discovery"
	"mipsecd/configs"
)

// lookup bounds one search for a home agent: longer than the home link is asked.
const lookup = 2 * time.Minute

// homeAgents finds peers as the configuration says.
type homeAgents struct {
	ctx context.Context // ends with the agent
	by  map[string]configs.Discovery
}

// Find implements agent.HomeAgents.
func (h homeAgents) Find(peer string, from netip.Addr) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(h.ctx, lookup)
	defer cancel()
	return discovery.New().Find(ctx, h.by[peer], from)
}
