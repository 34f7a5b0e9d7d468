//go:build linux

package roaming

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
	"mipsecd/mobility"
	"mipsecd/spd"
)

// TestRestart has everything restart that can, while the mobile node is away from home: the agents, the mobility daemons,
// the hosts. Where the mobility daemon has the policies both agents give tokens, by which a crash is known at once (RFC
// 6290); otherwise the mobile node finds it out because its home agent does not answer.
func TestRestart(t *testing.T) {
	for _, kernel := range []string{"xfrm", "pfkey"} {
		t.Run(kernel, func(t *testing.T) {
			t.Parallel()
			uml.Run(t, func(t *testing.T) {
				for _, j := range []job{
					{kernel: kernel, policies: "external", kBit: true, kmAddress: true, asks: lab.MN, tokens: true},
					{kernel: kernel, policies: "mipsecd", kBit: true, asks: lab.MN, brisk: true},
				} {
					t.Run("policies "+j.policies, j.restarts)
				}
			}, mipsecd)
		})
	}
}

func (j job) restarts(t *testing.T) {
	s := newScenario(t, j.configure(t))
	s.agents = map[lab.Node]*process{
		lab.HA: startHomeAgent(t, j, owner, thief), lab.MN: startMobileNode(t, j, lab.MN, owner, lab.HoA),
	}
	s.ready(t, lab.MN, lab.HA)
	s.startPing(t, lab.CN)
	s.move(t, lab.Foreign1)
	r := &restarts{scenario: s, job: j}
	r.renewed(t)
	r.ike = s.ikeSA(t, s.at.Address)
	for _, c := range []struct {
		name string
		f    func(*testing.T)
	}{
		{"the mobile node's agent", r.agentOfMN},
		{"the home agent's agent", r.agentOfHA},
		{"both agents", r.bothAgents},
		{"a movement after that", r.moveOn},
		{"SAs flushed on the mobile node", func(t *testing.T) { r.flushed(t, lab.MN) }},
		{"SAs flushed on the home agent", func(t *testing.T) { r.flushed(t, lab.HA) }},
		{"the mobile node's mobility daemon", r.daemonOfMN},
		{"the mobile node", r.mobileNode},
		{"the home agent", r.homeAgent},
		{"the mobile node's agent in good order", r.orderly},
	} {
		if !t.Run(c.name, c.f) {
			t.FailNow()
		}
	}
	s.protected(t)
	s.unbroken(t)
}

// restarts is a scenario in which one restart follows the other. The keys are those that there are.
type restarts struct {
	*scenario
	job  job
	ike  string
	keys keys
}

// renewed waits until there are other keys than before, and no SAs beside those. Both sides may have asked for the same
// at once: then there are two for a while.
func (r *restarts) renewed(t *testing.T) {
	t.Helper()
	before := r.keys
	for range 3 { // in which traffic flows
		eventually(t, func() (err error) {
			if r.keys, err = r.current(t); err != nil {
				return err
			}
			if r.keys.binding == before.binding || r.keys.payload == before.payload {
				return fmt.Errorf("the SAs are %v, were %v", r.keys, before)
			}
			return errors.Join(
				r.described(t, binding, lab.HoA, r.keys.binding), r.described(t, payload, r.at.Address, r.keys.payload))
		})
		r.answered(t)
	}
}

// current are the SAs there are. It is an error if any host has others.
func (r *restarts) current(t *testing.T) (now keys, err error) {
	t.Helper()
	var others error
	if now.binding, err = r.pair(t, binding, lab.HoA); err == nil {
		now.payload, err = r.pair(t, payload, r.at.Address)
	}
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		for _, sa := range r.sas(t, n) {
			spis := []uint32{now.binding.toHA, now.binding.toMN, now.payload.toHA, now.payload.toMN}
			about := sa.Endpoints.Src == lab.HoA || sa.Endpoints.Dst == lab.HoA || sa.Mode == spd.Tunnel
			if about && !slices.Contains(spis, sa.SPI) {
				others = errors.Join(others, fmt.Errorf("%s has beside the SAs in use %s", n, sa))
			}
		}
	}
	return now, errors.Join(err, others)
}

// unchanged checks that the SAs are as before while traffic flows.
func (r *restarts) unchanged(t *testing.T) {
	t.Helper()
	r.answered(t)
	r.kept(t, binding, lab.HoA, r.keys.binding)
	r.kept(t, payload, r.at.Address, r.keys.payload)
	r.answered(t)
}

// disturb has something happen that may lose packets until there are new keys.
func (r *restarts) disturb(t *testing.T, happens func()) {
	t.Helper()
	before := r.ping.Sent()
	happens()
	r.renewed(t)
	r.gaps = append(r.gaps, gap{before, r.answered(t)})
}

// anew has something happen after which there is a new IKE_SA, too.
func (r *restarts) anew(t *testing.T, happens func()) {
	t.Helper()
	r.disturb(t, happens)
	now := r.ikeSA(t, r.at.Address)
	if now == r.ike {
		t.Errorf("the IKE_SA is %s as before", now)
	}
	r.ike = now
}

// onTheSame has something happen after which the IKE_SA is the same.
func (r *restarts) onTheSame(t *testing.T, happens func()) {
	t.Helper()
	r.disturb(t, happens)
	if now := r.ikeSA(t, r.at.Address); now != r.ike {
		t.Errorf("the IKE_SA was %s, is %s", r.ike, now)
	}
}

// The mobile node's agent finds its SAs, and keys them anew at once.
func (r *restarts) agentOfMN(t *testing.T) {
	r.agents[lab.MN].kill()
	r.unchanged(t)
	before := r.policies(t, lab.MN)
	r.anew(t, func() { r.agents[lab.MN].run(t) })
	r.samePolicies(t, lab.MN, before)
}

// The home agent's agent leaves its SAs in use until the mobile node notices.
func (r *restarts) agentOfHA(t *testing.T) {
	before := r.policies(t, lab.HA)
	r.agents[lab.HA].kill()
	r.unchanged(t)
	r.anew(t, func() {
		r.agents[lab.HA].run(t)
		r.noticed(t)
		r.register(t)
	})
	r.samePolicies(t, lab.HA, before)
}

func (r *restarts) bothAgents(t *testing.T) {
	r.agents[lab.HA].kill()
	r.agents[lab.MN].kill()
	r.unchanged(t)
	r.anew(t, func() {
		r.agents[lab.HA].run(t)
		r.agents[lab.MN].run(t)
	})
}

// moveOn shows that the agents have found out where the mobile node is: what there is moves along.
func (r *restarts) moveOn(t *testing.T) {
	from := r.at
	r.move(t, lab.Foreign2)
	r.unchanged(t)
	if now := r.ikeSA(t, r.at.Address); now != r.ike {
		t.Errorf("the IKE_SA was %s, is %s", r.ike, now)
	}
	lab.Detach(t, from)
}

// orderly stops the mobile node's agent: it leaves no SAs behind, on either host, and the policies as they are. Then both
// hosts may begin an IKE_SA.
func (r *restarts) orderly(t *testing.T) {
	before := r.policies(t, lab.MN)
	r.disturb(t, func() {
		r.agents[lab.MN].stop(t)
		if sas := r.sas(t, lab.MN); len(sas) > 0 {
			t.Errorf("the mobile node still has the SAs %v", sas)
		}
		eventually(t, func() error { return errors.Join(r.gone(t, r.keys.binding), r.gone(t, r.keys.payload)) })
		r.samePolicies(t, lab.MN, before)
		r.agents[lab.MN].run(t)
		r.register(t)
	})
	r.samePolicies(t, lab.MN, before)
}

// flushed empties a host of its SAs: both sides make new ones, on the same IKE_SA.
func (r *restarts) flushed(t *testing.T, n lab.Node) {
	r.onTheSame(t, func() {
		must(t, n.IP("xfrm state flush proto esp"))
		eventually(t, func() error { return r.gone(t, r.keys.binding) })
		r.register(t)
	})
}

// gone is an error as long as any host has SAs of a pair.
func (r *restarts) gone(t *testing.T, p pair) error {
	t.Helper()
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		for _, sa := range r.sas(t, n) {
			if sa.SPI == p.toHA || sa.SPI == p.toMN {
				return fmt.Errorf("%s has %s still", n, sa)
			}
		}
	}
	return nil
}

// daemonOfMN has the mobile node's mobility daemon die, somebody empty the kernel, and the daemon come back. The IKE_SA is
// as good as before.
func (r *restarts) daemonOfMN(t *testing.T) {
	r.onTheSame(t, func() {
		r.mn.Close()
		r.empty(t, lab.MN)
		eventually(t, func() error { return r.gone(t, r.keys.binding) })
		if r.job.policies == "mipsecd" {
			r.ready(t, lab.MN) // mipsecd sets them again
		}
		r.startDaemon(t, lab.MN)
		r.register(t)
	})
}

// mobileNode reboots: agent, daemon and kernel have forgotten everything. The home agent forgets what it had with this
// mobile node, and nothing else (RFC 7296 section 2.4).
func (r *restarts) mobileNode(t *testing.T) {
	var other *neighbor
	if r.job.policies == "mipsecd" { // else nobody has policies for it
		other = r.addNeighbor(t)
	}
	r.anew(t, func() {
		r.mn.Close()
		r.agents[lab.MN].kill()
		r.empty(t, lab.MN)
		r.startDaemon(t, lab.MN)
		r.agents[lab.MN].run(t)
		r.ready(t, lab.MN)
		r.register(t)
	})
	if other != nil {
		other.untouched(t)
		other.agent.stop(t)
	}
}

// homeAgent reboots. The mobile node notices, and registers anew as it does before its binding ends.
func (r *restarts) homeAgent(t *testing.T) {
	r.anew(t, func() {
		r.ha.Close()
		r.agents[lab.HA].kill()
		r.empty(t, lab.HA)
		must(t, lab.HA.IP(fmt.Sprintf("neigh del proxy %s dev %s", lab.HoA, lab.Home.Name)))
		r.startDaemon(t, lab.HA)
		r.agents[lab.HA].run(t)
		r.ready(t, lab.HA)
		r.noticed(t)
		r.register(t)
	})
}

// noticed waits until the mobile node has found out that its home agent does not know the IKE_SA any more.
func (r *restarts) noticed(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		for _, sa := range r.agents[lab.MN].status(t).IKESAs {
			if sa.SPIi+" "+sa.SPIr == r.ike {
				return fmt.Errorf("the mobile node has the IKE_SA %s still", r.ike)
			}
		}
		return nil
	})
}

// empty takes all that IPsec and Mobile IPv6 have out of a host's kernel.
func (r *restarts) empty(t *testing.T, n lab.Node) {
	t.Helper()
	must(t, n.IP("xfrm state flush\nxfrm policy flush\nxfrm policy flush ptype sub"))
}

// register has the mobile node's daemon tell the home agent where it is.
func (r *restarts) register(t *testing.T) {
	t.Helper()
	_, err := r.mn.Move(r.ctx, r.at.Address)
	must(t, errors.Join(err, r.ha.Err()))
}

// policies are what a host's policies protect, and how.
func (r *restarts) policies(t *testing.T, n lab.Node) (list []string) {
	t.Helper()
	all, err := r.kernels[n].Policies()
	must(t, err)
	for _, p := range all {
		list = append(list, p.String())
	}
	slices.Sort(list)
	return list
}

func (r *restarts) samePolicies(t *testing.T, n lab.Node, before []string) {
	t.Helper()
	if now := r.policies(t, n); !slices.Equal(now, before) {
		t.Errorf("%s had the policies %q, has %q", n, before, now)
	}
}

// neighbor is another mobile node of the same home agent, on the correspondent's host.
type neighbor struct {
	r     *restarts
	agent *process
	sas   []spd.SA
	ike   string
}

func (r *restarts) addNeighbor(t *testing.T) *neighbor {
	t.Helper()
	to := thief.home
	must(t, lab.CN.IP(fmt.Sprintf("addr add %s/128 dev lo nodad", to)))
	must(t, lab.Router.IP(fmt.Sprintf("route add %s/128 via %s", to, lab.Correspondent)))
	must(t, lab.HA.IP(fmt.Sprintf("route add %s/128 via 2001:db8:f::1", to)))
	b := &neighbor{r: r, agent: startMobileNode(t, job{kernel: r.job.kernel, policies: "mipsecd"}, lab.CN, thief, to)}
	conn := listenMH(t, lab.CN, to)
	eventually(t, func() error {
		sendMH(conn, mobility.BindingUpdate{HomeReg: true, Ack: true}, lab.HomeAgent) // refused as long as there is no SA
		if b.sas = b.at(t); len(b.sas) != 2 {
			return fmt.Errorf("the home agent has with the other mobile node the SAs %v", b.sas)
		}
		return nil
	})
	b.ike = b.ikeSA(t)
	return b
}

// at are the SAs that the home agent has with it.
func (b *neighbor) at(t *testing.T) []spd.SA {
	t.Helper()
	return slices.DeleteFunc(b.r.sas(t, lab.HA), func(sa spd.SA) bool {
		return !slices.Contains([]netip.Addr{sa.Endpoints.Src, sa.Endpoints.Dst}, thief.home)
	})
}

func (b *neighbor) ikeSA(t *testing.T) string {
	t.Helper()
	for _, sa := range b.r.agents[lab.HA].status(t).IKESAs {
		if sa.Peer == thief.identity {
			return sa.SPIi + " " + sa.SPIr
		}
	}
	return ""
}

// untouched checks that it has what it had.
func (b *neighbor) untouched(t *testing.T) {
	t.Helper()
	if now := b.at(t); fmt.Sprint(now) != fmt.Sprint(b.sas) {
		t.Errorf("the other mobile node's SAs were %v, are %v", b.sas, now)
	}
	if now := b.ikeSA(t); now != b.ike || now == "" {
		t.Errorf("the other mobile node's IKE_SA was %q, is %q", b.ike, now)
	}
}
