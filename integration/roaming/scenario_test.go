//go:build linux

package roaming

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"mipsecd/integration/lab"
	"mipsecd/integration/mobilityd"
	"mipsecd/internal/uml"
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
	// passedOver is how many of a link's packets are not looked at for IKE.
	passedOver map[lab.Link]int
	configs    map[lab.Node]mobilityd.Config // of the daemons
	kernels    map[lab.Node]spd.Backend      // to look at
	agents     map[lab.Node]*process         // where there are any
	ping       *lab.Ping                     // from the correspondent to the HoA
	gaps       []gap
}

// gap is a movement or a rekey: echo requests between the two, the last known of before it and the first answered after
// it, may be lost. All others must be answered.
type gap struct{ before, after int }

// newScenario builds the lab and starts the mobility daemons, with the mobile node at home.
func newScenario(t *testing.T, configure func(lab.Node, *mobilityd.Config)) *scenario {
	t.Helper()
	lab.Build(t)
	loadAlgorithms(t)
	s := &scenario{
		ctx: t.Context(), at: lab.Home, passedOver: map[lab.Link]int{},
		captures: map[lab.Link]*lab.Capture{
			lab.Foreign1: lab.StartCapture(t, lab.Foreign1), lab.Foreign2: lab.StartCapture(t, lab.Foreign2),
		},
		kernels: map[lab.Node]spd.Backend{lab.MN: openBackend(t, "xfrm", lab.MN), lab.HA: openBackend(t, "xfrm", lab.HA)},
	}
	s.configs = map[lab.Node]mobilityd.Config{}
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		c := mobilityd.Config{HomeAddress: lab.HoA, HomeAgent: lab.HomeAgent, Lifetime: time.Hour,
			HomeLink: lab.Home.Name, IP: n.IP}
		configure(n, &c)
		s.configs[n] = c
		s.startDaemon(t, n)
	}
	return s
}

// startDaemon starts a host's mobility daemon, with the mobile node at home, until the whole test ends.
func (s *scenario) startDaemon(t *testing.T, n lab.Node) {
	t.Helper()
	must(t, n.Do(func() (err error) {
		if n == lab.MN {
			s.mn, err = mobilityd.StartMobileNode(s.configs[n])
		} else {
			s.ha, err = mobilityd.StartHomeAgent(s.configs[n])
		}
		return err
	}))
	var daemon io.Closer = s.mn
	if n == lab.HA {
		daemon = s.ha
	}
	context.AfterFunc(s.ctx, func() { daemon.Close() })
}

// startPing begins to ping the HoA. From now on only movements excuse a loss.
func (s *scenario) startPing(t *testing.T, from lab.Node) {
	t.Helper()
	s.ping = lab.StartPing(t, from, lab.HoA, 100*time.Millisecond)
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

// arrive waits until echo requests are answered on the new link.
func (s *scenario) arrive(t *testing.T, m *movement) {
	t.Helper()
	s.gaps = append(s.gaps, gap{m.before, s.answered(t)})
}

// move is a movement up to the first answer on the new link. When the old link was a foreign one, it is still up.
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

// acquired waits until a host's kernel asks for SAs for some traffic: by its policy toward the other host, with the reqid
// of that.
func (s *scenario) acquired(t *testing.T, n lab.Node, k traffic) {
	t.Helper()
	selector := k.toHA
	if n == lab.HA {
		selector = k.toMN
	}
	var reqid uint32
	eventually(t, func() error {
		toHA, toMN, err := s.reqids(t, n, k)
		if reqid = toHA; n == lab.HA {
			reqid = toMN
		}
		return err
	})
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for {
		select {
		case e := <-s.kernels[n].Events():
			a, ok := e.(spd.Acquire)
			if !ok || a.Selector != selector {
				continue
			}
			if a.Template.Mode != k.mode || a.Template.Reqid != reqid || a.Template.Level != spd.Unique {
				t.Errorf("ACQUIRE for %s with %s, want %s, level unique, reqid %d", a.Selector, a.Template, k.mode, reqid)
			}
			return
		case <-ctx.Done():
			t.Fatalf("no ACQUIRE on %s for %s", n, selector)
		}
	}
}

// exchanged waits until a link has seen IKE, and checks that it is between the CoA on that link and the home agent alone.
func (s *scenario) exchanged(t *testing.T, link lab.Link) {
	t.Helper()
	var ike []lab.Captured
	eventually(t, func() error {
		packets := slices.Clone(s.captures[link].Packets(t)[s.passedOver[link]:])
		ike = slices.DeleteFunc(packets, func(p lab.Captured) bool { return !lab.IsIKE(p) })
		if len(ike) == 0 {
			return fmt.Errorf("no IKE on %s", link.Name)
		}
		return nil
	})
	for _, p := range ike {
		between := p.Src == link.Address && p.Dst == lab.HomeAgent || p.Src == lab.HomeAgent && p.Dst == link.Address
		if !between {
			t.Errorf("IKE between %s and %s (RFC 4877 section 4.4)", p.Src, p.Dst)
		}
	}
}

// loadAlgorithms loads all algorithms that there are and then stops the kernel from loading modules: each time that somebody
// opens PF_KEY it would call modprobe for all that there are not, seconds in all.
func loadAlgorithms(t *testing.T) {
	t.Helper()
	uml.Sh(t, "modprobe -a ah4 esp4 des_generic xcbc sha512_generic ghash_generic drbg ansi_cprng")
	openBackend(t, "pfkey", lab.Router)
	uml.Sh(t, "echo > /proc/sys/kernel/modprobe")
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

// eventually waits until f finds nothing wrong.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
