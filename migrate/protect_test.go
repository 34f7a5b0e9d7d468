package migrate_test

import (
	"reflect"
	"strings"
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

// Each policy of the mobile node has its counterpart on the home agent: what goes out of one comes in at the other, with
// the same reqid, and in tunnel mode with the same outer addresses. What comes out of a tunnel is forwarded.
func TestRFC4877Section7_2PoliciesAreMirrorImages(t *testing.T) {
	home := Home("ha", true).Protected
	for _, p := range home.Policies(false, CoA1) {
		var counterparts []spd.Dir
		for _, q := range home.Policies(true, CoA1) {
			if q.Selector != p.Selector {
				continue
			}
			counterparts = append(counterparts, q.Dir)
			q.Dir = p.Dir
			if !reflect.DeepEqual(q, p) {
				t.Errorf("got on the home agent %s, priority %d; want %s, priority %d", q, q.Priority, p, p.Priority)
			}
		}
		want := []spd.Dir{spd.Out}
		if p.Dir == spd.Out {
			want = []spd.Dir{spd.In}
			if p.Templates[0].Mode == spd.Tunnel {
				want = []spd.Dir{spd.In, spd.Fwd}
			}
		}
		if !reflect.DeepEqual(counterparts, want) {
			t.Errorf("%s has counterparts %v on the home agent, want %v", p, counterparts, want)
		}
	}
}

func TestRFC4877Section7_2Policies(t *testing.T) {
	wantPolicies(t, Home("ha", true).Policies(false, CoA1), `
		2 out HoA -> HA mh type 5 protect esp/transport/unique:1
		2 in HA -> HoA mh type 6 protect esp/transport/unique:2
		5 out HoA -> HA icmpv6 type 146 protect esp/transport/unique:3
		5 in HA -> HoA icmpv6 type 147 protect esp/transport/unique:4
		8 out HoA -> * mh type 1 protect esp/tunnel/CoA1 -> HA/unique:5
		8 in * -> HoA mh type 3 protect esp/tunnel/HA -> CoA1/unique:6
		10 out HoA -> * any protect esp/tunnel/CoA1 -> HA/unique:7
		10 in * -> HoA any protect esp/tunnel/HA -> CoA1/unique:8`)
	// The binding is protected whether or not it is asked for, and reqids do not depend on what else is.
	wantPolicies(t, OtherHome("mn").Policies(true, CoA2), `
		2 in OtherHoA -> HA mh type 5 protect esp/transport/unique:11
		2 out HA -> OtherHoA mh type 6 protect esp/transport/unique:12
		10 in OtherHoA -> * any protect esp/tunnel/CoA2 -> HA/unique:17
		10 out * -> OtherHoA any protect esp/tunnel/HA -> CoA2/unique:18
		10 fwd OtherHoA -> * any protect esp/tunnel/CoA2 -> HA/unique:17`)
}

// Behind each policy for a type of Mobility Header from elsewhere stands one for all types, with the same SAs.
func TestPoliciesThatAreSetHaveGuards(t *testing.T) {
	home := Home("peer", true)
	home.What = []migrate.Protection{migrate.ProtectBinding, migrate.ProtectPrefix, migrate.ProtectHomeTest}
	wantPolicies(t, newKernel(t, home, false, CoA1).state().policies, `
		2 out HoA -> HA mh type 5 protect esp/transport/unique:1
		2 in HA -> HoA mh type 6 protect esp/transport/unique:2
		3 in HA -> HoA mh protect esp/transport/unique:2
		5 out HoA -> HA icmpv6 type 146 protect esp/transport/unique:3
		5 in HA -> HoA icmpv6 type 147 protect esp/transport/unique:4
		8 out HoA -> * mh type 1 protect esp/tunnel/CoA1 -> HA/unique:5
		8 in * -> HoA mh type 3 protect esp/tunnel/HA -> CoA1/unique:6
		9 in * -> HoA mh protect esp/tunnel/HA -> CoA1/unique:6`)
	home.What = []migrate.Protection{migrate.ProtectBinding, migrate.ProtectHomeTest}
	wantPolicies(t, newKernel(t, home, true, HoA).state().policies, `
		2 in HoA -> HA mh type 5 protect esp/transport/unique:1
		3 in HoA -> HA mh protect esp/transport/unique:1
		2 out HA -> HoA mh type 6 protect esp/transport/unique:2
		8 in HoA -> * mh type 1 bypass
		9 in HoA -> * mh bypass
		8 out * -> HoA mh type 3 bypass
		9 out * -> HoA mh bypass
		8 fwd HoA -> * mh type 1 bypass
		9 fwd HoA -> * mh bypass`)
}

// With level use nothing leaves by another way than the tunnel it is to take; Linux refuses such an outbound policy.
func TestLevelUseIsNotForTunnels(t *testing.T) {
	home := Home("ha", true)
	home.Level = spd.Use
	for _, onHA := range []bool{false, true} {
		for _, p := range home.Policies(onHA, CoA1) {
			want := spd.Use
			if p.Templates[0].Mode == spd.Tunnel {
				want = spd.Unique
			}
			if got := p.Templates[0].Level; got != want {
				t.Errorf("%s: level %s, want %s", p, got, want)
			}
		}
	}
}

func TestReqidsOfAHomeAddressAreItsOwn(t *testing.T) {
	used := map[uint32]bool{}
	for _, p := range Home("ha", true).Policies(true, CoA1) {
		used[p.Templates[0].Reqid] = true
	}
	for reqid := range used {
		if reqid < 1 || reqid > migrate.ReqidsPerHome {
			t.Errorf("reqid %d is not among the first %d", reqid, migrate.ReqidsPerHome)
		}
	}
	if len(used) != 2*len(migrate.Protections) {
		t.Errorf("%d reqids for %d kinds of traffic in two directions", len(used), len(migrate.Protections))
	}
}

func TestParseProtection(t *testing.T) {
	for _, want := range migrate.Protections {
		if got, err := migrate.ParseProtection(string(want)); got != want || err != nil {
			t.Errorf("%q: got %q, %v", want, got, err)
		}
	}
	_, err := migrate.ParseProtection("bindings")
	if err == nil || !strings.Contains(err.Error(), `"bindings"`) || !strings.Contains(err.Error(), "home-test") {
		t.Errorf("got error %v, want one that quotes the word and lists the right ones", err)
	}
}
