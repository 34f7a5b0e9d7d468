//go:build linux

package roaming

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/mobility"
	"mipsecd/spd"
)

// kind is some traffic that policies of an administrator protect, with the mobile node at home.
type kind struct {
	name string
	traffic
	socket   string // that sends and receives it, as net.ListenPacket wants it
	up, down []byte // a message toward the home agent, and one back
	tells    int    // which octet of them tells them from others
	far      bool   // it is with the correspondent
}

func kinds(t *testing.T) []kind {
	icmp := func(src, dst netip.Prefix, kind uint16) spd.Selector {
		return spd.Selector{Src: src, Dst: dst, Proto: spd.ProtoICMPv6, SrcPort: spd.ExactPort(kind)}
	}
	mh := func(m mobility.Message) []byte {
		b, err := m.Marshal()
		must(t, err)
		return b
	}
	internet := netip.MustParsePrefix("2001:db8:c::/49")
	return []kind{{
		name: "6 types of ICMPv6", socket: "ip6:ipv6-icmp", up: []byte{146, 0, 0, 0, 0, 1, 0, 0}, down: []byte{147, 0, 0, 0, 0, 1, 0, 0},
		traffic: traffic{
			protects: "prefix", mode: spd.Transport,
			toHA: icmp(hoa, homeAgent, 146), tsi: lab.HoA.String() + " icmpv6 0x9200-0x92ff",
			toMN: icmp(homeAgent, hoa, 147), tsr: lab.HomeAgent.String() + " icmpv6 0x9300-0x93ff",
		},
	}, {
		name: "7 all types of Mobility Header", socket: "ip6:135", tells: 2,
		up: mh(mobility.BindingUpdate{HomeReg: true}), down: mh(mobility.BindingAck{}),
		traffic: traffic{
			protects: "mobility", mode: spd.Transport,
			toHA: spd.Selector{Src: hoa, Dst: homeAgent, Proto: spd.ProtoMH}, tsi: lab.HoA.String() + " mh",
			toMN: spd.Selector{Src: homeAgent, Dst: hoa, Proto: spd.ProtoMH}, tsr: lab.HomeAgent.String() + " mh",
		},
	}, {
		name: "5 a prefix of 49 bits", socket: "udp6", up: []byte("up"), down: []byte("down"), far: true,
		traffic: traffic{
			protects: "payload", mode: spd.Tunnel,
			toHA: spd.Selector{Src: hoa, Dst: internet}, tsi: lab.HoA.String() + " any",
			toMN: spd.Selector{Src: internet, Dst: hoa}, tsr: "2001:db8:c::-2001:db8:c:7fff:ffff:ffff:ffff:ffff any",
		},
	}}
}

// keysPolicies has each kind of policies keyed by a packet from one side, and traffic pass in both directions.
func (j job) keysPolicies(begins lab.Node) func(*testing.T) {
	return func(t *testing.T) {
		lab.Build(t)
		loadAlgorithms(t)
		s := &scenario{ctx: t.Context(), at: lab.Home, kernels: map[lab.Node]spd.Backend{}}
		for _, n := range []lab.Node{lab.MN, lab.HA} {
			s.kernels[n] = openBackend(t, j.kernel, n)
		}
		for i, k := range kinds(t) {
			for _, n := range []lab.Node{lab.MN, lab.HA} {
				for _, p := range k.policies(n, 101+2*uint32(i)) {
					must(t, s.kernels[n].AddPolicy(p))
				}
			}
		}
		s.agents = startAgents(t, j)
		for _, k := range kinds(t) {
			t.Run(k.name, func(t *testing.T) {
				mn, other := k.listen(t, lab.MN, lab.HoA), k.listen(t, lab.HA, lab.HomeAgent)
				if k.far {
					other = k.listen(t, lab.CN, lab.Correspondent)
				}
				up := func() error { return mn.pass(other, k.up) }
				down := func() error { return other.pass(mn, k.down) }
				first, second := up, down
				if begins == lab.HA {
					first, second = down, up
				}
				eventually(t, first)
				eventually(t, second)
				s.keyed(t, k.traffic, lab.HoA, pair{})
			})
		}
	}
}

// policies are those of one host: toward the home agent with a reqid, back with the next.
func (k kind) policies(n lab.Node, reqid uint32) (all []spd.Policy) {
	add := func(s spd.Selector, dir spd.Dir, reqid uint32, e spd.Endpoints) {
		t := spd.Template{Proto: spd.ESP, Mode: k.mode, Level: spd.Unique, Reqid: reqid}
		if k.mode == spd.Tunnel {
			t.Endpoints = e
		}
		all = append(all, spd.Policy{PolicyKey: spd.PolicyKey{Selector: s, Dir: dir}, Priority: 10, Action: spd.Protect,
			Templates: []spd.Template{t}})
	}
	up := spd.Endpoints{Src: lab.HoA, Dst: lab.HomeAgent}
	if n == lab.MN {
		add(k.toHA, spd.Out, reqid, up)
		add(k.toMN, spd.In, reqid+1, up.Reverse())
		return all
	}
	add(k.toHA, spd.In, reqid, up)
	if k.mode == spd.Tunnel {
		add(k.toHA, spd.Fwd, reqid, up)
	}
	add(k.toMN, spd.Out, reqid+1, up.Reverse())
	return all
}

// end is a socket at one end of some traffic.
type end struct {
	net.PacketConn
	to       net.Addr     // the other sends to it
	received atomic.Int32 // messages of the kind
}

// listen opens an end, until the test ends.
func (k kind) listen(t *testing.T, n lab.Node, a netip.Addr) *end {
	t.Helper()
	e := &end{to: &net.IPAddr{IP: a.AsSlice()}}
	local := a.String()
	if k.socket == "udp6" {
		at := netip.AddrPortFrom(a, 9)
		e.to, local = net.UDPAddrFromAddrPort(at), at.String()
	}
	must(t, n.Do(func() (err error) {
		e.PacketConn, err = net.ListenPacket(k.socket, local)
		return err
	}))
	t.Cleanup(func() { e.Close() })
	go func() {
		for buf := make([]byte, 2048); ; {
			n, _, err := e.ReadFrom(buf)
			if err != nil {
				return
			}
			if n > k.tells && (buf[k.tells] == k.up[k.tells] || buf[k.tells] == k.down[k.tells]) {
				e.received.Add(1)
			}
		}
	}()
	return e
}

// pass sends a message, and is an error as long as none has arrived. While there is no SA the kernel may refuse it.
func (e *end) pass(other *end, message []byte) error {
	_, err := e.WriteTo(message, other.to)
	if other.received.Load() == 0 {
		return fmt.Errorf("nothing has come from %s to %s: %v", e.to, other.to, err)
	}
	return nil
}
