package migrate_test

import (
	"net/netip"
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// byHand is HoA with manual keys for its binding and its payload, with the reqids 1, 2 and 7, 8, beside another home
// address without.
func byHand(onHA, own bool) *migrate.Homes {
	home := Home("one", false)
	home.Manual = true
	home.What = []migrate.Protection{migrate.ProtectBinding, migrate.ProtectPayload}
	return migrate.NewHomes([]migrate.Home{home, OtherHome("two")}, onHA, own)
}

// nowhere is the path of a key exchange that is none.
const nowhere = " over invalid IP - invalid IP\n"

func payloadKeyed(at string) string {
	return "key 0 payload with one (tunnel, " + at + " - HA) [HoA any] [* any] reqids 7 8" + nowhere
}

func allKeyed(at string) string {
	return "key 0 binding with one (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2" + nowhere + payloadKeyed(at)
}

// The SAs are asked for before a packet needs them, at home as well, and whenever the kernel is read.
func TestManualKeysAreProvided(t *testing.T) {
	for _, at := range []struct {
		name   string
		careOf netip.Addr
	}{{"HoA", HoA}, {"CoA1", CoA1}} {
		t.Run(at.name, func(t *testing.T) {
			h := byHand(false, false)
			var s migrate.Snapshot
			if at.careOf != HoA {
				s.CareOf = []spd.CareOfState{Daemon{Protected: Home("one", false).Protected}.Binds(at.careOf)}
			}
			Expect(t, h.Begin(start, s), allKeyed(at.name))
			Expect(t, h.Flushed(spd.Flushed{}), "reread")
			Expect(t, h.Begin(start, s), allKeyed(at.name))
		})
	}
}

// Policies of ours come after the SAs, so that nothing calls for these.
func TestManualKeysComeBeforePolicies(t *testing.T) {
	effects := byHand(true, true).Begin(start, migrate.Snapshot{})
	Expect(t, effects[:2], `
		key 0 binding with one (transport, HA - HoA) [HA mh 0x0600] [HoA mh 0x0500] reqids 2 1`+nowhere+`
		key 0 payload with one (tunnel, HA - HoA) [* any] [HoA any] reqids 8 7`+nowhere)
	if _, ok := effects[2].(migrate.Carry); !ok {
		t.Errorf("then %v", effects[2])
	}
}

// The reqids are a mobility daemon's where these are known.
func TestReqidsOfAMobilityDaemon(t *testing.T) {
	home := Home("one", false)
	home.Manual, home.What = true, []migrate.Protection{migrate.ProtectPayload}
	home.Reqids = map[migrate.Protection]migrate.Reqids{migrate.ProtectPayload: {ToHA: 70, ToMN: 80}}
	h := migrate.NewHomes([]migrate.Home{home}, false, false)
	Expect(t, h.Begin(start, migrate.Snapshot{}),
		"key 0 payload with one (tunnel, HoA - HA) [HoA any] [* any] reqids 70 80"+nowhere)
}

// With a movement there is nothing to tell a key exchange but which SAs the kernel has moved.
func TestManualKeysMove(t *testing.T) {
	h := byHand(false, false)
	p := h.Of(HoA)
	Expect(t, h.Moved(start, p, CoA1), "report moved one: to CoA1")
	m := Daemon{Protected: p.Protected}.MovesTunnels(CoA1, CoA2)[0].(spd.Migrate)
	Expect(t, h.Follow(later, p, spd.Path{Local: CoA2, Remote: HA}, m), `
		report moved one: to CoA2
		move SAs of one: esp tunnel 7 from CoA1 -> HA to CoA2 -> HA`)
}

// A tunnel that is set somewhere without a MIGRATE wants its SAs there.
func TestManualKeysFollowPoliciesThatAreSet(t *testing.T) {
	h := byHand(false, false)
	d := Daemon{Protected: h.Of(HoA).Protected}
	set := func(p spd.Policy, gone bool) []migrate.Effect {
		return h.Changed(spd.PolicyChanged{Policy: p, Gone: gone})
	}
	out, in := d.Tunnels(CoA1)[0], d.Tunnels(CoA1)[1]
	Expect(t, set(out, false), payloadKeyed("CoA1"))
	Expect(t, set(out, true), "")
	Expect(t, set(in, false), "")
	Expect(t, set(d.Static()[0], false), "")
	other := Daemon{Protected: OtherHome("two").Protected}
	Expect(t, set(other.Tunnels(CoA1)[0], false), "")

	elsewhere := d
	elsewhere.HomeAgent = CN
	Expect(t, set(elsewhere.Tunnels(CoA1)[0], false), "")
	unknown := d
	unknown.Reqid = 100
	Expect(t, set(unknown.Tunnels(CoA1)[0], false), "")
}
