package ikev2

import (
	"net/netip"
	"strings"
	"testing"

	"mipsecd/spd"
)

// One network cannot take the place of all others, whichever of its addresses it uses.
func TestHalfOpenLimitOfANetwork(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: func(_, _ *host, _, cfg *Config) { cfg.Limits.HalfOpenPerNetwork = 2 }})
	from := func(a string) spd.Path { return spd.Path{Local: netip.MustParseAddr(a), Remote: path1.Remote} }
	w.lose = func(p *packet) bool { return p.from == ha }
	for i, a := range []string{"2001:db8:bad::1", "2001:db8:bad::2", "2001:db8:bad:0:ffff::3", "2001:db8:bad:1::1", "192.0.2.1", "192.0.2.2"} {
		path := from(a)
		if path.Local.Is4() {
			path.Remote = netip.MustParseAddr("192.0.2.100")
		}
		mn.tell(spd.Key{Demand: binding, Path: path})
		w.run()
		mn.tell(spd.Terminate{Peer: "ha"})
		if got, want := ha.engine.halfOpen.total, []int{1, 2, 2, 3, 4, 5}[i]; got != want {
			t.Errorf("after one from %s: %d half-open IKE_SAs, want %d", a, got, want)
		}
	}
	if len(ha.dropped) != 1 || !strings.Contains(ha.dropped[0].Error(), "2 of them with 2001:db8:bad::/64") {
		t.Errorf("dropped %v, want the third one of 2001:db8:bad::/64", ha.dropped)
	}
	w.lose = nil
	w.log.Reset()
	mn.notices = nil
	mn.key(binding)
	w.script(initialExchanges)
	w.pass(DefaultTiming.HalfOpen)
	w.settled(1) // and nobody is counted any more
}
