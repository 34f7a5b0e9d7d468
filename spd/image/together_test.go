package image

import (
	"net/netip"
	"testing"

	"mipsecd/spd"
)

// to is the payload's pair of policies for one network, with reqids.
func to(network string, reqidToHA, reqidToMN uint32) pair {
	p, n := payload(hoa), netip.MustParsePrefix(network)
	p.toHA.Dst, p.toMN.Src = n, n
	p.reqidToHA, p.reqidToMN = reqidToHA, reqidToMN
	return p
}

// Policies with one reqid share their SAs, which have the traffic selectors of them all (RFC 7296 section 2.9).
func TestPoliciesWithOneReqidShareTheirSAs(t *testing.T) {
	a, b, c := to("2001:db8:a::/48", 7, 8), to("2001:db8:b::/48", 7, 8), to("2001:db8:c::/48", 9, 10)
	stranger := to("2001:db8:d::/48", 7, 8) // with the reqid, but of another address
	stranger.toHA.Src, stranger.toMN.Dst = spd.Host(otherHoA), spd.Host(otherHoA)
	m := load(mobileNode(a, b, c, stranger)...)
	out, _ := a.onMN(coa1)
	demand := func() spd.Demand {
		t.Helper()
		d, err := m.Wanted(acquire(out, spd.Endpoints{Src: hoa, Dst: cn}))
		want(t, "error", err, nil)
		return d
	}
	const netA, netB = "2001:db8:a::-2001:db8:a:ffff:ffff:ffff:ffff:ffff any", "2001:db8:b::-2001:db8:b:ffff:ffff:ffff:ffff:ffff any"
	want(t, "TSi", texts(demand().Traffic.Local), []string{"2001:db8:1::100 any"})
	want(t, "TSr", texts(demand().Traffic.Remote), []string{netA, netB})
	want(t, "reqids", []uint32{demand().ReqidOut, demand().ReqidIn}, []uint32{7, 8})

	asked := request(spd.Tunnel, list(ts(0, 0, 65535, hoa, hoa)), list(everyone))
	want(t, "offers of everything", show(offers(t, m, asked))[0],
		"payload [2001:db8:1::100 any] ["+netA+" "+netB+"] 7/8")

	moved := to("2001:db8:b::/48", 9, 10)
	m.Load(mobileNode(a, moved, c, stranger))
	want(t, "TSr when one has another reqid", texts(demand().Traffic.Remote), []string{netA})
	m.Load(mobileNode(a.withoutReqid(), b.withoutReqid()))
	out, _ = a.withoutReqid().onMN(coa1)
	want(t, "TSr without reqids", texts(demand().Traffic.Remote), []string{netA})
}

// The other way round, several addresses of one side share SAs with one network.
func TestSeveralSourcesShareTheirSAs(t *testing.T) {
	a, b := to("2001:db8:a::/48", 7, 8), to("2001:db8:a::/48", 7, 8)
	b.toHA.Src, b.toMN.Dst = spd.Host(otherHoA), spd.Host(otherHoA)
	m := load(mobileNode(a, b)...)
	out, _ := a.onMN(coa1)
	d, err := m.Wanted(acquire(out, spd.Endpoints{Src: hoa, Dst: cn}))
	want(t, "error", err, nil)
	want(t, "TSi", texts(d.Traffic.Local), []string{"2001:db8:1::100 any", otherHoA.String() + " any"})
}

// The selectors of the packet that made the kernel call are known, where that tells (RFC 7296 section 2.9).
func TestRFC7296Section2_9FirstSelectors(t *testing.T) {
	tcp := spd.Selector{Src: spd.Host(hoa), Dst: spd.Host(cn), Proto: spd.ProtoTCP, SrcPort: spd.ExactPort(40000), DstPort: spd.ExactPort(80)}
	echo := spd.Selector{Src: spd.Host(hoa), Dst: spd.Host(cn), Proto: spd.ProtoICMPv6, SrcPort: spd.ExactPort(128), DstPort: spd.ExactPort(0)}
	misread := spd.MH(spd.Host(hoa), spd.Host(ha), 59)
	for _, test := range []struct {
		name          string
		pair          pair
		flow          spd.Selector
		local, remote []string
	}{
		{"TCP in a tunnel", payload(hoa), tcp, []string{"2001:db8:1::100 tcp 40000"}, []string{"2001:db8:9::9 tcp 80"}},
		{"echo request in a tunnel", payload(hoa), echo, []string{"2001:db8:1::100 icmpv6 0x8000"}, []string{"2001:db8:9::9 icmpv6"}},
		{"Binding Update", binding(hoa), spd.MH(spd.Host(hoa), spd.Host(ha), 5), []string{"2001:db8:1::100 mh 0x0500"},
			[]string{"2001:db8:1::1 mh 0x0600"}},
		{"a type that the kernel misread", binding(hoa), misread, nil, nil},
		{"not known", payload(hoa), spd.Selector{}, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, in := test.pair.onMN(coa1)
			a := acquire(out, spd.Endpoints{Src: hoa, Dst: ha})
			a.Flow = test.flow
			d, err := load(out, in).Wanted(a)
			want(t, "error", err, nil)
			want(t, "local", texts(d.First.Local), test.local)
			want(t, "remote", texts(d.First.Remote), test.remote)
		})
	}
}
