//go:build linux

package roaming

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"mipsecd/integration/lab"
	"mipsecd/integration/mobilityd"
	"mipsecd/mobility"
	"mipsecd/spd"
	"mipsecd/spd/pfkey"
	"mipsecd/spd/xfrm"
)

// patience bounds each wait. It decides only over what never happens.
const patience = 30 * time.Second

// scenario is a mobile node roaming in the lab, with what is watched meanwhile.
type scenario struct {
	ctx      context.Context // of the whole test
	mn       *mobilityd.MobileNode
	ha       *mobilityd.HomeAgent
	at       lab.Link
	captures map[lab.Link]*lab.Capture
	kernels  map[lab.Node]spd.Backend // to look at
	ping     *lab.Ping                // from the correspondent to the HoA
	gaps     []gap
}

// gap is a movement: echo requests between the two, the last known of before it and the first answered after it, may be
// lost. All others must be answered.
type gap struct{ before, after int }

// newScenario builds the lab and starts the mobility daemons, with the mobile node at home.
func newScenario(t *testing.T, configure func(lab.Node, *mobilityd.Config)) *scenario {
	t.Helper()
	lab.Build(t)
	s := &scenario{
		ctx: t.Context(), at: lab.Home,
		captures: map[lab.Link]*lab.Capture{
			lab.Foreign1: lab.StartCapture(t, lab.Foreign1), lab.Foreign2: lab.StartCapture(t, lab.Foreign2),
		},
		kernels: map[lab.Node]spd.Backend{lab.MN: openBackend(t, "xfrm", lab.MN), lab.HA: openBackend(t, "xfrm", lab.HA)},
	}
	config := func(n lab.Node) mobilityd.Config {
		c := mobilityd.Config{HomeAddress: lab.HoA, HomeAgent: lab.HomeAgent, Lifetime: time.Hour,
			HomeLink: lab.Home.Name, IP: n.IP}
		configure(n, &c)
		return c
	}
	must(t, lab.MN.Do(func() (err error) {
		s.mn, err = mobilityd.StartMobileNode(config(lab.MN))
		return err
	}))
	t.Cleanup(func() { s.mn.Close() })
	must(t, lab.HA.Do(func() (err error) {
		s.ha, err = mobilityd.StartHomeAgent(config(lab.HA))
		return err
	}))
	t.Cleanup(func() { s.ha.Close() })
	return s
}

// startPing begins to ping the HoA. From now on only movements excuse a loss.
func (s *scenario) startPing(t *testing.T) {
	t.Helper()
	s.ping = lab.StartPing(t, lab.CN, lab.HoA)
	s.answered(t)
}

func (s *scenario) answered(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	seq, err := s.ping.Next(ctx)
	must(t, err)
	return seq
}

// movement is one under way.
type movement struct {
	from, to lab.Link
	before   int // the last known echo request
	result   chan error
	ack      mobility.BindingAck
}

// depart attaches to a link and begins to register there. When it was on another foreign link, both are up now.
func (s *scenario) depart(t *testing.T, to lab.Link) *movement {
	t.Helper()
	m := &movement{from: s.at, to: to, before: s.ping.Sent(), result: make(chan error, 1)}
	s.at = to
	if m.from == lab.Home {
		lab.Detach(t, m.from)
	}
	lab.Attach(t, to)
	go func() {
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		defer cancel()
		var err error
		if to == lab.Home {
			m.ack, err = s.mn.ReturnHome(ctx)
		} else {
			m.ack, err = s.mn.Move(ctx, to.Address)
		}
		m.result <- err
	}()
	return m
}

// acknowledged waits until the home agent has answered.
func (s *scenario) acknowledged(t *testing.T, m *movement) mobility.BindingAck {
	t.Helper()
	if err := <-m.result; err != nil {
		t.Fatalf("moving from %s to %s: %v; the home agent: %v", m.from.Name, m.to.Name, err, s.ha.Err())
	}
	if got := s.ha.CareOf(); got != m.to.Address {
		t.Errorf("the home agent has the mobile node at %s, want %s", got, m.to.Address)
	}
	return m.ack
}

// arrive leaves the old link and waits until echo requests are answered on the new one.
func (s *scenario) arrive(t *testing.T, m *movement) {
	t.Helper()
	if m.from != lab.Home {
		lab.Detach(t, m.from)
	}
	s.gaps = append(s.gaps, gap{m.before, s.answered(t)})
}

// move is a whole movement.
func (s *scenario) move(t *testing.T, to lab.Link) mobility.BindingAck {
	t.Helper()
	m := s.depart(t, to)
	ack := s.acknowledged(t, m)
	s.arrive(t, m)
	return ack
}

// protected checks that on each foreign link nothing of the HoA was ever seen outside ESP.
func (s *scenario) protected(t *testing.T) {
	t.Helper()
	for _, c := range s.captures {
		for _, packet := range c.Exposed(t, lab.HoA) {
			t.Errorf("seen in the clear: %s", packet)
		}
	}
}

// registered checks that a link has seen at least so many Binding Updates and Acknowledgements, inside ESP.
func (s *scenario) registered(t *testing.T, link lab.Link, times int) {
	t.Helper()
	c := s.captures[link]
	if bu, ba := c.Count(t, lab.IsProtectedBU), c.Count(t, lab.IsProtectedBA); bu < times || ba < times {
		t.Errorf("%s: %d Binding Updates and %d Binding Acknowledgements inside ESP, want %d or more", link.Name, bu, ba, times)
	}
}

// unbroken checks that no echo request was lost but during movements.
func (s *scenario) unbroken(t *testing.T) {
	t.Helper()
	s.answered(t)
	for _, seq := range s.ping.Lost() {
		if !slices.ContainsFunc(s.gaps, func(g gap) bool { return g.before < seq && seq < g.after }) {
			t.Errorf("echo request %d was lost outside the movements %v", seq, s.gaps)
		}
	}
}

// sas lists a host's SAs of one mode.
func (s *scenario) sas(t *testing.T, n lab.Node, mode spd.Mode) []spd.SA {
	t.Helper()
	sas, err := s.kernels[n].SAs()
	must(t, err)
	return slices.DeleteFunc(sas, func(sa spd.SA) bool { return sa.Mode != mode })
}

// pair is the SPIs of the SAs of one mode between an address and the home agent, toward it and back. It is an error when
// the two hosts do not both have exactly these.
func (s *scenario) pair(t *testing.T, mode spd.Mode, with netip.Addr) (spis []uint32, err error) {
	t.Helper()
	up := spd.Endpoints{Src: with, Dst: lab.HomeAgent}
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		found := map[spd.Endpoints]uint32{}
		sas := s.sas(t, n, mode)
		for _, sa := range sas {
			found[sa.Endpoints] = sa.SPI
		}
		both := []uint32{found[up], found[up.Reverse()]}
		if len(sas) != 2 || slices.Contains(both, 0) {
			return nil, fmt.Errorf("%s has these SAs: %v; want one %s %s and one back", n, sas, mode, up)
		}
		if spis != nil && !slices.Equal(both, spis) {
			return nil, fmt.Errorf("%s has the SPIs %08x, the other side %08x", n, both, spis)
		}
		spis = both
	}
	return spis, nil
}

// paired waits until there is a pair, other than old. While a pair takes over from another there are two.
func (s *scenario) paired(t *testing.T, mode spd.Mode, with netip.Addr, old []uint32) (spis []uint32) {
	t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		spis, err := s.pair(t, mode, with)
		if err == nil && slices.Equal(spis, old) {
			err = fmt.Errorf("the SPIs are %08x as before", spis)
		}
		if err == nil {
			return spis
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}

// kept checks that a pair is the same as before, at once.
func (s *scenario) kept(t *testing.T, mode spd.Mode, with netip.Addr, before []uint32) {
	t.Helper()
	now, err := s.pair(t, mode, with)
	must(t, err)
	if !slices.Equal(now, before) {
		t.Errorf("the SPIs of the %s SAs were %08x, are %08x", mode, before, now)
	}
}

// tunnelPolicies lists a host's policies for tunnels.
func (s *scenario) tunnelPolicies(t *testing.T, n lab.Node) []spd.Policy {
	t.Helper()
	policies, err := s.kernels[n].Policies()
	must(t, err)
	return slices.DeleteFunc(policies, func(p spd.Policy) bool {
		return !slices.ContainsFunc(p.Templates, func(t spd.Template) bool { return t.Mode == spd.Tunnel })
	})
}

// acquired waits until a host's kernel asks for an SA.
func (s *scenario) acquired(t *testing.T, n lab.Node) spd.Acquire {
	t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for {
		select {
		case e := <-s.kernels[n].Events():
			if a, ok := e.(spd.Acquire); ok {
				return a
			}
		case <-ctx.Done():
			t.Fatalf("no ACQUIRE on %s", n)
		}
	}
}

// exchanged waits until a link has seen IKE, and checks that it is between the CoA on that link and the home agent alone.
func (s *scenario) exchanged(t *testing.T, link lab.Link) {
	t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	c := s.captures[link]
	for c.Count(t, lab.IsIKE) == 0 {
		if ctx.Err() != nil {
			t.Fatalf("no IKE on %s", link.Name)
		}
		c.Wait(t)
	}
	for _, p := range c.Packets(t) {
		between := p.Src == link.Address && p.Dst == lab.HomeAgent || p.Src == lab.HomeAgent && p.Dst == link.Address
		if lab.IsIKE(p) && !between {
			t.Errorf("IKE between %s and %s (RFC 4877 section 4.4)", p.Src, p.Dst)
		}
	}
}

// openBackend opens a host's IPsec, until the test ends.
func openBackend(t *testing.T, kind string, n lab.Node) spd.Backend {
	t.Helper()
	var backend spd.Backend
	must(t, n.Do(func() (err error) {
		if kind == "pfkey" {
			backend, err = pfkey.Open()
		} else {
			backend, err = xfrm.Open()
		}
		return err
	}))
	t.Cleanup(func() { backend.Close() })
	return backend
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
