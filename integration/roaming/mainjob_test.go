//go:build linux

package roaming

import (
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/integration/mobilityd"
	"mipsecd/internal/uml"
)

// job is one way to be set up for the main job.
type job struct {
	kernel    string // interface to the kernel, of mipsecd and of the mobility daemon
	policies  string // whose they are: "external", the mobility daemon's, or "mipsecd"
	kBit      bool
	kOnly     lab.Node // which alone has the K bit; both if empty
	kmAddress bool     // the mobility daemon's MIGRATE has it
	asks      lab.Node // which mipsecd makes sure every second that the other is alive; none if empty
	hasty     bool     // mipsecd gives a key exchange up soon
	brisk     bool     // mipsecd gives a peer up after seconds
	tokens    bool     // mipsecd tells, and believes, that a host has crashed (RFC 6290)
	level     string   // of mipsecd's policies, if not the usual
	mlkem     bool     // every key exchange is followed by one of ML-KEM-768
}

func (j job) String() string {
	name := j.kernel
	if j.policies == "mipsecd" {
		name += " policies of mipsecd"
	}
	if name += " K"; !j.kBit {
		name += "=0"
	}
	if j.kmAddress {
		name += " KMADDRESS"
	}
	if j.asks != "" {
		name += " liveness asked by " + string(j.asks)
	}
	if j.mlkem {
		name += " ML-KEM"
	}
	return name
}

// jobs are all combinations that differ in what is reported, one more for each kernel interface that watches liveness, and
// one more with key exchanges that take several messages.
func jobs() (all []job) {
	for _, kernel := range []string{"xfrm", "pfkey"} {
		all = append(all,
			job{kernel: kernel, policies: "external", kBit: true, kmAddress: true},
			job{kernel: kernel, policies: "external", kBit: true},
			job{kernel: kernel, policies: "external", kmAddress: kernel == "pfkey"},
			job{kernel: kernel, policies: "mipsecd", kBit: true},
			job{kernel: kernel, policies: "mipsecd"})
	}
	return append(all,
		job{kernel: "xfrm", policies: "mipsecd", kBit: true, mlkem: true},
		job{kernel: "xfrm", policies: "external", kBit: true, kmAddress: true, asks: lab.MN},
		job{kernel: "pfkey", policies: "external", kBit: true, kmAddress: true, asks: lab.HA})
}

// TestMainJob is what mipsecd is for: it keys a mobile node and keeps the keys alive while the node moves.
func TestMainJob(t *testing.T) {
	uml.Run(t, func(t *testing.T) {
		for _, j := range jobs() {
			t.Run(j.String(), j.run)
		}
	}, mipsecd)
}

// usesMLKEM holds that the exchange that carries it has taken place, if there is to be one.
func (j job) usesMLKEM(t *testing.T, s *scenario, exchange string) {
	t.Helper()
	if j.mlkem {
		must(t, s.agents[lab.MN].told(0, exchange+" response", "[ KE ]"))
	}
}

// configure configures the mobility daemons.
func (j job) configure(t *testing.T) func(lab.Node, *mobilityd.Config) {
	return func(n lab.Node, c *mobilityd.Config) {
		if c.KeyMobility = j.keepsKeys(n); j.policies == "external" {
			c.Migrator, c.KMAddress = openBackend(t, j.kernel, n), j.kmAddress
		}
	}
}

// keepsKeys reports whether a host has the K bit.
func (j job) keepsKeys(n lab.Node) bool { return j.kBit && (j.kOnly == "" || j.kOnly == n) }

// keys are what protects the mobile node's traffic.
type keys struct{ binding, homeTest, payload pair }

func (j job) run(t *testing.T) {
	s := newScenario(t, j.configure(t))
	s.agents = startAgents(t, j)
	s.ready(t, lab.MN, lab.HA)
	s.startPing(t, lab.CN)
	var leaving *movement
	var k keys
	var ike string // SPIs of the IKE_SA
	step := func(name string, f func(t *testing.T)) {
		if !t.Run(name, f) {
			t.FailNow()
		}
	}

	step("1 ACQUIRE for the Binding Update", func(t *testing.T) {
		leaving = s.depart(t, lab.Foreign1)
		s.acquired(t, lab.MN, binding)
	})
	step("2 IKE from the CoA, SAs on the HoA", func(t *testing.T) {
		s.exchanged(t, lab.Foreign1)
		k.binding = s.keyed(t, binding, lab.HoA, pair{})
		ike = s.ikeSA(t, lab.Foreign1.Address)
		j.usesMLKEM(t, s, "IKE_INTERMEDIATE")
	})
	step("3 BU and BA inside ESP", func(t *testing.T) {
		j.checkK(t, s.acknowledged(t, leaving).KeyMobility)
		s.registered(t, lab.Foreign1, 1)
		s.protected(t)
	})
	step("4 payload tunnel on demand", func(t *testing.T) {
		s.acquired(t, lab.HA, payload)
		s.arrive(t, leaving)
		k.payload = s.keyed(t, payload, lab.Foreign1.Address, pair{})
	})
	step("4 home test tunnel on demand", func(t *testing.T) {
		k.homeTest = j.testHome(t, s)
	})
	if j.kBit {
		step("5 movement with K", func(t *testing.T) { j.moveKeeping(t, s, ike, k) })
		if j.asks != "" {
			step("5 liveness from the new CoA", func(t *testing.T) { j.alive(t, s) })
		}
		step("5 rekey from the new CoA", func(t *testing.T) {
			k = s.rekey(t, k)
			j.usesMLKEM(t, s, "IKE_FOLLOWUP_KE")
		})
	} else {
		step("5 movement without K", func(t *testing.T) { ike, k = j.moveAnew(t, s, ike, k) })
	}
	step("6 return home", func(t *testing.T) { j.returnHome(t, s, ike, k) })
	step("7 ping throughout", func(t *testing.T) {
		s.unbroken(t)
		s.protected(t)
	})
}

// testHome has a Home Test Init sent to the correspondent and its answer come back, by way of the home agent and in a tunnel
// of their own.
func (j job) testHome(t *testing.T, s *scenario) pair {
	r := startRoutability(t)
	r.init(t)
	s.acquired(t, lab.MN, homeTest)
	keys := s.keyed(t, homeTest, lab.Foreign1.Address, pair{})
	eventually(t, func() error {
		r.init(t)
		return r.arrived()
	})
	s.protected(t)
	return keys
}

// moveKeeping moves on: no message of the key exchange, no new SA (RFC 6275 sections 10.3.1 and 11.7.3).
func (j job) moveKeeping(t *testing.T, s *scenario, ike string, k keys) {
	m := s.depart(t, lab.Foreign2)
	j.checkK(t, s.acknowledged(t, m).KeyMobility)
	s.registered(t, lab.Foreign2, 1)
	s.kept(t, binding, lab.HoA, k.binding)
	s.kept(t, homeTest, lab.Foreign2.Address, k.homeTest)
	s.kept(t, payload, lab.Foreign2.Address, k.payload)
	s.arrive(t, m)
	if now := s.ikeSA(t, lab.Foreign2.Address); now != ike {
		t.Errorf("the IKE_SA was %s, is %s", ike, now)
	}
	if n := s.captures[lab.Foreign2].Count(t, lab.IsIKE); n != 0 && j.asks == "" {
		t.Errorf("%d messages of IKE on the new link, want none", n)
	}
}

// alive waits until the peer has shown signs of life after the movement, twice: the first may answer what was asked
// before it.
func (j job) alive(t *testing.T, s *scenario) {
	asker := s.agents[j.asks]
	again := func() {
		before := asker.lines()
		eventually(t, func() error { return asker.told(before, "peer alive") })
	}
	again()
	quiet := s.captures[lab.Foreign1].Count(t, lab.IsIKE)
	s.passedOver[lab.Foreign2] = len(s.captures[lab.Foreign2].Packets(t)) // an earlier question is answered from where it came to
	again()
	s.exchanged(t, lab.Foreign2)
	if now := s.captures[lab.Foreign1].Count(t, lab.IsIKE); now != quiet {
		t.Errorf("%d messages of IKE on the link that was left", now-quiet)
	}
}

// rekey has all Child SAs rekeyed, some by the one side and some by the other, and then leaves the old link.
func (s *scenario) rekey(t *testing.T, k keys) (fresh keys) {
	quiet := s.captures[lab.Foreign1].Count(t, lab.IsIKE)
	careOf := lab.Foreign2.Address
	lab.SoftExpire(t, lab.MN, outbound(lab.HomeAgent, k.binding.toHA))
	fresh.binding = s.keyed(t, binding, lab.HoA, k.binding)
	lab.SoftExpire(t, lab.MN, outbound(lab.HomeAgent, k.homeTest.toHA))
	fresh.homeTest = s.keyed(t, homeTest, careOf, k.homeTest)
	before := s.ping.Sent()
	lab.SoftExpire(t, lab.HA, outbound(careOf, k.payload.toMN))
	fresh.payload = s.keyed(t, payload, careOf, k.payload)
	// Until the other side is ready to receive on the new SA, what is sent by it is lost (RFC 7296 section 2.8).
	s.gaps = append(s.gaps, gap{before, s.answered(t)})
	s.exchanged(t, lab.Foreign2)
	if now := s.captures[lab.Foreign1].Count(t, lab.IsIKE); now != quiet {
		t.Errorf("%d messages of IKE on the link that was left", now-quiet)
	}
	lab.Detach(t, lab.Foreign1)
	return fresh
}

// moveAnew moves on: the key exchange starts anew from the new CoA (RFC 4877 section 7.4). Then it leaves the old link.
func (j job) moveAnew(t *testing.T, s *scenario, ike string, k keys) (fresh string, now keys) {
	m := s.depart(t, lab.Foreign2)
	j.checkK(t, s.acknowledged(t, m).KeyMobility)
	s.registered(t, lab.Foreign2, 1)
	s.exchanged(t, lab.Foreign2)
	now = keys{
		s.keyed(t, binding, lab.HoA, k.binding),
		s.keyed(t, homeTest, lab.Foreign2.Address, k.homeTest),
		s.keyed(t, payload, lab.Foreign2.Address, k.payload),
	}
	if fresh = s.ikeSA(t, lab.Foreign2.Address); fresh == ike {
		t.Errorf("the IKE_SA is %s as before", ike)
	}
	s.arrive(t, m)
	lab.Detach(t, lab.Foreign1)
	return fresh, now
}

// returnHome comes back: tunnels are out of use, the transport SAs and, with the K bit, the IKE_SA serve on (RFC 4877
// section 4.2).
func (j job) returnHome(t *testing.T, s *scenario, ike string, k keys) {
	m := s.depart(t, lab.Home)
	j.checkK(t, s.acknowledged(t, m).KeyMobility)
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		eventually(t, func() error { return s.noTunnels(t, n, j.policies == "mipsecd") })
	}
	s.arrive(t, m)
	if j.kBit {
		s.kept(t, binding, lab.HoA, k.binding)
	}
	now := s.ikeSA(t, lab.HoA)
	if kept := now == ike; kept != j.kBit {
		t.Errorf("the IKE_SA was %s, is %s", ike, now)
	}
	if j.kBit {
		lab.SoftExpire(t, lab.HA, outbound(lab.HoA, k.binding.toMN))
	}
	s.keyed(t, binding, lab.HoA, k.binding)
	lab.Detach(t, lab.Foreign2)
}

func (j job) checkK(t *testing.T, got bool) {
	t.Helper()
	if got != j.kBit {
		t.Errorf("K bit in the Binding Acknowledgement: %t, want %t", got, j.kBit)
	}
}
