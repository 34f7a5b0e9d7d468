package image

import (
	"net/netip"
	"reflect"
	"testing"

	"mipsecd/spd"
)

var (
	hoa      = netip.MustParseAddr("2001:db8:1::100")
	otherHoA = netip.MustParseAddr("2001:db8:1::200")
	ha       = netip.MustParseAddr("2001:db8:1::1")
	coa1     = netip.MustParseAddr("2001:db8:2::100")
	coa2     = netip.MustParseAddr("2001:db8:3::100")
	cn       = netip.MustParseAddr("2001:db8:9::9")
	anyone   = netip.MustParsePrefix("::/0")
	homeLink = netip.MustParsePrefix("2001:db8:1::/64")
)

// pair is the policies of a mobility daemon for one kind of traffic: to the home agent and to the mobile node.
type pair struct {
	toHA, toMN           spd.Selector
	mode                 spd.Mode
	level                spd.Level
	reqidToHA, reqidToMN uint32
	priority             uint32
}

// The policies of UMIP.
func binding(hoa netip.Addr) pair {
	return pair{
		toHA: spd.MH(spd.Host(hoa), spd.Host(ha), 5), toMN: spd.MH(spd.Host(ha), spd.Host(hoa), 6),
		mode: spd.Transport, level: spd.Unique, reqidToHA: 1, reqidToMN: 2, priority: 2,
	}
}

func prefixDiscovery(hoa netip.Addr) pair {
	return pair{
		toHA: spd.Selector{Src: spd.Host(hoa), Dst: spd.Host(ha), Proto: spd.ProtoICMPv6, SrcPort: spd.ExactPort(146)},
		toMN: spd.Selector{Src: spd.Host(ha), Dst: spd.Host(hoa), Proto: spd.ProtoICMPv6, SrcPort: spd.ExactPort(147)},
		mode: spd.Transport, level: spd.Unique, reqidToHA: 3, reqidToMN: 4, priority: 5,
	}
}

func homeTest(hoa netip.Addr) pair {
	return pair{
		toHA: spd.MH(spd.Host(hoa), anyone, 1), toMN: spd.MH(anyone, spd.Host(hoa), 3),
		mode: spd.Tunnel, level: spd.Unique, reqidToHA: 5, reqidToMN: 6, priority: 10,
	}
}

func payload(hoa netip.Addr) pair {
	return pair{
		toHA: spd.Selector{Src: spd.Host(hoa), Dst: anyone}, toMN: spd.Selector{Src: anyone, Dst: spd.Host(hoa)},
		mode: spd.Tunnel, level: spd.Unique, reqidToHA: 7, reqidToMN: 8, priority: 11,
	}
}

func anyMH(hoa netip.Addr) pair {
	return pair{
		toHA: spd.Selector{Src: spd.Host(hoa), Dst: spd.Host(ha), Proto: spd.ProtoMH},
		toMN: spd.Selector{Src: spd.Host(ha), Dst: spd.Host(hoa), Proto: spd.ProtoMH},
		mode: spd.Transport, level: spd.Unique, reqidToHA: 9, reqidToMN: 10, priority: 3,
	}
}

// withoutReqid is the pair as SHISA's documentation has it.
func (p pair) withoutReqid() pair {
	p.level, p.reqidToHA, p.reqidToMN = spd.Require, 0, 0
	return p
}

func (p pair) policy(s spd.Selector, dir spd.Dir, reqid uint32, outer spd.Endpoints) spd.Policy {
	t := spd.Template{Proto: spd.ESP, Mode: p.mode, Level: p.level, Reqid: reqid}
	if p.mode == spd.Tunnel {
		t.Endpoints = outer
	}
	return spd.Policy{
		PolicyKey: spd.PolicyKey{Selector: s, Dir: dir}, Priority: p.priority, Action: spd.Protect, Templates: []spd.Template{t},
	}
}

func (p pair) onMN(careOf netip.Addr) (out, in spd.Policy) {
	up := spd.Endpoints{Src: careOf, Dst: ha}
	return p.policy(p.toHA, spd.Out, p.reqidToHA, up), p.policy(p.toMN, spd.In, p.reqidToMN, up.Reverse())
}

func (p pair) onHA(careOf netip.Addr) (out, in, fwd spd.Policy) {
	up := spd.Endpoints{Src: careOf, Dst: ha}
	return p.policy(p.toMN, spd.Out, p.reqidToMN, up.Reverse()), p.policy(p.toHA, spd.In, p.reqidToHA, up),
		p.policy(p.toHA, spd.Fwd, p.reqidToHA, up)
}

func mobileNode(pairs ...pair) (list []spd.Policy) {
	for _, p := range pairs {
		out, in := p.onMN(coa1)
		list = append(list, out, in)
	}
	return list
}

func homeAgent(pairs ...pair) (list []spd.Policy) {
	for _, p := range pairs {
		out, in, fwd := p.onHA(coa1)
		list = append(list, out, in, fwd)
	}
	return list
}

func load(policies ...spd.Policy) *Image {
	m := New()
	m.Load(policies)
	return m
}

// acquire is the kernel's call for an SA of a policy by a packet with these addresses.
func acquire(p spd.Policy, packet spd.Endpoints) spd.Acquire {
	a := spd.Acquire{Seq: 77, Selector: p.Selector, Template: p.Templates[0], Endpoints: packet}
	if a.Template.Mode == spd.Tunnel {
		a.Endpoints = a.Template.Endpoints
	}
	return a
}

func texts(list []spd.TrafficSelector) (out []string) {
	for _, ts := range list {
		out = append(out, ts.String())
	}
	return out
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}
