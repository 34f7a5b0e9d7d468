package vnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mipsecd/internal/udp"
)

var (
	homePrefix    = netip.MustParsePrefix("2001:db8:1::/64")
	foreignPrefix = netip.MustParsePrefix("2001:db8:2::/64")
	homeAgent     = netip.MustParseAddr("2001:db8:1::1")
	hoa           = netip.MustParseAddr("2001:db8:1::100")
	coa           = netip.MustParseAddr("2001:db8:2::7")
)

// scene is a home agent at home and a mobile node abroad, each with a socket.
type scene struct {
	t                 *testing.T
	network           *Network
	home, foreign     *Link
	agent, mobile     *Node
	agentIKE, mnIKE   udp.Conn
	agentAddr, coaIKE netip.AddrPort
}

// inScene runs a test in a bubble.
func inScene(t *testing.T, seed uint64, test func(*scene)) {
	synctest.Test(t, func(t *testing.T) {
		n := New(seed)
		defer n.Close()
		s := &scene{t: t, network: n, home: n.AddLink("home", homePrefix), foreign: n.AddLink("foreign", foreignPrefix),
			agent: n.AddNode("ha"), mobile: n.AddNode("mn"),
			agentAddr: netip.AddrPortFrom(homeAgent, 500), coaIKE: netip.AddrPortFrom(coa, 500)}
		s.attach(s.agent, s.home, homeAgent)
		s.attach(s.mobile, s.foreign, coa)
		s.agentIKE, s.mnIKE = s.agent.ListenUDP(500), s.mobile.ListenUDP(500)
		test(s)
	})
}

func (s *scene) attach(nd *Node, l *Link, addrs ...netip.Addr) {
	s.t.Helper()
	if err := nd.Attach(l, addrs...); err != nil {
		s.t.Fatal(err)
	}
}

// ask sends from the mobile node's care-of address to the home agent.
func (s *scene) ask(data string) {
	s.t.Helper()
	if err := s.mnIKE.Send(udp.Datagram{Local: s.coaIKE, Remote: s.agentAddr, Data: []byte(data)}); err != nil {
		s.t.Fatal(err)
	}
}

// heard returns what the socket has received when nothing moves any more.
func heard(s *scene, c udp.Conn) (all []string) {
	time.Sleep(time.Minute)
	synctest.Wait()
	for sock := c.(*socket); len(sock.received) > 0; {
		d, err := c.Receive()
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, string(d.Data))
	}
	return all
}

func wantHeard(s *scene, c udp.Conn, want ...string) {
	s.t.Helper()
	if got := heard(s, c); !slices.Equal(got, want) {
		s.t.Errorf("heard %q, want %q", got, want)
	}
}

func TestDatagramHasExactAddresses(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		second := netip.MustParseAddr("2001:db8:1::2")
		s.attach(s.agent, s.home, second)
		data := []byte("IKE_SA_INIT")
		to := netip.AddrPortFrom(second, 500)
		if err := s.mnIKE.Send(udp.Datagram{Local: s.coaIKE, Remote: to, Data: data}); err != nil {
			t.Fatal(err)
		}
		data[0] = 'X' // Send has not kept it
		d, err := s.agentIKE.Receive()
		if err != nil || d.Local != to || d.Remote != s.coaIKE || string(d.Data) != "IKE_SA_INIT" {
			t.Errorf("got %+v %q, %v", d, d.Data, err)
		}
	})
}

func TestDelayOfBothLinks(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		s.home.SetQuality(Quality{Delay: 20 * time.Millisecond})
		s.foreign.SetQuality(Quality{Delay: 300 * time.Millisecond})
		start := time.Now()
		s.ask("far")
		if _, err := s.agentIKE.Receive(); err != nil || time.Since(start) != 320*time.Millisecond {
			t.Errorf("took %s, %v", time.Since(start), err)
		}
		neighbour := s.network.AddNode("neighbour")
		s.attach(neighbour, s.home, hoa)
		start = time.Now()
		if err := neighbour.ListenUDP(500).Send(udp.Datagram{Local: netip.AddrPortFrom(hoa, 0), Remote: s.agentAddr}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.agentIKE.Receive(); err != nil || time.Since(start) != 20*time.Millisecond {
			t.Errorf("within the link: took %s, %v", time.Since(start), err)
		}
	})
}

func TestOrderIsKeptWithoutJitter(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		s.foreign.SetQuality(Quality{Delay: time.Millisecond})
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
			s.ask(want[i])
		}
		wantHeard(s, s.agentIKE, want...)
	})
}

func TestMovement(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		s.foreign.SetQuality(Quality{Delay: time.Second})
		reply := udp.Datagram{Local: s.agentAddr, Remote: s.coaIKE, Data: []byte("in flight")}
		if err := s.agentIKE.Send(reply); err != nil {
			t.Fatal(err)
		}
		s.mobile.Detach(s.foreign)
		if s.mobile.Owns(coa) {
			t.Error("the address is still there")
		}
		s.attach(s.mobile, s.home, hoa)
		err := s.mnIKE.Send(udp.Datagram{Local: s.coaIKE, Remote: s.agentAddr})
		if !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("sending from the old address: %v", err)
		}
		reply.Remote, reply.Data = netip.AddrPortFrom(hoa, 500), []byte("at home")
		if err := s.agentIKE.Send(reply); err != nil {
			t.Fatal(err)
		}
		wantHeard(s, s.mnIKE, "at home")
	})
}

// The home agent takes over the home address of a mobile node that is away, and gives it back.
func TestAddressChangesHands(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		s.attach(s.agent, s.home, hoa)
		if err := s.mobile.Attach(s.home, hoa); !errors.Is(err, ErrAddressInUse) {
			t.Errorf("two nodes with one address: %v", err)
		}
		if err := s.agent.Attach(s.foreign, netip.MustParseAddr("2001:db8:2::8"), homeAgent); err == nil {
			t.Error("an address on a link without its prefix")
		} else if s.agent.Owns(netip.MustParseAddr("2001:db8:2::8")) {
			t.Error("half attached")
		}
		s.mobile.Release(hoa)
		if !s.agent.Owns(hoa) {
			t.Error("another node's address is released")
		}
		s.agent.Release(hoa)
		s.attach(s.mobile, s.home, hoa)
		s.attach(s.mobile, s.home, hoa)
		if !s.mobile.Owns(hoa) || !s.mobile.Owns(coa) || s.agent.Owns(hoa) || !s.agent.Owns(homeAgent) {
			t.Error("the addresses are with the wrong nodes")
		}
	})
}

func TestNobodysAddress(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		for _, to := range []netip.AddrPort{netip.AddrPortFrom(hoa, 500), netip.AddrPortFrom(homeAgent, 4500)} {
			if err := s.mnIKE.Send(udp.Datagram{Local: s.coaIKE, Remote: to}); err != nil {
				t.Errorf("to %s: %v", to, err)
			}
		}
		wantHeard(s, s.agentIKE)
	})
}

func TestCutLink(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		neighbour := s.network.AddNode("neighbour")
		at := netip.AddrPortFrom(netip.MustParseAddr("2001:db8:2::8"), 500)
		s.attach(neighbour, s.foreign, at.Addr())
		near := neighbour.ListenUDP(500)
		for _, cut := range []*Link{s.home, s.foreign} {
			cut.SetCut(true)
			s.ask("lost")
			if err := s.mnIKE.Send(udp.Datagram{Local: s.coaIKE, Remote: at, Data: []byte("near")}); err != nil {
				t.Fatal(err)
			}
			cut.SetCut(false)
			s.ask("joined")
		}
		wantHeard(s, near, "near", "near")
		wantHeard(s, s.agentIKE, "joined", "joined")
	})
}

// throughBad sends n numbered datagrams over a link and returns the numbers that arrive.
func throughBad(t *testing.T, seed uint64, q Quality, n int) (arrived []int) {
	inScene(t, seed, func(s *scene) {
		s.foreign.SetQuality(q)
		for i := range n {
			s.ask(string(binary.BigEndian.AppendUint32(nil, uint32(i))))
			time.Sleep(time.Millisecond)
		}
		for _, data := range heard(s, s.agentIKE) {
			arrived = append(arrived, int(binary.BigEndian.Uint32([]byte(data))))
		}
	})
	return arrived
}

func TestLoss(t *testing.T) {
	const n = 1000
	got := throughBad(t, 3, Quality{Loss: 0.3}, n)
	if len(got) < n*6/10 || len(got) > n*8/10 || !slices.IsSorted(got) {
		t.Errorf("%d of %d arrived", len(got), n)
	}
	if got := throughBad(t, 3, Quality{Loss: 1}, n); len(got) != 0 {
		t.Errorf("%d of %d arrived", len(got), n)
	}
}

func TestDuplicates(t *testing.T) {
	const n = 1000
	got := throughBad(t, 3, Quality{Duplicate: 0.3}, n)
	if len(got) < n*12/10 || len(got) > n*14/10 || len(slices.Compact(slices.Clone(got))) != n {
		t.Errorf("%d of %d arrived", len(got), n)
	}
}

func TestReordering(t *testing.T) {
	for name, q := range map[string]Quality{
		"held": {Reorder: 0.1}, "jitter": {Jitter: 20 * time.Millisecond}, "both": {Delay: time.Second, Reorder: 0.5, Jitter: time.Second},
	} {
		got := throughBad(t, 3, q, 500)
		sorted := slices.Sorted(slices.Values(got))
		if slices.Equal(got, sorted) || len(slices.Compact(sorted)) != 500 || len(got) != 500 {
			t.Errorf("%s: %d arrived: %v...", name, len(got), got[:min(20, len(got))])
		}
	}
}

func TestSeedDecides(t *testing.T) {
	q := Quality{Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, Jitter: 30 * time.Millisecond, Delay: 10 * time.Millisecond}
	first := throughBad(t, 7, q, 200)
	if again := throughBad(t, 7, q, 200); !slices.Equal(first, again) {
		t.Error("one seed, two outcomes")
	}
	if other := throughBad(t, 8, q, 200); slices.Equal(first, other) {
		t.Error("two seeds, one outcome")
	}
}

func TestRawPackets(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		s.foreign.SetQuality(Quality{Duplicate: 1})
		var got []Packet
		s.agent.Handle(func(p Packet) {
			got = append(got, p)
			p.Payload[0]++ // the duplicate is another packet
			if err := s.agent.Send(Packet{Src: p.Dst, Dst: p.Src, Proto: 50, Payload: []byte("reply")}); err != nil {
				t.Error(err)
			}
		})
		var replies int
		s.mobile.Handle(func(Packet) { replies++ })
		payload := []byte{1, 2, 3}
		for _, proto := range []uint8{50, 17} { // no UDP header, so for no socket
			if err := s.mobile.Send(Packet{Src: coa, Dst: homeAgent, Proto: proto, Payload: payload}); err != nil {
				t.Fatal(err)
			}
		}
		err := s.mobile.Send(Packet{Src: hoa, Dst: homeAgent, Proto: 50})
		if !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("from another's address: %v", err)
		}
		wantHeard(s, s.agentIKE)
		if len(got) != 4 || replies != 8 {
			t.Fatalf("got %v, %d replies", got, replies)
		}
		for i, proto := range []uint8{50, 50, 17, 17} {
			if p := got[i]; p.Src != coa || p.Dst != homeAgent || p.Proto != proto || string(p.Payload) != "\x02\x02\x03" {
				t.Errorf("got %+v", p)
			}
		}
	})
}

func TestSendRefuses(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		for name, d := range map[string]udp.Datagram{
			"no remote port":        {Local: s.coaIKE, Remote: netip.AddrPortFrom(homeAgent, 0)},
			"no remote address":     {Local: s.coaIKE},
			"another socket's port": {Local: netip.AddrPortFrom(coa, 501), Remote: s.agentAddr},
			"no local address":      {Remote: s.agentAddr},
			"too long":              {Local: s.coaIKE, Remote: s.agentAddr, Data: make([]byte, 65528)},
		} {
			if err := s.mnIKE.Send(d); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		s.ask(string(make([]byte, 65527)))
		if d, err := s.agentIKE.Receive(); err != nil || len(d.Data) != 65527 {
			t.Errorf("%d octets, %v", len(d.Data), err)
		}
	})
}

func TestClosedSocket(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		waits := make(chan error)
		go func() {
			_, err := s.agentIKE.Receive()
			waits <- err
		}()
		synctest.Wait()
		for range 2 {
			if err := s.agentIKE.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-waits; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a waiting Receive: %v", err)
		}
		if err := s.agentIKE.Send(udp.Datagram{Local: s.agentAddr, Remote: s.coaIKE}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send: %v", err)
		}
		again := s.agent.ListenUDP(500)
		s.ask("hello")
		wantHeard(s, again, "hello")
	})
}

func TestPortTakenTwicePanics(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		s.agent.ListenUDP(500)
	})
}

// In real time: all goroutines end, also with packets on their way.
func TestCloseNetwork(t *testing.T) {
	n := New(1)
	l := n.AddLink("home", homePrefix)
	l.SetQuality(Quality{Jitter: time.Millisecond, Duplicate: 0.5})
	agent, mobile := n.AddNode("ha"), n.AddNode("mn")
	for nd, a := range map[*Node]netip.Addr{agent: homeAgent, mobile: hoa} {
		if err := nd.Attach(l, a); err != nil {
			t.Fatal(err)
		}
	}
	server, client := agent.ListenUDP(500), mobile.ListenUDP(500)
	var all sync.WaitGroup
	ask := udp.Datagram{Local: netip.AddrPortFrom(hoa, 500), Remote: netip.AddrPortFrom(homeAgent, 500), Data: []byte("ask")}
	all.Go(func() {
		for {
			d, err := server.Receive()
			if err != nil {
				return
			}
			d.Data = []byte("answer")
			if err := server.Send(d); err != nil {
				return
			}
		}
	})
	answered := make(chan struct{}, 1000)
	all.Go(func() {
		for {
			if _, err := client.Receive(); err != nil {
				return
			}
			answered <- struct{}{}
		}
	})
	for range 100 {
		if err := client.Send(ask); err != nil {
			t.Fatal(err)
		}
	}
	<-answered
	n.Close()
	all.Wait()
	if err := client.Send(ask); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
	if _, err := client.Receive(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive: %v", err)
	}
	if err := mobile.Send(Packet{Src: hoa, Dst: homeAgent, Proto: 50}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send of a node: %v", err)
	}
	n.Close()
}
