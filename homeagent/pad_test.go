package homeagent

import (
	"net/netip"
	"strings"
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

func ts(proto uint8, start, end uint16, from, to netip.Addr) spd.TrafficSelector {
	return spd.TrafficSelector{Proto: proto, PortStart: start, PortEnd: end, Start: from, End: to}
}

func mh(a netip.Addr, kind uint16) spd.TrafficSelector {
	return ts(spd.ProtoMH, kind<<8, kind<<8, a, a)
}

func tcp(a netip.Addr) spd.TrafficSelector { return ts(spd.ProtoTCP, 0, 65535, a, a) }

func list(s ...spd.TrafficSelector) []spd.TrafficSelector { return s }

var (
	second   = netip.MustParseAddr("2001:db8:1::150") // a second home address of mn
	nobody   = netip.MustParseAddr("2001:db8:1::300") // on the home link, but not in the configuration
	everyone = ts(0, 0, 65535, netip.IPv6Unspecified(), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
)

// homeLink is a range of addresses that holds all home addresses.
func homeLink(proto uint8, start, end uint16) spd.TrafficSelector {
	p := netip.MustParsePrefix("2001:db8:1::/64")
	return ts(proto, start, end, p.Addr(), netip.MustParseAddr("2001:db8:1:0:ffff:ffff:ffff:ffff"))
}

// twoMobileNodes is a home agent with mn, who has two home addresses, and mn2. The policies are those of all three,
// those of a fourth host that no configuration names, and some of HoA with another node than the home agent.
func twoMobileNodes(t *testing.T) script {
	t.Helper()
	own2 := OtherHome("mn")
	own2.HomeAddress, own2.Reqid = second, 21
	homes := []migrate.Home{Home("mn", true), own2, OtherHome("mn2")}
	stray := OtherHome("")
	stray.HomeAddress, stray.Reqid = nobody, 31
	var policies []spd.Policy
	withCN := Home("", true)
	withCN.HomeAgent, withCN.Reqid = CN, 41
	for _, home := range append(homes, stray) {
		d := Daemon{Protected: home.Protected, OnHA: true}
		policies = append(append(policies, d.Static()...), d.Tunnels(CoA1)...)
	}
	policies = append(policies, Daemon{Protected: withCN.Protected, OnHA: true}.Static()...)
	s := newScript(t, false, homes...)
	s.step("", migrate.Snapshot{Policies: policies})
	return s
}

// An authenticated mobile node gets SAs for its own home addresses and for nobody else's, whichever way it asks.
func TestRFC4877Section4_2EachForItself(t *testing.T) {
	const (
		binding = "grant 6 binding with mn (transport, HA - HoA) [HA mh 0x0600] [HoA mh 0x0500] reqids 2 1"
		payload = "grant 6 payload with mn (tunnel, HA - CoA1) "
	)
	for _, test := range []struct {
		name          string
		peer          string
		mode          spd.Mode
		local, remote []spd.TrafficSelector
		want          string
	}{
		// Its own.
		{"own home address", "mn", spd.Transport, list(mh(HA, 6)), list(mh(HoA, 5)), binding},
		{"own home address, in a range of types", "mn", spd.Transport,
			list(ts(spd.ProtoMH, 0x500, 0x6ff, HA, HA)), list(ts(spd.ProtoMH, 0x500, 0x6ff, HoA, HoA)), binding},
		{"own second home address", "mn", spd.Transport, list(mh(HA, 6)), list(mh(second, 5)),
			"grant 6 binding with mn (transport, HA - 2001:db8:1::150) [HA mh 0x0600] [2001:db8:1::150 mh 0x0500] reqids 22 21"},
		{"both own home addresses: SAs for the first", "mn", spd.Transport,
			list(mh(HA, 6)), list(mh(HoA, 5), mh(second, 5)), binding},
		{"own home address in a tunnel", "mn", spd.Tunnel, list(tcp(CN)), list(tcp(HoA)),
			payload + "[CN tcp] [HoA tcp] reqids 8 7"},
		{"own home address twice", "mn", spd.Transport, list(mh(HA, 6)), list(mh(HoA, 5), mh(HoA, 5)), binding},

		// Another's.
		{"another's home address", "mn", spd.Transport, list(mh(HA, 6)), list(mh(OtherHoA, 5)),
			"refuse 6: mn may not speak for OtherHoA, which is mn2's"},
		{"the first one's home address, by the other", "mn2", spd.Transport, list(mh(HA, 6)), list(mh(HoA, 5)),
			"refuse 6: mn2 may not speak for HoA, which is mn's"},
		{"another's home address in a tunnel", "mn", spd.Tunnel, list(tcp(CN)), list(tcp(OtherHoA)),
			"refuse 6: mn may not speak for OtherHoA, which is mn2's"},
		{"own, then another's", "mn", spd.Transport, list(mh(HA, 6)), list(mh(HoA, 5), mh(OtherHoA, 5)),
			"refuse 6: mn may not speak for OtherHoA, which is mn2's"},
		{"another's, then own", "mn", spd.Transport, list(mh(HA, 6)), list(mh(OtherHoA, 5), mh(HoA, 5)),
			"refuse 6: mn may not speak for OtherHoA, which is mn2's"},
		{"a range with own, then another's", "mn", spd.Tunnel, list(everyone), list(everyone, tcp(OtherHoA)),
			"refuse 6: mn may not speak for OtherHoA, which is mn2's"},

		// Nobody's.
		{"nobody's home address, though there are policies", "mn", spd.Transport, list(mh(HA, 6)), list(mh(nobody, 5)),
			"refuse 6: mn may not speak for 2001:db8:1::300, which is nobody's home address"},
		{"a care-of address", "mn", spd.Transport, list(mh(HA, 6)), list(mh(CoA1, 5)),
			"refuse 6: mn may not speak for CoA1, which is nobody's home address"},
		{"the home agent's own address", "mn", spd.Tunnel, list(tcp(CN)), list(tcp(HA)),
			"refuse 6: mn may not speak for HA, which is nobody's home address"},
		{"a correspondent's address", "mn", spd.Tunnel, list(tcp(HoA)), list(tcp(CN)),
			"refuse 6: mn may not speak for CN, which is nobody's home address"},

		// Ranges are narrowed to its own.
		{"the home link", "mn", spd.Transport, list(mh(HA, 6)), list(homeLink(spd.ProtoMH, 0x500, 0x500)), binding},
		{"the home link, by the other", "mn2", spd.Transport, list(mh(HA, 6)), list(homeLink(spd.ProtoMH, 0x500, 0x500)),
			"grant 6 binding with mn2 (transport, HA - OtherHoA) [HA mh 0x0600] [OtherHoA mh 0x0500] reqids 12 11"},
		{"all addresses in a tunnel", "mn2", spd.Tunnel, list(everyone), list(everyone),
			"grant 6 payload with mn2 (tunnel, HA - CoA1) [* any] [OtherHoA any] reqids 18 17"},
		{"from own to another's", "mn", spd.Tunnel, list(tcp(CN)), list(ts(spd.ProtoTCP, 0, 65535, second, OtherHoA)),
			"grant 6 payload with mn (tunnel, HA - CoA1) [CN tcp] [2001:db8:1::150 tcp] reqids 28 27"},
		{"a range that holds only another's", "mn", spd.Transport, list(mh(HA, 6)),
			list(ts(spd.ProtoMH, 0x500, 0x500, OtherHoA, OtherHoA.Next())),
			"refuse 6: no transport policy for [HA mh 0x0600] - [OtherHoA-2001:db8:1::201 mh 0x0500] with mn"},
		{"a range without home addresses", "mn", spd.Tunnel, list(tcp(HoA)), list(ts(spd.ProtoTCP, 0, 65535, CN, CN.Next())),
			"refuse 6: no tunnel policy for [HoA tcp] - [CN-2001:db8:9::a tcp] with mn"},
		{"own, then a range with all", "mn", spd.Transport, list(mh(HA, 6)), list(mh(HoA, 5), homeLink(0, 0, 65535)), binding},

		// This side.
		{"a local address that is not the home agent's, though there are policies", "mn", spd.Transport,
			list(mh(CN, 6)), list(mh(HoA, 5)),
			"refuse 6: no transport policy for [CN mh 0x0600] - [HoA mh 0x0500] with mn"},
		{"a local address without policies", "mn", spd.Transport, list(mh(CN, 6)), list(mh(second, 5)),
			"refuse 6: no transport policy for [CN mh 0x0600] - [2001:db8:1::150 mh 0x0500] with mn"},
		{"own home addresses at both ends", "mn", spd.Transport, list(mh(second, 6)), list(mh(HoA, 5)),
			"refuse 6: no transport policy for [2001:db8:1::150 mh 0x0600] - [HoA mh 0x0500] with mn"},
		{"another's home address as local address is payload", "mn", spd.Tunnel, list(tcp(OtherHoA)), list(tcp(HoA)),
			payload + "[OtherHoA tcp] [HoA tcp] reqids 8 7"},
		{"the sides exchanged", "mn", spd.Transport, list(mh(HoA, 5)), list(mh(HA, 6)),
			"refuse 6: mn may not speak for HA, which is nobody's home address"},
		{"in the wrong mode", "mn", spd.Transport, list(mh(CN, 3)), list(mh(HoA, 1)),
			"refuse 6: no transport policy for [CN mh 0x0300] - [HoA mh 0x0100] with mn"},
		{"what no policy protects", "mn2", spd.Transport, list(tcp(HA)), list(tcp(OtherHoA)),
			"refuse 6: no transport policy for [HA tcp] - [OtherHoA tcp] with mn2"},
		{"no traffic", "mn", spd.Transport, nil, nil, "refuse 6: no transport policy for [] - [] with mn"},

		// Peers without a home address.
		{"an unknown peer", "thief", spd.Transport, list(mh(HA, 6)), list(mh(HoA, 5)),
			"refuse 6: thief may not speak for HoA, which is mn's"},
		{"an unknown peer with a range", "thief", spd.Transport, list(mh(HA, 6)), list(homeLink(spd.ProtoMH, 0x500, 0x500)),
			"refuse 6: no transport policy for [HA mh 0x0600] - [2001:db8:1::-2001:db8:1:0:ffff:ffff:ffff:ffff mh 0x0500] " +
				"with thief"},
		{"a peer without a name", "", spd.Transport, list(mh(HA, 6)), list(mh(nobody, 5)),
			"refuse 6:  may not speak for 2001:db8:1::300, which is nobody's home address"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := twoMobileNodes(t)
			s.says(test.want, spd.Request{
				Request: 6, Peer: test.peer, Mode: test.mode, Traffic: spd.Traffic{Local: test.local, Remote: test.remote},
			})
		})
	}
}

// What a peer has got does not let it have more: each rekeying is authorized anew.
func TestRFC4877Section4_2RekeyingIsAuthorizedAnew(t *testing.T) {
	s := twoMobileNodes(t)
	ask := func(want string, remote ...spd.TrafficSelector) {
		t.Helper()
		s.says(want, spd.Request{
			Request: 6, Peer: "mn", Mode: spd.Tunnel, Traffic: spd.Traffic{Local: list(everyone), Remote: remote},
		})
	}
	all := func(a netip.Addr) spd.TrafficSelector { return ts(0, 0, 65535, a, a) }
	ask("grant 6 payload with mn (tunnel, HA - CoA1) [* any] [HoA any] reqids 8 7", all(HoA))
	s.says("", spd.ChildUp{
		Demand: spd.Demand{Peer: "mn", ReqidIn: 7, ReqidOut: 8},
		In:     spd.SAID{Dst: HA, Proto: spd.ESP, SPI: 1}, Out: spd.SAID{Dst: CoA1, Proto: spd.ESP, SPI: 2},
	})
	ask("refuse 6: mn may not speak for OtherHoA, which is mn2's", all(OtherHoA))
	ask("refuse 6: mn may not speak for OtherHoA, which is mn2's", all(HoA), all(OtherHoA))
	ask("grant 6 payload with mn (tunnel, HA - CoA1) [* any] [HoA any] reqids 8 7", all(HoA))
	ask("grant 6 payload with mn (tunnel, HA - CoA1) [* any] [2001:db8:1::150 any] reqids 28 27", all(second))
}

// After a movement a tunnel is granted to where the mobile node is, from the first of its MIGRATEs on.
func TestGrantsFollowMovements(t *testing.T) {
	s := twoMobileNodes(t)
	d := Daemon{Protected: Home("", true).Protected, OnHA: true, KMAddress: true}
	s.kernel(`
		report moved mn: to CoA2
		relocate mn to HA - CoA2, keep`, d.MovesStatic(CoA2)...)
	const granted = "grant 6 payload with mn (tunnel, HA - CoA2) [CN tcp] [HoA tcp] reqids 8 7"
	r := spd.Request{
		Request: 6, Peer: "mn", Mode: spd.Tunnel, Traffic: spd.Traffic{Local: list(tcp(CN)), Remote: list(tcp(HoA))},
	}
	s.says(granted, r)
	for _, e := range d.MovesTunnels(CoA1, CoA2) {
		s.agent.Step(start, migrate.Kernel{Event: e})
	}
	s.says(granted, r)
}

// The generic policies that a home agent may have for mobile nodes that it does not know yet (RFC 4877 section 7.2.1) give
// nobody another's home address.
func TestRFC4877Section7_2_1GenericPolicies(t *testing.T) {
	generic := func(dir spd.Dir, s spd.Selector) spd.Policy {
		return spd.Policy{PolicyKey: spd.PolicyKey{Selector: s, Dir: dir}, Action: spd.Protect,
			Templates: []spd.Template{{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Require}}}
	}
	all, link := netip.MustParsePrefix("::/0"), netip.MustParsePrefix("2001:db8:1::/64")
	for _, mobile := range []netip.Prefix{all, link} {
		s := newScript(t, false, Home("mn", true), OtherHome("mn2"))
		s.step("", migrate.Snapshot{Policies: []spd.Policy{
			generic(spd.Out, spd.Selector{Src: spd.Host(HA), Dst: mobile, Proto: spd.ProtoMH}),
			generic(spd.In, spd.Selector{Src: mobile, Dst: spd.Host(HA), Proto: spd.ProtoMH}),
		}})
		for _, remote := range []spd.TrafficSelector{mh(HoA, 5), homeLink(spd.ProtoMH, 0x500, 0x500), everyone} {
			effects := s.agent.Step(start, migrate.Keying{Notice: spd.Request{Request: 6, Peer: "mn", Mode: spd.Transport,
				Traffic: spd.Traffic{Local: list(mh(HA, 6)), Remote: list(remote)}}})
			grant := effects[0].(migrate.Tell).Command.(spd.Grant)
			if d := grant.Demand; grant.Err != nil || d.Remote != HoA || len(d.Traffic.Remote) != 1 ||
				d.Traffic.Remote[0].Start != HoA || d.Traffic.Remote[0].End != HoA {
				t.Errorf("asked for %s: granted %v %v, error %v", remote, d, d.Traffic.Remote, grant.Err)
			}
		}
		s.says("refuse 6: mn may not speak for OtherHoA, which is mn2's", spd.Request{Request: 6, Peer: "mn", Mode: spd.Transport,
			Traffic: spd.Traffic{Local: list(mh(HA, 6)), Remote: list(mh(OtherHoA, 5))}})
		s.kernel("key 1 mobility with mn2 (transport, HA - OtherHoA) [HA mh] [OtherHoA mh] reqids 0 0 over HA - OtherHoA",
			spd.Acquire{
				Seq: 1, Selector: spd.Selector{Src: spd.Host(HA), Dst: mobile, Proto: spd.ProtoMH},
				Template:  spd.Template{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Require},
				Endpoints: spd.Endpoints{Src: HA, Dst: OtherHoA},
			})
	}
}

// Both who asks and whose it is are in the error.
func TestRefusalsNameBoth(t *testing.T) {
	s := twoMobileNodes(t)
	effects := s.agent.Step(start, migrate.Keying{Notice: spd.Request{Request: 6, Peer: "mn", Mode: spd.Transport,
		Traffic: spd.Traffic{Local: list(mh(HA, 6)), Remote: list(mh(OtherHoA, 5))}}})
	err := effects[0].(migrate.Tell).Command.(spd.Grant).Err
	for _, name := range []string{"mn ", "mn2", OtherHoA.String()} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
}

func TestConnect(t *testing.T) {
	s := newScript(t, false, Home("mn", true))
	s.step("connect mn over HA - HoA", migrate.Connect{Peer: "mn"})
	s.step("", migrate.Connect{Peer: "another"})
}
