//go:build linux

package roaming

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/integration/mobilityd"
	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// TestManualKeying is the main job with keys that are configured (RFC 6275 sections 5.1 and 15.3, RFC 4877 section 6): no
// message of a key exchange is sent.
func TestManualKeying(t *testing.T) {
	for _, kernel := range []string{"xfrm", "pfkey"} {
		t.Run(kernel, func(t *testing.T) {
			t.Parallel()
			uml.Run(t, func(t *testing.T) {
				for _, policies := range []string{"external", "mipsecd"} {
					t.Run("policies "+policies, job{kernel: kernel, policies: policies, kmAddress: true}.byHand)
				}
			}, mipsecd)
		})
	}
}

// manualPairs are the SPIs of the kinds of traffic that have manual keys. They are the reqids of the mobility daemon, too.
var manualPairs = []struct {
	traffic
	pair
}{
	{binding, pair{0x1000 + mobilityd.ReqidBU, 0x1000 + mobilityd.ReqidBA}},
	{homeTest, pair{0x1000 + mobilityd.ReqidHoTI, 0x1000 + mobilityd.ReqidHoT}},
	{payload, pair{0x1000 + mobilityd.ReqidPayloadToHA, 0x1000 + mobilityd.ReqidPayloadToMN}},
}

// manualTables are the tables of keys, the same on both hosts.
func (j job) manualTables(peer string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "keying = \"manual\"\n")
	for _, m := range manualPairs {
		fmt.Fprintf(&out, "[%s.manual-keys.%s]\nesp = \"aes256-sha512\"\nspi = [%d, %d]\nkey = [\"0x%0192x\", \"0x%0192x\"]\n",
			peer, m.protects, m.pair.toHA, m.pair.toMN, m.pair.toHA, m.pair.toMN)
		if j.policies == "external" {
			fmt.Fprintf(&out, "reqid = [%d, %d]\n", m.pair.toHA-0x1000, m.pair.toMN-0x1000)
		}
	}
	return out.String()
}

func (j job) startByHand(t *testing.T, n lab.Node) *process {
	t.Helper()
	if n == lab.HA {
		return start(t, n, j.settings(n)+fmt.Sprintf("role = \"home-agent\"\nidentity = %q\naddress = %q\n[[mobile-node]]\n"+
			"identity = %q\nhome-address = %q\n", homeAgentIdentity, lab.HomeAgent, owner.identity, owner.home)+
			j.manualTables("mobile-node"))
	}
	return start(t, n, j.settings(n)+fmt.Sprintf("role = \"mobile-node\"\nidentity = %q\n[home-agent]\n"+
		"identity = %q\naddress = %q\nhome-address = %q\n", owner.identity, homeAgentIdentity, lab.HomeAgent, owner.home)+
		j.manualTables("home-agent"))
}

func (j job) byHand(t *testing.T) {
	s := newScenario(t, j.configure(t))
	atHome := lab.StartCapture(t, lab.Home)
	hosts := []lab.Node{lab.MN, lab.HA}
	s.agents = map[lab.Node]*process{}
	for _, n := range hosts {
		s.agents[n] = j.startByHand(t, n)
		must(t, s.agents[n].told(0, "manual keys", "RFC 6275 section 15.3"))
	}
	s.ready(t, hosts...)
	s.startPing(t, lab.CN)
	r := startRoutability(t)
	for _, to := range []lab.Link{lab.Foreign1, lab.Foreign2, lab.Home, lab.Foreign1} {
		from := s.at
		if ack := s.move(t, to); ack.KeyMobility {
			t.Error("K bit in the Binding Acknowledgement, though keys are manual (RFC 6275 section 6.1.8)")
		}
		s.placed(t, to)
		if to != lab.Home {
			testHomeByHand(t, r)
		}
		if from != lab.Home {
			lab.Detach(t, from)
		}
	}
	s.registered(t, lab.Foreign1, 2)
	s.registered(t, lab.Foreign2, 1)
	s.unbroken(t)

	for _, n := range hosts {
		s.putBack(t, n, "flushed", func() { must(t, n.IP("xfrm state flush proto esp")) })
		s.putBack(t, n, "deleted", func() {
			must(t, s.kernels[n].Remove(outbound(lab.HomeAgent, manualPairs[0].pair.toHA)))
		})
		s.putBack(t, n, "restarted", func() {
			s.agents[n].stop(t)
			if left := s.sas(t, n); len(left) > 0 {
				t.Errorf("%s has after an orderly stop the SAs %v", n, left)
			}
			s.agents[n] = j.startByHand(t, n)
		})
	}
	s.protected(t)
	for _, c := range append([]*lab.Capture{atHome}, s.captures[lab.Foreign1], s.captures[lab.Foreign2]) {
		if n := c.Count(t, lab.IsIKE); n != 0 {
			t.Errorf("%d messages of a key exchange were sent", n)
		}
	}
}

// testHomeByHand has a Home Test Init pass by the tunnel for it, and the Home Test come back.
func testHomeByHand(t *testing.T, r *routability) {
	t.Helper()
	r.forget()
	eventually(t, func() error {
		r.init(t)
		return r.arrived()
	})
}

// placed waits until each host has all SAs, and says so: those of tunnels where the mobile node is, at home as well.
func (s *scenario) placed(t *testing.T, at lab.Link) {
	t.Helper()
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		var want []string
		for _, m := range manualPairs {
			up := spd.Endpoints{Src: lab.HoA, Dst: lab.HomeAgent}
			if m.mode == spd.Tunnel {
				up.Src = at.Address
			}
			want = append(want, fmt.Sprintf("%s %08x %s, window 0", m.mode, m.pair.toHA, up),
				fmt.Sprintf("%s %08x %s, window 0", m.mode, m.pair.toMN, up.Reverse()))
		}
		slices.Sort(want)
		eventually(t, func() error {
			var got, told []string
			for _, sa := range s.sas(t, n) {
				got = append(got, fmt.Sprintf("%s %08x %s, window %d", sa.Mode, sa.SPI, sa.Endpoints, sa.ReplayWindow))
			}
			for _, sa := range s.agents[n].status(t).Manual {
				out := spd.Endpoints{Src: sa.Local, Dst: sa.Remote}
				told = append(told, fmt.Sprintf("%s %s %s, window 0", sa.Mode, sa.SPIOut, out),
					fmt.Sprintf("%s %s %s, window 0", sa.Mode, sa.SPIIn, out.Reverse()))
			}
			slices.Sort(got)
			slices.Sort(told)
			if !slices.Equal(got, want) || !slices.Equal(told, want) {
				return fmt.Errorf("%s has the SAs %q and tells of %q, want %q", n, got, told, want)
			}
			return nil
		})
	}
}

// putBack waits until the SAs that a host has lost are there again, and packets pass.
func (s *scenario) putBack(t *testing.T, n lab.Node, how string, lose func()) {
	t.Helper()
	lose()
	s.placed(t, s.at)
	for range 3 { // the first may have been on its way before
		s.answered(t)
	}
	t.Logf("%s: SAs %s, and there again", n, how)
}
