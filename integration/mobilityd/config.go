//go:build linux

// Package mobilityd is a Mobile IPv6 daemon for tests (RFC 6275): a mobile node that registers with its home agent by
// Binding Updates, and that home agent. The kernel's own Mobile IPv6 adds Home Address options and type 2 routing
// headers; the daemon drives it, and the security policies, in the order and with the messages that UMIP does.
//
// It does without Duplicate Address Detection for the HoA, router discovery, prefix discovery and return routability:
// where the mobile node is, the test says.
package mobilityd

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mipsecd/spd"
)

// Config is what the mobile node and its home agent must agree on, and how the daemon works.
type Config struct {
	HomeAddress, HomeAgent netip.Addr
	// Lifetime of a binding; the home agent grants no more than its own.
	Lifetime time.Duration
	// KeyMobility sets the K bit: the IKE_SA survives movements.
	KeyMobility bool

	// Migrator moves the ESP policies, which are then the daemon's as they are UMIP's. Nil leaves all of them to the
	// IPsec agent.
	Migrator Migrator
	// KMAddress tells, with each MIGRATE, where the key exchange is now.
	KMAddress bool

	// Duplicate: the home agent finds another host with the home address on the home link.
	Duplicate bool

	// Beside another binding on the same host, this one shares with it what is there once.
	Beside bool

	// HomeLink is the home agent's interface where it answers neighbor solicitations for the HoA.
	HomeLink string
	// IP gives commands to iproute2, one a line, on this daemon's host.
	IP func(commands string) error
}

// Migrator is an spd.Backend's MIGRATE.
type Migrator interface {
	Migrate(spd.Migrate) error
}

func (c Config) check() error {
	if !c.HomeAddress.Is6() || !c.HomeAgent.Is6() {
		return fmt.Errorf("home address %v and home agent %v: IPv6 addresses wanted", c.HomeAddress, c.HomeAgent)
	}
	if c.Lifetime <= 0 || c.IP == nil {
		return fmt.Errorf("lifetime %v or the way to iproute2 is missing", c.Lifetime)
	}
	return nil
}

// run gives several commands to iproute2 at once.
func (c Config) run(commands ...string) error {
	if len(commands) == 0 {
		return nil
	}
	return c.IP(strings.Join(commands, "\n"))
}
