//go:build linux

package roaming

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
	"mipsecd/migrate"
	"mipsecd/mobility"
	"mipsecd/spd"
)

// TestItems holds on real kernels what TestMainJob does not come by. The numbers are those of docs/mobile-ipv6.md.
func TestItems(t *testing.T) {
	uml.Run(t, func(t *testing.T) {
		uml.Sh(t, "modprobe -a ip6table_filter xt_tcpudp xt_length")
		for _, kernel := range []string{"xfrm", "pfkey"} {
			j := job{kernel: kernel, policies: "external", kBit: true, kmAddress: true}
			t.Run(kernel, func(t *testing.T) {
				t.Run("policies of the mobility daemon", j.roams)
				t.Run("4 MIGRATE that mipsecd has not heard of", j.unheard)
				for _, begins := range []lab.Node{lab.MN, lab.HA} {
					t.Run("policies of an administrator, begun by "+string(begins), j.keysPolicies(begins))
				}
				t.Run("K bit of the mobile node alone", j.keptByOne(lab.MN))
				t.Run("K bit of the home agent alone", j.keptByOne(lab.HA))
				j.policies = "mipsecd"
				t.Run("policies of mipsecd", j.roams)
				if kernel == "xfrm" { // by PF_KEY there is unique alone
					t.Run("1 level use", j.leveled("use"))
					t.Run("1 level require", j.leveled("require"))
				}
				t.Run("2 reqids that somebody else has", j.avoidReqids)
			})
		}
	}, mipsecd)
}

// roams has one mobile node move under difficulties, and return home on the way.
func (j job) roams(t *testing.T) {
	s, k := j.away(t)
	step := func(name string, f func(t *testing.T)) {
		if !t.Run(name, f) {
			t.FailNow()
		}
	}
	step("4 all SAs of a rekeying move", func(t *testing.T) { k.payload = s.rekeyWhileMoving(t, k) })
	step("11 leaving home again", func(t *testing.T) { j.leaveAgain(t, s, k) })
	s.protected(t)
}

// away is a scenario with the mobile node on a foreign link, and its binding and payload protected.
func (j job) away(t *testing.T) (s *scenario, k keys) {
	s = newScenario(t, j.configure(t))
	s.agents = startAgents(t, j)
	s.ready(t, lab.MN, lab.HA)
	s.startPing(t, lab.CN)
	s.move(t, lab.Foreign1)
	k.binding = s.keyed(t, binding, lab.HoA, pair{})
	k.payload = s.keyed(t, payload, lab.Foreign1.Address, pair{})
	return s, k
}

// rekeyWhileMoving moves the mobile node while two pairs of SAs have the same reqids, as the home agent does not hear that
// the old one is deleted. Linux moves one of them by each MIGRATE.
func (s *scenario) rekeyWhileMoving(t *testing.T, k keys) (fresh pair) {
	toHA, toMN, err := s.reqids(t, lab.HA, payload)
	must(t, err)
	ofPayload := func(n lab.Node) []spd.SA {
		return slices.DeleteFunc(s.sas(t, n), func(sa spd.SA) bool { return sa.Reqid != toHA && sa.Reqid != toMN })
	}
	filter := func(change string) { // of what is too short for CREATE_CHILD_SA
		_, err := lab.HA.Run("ip6tables-legacy", change, "INPUT", "-p", "udp", "--dport", "500", "-m", "length", "--length", "0:150",
			"-j", "DROP")
		must(t, err)
	}
	filter("-A")
	lab.SoftExpire(t, lab.MN, outbound(lab.HomeAgent, k.payload.toHA))
	eventually(t, func() error {
		// Who deletes a pair sends by it no more.
		if mn, ha := ofPayload(lab.MN), ofPayload(lab.HA); len(mn) != 3 || len(ha) != 4 {
			return fmt.Errorf("the mobile node has the SAs %v, the home agent %v, want two pairs", mn, ha)
		}
		return nil
	})
	for _, sa := range ofPayload(lab.HA) {
		switch {
		case sa.Reqid == toHA && sa.SPI != k.payload.toHA:
			fresh.toHA = sa.SPI
		case sa.Reqid == toMN && sa.SPI != k.payload.toMN:
			fresh.toMN = sa.SPI
		}
	}

	before := map[lab.Node]int{lab.MN: s.agents[lab.MN].lines(), lab.HA: s.agents[lab.HA].lines()}
	s.move(t, lab.Foreign2)
	for n, p := range s.agents {
		eventually(t, func() error { return p.told(before[n], "SAs moved together") })
		eventually(t, func() error {
			for _, sa := range ofPayload(n) {
				if sa.Endpoints.Src != lab.Foreign2.Address && sa.Endpoints.Dst != lab.Foreign2.Address {
					return fmt.Errorf("left behind on %s: %s", n, sa)
				}
			}
			return nil
		})
	}
	filter("-D")
	s.kept(t, payload, lab.Foreign2.Address, fresh)
	s.kept(t, binding, lab.HoA, k.binding)
	lab.Detach(t, lab.Foreign1)
	return fresh
}

// unheard moves the mobile node while its mipsecd does not run and the kernel has no more room for reports.
func (j job) unheard(t *testing.T) {
	s, k := j.away(t)
	ike := s.ikeSA(t, lab.Foreign1.Address)
	mn := s.agents[lab.MN]
	before := mn.lines()
	mn.signal(t, syscall.SIGSTOP)
	defer mn.signal(t, syscall.SIGCONT) // else it could not be ended
	stranger := spd.Policy{PolicyKey: spd.PolicyKey{Dir: spd.Out, Selector: spd.Selector{
		Src: spd.Host(lab.Foreign1.Address), Dst: spd.Host(netip.MustParseAddr("2001:db8:ffff::1"))}}, Action: spd.Bypass}
	for i := range uint32(reportsToDrown) {
		stranger.Priority = 1000 + i
		must(t, s.kernels[lab.MN].UpdatePolicy(stranger))
	}
	m := s.depart(t, lab.Foreign2)
	s.acknowledged(t, m)
	mn.signal(t, syscall.SIGCONT)
	eventually(t, func() error { return mn.told(before, "the kernel is read anew") })
	if now := s.ikeSA(t, lab.Foreign2.Address); now != ike {
		t.Errorf("the IKE_SA was %s, is %s", ike, now)
	}
	s.kept(t, payload, lab.Foreign2.Address, k.payload)
	eventually(t, func() error { return s.described(t, payload, lab.Foreign2.Address, k.payload) })
	s.arrive(t, m)
}

// reportsToDrown is how many changes of a policy take up all the room that mipsecd has the kernel keep for reports.
const reportsToDrown = 20000

// leveled moves where the policies have another level than the usual. With use a Binding Update for which there is no SA yet
// goes in clear.
func (j job) leveled(level string) func(*testing.T) {
	j.level = level
	return func(t *testing.T) {
		s, k := j.away(t)
		for n, kernel := range s.kernels {
			policies, err := kernel.Policies()
			must(t, err)
			for _, p := range policies {
				if len(p.Templates) == 0 || p.Templates[0].Proto != spd.ESP {
					continue
				}
				esp := p.Templates[0]
				if use := level == "use" && esp.Mode == spd.Transport; (esp.Level == spd.Use) != use {
					t.Errorf("%s has the policy %s, want level %s", n, p, level)
				}
			}
		}
		s.move(t, lab.Foreign2)
		s.kept(t, binding, lab.HoA, k.binding)
		s.kept(t, payload, lab.Foreign2.Address, k.payload)
		if level != "use" {
			s.protected(t)
		}
	}
}

// keptByOne moves while one side alone would take the IKE_SA along: another one is set up, and its SAs serve.
func (j job) keptByOne(n lab.Node) func(*testing.T) {
	j.kOnly, j.brisk = n, true
	return j.setUpAnew
}

func (j job) setUpAnew(t *testing.T) {
	s, k := j.away(t)
	ike := s.ikeSA(t, lab.Foreign1.Address)
	m := s.depart(t, lab.Foreign2)
	if s.acknowledged(t, m).KeyMobility {
		t.Error("K bit in the Binding Acknowledgement")
	}
	s.keyed(t, binding, lab.HoA, k.binding)
	s.keyed(t, payload, lab.Foreign2.Address, k.payload)
	if now := s.ikeSA(t, lab.Foreign2.Address); now == ike {
		t.Errorf("the IKE_SA is %s as before", ike)
	}
	s.arrive(t, m)
	s.protected(t)
}

// leaveAgain comes home and leaves again: nothing is keyed anew.
func (j job) leaveAgain(t *testing.T, s *scenario, k keys) {
	ike := s.ikeSA(t, lab.Foreign2.Address)
	m := s.depart(t, lab.Home)
	s.acknowledged(t, m)
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		eventually(t, func() error { return s.noTunnels(t, n, j.policies == "mipsecd") })
	}
	s.arrive(t, m)
	lab.Detach(t, lab.Foreign2)

	before := s.captures[lab.Foreign1].Count(t, lab.IsProtectedBU)
	s.move(t, lab.Foreign1)
	s.registered(t, lab.Foreign1, before+1)
	s.kept(t, binding, lab.HoA, k.binding)
	s.kept(t, payload, lab.Foreign1.Address, k.payload)
	if now := s.ikeSA(t, lab.Foreign1.Address); now != ike {
		t.Errorf("the IKE_SA was %s, is %s", ike, now)
	}
}

// avoidReqids starts mipsecd where somebody's policy has a reqid that mipsecd's would have, and keys its own.
func (j job) avoidReqids(t *testing.T) {
	lab.Build(t)
	loadAlgorithms(t)
	s := &scenario{ctx: t.Context(), at: lab.Home, kernels: map[lab.Node]spd.Backend{}}
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		s.kernels[n] = openBackend(t, j.kernel, n)
	}
	const first = 1000 // the default of reqid-base
	somebodys := spd.Policy{
		PolicyKey: spd.PolicyKey{Dir: spd.Out, Selector: spd.Selector{Src: hoa, Dst: spd.Host(lab.Correspondent)}}, Action: spd.Protect,
		Templates: []spd.Template{{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Unique, Reqid: first + 1}},
	}
	must(t, s.kernels[lab.MN].AddPolicy(somebodys))
	s.agents = startAgents(t, j)
	s.ready(t, lab.MN, lab.HA)
	for n, taken := range map[lab.Node]bool{lab.MN: true, lab.HA: false} {
		toHA, toMN, err := s.reqids(t, n, binding)
		must(t, err)
		if others := toHA >= first+migrate.ReqidsPerHome && toMN >= first+migrate.ReqidsPerHome; others != taken {
			t.Errorf("%s has the reqids %d and %d", n, toHA, toMN)
		}
	}
	conn := listenMH(t, lab.MN, lab.HoA)
	must(t, sendMH(conn, mobility.BindingUpdate{HomeReg: true, Ack: true}, lab.HomeAgent))
	s.keyed(t, binding, lab.HoA, pair{})
}
