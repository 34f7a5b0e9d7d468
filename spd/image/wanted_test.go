package image

import (
	"strings"
	"testing"

	"mipsecd/spd"
)

// What ACQUIREs on both ends want are mirror images: the traffic selectors of RFC 4877 section 7.2, and for each direction
// the reqid of its policy.
func TestRFC4877Section7_2Wanted(t *testing.T) {
	for _, test := range []struct {
		name            string
		pair            pair
		purpose         string
		mnSide, haSide  string // traffic selectors
		local, remote   string // addresses of the mobile node's SAs
		reqidUp, reqidM uint32 // toward the home agent, toward the mobile node
	}{
		{"7.2.1 BU and BA", binding(hoa), "binding", "2001:db8:1::100 mh 0x0500", "2001:db8:1::1 mh 0x0600",
			"2001:db8:1::100", "2001:db8:1::1", 1, 2},
		{"7.2.1 BU and BA at level require", binding(hoa).withoutReqid(), "binding", "2001:db8:1::100 mh 0x0500",
			"2001:db8:1::1 mh 0x0600", "2001:db8:1::100", "2001:db8:1::1", 0, 0},
		{"7.2.2 HoTI and HoT", homeTest(hoa), "home-test", "2001:db8:1::100 mh 0x0100",
			"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff mh 0x0300", "2001:db8:2::100", "2001:db8:1::1", 5, 6},
		{"7.2.3 MPS and MPA", prefixDiscovery(hoa), "prefix", "2001:db8:1::100 icmpv6 0x9200-0x92ff",
			"2001:db8:1::1 icmpv6 0x9300-0x93ff", "2001:db8:1::100", "2001:db8:1::1", 3, 4},
		{"7.2.4 payload", payload(hoa), "payload", "2001:db8:1::100 any",
			"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff any", "2001:db8:2::100", "2001:db8:1::1", 7, 8},
		{"5 coarse selectors", anyMH(hoa), "mobility", "2001:db8:1::100 mh", "2001:db8:1::1 mh",
			"2001:db8:1::100", "2001:db8:1::1", 9, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			mnOut, mnIn := test.pair.onMN(coa1)
			mn, err := load(mnIn, mnOut).Wanted(acquire(mnOut, spd.Endpoints{Src: hoa, Dst: ha}))
			want(t, "error on the mobile node", err, nil)
			haOut, haIn, haFwd := test.pair.onHA(coa1)
			onHA, err := load(haOut, haFwd, haIn).Wanted(acquire(haOut, spd.Endpoints{Src: ha, Dst: hoa}))
			want(t, "error on the home agent", err, nil)

			want(t, "purposes", []string{mn.Name, onHA.Name}, []string{test.purpose, test.purpose})
			want(t, "TSi of the mobile node", texts(mn.Traffic.Local), []string{test.mnSide})
			want(t, "TSr of the mobile node", texts(mn.Traffic.Remote), []string{test.haSide})
			want(t, "traffic of the home agent", onHA.Traffic, spd.Traffic{Local: mn.Traffic.Remote, Remote: mn.Traffic.Local})
			want(t, "addresses", []string{mn.Local.String(), mn.Remote.String()}, []string{test.local, test.remote})
			want(t, "addresses on the home agent", []string{onHA.Local.String(), onHA.Remote.String()},
				[]string{test.remote, test.local})
			want(t, "reqids", []uint32{mn.ReqidOut, mn.ReqidIn}, []uint32{test.reqidUp, test.reqidM})
			want(t, "reqids on the home agent", []uint32{onHA.ReqidOut, onHA.ReqidIn}, []uint32{test.reqidM, test.reqidUp})
			want(t, "modes", []spd.Mode{mn.Mode, onHA.Mode}, []spd.Mode{test.pair.mode, test.pair.mode})
			want(t, "ACQUIREs", []uint32{mn.Acquire, onHA.Acquire}, []uint32{77, 77})
		})
	}
}

// The inbound policy is found among all that a mobile node has, and its reqid is the demand's.
func TestInboundPolicyOfAnOutboundOne(t *testing.T) {
	hoti, hot := homeTest(hoa).onMN(coa1)
	_, bindingIn := binding(hoa).onMN(coa1)
	_, payloadIn := payload(hoa).onMN(coa1)
	_, anyMHIn := anyMH(hoa).onMN(coa1)
	at := func(p spd.Policy, outer spd.Endpoints) spd.Policy {
		p.Templates = []spd.Template{p.Templates[0]}
		p.Templates[0].Endpoints = outer
		return p
	}
	inTransport := hot
	inTransport.Templates = []spd.Template{{Proto: spd.ESP, Mode: spd.Transport, Reqid: 99}}
	tcpIn := payloadIn
	tcpIn.Selector.Proto, tcpIn.Priority = spd.ProtoTCP, 1
	elsewhere := spd.Endpoints{Src: ha, Dst: coa2}
	for _, test := range []struct {
		name    string
		others  []spd.Policy
		reqidIn uint32
		remote  string // port range of the remote traffic selector
	}{
		{"by the type of the answer", []spd.Policy{payloadIn, hot, bindingIn, anyMHIn}, 6, " mh 0x0300"},
		{"not yet moved, while the outbound one is", []spd.Policy{at(hot, elsewhere), payloadIn}, 6, " mh 0x0300"},
		{"a coarser one in its place", []spd.Policy{bindingIn, tcpIn, anyMHIn, payloadIn}, 8, " mh"},
		{"a coarser one of another tunnel", []spd.Policy{at(payloadIn, elsewhere)}, 5, " mh 0x0300"},
		{"its mirror image in another mode", []spd.Policy{inTransport}, 5, " mh 0x0300"},
		{"one of the same tunnel for other traffic", []spd.Policy{tcpIn}, 5, " mh 0x0300"},
		{"none", nil, 5, " mh 0x0300"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := load(append(test.others, hoti)...).Wanted(acquire(hoti, spd.Endpoints{}))
			want(t, "error", err, nil)
			want(t, "reqids", []uint32{d.ReqidOut, d.ReqidIn}, []uint32{5, test.reqidIn})
			if got := d.Traffic.Remote[0].String(); !strings.HasSuffix(got, "ffff"+test.remote) {
				t.Errorf("remote traffic selector %s, want %s", got, test.remote)
			}
		})
	}
}

// An SA in transport mode is between two hosts, however coarse its policy is (RFC 4301 section 4.1).
func TestTransportModeIsBetweenTheHostsOfThePacket(t *testing.T) {
	generic := anyMH(hoa)
	generic.toMN.Dst, generic.toHA.Src = homeLink, homeLink
	out, in, _ := generic.onHA(coa1)
	d, err := load(out, in).Wanted(acquire(out, spd.Endpoints{Src: ha, Dst: hoa}))
	want(t, "error", err, nil)
	want(t, "remote traffic", texts(d.Traffic.Remote), []string{"2001:db8:1::100 mh"})
	want(t, "addresses", spd.Endpoints{Src: d.Local, Dst: d.Remote}, spd.Endpoints{Src: ha, Dst: hoa})
	want(t, "reqids", []uint32{d.ReqidOut, d.ReqidIn}, []uint32{10, 9})
}

func TestAcquireThatNoKeyExchangeAnswers(t *testing.T) {
	out, in := binding(hoa).onMN(coa1)
	good := acquire(out, spd.Endpoints{Src: hoa, Dst: ha})
	m := load(out, in)
	for _, test := range []struct {
		name   string
		change func(*spd.Acquire)
		err    string
	}{
		{"the policy is gone", func(a *spd.Acquire) { a.Selector = spd.Selector{} }, "not there any more"},
		{"AH", func(a *spd.Acquire) { a.Template.Proto = spd.AH }, "ah/transport"},
		{"BEET mode", func(a *spd.Acquire) { a.Template.Mode = spd.BEET }, "esp/beet"},
		{"any mode", func(a *spd.Acquire) { a.Template.Mode = 0 }, "esp/any"},
		{"a packet of others", func(a *spd.Acquire) { a.Endpoints.Src = cn }, "2001:db8:9::9"},
		{"no packet", func(a *spd.Acquire) { a.Endpoints = spd.Endpoints{} }, "does not serve"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := good
			test.change(&a)
			if d, err := m.Wanted(a); err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v and error %v, want an error with %q", d, err, test.err)
			}
		})
	}
	if _, err := m.Wanted(good); err != nil {
		t.Errorf("without change: %v", err)
	}
}

func TestAnswersOfMessages(t *testing.T) {
	mh := func(kind uint16) spd.Selector { return spd.Selector{Proto: spd.ProtoMH, SrcPort: spd.ExactPort(kind)} }
	icmp := func(kind uint16, code spd.Port) spd.Selector {
		return spd.Selector{Proto: spd.ProtoICMPv6, SrcPort: spd.ExactPort(kind), DstPort: code}
	}
	for _, test := range []struct {
		name    string
		out, in spd.Selector
	}{
		{"BU, BA", mh(5), mh(6)},
		{"HoTI, HoT", mh(1), mh(3)},
		{"CoTI, CoT", mh(2), mh(4)},
		{"BE, BE", mh(7), mh(7)},
		{"BRR is type 0, not any type", mh(0), mh(0)},
		{"any, any", spd.Selector{Proto: spd.ProtoMH}, spd.Selector{Proto: spd.ProtoMH}},
		{"a value that is not exact is any", spd.Selector{Proto: spd.ProtoMH, SrcPort: spd.Port{Value: 5}},
			spd.Selector{Proto: spd.ProtoMH, SrcPort: spd.Port{Value: 5}}},
		{"MPS, MPA", icmp(146, spd.Port{}), icmp(147, spd.Port{})},
		{"a code stays a code", icmp(128, spd.ExactPort(0)), icmp(129, spd.ExactPort(0))},
		{"ports change sides", spd.Selector{Proto: spd.ProtoUDP, DstPort: spd.ExactPort(53)},
			spd.Selector{Proto: spd.ProtoUDP, SrcPort: spd.ExactPort(53)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.out.Src, test.out.Dst = spd.Host(hoa), anyone
			test.in.Src, test.in.Dst = anyone, spd.Host(hoa)
			want(t, "answer", mirrored(test.out), test.in)
			want(t, "answer of the answer", mirrored(test.in), test.out)
		})
	}
}
