package migrate_test

import (
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// A home address does without the reqids that somebody else's policies have when mipsecd starts, and keeps those that it then
// has. What is left of mipsecd's own from an earlier run does not count.
func TestReqidsThatSomebodyElseHas(t *testing.T) {
	foreign := func(reqids ...uint32) (list []spd.Policy) {
		for i, reqid := range reqids {
			list = append(list, spd.Policy{
				PolicyKey: spd.PolicyKey{Dir: spd.Out, Selector: spd.MH(spd.Host(CN), spd.Host(HA), uint8(i))}, Action: spd.Protect,
				Templates: []spd.Template{{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Unique, Reqid: reqid}},
			})
		}
		return list
	}
	one, two := Home("one", true), OtherHome("two") // from 1 to 8, and from 11 to 18
	for _, test := range []struct {
		name     string
		own      bool
		policies []spd.Policy
		one, two uint32
	}{
		{"nobody else", true, nil, 1, 11},
		{"others", true, foreign(0, 9, 10, 19), 1, 11},
		{"one of the first", true, foreign(8), 25, 11},
		{"of both", true, foreign(1, 18), 25, 35},
		{"what would come next, too", true, foreign(1, 18, 25, 40), 41, 27},
		{"its own of an earlier run", true, append(one.Policies(false, CoA1), two.Policies(false, CoA1)...), 1, 11},
		{"policies of a mobility daemon", false, foreign(1, 18), 1, 11},
	} {
		h := migrate.NewHomes([]migrate.Home{one, two}, false, test.own)
		h.Begin(start, migrate.Snapshot{Policies: test.policies})
		for range 2 {
			if places := h.Places(); places[0].Reqid != test.one || places[1].Reqid != test.two {
				t.Errorf("%s: from %d and from %d on, want %d and %d", test.name, places[0].Reqid, places[1].Reqid, test.one, test.two)
			}
			h.Begin(start, migrate.Snapshot{Policies: foreign(test.one, test.two)})
		}
	}

	h := migrate.NewHomes([]migrate.Home{two}, false, true)
	Expect(t, h.Begin(start, migrate.Snapshot{Policies: foreign(12)}), `
		report other reqids two: from 19 on, as a policy of somebody else's has one of those from 11 on
		carry
		set out OtherHoA -> HA mh type 5 protect esp/transport/unique:19
		set in HA -> OtherHoA mh type 6 protect esp/transport/unique:20
		set in HA -> OtherHoA mh protect esp/transport/unique:20
		set out OtherHoA -> * any bypass
		set in * -> OtherHoA any bypass`)
}
