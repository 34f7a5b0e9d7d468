package demo

import (
	"context"
	"crypto/rand"
	"net/netip"
	"sync"
	"time"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/cmd/mipsecd/sim"
	"mipsecd/configs"
	"mipsecd/ikev2"
	"mipsecd/internal/vnet"
)

// The addresses of the story, from the documentation prefix (RFC 3849), and what the timeline calls them.
var (
	homeAddress   = netip.MustParseAddr("2001:db8:1::100")
	homeAgent     = netip.MustParseAddr("2001:db8:1::1")
	careOf1       = netip.MustParseAddr("2001:db8:f1::100")
	careOf2       = netip.MustParseAddr("2001:db8:f2::100")
	careOfThief   = netip.MustParseAddr("2001:db8:f2::666")
	correspondent = netip.MustParseAddr("2001:db8:c::1")

	names = []struct {
		name, what string
		addr       netip.Addr
	}{
		{"HoA", "the home address of the mobile node (mn)", homeAddress},
		{"HA", "the home agent (ha)", homeAgent},
		{"CoA1", "its care-of address on foreign link 1", careOf1},
		{"CoA2", "its care-of address on foreign link 2", careOf2},
		{"CoA3", "the care-of address of another mobile node (mn2)", careOfThief},
		{"CN", "the correspondent (cn)", correspondent},
	}
)

// The two configurations, as they would stand in files.
const (
	nodeConfig = `
role = "mobile-node"
identity = "mn1@example.org"
policies = "mipsecd"

[home-agent]
identity = "ha.example.org"
address = "2001:db8:1::1"
home-address = "2001:db8:1::100"
secret-file = "mn1.psk"
protect = ["binding", "payload"]
k-bit = true
`
	agentConfig = `
role = "home-agent"
identity = "ha.example.org"
address = "2001:db8:1::1"
policies = "mipsecd"
protect = ["binding", "payload"]
k-bit = true

[[mobile-node]]
identity = "mn1@example.org"
home-address = "2001:db8:1::100"
secret-file = "mn1.psk"

[[mobile-node]]
identity = "mn2@example.org"
home-address = "2001:db8:1::200"
secret-file = "mn2.psk"
`
	// The thief is mn2, and says that mn1's home address is its own.
	thiefConfig = `
role = "mobile-node"
identity = "mn2@example.org"
policies = "mipsecd"

[home-agent]
identity = "ha.example.org"
address = "2001:db8:1::1"
home-address = "2001:db8:1::100"
secret-file = "mn2.psk"
`
)

// world is a mobile node, its home agent and a correspondent on four links.
type world struct {
	timeline                 *timeline
	network                  *vnet.Network
	home, foreign1, foreign2 *vnet.Link
	mn, thief                *sim.MobileDaemon
	ha                       *sim.HomeDaemon
	cn                       *sim.Pinger
	mnAgent, haAgent         *agent.Agent
	trace                    *agent.Trace
	running                  sync.WaitGroup
}

// newWorld builds everything, with the mobile node at home.
func newWorld(t *timeline, trace *agent.Trace) (*world, error) {
	n := vnet.New(1)
	w := &world{
		timeline: t, network: n, trace: trace,
		home:     n.AddLink("home", netip.MustParsePrefix("2001:db8:1::/64")),
		foreign1: n.AddLink("foreign1", netip.MustParsePrefix("2001:db8:f1::/64")),
		foreign2: n.AddLink("foreign2", netip.MustParsePrefix("2001:db8:f2::/64")),
	}
	away := n.AddLink("correspondent", netip.MustParsePrefix("2001:db8:c::/64"))

	host := func(name string, seed uint64, local ...netip.Addr) *sim.Host {
		h := sim.NewHost(n, name, seed)
		h.SetLocal(local...)
		h.Say = func(format string, args ...any) { t.add(name, format, args...) }
		return h
	}
	w.mn = sim.NewMobileDaemon(host("mn", 1, homeAddress, careOf1, careOf2), homeAddress, homeAgent)
	w.ha = sim.NewHomeDaemon(host("ha", 2, homeAgent), homeAgent, w.home)
	w.cn = sim.NewPinger(host("cn", 3, correspondent), correspondent, homeAddress)
	w.thief = sim.NewMobileDaemon(host("mn2", 4, homeAddress, careOfThief), homeAddress, homeAgent)
	for _, at := range []struct {
		node *vnet.Node
		link *vnet.Link
		addr netip.Addr
	}{{w.mn.Node, w.home, homeAddress}, {w.ha.Node, w.home, homeAgent}, {w.cn.Node, away, correspondent},
		{w.thief.Node, w.foreign2, careOfThief}} {
		if err := at.node.Attach(at.link, at.addr); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// start runs an agent on a host until ctx ends.
func (w *world) start(ctx context.Context, h *sim.Host, config string) (*agent.Agent, error) {
	cfg, err := configs.Parse(h.Name+".toml", []byte(config), demoSecret)
	if err != nil {
		return nil, err
	}
	opt, err := agent.FromConfig(cfg, nil)
	if err != nil {
		return nil, err
	}
	opt.Engine.Rand, opt.Engine.Trace = rand.Reader, true
	opt.Backend = h.Kernel.Open()
	opt.Conn = h.Node.ListenIKE()
	print := w.timeline.watch(h.Name)
	opt.Watch = func(now time.Time, what any) {
		print(now, what)
		if m, ok := what.(ikev2.Traced); ok && m.Outbound { // each message once, though both sides see it
			w.trace.Watch(now, m)
		}
	}
	a := agent.New(opt)
	events := h.Kernel.Open()
	w.running.Go(func() { w.timeline.watchKernel(h.Name, events.Events()) })
	w.running.Go(func() { h.Tick(ctx) })
	w.running.Go(func() {
		defer events.Close()
		defer opt.Backend.Close()
		if err := a.Run(ctx); err != nil {
			w.timeline.add(h.Name, "the agent ends: %v", err)
		}
	})
	return a, nil
}

// demoSecret stands for the files with the pre-shared keys.
func demoSecret(path string, _ configs.Content) ([]byte, error) {
	return []byte("a secret of " + path), nil
}

// move takes the mobile node from one link to another.
func (w *world) move(from, to *vnet.Link, addr netip.Addr) error {
	w.mn.Node.Detach(from)
	return w.mn.Node.Attach(to, addr)
}
