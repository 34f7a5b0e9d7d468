package image

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"mipsecd/spd"
)

// made is an SA under a policy, as a kernel lists it.
func made(p spd.Policy, spi uint32) spd.SA {
	t := p.Templates[0]
	sa := spd.SA{SPI: spi, Proto: t.Proto, Mode: t.Mode, Reqid: t.Reqid, Endpoints: t.Endpoints}
	if t.Mode == spd.Transport {
		sa.Endpoints = spd.Endpoints{Src: p.Selector.Src.Addr(), Dst: p.Selector.Dst.Addr()}
	}
	return sa
}

// inherited is the image of a mobile node at coa1 that has found a pair for its binding and one for its payload, with the
// peer "ha", among SAs that are not its own. Demands are what it found.
func inherited(t *testing.T) (m *Image, demands []spd.Demand) {
	t.Helper()
	bindingOut, bindingIn := binding(hoa).onMN(coa1)
	otherOut, otherIn := binding(otherHoA).onMN(coa1)
	payloadOut, payloadIn := payload(hoa).onMN(coa1)
	homeTestOut, homeTestIn := homeTest(hoa).onMN(coa1)
	change := func(sa spd.SA, f func(*spd.SA)) spd.SA {
		f(&sa)
		return sa
	}
	m = load(bindingOut, bindingIn, payloadOut, payloadIn, homeTestOut, homeTestIn, otherOut, otherIn)
	demands = m.Inherit([]spd.SA{
		made(payloadOut, 0x300), made(payloadIn, 0x400), made(bindingOut, 0x100), made(bindingIn, 0x200),
		change(made(homeTestOut, 0x500), func(sa *spd.SA) { sa.Endpoints.Src = coa2 }),
		change(made(homeTestOut, 0x501), func(sa *spd.SA) { sa.Reqid = 99 }),
		change(made(homeTestOut, 0x502), func(sa *spd.SA) { sa.Reqid = 0 }),
		change(made(homeTestOut, 0x503), func(sa *spd.SA) { sa.Proto = spd.AH }),
		change(made(homeTestOut, 0x504), func(sa *spd.SA) { sa.Mode = spd.Transport }),
		change(made(homeTestIn, 0x505), func(sa *spd.SA) { sa.Endpoints.Src = cn }),
		made(otherOut, 0x600),
	}, func(d spd.Demand) string {
		if d.Traffic.Local[0].Start == otherHoA {
			return "" // nobody's
		}
		return "ha"
	})
	return m, demands
}

// wantList compares lists; one that is empty may be nil.
func wantList[T any](t *testing.T, what string, got, list []T) {
	t.Helper()
	want(t, what, fmt.Sprint(got), fmt.Sprint(list))
}

func esp(dst netip.Addr, spi uint32) spd.SAID { return spd.SAID{Dst: dst, Proto: spd.ESP, SPI: spi} }

func TestInherit(t *testing.T) {
	m, demands := inherited(t)
	var got []string
	for _, d := range demands {
		got = append(got, d.String())
	}
	wantList(t, "demands", got, []string{
		"binding with ha (transport, 2001:db8:1::100 - 2001:db8:1::1)", "payload with ha (tunnel, 2001:db8:2::100 - 2001:db8:1::1)",
	})
	wantList(t, "orphans", m.Disinherit(), []spd.SAID{esp(ha, 0x100), esp(hoa, 0x200), esp(ha, 0x300), esp(coa1, 0x400)})
	wantList(t, "orphans after that", m.Disinherit(), nil)
}

// Orphans serve until there is another pair for what they serve, or there will be none.
func TestOrphansServeUntilTheyAreReplaced(t *testing.T) {
	_, demands := inherited(t)
	moved := demands[1]
	moved.Local = coa2
	narrowed := demands[1]
	narrowed.Traffic.Remote = []spd.TrafficSelector{ts(spd.ProtoTCP, 0, 65535, cn, cn)}
	ofAnother, homeTest := demands[1], demands[1]
	ofAnother.Peer = "another"
	homeTest.ReqidOut, homeTest.ReqidIn = 5, 6
	payload := []spd.SAID{esp(ha, 0x300), esp(coa1, 0x400)}
	all := append([]spd.SAID{esp(ha, 0x100), esp(hoa, 0x200)}, payload...)
	for _, test := range []struct {
		name    string
		notice  spd.Notice
		useless []spd.SAID
	}{
		{"a pair for the same", spd.ChildUp{Demand: demands[1]}, payload},
		{"a pair for the same elsewhere", spd.ChildUp{Demand: moved}, payload},
		{"a pair for a part", spd.ChildUp{Demand: narrowed}, payload},
		{"a pair with another peer", spd.ChildUp{Demand: ofAnother}, nil},
		{"a pair for something else", spd.ChildUp{Demand: homeTest}, nil},
		{"no pair for the same", spd.KeyFailed{Demand: demands[1]}, payload},
		{"no pair for something else", spd.KeyFailed{Demand: homeTest}, nil},
		{"an IKE_SA", spd.PeerUp{Peer: "ha"}, nil},
		{"an IKE_SA that is the peer's first", spd.PeerUp{Peer: "ha", First: true}, all},
		{"another peer's first", spd.PeerUp{Peer: "another", First: true}, nil},
		{"the end of a pair", spd.ChildDown{Demand: demands[1]}, nil},
	} {
		m, _ := inherited(t)
		wantList(t, test.name, m.Notice(test.notice), test.useless)
		wantList(t, test.name+", again", m.Notice(test.notice), nil)
		left := slices.DeleteFunc(slices.Clone(all), func(id spd.SAID) bool { return slices.Contains(test.useless, id) })
		want(t, test.name+": left", len(m.Disinherit()), len(left))
	}
}

// What happens to orphans in the kernel is followed.
func TestOrphansFollowTheKernel(t *testing.T) {
	policy, _ := payload(hoa).onMN(coa1)
	moved, _ := payload(hoa).onMN(coa2)
	binding := []spd.SAID{esp(ha, 0x100), esp(hoa, 0x200)}
	up1, up2 := spd.Endpoints{Src: coa1, Dst: ha}, spd.Endpoints{Src: coa2, Dst: ha}
	back := spd.EndpointChange{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 8, Old: up1.Reverse(), New: up2.Reverse()}
	for _, test := range []struct {
		name string
		do   func(*Image)
		left []spd.SAID
	}{
		{"removed", func(m *Image) { m.Event(spd.SARemoved{ID: esp(coa1, 0x400)}) }, append(slices.Clone(binding), esp(ha, 0x300))},
		{"hard lifetime", func(m *Image) { m.Event(spd.Expire{ID: esp(ha, 0x300), Hard: true}) },
			append(slices.Clone(binding), esp(coa1, 0x400))},
		{"soft lifetime", func(m *Image) { m.Event(spd.Expire{ID: esp(ha, 0x300)}) },
			append(slices.Clone(binding), esp(ha, 0x300), esp(coa1, 0x400))},
		{"moved", func(m *Image) { m.Event(spd.Migrate{Changes: []spd.EndpointChange{back}}) },
			append(slices.Clone(binding), esp(ha, 0x300), esp(coa2, 0x400))},
		{"moved unseen", func(m *Image) {
			m.Load([]spd.Policy{moved})
			m.Event(spd.SARemoved{ID: esp(ha, 0x300)})
		}, append(slices.Clone(binding), esp(coa1, 0x400))},
		{"gone unseen", func(m *Image) { m.Missing([]spd.SA{made(policy, 0x300)}) }, []spd.SAID{esp(ha, 0x300)}},
	} {
		m, _ := inherited(t)
		test.do(m)
		wantList(t, test.name, m.Disinherit(), test.left)
	}
}

// The SAs of key exchanges that the kernel does not list are lost. One that has moved is not.
func TestMissing(t *testing.T) {
	out, _ := payload(hoa).onMN(coa1)
	_, moved := payload(hoa).onMN(coa2)
	m := New()
	m.Notice(spd.ChildUp{Demand: spd.Demand{Peer: "b"}, In: esp(coa1, 0x400), Out: esp(ha, 0x300)})
	m.Notice(spd.ChildUp{Demand: spd.Demand{Peer: "a"}, In: esp(hoa, 0x200), Out: esp(ha, 0x100)})
	wantList(t, "missing", m.Missing([]spd.SA{made(out, 0x100), made(moved, 0x400), made(out, 0x999)}),
		[]spd.Lost{{Peer: "a", ID: esp(hoa, 0x200)}, {Peer: "b", ID: esp(ha, 0x300)}})
	wantList(t, "missing", m.Missing([]spd.SA{made(out, 0x100), made(out, 0x200), made(out, 0x300), made(out, 0x400)}), nil)
}
