package spd

import (
	"net/netip"
	"testing"
)

func TestPortMatches(t *testing.T) {
	for _, c := range []struct {
		p    Port
		v    uint16
		want bool
	}{
		{Port{}, 0, true}, {Port{}, 5, true}, {Port{Value: 7}, 5, true},
		{ExactPort(0), 0, true}, {ExactPort(0), 5, false}, {ExactPort(5), 5, true}, {ExactPort(5), 0, false},
	} {
		if got := c.p.Matches(c.v); got != c.want {
			t.Errorf("%s matches %d: %t", c.p, c.v, got)
		}
	}
}

func TestSelectorContains(t *testing.T) {
	home, agent, link := Host(hoa), Host(homeAgent), netip.MustParsePrefix("2001:db8:1::/64")
	between := Selector{Src: home, Dst: agent}
	tcp := Selector{Src: home, Dst: agent, Proto: ProtoTCP, DstPort: ExactPort(80)}
	for _, c := range []struct {
		name         string
		outer, inner Selector
		want         bool
	}{
		{"itself", tcp, tcp, true},
		{"one MH type of all protocols", Selector{Src: anywhere, Dst: anywhere}, MH(home, agent, 5), true},
		{"one MH type of all", Selector{Src: home, Dst: agent, Proto: ProtoMH}, MH(home, agent, 0), true},
		{"all MH types of one", MH(home, agent, 0), Selector{Src: home, Dst: agent, Proto: ProtoMH}, false},
		{"another MH type", MH(home, agent, 5), MH(home, agent, 0), false},
		{"all protocols of one", Selector{Src: home, Dst: agent, Proto: ProtoMH}, between, false},
		{"an address of its prefix", Selector{Src: link, Dst: agent}, between, true},
		{"a prefix of one address", between, Selector{Src: link, Dst: agent}, false},
		{"another source", between, Selector{Src: agent, Dst: agent}, false},
		{"another destination", between, Selector{Src: home, Dst: home}, false},
		{"another port", tcp, Selector{Src: home, Dst: agent, Proto: ProtoTCP, DstPort: ExactPort(81)}, false},
		{"any port", tcp, Selector{Src: home, Dst: agent, Proto: ProtoTCP}, false},
		{"more exact ports", tcp, Selector{Src: home, Dst: agent, Proto: ProtoTCP, SrcPort: ExactPort(9),
			DstPort: ExactPort(80)}, true},
		{"the other family", Selector{Src: anywhere, Dst: anywhere}, Selector{Src: netip.MustParsePrefix("0.0.0.0/0"),
			Dst: netip.MustParsePrefix("0.0.0.0/0")}, false},
	} {
		if got := c.outer.Contains(c.inner); got != c.want {
			t.Errorf("%s: %s contains %s: %t", c.name, c.outer, c.inner, got)
		}
	}
}

func TestHost(t *testing.T) {
	for _, a := range []netip.Addr{hoa, netip.MustParseAddr("192.0.2.1")} {
		if p := Host(a); !p.IsSingleIP() || p.Addr() != a {
			t.Errorf("the prefix of %s is %s", a, p)
		}
	}
}

func TestSelectorString(t *testing.T) {
	home, agent := Host(hoa), Host(homeAgent)
	with := func(proto uint8, src, dst Port) Selector {
		return Selector{Src: home, Dst: agent, Proto: proto, SrcPort: src, DstPort: dst}
	}
	const from = "2001:db8:1::100/128 -> 2001:db8:1::1/128 "
	for want, s := range map[string]Selector{
		"2001:db8:1::100/128 -> ::/0 mh type 0": MH(home, anywhere, 0),
		from + "mh":                             with(ProtoMH, Port{}, Port{}),
		from + "icmpv6 type 146":                with(ProtoICMPv6, ExactPort(146), Port{}),
		from + "icmpv6 type 1 code 0":           with(ProtoICMPv6, ExactPort(1), ExactPort(0)),
		from + "tcp port any -> 80":             with(ProtoTCP, Port{}, ExactPort(80)),
		from + "udp port 0 -> any":              with(ProtoUDP, ExactPort(0), Port{}),
		from + "any":                            with(ProtoAny, Port{}, Port{}),
		from + "132":                            with(132, Port{}, Port{}),
	} {
		if got := s.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
