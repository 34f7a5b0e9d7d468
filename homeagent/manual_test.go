package homeagent

import (
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// With manual keys the home agent asks for its SAs before anything calls for them, and again where a tunnel is set. Nobody
// gets others for that home address by a key exchange.
func TestManualKeys(t *testing.T) {
	payloadAt := func(at string) string {
		return "key 0 payload with mn (tunnel, HA - " + at + ") [* any] [HoA any] reqids 8 7 over invalid IP - invalid IP\n"
	}
	home := Home("mn", false)
	home.Manual, home.What = true, []migrate.Protection{migrate.ProtectPayload}
	d := Daemon{Protected: home.Protected, OnHA: true}
	s := newScript(t, false, home, OtherHome("other"))
	s.step(payloadAt("HoA"), migrate.Snapshot{})
	s.kernel(payloadAt("CoA1"), Adds(d.Tunnels(CoA1))...)
	s.kernel("report moved mn: to CoA1", d.Binds(CoA1))

	p := d.Tunnels(CoA1)[1]
	s.says("refuse 1: other may not speak for HoA, which is mn's", spd.Request{
		Request: 1, Peer: "other", Mode: spd.Tunnel, Path: spd.Path{Local: HA, Remote: CoA2},
		Traffic: spd.NewTraffic(p.Selector, d.Tunnels(CoA1)[0].Selector),
	})
}
