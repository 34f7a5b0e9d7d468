package spd

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

var (
	hoa       = netip.MustParseAddr("2001:db8:1::100")
	homeAgent = netip.MustParseAddr("2001:db8:1::1")
	anywhere  = netip.MustParsePrefix("::/0")
	last      = netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
)

// ts makes a selector from a range of addresses in text; the second is the first when empty.
func ts(proto uint8, portStart, portEnd uint16, start, end string) TrafficSelector {
	if end == "" {
		end = start
	}
	return TrafficSelector{Proto: proto, PortStart: portStart, PortEnd: portEnd,
		Start: netip.MustParseAddr(start), End: netip.MustParseAddr(end)}
}

// RFC 4877 section 7.2, with the types of RFC 4301 section 4.4.1.1 in the high octet: what this host sends is Local,
// what it receives is Remote.
func TestNewTraffic(t *testing.T) {
	home, agent, network := Host(hoa), Host(homeAgent), netip.MustParsePrefix("2001:db8:7:ff::/60")
	icmp := func(src, dst netip.Prefix, kind uint16, code Port) Selector {
		return Selector{Src: src, Dst: dst, Proto: ProtoICMPv6, SrcPort: ExactPort(kind), DstPort: code}
	}
	one := func(a netip.Addr, proto uint8, start, end uint16) TrafficSelector {
		return TrafficSelector{Proto: proto, PortStart: start, PortEnd: end, Start: a, End: a}
	}
	all := func(proto uint8, start, end uint16) TrafficSelector {
		return TrafficSelector{Proto: proto, PortStart: start, PortEnd: end, Start: netip.IPv6Unspecified(), End: last}
	}
	for _, c := range []struct {
		name          string
		out, in       Selector
		local, remote TrafficSelector
	}{
		{"Binding Update and Acknowledgement", MH(home, agent, 5), MH(agent, home, 6),
			one(hoa, ProtoMH, 0x0500, 0x0500), one(homeAgent, ProtoMH, 0x0600, 0x0600)},
		{"the same at the home agent", MH(agent, home, 6), MH(home, agent, 5),
			one(homeAgent, ProtoMH, 0x0600, 0x0600), one(hoa, ProtoMH, 0x0500, 0x0500)},
		{"Home Test Init and Home Test", MH(home, anywhere, 1), MH(anywhere, home, 3),
			one(hoa, ProtoMH, 0x0100, 0x0100), all(ProtoMH, 0x0300, 0x0300)},
		{"Binding Refresh Request, which is type 0", MH(agent, home, 0), MH(home, agent, 5),
			one(homeAgent, ProtoMH, 0, 0), one(hoa, ProtoMH, 0x0500, 0x0500)},
		{"Mobile Prefix Solicitation and Advertisement", icmp(home, agent, 146, Port{}), icmp(agent, home, 147, Port{}),
			one(hoa, ProtoICMPv6, 0x9200, 0x92ff), one(homeAgent, ProtoICMPv6, 0x9300, 0x93ff)},
		{"the same with code 0", icmp(home, agent, 146, ExactPort(0)), icmp(agent, home, 147, ExactPort(0)),
			one(hoa, ProtoICMPv6, 0x9200, 0x9200), one(homeAgent, ProtoICMPv6, 0x9300, 0x9300)},
		{"all Mobility Header", Selector{Src: home, Dst: anywhere, Proto: ProtoMH},
			Selector{Src: anywhere, Dst: home, Proto: ProtoMH},
			one(hoa, ProtoMH, 0, 65535), all(ProtoMH, 0, 65535)},
		{"all protocols, and a prefix whose host bits are set", Selector{Src: network, Dst: anywhere},
			Selector{Src: anywhere, Dst: network},
			ts(ProtoAny, 0, 65535, "2001:db8:7:f0::", "2001:db8:7:ff:ffff:ffff:ffff:ffff"), all(ProtoAny, 0, 65535)},
		{"TCP to one port", Selector{Src: home, Dst: agent, Proto: ProtoTCP, DstPort: ExactPort(80)},
			Selector{Src: agent, Dst: home, Proto: ProtoTCP, SrcPort: ExactPort(80)},
			one(hoa, ProtoTCP, 0, 65535), one(homeAgent, ProtoTCP, 80, 80)},
		{"UDP from port 0", Selector{Src: home, Dst: agent, Proto: ProtoUDP, SrcPort: ExactPort(0)},
			Selector{Src: agent, Dst: home, Proto: ProtoUDP, DstPort: ExactPort(0)},
			one(hoa, ProtoUDP, 0, 0), one(homeAgent, ProtoUDP, 0, 65535)},
		{"IPv4", Selector{Src: netip.MustParsePrefix("192.0.2.8/29"), Dst: netip.MustParsePrefix("0.0.0.0/0")}, Selector{},
			ts(ProtoAny, 0, 65535, "192.0.2.8", "192.0.2.15"), ts(ProtoAny, 0, 65535, "0.0.0.0", "255.255.255.255")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := NewTraffic(c.out, c.in)
			if !slices.Equal(got.Local, []TrafficSelector{c.local}) || !slices.Equal(got.Remote, []TrafficSelector{c.remote}) {
				t.Errorf("got %v, want %s and %s", got, c.local, c.remote)
			}
		})
	}
}

func TestIntersect(t *testing.T) {
	const a, b, c, d = "2001:db8::1", "2001:db8::5", "2001:db8::7", "2001:db8::b"
	for _, test := range []struct {
		name       string
		one, other TrafficSelector
		want       TrafficSelector // the zero value: nothing
	}{
		{"ranges that overlap, aligned to no prefix", ts(0, 0, 65535, a, c), ts(0, 0, 65535, b, d), ts(0, 0, 65535, b, c)},
		{"ranges that touch in one address", ts(0, 0, 65535, a, b), ts(0, 0, 65535, b, d), ts(0, 0, 65535, b, b)},
		{"ranges apart", ts(0, 0, 65535, a, b), ts(0, 0, 65535, c, d), TrafficSelector{}},
		{"a range within another", ts(0, 0, 65535, a, d), ts(0, 0, 65535, b, c), ts(0, 0, 65535, b, c)},
		{"families", ts(0, 0, 65535, "::", last.String()), ts(0, 0, 65535, "192.0.2.1", ""), TrafficSelector{}},
		{"any protocol and one", ts(ProtoAny, 0, 65535, a, ""), ts(ProtoMH, 0x500, 0x500, a, ""),
			ts(ProtoMH, 0x500, 0x500, a, "")},
		{"two protocols", ts(ProtoTCP, 0, 65535, a, ""), ts(ProtoMH, 0, 65535, a, ""), TrafficSelector{}},
		{"ports that overlap", ts(6, 80, 90, a, ""), ts(6, 85, 95, a, ""), ts(6, 85, 90, a, "")},
		{"ports apart", ts(6, 80, 84, a, ""), ts(6, 85, 95, a, ""), TrafficSelector{}},
		{"one MH type of a range", ts(ProtoMH, 0x500, 0x6ff, a, ""), ts(ProtoMH, 0x600, 0x600, a, ""),
			ts(ProtoMH, 0x600, 0x600, a, "")},
		{"type 0", ts(ProtoMH, 0, 65535, a, ""), ts(ProtoMH, 0, 0, a, ""), ts(ProtoMH, 0, 0, a, "")},
		{"OPAQUE and any", ts(ProtoMH, 65535, 0, a, ""), ts(ProtoMH, 0, 65535, a, ""), ts(ProtoMH, 65535, 0, a, "")},
		{"OPAQUE and OPAQUE", ts(ProtoMH, 65535, 0, a, c), ts(0, 65535, 0, b, d), ts(ProtoMH, 65535, 0, b, c)},
		{"OPAQUE and a port", ts(6, 65535, 0, a, ""), ts(6, 80, 80, a, ""), TrafficSelector{}},
		{"OPAQUE and port 65535", ts(6, 65535, 0, a, ""), ts(6, 65535, 65535, a, ""), TrafficSelector{}},
		{"OPAQUE and any, of addresses apart", ts(6, 65535, 0, a, b), ts(6, 0, 65535, c, d), TrafficSelector{}},
		{"ports the wrong way round", ts(6, 90, 80, a, ""), ts(6, 0, 65535, a, ""), TrafficSelector{}},
		{"addresses the wrong way round", ts(6, 0, 65535, c, b), ts(6, 0, 65535, a, d), TrafficSelector{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, pair := range [][2]TrafficSelector{{test.one, test.other}, {test.other, test.one}} {
				got, ok := pair[0].Intersect(pair[1])
				if ok != (test.want != TrafficSelector{}) || ok && got != test.want {
					t.Errorf("%s and %s: got %s, %t; want %s", pair[0], pair[1], got, ok, test.want)
				}
			}
		})
	}
}

func TestTrafficSelectorContains(t *testing.T) {
	const a, b, c = "2001:db8::1", "2001:db8::5", "2001:db8::7"
	for _, test := range []struct {
		outer, inner TrafficSelector
		want         bool
	}{
		{ts(0, 0, 65535, a, c), ts(ProtoMH, 0x500, 0x500, b, ""), true},
		{ts(0, 0, 65535, a, c), ts(0, 0, 65535, a, c), true},
		{ts(0, 0, 65535, a, b), ts(0, 0, 65535, a, c), false},
		{ts(0, 0, 65535, b, c), ts(0, 0, 65535, a, c), false},
		{ts(ProtoMH, 0, 65535, a, c), ts(0, 0, 65535, a, c), false},
		{ts(ProtoMH, 0x500, 0x500, a, ""), ts(ProtoMH, 0x500, 0x6ff, a, ""), false},
		{ts(ProtoMH, 0, 65535, a, ""), ts(ProtoMH, 65535, 0, a, ""), true},
		{ts(ProtoMH, 65535, 0, a, ""), ts(ProtoMH, 0, 65535, a, ""), false},
		{ts(ProtoMH, 0, 65535, a, ""), ts(ProtoMH, 3, 2, a, ""), false},
	} {
		if got := test.outer.Contains(test.inner); got != test.want {
			t.Errorf("%s contains %s: %t", test.outer, test.inner, got)
		}
	}
}

// RFC 7296 section 2.9: the responder narrows to a subset of what is proposed.
func TestNarrow(t *testing.T) {
	home := ts(ProtoMH, 0x500, 0x500, "2001:db8:1::100", "")
	whole := ts(0, 0, 65535, "2001:db8:1::", "2001:db8:1::ffff")
	for _, c := range []struct {
		name                   string
		offered, allowed, want []TrafficSelector
	}{
		{"what is offered is allowed", []TrafficSelector{home}, []TrafficSelector{whole}, []TrafficSelector{home}},
		{"more is offered", []TrafficSelector{whole}, []TrafficSelector{home}, []TrafficSelector{home}},
		{"the packet's selector comes first", []TrafficSelector{home, whole}, []TrafficSelector{whole}, []TrafficSelector{whole}},
		{"nothing in common", []TrafficSelector{home}, []TrafficSelector{ts(6, 0, 65535, "2001:db8:1::100", "")}, nil},
		{"in the order of the offer",
			[]TrafficSelector{ts(17, 9, 9, "::1", ""), ts(6, 9, 9, "::1", "")},
			[]TrafficSelector{ts(6, 0, 65535, "::", "::2"), ts(17, 0, 65535, "::", "::2")},
			[]TrafficSelector{ts(17, 9, 9, "::1", ""), ts(6, 9, 9, "::1", "")}},
		{"twice the same", []TrafficSelector{home, home}, []TrafficSelector{whole, home}, []TrafficSelector{home}},
		{"nothing offered", nil, []TrafficSelector{whole}, nil},
		{"nothing allowed", []TrafficSelector{whole}, nil, nil},
	} {
		if got := Narrow(c.offered, c.allowed); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCoveredBy(t *testing.T) {
	low, high, all := ts(6, 0, 99, "::1", ""), ts(6, 100, 65535, "::1", ""), ts(6, 0, 65535, "::1", "")
	for _, c := range []struct {
		inner, outer []TrafficSelector
		want         bool
	}{
		{nil, nil, true},
		{nil, []TrafficSelector{all}, true},
		{[]TrafficSelector{all}, nil, false},
		{[]TrafficSelector{low, high}, []TrafficSelector{all}, true},
		{[]TrafficSelector{low, all}, []TrafficSelector{low, high}, false}, // not each within one of them
	} {
		if got := CoveredBy(c.inner, c.outer); got != c.want {
			t.Errorf("%v by %v: %t", c.inner, c.outer, got)
		}
	}
}

// probe is one packet of the small world below. Its port is hidden (RFC 4301's OPAQUE) if it is opaque.
type probe struct {
	proto  uint8
	port   uint16
	opaque bool
	addr   netip.Addr
}

func (t TrafficSelector) selects(p probe) bool {
	port := t.PortStart <= p.port && p.port <= t.PortEnd
	if p.opaque {
		port = t.opaque() || t.anyPort()
	}
	return port && (t.Proto == ProtoAny || t.Proto == p.proto) && !p.addr.Less(t.Start) && !t.End.Less(p.addr)
}

func anySelects(set []TrafficSelector, p probe) bool {
	return slices.ContainsFunc(set, func(s TrafficSelector) bool { return s.selects(p) })
}

// The small world: two protocols, ports around the edges, sixteen addresses.
var (
	worldProtos = []uint8{ProtoTCP, ProtoMH}
	worldPorts  = []uint16{0, 1, 0x500, 0x501, 65534, 65535}
)

func worldAddr(i int) netip.Addr { return netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 15: byte(i)}) }

func world() (all []probe) {
	for _, proto := range worldProtos {
		for i := range 16 {
			all = append(all, probe{proto: proto, opaque: true, addr: worldAddr(i)})
			for _, port := range worldPorts {
				all = append(all, probe{proto: proto, port: port, addr: worldAddr(i)})
			}
		}
	}
	return all
}

func randomSelector(r *rand.Rand) TrafficSelector {
	i, j := r.IntN(16), r.IntN(16)
	t := TrafficSelector{Proto: append(worldProtos, ProtoAny)[r.IntN(3)], PortEnd: 65535,
		Start: worldAddr(min(i, j)), End: worldAddr(max(i, j))}
	switch r.IntN(4) {
	case 0:
		t.PortStart, t.PortEnd = 65535, 0
	case 1, 2:
		p, q := worldPorts[r.IntN(len(worldPorts))], worldPorts[r.IntN(len(worldPorts))]
		t.PortStart, t.PortEnd = min(p, q), max(p, q)
	}
	return t
}

func randomSet(r *rand.Rand) (set []TrafficSelector) {
	for range r.IntN(4) {
		set = append(set, randomSelector(r))
	}
	return set
}

func TestIntersectionIsWhatBothSelect(t *testing.T) {
	r, all := rand.New(rand.NewPCG(1, 1)), world()
	for range 3000 {
		a, b := randomSelector(r), randomSelector(r)
		both, ok := a.Intersect(b)
		if ok && (!a.Contains(both) || !b.Contains(both)) {
			t.Fatalf("%s and %s: %s is not in both", a, b, both)
		}
		if a.Contains(b) != (ok && both == b) {
			t.Fatalf("%s contains %s: %t, but their intersection is %s", a, b, a.Contains(b), both)
		}
		for _, p := range all {
			if want := a.selects(p) && b.selects(p); (ok && both.selects(p)) != want {
				t.Fatalf("%s and %s: %s, %t; %+v is in both: %t", a, b, both, ok, p, want)
			}
		}
	}
}

func TestNarrowIsWhatBothSetsSelect(t *testing.T) {
	r, all := rand.New(rand.NewPCG(2, 2)), world()
	for range 2000 {
		offered, allowed := randomSet(r), randomSet(r)
		got := Narrow(offered, allowed)
		if !CoveredBy(got, offered) || !CoveredBy(got, allowed) {
			t.Fatalf("%v and %v: %v is not in both", offered, allowed, got)
		}
		for _, p := range all {
			if want := anySelects(offered, p) && anySelects(allowed, p); anySelects(got, p) != want {
				t.Fatalf("%v and %v: %v; %+v is in both: %t", offered, allowed, got, p, want)
			}
		}
		for i, s := range got {
			if CoveredBy([]TrafficSelector{s}, slices.Delete(slices.Clone(got), i, i+1)) {
				t.Fatalf("%v and %v: %v has %s too much", offered, allowed, got, s)
			}
		}
		if again := Narrow(got, allowed); !slices.Equal(again, got) {
			t.Fatalf("%v is narrowed again to %v", got, again)
		}
	}
}

func TestCompareSorts(t *testing.T) {
	sorted := []TrafficSelector{
		ts(6, 1, 2, "192.0.2.1", ""), ts(0, 0, 65535, "::1", "::2"), ts(0, 0, 65535, "::1", "::3"), ts(6, 0, 0, "::1", "::3"),
		ts(6, 0, 1, "::1", "::3"), ts(6, 1, 1, "::1", "::3"), ts(0, 0, 0, "::2", "::3"),
	}
	shuffled := slices.Clone(sorted)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, TrafficSelector.Compare)
	if !slices.Equal(shuffled, sorted) || sorted[0].Compare(sorted[0]) != 0 {
		t.Errorf("sorted: %v", shuffled)
	}
}

func TestTrafficSelectorString(t *testing.T) {
	for want, s := range map[string]TrafficSelector{
		"2001:db8::1 mh 0x0500":            ts(ProtoMH, 0x500, 0x500, "2001:db8::1", ""),
		"2001:db8::1 icmpv6 0x9200-0x92ff": ts(ProtoICMPv6, 0x9200, 0x92ff, "2001:db8::1", ""),
		"2001:db8::1-2001:db8::5 any":      ts(ProtoAny, 0, 65535, "2001:db8::1", "2001:db8::5"),
		"192.0.2.1 tcp 80":                 ts(ProtoTCP, 80, 80, "192.0.2.1", ""),
		"192.0.2.1 udp 80-90":              ts(ProtoUDP, 80, 90, "192.0.2.1", ""),
		"2001:db8::1 mh opaque":            ts(ProtoMH, 65535, 0, "2001:db8::1", ""),
		"2001:db8::1 132 0":                ts(132, 0, 0, "2001:db8::1", ""),
	} {
		if got := s.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
