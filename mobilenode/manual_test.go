package mobilenode

import (
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
)

// With manual keys the node asks for its SAs before anything calls for them, and again where a tunnel is set.
func TestManualKeys(t *testing.T) {
	payloadAt := func(at string) string {
		return "key 0 payload with ha (tunnel, " + at + " - HA) [HoA any] [* any] reqids 7 8 over invalid IP - invalid IP\n"
	}
	home := Home("ha", false)
	home.Manual, home.What = true, []migrate.Protection{migrate.ProtectPayload}
	d := Daemon{Protected: home.Protected}
	s := newScript(t, false, home)
	s.step(payloadAt("HoA"), migrate.Snapshot{})
	s.kernel(payloadAt("CoA1"), Adds(d.Tunnels(CoA1))...)
	s.kernel("report moved ha: to CoA1", d.Binds(CoA1))
}
