package vnet

import (
	"net/netip"
	"testing"

	"mipsecd/internal/udp"
)

var (
	natAddr  = netip.MustParseAddr("2001:db8:1::99")
	natAddr2 = netip.MustParseAddr("2001:db8:1::98")
)

// behindNAT has the mobile node's link behind a NAT on the home link.
func behindNAT(t *testing.T, test func(*scene, *NAT)) {
	inScene(t, 1, func(s *scene) {
		nat := NewNAT(natAddr)
		s.foreign.BehindNAT(nat, s.home)
		test(s, nat)
	})
}

func receive(t *testing.T, c udp.Conn, local, remote netip.AddrPort, data string) {
	t.Helper()
	d, err := c.Receive()
	if err != nil || d.Local != local || d.Remote != remote || string(d.Data) != data {
		t.Errorf("got %+v, %v, want %q from %s", d, err, data, remote)
	}
}

func TestNATTranslatesBothWays(t *testing.T) {
	behindNAT(t, func(s *scene, _ *NAT) {
		mapped := netip.AddrPortFrom(natAddr, firstMapped)
		for range 2 { // with one mapping
			s.ask("question")
			receive(t, s.agentIKE, s.agentAddr, mapped, "question")
			if err := s.agentIKE.Send(udp.Datagram{Local: s.agentAddr, Remote: mapped, Data: []byte("answer")}); err != nil {
				t.Fatal(err)
			}
			receive(t, s.mnIKE, s.coaIKE, s.agentAddr, "answer")
		}
	})
}

func TestNATLetsNothingElseIn(t *testing.T) {
	behindNAT(t, func(s *scene, nat *NAT) {
		for _, to := range []netip.AddrPort{s.coaIKE, netip.AddrPortFrom(natAddr, firstMapped), netip.AddrPortFrom(natAddr, 500)} {
			if err := s.agentIKE.Send(udp.Datagram{Local: s.agentAddr, Remote: to, Data: []byte("unasked")}); err != nil {
				t.Fatal(err)
			}
		}
		wantHeard(s, s.mnIKE)
		if err := s.mobile.Send(Packet{Src: coa, Dst: homeAgent, Proto: 50}); err != nil {
			t.Fatal(err)
		}
		s.agent.Handle(func(p Packet) { t.Errorf("through the NAT: %+v", p) })
		nat.Forward(500, s.coaIKE)
		if err := s.agentIKE.Send(udp.Datagram{Local: s.agentAddr, Remote: netip.AddrPortFrom(natAddr, 500)}); err != nil {
			t.Fatal(err)
		}
		wantHeard(s, s.mnIKE, "")
	})
}

func TestNATRebinds(t *testing.T) {
	behindNAT(t, func(s *scene, _ *NAT) {
		s.ask("first")
		receive(t, s.agentIKE, s.agentAddr, netip.AddrPortFrom(natAddr, firstMapped), "first")
		for i, addr := range []netip.Addr{natAddr, natAddr2} {
			s.foreign.RebindNAT(addr)
			mapped := netip.AddrPortFrom(addr, firstMapped+1+uint16(i))
			s.ask("again")
			receive(t, s.agentIKE, s.agentAddr, mapped, "again")
			if err := s.agentIKE.Send(udp.Datagram{Local: s.agentAddr, Remote: mapped, Data: []byte("answer")}); err != nil {
				t.Fatal(err)
			}
			receive(t, s.mnIKE, s.coaIKE, s.agentAddr, "answer")
		}
	})
}

func TestESPInUDPIsForTheHandler(t *testing.T) {
	inScene(t, 1, func(s *scene) {
		s.agentIKE.Close()
		ike := s.agent.ListenIKE()
		defer ike.Close()
		handled := make(chan Packet, 10)
		s.agent.Handle(func(p Packet) { handled <- p })
		nat := netip.AddrPortFrom(homeAgent, 4500)
		for _, data := range []string{"\x00\x00\x10\x01ESP", "\xff", "\x00\x00\x00\x00IKE"} {
			if err := s.mnIKE.Send(udp.Datagram{Local: s.coaIKE, Remote: nat, Data: []byte(data)}); err != nil {
				t.Fatal(err)
			}
		}
		receive(t, ike, nat, s.coaIKE, "IKE")
		if p := <-handled; string(p.Payload[udpHeader:]) != "\x00\x00\x10\x01ESP" || len(handled) > 0 {
			t.Errorf("handled: %+v and %d more", p, len(handled))
		}
	})
}
