//go:build linux

package roaming

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/integration/lab"
	"mipsecd/mobility"
	"mipsecd/spd"
)

// traffic is one kind that is protected between the mobile node and the home agent.
type traffic struct {
	protects   string // what mipsecd calls it
	toHA, toMN spd.Selector
	mode       spd.Mode
	tsi, tsr   string // of its Child SA
}

const everyone = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

var (
	hoa, homeAgent = spd.Host(lab.HoA), spd.Host(lab.HomeAgent)
	anywhere       = netip.PrefixFrom(netip.IPv6Unspecified(), 0)

	binding = traffic{
		protects: "binding", mode: spd.Transport,
		toHA: spd.MH(hoa, homeAgent, uint8(mobility.BU)), tsi: lab.HoA.String() + " mh 0x0500",
		toMN: spd.MH(homeAgent, hoa, uint8(mobility.BA)), tsr: lab.HomeAgent.String() + " mh 0x0600",
	}
	homeTest = traffic{
		protects: "home-test", mode: spd.Tunnel,
		toHA: spd.MH(hoa, anywhere, uint8(mobility.HoTI)), tsi: lab.HoA.String() + " mh 0x0100",
		toMN: spd.MH(anywhere, hoa, uint8(mobility.HoT)), tsr: everyone + " mh 0x0300",
	}
	payload = traffic{
		protects: "payload", mode: spd.Tunnel,
		toHA: spd.Selector{Src: hoa, Dst: anywhere}, tsi: lab.HoA.String() + " any",
		toMN: spd.Selector{Src: anywhere, Dst: hoa}, tsr: everyone + " any",
	}
)

// pair is the SPIs of two SAs, one in each direction.
type pair struct{ toHA, toMN uint32 }

func (p pair) String() string { return fmt.Sprintf("%08x up, %08x down", p.toHA, p.toMN) }

// reqids are those that a host's policies have for some traffic. It is an error unless each has one of its own.
func (s *scenario) reqids(t *testing.T, n lab.Node, k traffic) (toHA, toMN uint32, err error) {
	t.Helper()
	policies, err := s.kernels[n].Policies()
	must(t, err)
	up, down := spd.Out, spd.In
	if n == lab.HA {
		up, down = down, up
	}
	for _, p := range policies {
		switch {
		case p.Action != spd.Protect:
		case p.PolicyKey == spd.PolicyKey{Selector: k.toHA, Dir: up}:
			toHA = p.Templates[0].Reqid
		case p.PolicyKey == spd.PolicyKey{Selector: k.toMN, Dir: down}:
			toMN = p.Templates[0].Reqid
		}
	}
	if toHA == 0 || toMN == 0 || toHA == toMN {
		err = fmt.Errorf("%s: the policies for %s have the reqids %d and %d, want one each", n, k.protects, toHA, toMN)
	}
	return toHA, toMN, err
}

// ready waits until hosts have the policies for the binding.
func (s *scenario) ready(t *testing.T, hosts ...lab.Node) {
	t.Helper()
	for _, n := range hosts {
		eventually(t, func() error {
			_, _, err := s.reqids(t, n, binding)
			return err
		})
	}
}

// sas lists a host's SAs.
func (s *scenario) sas(t *testing.T, n lab.Node) []spd.SA {
	t.Helper()
	sas, err := s.kernels[n].SAs()
	must(t, err)
	return sas
}

// pair is what protects some traffic: on both hosts the SAs between an address and the home agent with the reqids of the
// policies. It is an error when there is another one with these reqids, or one is missing.
func (s *scenario) pair(t *testing.T, k traffic, with netip.Addr) (pair, error) {
	t.Helper()
	up := spd.Endpoints{Src: with, Dst: lab.HomeAgent}
	var spis [2]pair
	for i, n := range []lab.Node{lab.MN, lab.HA} {
		toHA, toMN, err := s.reqids(t, n, k)
		if err != nil {
			return pair{}, err
		}
		sas := slices.DeleteFunc(s.sas(t, n), func(sa spd.SA) bool { return sa.Reqid != toHA && sa.Reqid != toMN })
		for _, sa := range sas {
			switch {
			case sa.Mode != k.mode || sa.Proto != spd.ESP:
			case sa.Reqid == toHA && sa.Endpoints == up:
				spis[i].toHA = sa.SPI
			case sa.Reqid == toMN && sa.Endpoints == up.Reverse():
				spis[i].toMN = sa.SPI
			}
		}
		if len(sas) != 2 || spis[i].toHA == 0 || spis[i].toMN == 0 {
			return pair{}, fmt.Errorf("%s has for %s the SAs %v; want esp %s %s with reqid %d, and back with %d",
				n, k.protects, sas, k.mode, up, toHA, toMN)
		}
	}
	if spis[0] != spis[1] {
		return pair{}, fmt.Errorf("for %s the mobile node has %s, the home agent %s", k.protects, spis[0], spis[1])
	}
	return spis[0], nil
}

// keyed waits until there is a pair other than old, and both mipsecds say the same of it. While a pair takes over from
// another there are two.
func (s *scenario) keyed(t *testing.T, k traffic, with netip.Addr, old pair) (now pair) {
	t.Helper()
	eventually(t, func() (err error) {
		if now, err = s.pair(t, k, with); err != nil {
			return err
		}
		if now.toHA == old.toHA || now.toMN == old.toMN {
			return fmt.Errorf("the SAs for %s are %s, were %s", k.protects, now, old)
		}
		return s.described(t, k, with, now)
	})
	return now
}

// kept waits until there is one pair at an address, and checks that it is the same as before.
func (s *scenario) kept(t *testing.T, k traffic, with netip.Addr, before pair) {
	t.Helper()
	var now pair
	eventually(t, func() (err error) {
		now, err = s.pair(t, k, with)
		return err
	})
	if now != before {
		t.Errorf("the SAs for %s were %s, are %s", k.protects, before, now)
	}
}

// described is an error unless both sides' status has just this Child SA for some traffic.
func (s *scenario) described(t *testing.T, k traffic, with netip.Addr, spis pair) error {
	t.Helper()
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		toHA, toMN, err := s.reqids(t, n, k)
		if err != nil {
			return err
		}
		want := agent.ChildSA{
			Protects: k.protects, Mode: k.mode.String(), Local: with, Remote: lab.HomeAgent,
			LocalTS: []string{k.tsi}, RemoteTS: []string{k.tsr}, ReqidIn: toMN, ReqidOut: toHA,
			SPIIn: fmt.Sprintf("%08x", spis.toMN), SPIOut: fmt.Sprintf("%08x", spis.toHA),
			Encap: "none",
		}
		if n == lab.HA {
			want.Local, want.Remote = want.Remote, want.Local
			want.LocalTS, want.RemoteTS = want.RemoteTS, want.LocalTS
			want.ReqidIn, want.ReqidOut = want.ReqidOut, want.ReqidIn
			want.SPIIn, want.SPIOut = want.SPIOut, want.SPIIn
		}
		var found []agent.ChildSA
		for _, sa := range s.agents[n].status(t).IKESAs {
			for _, c := range sa.Children {
				if c.Protects == k.protects && sa.Peer != thief.identity {
					c.Suite = ""
					found = append(found, c)
				}
			}
		}
		if fmt.Sprint(found) != fmt.Sprint([]agent.ChildSA{want}) {
			return fmt.Errorf("%s describes for %s %+v, want %+v", n, k.protects, found, want)
		}
	}
	return nil
}

// ikeSA waits until both sides have one IKE_SA, the same, between an address of the mobile node and the home agent. It
// returns its SPIs.
func (s *scenario) ikeSA(t *testing.T, at netip.Addr) (spis string) {
	t.Helper()
	const port = 500
	local, remote := netip.AddrPortFrom(at, port), netip.AddrPortFrom(lab.HomeAgent, port)
	eventually(t, func() error {
		mn, ha := s.agents[lab.MN].status(t).IKESAs, s.agents[lab.HA].status(t).IKESAs
		ha = slices.DeleteFunc(ha, func(sa agent.IKESA) bool { return sa.Peer != owner.identity })
		if len(mn) != 1 || len(ha) != 1 {
			return fmt.Errorf("%d IKE_SAs on the mobile node and %d on the home agent, want one", len(mn), len(ha))
		}
		m, h := mn[0], ha[0]
		if m.SPIi != h.SPIi || m.SPIr != h.SPIr || m.State != "established" || h.State != "established" {
			return fmt.Errorf("the mobile node has the IKE_SA %s %s, %s, the home agent %s %s, %s",
				m.SPIi, m.SPIr, m.State, h.SPIi, h.SPIr, h.State)
		}
		if m.Local != local || m.Remote != remote || h.Local != remote || h.Remote != local {
			return fmt.Errorf("the mobile node has its IKE_SA between %s and %s, the home agent between %s and %s; want %s and %s",
				m.Local, m.Remote, h.Local, h.Remote, local, remote)
		}
		spis = m.SPIi + " " + m.SPIr
		return nil
	})
	return spis
}

// noTunnels is an error as long as a host has policies that protect by a tunnel or, with bypassed, has none in their
// place that lets payload pass in clear.
func (s *scenario) noTunnels(t *testing.T, n lab.Node, bypassed bool) error {
	t.Helper()
	policies, err := s.kernels[n].Policies()
	must(t, err)
	passes := func(p spd.Policy) bool { return p.Action == spd.Bypass && p.Selector == payload.toHA }
	if bypassed && !slices.ContainsFunc(policies, passes) {
		return fmt.Errorf("%s has at home no policy that bypasses %s", n, payload.toHA)
	}
	for _, p := range policies {
		if slices.ContainsFunc(p.Templates, func(t spd.Template) bool { return t.Mode == spd.Tunnel }) {
			return fmt.Errorf("%s has at home the tunnel policy %s (RFC 4877 section 4.2)", n, p)
		}
	}
	return nil
}

// outbound names an ESP SA.
func outbound(to netip.Addr, spi uint32) spd.SAID { return spd.SAID{Dst: to, Proto: spd.ESP, SPI: spi} }
