package image

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"mipsecd/spd"
)

func ts(proto uint8, start, end uint16, from, to netip.Addr) spd.TrafficSelector {
	return spd.TrafficSelector{Proto: proto, PortStart: start, PortEnd: end, Start: from, End: to}
}

func mh(a netip.Addr, start, end uint16) spd.TrafficSelector {
	return ts(spd.ProtoMH, start, end, a, a)
}

var everyone = ts(spd.ProtoAny, 0, 65535, anyone.Addr(), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))

// request is what a mobile node asks its home agent for.
func request(mode spd.Mode, local, remote []spd.TrafficSelector) spd.Request {
	return spd.Request{Request: 3, Peer: "mn", Mode: mode, Traffic: spd.Traffic{Local: local, Remote: remote}}
}

// offers are those of m, where it has any.
func offers(t *testing.T, m *Image, r spd.Request) []spd.Demand {
	t.Helper()
	list, err := m.Offers(r)
	if len(list) > 0 {
		want(t, "error beside offers", err, nil)
	}
	return list
}

func list(s ...spd.TrafficSelector) []spd.TrafficSelector { return s }

// What a home agent may give is narrowed to its policies (RFC 7296 section 2.9).
func TestRFC7296Section2_9Narrowing(t *testing.T) {
	m := load(homeAgent(binding(hoa), prefixDiscovery(hoa), homeTest(hoa), payload(hoa), binding(otherHoA),
		payload(otherHoA))...)
	for _, test := range []struct {
		name    string
		request spd.Request
		offers  []string
	}{
		{"just what the policy says", request(spd.Transport, list(mh(ha, 0x600, 0x600)), list(mh(hoa, 0x500, 0x500))),
			[]string{"binding [2001:db8:1::1 mh 0x0600] [2001:db8:1::100 mh 0x0500] 2/1"}},
		{"BU to BA in one pair, RFC 4877 section 7.3",
			request(spd.Transport, list(mh(ha, 0x500, 0x6ff)), list(mh(hoa, 0x500, 0x6ff))),
			[]string{"binding [2001:db8:1::1 mh 0x0600] [2001:db8:1::100 mh 0x0500] 2/1"}},
		{"any MH type, whose range ends at 0xff00",
			request(spd.Transport, list(mh(ha, 0, 0xff00)), list(mh(hoa, 0, 0xff00))),
			[]string{"binding [2001:db8:1::1 mh 0x0600] [2001:db8:1::100 mh 0x0500] 2/1"}},
		{"any traffic of anyone in transport mode",
			request(spd.Transport, list(everyone), list(ts(0, 0, 65535, hoa, hoa))),
			[]string{"binding [2001:db8:1::1 mh 0x0600] [2001:db8:1::100 mh 0x0500] 2/1",
				"prefix [2001:db8:1::1 icmpv6 0x9300-0x93ff] [2001:db8:1::100 icmpv6 0x9200-0x92ff] 4/3"}},
		{"any traffic of anyone in tunnel mode",
			request(spd.Tunnel, list(everyone), list(ts(0, 0, 65535, hoa, hoa))),
			[]string{"payload [::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff any] [2001:db8:1::100 any] 8/7",
				"home-test [::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff mh 0x0300] [2001:db8:1::100 mh 0x0100] 6/5"}},
		{"TCP with one correspondent",
			request(spd.Tunnel, list(ts(spd.ProtoTCP, 0, 65535, cn, cn)), list(ts(spd.ProtoTCP, 0, 65535, hoa, hoa))),
			[]string{"payload [2001:db8:9::9 tcp] [2001:db8:1::100 tcp] 8/7"}},
		{"traffic with the home agent itself in a tunnel",
			request(spd.Tunnel, list(ts(spd.ProtoTCP, 0, 65535, ha, ha)), list(ts(spd.ProtoTCP, 0, 65535, hoa, hoa))),
			[]string{"payload [2001:db8:1::1 tcp] [2001:db8:1::100 tcp] 8/7"}},
		{"HoT for the payload's tunnel, too",
			request(spd.Tunnel, list(mh(cn, 0x300, 0x300)), list(mh(hoa, 0x100, 0x100))),
			[]string{"home-test [2001:db8:9::9 mh 0x0300] [2001:db8:1::100 mh 0x0100] 6/5",
				"payload [2001:db8:9::9 mh 0x0300] [2001:db8:1::100 mh 0x0100] 8/7"}},
		{"OPAQUE ports", request(spd.Tunnel, list(ts(spd.ProtoTCP, 65535, 0, cn, cn)), list(ts(spd.ProtoTCP, 65535, 0, hoa, hoa))),
			[]string{"payload [2001:db8:9::9 tcp opaque] [2001:db8:1::100 tcp opaque] 8/7"}},
		{"binding in a tunnel is payload", request(spd.Tunnel, list(mh(ha, 0x600, 0x600)), list(mh(hoa, 0x500, 0x500))),
			[]string{"payload [2001:db8:1::1 mh 0x0600] [2001:db8:1::100 mh 0x0500] 8/7"}},
		{"home test in transport mode", request(spd.Transport, list(mh(cn, 0x300, 0x300)), list(mh(hoa, 0x100, 0x100))), nil},
		{"the directions exchanged", request(spd.Transport, list(mh(ha, 0x500, 0x500)), list(mh(hoa, 0x600, 0x600))), nil},
		{"with another host than the home agent",
			request(spd.Transport, list(mh(cn, 0x600, 0x600)), list(mh(hoa, 0x500, 0x500))), nil},
		{"of a host without policies", request(spd.Transport, list(mh(ha, 0x600, 0x600)), list(mh(cn, 0x500, 0x500))), nil},
		{"BEET mode", request(spd.BEET, list(mh(ha, 0x600, 0x600)), list(mh(hoa, 0x500, 0x500))), nil},
		{"no local traffic", request(spd.Transport, nil, list(mh(hoa, 0x500, 0x500))), nil},
		{"no remote traffic", request(spd.Transport, list(mh(ha, 0x600, 0x600)), nil), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := request(test.request.Mode, slices.Clone(test.request.Traffic.Local), slices.Clone(test.request.Traffic.Remote))
			want(t, "offers", show(offers(t, m, test.request)), test.offers)
			want(t, "the request afterwards", test.request, before)
		})
	}
}

func show(offers []spd.Demand) (out []string) {
	for _, d := range offers {
		out = append(out, fmt.Sprintf("%s %v %v %d/%d",
			d.Name, texts(d.Traffic.Local), texts(d.Traffic.Remote), d.ReqidOut, d.ReqidIn))
	}
	return out
}

func TestOfferHasPeerAndAddresses(t *testing.T) {
	m := load(homeAgent(binding(hoa), homeTest(hoa))...)
	transport := offers(t, m, request(spd.Transport, list(everyone), list(ts(0, 0, 65535, hoa, hoa))))[0]
	want(t, "in transport mode", []any{transport.Peer, transport.Local, transport.Remote}, []any{"mn", ha, hoa})
	tunnel := offers(t, m, request(spd.Tunnel, list(everyone), list(ts(0, 0, 65535, hoa, hoa))))[0]
	want(t, "in tunnel mode", []any{tunnel.Peer, tunnel.Local, tunnel.Remote}, []any{"mn", ha, coa1})
}

// The first selectors are of the packet that made the peer ask: what covers them comes first, whatever the priority.
func TestRFC7296Section2_9FirstSelectorsFirst(t *testing.T) {
	m := load(homeAgent(binding(hoa), prefixDiscovery(hoa))...)
	mpa, mps := ts(spd.ProtoICMPv6, 0x9300, 0x93ff, ha, ha), ts(spd.ProtoICMPv6, 0x9200, 0x92ff, hoa, hoa)
	r := request(spd.Transport, list(mpa, mh(ha, 0, 65535)), list(mps, mh(hoa, 0, 65535)))
	want(t, "offers", show(offers(t, m, r)), []string{
		"prefix [2001:db8:1::1 icmpv6 0x9300-0x93ff] [2001:db8:1::100 icmpv6 0x9200-0x92ff] 4/3",
		"binding [2001:db8:1::1 mh 0x0600] [2001:db8:1::100 mh 0x0500] 2/1",
	})
}

// A generic policy for all mobile nodes (RFC 4877 section 7.2.1) gives each an SA of its own in transport mode.
func TestOfferOfACoarsePolicyIsBetweenHosts(t *testing.T) {
	generic := anyMH(hoa)
	generic.toMN.Dst, generic.toHA.Src = homeLink, homeLink
	out, in, _ := generic.onHA(coa1)
	m := load(out, in)
	got := offers(t, m, request(spd.Transport, list(mh(ha, 0x600, 0x600)), list(mh(hoa, 0x500, 0x500))))
	want(t, "offers", show(got), []string{"mobility [2001:db8:1::1 mh 0x0600] [2001:db8:1::100 mh 0x0500] 10/9"})
	want(t, "addresses", []netip.Addr{got[0].Local, got[0].Remote}, []netip.Addr{ha, hoa})
	last := netip.MustParseAddr("2001:db8:1::ffff")
	toRange := request(spd.Transport, list(mh(ha, 0x600, 0x600)), list(ts(spd.ProtoMH, 0x500, 0x500, hoa, last)))
	list, err := m.Offers(toRange)
	want(t, "offers to a range of hosts", list, []spd.Demand(nil))
	want(t, "error, RFC 7296 section 2.9", err, spd.ErrSinglePair)
}

// On a mobile node the home agent's address is the crowded one of tunnels, too.
func TestMobileNodeOffers(t *testing.T) {
	m := load(mobileNode(binding(hoa), homeTest(hoa), payload(hoa))...)
	r := request(spd.Tunnel, list(ts(spd.ProtoTCP, 0, 65535, hoa, hoa)), list(ts(spd.ProtoTCP, 0, 65535, ha, ha)))
	want(t, "offers", show(offers(t, m, r)), []string{"payload [2001:db8:1::100 tcp] [2001:db8:1::1 tcp] 7/8"})
	r = request(spd.Tunnel, list(mh(hoa, 0x100, 0x100)), list(mh(cn, 0x300, 0x300)))
	want(t, "offers", show(offers(t, m, r)), []string{
		"home-test [2001:db8:1::100 mh 0x0100] [2001:db8:9::9 mh 0x0300] 5/6",
		"payload [2001:db8:1::100 mh 0x0100] [2001:db8:9::9 mh 0x0300] 7/8",
	})
}

// A policy that names no single host, as a mobile network has, is for all that its prefixes hold.
func TestOfferOfAPolicyBetweenPrefixes(t *testing.T) {
	network := payload(hoa)
	network.toHA.Src, network.toMN.Dst = homeLink, homeLink
	m := load(homeAgent(network)...)
	r := request(spd.Tunnel, list(ts(spd.ProtoTCP, 0, 65535, cn, cn)), list(ts(spd.ProtoTCP, 0, 65535, hoa, hoa)))
	want(t, "offers", show(offers(t, m, r)), []string{"payload [2001:db8:9::9 tcp] [2001:db8:1::100 tcp] 8/7"})
}

func manyMobileNodes(n int) *Image {
	m := New()
	for i := range n {
		home := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		for _, p := range homeAgent(binding(home), homeTest(home), payload(home)) {
			m.Event(spd.PolicyChanged{Policy: p})
		}
	}
	for _, p := range homeAgent(binding(hoa), homeTest(hoa), payload(hoa)) {
		m.Event(spd.PolicyChanged{Policy: p})
	}
	return m
}

// However many mobile nodes a home agent has, only the policies of one are looked at.
func TestLookUpIsByTheMobileNode(t *testing.T) {
	m := manyMobileNodes(1000)
	for _, hosts := range [][]netip.Addr{{ha, hoa}, {hoa, ha}} {
		if n := len(m.policies.about(spd.Out, hosts)); n != 3 {
			t.Errorf("%d policies looked at for %v, want 3", n, hosts)
		}
	}
	if n := len(m.policies.about(spd.Out, []netip.Addr{ha, cn})); n != 0 {
		t.Errorf("%d policies looked at for a stranger, want none", n)
	}
}

func BenchmarkWantedOf100000MobileNodes(b *testing.B) {
	m := manyMobileNodes(100_000)
	out, _, _ := homeTest(hoa).onHA(coa1)
	a := acquire(out, spd.Endpoints{})
	b.ReportAllocs()
	for b.Loop() {
		if d, err := m.Wanted(a); err != nil || d.ReqidIn != 5 {
			b.Fatal(d, err)
		}
	}
}

func BenchmarkOffersOf100000MobileNodes(b *testing.B) {
	m := manyMobileNodes(100_000)
	r := request(spd.Transport, list(mh(ha, 0x600, 0x600)), list(mh(hoa, 0x500, 0x500)))
	b.ReportAllocs()
	for b.Loop() {
		if d, _ := m.Offers(r); len(d) != 1 {
			b.Fatal(d)
		}
	}
}
