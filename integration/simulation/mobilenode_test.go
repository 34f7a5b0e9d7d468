package simulation

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mipsecd/migrate"
	"mipsecd/migrate/migratetest"
	"mipsecd/mobility"
	"mipsecd/spd"
	"mipsecd/spd/memory"
)

// mobileNode is a host with its mobility daemon, and what is watched of it.
type mobileNode struct {
	*host
	binding
	home     migrate.Home
	places   []netip.Addr // where it may be: at home first
	sequence uint16
	awaited  uint16 // the first Binding Update whose answer would do
	pending  bool   // it has not been answered
	answered map[string]time.Time
	history  history
	trouble  map[string]time.Time // what is wrong, and since when
}

const foreignLinks = 3

// sets are what mobile nodes protect, in turn.
var sets = [][]migrate.Protection{
	{migrate.ProtectBinding},
	{migrate.ProtectBinding, migrate.ProtectPayload},
	{migrate.ProtectBinding, migrate.ProtectPrefix, migrate.ProtectHomeTest},
	migrate.Protections,
}

func protections(list []migrate.Protection) string {
	return strings.ReplaceAll(fmt.Sprintf("%q", list), " ", ", ")
}

// addMobileNode makes one, at home. What is mipsecd's on it and what is not, the number decides.
func (w *world) addMobileNode(i int) {
	n := &mobileNode{answered: map[string]time.Time{}, trouble: map[string]time.Time{}}
	for link := range foreignLinks + 1 {
		n.places = append(n.places, netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::%x", link+1, 0x1000+i)))
	}
	name, own, keep := fmt.Sprintf("mn%d@example.org", i), i/8%2 == 0, i/4%2 == 0
	n.host = w.newHost(name, uint64(i+10), 256, func(a netip.Addr) bool { return slices.Contains(n.places, a) })
	n.host.node, n.receive = n, n.received
	w.nodes, w.byName[name] = append(w.nodes, n), n
	for _, a := range n.places {
		w.byAddr[a] = n
	}
	w.owners[n.places[0]] = n.host
	n.home = n.install(fmt.Sprintf("role = \"mobile-node\"\nidentity = %q\npolicies = %q\nshards = 1\n%s[home-agent]\n"+
		"identity = \"ha.example.org\"\naddress = %q\nhome-address = %q\nsecret-file = %q\nk-bit = %t\nprotect = %s\n",
		name, owner(own), lifetimes, homeAgentAddr, n.places[0], name, keep, protections(sets[i%4])), uint64(i+1)).Homes[0]
	n.binding = binding{
		Daemon: migratetest.Daemon{Protected: n.home.Protected, KMAddress: w.chance(0.5)}, host: n.host, own: own,
	}
	n.start()
	n.hear()
	w.after(w.upTo(tickEvery), n.tick)
}

// attach takes the node to an address that may be its home address, and registers there. The link that it leaves may serve
// for some time yet.
func (n *mobileNode) attach(to netip.Addr) {
	w := n.host.w
	w.counters["movements"]++
	old := n.careOf
	w.owners[to] = n.host
	n.move(to)
	leave := func() {
		switch {
		case n.careOf == old: // it has come back
		case old == n.home.HomeAddress:
			w.owners[old] = w.ha.host // which stands in for it
		default:
			delete(w.owners, old)
		}
	}
	if old == n.home.HomeAddress || w.chance(0.5) {
		leave()
	} else {
		w.after(w.upTo(time.Second), leave)
	}
	n.register()
}

// register has the home agent know where the node is: a Binding Update is sent until it is answered (RFC 6275 section
// 11.8).
func (n *mobileNode) register() {
	n.awaited, n.pending = n.sequence+1, true
	n.update(n.sequence+1, 1500*time.Millisecond)
}

func (n *mobileNode) update(first uint16, timeout time.Duration) {
	if n.awaited != first || !n.pending {
		return
	}
	n.sequence++
	bu := mobility.BindingUpdate{
		Sequence: n.sequence, Ack: true, HomeReg: true, KeyMobility: n.home.KeyMobility, CareOf: n.careOf, Lifetime: bindingLifetime,
	}
	if n.careOf == n.home.HomeAddress {
		bu.Lifetime = 0
	}
	mh, err := bu.Marshal()
	if err != nil {
		n.host.w.t.Error(err)
	}
	sent := n.send(memory.Packet{Src: n.home.HomeAddress, Dst: homeAgentAddr, Proto: spd.ProtoMH, Payload: mh})
	n.host.w.about(n.host, n, "Binding Update %d for %s, sent %t", n.sequence, n.careOf, sent)
	n.host.w.after(timeout, func() { n.update(first, min(2*timeout, 32*time.Second)) })
}

// received takes a packet to the node.
func (n *mobileNode) received(p memory.Packet) {
	now := n.host.w.now
	switch {
	case p.Proto == spd.ProtoICMPv6 && p.Payload[0] == prefixAdvertisement:
		n.answered["prefix"] = now
	case p.Proto == spd.ProtoICMPv6:
		n.send(memory.Packet{Src: p.Dst, Dst: p.Src, Proto: p.Proto, Payload: []byte{echoReply, 0, 0, 0}})
	default:
		m, err := mobility.ParseMH(p.Payload)
		if err != nil {
			n.host.w.t.Errorf("%s gets %s: %v", n.name, p, err)
		}
		switch m := m.(type) {
		case mobility.HomeTest:
			n.answered["home-test"] = now
		case mobility.BindingAck:
			n.acknowledged(m)
		}
	}
}

func (n *mobileNode) acknowledged(ack mobility.BindingAck) {
	n.host.w.about(n.host, n, "Binding Acknowledgement %d, %s", ack.Sequence, ack.Status)
	switch {
	case !n.pending:
	case ack.Status == mobility.StatusSequenceOutOfWindow:
		if int16(ack.Sequence-n.sequence) >= 0 {
			n.sequence = ack.Sequence
			n.register()
		}
	case ack.Sequence-n.awaited <= n.sequence-n.awaited:
		n.pending = false
		n.answered["binding"] = n.host.w.now
	}
}

// talk has packets go of each kind that is protected, from the node or to it.
func (n *mobileNode) talk() {
	w, hoa := n.host.w, n.home.HomeAddress
	for _, what := range n.home.What {
		switch what {
		case migrate.ProtectPrefix:
			n.send(memory.Packet{Src: hoa, Dst: homeAgentAddr, Proto: spd.ProtoICMPv6, Payload: []byte{prefixSolicitation, 0}})
		case migrate.ProtectHomeTest:
			if n.careOf != hoa {
				n.send(memory.Packet{Src: hoa, Dst: correspondent, Proto: spd.ProtoMH, Payload: homeTestInit})
			}
		case migrate.ProtectPayload:
			w.cn.send(memory.Packet{Src: correspondent, Dst: hoa, Proto: spd.ProtoICMPv6, Payload: []byte{echoRequest, 0, 0, 0}})
		}
	}
}

// crash empties the node's memory, and starts it where it is.
func (n *mobileNode) crash() {
	at := n.careOf
	n.boot()
	n.host.w.about(n.host, n, "crashes")
	n.start()
	n.move(at)
	n.register()
}
