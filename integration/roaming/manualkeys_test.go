//go:build linux

package roaming

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/integration/mobilityd"
	"mipsecd/internal/udp"
	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// TestLabManualKeys shows that the lab and the mobility daemons are sound without any key exchange: with keys typed in.
func TestLabManualKeys(t *testing.T) {
	uml.Run(t, func(t *testing.T) {
		for _, kind := range []string{"xfrm", "pfkey"} {
			t.Run(kind, func(t *testing.T) {
				s := newScenario(t, job{kernel: kind, policies: "external", kmAddress: true}.configure(t))
				for _, n := range []lab.Node{lab.MN, lab.HA} {
					must(t, n.IP(strings.Join(append(bindingKeys(), tunnelKeys(lab.HoA)...), "\n")))
				}
				s.startPing(t, lab.CN)
				roam(t, s)
			})
		}
		t.Run("BU waits for keys", waits)
	})
}

// roam leaves home, moves on, comes back to the first link, and returns home.
func roam(t *testing.T, s *scenario) {
	for _, to := range []lab.Link{lab.Foreign1, lab.Foreign2, lab.Foreign1, lab.Home} {
		from := s.at
		if ack := s.move(t, to); ack.KeyMobility {
			t.Error("K bit in the Binding Acknowledgement, though keys are manual (RFC 6275 section 6.1.8)")
		}
		if to != lab.Home {
			s.kept(t, payload, to.Address, pair{manualSPI(mobilityd.ReqidPayloadToHA), manualSPI(mobilityd.ReqidPayloadToMN)})
		}
		if from != lab.Home {
			lab.Detach(t, from)
		}
	}
	s.registered(t, lab.Foreign1, 2)
	s.registered(t, lab.Foreign2, 1)
	s.protected(t)
	s.unbroken(t)
	for link, c := range s.captures {
		if c.Count(t, lab.IsTunnel) == 0 {
			t.Errorf("no tunnel was seen on %s", link.Name)
		}
	}
	must(t, s.noTunnels(t, lab.MN, false))
}

// waits plays the key exchange by hand: leaving home without SAs makes the kernel ask for some; nothing leaves before
// they are there but what a key exchange sends; then the Binding Update goes out by itself.
func waits(t *testing.T) {
	s := newScenario(t, job{kernel: "xfrm", policies: "external", kmAddress: true}.configure(t))
	s.startPing(t, lab.CN)
	m := s.depart(t, lab.Foreign1)
	s.acquired(t, lab.MN, binding)

	foreign := s.captures[lab.Foreign1]
	if err := sendPlain(t); !errors.Is(err, syscall.EPERM) {
		t.Errorf("a socket under the policies: %v, want it refused", err)
	}
	if n := foreign.Count(t, lab.IsIKE); n != 0 {
		t.Errorf("%d datagrams of it left", n)
	}
	must(t, sendPastPolicies(t))
	s.exchanged(t, lab.Foreign1)
	if n := foreign.Count(t, lab.IsProtectedBU); n != 0 {
		t.Errorf("%d Binding Updates left before there were keys", n)
	}

	for _, n := range []lab.Node{lab.MN, lab.HA} {
		must(t, n.IP(strings.Join(bindingKeys(), "\n")))
	}
	s.acknowledged(t, m)
	s.registered(t, lab.Foreign1, 1)
	s.protected(t)
}

var ikeAtHomeAgent = netip.AddrPortFrom(lab.HomeAgent, 500)

func sendPlain(t *testing.T) error {
	t.Helper()
	return lab.MN.Do(func() error {
		conn, err := net.DialUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(lab.Foreign1.Address, 0)),
			net.UDPAddrFromAddrPort(ikeAtHomeAgent))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("plain"))
		return err
	})
}

func sendPastPolicies(t *testing.T) error {
	t.Helper()
	return lab.MN.Do(func() error {
		conn, err := udp.Listen(500, udp.Options{})
		if err != nil {
			return err
		}
		defer conn.Close()
		return conn.Send(udp.Datagram{Local: netip.AddrPortFrom(lab.Foreign1.Address, 500), Remote: ikeAtHomeAgent,
			Data: []byte("bypass")})
	})
}

// bindingKeys and tunnelKeys are the commands for the SAs that a key exchange would install, the same on both hosts.
func bindingKeys() []string {
	return []string{
		manualSA(lab.HoA, lab.HomeAgent, spd.Transport, mobilityd.ReqidBU),
		manualSA(lab.HomeAgent, lab.HoA, spd.Transport, mobilityd.ReqidBA),
	}
}

func tunnelKeys(careOf netip.Addr) []string {
	return []string{
		manualSA(careOf, lab.HomeAgent, spd.Tunnel, mobilityd.ReqidPayloadToHA),
		manualSA(lab.HomeAgent, careOf, spd.Tunnel, mobilityd.ReqidPayloadToMN),
	}
}

func manualSPI(reqid uint32) uint32 { return 0x1000 + reqid }

func manualSA(src, dst netip.Addr, mode spd.Mode, reqid uint32) string {
	return fmt.Sprintf("xfrm state add src %s dst %s proto esp spi %d mode %s reqid %d replay-window 32 "+
		"enc cbc(aes) 0x%032x auth-trunc hmac(sha256) 0x%064x 128", src, dst, manualSPI(reqid), mode, reqid, reqid, reqid)
}
