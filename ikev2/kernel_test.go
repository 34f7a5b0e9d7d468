package ikev2

import (
	"fmt"
	"testing"

	"mipsecd/spd"
)

// kernel is the SAD of one host.
type kernel struct {
	owner   string
	nextSPI uint32
	larval  map[spd.SAID]bool
	sas     map[spd.SAID]spd.SA
	known   map[uint32]bool // all SPIs that there ever were
}

func newKernel(owner string, spis uint32) *kernel {
	return &kernel{owner: owner, nextSPI: spis, larval: map[spd.SAID]bool{}, sas: map[spd.SAID]spd.SA{},
		known: map[uint32]bool{}}
}

func (k *kernel) alloc(l spd.LarvalSA) uint32 {
	k.nextSPI++
	k.larval[spd.SAID{Dst: l.Endpoints.Dst, Proto: l.Proto, SPI: k.nextSPI}] = true
	return k.nextSPI
}

func (k *kernel) install(s spd.SA) error {
	id := s.ID()
	if _, there := k.sas[id]; there {
		return fmt.Errorf("%s: %s is installed twice", k.owner, id)
	}
	delete(k.larval, id)
	k.known[s.SPI] = true
	k.sas[id] = s
	return nil
}

func (k *kernel) remove(id spd.SAID) error {
	_, there := k.sas[id]
	if !there && !k.larval[id] && !k.known[id.SPI] {
		return fmt.Errorf("%s: %s is removed, but not there", k.owner, id)
	}
	delete(k.sas, id)
	delete(k.larval, id)
	return nil
}

func (k *kernel) setEncap(id spd.SAID, encap spd.Encap) error {
	s, there := k.sas[id]
	if !there || s.Encap == (spd.Encap{}) || encap == (spd.Encap{}) {
		return fmt.Errorf("%s: %s gets %s, it is %+v", k.owner, id, encap, s)
	}
	s.Encap = encap
	k.sas[id] = s
	return nil
}

// migrate moves one SA of a tunnel, the oldest, as Linux may do.
func (k *kernel) migrate(c spd.EndpointChange) {
	var first spd.SA
	for _, s := range k.sas {
		if s.Mode == c.Mode && s.Reqid == c.Reqid && s.Endpoints == c.Old && (first.SPI == 0 || s.SPI < first.SPI) {
			first = s
		}
	}
	if first.SPI != 0 {
		delete(k.sas, first.ID())
		first.Endpoints = c.New
		k.sas[first.ID()] = first
	}
}

func (k *kernel) hasIn(spi uint32) bool {
	for _, s := range k.sas {
		if s.Dir == spd.In && s.SPI == spi {
			return true
		}
	}
	return false
}

func (k *kernel) hasLarva(spi uint32) bool {
	for id := range k.larval {
		if id.SPI == spi {
			return true
		}
	}
	return false
}

// by lists the SAs of one direction by SPI.
func (k *kernel) by(dir spd.Dir) map[uint32]spd.SA {
	out := map[uint32]spd.SA{}
	for _, s := range k.sas {
		if s.Dir == dir {
			out[s.SPI] = s
		}
	}
	return out
}

func (w *world) peerOf(h *host) *host {
	if w.hosts[0] == h {
		return w.hosts[1]
	}
	return w.hosts[0]
}

// crosswise holds that an SA that is being installed has the keys of the one that the peer has.
func (w *world) crosswise(h *host, s spd.SA) {
	w.t.Helper()
	for _, o := range w.peerOf(h).sas {
		if o.SPI == s.SPI && o.Dir != s.Dir {
			w.check(sameKeys(s, o))
		}
	}
}

// fits says what is wrong if two hosts' entries are not of one SA.
func fits(a, b spd.SA) error {
	if a.Mode != b.Mode || a.Endpoints != b.Endpoints {
		return fmt.Errorf("%s and %s are not the same SA", a, b)
	}
	return sameKeys(a, b)
}

func sameKeys(a, b spd.SA) error {
	x, y := a.Transform, b.Transform
	if x.Encr != y.Encr || x.Integ != y.Integ || x.ESN != y.ESN || !x.EncrKey.Equal(y.EncrKey) || !x.IntegKey.Equal(y.IntegKey) {
		return fmt.Errorf("%s and %s have different keys", a, b)
	}
	return nil
}

// settled holds that both sides are at rest and of one mind: n pairs of SAs, each known to both kernels and both
// engines, and nothing left over.
func (w *world) settled(n int) {
	w.t.Helper()
	for _, h := range w.hosts {
		h.clean(w.t)
		peer := w.peerOf(h)
		in, out := h.by(spd.In), peer.by(spd.Out)
		if len(in) != n {
			w.t.Errorf("%s has %d inbound SAs, wanted %d", h.name, len(in), n)
		}
		for spi, s := range in {
			if o, ok := out[spi]; !ok {
				w.t.Errorf("%s has %s, %s has not", h.name, s, peer.name)
			} else {
				w.check(fits(s, o))
			}
		}
		for spi, s := range out {
			if _, ok := in[spi]; !ok {
				w.t.Errorf("%s has %s, %s has not", peer.name, s, h.name)
			}
		}
	}
}

// clean holds that an engine at rest has nothing under way, and knows of exactly the SAs that its kernel has.
func (h *host) clean(t testing.TB) {
	t.Helper()
	e := h.engine
	if len(h.larval) > 0 || len(e.jobs) > 0 || len(e.requests)+len(e.wishes) > 0 || len(h.jobs) > 0 {
		t.Errorf("%s: left over: %d larval SAs, %d jobs, %d requests", h.name, len(h.larval), len(e.jobs),
			len(e.requests)+len(e.wishes))
	}
	known := map[spd.SAID]bool{}
	note := func(c *childSA) { known[c.inID()], known[c.outID()] = true, true }
	established := 0
	for name, a := range e.peers {
		if len(a.sas)+len(a.orphans) == 0 {
			t.Errorf("%s: an empty association with %s is left over", h.name, name)
		}
		if len(a.wanted)+len(a.underWay)+len(a.granted) > 0 {
			t.Errorf("%s: %d wanted, %d under way, %d granted", h.name, len(a.wanted), len(a.underWay), len(a.granted))
		}
		for _, c := range a.orphans {
			note(c)
		}
		for _, sa := range a.sas {
			established++
			if e.sas[sa.own] != sa || sa.gone != nil || sa.rekeying != nil || sa.replaces != nil || sa.outstanding != nil ||
				sa.followUp != nil || len(sa.queue) > 0 {
				t.Errorf("%s: IKE_SA %016x is not at rest", h.name, sa.own)
			}
			for _, c := range sa.children {
				note(c)
				if c.ike != sa || c.deleting || c.rekeying.pending() {
					t.Errorf("%s: Child SA %08x is not at rest", h.name, c.in)
				}
			}
		}
	}
	if len(e.sas) != established || e.halfOpen.total+len(e.halfOpen.from) != 0 {
		t.Errorf("%s: %d IKE_SAs, %d half-open, but %d in associations", h.name, len(e.sas), e.halfOpen.total, established)
	}
	for id := range known {
		if _, ok := h.sas[id]; !ok {
			t.Errorf("%s: the engine has %s, the kernel has not", h.name, id)
		}
	}
	for id := range h.sas {
		if !known[id] {
			t.Errorf("%s: the kernel has %s, the engine has not", h.name, id)
		}
	}
}

// said counts the notices of a kind.
func said[N spd.Notice](h *host) (list []N) {
	for _, n := range h.notices {
		if x, ok := n.(N); ok {
			list = append(list, x)
		}
	}
	return list
}

// one is the only notice of a kind.
func one[N spd.Notice](h *host) N {
	h.w.t.Helper()
	list := said[N](h)
	if len(list) != 1 {
		var n N
		h.w.t.Fatalf("%s has %d notices %T, wanted 1: %+v", h.name, len(list), n, h.notices)
	}
	return list[0]
}
