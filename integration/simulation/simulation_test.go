package simulation

import (
	"flag"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"mipsecd/spd"
)

// What happens is the same each time; another seed has something else happen.
var seed = flag.Uint64("seed", 1, "what decides everything that is random")

// TestThousandMobileNodes has a thousand mobile nodes move about for an hour, be rekeyed, crash and be meddled with, over a
// network that loses, repeats and reorders packets. Then all has to be in order, and when all is ended nothing left.
func TestThousandMobileNodes(t *testing.T) {
	t.Run("policies of the mobility daemon", func(t *testing.T) { simulate(t, *seed, fleetOfDaemons, false) })
	t.Run("policies of mipsecd", func(t *testing.T) { simulate(t, *seed, fleetOfMipsecd, true) })
}

func simulate(t *testing.T, seed uint64, size int, own bool) {
	t.Parallel()
	t.Logf("seed %d, %d mobile nodes", seed, size)
	w := newWorld(t, seed, size, own)
	w.pass(time.Hour)
	w.settling, w.quality = true, fine
	w.speak()
	w.pass(5 * time.Minute)
	w.agrees()
	w.end()
	t.Log(w.counters)
}

func newWorld(t *testing.T, seed uint64, size int, own bool) *world {
	w := &world{
		t: t, seed: seed, dice: rand.New(rand.NewPCG(seed, 1)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		owners: map[netip.Addr]*host{}, byName: map[string]*mobileNode{}, byAddr: map[netip.Addr]*mobileNode{},
		touched: map[*mobileNode]bool{}, counters: map[string]int{}, quality: rough,
	}
	for i := range size {
		w.addMobileNode(i)
	}
	w.addHomeAgent(own)
	w.addCorrespondent()
	for _, n := range w.nodes {
		w.often(3*time.Minute, func() { n.attach(n.places[w.dice.IntN(len(n.places))]) })
		w.often(20*time.Second, n.talk)
		w.often(10*time.Minute, n.meddle)
	}
	w.after(30*time.Minute, w.ha.crash)
	return w
}

// often has something happen again and again, at random, so often on average.
func (w *world) often(every time.Duration, what func()) {
	w.after(time.Duration(w.dice.ExpFloat64()*float64(every)), func() {
		if w.settling {
			return
		}
		what()
		w.often(every, what)
	})
}

// meddle is an operator or a mishap, on either side.
func (n *mobileNode) meddle() {
	w := n.host.w
	h, peer := n.host, homeAgentName
	if w.chance(0.5) {
		h, peer = w.ha.host, n.name
	}
	switch dice := w.dice.IntN(10); {
	case dice < 3:
		w.about(h, n, "is told to rekey the IKE_SA")
		h.tell(spd.RekeyPeer{Peer: peer})
	case dice < 5:
		w.about(h, n, "is told to end all")
		h.tell(spd.Terminate{Peer: peer})
	case dice < 8:
		sas := h.backend.SAsBetween(n.careOf, homeAgentAddr)
		if len(sas) > 0 {
			id := sas[w.dice.IntN(len(sas))].ID()
			w.about(h, n, "loses %s", id)
			if err := h.backend.Remove(id); err != nil {
				w.t.Error(err)
			}
			h.hear()
		}
	default:
		n.crash()
	}
}
