package mobilenode

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mipsecd/internal/secret"
	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
	"mipsecd/spd/memory"
)

// Where mipsecd owns the policies, it sets them and moves them when the kernel binds the home address elsewhere. The
// kernel's reports of that move the SAs; they are no second movement.
func TestOwnPolicies(t *testing.T) {
	home := OtherHome("ha")
	d := Daemon{Protected: home.Protected}
	kernel := memory.New(memory.Options{})
	b := kernel.Open()
	defer b.Close()
	node := New([]migrate.Home{home}, true, nil)

	var told []migrate.Effect
	give := func(in migrate.Input) {
		t.Helper()
		for _, e := range node.Step(start, in) {
			c, ok := e.(migrate.Carry)
			if !ok {
				told = append(told, e)
			} else if err := c.Apply(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	settle := func(want string) {
		t.Helper()
		for len(b.Events()) > 0 {
			give(migrate.Kernel{Event: <-b.Events()})
		}
		Expect(t, told, want)
		told = nil
	}
	policies := func(careOf netip.Addr, bypassed bool) {
		t.Helper()
		got, err := b.Policies()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range home.Policies(false, careOf) {
			if bypassed && want.Templates[0].Mode == spd.Tunnel {
				want.Action, want.Templates = spd.Bypass, nil
			}
			if !slices.ContainsFunc(got, func(p spd.Policy) bool { return p.String() == want.String() }) {
				t.Errorf("policies %v, want among them %s", got, want)
			}
		}
	}

	give(migrate.Snapshot{})
	settle("")
	policies(OtherHoA, true)

	kernel.SetCareOf(d.Binds(CoA1))
	settle(`
		report moved ha: to CoA1
		relocate ha to CoA1 - HA, keep, renew
		move SAs of ha: esp tunnel 17 from OtherHoA -> HA to CoA1 -> HA
		move SAs of ha: esp tunnel 18 from HA -> OtherHoA to HA -> CoA1`)
	policies(CoA1, false)

	sa := spd.SA{SPI: 0x1000, Proto: spd.ESP, Mode: spd.Tunnel, Dir: spd.Out, Reqid: 17,
		Endpoints: spd.Endpoints{Src: CoA1, Dst: HA},
		Transform: spd.Transform{Encr: spd.EncrAESGCM16, EncrKey: make(secret.Bytes, 20)}}
	if err := b.Install(sa); err != nil {
		t.Fatal(err)
	}
	kernel.SetCareOf(d.Binds(CoA2))
	settle(`
		report moved ha: to CoA2
		relocate ha to CoA2 - HA, keep, renew
		move SAs of ha: esp tunnel 17 from CoA1 -> HA to CoA2 -> HA
		move SAs of ha: esp tunnel 18 from HA -> CoA1 to HA -> CoA2`)
	policies(CoA2, false)
	if sas, err := b.SAs(); err != nil || len(sas) != 1 || sas[0].Endpoints.Src != CoA2 {
		t.Errorf("SAs %v, %v", sas, err)
	}

	kernel.FlushPolicies()
	settle("")
	policies(CoA2, false)

	kernel.SetCareOf(d.Binds(OtherHoA))
	settle(`
		report moved ha: home
		relocate ha to OtherHoA - HA, keep, renew
		move SAs of ha: esp tunnel 17 from CoA2 -> HA to OtherHoA -> HA
		move SAs of ha: esp tunnel 18 from HA -> CoA2 to HA -> OtherHoA`)
	policies(OtherHoA, true)
}

// A home agent gets SAs for the home addresses that it serves, to itself, as the policies have them (RFC 4877 sections
// 7.1 and 7.3).
func TestRFC4877Section7_1RequestsOfAHomeAgent(t *testing.T) {
	ts := func(proto uint8, start, end uint16, from, to netip.Addr) spd.TrafficSelector {
		return spd.TrafficSelector{Proto: proto, PortStart: start, PortEnd: end, Start: from, End: to}
	}
	mh := func(a netip.Addr, kind uint16) spd.TrafficSelector { return ts(spd.ProtoMH, kind<<8, kind<<8, a, a) }
	everyone := ts(0, 0, 65535, netip.IPv6Unspecified(), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
	list := func(s ...spd.TrafficSelector) []spd.TrafficSelector { return s }

	home, other := Home("ha", true), OtherHome("ha2")
	d, o := Daemon{Protected: home.Protected}, Daemon{Protected: other.Protected}
	withCN := d
	withCN.HomeAgent = CN
	s := newScript(t, false, home, other)
	s.step("", migrate.Snapshot{Policies: append(append(append(append(d.Static(), d.Tunnels(CoA1)...), o.Static()...),
		o.Tunnels(CoA1)...), withCN.Static()...)})

	for _, test := range []struct {
		name          string
		peer          string
		mode          spd.Mode
		local, remote []spd.TrafficSelector
		want          string // of the grant; a refusal if empty
	}{
		{"home test, section 7.3", "ha", spd.Tunnel, list(mh(HoA, 1)), list(mh(CN, 3)),
			"home-test with ha (tunnel, CoA1 - HA) [HoA mh 0x0100] [CN mh 0x0300] reqids 5 6"},
		{"binding", "ha", spd.Transport, list(mh(HoA, 5)), list(mh(HA, 6)),
			"binding with ha (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2"},
		{"all that there is", "ha", spd.Tunnel, list(everyone), list(everyone),
			"payload with ha (tunnel, CoA1 - HA) [HoA any] [* any] reqids 7 8"},
		{"a home address of another home agent", "ha", spd.Transport, list(mh(OtherHoA, 5)), list(mh(HA, 6)), ""},
		{"that home agent's own", "ha2", spd.Transport, list(mh(OtherHoA, 5)), list(mh(HA, 6)),
			"binding with ha2 (transport, OtherHoA - HA) [OtherHoA mh 0x0500] [HA mh 0x0600] reqids 11 12"},
		{"both home addresses", "ha2", spd.Transport, list(mh(HoA, 5), mh(OtherHoA, 5)), list(mh(HA, 6)),
			"binding with ha2 (transport, OtherHoA - HA) [OtherHoA mh 0x0500] [HA mh 0x0600] reqids 11 12"},
		{"a care-of address", "ha", spd.Tunnel, list(mh(CoA1, 1)), list(mh(CN, 3)), ""},
		{"SAs of a policy with another node", "ha", spd.Transport, list(mh(HoA, 5)), list(mh(CN, 6)), ""},
		{"in the wrong mode", "ha", spd.Transport, list(mh(HoA, 1)), list(mh(CN, 3)), ""},
		{"an unknown peer", "thief", spd.Transport, list(mh(HoA, 5)), list(mh(HA, 6)), ""},
		{"an unknown peer for all", "thief", spd.Tunnel, list(everyone), list(everyone), ""},
		{"no traffic", "ha", spd.Transport, nil, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			effects := s.node.Step(start, migrate.Keying{Notice: spd.Request{
				Request: 5, Peer: test.peer, Mode: test.mode, Traffic: spd.Traffic{Local: test.local, Remote: test.remote},
			}})
			if test.want != "" {
				Expect(t, effects, "grant 5 "+test.want)
				return
			}
			grant := effects[0].(migrate.Tell).Command.(spd.Grant)
			if len(effects) != 1 || grant.Request != 5 || grant.Err == nil || !strings.Contains(grant.Err.Error(), test.peer) {
				t.Errorf("got %v, want a refusal that names %s", effects, test.peer)
			}
		})
	}
}

// Reports of our SAs reach the key exchange, whose reports tell whose they are.
func TestLifeOfAnSA(t *testing.T) {
	s := newScript(t, false, Home("ha", true))
	in, out := spd.SAID{Dst: CoA1, Proto: spd.ESP, SPI: 0x100}, spd.SAID{Dst: HA, Proto: spd.ESP, SPI: 0x200}
	moved := spd.SAID{Dst: CoA2, Proto: spd.ESP, SPI: 0x100}
	s.kernel("", spd.Expire{ID: in})
	s.says("", spd.ChildUp{Demand: spd.Demand{Peer: "ha"}, In: in, Out: out})
	s.kernel("expired ha esp 00000100 to CoA1 false", spd.Expire{ID: in})
	s.says("", spd.ChildMoved{Demand: spd.Demand{Peer: "ha"}, OldIn: in, OldOut: out, In: moved, Out: out})
	s.kernel("", spd.Expire{ID: in})
	s.kernel("expired ha esp 00000100 to CoA2 true", spd.Expire{ID: moved, Hard: true})
	s.kernel("lost ha esp 00000200 to HA", spd.SARemoved{ID: out})
	s.says("", spd.ChildDown{Demand: spd.Demand{Peer: "ha"}, In: moved, Out: out})
	s.kernel("", spd.SARemoved{ID: out})
}

func TestPeerThatBeginsAnew(t *testing.T) {
	s := newScript(t, false, Home("ha", true))
	s.says("", spd.PeerUp{Peer: "ha", ID: 7})
	s.says("superseded ha but 8", spd.PeerUp{Peer: "ha", ID: 8, First: true})
}

// Somebody empties the kernel: SAs that it has no longer are deleted at the home agent, too; other's policies are forgotten
// until they are set again.
func TestFlushed(t *testing.T) {
	home := Home("ha", true)
	d := Daemon{Protected: home.Protected}
	s := newScript(t, false, home)
	s.step("", migrate.Snapshot{Policies: d.Static()})
	in, out := spd.SAID{Dst: HoA, Proto: spd.ESP, SPI: 0x100}, spd.SAID{Dst: HA, Proto: spd.ESP, SPI: 0x200}
	s.says("", spd.ChildUp{Demand: spd.Demand{Peer: "ha"}, In: in, Out: out})
	s.kernel("reread", spd.Flushed{})
	s.step(`
		lost ha esp 00000100 to HoA
		lost ha esp 00000200 to HA`, migrate.Snapshot{Policies: d.Static()})
	s.kernel("", spd.Flushed{Policies: true})
	s.step("refuse 1: no transport policy for [HoA any] - [HA any] with ha", migrate.Keying{Notice: spd.Request{
		Request: 1, Peer: "ha", Mode: spd.Transport, Traffic: spd.Traffic{
			Local:  []spd.TrafficSelector{{PortEnd: 65535, Start: HoA, End: HoA}},
			Remote: []spd.TrafficSelector{{PortEnd: 65535, Start: HA, End: HA}},
		},
	}})
}

func TestConnect(t *testing.T) {
	s := newScript(t, false, Home("ha", true))
	s.step("connect ha over HoA - HA", migrate.Connect{Peer: "ha"})
	s.step("connect ha over CoA1 - HA", migrate.Addresses{List: []netip.Addr{HoA, CoA1}}, migrate.Connect{Peer: "ha"})
	s.step("", migrate.Connect{Peer: "another"})
}

// What the kernel has left behind because it is of one reqid with what it has moved is to follow.
func TestSeveralSAsMovedTogether(t *testing.T) {
	home := Home("ha", true)
	d := Daemon{Protected: home.Protected, OnHA: false}
	s := newScript(t, false, home)
	s.step("", migrate.Snapshot{Policies: append(d.Static(), d.Tunnels(CoA1)...)})
	m := d.MovesTunnels(CoA1, CoA2)[2].(spd.Migrate)
	s.says("carry\nmigrate the rest of out HoA -> * any from CoA1 -> HA to CoA2 -> HA",
		spd.MovedTogether{Moved: spd.MoveSAs{Peer: "ha", Policy: m.PolicyKey, Change: m.Changes[0]}, SAs: 2})
}
