package agent_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/cmd/mipsecd/sim"
	"mipsecd/configs"
	"mipsecd/internal/vnet"
	"mipsecd/migrate"
	"mipsecd/spd"
)

const warriorConfig = `
role = "mobile-node"
identity = "rw@example.org"
mobility = %q

[home-agent]
identity = "gw.example.org"
address = %q
home-address = "2001:db8:1::100"
secret-file = "psk"
accept-redirects = true
`

const gatewayConfig = `
role = "home-agent"
identity = "gw.example.org"
mobility = %q
address = %q

[[mobile-node]]
identity = "rw@example.org"
home-address = "2001:db8:1::100"
secret-file = "psk"
`

var (
	warriorHome   = netip.MustParseAddr("2001:db8:1::100")
	correspondent = netip.MustParseAddr("2001:db8:c::1")
)

// roads is a road warrior, its gateway and a correspondent, on a virtual network.
type roads struct {
	t                  *testing.T
	network            *vnet.Network
	links              [2]*vnet.Link
	careOf             [2]netip.Addr
	warrior, gateway   *sim.Host
	ping               *sim.Pinger
	addresses          chan migrate.Addresses
	warriorAg, gateAg  *agent.Agent
	handshakes, failed atomic.Int32
}

func newRoads(t *testing.T, mobility, gateway string, careOf ...string) *roads {
	n := vnet.New(1)
	prefix := netip.MustParsePrefix
	r := &roads{t: t, network: n, addresses: make(chan migrate.Addresses)}
	gw := netip.MustParseAddr(gateway)
	outside, inside := n.AddLink("outside", spd.Host(gw)), n.AddLink("inside", prefix("2001:db8:1::/64"))
	away := n.AddLink("correspondent", prefix("2001:db8:c::/64"))
	for i, a := range careOf {
		r.careOf[i] = netip.MustParseAddr(a)
		r.links[i] = n.AddLink(fmt.Sprintf("foreign%d", i+1), spd.Host(r.careOf[i]))
	}
	host := func(name string, seed uint64, local ...netip.Addr) *sim.Host {
		h := sim.NewHost(n, name, seed)
		h.SetLocal(local...)
		return h
	}
	r.warrior = host("rw", 1, warriorHome, r.careOf[0], r.careOf[1])
	r.gateway = host("gw", 2, gw)
	cn := host("cn", 3, correspondent)
	sim.AnswerPings(cn)
	r.ping = sim.NewPinger(r.warrior, warriorHome, correspondent)
	for _, at := range []struct {
		host *sim.Host
		link *vnet.Link
		addr netip.Addr
	}{{r.gateway, outside, gw}, {r.gateway, inside, warriorHome}, {cn, away, correspondent}} {
		if err := at.host.Node.Attach(at.link, at.addr); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		stop()
		running.Wait()
		n.Close()
	})
	start := func(h *sim.Host, config string, addresses <-chan migrate.Addresses) *agent.Agent {
		cfg, err := configs.Parse(h.Name+".toml", []byte(config),
			func(string, configs.Content) ([]byte, error) { return []byte("a secret of the two"), nil })
		if err != nil {
			t.Fatal(err)
		}
		opt, err := agent.FromConfig(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		opt.Engine.Rand, opt.Backend, opt.Conn, opt.Addresses = rand.Reader, h.Kernel.Open(), h.Node.ListenIKE(), addresses
		opt.Watch = r.watch
		a := agent.New(opt)
		running.Go(func() {
			defer opt.Backend.Close()
			if err := a.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		running.Go(func() { h.Tick(ctx) })
		return a
	}
	r.warriorAg = start(r.warrior, fmt.Sprintf(warriorConfig, mobility, gateway), r.addresses)
	r.gateAg = start(r.gateway, fmt.Sprintf(gatewayConfig, mobility, gateway), nil)
	return r
}

// watch counts handshakes and failures.
func (r *roads) watch(_ time.Time, what any) {
	switch x := what.(type) {
	case spd.PeerUp:
		if x.Initiator && x.Replaces == 0 {
			r.handshakes.Add(1)
		}
	case agent.Failure:
		r.failed.Add(1)
		r.t.Log(x)
	}
}

// moveTo takes the road warrior to one link, off the other.
func (r *roads) moveTo(i int) {
	r.t.Helper()
	r.warrior.Node.Detach(r.links[1-i])
	if err := r.warrior.Node.Attach(r.links[i], r.careOf[i]); err != nil {
		r.t.Fatal(err)
	}
	r.addresses <- migrate.Addresses{List: []netip.Addr{warriorHome, r.careOf[i]}}
	if _, err := r.warriorAg.Status(); err != nil { // is told once the role has had the addresses
		r.t.Fatal(err)
	}
}

// reaches holds that the road warrior's ping is answered, by way of one IKE_SA and one tunnel from where it is.
func (r *roads) reaches(from netip.Addr) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	if _, err := r.ping.Ping(ctx); err != nil {
		r.t.Fatal(err)
	}
	var last string
	for ctx.Err() == nil {
		rw, err1 := r.warriorAg.Status()
		gw, err2 := r.gateAg.Status()
		if err1 != nil || err2 != nil {
			r.t.Fatal(err1, err2)
		}
		if last = oneTunnel(rw, gw, from); last == "" {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.t.Fatal(last)
}

// oneTunnel says what is wrong, if anything.
func oneTunnel(rw, gw agent.Status, careOf netip.Addr) string {
	if len(rw.IKESAs) != 1 || len(gw.IKESAs) != 1 || len(rw.IKESAs[0].Children) != 1 || len(gw.IKESAs[0].Children) != 1 {
		return fmt.Sprintf("not one of each: %+v %+v", rw.IKESAs, gw.IKESAs)
	}
	a, b := rw.IKESAs[0], gw.IKESAs[0]
	places := []netip.Addr{a.Local.Addr(), b.Remote.Addr(), a.Children[0].Local, b.Children[0].Remote}
	for _, s := range []agent.Status{rw, gw} {
		if at := s.Bindings[0].CareOf; at != nil {
			places = append(places, *at)
		}
	}
	for _, at := range places {
		if at != careOf || len(places) != 6 {
			return fmt.Sprintf("places %v, want all to be %s", places, careOf)
		}
	}
	return ""
}

// policies lists a kernel's.
func policies(t *testing.T, h *sim.Host) []spd.Policy {
	t.Helper()
	b := h.Kernel.Open()
	defer b.Close()
	list, err := b.Policies()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// As long as nobody knows where the road warrior is, its traffic does not pass.
func (r *roads) shut(h *sim.Host) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		list := policies(r.t, h)
		shut := len(list) > 0
		for _, p := range list {
			shut = shut && p.Action == spd.Discard
		}
		if shut {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("%s: %v", h.Name, list)
		}
	}
}

func TestRoadWarrior(t *testing.T) {
	for _, test := range []struct {
		name, mobility, gateway, careOf1, careOf2 string
		handshakes                                int32
	}{
		{"new IKE_SA", "none", "2001:db8:f::1", "2001:db8:a::1", "2001:db8:b::1", 3},
		{"MOBIKE", "mobike", "2001:db8:f::1", "2001:db8:a::1", "2001:db8:b::1", 1},
		{"MOBIKE, IPv4 outside", "mobike", "192.0.2.1", "198.51.100.1", "203.0.113.1", 1},
		{"new IKE_SA, IPv4 outside", "none", "192.0.2.1", "198.51.100.1", "203.0.113.1", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRoads(t, test.mobility, test.gateway, test.careOf1, test.careOf2)
			r.shut(r.warrior)
			r.shut(r.gateway)
			for _, link := range []int{0, 1, 0} {
				r.moveTo(link)
				r.reaches(r.careOf[link])
			}
			if n := r.handshakes.Load(); n != test.handshakes {
				t.Errorf("%d handshakes, want %d", n, test.handshakes)
			}
			r.warriorAg.Tell(spd.Terminate{Peer: "gw.example.org"})
			r.shut(r.gateway)
			if n := r.failed.Load(); n != 0 {
				t.Errorf("%d failures", n)
			}
		})
	}
}
