package image

import (
	"net/netip"
	"testing"

	"mipsecd/spd"
)

var all = []pair{binding(hoa), prefixDiscovery(hoa), homeTest(hoa), payload(hoa), anyMH(hoa), binding(otherHoA)}

// generic names no single host, homeLocal names one twice.
func odd() []spd.Policy {
	generic, _ := payload(hoa).onMN(coa1)
	generic.Selector.Src = homeLink
	homeLocal, _ := binding(hoa).onMN(coa1)
	homeLocal.Selector.Dst = homeLocal.Selector.Src
	return []spd.Policy{generic, homeLocal}
}

func wantEmpty(t *testing.T, m *Image) {
	t.Helper()
	if p := m.policies; len(p.byKey)+len(p.pairs)+len(p.alone) != 0 {
		t.Errorf("left over: %v %v %v", p.byKey, p.pairs, p.alone)
	}
}

// Each policy is in the indexes as often as it names hosts, and leaves nothing there.
func TestIndexesFollowTheKernel(t *testing.T) {
	policies := append(homeAgent(all...), odd()...)
	t.Run("added and removed one by one", func(t *testing.T) {
		m := New()
		for range 2 { // a second report replaces the first
			for _, p := range policies {
				m.Event(spd.PolicyChanged{Policy: p})
			}
		}
		want(t, "policies", len(m.policies.byKey), len(policies))
		want(t, "hosts of pairs", len(m.policies.pairs), 3) // two mobile nodes and the home agent
		want(t, "hosts alone", len(m.policies.alone), 2)    // the mobile node with tunnels, and the zero Addr
		want(t, "for all", len(m.policies.alone[netip.Addr{}]), 1)
		want(t, "for the home agent", len(m.policies.pairs[ha]), 12)
		for _, p := range policies {
			m.Event(spd.PolicyChanged{Policy: p, Gone: true})
			m.Event(spd.PolicyChanged{Policy: p, Gone: true})
		}
		wantEmpty(t, m)
	})
	t.Run("flushed", func(t *testing.T) {
		m := load(policies...)
		m.Event(spd.Flushed{})
		want(t, "policies when SAs are flushed", len(m.policies.byKey), len(policies))
		m.Event(spd.Flushed{Policies: true})
		wantEmpty(t, m)
	})
	t.Run("loaded anew", func(t *testing.T) {
		m := load(policies...)
		m.Load(nil)
		wantEmpty(t, m)
	})
}

// What wants no SA is no part of the image, and takes the place of what did.
func TestOnlyWhatWantsSAsIsKept(t *testing.T) {
	out, _ := homeTest(hoa).onMN(coa1)
	bypass := spd.Policy{PolicyKey: out.PolicyKey, Action: spd.Bypass}
	block := spd.Policy{PolicyKey: out.PolicyKey, Action: spd.Discard}
	sub := out
	sub.Sub = true
	for _, p := range []spd.Policy{bypass, block} {
		m := load(out)
		m.Event(spd.PolicyChanged{Policy: p})
		wantEmpty(t, m)
	}
	m := load(sub, bypass)
	wantEmpty(t, m)
	m.Event(spd.PolicyChanged{Policy: out})
	m.Event(spd.PolicyChanged{Policy: sub, Gone: true})
	want(t, "policies after the sub policy of the same selector is gone", len(m.policies.byKey), 1)
}

func TestMigrate(t *testing.T) {
	up1, up2 := spd.Endpoints{Src: coa1, Dst: ha}, spd.Endpoints{Src: coa2, Dst: ha}
	unspecified := spd.Endpoints{Src: netip.IPv6Unspecified(), Dst: netip.IPv6Unspecified()}
	out, in, fwd := homeTest(hoa).onHA(coa1)
	bindingOut, _, _ := binding(hoa).onHA(coa1)
	tunnel := spd.EndpointChange{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 6, Old: up1.Reverse(), New: up2.Reverse()}
	change := func(f func(*spd.EndpointChange)) spd.EndpointChange {
		c := tunnel
		f(&c)
		return c
	}
	for _, test := range []struct {
		name   string
		policy spd.Policy
		change spd.EndpointChange
		want   spd.Endpoints
	}{
		{"out", out, tunnel, up2.Reverse()},
		{"in", in, change(func(c *spd.EndpointChange) { c.Reqid, c.Old, c.New = 5, up1, up2 }), up2},
		{"fwd", fwd, change(func(c *spd.EndpointChange) { c.Reqid, c.Old, c.New = 5, up1, up2 }), up2},
		{"reqid 0 is any", out, change(func(c *spd.EndpointChange) { c.Reqid = 0 }), up2.Reverse()},
		{"old is new, as at deregistration", out, change(func(c *spd.EndpointChange) { c.New = c.Old }), up1.Reverse()},
		{"another reqid", out, change(func(c *spd.EndpointChange) { c.Reqid = 5 }), up1.Reverse()},
		{"another protocol", out, change(func(c *spd.EndpointChange) { c.Proto = spd.AH }), up1.Reverse()},
		{"another mode", out, change(func(c *spd.EndpointChange) { c.Mode = spd.Transport }), up1.Reverse()},
		{"from elsewhere", out, change(func(c *spd.EndpointChange) { c.Old = up2 }), up1.Reverse()},
		{"transport mode has no endpoints", bindingOut,
			spd.EndpointChange{Proto: spd.ESP, Mode: spd.Transport, Reqid: 2, Old: unspecified, New: up1.Reverse()}, spd.Endpoints{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := load(out, in, fwd, bindingOut)
			told, ok := m.Event(spd.Migrate{PolicyKey: test.policy.PolicyKey, Changes: []spd.EndpointChange{test.change}})
			want(t, "told", []any{told, ok}, []any{nil, false})
			moved := m.policies.byKey[test.policy.PolicyKey]
			want(t, "endpoints", moved.Templates[0].Endpoints, test.want)
			for _, host := range hosts(test.policy.Selector) {
				for _, index := range []index{m.policies.pairs, m.policies.alone} {
					if p := index[host][test.policy.PolicyKey]; p != nil && p != moved {
						t.Errorf("the index of %s has another policy", host)
					}
				}
			}
		})
	}
	want(t, "the policy that was loaded", out.Templates[0].Endpoints, up1.Reverse())
	t.Run("unknown policy", func(t *testing.T) {
		m := New()
		m.Event(spd.Migrate{PolicyKey: out.PolicyKey, Changes: []spd.EndpointChange{tunnel}})
		wantEmpty(t, m)
	})
}

// After a movement an ACQUIRE is answered from the new place, on both ends.
func TestWantedAfterMigrate(t *testing.T) {
	out, in, _ := homeTest(hoa).onHA(coa1)
	movedOut, movedIn, _ := homeTest(hoa).onHA(coa2)
	m := load(out, in)
	m.Event(spd.Migrate{PolicyKey: out.PolicyKey, Changes: movements(&out, &movedOut)})
	m.Event(spd.Migrate{PolicyKey: in.PolicyKey, Changes: movements(&in, &movedIn)})
	offers := offers(t, m, request(spd.Tunnel, list(everyone), list(ts(0, 0, 65535, hoa, hoa))))
	want(t, "remote address", offers[0].Remote, coa2)
}

// A snapshot tells of movements whose reports were lost.
func TestLoadFindsMissedMovements(t *testing.T) {
	bu, _, _ := binding(hoa).onHA(coa1)
	out, in, fwd := homeTest(hoa).onHA(coa1)
	movedOut, movedIn, movedFwd := homeTest(hoa).onHA(coa2)
	otherReqid := movedOut
	otherReqid.Templates = []spd.Template{movedOut.Templates[0]}
	otherReqid.Templates[0].Reqid = 60
	inTransport := out
	inTransport.Templates = []spd.Template{{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Unique, Reqid: 6}}
	bypass := spd.Policy{PolicyKey: out.PolicyKey, Action: spd.Bypass}
	move := func(p spd.Policy, reqid uint32, old, new spd.Endpoints) spd.Migrate {
		c := spd.EndpointChange{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: reqid, Old: old, New: new}
		return spd.Migrate{PolicyKey: p.PolicyKey, Changes: []spd.EndpointChange{c}}
	}
	up1, up2 := spd.Endpoints{Src: coa1, Dst: ha}, spd.Endpoints{Src: coa2, Dst: ha}
	for _, test := range []struct {
		name    string
		was, is []spd.Policy
		missed  []spd.Migrate
	}{
		{"at the start", nil, []spd.Policy{out, in, fwd}, nil},
		{"nothing moved", []spd.Policy{bu, out, in, fwd}, []spd.Policy{bu, out, in, fwd}, nil},
		{"all moved", []spd.Policy{bu, out, in, fwd}, []spd.Policy{bu, movedIn, movedFwd, movedOut},
			[]spd.Migrate{move(in, 5, up1, up2), move(fwd, 5, up1, up2), move(out, 6, up1.Reverse(), up2.Reverse())}},
		{"one moved", []spd.Policy{out, in}, []spd.Policy{movedOut, in},
			[]spd.Migrate{move(out, 6, up1.Reverse(), up2.Reverse())}},
		{"removed", []spd.Policy{out, in}, []spd.Policy{in}, nil},
		{"bypassed", []spd.Policy{out}, []spd.Policy{bypass}, nil},
		{"was in transport mode", []spd.Policy{inTransport}, []spd.Policy{out}, nil},
		{"replaced by one with another reqid", []spd.Policy{out}, []spd.Policy{otherReqid}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			want(t, "missed", load(test.was...).Load(test.is), test.missed)
		})
	}
}

// A policy that the kernel has moved by itself is a movement, if it was elsewhere before.
func TestAsMigrate(t *testing.T) {
	_, in, _ := homeTest(hoa).onHA(coa1)
	_, moved, _ := homeTest(hoa).onHA(coa2)
	migrate := spd.Migrate{PolicyKey: in.PolicyKey, Changes: movements(&in, &moved)}
	for _, test := range []struct {
		name     string
		known    []spd.Policy
		is, want spd.Event
	}{
		{"moved", []spd.Policy{in}, spd.PolicyChanged{Policy: moved, Moved: true}, migrate},
		{"where it was", []spd.Policy{moved}, spd.PolicyChanged{Policy: moved, Moved: true}, nil},
		{"not known", nil, spd.PolicyChanged{Policy: moved, Moved: true}, nil},
		{"changed by somebody", []spd.Policy{in}, spd.PolicyChanged{Policy: moved}, nil},
		{"another event", []spd.Policy{in}, spd.Flushed{}, nil},
	} {
		if test.want == nil {
			test.want = test.is
		}
		want(t, test.name, load(test.known...).AsMigrate(test.is), test.want)
	}
}

// Reports of our SAs become commands with the peer's name; those of others do not.
func TestOwnersOfSAs(t *testing.T) {
	said := func(dst netip.Addr, spi uint32) spd.SAID { return spd.SAID{Dst: dst, Proto: spd.ESP, SPI: spi} }
	mn1, mn2 := spd.Demand{Peer: "mn1"}, spd.Demand{Peer: "mn2"}
	in1, out1, in2, out2 := said(ha, 1), said(coa1, 2), said(ha, 3), said(coa1, 3)
	movedOut1 := said(coa2, 2)

	nat := netip.MustParseAddrPort("192.0.2.1:20000")
	m := New()
	wantPeer := func(id spd.SAID, peer string) {
		t.Helper()
		for _, test := range []struct {
			event spd.Event
			told  spd.Command
		}{
			{spd.Expire{ID: id}, spd.Expired{Peer: peer, ID: id}},
			{spd.Expire{ID: id, Hard: true}, spd.Expired{Peer: peer, ID: id, Hard: true}},
			{spd.SARemoved{ID: id}, spd.Lost{Peer: peer, ID: id}},
			{spd.Mapping{ID: id, From: nat}, spd.Rebound{Peer: peer, ID: id, To: nat}},
		} {
			told, ok := m.Event(test.event)
			if ok != (peer != "") || ok && told != test.told {
				t.Errorf("%v: told %v (%v), want %v", test.event, told, ok, test.told)
			}
		}
	}
	m.Notice(spd.ChildUp{Demand: mn1, In: in1, Out: out1})
	m.Notice(spd.ChildUp{Demand: mn2, In: in2, Out: out2})
	wantPeer(in1, "mn1")
	wantPeer(out1, "mn1")
	wantPeer(in2, "mn2")
	wantPeer(said(ha, 2), "")

	m.Notice(spd.ChildMoved{Demand: mn1, OldIn: in1, OldOut: out1, In: in1, Out: movedOut1})
	wantPeer(in1, "mn1")
	wantPeer(out1, "")
	wantPeer(movedOut1, "mn1")

	m.Notice(spd.ChildDown{Demand: mn1, In: in1, Out: movedOut1})
	m.Notice(spd.ChildDown{Demand: mn2, In: in2, Out: out2})
	wantPeer(in1, "")
	want(t, "owners", len(m.owners), 0)

	m.Notice(spd.ChildUp{Demand: mn1, In: in1, Out: out1})
	m.Load(nil)
	wantPeer(in1, "mn1") // SAs outlive the loss of policies
}
