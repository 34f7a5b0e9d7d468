//go:build linux

package mobilityd

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mipsecd/spd"
)

// migrateBinding tells that the mobile node is now at careOf. The SAs on the HoA do not move, so the old endpoints are
// unspecified, as UMIP has them: the news is the new endpoints and the KMADDRESS.
func (c Config) migrateBinding(at side, careOf netip.Addr) error {
	return c.migrate(at, c.binding(), netip.Addr{}, careOf)
}

// migrateTunnels moves the tunnels' end at the mobile node.
func (c Config) migrateTunnels(at side, old, careOf netip.Addr) error {
	for _, g := range c.tunnels() {
		if err := c.migrate(at, g, old, careOf); err != nil {
			return err
		}
	}
	return nil
}

// migrate sends one MIGRATE for each policy of a guard at one side. An old CoA that is not valid means transport mode.
func (c Config) migrate(at side, g guard, old, careOf netip.Addr) error {
	up := spd.Endpoints{Src: careOf, Dst: c.HomeAgent}
	oldUp := spd.Endpoints{Src: netip.IPv6Unspecified(), Dst: netip.IPv6Unspecified()}
	if old.IsValid() {
		oldUp = spd.Endpoints{Src: old, Dst: c.HomeAgent}
	}
	var exchange spd.Endpoints
	if c.KMAddress {
		if exchange = up; at == atHA {
			exchange = up.Reverse()
		}
	}
	for _, p := range c.policies(at, g, careOf) {
		change := spd.EndpointChange{Proto: spd.ESP, Mode: g.mode, Reqid: p.Templates[0].Reqid, Old: oldUp, New: up}
		if change.Reqid == g.reqidToMN {
			change.Old, change.New = oldUp.Reverse(), up.Reverse()
		}
		m := spd.Migrate{PolicyKey: p.PolicyKey, Changes: []spd.EndpointChange{change}, KMAddress: exchange}
		if err := c.persist(m); err != nil {
			return fmt.Errorf("MIGRATE %s to %s: %w", p.PolicyKey, change.New, err)
		}
	}
	return nil
}

// persistence is how long a policy that cannot be moved is tried again.
const persistence = 10 * time.Second

// persist sends a MIGRATE, again as long as Linux (6.1) refuses to move a policy because it is calling for an SA under it:
// until the SA is there, or the call has expired (net.core.xfrm_acq_expires).
func (c Config) persist(m spd.Migrate) error {
	for limit := time.Now().Add(persistence); ; time.Sleep(10 * time.Millisecond) {
		err := c.Migrator.Migrate(m)
		if !errors.Is(err, spd.ErrNoTemplate) || time.Now().After(limit) {
			return err
		}
	}
}
