package ikev2

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"mipsecd/spd"
)

// TestSimulation has both sides do and suffer everything at random, over a network that loses, repeats, delays and
// reorders. Once that ends, both sides must come to be of one mind, with nothing left over.
func TestSimulation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(simulations) {
		simulate(t, seed, DefaultFragmentSize)
		if t.Failed() {
			return
		}
	}
}

const simulations = 150

// TestSimulationOfRoadWarriors is the same with MOBIKE, and longer: a gateway waits for its road warrior to begin.
func TestSimulationOfRoadWarriors(t *testing.T) {
	t.Parallel()
	for seed := range uint64(simulations / 5) {
		simulate(t, seed, DefaultFragmentSize, func(mn, ha *host, haCfg *Config) { mobile(mn, ha, nil, haCfg) })
		if t.Failed() {
			return
		}
	}
}

type simulation struct {
	*world
	mn, ha *host
	dice   *rand.Rand
	keep   bool
	at     netip.Addr
	length int      // in events
	late   []func() // what the home agent will yet hear of movements
	heard  int      // notices of the home agent's that its role has had, if it is the gateway of a road warrior
}

func simulate(t *testing.T, seed uint64, fragmentSize int, change ...func(mn, ha *host, haCfg *Config)) {
	t.Helper()
	s := &simulation{dice: rand.New(rand.NewPCG(seed, 1)), at: coa1, length: 150}
	s.keep = s.dice.IntN(2) == 0
	esp := []string{"aes128gcm16", "aes128gcm16-x25519", "aes128gcm16-x25519-modpnone", hybridESP}[s.dice.IntN(4)]
	ike := []string{"", hybridIKE}[s.dice.IntN(2)]
	s.world, s.mn, s.ha = newWorld(t, options{seed: seed, ike: ike, esp: esp, change: func(mn, ha *host, mnCfg, haCfg *Config) {
		mnCfg.FragmentSize, haCfg.FragmentSize = fragmentSize, fragmentSize
		mn.peer.Liveness, ha.peer.Liveness = 10*time.Second, 15*time.Second
		mn.peer.IKELifetime, ha.peer.IKELifetime = 3*time.Minute, 4*time.Minute
		ha.peer.AuthLifetime = 5 * time.Minute
		if seed%2 == 1 {
			resumes(mn, ha, mnCfg, haCfg)
		}
		if seed%3 == 1 {
			detecting(mn, ha, mnCfg, haCfg)
		}
		for _, f := range change {
			f(mn, ha, haCfg)
		}
	}})
	s.lose = func(p *packet) bool {
		return s.dice.IntN(8) == 0 || p.from == s.mn && p.Local.Addr() != s.at || p.from == s.ha && p.Remote.Addr() != s.at
	}
	if s.mn.peer.MOBIKE {
		s.length = 1000
	}
	s.mn.hold, s.ha.hold = true, true
	for range s.length {
		s.something()
	}

	s.lose, s.mn.hold, s.ha.hold = nil, false, false
	s.mn.work()
	s.ha.work()
	for range 3 {
		s.hear()
		for _, told := range s.late {
			told()
		}
		s.late = nil
		s.run()
		s.pass(5 * time.Minute)
	}
	s.settled(len(s.mn.by(spd.In)))
	for _, h := range s.hosts {
		s.balanced(h)
	}
	if t.Failed() {
		t.Fatalf("seed %d:\n%s", seed, s.log.String())
	}
}

// something happens.
func (s *simulation) something() {
	h := s.hosts[s.dice.IntN(2)]
	switch n := s.dice.IntN(100); {
	case n < 45 && len(s.flight) > 0:
		i := s.dice.IntN(len(s.flight))
		if s.dice.IntN(8) == 0 {
			s.arrive(s.flight[i]) // and once more later
		} else {
			s.deliver(i)
		}
	case n < 75 && len(h.jobs) > 0:
		i := s.dice.IntN(len(h.jobs))
		f := h.jobs[i]
		h.jobs = slices.Delete(h.jobs, i, i+1)
		f()
	case n < 85:
		s.tick(s.now.Add(30 * time.Second))
	case n < 87 && len(s.late) > 0:
		s.late[0]()
		s.late = s.late[1:]
	default:
		s.command(h)
	}
	s.hear()
}

// hear has the gateway of a road warrior learn from its engine where that is.
func (s *simulation) hear() {
	s.heard = min(s.heard, len(s.ha.notices)) // after a crash
	for _, n := range s.ha.notices[s.heard:] {
		if up, ok := n.(spd.PeerUp); ok && s.ha.peer.MOBIKE {
			s.ha.readdress(up.Path)
		}
		if m, ok := n.(spd.PeerMoved); ok && s.ha.peer.MOBIKE && m.Old != m.New {
			s.late = append(s.late, func() {
				s.logf("HA moves from %s to %s", m.Old, m.New)
				s.ha.migrateTunnels(m.Old, m.New)
			})
		}
	}
	s.heard = len(s.ha.notices)
}

// command gives one of the hosts something to do.
func (s *simulation) command(h *host) {
	peer := h.peer.Name
	id := h.randomChild(s.dice)
	s.logf("%s at %s:", h.name, s.at)
	switch n := s.dice.IntN(100); {
	case n < 30:
		d := h.policies[s.dice.IntN(len(h.policies))]
		path := spd.Path{Local: s.at, Remote: haa}
		switch {
		case h == s.ha && h.peer.MOBIKE:
			path = spd.Path{} // a gateway begins nothing
		case h == s.ha:
			path = reversed(path)
		}
		s.logf("  key %s", d)
		h.tell(spd.Key{Demand: d, Path: path})
	case n < 50:
		s.logf("  soft %s", id)
		h.tell(spd.Expired{Peer: peer, ID: id})
	case n < 60:
		s.logf("  hard %s", id)
		h.tell(spd.Expired{Peer: peer, ID: id, Hard: true})
	case n < 75:
		s.logf("  rekey IKE")
		h.rekeyIKE()
	case n < 80:
		s.logf("  terminate")
		h.tell(spd.Terminate{Peer: peer})
	case n < 84:
		h.tell(spd.Probe{Peer: peer})
	case n < 86:
		s.logf("  install failed %s", id)
		h.step(InstallFailed{Peer: peer, ID: id, Err: errors.New("no memory")})
	case n < 88:
		s.crash(h)
	default:
		s.move()
	}
}

// move takes the mobile node elsewhere; the home agent hears of it when it will.
func (s *simulation) move() {
	from, to := s.at, []netip.Addr{coa1, coa2, coa3}[s.dice.IntN(3)]
	if from == to {
		return
	}
	s.logf("  to %s, K bit %t", to, s.keep)
	s.at = to
	if s.mn.peer.MOBIKE {
		s.mn.move(spd.Path{Local: from, Remote: haa}, spd.Path{Local: to, Remote: haa}, false, true)
		return
	}
	s.mn.move(spd.Path{Local: from, Remote: haa}, spd.Path{Local: to, Remote: haa}, s.keep, true)
	s.late = append(s.late, func() {
		s.logf("HA hears of %s", to)
		s.ha.move(spd.Path{Local: from, Remote: haa}, spd.Path{Local: to, Remote: haa}, s.keep, false)
	})
}

// crash lets a host forget everything.
func (s *simulation) crash(h *host) {
	s.logf("  crashes")
	h.crash()
}

// randomChild is one of the inbound SAs, or none.
func (h *host) randomChild(dice *rand.Rand) (id spd.SAID) {
	spis := []uint32{0}
	in := h.by(spd.In)
	for spi := range in {
		spis = append(spis, spi)
	}
	slices.Sort(spis)
	if s, ok := in[spis[dice.IntN(len(spis))]]; ok {
		id = s.ID()
	}
	return id
}

// balanced holds that a role that believes the notices knows what there is.
func (s *simulation) balanced(h *host) {
	s.t.Helper()
	peers, children := map[uint64]bool{}, map[spd.SAID]bool{}
	for _, n := range h.notices {
		switch n := n.(type) {
		case spd.PeerUp:
			peers[n.ID] = true
		case spd.PeerDown:
			if !peers[n.ID] {
				s.t.Errorf("%s: %+v, but it was not up", h.name, n)
			}
			delete(peers, n.ID)
		case spd.ChildUp:
			children[n.In] = true
		case spd.ChildMoved:
			delete(children, n.OldIn)
			children[n.In] = true
		case spd.ChildDown:
			if !children[n.In] {
				s.t.Errorf("%s: %+v, but it was not up", h.name, n)
			}
			delete(children, n.In)
		}
	}
	if len(peers) != len(h.engine.sas) || len(children) != len(h.by(spd.In)) {
		s.t.Errorf("%s: by the notices there are %d IKE_SAs and %d Child SAs, in truth %d and %d", h.name,
			len(peers), len(children), len(h.engine.sas), len(h.by(spd.In)))
	}
	if n := len(h.engine.timers); n > 3*len(h.engine.sas) {
		s.t.Errorf("%s: %d timers for %d IKE_SAs", h.name, n, len(h.engine.sas))
	}
	if at := h.engine.Deadline(); !at.IsZero() && (!at.After(s.now) || at.After(s.now.Add(time.Hour))) {
		s.t.Errorf("%s: deadline %s from now", h.name, at.Sub(s.now))
	}
}
