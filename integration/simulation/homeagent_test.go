package simulation

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mipsecd/migrate/migratetest"
	"mipsecd/mobility"
	"mipsecd/spd"
	"mipsecd/spd/memory"
)

var (
	homeAgentAddr = netip.MustParseAddr("2001:db8:1::1")
	correspondent = netip.MustParseAddr("2001:db8:c::1")
)

// homeAgent is the host of all bindings.
type homeAgent struct {
	*host
	bindings map[netip.Addr]*registration
}

// registration is the home agent's side of a binding.
type registration struct {
	binding
	sequence uint16 // of the latest Binding Update
	known    bool   // there has been one
}

// lifetimes are short, so that in an hour each SA is rekeyed several times.
const lifetimes = "ike-lifetime = \"20m\"\nchild-lifetime = \"8m\"\nliveness = \"60s\"\n" +
	"ike = [\"aes128gcm16-prfsha256-x25519\"]\nesp = [\"aes128gcm16\"]\n"

// addHomeAgent makes the home agent of all mobile nodes that there are.
func (w *world) addHomeAgent(own bool) {
	var config strings.Builder
	fmt.Fprintf(&config, "role = \"home-agent\"\nidentity = \"ha.example.org\"\naddress = %q\npolicies = %q\nshards = 8\n%s",
		homeAgentAddr, owner(own), lifetimes)
	for _, n := range w.nodes {
		fmt.Fprintf(&config, "[[mobile-node]]\nidentity = %q\nhome-address = %q\nsecret-file = %q\nk-bit = %t\nprotect = %s\n",
			n.name, n.home.HomeAddress, n.name, n.home.KeyMobility, protections(n.home.What))
	}
	ha := &homeAgent{
		host:     w.newHost("HA", 1, 1<<16, func(a netip.Addr) bool { return a == homeAgentAddr }),
		bindings: map[netip.Addr]*registration{},
	}
	w.ha = ha
	w.owners[homeAgentAddr] = ha.host
	ha.receive = ha.received
	for _, home := range ha.install(config.String(), 0).Homes {
		ha.bindings[home.HomeAddress] = &registration{binding: binding{
			Daemon: migratetest.Daemon{Protected: home.Protected, OnHA: true, KMAddress: w.chance(0.5)}, host: ha.host, own: own,
		}}
	}
	for _, n := range w.nodes {
		ha.bindings[n.home.HomeAddress].start()
	}
	ha.hear()
	w.after(tickEvery, ha.tick)
}

func owner(own bool) string {
	if own {
		return "mipsecd"
	}
	return "external"
}

// received takes a packet to the home agent: a Binding Update, or a Mobile Prefix Solicitation. Policies have let it pass.
func (a *homeAgent) received(p memory.Packet) {
	if p.Proto == spd.ProtoICMPv6 && p.Payload[0] == prefixSolicitation {
		a.send(memory.Packet{Src: p.Dst, Dst: p.Src, Proto: p.Proto, Payload: []byte{prefixAdvertisement, 0}})
		return
	}
	m, err := mobility.ParseMH(p.Payload)
	bu, ok := m.(mobility.BindingUpdate)
	r := a.bindings[p.Src]
	if err != nil || !ok || r == nil {
		a.w.t.Errorf("the home agent gets %s: %v", p, err)
		return
	}
	ack := mobility.BindingAck{Sequence: bu.Sequence, KeyMobility: bu.KeyMobility, Lifetime: bu.Lifetime}
	if r.known && int16(bu.Sequence-r.sequence) <= 0 {
		ack.Status, ack.Sequence = mobility.StatusSequenceOutOfWindow, r.sequence
	} else {
		r.sequence, r.known = bu.Sequence, true
		r.move(bu.CareOf)
	}
	a.reply(p.Src, ack)
}

func (a *homeAgent) reply(to netip.Addr, ack mobility.BindingAck) {
	mh, err := ack.Marshal()
	if err != nil {
		a.w.t.Error(err)
	}
	a.send(memory.Packet{Src: homeAgentAddr, Dst: to, Proto: spd.ProtoMH, Payload: mh})
}

// crash empties the home agent's memory, but for its configuration.
func (a *homeAgent) crash() {
	a.boot()
	for _, n := range a.w.nodes {
		r := a.bindings[n.home.HomeAddress]
		r.known = false
		r.start()
		n.history.add(line{a.w.now, a.name, "crashes", nil})
	}
	a.hear()
}

// addCorrespondent makes the node that all mobile nodes speak with. It answers.
func (w *world) addCorrespondent() {
	cn := w.newHost("CN", 2, 16, func(a netip.Addr) bool { return a == correspondent })
	w.cn, w.owners[correspondent] = cn, cn
	cn.receive = func(p memory.Packet) {
		switch n := w.byAddr[p.Src]; {
		case p.Proto == spd.ProtoMH:
			cn.send(memory.Packet{Src: p.Dst, Dst: p.Src, Proto: p.Proto, Payload: homeTest})
		case p.Payload[0] == echoReply:
			n.answered["payload"] = w.now
		}
	}
}

// The messages of ICMPv6 that are sent (RFC 4443, RFC 6275), by type.
const (
	echoRequest         = 128
	echoReply           = 129
	prefixSolicitation  = 146
	prefixAdvertisement = 147
)

// Home Test Init and Home Test.
var homeTestInit, homeTest = testMessages()

func testMessages() (init, test []byte) {
	init, err := mobility.HomeTestInit{Cookie: [8]byte{1}}.Marshal()
	if err == nil {
		test, err = mobility.HomeTest{Cookie: [8]byte{1}, Token: make([]byte, 8)}.Marshal()
	}
	if err != nil {
		panic(err)
	}
	return init, test
}

// bindingLifetime is asked for in Binding Updates.
const bindingLifetime = time.Hour
