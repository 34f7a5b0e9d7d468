//go:build linux

package xfrm

import (
	"slices"
	"strings"
	"testing"

	"mipsecd/internal/uml"
	"mipsecd/spd"
)

func testCareOf(t *testing.T) {
	b := openBackend(t)
	hao := spd.CareOfState{Proto: spd.HomeOpt, Endpoints: atHome, CareOf: coa}
	route2 := spd.CareOfState{Proto: spd.Route2, Endpoints: atHome.Reverse(), CareOf: coa}
	want := func(e spd.CareOfState) {
		t.Helper()
		if got := next(t, b); got != e {
			t.Errorf("got %+v, want %+v", got, e)
		}
	}
	listed := func(states ...spd.CareOfState) {
		t.Helper()
		all, err := b.CareOfStates()
		succeed(t, err)
		for _, s := range states {
			if !slices.Contains(all, s) {
				t.Errorf("%+v is not listed: %+v", s, all)
			}
		}
		if len(all) != len(states) {
			t.Errorf("listed: %+v, want %+v", all, states)
		}
	}
	// The two generic states that a mobile node has for route optimization bind nobody.
	uml.Sh(t, "ip xfrm state add src :: dst :: proto hao mode ro flag wildrecv coa ::")
	uml.Sh(t, "ip xfrm state add src :: dst :: proto route2 mode ro flag wildrecv coa ::")
	listed()
	uml.Sh(t, "ip xfrm state add src %s dst %s proto hao mode ro coa %s", hoa, agent, coa)
	want(hao)
	uml.Sh(t, "ip xfrm state add src %s dst %s proto route2 mode ro coa %s", agent, hoa, coa)
	want(route2)
	listed(hao, route2)
	moved := hao
	moved.CareOf = coa2
	uml.Sh(t, "ip xfrm state update src %s dst %s proto hao mode ro coa %s", hoa, agent, coa2)
	want(moved)
	listed(moved, route2)
	route2.Gone = true
	uml.Sh(t, "ip xfrm state del src %s dst %s proto route2 spi 0", agent, hoa)
	want(route2)
	listed(moved)
	if all, err := b.SAs(); err != nil || len(all) != 0 {
		t.Errorf("they are no SAs: %v, %v", all, err)
	}
}

func testCareOfOnly(t *testing.T) {
	b := openBackend(t, CareOfOnly())
	sa := newSA(0x1001, spd.Transport, atHome, 9)
	succeed(t, b.AddPolicy(bindingPolicy()))
	succeed(t, b.Install(sa))
	succeed(t, b.Remove(sa.ID()))
	sendMH(t, mhBU)
	if states := uml.Sh(t, "ip xfrm state"); strings.Contains(states, "spi 0x00000000") {
		t.Errorf("the kernel waits for an SA:\n%s", states)
	}
	uml.Sh(t, "ip xfrm state add src %s dst %s proto hao mode ro coa %s", hoa, agent, coa)
	if e := next(t, b); e != (spd.CareOfState{Proto: spd.HomeOpt, Endpoints: atHome, CareOf: coa}) {
		t.Errorf("got %+v", e)
	}
	uml.Sh(t, "ip xfrm state flush")
	if e := next(t, b); e != (spd.Flushed{}) {
		t.Errorf("got %+v", e)
	}
}
