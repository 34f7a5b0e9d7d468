package agent_test

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/cmd/mipsecd/sim"
	"mipsecd/configs"
	"mipsecd/ikev2"
	"mipsecd/internal/secret"
	"mipsecd/internal/vnet"
	"mipsecd/migrate"
	"mipsecd/mobility"
)

const (
	assigning = `
role = "home-agent"
identity = "ha.example.org"
address = "2001:db8:1::1"
policies = "mipsecd"
protect = ["binding", "payload"]
home-prefix = "2001:db8:1::/64"
pool = "2001:db8:1::1000-2001:db8:1::1001"
dns = "2001:db8:1::53"

[[mobile-node]]
identity = "mn1@example.org"
home-address = "assigned"
secret-file = "psk"

[[mobile-node]]
identity = "mn2@example.org"
home-address = "assigned"
secret-file = "psk"
`
	assignedNode = `
role = "mobile-node"
identity = "NAME@example.org"
policies = "mipsecd"
protect = ["binding", "payload"]

[home-agent]
identity = "ha.example.org"
address = "2001:db8:1::1"
home-address = "assigned"
secret-file = "psk"
`
)

// town is a virtual network with agents on some of its hosts.
type town struct {
	t       *testing.T
	network *vnet.Network
	watch   func(what any) // is told what happens in agents that are started from now on; nil for nobody
}

// host adds a host on a link of its own, of the same name.
func (w *town) host(name string, seed uint64, prefix, address string) (*sim.Host, *vnet.Link) {
	w.t.Helper()
	h := sim.NewHost(w.network, name, seed)
	a := netip.MustParseAddr(address)
	h.SetLocal(a)
	link := w.network.AddLink(name, netip.MustParsePrefix(prefix))
	if err := h.Node.Attach(link, a); err != nil {
		w.t.Fatal(err)
	}
	return h, link
}

// foundAt are the home agents that are found, whoever looks for which.
type foundAt []netip.Addr

func (f foundAt) Find(string, netip.Addr) ([]netip.Addr, error) { return f, nil }

// running is an agent that can be stopped.
type running struct {
	*agent.Agent
	addresses    chan migrate.Addresses
	acknowledged chan migrate.Acknowledged
	stop         func()
}

// start runs an agent on a host that can send from these addresses, until it is stopped or the test ends.
func (w *town) start(h *sim.Host, config string, addresses ...netip.Addr) running {
	w.t.Helper()
	cfg, err := configs.Parse(h.Name+".toml", []byte(config), func(string, configs.Content) ([]byte, error) {
		return []byte("a secret of all"), nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	opt, err := agent.FromConfig(cfg, secret.Bytes("of "+h.Name))
	if err != nil {
		w.t.Fatal(err)
	}
	opt.Engine.Rand, opt.Backend, opt.Conn = rand.Reader, h.Kernel.Open(), h.Node.ListenUDP(ikev2.Port)
	opt.HomeAddresses, opt.HomeAgents = h, foundAt{netip.MustParseAddr("2001:db8:dead::1"), netip.MustParseAddr("2001:db8:1::1")}
	watch := w.watch
	opt.Watch = func(_ time.Time, what any) {
		if watch != nil {
			watch(what)
		}
		if f, failed := what.(agent.Failure); failed {
			w.t.Error(h.Name, f)
		}
	}
	list := make(chan migrate.Addresses, 1)
	list <- migrate.Addresses{List: addresses}
	opt.Addresses = list
	acknowledged := make(chan migrate.Acknowledged, 1)
	opt.Acknowledged = acknowledged
	a := agent.New(opt)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { h.Tick(ctx) })
	all.Go(func() {
		defer opt.Backend.Close()
		if err := a.Run(ctx); err != nil {
			w.t.Error(h.Name, err)
		}
	})
	r := running{a, list, acknowledged, func() {
		cancel()
		all.Wait()
	}}
	w.t.Cleanup(r.stop)
	return r
}

// binding waits until an agent has one with a peer.
func (w *town) binding(a running, peer string) agent.Binding {
	w.t.Helper()
	return w.bindingWhere(a, func(b agent.Binding) bool { return b.Peer == peer })
}

// bindingWhere waits until an agent has one that is right.
func (w *town) bindingWhere(a running, right func(agent.Binding) bool) agent.Binding {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		s, err := a.Status()
		if err != nil {
			w.t.Fatal(err)
		}
		if i := slices.IndexFunc(s.Bindings, right); i >= 0 {
			return s.Bindings[i]
		}
	}
	w.t.Fatal("no such binding")
	return agent.Binding{}
}

// Mobile nodes without a home address are assigned one each, under which the correspondent reaches them; they give it up
// when they end, and get it again when they come back.
func TestAssignedHomeAddresses(t *testing.T) {
	w := &town{t: t, network: vnet.New(1)}
	t.Cleanup(w.network.Close)
	haAddress, careOf := netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:f1::1")
	moved := netip.MustParseAddr("2001:db8:f3::1")
	elsewhere := w.network.AddLink("elsewhere", netip.MustParsePrefix("2001:db8:f3::/64"))
	ha, _ := w.host("ha", 1, "2001:db8:1::/64", haAddress.String())
	mn1, at := w.host("mn1", 2, "2001:db8:f1::/64", careOf.String())
	mn2, _ := w.host("mn2", 3, "2001:db8:f2::/64", "2001:db8:f2::1")
	cn, _ := w.host("cn", 4, "2001:db8:c::/64", "2001:db8:c::1")
	link := w.network.AddLink("proxied", netip.MustParsePrefix("2001:db8:1::1000/120"))
	sim.NewHomeDaemon(ha, haAddress, link)

	homeAgent := w.start(ha, assigning)
	config := func(name string) string { return strings.ReplaceAll(assignedNode, "NAME", name) }
	node1 := w.start(mn1, config("mn1"), careOf)
	node2 := w.start(mn2, config("mn2"), netip.MustParseAddr("2001:db8:f2::1"))
	one, two := w.binding(node1, "ha.example.org"), w.binding(node2, "ha.example.org")
	for _, b := range []agent.Binding{one, two} {
		if !b.Assigned || len(b.DNS) != 1 || b.DNS[0] != netip.MustParseAddr("2001:db8:1::53") {
			t.Errorf("binding %+v", b)
		}
	}
	if one.HomeAddress == two.HomeAddress || !mn1.IsLocal(one.HomeAddress) || !mn2.IsLocal(two.HomeAddress) {
		t.Fatalf("home addresses %s and %s", one.HomeAddress, two.HomeAddress)
	}
	if b := w.binding(homeAgent, "mn1@example.org"); !b.Assigned || b.HomeAddress != one.HomeAddress {
		t.Errorf("on the home agent %+v", b)
	}
	const told = "assigned\nName servers of ha.example.org: 2001:db8:1::53\n"
	if s, err := node1.Status(); err != nil || !strings.Contains(s.Table(), told) {
		t.Errorf("%v:\n%s", err, s.Table())
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	daemon := sim.NewMobileDaemon(mn1, one.HomeAddress, haAddress)
	if err := daemon.Register(ctx, careOf); err != nil {
		t.Fatal(err)
	}
	ping := sim.NewPinger(cn, netip.MustParseAddr("2001:db8:c::1"), one.HomeAddress)
	if _, err := ping.Ping(ctx); err != nil {
		t.Error(err)
	}

	// A movement with the K bit changes neither the address nor the IKE_SA on which it depends.
	before, err := node1.Status()
	if err != nil {
		t.Fatal(err)
	}
	mn1.Node.Detach(at)
	if err := mn1.Node.Attach(elsewhere, moved); err != nil {
		t.Fatal(err)
	}
	mn1.SetLocal(one.HomeAddress, moved)
	node1.addresses <- migrate.Addresses{List: []netip.Addr{moved}}
	if err := daemon.Register(ctx, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := ping.Ping(ctx); err != nil {
		t.Error(err)
	}
	after, err := node1.Status()
	if err != nil || len(after.IKESAs) != 1 || after.IKESAs[0].SPIi != before.IKESAs[0].SPIi ||
		*after.Bindings[0].CareOf != moved || after.Bindings[0].HomeAddress != one.HomeAddress {
		t.Errorf("%v: moved from %+v to %+v", err, before, after)
	}

	node1.stop()
	if mn1.IsLocal(one.HomeAddress) {
		t.Error("the host still answers to the home address")
	}
	policies, err := mn1.Kernel.Open().Policies()
	if err != nil || len(policies) > 0 {
		t.Errorf("policies that are left: %v, %v", policies, err)
	}
	again := w.start(mn1, config("mn1"), moved)
	if b := w.binding(again, "ha.example.org"); b.HomeAddress != one.HomeAddress {
		t.Errorf("after a restart %s, not %s", b.HomeAddress, one.HomeAddress)
	}
}

// A mobile node that makes its home address itself has the same again after a restart, and is reached under it.
func TestAutoconfiguredHomeAddress(t *testing.T) {
	w := &town{t: t, network: vnet.New(1)}
	t.Cleanup(w.network.Close)
	haAddress, careOf := netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:f1::1")
	ha, _ := w.host("ha", 1, "2001:db8:1::/64", haAddress.String())
	mn, _ := w.host("mn", 2, "2001:db8:f1::/64", careOf.String())
	cn, _ := w.host("cn", 4, "2001:db8:c::/64", "2001:db8:c::1")
	homeAgent := w.start(ha, strings.Replace(assigning, "home-prefix", "autoconfiguration = true\nhome-prefix", 1))
	config := strings.NewReplacer("NAME", "mn1", `"assigned"`, `"autoconfigured"`).Replace(assignedNode)
	node := w.start(mn, config, careOf)
	b := w.binding(node, "ha.example.org")
	if prefix := netip.MustParsePrefix("2001:db8:1::/64"); !prefix.Contains(b.HomeAddress) || !mn.IsLocal(b.HomeAddress) {
		t.Fatalf("home address %s", b.HomeAddress)
	}
	if there := w.binding(homeAgent, "mn1@example.org"); !there.Assigned || there.HomeAddress != b.HomeAddress {
		t.Errorf("on the home agent %+v", there)
	}
	link := w.network.AddLink("proxied", netip.PrefixFrom(b.HomeAddress, 128))
	sim.NewHomeDaemon(ha, haAddress, link)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := sim.NewMobileDaemon(mn, b.HomeAddress, haAddress).Register(ctx, careOf); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.NewPinger(cn, netip.MustParseAddr("2001:db8:c::1"), b.HomeAddress).Ping(ctx); err != nil {
		t.Error(err)
	}
	node.stop()
	again := w.start(mn, config, careOf)
	if b2 := w.binding(again, "ha.example.org"); b2.HomeAddress != b.HomeAddress {
		t.Errorf("after a restart %s, not %s", b2.HomeAddress, b.HomeAddress)
	}

	// Where another host has the address, the node makes another one on the IKE_SA that there is.
	before, err := again.Status()
	if err != nil {
		t.Fatal(err)
	}
	again.acknowledged <- migrate.Acknowledged{
		HomeAddress: b.HomeAddress, HomeAgent: haAddress, Status: uint8(mobility.StatusDADFailed),
	}
	another := func(x agent.Binding) bool { return x.HomeAddress != b.HomeAddress }
	here, there := w.bindingWhere(again, another), w.bindingWhere(homeAgent, another)
	if here.HomeAddress != there.HomeAddress || mn.IsLocal(b.HomeAddress) || !mn.IsLocal(here.HomeAddress) {
		t.Errorf("it has %s, for the home agent %s", here.HomeAddress, there.HomeAddress)
	}
	after, err := again.Status()
	if err != nil || len(after.IKESAs) != 1 || after.IKESAs[0].SPIi != before.IKESAs[0].SPIi {
		t.Errorf("%v: IKE_SAs %+v, before %+v", err, after.IKESAs, before.IKESAs)
	}
}

// A mobile node that looks for its home agent turns to the next that it has found if the first does not answer.
func TestNextHomeAgentIsTried(t *testing.T) {
	w := &town{t: t, network: vnet.New(1)}
	t.Cleanup(w.network.Close)
	careOf := netip.MustParseAddr("2001:db8:f1::1")
	ha, _ := w.host("ha", 1, "2001:db8:1::/64", "2001:db8:1::1")
	mn, _ := w.host("mn", 2, "2001:db8:f1::/64", careOf.String())
	w.start(ha, assigning)
	node := w.start(mn, "timing = { retransmit = \"50ms\", tries = 1 }\n"+strings.NewReplacer(
		"NAME", "mn1", `"2001:db8:1::1"`, `"_mip6._ipv6.example.org"`).Replace(assignedNode), careOf)
	if b := w.binding(node, "ha.example.org"); b.HomeAgent != netip.MustParseAddr("2001:db8:1::1") {
		t.Errorf("binding %+v", b)
	}
}
