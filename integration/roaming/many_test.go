//go:build linux

package roaming

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"mipsecd/integration/lab"
	"mipsecd/integration/mobilityd"
	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// fleet are the mobile nodes that the home agent knows in TestManyMobileNodes.
var fleet = func() (list []mobileNode) {
	for i := range 20 {
		r := lab.Roamer{Number: i}
		list = append(list, mobileNode{fmt.Sprintf("mn%d@example.org", 100+i), r.Address(lab.Home)})
	}
	return list
}()

// rounds is how often each of them moves.
const rounds = 3

// TestManyMobileNodes has twenty mobile nodes move about at random between home and two foreign links, all at once and while
// they are pinged. After each round both sides of each have the same SAs, at its care-of address.
func TestManyMobileNodes(t *testing.T) {
	uml.Run(t, func(t *testing.T) {
		for _, kernel := range []string{"xfrm", "pfkey"} {
			t.Run(kernel, job{kernel: kernel, policies: "mipsecd", kBit: true}.many)
		}
	}, mipsecd)
}

// roamer is a mobile node of many, with what is watched of it.
type roamer struct {
	*lab.Roamer
	mobileNode
	mn     *mobilityd.MobileNode
	ha     *mobilityd.HomeAgent
	agent  *process
	kernel spd.Backend
	ping   *lab.Ping
}

func (j job) many(t *testing.T) {
	roamers, home := j.assemble(t)
	captures := []*lab.Capture{lab.StartCapture(t, lab.Foreign1), lab.StartCapture(t, lab.Foreign2)}
	dice := rand.New(rand.NewPCG(1, 1)) // the kernels decide enough at random
	for round := range rounds {
		var moving sync.WaitGroup
		for _, r := range roamers {
			to := []lab.Link{lab.Home, lab.Foreign1, lab.Foreign2}[dice.IntN(3)]
			if to != r.On {
				moving.Go(func() { r.move(t, to) })
			}
		}
		moving.Wait()
		if t.Failed() {
			t.FailNow()
		}
		for _, r := range roamers {
			r.answered(t)
		}
		eventually(t, func() error {
			there, err := home.SAs()
			must(t, err)
			for _, r := range roamers {
				if err := r.agrees(t, there); err != nil {
					return fmt.Errorf("round %d: %w", round, err)
				}
			}
			return nil
		})
	}
	for _, c := range captures {
		for _, r := range roamers {
			for _, packet := range c.Exposed(t, r.home) {
				t.Errorf("seen in the clear: %s", packet)
			}
		}
	}
}

// assemble builds the lab and starts all daemons and agents.
func (j job) assemble(t *testing.T) (roamers []*roamer, home spd.Backend) {
	t.Helper()
	hosts := lab.BuildFleet(t, len(fleet))
	loadAlgorithms(t)
	home = openBackend(t, "xfrm", lab.HA)
	startHomeAgent(t, j, fleet...)
	for i, h := range hosts {
		r := &roamer{Roamer: h, mobileNode: fleet[i], kernel: openBackend(t, "xfrm", h.Node)}
		config := mobilityd.Config{
			HomeAddress: r.home, HomeAgent: lab.HomeAgent, Lifetime: time.Hour, KeyMobility: j.kBit, HomeLink: lab.Home.Name,
			Beside: i > 0, IP: h.IP,
		}
		must(t, h.Do(func() (err error) {
			r.mn, err = mobilityd.StartMobileNode(config)
			return err
		}))
		t.Cleanup(func() { r.mn.Close() })
		config.IP = lab.HA.IP
		must(t, lab.HA.Do(func() (err error) {
			r.ha, err = mobilityd.StartHomeAgent(config)
			return err
		}))
		t.Cleanup(func() { r.ha.Close() })
		r.agent = startMobileNode(t, j, h.Node, r.mobileNode, r.home)
		r.ping = lab.StartPing(t, lab.CN, r.home, time.Second)
		roamers = append(roamers, r)
	}
	for _, r := range roamers {
		r.answered(t)
	}
	return roamers, home
}

func (r *roamer) answered(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if _, err := r.ping.Next(ctx); err != nil {
		t.Fatalf("%s on %s: %v", r.Node, r.On.Name, err)
	}
}

// move takes the mobile node to a link and registers there.
func (r *roamer) move(t *testing.T, to lab.Link) {
	r.MoveTo(t, to)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var err error
	if to == lab.Home {
		_, err = r.mn.ReturnHome(ctx)
	} else {
		_, err = r.mn.Move(ctx, r.Address(to))
	}
	if err != nil || r.ha.CareOf() != r.Address(to) {
		t.Errorf("%s to %s: %v; the home agent has it at %s: %v", r.Node, to.Name, err, r.ha.CareOf(), r.ha.Err())
	}
}

// agrees is an error unless the mobile node has the SAs that the home agent has for it, each once, and the tunnels among
// them at its address.
func (r *roamer) agrees(t *testing.T, there []spd.SA) error {
	t.Helper()
	here, err := r.kernel.SAs()
	must(t, err)
	careOf := r.Address(r.On)
	with := func(sa spd.SA) bool {
		return slices.ContainsFunc([]lab.Link{lab.Home, lab.Foreign1, lab.Foreign2}, func(l lab.Link) bool {
			return sa.Endpoints.Src == r.Address(l) || sa.Endpoints.Dst == r.Address(l)
		})
	}
	there = slices.DeleteFunc(slices.Clone(there), func(sa spd.SA) bool { return !with(sa) })
	bySPI := func(a, b spd.SA) int { return cmp.Compare(a.SPI, b.SPI) }
	slices.SortFunc(here, bySPI)
	slices.SortFunc(there, bySPI)
	if !slices.EqualFunc(here, there, func(a, b spd.SA) bool {
		return a.SPI == b.SPI && a.Endpoints == b.Endpoints && a.Mode == b.Mode
	}) {
		return fmt.Errorf("%s on %s has the SAs %v, the home agent %v", r.Node, r.On.Name, here, there)
	}
	tunnels := 0
	for _, sa := range here {
		if sa.Mode == spd.Tunnel {
			tunnels++
		}
		if sa.Mode == spd.Tunnel && sa.Endpoints.Src != careOf && sa.Endpoints.Dst != careOf {
			return fmt.Errorf("%s is on %s, and has %s", r.Node, r.On.Name, sa)
		}
	}
	if tunnels == 0 && r.On != lab.Home {
		return fmt.Errorf("%s on %s has no tunnel, but %v", r.Node, r.On.Name, here)
	}
	return nil
}
