//go:build linux

package roaming

import (
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/integration/mobilityd"
	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// job is one way to be set up for the main job.
type job struct {
	name      string
	kernel    string // interface to the kernel, of mipsecd and of the mobility daemon
	policies  string // whose they are: "external", the mobility daemon's, or "mipsecd"
	kBit      bool
	kmAddress bool // the mobility daemon's MIGRATE has it
}

// TestMainJob is what mipsecd is for: it keys a mobile node and keeps the keys alive while the node moves.
func TestMainJob(t *testing.T) {
	uml.Run(t, func(t *testing.T) {
		for _, j := range []job{
			{name: "xfrm/K", kernel: "xfrm", policies: "external", kBit: true, kmAddress: true},
			{name: "xfrm/no K", kernel: "xfrm", policies: "external"},
			{name: "pfkey/K", kernel: "pfkey", policies: "external", kBit: true},
			{name: "pfkey/no K", kernel: "pfkey", policies: "external", kmAddress: true},
			{name: "policies of mipsecd/K", kernel: "xfrm", policies: "mipsecd", kBit: true},
			{name: "policies of mipsecd/no K", kernel: "xfrm", policies: "mipsecd"},
		} {
			t.Run(j.name, j.run)
		}
	}, mipsecd)
}

func (j job) run(t *testing.T) {
	s := newScenario(t, func(n lab.Node, c *mobilityd.Config) {
		if c.KeyMobility = j.kBit; j.policies == "external" {
			c.Migrator, c.KMAddress = openBackend(t, j.kernel, n), j.kmAddress
		}
	})
	startAgents(t, j)
	s.startPing(t)
	var leaving *movement
	var binding, tunnel []uint32 // SPIs of the SAs for BU and BA, and of the tunnel's
	step := func(name string, f func(t *testing.T)) {
		if !t.Run(name, f) {
			t.FailNow()
		}
	}

	step("1 acquire", func(t *testing.T) {
		leaving = s.depart(t, lab.Foreign1)
		if a := s.acquired(t, lab.MN); a.Template.Mode != spd.Transport || a.Endpoints.Src != lab.HoA {
			t.Errorf("the first ACQUIRE is for %s %s, want it for the Binding Update", a.Template, a.Endpoints)
		}
	})
	step("2 IKE from the CoA", func(t *testing.T) { s.exchanged(t, lab.Foreign1) })
	step("3 BU and BA inside ESP", func(t *testing.T) {
		j.checkK(t, s.acknowledged(t, leaving).KeyMobility)
		s.registered(t, lab.Foreign1, 1)
		s.protected(t)
		binding = s.paired(t, spd.Transport, lab.HoA, nil)
	})
	step("4 tunnel on demand", func(t *testing.T) {
		if a := s.acquired(t, lab.HA); a.Template.Mode != spd.Tunnel {
			t.Errorf("the home agent's first ACQUIRE is for %s, want it for the tunnel", a.Template)
		}
		s.arrive(t, leaving)
		tunnel = s.paired(t, spd.Tunnel, lab.Foreign1.Address, nil)
	})
	if j.kBit {
		step("5 movement with K", func(t *testing.T) { j.moveKeeping(t, s, binding, tunnel) })
	} else {
		step("5 movement without K", func(t *testing.T) { j.moveAnew(t, s, binding, tunnel) })
	}
	step("6 return home", func(t *testing.T) {
		j.checkK(t, s.move(t, lab.Home).KeyMobility)
		if policies := s.tunnelPolicies(t, lab.MN); len(policies) > 0 {
			t.Errorf("at home there must be no tunnel policies (RFC 4877 section 4.2): %v", policies)
		}
		if j.kBit { // RFC 4877 section 4.2
			s.kept(t, spd.Transport, lab.HoA, binding)
		}
	})
	step("7 ping throughout", func(t *testing.T) {
		s.unbroken(t)
		s.protected(t)
	})
}

// moveKeeping moves on: no message of the key exchange, no new SA (RFC 6275 sections 10.3.1 and 11.7.3).
func (j job) moveKeeping(t *testing.T, s *scenario, binding, tunnel []uint32) {
	j.checkK(t, s.move(t, lab.Foreign2).KeyMobility)
	s.registered(t, lab.Foreign2, 1)
	s.kept(t, spd.Transport, lab.HoA, binding)
	s.kept(t, spd.Tunnel, lab.Foreign2.Address, tunnel)
	if n := s.captures[lab.Foreign2].Count(t, lab.IsIKE); n != 0 {
		t.Errorf("%d messages of IKE on the new link, want none", n)
	}
}

// moveAnew moves on: the key exchange starts anew from the new CoA (RFC 4877 section 7.4).
func (j job) moveAnew(t *testing.T, s *scenario, binding, tunnel []uint32) {
	j.checkK(t, s.move(t, lab.Foreign2).KeyMobility)
	s.registered(t, lab.Foreign2, 1)
	s.exchanged(t, lab.Foreign2)
	s.paired(t, spd.Transport, lab.HoA, binding)
	s.paired(t, spd.Tunnel, lab.Foreign2.Address, tunnel)
}

func (j job) checkK(t *testing.T, got bool) {
	t.Helper()
	if got != j.kBit {
		t.Errorf("K bit in the Binding Acknowledgement: %t, want %t", got, j.kBit)
	}
}
