package spd

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestStrings(t *testing.T) {
	careOf := netip.MustParseAddr("2001:db8:2::7")
	outer := Endpoints{Src: careOf, Dst: homeAgent}
	tunnel := Template{Proto: ESP, Mode: Tunnel, Level: Unique, Reqid: 5, Endpoints: outer}
	transport := Template{Proto: AH, Mode: Transport, Level: Require}
	key := PolicyKey{Selector: MH(Host(hoa), anywhere, 1), Dir: Out}
	sa := SA{SPI: 0xc0ffee, Proto: ESP, Mode: Tunnel, Endpoints: outer, Reqid: 5, Dir: Out}
	path := Path{Local: careOf, Remote: homeAgent}
	demand := Demand{Peer: "ha", Name: "binding", Mode: Transport, Local: hoa, Remote: homeAgent}
	for _, c := range []struct {
		v    fmt.Stringer
		want string
	}{
		{In, "in"}, {Out, "out"}, {Fwd, "fwd"}, {Dir(9), "spd.Dir(9)"},
		{Transport, "transport"}, {Tunnel, "tunnel"}, {BEET, "beet"}, {RouteOptimization, "ro"}, {Mode(0), "any"},
		{Level(0), "default"}, {Use, "use"}, {Require, "require"}, {Unique, "unique"},
		{Protect, "protect"}, {Bypass, "bypass"}, {Discard, "discard"}, {Action(9), "spd.Action(9)"},
		{ExactPort(0), "0"}, {Port{Value: 5}, "any"},
		{outer, "2001:db8:2::7 -> 2001:db8:1::1"},
		{outer.Reverse(), "2001:db8:1::1 -> 2001:db8:2::7"},
		{tunnel, "esp/tunnel/2001:db8:2::7 -> 2001:db8:1::1/unique:5"},
		{transport, "ah/transport/require:0"},
		{key, "out 2001:db8:1::100/128 -> ::/0 mh type 1"},
		{Policy{PolicyKey: key, Action: Protect, Templates: []Template{transport, tunnel}},
			"out 2001:db8:1::100/128 -> ::/0 mh type 1 protect ah/transport/require:0 " + tunnel.String()},
		{sa, "out esp 00c0ffee tunnel 2001:db8:2::7 -> 2001:db8:1::1 reqid 5"},
		{sa.ID(), "esp 00c0ffee to 2001:db8:1::1"},
		{path, "2001:db8:2::7 - 2001:db8:1::1"},
		{demand, "binding with ha (transport, 2001:db8:1::100 - 2001:db8:1::1)"},
	} {
		if got := c.v.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	for proto, want := range map[uint8]string{ESP: "esp", AH: "ah", Route2: "route2", HomeOpt: "hao", 99: "proto 99"} {
		if got := IPsecName(proto); got != want {
			t.Errorf("protocol %d is %q, want %q", proto, got, want)
		}
	}
}

func TestNoKeyIsPrinted(t *testing.T) {
	sa := SA{SPI: 0x1000, Proto: ESP, Endpoints: Endpoints{Src: hoa, Dst: homeAgent}}
	sa.Transform.EncrKey, sa.Transform.IntegKey = bytes.Repeat([]byte("K"), 16), bytes.Repeat([]byte("K"), 32)
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%x", "%d"} {
		for _, v := range []any{sa, &sa, sa.Transform} {
			out := fmt.Sprintf(verb, v)
			for _, key := range []string{"KKKK", "4b4b", "75 75"} {
				if strings.Contains(out, key) {
					t.Errorf("%s prints %s", verb, out)
				}
			}
		}
	}
}
