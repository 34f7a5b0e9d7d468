package integration

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/cmd/mipsecd/sim"
	"mipsecd/configs"
	"mipsecd/internal/vnet"
	"mipsecd/spd"
)

const (
	fleetSize  = 12
	fleetMoves = 8 // of each mobile node
	fleetHA    = "2001:db8:1::1"
)

// fleet is a home agent of several shards and its mobile nodes, on links that lose, repeat and reorder packets.
type fleet struct {
	ha    *agent.Agent
	haPC  *sim.Host
	nodes []*fleetNode
}

type fleetNode struct {
	*sim.MobileDaemon
	number int
	name   string
	cn     *sim.Pinger // its correspondent
	agent  *agent.Agent
	at     netip.Addr
}

// TestFleetMovesAtRandom has many mobile nodes move at once, some with the K bit and some without. In the end both sides
// of each agree on IKE_SA and SAs, and nothing is left behind.
func TestFleetMovesAtRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		network := vnet.New(7)
		defer network.Close()
		f := startFleet(t, ctx, network, &running)

		var moving sync.WaitGroup
		for i, n := range f.nodes {
			moving.Go(func() {
				random := mathrand.New(mathrand.NewPCG(uint64(i), 1))
				for move := range fleetMoves {
					time.Sleep(time.Duration(random.IntN(20)) * time.Second)
					link := random.IntN(len(foreignLinks))
					to := careOf(link, i)
					if to == n.at {
						continue
					}
					if err := f.move(ctx, n, to); err != nil {
						t.Errorf("%s, movement %d to %s: %v", n.name, move, to, err)
						return
					}
				}
			})
		}
		moving.Wait()
		time.Sleep(5 * time.Minute) // for retransmissions and the last replaced SAs to pass
		f.agrees(t)
	})
}

var foreignLinks []*vnet.Link

func careOf(link, node int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:f%d::%x", link, 0x100+node))
}

func startFleet(t *testing.T, ctx context.Context, network *vnet.Network, running *sync.WaitGroup) *fleet {
	t.Helper()
	homeLink := network.AddLink("home", netip.MustParsePrefix("2001:db8:1::/64"))
	foreignLinks = nil
	for i := range 3 {
		l := network.AddLink(fmt.Sprint("foreign", i), netip.MustParsePrefix(fmt.Sprintf("2001:db8:f%d::/64", i)))
		l.SetQuality(vnet.Quality{Delay: 10 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.05, Duplicate: 0.05, Reorder: 0.05})
		foreignLinks = append(foreignLinks, l)
	}
	away := network.AddLink("correspondents", netip.MustParsePrefix("2001:db8:c::/64"))
	ha := netip.MustParseAddr(fleetHA)
	f := &fleet{haPC: sim.NewHost(network, "ha", 1)}
	f.haPC.SetLocal(ha)
	if err := f.haPC.Node.Attach(homeLink, ha); err != nil {
		t.Fatal(err)
	}
	sim.NewHomeDaemon(f.haPC, ha, homeLink)

	text := "role = \"home-agent\"\nidentity = \"ha.example.org\"\naddress = \"" + fleetHA + "\"\npolicies = \"mipsecd\"\nshards = 4\n"
	for i := range fleetSize {
		name, home := fmt.Sprintf("mn%d@example.org", i), netip.MustParseAddr(fmt.Sprintf("2001:db8:1::%x", 0x100+i))
		peer := fmt.Sprintf("identity = %q\nhome-address = %q\nsecret-file = \"psk%d\"\nk-bit = %t\nprotect = [\"binding\", \"payload\"]\n", name, home, i, i%2 == 0)
		text += "[[mobile-node]]\n" + peer

		host := sim.NewHost(network, name, uint64(i+10))
		host.SetLocal(home, careOf(0, i), careOf(1, i), careOf(2, i))
		n := &fleetNode{MobileDaemon: sim.NewMobileDaemon(host, home, ha), number: i, name: name}
		cn := netip.MustParseAddr(fmt.Sprintf("2001:db8:c::%x", 0x100+i))
		n.cn = sim.NewPinger(sim.NewHost(network, "cn"+name, 0), cn, home)
		n.cn.SetLocal(cn)
		if err := n.cn.Node.Attach(away, cn); err != nil {
			t.Fatal(err)
		}
		n.agent = startAgent(t, ctx, running, host, fmt.Sprintf("role = \"mobile-node\"\nidentity = %q\npolicies = \"mipsecd\"\n"+
			"[home-agent]\nidentity = \"ha.example.org\"\naddress = %q\nhome-address = %q\nsecret-file = \"psk%d\"\nk-bit = %t\n"+
			"protect = [\"binding\", \"payload\"]\n", name, fleetHA, home, i, i%2 == 0))
		f.nodes = append(f.nodes, n)
	}
	f.ha = startAgent(t, ctx, running, f.haPC, text)
	synctest.Wait()
	return f
}

// startAgent runs an agent on a host until ctx ends; change sets what no configuration decides.
func startAgent(
	t *testing.T, ctx context.Context, running *sync.WaitGroup, h *sim.Host, config string, change ...func(*agent.Options),
) *agent.Agent {
	t.Helper()
	cfg, err := configs.Parse(h.Name, []byte(config), func(path string, _ configs.Content) ([]byte, error) {
		return []byte("a secret of " + path), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	opt, err := agent.FromConfig(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	opt.Engine.Rand = rand.Reader
	opt.Backend, opt.Conn = h.Kernel.Open(), h.Node.ListenIKE()
	for _, f := range change {
		f(&opt)
	}
	a := agent.New(opt)
	running.Go(func() { h.Tick(ctx) })
	running.Go(func() {
		defer opt.Backend.Close()
		if err := a.Run(ctx); err != nil {
			t.Errorf("%s: %v", h.Name, err)
		}
	})
	return a
}

// move takes a node to another link and registers there; its correspondent then reaches it through the tunnel.
func (f *fleet) move(ctx context.Context, n *fleetNode, to netip.Addr) error {
	for _, l := range foreignLinks {
		n.Node.Detach(l)
	}
	for i, l := range foreignLinks {
		if to == careOf(i, n.number) {
			if err := n.Node.Attach(l, to); err != nil {
				return err
			}
		}
	}
	n.at = to
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := n.Register(ctx, to); err != nil {
		return err
	}
	_, err := n.cn.Ping(ctx)
	return err
}

// agrees checks that both sides of each node have one IKE_SA over the same path, the same Child SAs, and in their kernels
// exactly the SAs of these.
func (f *fleet) agrees(t *testing.T) {
	t.Helper()
	status := func(a *agent.Agent) agent.Status {
		s, err := a.Status()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ha := status(f.ha)
	total := 0
	for _, n := range f.nodes {
		mine := status(n.agent).IKESAs
		theirs := slices.DeleteFunc(slices.Clone(ha.IKESAs), func(s agent.IKESA) bool { return s.Peer != n.name })
		if len(mine) != 1 || len(theirs) != 1 {
			t.Errorf("%s: %d IKE_SAs here, %d at the home agent", n.name, len(mine), len(theirs))
			continue
		}
		m, h := mine[0], theirs[0]
		if m.SPIi != h.SPIi || m.SPIr != h.SPIr || m.Local != h.Remote || m.Local.Addr() != n.at {
			t.Errorf("%s at %s: %s - %s here, %s - %s at the home agent", n.name, n.at, m.Local, m.Remote, h.Local, h.Remote)
		}
		if len(m.Children) != len(h.Children) || len(m.Children) < 2 {
			t.Errorf("%s: Child SAs %v here, %v at the home agent", n.name, m.Children, h.Children)
		}
		for _, c := range m.Children {
			if !slices.ContainsFunc(h.Children, func(o agent.ChildSA) bool {
				return o.SPIIn == c.SPIOut && o.SPIOut == c.SPIIn && o.Local == c.Remote && o.Remote == c.Local && o.Protects == c.Protects
			}) {
				t.Errorf("%s: the home agent has no match for %+v", n.name, c)
			}
		}
		f.holds(t, n.name, n.Host, 2*len(m.Children))
		total += 2 * len(h.Children)
	}
	f.holds(t, "ha", f.haPC, total)
}

// holds checks how many SAs a kernel has.
func (f *fleet) holds(t *testing.T, name string, h *sim.Host, want int) {
	t.Helper()
	b := h.Kernel.Open()
	defer b.Close()
	sas, err := b.SAs()
	if err != nil {
		t.Fatal(err)
	}
	if len(sas) != want {
		t.Errorf("%s: %d SAs in the kernel, want %d: %v", name, len(sas), want, sas)
	}
	for _, sa := range sas {
		if sa.Proto != spd.ESP {
			t.Errorf("%s: %s", name, sa)
		}
	}
}
