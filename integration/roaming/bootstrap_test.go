//go:build linux

package roaming

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/integration/lab"
	"mipsecd/integration/mobilityd"
	"mipsecd/internal/uml"
	"mipsecd/mobility"
	"mipsecd/spd"
)

var (
	homeLink = netip.MustParsePrefix("2001:db8:1::/64")
	// nobody is a home agent that does not answer.
	nobody = netip.MustParseAddr("2001:db8:1::dead")
)

// bootstrap is a way to begin of a mobile node that is told no address (RFC 5026).
type bootstrap struct {
	name      string
	homeAgent string // where it is looked for
	address   string // how the mobile node comes by its home address
	allowed   bool   // the home agent lets it make that itself
	duplicate bool   // another host has the first that it comes by
}

var bootstraps = []bootstrap{
	{name: "home agent by SRV, HoA assigned", homeAgent: "_mip6._ipv6.example.org", address: "assigned", allowed: true},
	{name: "home agent by its name, USE_ASSIGNED_HoA", homeAgent: "ha.example.org", address: "autoconfigured"},
	{name: "home agent by DHAAD, HoA of its own, then another", homeAgent: homeLink.String(), address: "autoconfigured", allowed: true,
		duplicate: true},
}

// TestBootstrap has a mobile node away from home that knows neither its home agent's address nor its own home address find
// both, register, and give the home address up again.
func TestBootstrap(t *testing.T) {
	for _, kernel := range []string{"xfrm", "pfkey"} {
		t.Run(kernel, func(t *testing.T) {
			t.Parallel()
			uml.Run(t, func(t *testing.T) {
				for _, b := range bootstraps {
					t.Run(b.name, func(t *testing.T) { b.run(t, kernel) })
				}
			}, mipsecd)
		})
	}
}

func (b bootstrap) run(t *testing.T, kernel string) {
	lab.Build(t)
	loadAlgorithms(t)
	must(t, lab.MN.IP(fmt.Sprintf("addr del %s/128 dev lo", lab.HoA)))
	lab.Detach(t, lab.Home)
	lab.Attach(t, lab.Foreign1)
	serveNames(t)
	answerDiscovery(t)
	s := &scenario{
		ctx: t.Context(), at: lab.Foreign1,
		captures: map[lab.Link]*lab.Capture{lab.Foreign1: lab.StartCapture(t, lab.Foreign1)},
		kernels:  map[lab.Node]spd.Backend{lab.MN: openBackend(t, "xfrm", lab.MN), lab.HA: openBackend(t, "xfrm", lab.HA)},
	}
	s.agents = map[lab.Node]*process{lab.HA: b.startHomeAgent(t, kernel), lab.MN: b.startMobileNode(t, kernel)}

	home := s.settled(t, netip.Addr{})
	if want := b.allowed && b.address == "autoconfigured"; !homeLink.Contains(home) || (home != lab.HoA) != want {
		t.Errorf("the home address is %s, of its own making: want %t", home, want)
	}
	if b.duplicate {
		former, ike := home, s.agents[lab.MN].status(t).IKESAs[0].SPIi
		s.register(t, home, func(c *mobilityd.Config) { c.Duplicate = true }, mobility.StatusDADFailed)
		home = s.settled(t, former)
		must(t, s.mn.Withdraw())
		must(t, s.ha.Withdraw())
		s.gone(t, former)
		if now := s.agents[lab.MN].status(t).IKESAs; len(now) != 1 || now[0].SPIi != ike {
			t.Errorf("the IKE_SA was %s, now there are %v (RFC 5026 section 5.3.2)", ike, now)
		}
	}
	s.register(t, home, func(*mobilityd.Config) {}, mobility.StatusAccepted)
	s.ping = lab.StartPing(t, lab.CN, home, 100*time.Millisecond)
	s.answered(t)
	capture := s.captures[lab.Foreign1]
	for _, exposed := range capture.Exposed(t, home) {
		t.Errorf("seen in the clear: %s", exposed)
	}
	protected := func(p lab.Captured) bool { return p.HomeAddressOption == home && p.Proto == spd.ESP }
	if capture.Count(t, protected) == 0 {
		t.Error("no Binding Update was seen inside ESP")
	}

	// The home address goes with the IKE_SA.
	s.agents[lab.MN].signal(t, os.Interrupt)
	s.gone(t, home)
	eventually(t, func() error {
		if left := s.agents[lab.HA].status(t).Bindings; len(left) > 0 {
			return fmt.Errorf("the home agent has still the bindings %+v", left)
		}
		return nil
	})
}

// settled waits until both agents have the same home address, which is another one than before, and the SAs for its binding.
func (s *scenario) settled(t *testing.T, former netip.Addr) (home netip.Addr) {
	t.Helper()
	eventually(t, func() error {
		mn, ha := s.agents[lab.MN].status(t), s.agents[lab.HA].status(t)
		if len(mn.Bindings) != 1 || len(ha.Bindings) != 1 {
			return fmt.Errorf("%d bindings on the mobile node, %d on the home agent", len(mn.Bindings), len(ha.Bindings))
		}
		b := mn.Bindings[0]
		if home = b.HomeAddress; home != ha.Bindings[0].HomeAddress || home == former || b.HomeAgent != lab.HomeAgent {
			return fmt.Errorf("the mobile node has %s with %s, the home agent %s", home, b.HomeAgent, ha.Bindings[0].HomeAddress)
		}
		var children []agent.ChildSA
		for _, sa := range mn.IKESAs {
			children = append(children, sa.Children...)
		}
		if len(children) != 1 || children[0].Local != home {
			return fmt.Errorf("the Child SAs are %+v, want one of %s", children, home)
		}
		return nil
	})
	return home
}

// gone waits until nothing of a home address is left: no address, no policy but the mobility daemon's, no SA.
func (s *scenario) gone(t *testing.T, home netip.Addr) {
	t.Helper()
	about := func(p spd.Policy) bool {
		return !p.Sub && (p.Selector.Src == spd.Host(home) || p.Selector.Dst == spd.Host(home))
	}
	eventually(t, func() error {
		for n, kernel := range s.kernels {
			policies, err := kernel.Policies()
			must(t, err)
			if i := slices.IndexFunc(policies, about); i >= 0 {
				return fmt.Errorf("%s has still the policy %s", n, policies[i])
			}
			for _, sa := range s.sas(t, n) {
				if sa.Endpoints.Src == home || sa.Endpoints.Dst == home {
					return fmt.Errorf("%s has still the SA %s", n, sa)
				}
			}
		}
		out, err := lab.MN.Run("ip", "-6", "-o", "addr", "show", "to", home.String())
		if err == nil && out != "" {
			err = fmt.Errorf("the mobile node has still %s", out)
		}
		return err
	})
}

// register starts the mobility daemons and has the mobile node register where it is, with this result.
func (s *scenario) register(t *testing.T, home netip.Addr, change func(*mobilityd.Config), want mobility.BindingStatus) {
	t.Helper()
	config := func(n lab.Node) mobilityd.Config {
		c := mobilityd.Config{HomeAddress: home, HomeAgent: lab.HomeAgent, Lifetime: time.Hour, KeyMobility: true,
			HomeLink: lab.Home.Name, IP: n.IP}
		change(&c)
		return c
	}
	must(t, lab.MN.Do(func() (err error) {
		s.mn, err = mobilityd.StartMobileNode(config(lab.MN))
		return err
	}))
	must(t, lab.HA.Do(func() (err error) {
		s.ha, err = mobilityd.StartHomeAgent(config(lab.HA))
		return err
	}))
	t.Cleanup(func() { s.mn.Close(); s.ha.Close() })
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	if ack, err := s.mn.Move(ctx, lab.Foreign1.Address); ack.Status != want || (err == nil) != want.Accepted() {
		t.Fatalf("registered: %s, %v, want %s; the home agent: %v", ack.Status, err, want, s.ha.Err())
	}
	must(t, s.ha.Err())
}

func (b bootstrap) startHomeAgent(t *testing.T, kernel string) *process {
	t.Helper()
	return start(t, lab.HA, job{kernel: kernel, policies: "mipsecd", kBit: true}.settings(lab.HA)+fmt.Sprintf(`
role = "home-agent"
identity = %q
address = %q
home-prefix = %q
pool = "%[4]s-%[4]s"
autoconfiguration = %[5]t
address-hold = "1s"

[mobile-node]
identity = %[6]q
home-address = "assigned"
secret-file = %[6]q
`, homeAgentIdentity, lab.HomeAgent, homeLink, lab.HoA, b.allowed, owner.identity))
}

func (b bootstrap) startMobileNode(t *testing.T, kernel string) *process {
	t.Helper()
	return start(t, lab.MN, job{kernel: kernel, policies: "mipsecd", kBit: true}.settings(lab.MN)+fmt.Sprintf(`
timing = { retransmit = "100ms", tries = 5 }   # three seconds for who does not answer
role = "mobile-node"
identity = %[1]q

[home-agent]
identity = %q
address = %q
home-address = %q
secret-file = %[1]q
`, owner.identity, homeAgentIdentity, b.homeAgent, b.address))
}

// serveNames runs a name server on the correspondent, which everybody in the guest asks. It knows two home agents of
// example.org, of whom the preferred one does not answer, and ha.example.org, which does.
func serveNames(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	must(t, os.WriteFile(file, fmt.Appendf(nil, "nameserver %s\n", lab.Correspondent), 0o644))
	uml.Sh(t, "mount --bind %s /etc/resolv.conf", file)
	t.Cleanup(func() { uml.Sh(t, "umount /etc/resolv.conf") })
	server := exec.Command("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file", "--user=root", "--no-resolv", "--no-hosts",
		"--log-facility=-", "--bind-interfaces", "--listen-address="+lab.Correspondent.String(),
		"--srv-host=_mip6._ipv6.example.org,nobody.example.org,500,1", "--host-record=nobody.example.org,"+nobody.String(),
		"--srv-host=_mip6._ipv6.example.org,ha.example.org,500,2", "--host-record=ha.example.org,"+lab.HomeAgent.String())
	var out strings.Builder
	server.Stdout, server.Stderr = &out, &out
	must(t, lab.CN.Do(server.Start))
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
		if t.Failed() {
			t.Logf("dnsmasq:\n%s", out.String())
		}
	})
}

// answerDiscovery has the home agent answer on the home link's anycast address, with one before itself that does not answer.
func answerDiscovery(t *testing.T) {
	t.Helper()
	must(t, lab.HA.IP(fmt.Sprintf("addr add %s/128 dev lo nodad", mobility.HomeAgents(homeLink))))
	must(t, lab.HA.Do(func() error {
		d, err := mobilityd.StartDiscovery(homeLink, lab.HomeAgent, nobody, lab.HomeAgent)
		if err == nil {
			t.Cleanup(func() { d.Close() })
		}
		return err
	}))
}
