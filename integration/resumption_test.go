package integration

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/cmd/mipsecd/sim"
	"mipsecd/ikev2"
	"mipsecd/internal/secret"
	"mipsecd/internal/vnet"
)

const (
	resumingNode = `
role = "mobile-node"
identity = "mn@example.org"
policies = "mipsecd"
resumption = true
host-secret-file = "secret"
quick-crash-detection = true
[home-agent]
identity = "ha.example.org"
address = "2001:db8:1::1"
home-address = "2001:db8:1::100"
secret-file = "psk"
protect = ["binding", "payload"]
k-bit = false
`
	resumingHome = `
role = "home-agent"
identity = "ha.example.org"
address = "2001:db8:1::1"
policies = "mipsecd"
resumption = true
host-secret-file = "secret"
quick-crash-detection = true
shards = 4
[[mobile-node]]
identity = "mn@example.org"
home-address = "2001:db8:1::100"
secret-file = "psk"
protect = ["binding", "payload"]
k-bit = false
`
)

// exchanges counts the messages of a host by the exchange that they belong to.
type exchanges struct {
	mu    sync.Mutex
	count map[string]int
}

func (x *exchanges) watch(_ time.Time, what any) {
	if m, ok := what.(ikev2.Traced); ok && m.Outbound {
		name, _, _ := strings.Cut(m.Summary, " ")
		x.mu.Lock()
		x.count[name]++
		x.mu.Unlock()
	}
}

// take yields the counts since the last time.
func (x *exchanges) take() map[string]int {
	x.mu.Lock()
	defer x.mu.Unlock()
	count := x.count
	x.count = map[string]int{}
	return count
}

// TestResumption has a mobile node without the K bit resume its IKE_SA after a movement, and after a crash of the home
// agent, which tells it of that: traffic passes again, without a key exchange.
func TestResumption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		network := vnet.New(3)
		defer network.Close()
		addr := netip.MustParseAddr
		hoa, haa, cna := addr("2001:db8:1::100"), addr("2001:db8:1::1"), addr("2001:db8:c::1")
		coas := []netip.Addr{addr("2001:db8:f0::100"), addr("2001:db8:f1::100")}
		home := network.AddLink("home", netip.MustParsePrefix("2001:db8:1::/64"))
		foreign := []*vnet.Link{
			network.AddLink("foreign0", netip.MustParsePrefix("2001:db8:f0::/64")),
			network.AddLink("foreign1", netip.MustParsePrefix("2001:db8:f1::/64")),
		}
		away := network.AddLink("away", netip.MustParsePrefix("2001:db8:c::/64"))
		host := func(name string, seed uint64, local ...netip.Addr) *sim.Host {
			h := sim.NewHost(network, name, seed)
			h.SetLocal(local...)
			return h
		}
		mn := sim.NewMobileDaemon(host("mn", 1, hoa, coas[0], coas[1]), hoa, haa)
		ha := sim.NewHomeDaemon(host("ha", 2, haa), haa, home)
		cn := sim.NewPinger(host("cn", 3, cna), cna, hoa)
		for _, err := range []error{ha.Node.Attach(home, haa), cn.Node.Attach(away, cna)} {
			if err != nil {
				t.Fatal(err)
			}
		}

		said := &exchanges{count: map[string]int{}}
		startAgent(t, ctx, &running, mn.Host, resumingNode, func(o *agent.Options) {
			o.Engine.Trace, o.Watch = true, said.watch
		})
		startHome := func(ctx context.Context) *agent.Agent {
			return startAgent(t, ctx, &running, ha.Host, resumingHome, func(o *agent.Options) {
				o.Engine.Secret = secret.Bytes("what a home agent has in a file.")
			})
		}
		homeRuns, crash := context.WithCancel(ctx)
		startHome(homeRuns)
		synctest.Wait()

		reach := func(what string, at int, resumed, full int) {
			t.Helper()
			ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
			defer cancel()
			err := mn.Register(ctx, coas[at])
			if err == nil {
				_, err = cn.Ping(ctx)
			}
			time.Sleep(10 * time.Second) // the SAs of before may have served
			got := said.take()
			if err != nil || got["IKE_SESSION_RESUME"] != resumed || got["IKE_SA_INIT"] != full || got["IKE_AUTH"] != 1 {
				t.Errorf("%s: %v, messages %v; want %d and %d to resume and to begin", what, err, got, resumed, full)
			}
		}
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		must(mn.Node.Attach(foreign[0], coas[0]))
		reach("at first", 0, 0, 1)
		mn.Node.Detach(foreign[0])
		must(mn.Node.Attach(foreign[1], coas[1]))
		reach("after a movement", 1, 1, 0)

		ha.Node.Detach(home) // nobody hears what it says at its end
		crash()
		time.Sleep(10 * time.Second)
		must(ha.Node.Attach(home, haa))
		startHome(ctx)
		time.Sleep(35 * time.Second) // until the mobile node has asked whether it is alive, and is told that it knows nothing
		reach("after a crash of the home agent", 1, 1, 0)
	})
}
