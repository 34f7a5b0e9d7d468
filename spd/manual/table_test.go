package manual_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"mipsecd/internal/secret"
	"mipsecd/spd"
	. "mipsecd/spd/manual"
)

var (
	hoa  = netip.MustParseAddr("2001:db8:1::100")
	ha   = netip.MustParseAddr("2001:db8:1::1")
	coa1 = netip.MustParseAddr("2001:db8:2::100")
	coa2 = netip.MustParseAddr("2001:db8:3::100")

	names = strings.NewReplacer(hoa.String(), "HoA", coa1.String(), "CoA1", coa2.String(), "CoA2", ha.String(), "HA")
)

// script is a mobile node's table with a binding, reqids 1 and 2, and a payload, 7 and 8; the SPIs are 0x1000 more.
type script struct {
	t     *testing.T
	table *Table
}

func newScript(t *testing.T) script {
	one := func(reqid uint32) SA {
		return SA{SPI: 0x1000 + reqid, Reqid: reqid, Transform: spd.Transform{
			Encr: spd.EncrAESCBC, EncrKey: secret.Bytes{byte(reqid)}, Integ: spd.IntegSHA512_256, IntegKey: secret.Bytes{byte(reqid), 1},
		}}
	}
	return script{t, New([]Pair{
		{Peer: "ha", Suite: "aes128-sha512", Out: one(1), In: one(2)},
		{Peer: "ha", Suite: "aes128-sha512", Out: one(7), In: one(8)},
		{Peer: "other", Suite: "aes128-sha512", Out: one(17), In: one(18)},
	})}
}

func binding() spd.Demand {
	return spd.Demand{Peer: "ha", Name: "binding", Mode: spd.Transport, Local: hoa, Remote: ha, ReqidOut: 1, ReqidIn: 2}
}

func payload(at netip.Addr) spd.Demand {
	return spd.Demand{Peer: "ha", Name: "payload", Mode: spd.Tunnel, Local: at, Remote: ha, ReqidOut: 7, ReqidIn: 8}
}

func said(to netip.Addr, spi uint32) spd.SAID { return spd.SAID{Dst: to, Proto: spd.ESP, SPI: spi} }

// told gives a command, which must be the table's, and wants these effects.
func (s script) told(c spd.Command, want string) {
	s.t.Helper()
	effects, ours := s.table.Step(c)
	if !ours {
		s.t.Errorf("%T is not ours", c)
	}
	s.expect(effects, want)
}

func (s script) expect(effects []Effect, want string) {
	s.t.Helper()
	var lines []string
	for _, e := range effects {
		lines = append(lines, names.Replace(text(e)))
	}
	var wanted []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			wanted = append(wanted, line)
		}
	}
	if got, want := strings.Join(lines, "\n"), strings.Join(wanted, "\n"); got != want {
		s.t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func text(e Effect) string {
	switch e := e.(type) {
	case Install:
		return "install " + e.SA.String()
	case Remove:
		return "remove " + e.ID.String()
	case Verify:
		return "verify"
	case Notice:
		switch n := e.Notice.(type) {
		case spd.ChildUp:
			return fmt.Sprintf("up %s: %s, %s", n.Demand, n.In, n.Out)
		case spd.ChildDown:
			return fmt.Sprintf("down %s: %s, %s: %s", n.Demand, n.In, n.Out, n.Reason)
		case spd.ChildMoved:
			return fmt.Sprintf("moved %s: %s, %s are %s, %s", n.Demand, n.OldIn, n.OldOut, n.In, n.Out)
		case spd.KeyFailed:
			return fmt.Sprintf("failed %s: %v", n.Demand, n.Err)
		}
	}
	return fmt.Sprintf("%#v", e)
}

const (
	bindingUp = `
		remove esp 00001002 to HoA
		remove esp 00001001 to HA
		install in esp 00001002 transport HA -> HoA reqid 2
		install out esp 00001001 transport HoA -> HA reqid 1
		up binding with ha (transport, HoA - HA): esp 00001002 to HoA, esp 00001001 to HA`
	payloadUp = `
		remove esp 00001008 to CoA1
		remove esp 00001007 to HA
		install in esp 00001008 tunnel HA -> CoA1 reqid 8
		install out esp 00001007 tunnel CoA1 -> HA reqid 7
		up payload with ha (tunnel, CoA1 - HA): esp 00001008 to CoA1, esp 00001007 to HA`
	payloadMoved = "moved payload with ha (tunnel, CoA2 - HA): esp 00001008 to CoA1, esp 00001007 to HA are " +
		"esp 00001008 to CoA2, esp 00001007 to HA"
)

// both has installed both pairs, the payload's at CoA1.
func both(t *testing.T) script {
	t.Helper()
	s := newScript(t)
	s.told(spd.Key{Demand: binding()}, bindingUp)
	s.told(spd.Key{Demand: payload(coa1)}, payloadUp)
	return s
}

// SAs have no anti-replay window and never expire: nobody would replace them.
func TestRFC4303Section5NoAntiReplay(t *testing.T) {
	s := newScript(t)
	effects, _ := s.table.Step(spd.Key{Demand: binding()})
	installed := 0
	for _, e := range effects {
		if e, ok := e.(Install); ok {
			installed++
			if e.ReplayWindow != 0 || e.Transform.ESN || e.Lifetime != (spd.Lifetime{}) {
				t.Errorf("%s: window %d, ESN %v, lifetime %v", e.SA, e.ReplayWindow, e.Transform.ESN, e.Lifetime)
			}
			if byte(e.Reqid) != e.Transform.EncrKey[0] || byte(e.Reqid) != e.Transform.IntegKey[0] {
				t.Errorf("%s has the keys of another", e.SA)
			}
			if want := (spd.Selector{Src: spd.Host(e.Endpoints.Src), Dst: spd.Host(e.Endpoints.Dst)}); e.Selector != want {
				t.Errorf("%s: for %s, want %s", e.SA, e.Selector, want)
			}
		}
	}
	if installed != 2 {
		t.Errorf("%d SAs", installed)
	}
}

func TestSAsAreInstalledOnce(t *testing.T) {
	s := both(t)
	s.told(spd.Key{Demand: payload(coa1)}, "")
	if got := s.table.Status(); len(got) != 2 || got[0].Demand.Name != "binding" || got[1].Out.SPI != 0x1007 {
		t.Errorf("got %v", got)
	}
}

// The kernel moves tunnels by MIGRATE, one direction after the other; the SAs of transport mode stay.
func TestMovement(t *testing.T) {
	s := both(t)
	change := spd.EndpointChange{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 7,
		Old: spd.Endpoints{Src: coa1, Dst: ha}, New: spd.Endpoints{Src: coa2, Dst: ha}}
	s.told(spd.MoveSAs{Peer: "ha", Change: change}, payloadMoved)
	change.Reqid, change.Old, change.New = 8, change.Old.Reverse(), change.New.Reverse()
	s.told(spd.MoveSAs{Peer: "ha", Change: change}, "")
	s.told(spd.Key{Demand: payload(coa2)}, "")
	s.told(spd.Key{Demand: binding()}, "")
}

// A tunnel that was set elsewhere without a MIGRATE takes its SAs there.
func TestTunnelSetElsewhere(t *testing.T) {
	s := both(t)
	s.told(spd.Key{Demand: payload(coa2)}, `
		remove esp 00001008 to CoA1
		remove esp 00001007 to HA
		remove esp 00001008 to CoA2
		install in esp 00001008 tunnel HA -> CoA2 reqid 8
		install out esp 00001007 tunnel CoA2 -> HA reqid 7
		`+payloadMoved)
}

func TestLostSAsArePutBack(t *testing.T) {
	s := both(t)
	s.told(spd.Lost{Peer: "ha", ID: said(coa1, 0x1008)}, "install in esp 00001008 tunnel HA -> CoA1 reqid 8")
	s.told(spd.Lost{Peer: "ha", ID: said(hoa, 0x1008)}, "")
	s.table.Failed(said(coa1, 0x1008), errors.New("no such cipher"))
	s.told(spd.Lost{Peer: "ha", ID: said(coa1, 0x1008)}, "")
}

// That the kernel calls for an SA says that it is not there, or elsewhere.
func TestAcquireCastsDoubt(t *testing.T) {
	s := both(t)
	d := payload(coa1)
	d.Acquire = 5
	s.told(spd.Key{Demand: d}, "verify")
	in := spd.SA{SPI: 0x1008, Proto: spd.ESP, Endpoints: spd.Endpoints{Src: ha, Dst: coa1}, Reqid: 8}
	bu := spd.SA{SPI: 0x1001, Proto: spd.ESP, Endpoints: spd.Endpoints{Src: hoa, Dst: ha}, Reqid: 1}
	astray := spd.SA{SPI: 0x1007, Proto: spd.ESP, Endpoints: spd.Endpoints{Src: coa2, Dst: ha}, Reqid: 7}
	s.expect(s.table.Compare([]spd.SA{in, bu, astray}), `
		remove esp 00001007 to HA
		install in esp 00001002 transport HA -> HoA reqid 2
		install out esp 00001007 tunnel CoA1 -> HA reqid 7`)
}

// What an earlier run has left goes, but for what is where it should be; what is another's stays.
func TestLeftovers(t *testing.T) {
	s := both(t)
	sa := func(spi, reqid uint32, src, dst netip.Addr) spd.SA {
		return spd.SA{SPI: spi, Proto: spd.ESP, Endpoints: spd.Endpoints{Src: src, Dst: dst}, Reqid: reqid}
	}
	there := []spd.SA{
		sa(0x1001, 1, hoa, ha), sa(0x1002, 2, ha, hoa), sa(0x1007, 7, coa1, ha), sa(0x1008, 8, ha, coa1),
	}
	s.expect(s.table.Compare(there), "")
	s.expect(s.table.Compare(append(there,
		sa(0x1008, 8, ha, coa2), sa(0x1008, 9, ha, coa2), sa(0x2008, 8, ha, coa2), sa(0x1012, 18, ha, hoa))), `
		remove esp 00001008 to CoA2
		remove esp 00001012 to HoA`)
}

func TestInstallingFails(t *testing.T) {
	s := both(t)
	why := errors.New("no such cipher")
	s.expect(s.table.Failed(said(ha, 0x1007), why), `
		remove esp 00001007 to HA
		remove esp 00001008 to CoA1
		down payload with ha (tunnel, CoA1 - HA): esp 00001008 to CoA1, esp 00001007 to HA: no such cipher`)
	s.expect(s.table.Failed(said(coa1, 0x1008), why), "")
	s.told(spd.Key{Demand: payload(coa1)}, payloadUp)
}

// RFC 6275 section 5.1: the policy identifies a single SA.
func TestRFC6275Section5_1ReqidsDecide(t *testing.T) {
	s := newScript(t)
	d := binding()
	d.ReqidIn = 8
	s.told(spd.Key{Demand: d}, "failed binding with ha (transport, HoA - HA): no manual keys are configured for policies "+
		"with the reqids 8 inbound and 1 outbound")
	d = binding()
	d.Peer = "other"
	s.told(spd.Key{Demand: d}, "failed binding with other (transport, HoA - HA): no manual keys are configured for policies "+
		"with the reqids 2 inbound and 1 outbound")
}

func TestOthersCommands(t *testing.T) {
	s := both(t)
	d := binding()
	d.Peer = "somebody"
	for _, c := range []spd.Command{
		spd.Key{Demand: d}, spd.Relocate{Peer: "ha"}, spd.Lost{Peer: "somebody", ID: said(ha, 0x1001)},
		spd.MoveSAs{Peer: "somebody"}, spd.Grant{}, spd.Addresses{},
	} {
		if effects, ours := s.table.Step(c); ours || len(effects) > 0 {
			t.Errorf("%T is ours: %v", c, effects)
		}
	}
	if !s.table.Has("other") || s.table.Has("somebody") {
		t.Error("another peer's keys")
	}
}

func TestEnd(t *testing.T) {
	s := both(t)
	s.expect(s.table.End(), `
		remove esp 00001001 to HA
		remove esp 00001002 to HoA
		down binding with ha (transport, HoA - HA): esp 00001002 to HoA, esp 00001001 to HA: the agent ends
		remove esp 00001007 to HA
		remove esp 00001008 to CoA1
		down payload with ha (tunnel, CoA1 - HA): esp 00001008 to CoA1, esp 00001007 to HA: the agent ends`)
	s.expect(s.table.End(), "")
}
