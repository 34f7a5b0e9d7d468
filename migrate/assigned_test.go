package migrate_test

import (
	"net/netip"
	"reflect"
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// open is Home without an address.
func open(peer string) migrate.Home {
	home := Home(peer, true)
	home.HomeAddress = netip.Addr{}
	return home
}

// A home address that is assigned is served as one that is configured, until it is released.
func TestAssignedAndReleased(t *testing.T) {
	for _, side := range sides {
		h := migrate.NewHomes([]migrate.Home{open("one"), OtherHome("two")}, side.onHA, true)
		if got := h.Open(); len(got) != 1 || got[0].Peer != "one" || len(h.Places()) != 1 || h.With("one") != nil {
			t.Fatalf("%s: open %v, places %v", side.name, got, h.Places())
		}
		k := newKernel(t, OtherHome("two"), side.onHA, OtherHoA)
		before := k.state().policies
		carry := func(effects []migrate.Effect) {
			t.Helper()
			for _, e := range effects {
				if c, ok := e.(migrate.Carry); ok {
					k.do(c.Apply(k))
				}
			}
		}
		carry(h.Assign(start, h.Open()[0], HoA))
		configured := migrate.NewHomes([]migrate.Home{Home("one", true)}, side.onHA, true)
		if got, want := h.Policies(HoA), configured.Policies(HoA); !reflect.DeepEqual(got, want) || len(got) == 0 {
			t.Errorf("%s: policies %v, want %v", side.name, got, want)
		}
		if got := k.state().policies; len(got) != len(before)+len(h.Policies(HoA)) {
			t.Errorf("%s: the kernel has %v", side.name, got)
		}
		if p := h.Of(HoA); p == nil || h.With("one") != p || len(h.Places()) != 2 {
			t.Errorf("%s: place %v", side.name, p)
		}
		if got := h.AddressesWith("one"); len(got) != 1 || got[0] != HoA {
			t.Errorf("%s: addresses %v", side.name, got)
		}
		carry(h.Bind(start, Daemon{Protected: Home("one", true).Protected}.Binds(CoA1)))
		carry(h.Release(HoA))
		if got := k.state().policies; !reflect.DeepEqual(got, before) {
			t.Errorf("%s: left over %v, want %v", side.name, got, before)
		}
		if h.Of(HoA) != nil || h.With("one") != nil || len(h.Places()) != 1 || len(h.AddressesWith("one")) > 0 ||
			h.Policies(HoA) != nil {
			t.Errorf("%s: after the release places %v", side.name, h.Places())
		}
	}
}

// Who does not own the policies touches none.
func TestAssignedWithPoliciesOfAnother(t *testing.T) {
	h := migrate.NewHomes([]migrate.Home{open("one")}, true, false)
	Expect(t, h.Assign(start, h.Open()[0], HoA), "report assigned one: HoA")
	Expect(t, h.Release(HoA), "report released one: HoA")
}

// A mobility daemon may have bound an address before it is assigned here, as when only mipsecd was started anew.
func TestAssignedWhereItIsBoundAlready(t *testing.T) {
	d := Daemon{Protected: Home("one", true).Protected}
	gone := d.Binds(CoA1)
	gone.Gone = true
	other := d.Binds(CoA1)
	other.Endpoints.Dst = CN
	for _, c := range []struct {
		name string
		seen []spd.CareOfState
		want netip.Addr
	}{
		{"bound", []spd.CareOfState{d.Binds(CoA1)}, CoA1},
		{"and moved", []spd.CareOfState{d.Binds(CoA1), d.Binds(CoA2)}, CoA2},
		{"and gone", []spd.CareOfState{d.Binds(CoA1), gone}, netip.Addr{}},
		{"with another node", []spd.CareOfState{other}, netip.Addr{}},
	} {
		h := migrate.NewHomes([]migrate.Home{open("one")}, true, true)
		h.Begin(start, migrate.Snapshot{CareOf: c.seen[:1]})
		for _, s := range c.seen[1:] {
			h.Bind(start, s)
		}
		h.Assign(start, h.Open()[0], HoA)
		if got := h.Of(HoA).CareOf; got != c.want {
			t.Errorf("%s: at %s, want %s", c.name, got, c.want)
		}
	}
}
