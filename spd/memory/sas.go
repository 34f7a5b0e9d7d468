package memory

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mipsecd/spd"
)

// sa is an SA with what happens to it in use. A larval one has no more than its name, endpoints and lifetime.
type sa struct {
	spd.SA
	larval   bool
	born     uint64 // order of installation
	added    time.Time
	dying    bool // the soft lifetime is over
	bytes    uint64
	sequence uint32 // of the last packet sent
	replay   replayWindow
}

// saTable is the SAD. A home agent has SAs by the thousand, so packets find theirs by the endpoints.
type saTable struct {
	byID    map[spd.SAID]*sa
	byRoute map[saRoute][]*sa // each in order of installation
	created uint64
}

type saRoute struct {
	endpoints spd.Endpoints
	proto     uint8
}

func newSATable() saTable { return saTable{byID: map[spd.SAID]*sa{}, byRoute: map[saRoute][]*sa{}} }

func (s *sa) route() saRoute { return saRoute{s.Endpoints, s.Proto} }

func (t *saTable) insert(s *sa) {
	t.byID[s.ID()] = s
	same := append(t.byRoute[s.route()], s)
	slices.SortFunc(same, byBirth)
	t.byRoute[s.route()] = same
}

func (t *saTable) remove(s *sa) {
	delete(t.byID, s.ID())
	left := slices.DeleteFunc(t.byRoute[s.route()], func(o *sa) bool { return o == s })
	if len(left) == 0 {
		delete(t.byRoute, s.route())
	} else {
		t.byRoute[s.route()] = left
	}
}

func byBirth(a, b *sa) int { return cmp.Compare(a.born, b.born) }

// outbound finds the SA that a template asks for: the newest, unless only older ones have not reached their soft
// lifetime. Nil if there is none.
func (t *saTable) outbound(want spd.Template, p Packet) *sa {
	var best *sa
	for _, s := range t.byRoute[saRoute{want.Endpoints, want.Proto}] {
		if !s.larval && s.Dir == spd.Out && s.Mode == want.Mode && (want.Reqid == 0 || s.Reqid == want.Reqid) && s.admits(p) &&
			(best == nil || best.dying || !s.dying) {
			best = s
		}
	}
	return best
}

// admits reports whether the selector of the SA lets the packet through.
func (s *sa) admits(p Packet) bool { return s.Selector == (spd.Selector{}) || selects(s.Selector, p) }

// AllocSPI implements spd.Backend.
func (b *Backend) AllocSPI(l spd.LarvalSA) (uint32, error) {
	id := spd.SAID{Dst: l.Endpoints.Dst, Proto: l.Proto}
	err := b.transact(func(k *Kernel) error {
		if !addressed(l.Endpoints) {
			return fmt.Errorf("larval SA %s: endpoints are wanted: %w", l.Endpoints, spd.ErrInvalid)
		}
		for id.SPI < 256 || k.sas.byID[id] != nil { // those are reserved: RFC 4303 section 2.1
			id.SPI = k.random.Uint32()
		}
		k.add(&sa{larval: true, SA: spd.SA{SPI: id.SPI, Proto: l.Proto, Mode: l.Mode, Endpoints: l.Endpoints,
			Dir: spd.In, Lifetime: spd.Lifetime{Hard: larvalLifetime}}})
		return nil
	})
	return id.SPI, err
}

func (k *Kernel) add(s *sa) {
	k.sas.created++
	s.born, s.added = k.sas.created, k.options.Clock()
	k.sas.insert(s)
}

// Install implements spd.Backend.
func (b *Backend) Install(s spd.SA) error {
	return b.transact(func(k *Kernel) error {
		if err := checkSA(s); err != nil {
			return fmt.Errorf("SA %s: %w: %w", s, err, spd.ErrInvalid)
		}
		if old := k.sas.byID[s.ID()]; old != nil {
			if !old.larval {
				return fmt.Errorf("SA %s: %w", s, spd.ErrExists)
			}
			k.sas.remove(old)
		}
		s.Transform.EncrKey = slices.Clone(s.Transform.EncrKey)
		s.Transform.IntegKey = slices.Clone(s.Transform.IntegKey)
		k.add(&sa{SA: s})
		k.release(s)
		return nil
	})
}

func checkSA(s spd.SA) error {
	switch {
	case s.SPI < 256:
		return errors.New("an SPI is at least 256")
	case !isIPsec(s.Proto):
		return errors.New("the protocol must be ESP or AH")
	case s.Mode != spd.Transport && s.Mode != spd.Tunnel && s.Mode != spd.BEET:
		return errors.New("the mode must be transport, tunnel or BEET")
	case s.Dir != spd.In && s.Dir != spd.Out:
		return errors.New("the direction must be in or out")
	case s.Proto != spd.ESP && s.Encap != spd.Encap{}:
		return errors.New("UDP encapsulation is for ESP")
	case !addressed(s.Endpoints):
		return errors.New("it needs two addresses of one family")
	}
	return checkKeys(s.Proto, s.Transform)
}

// SetEncap implements spd.Backend.
func (b *Backend) SetEncap(id spd.SAID, encap spd.Encap) error {
	return b.transact(func(k *Kernel) error {
		s := k.sas.byID[id]
		switch {
		case s == nil || s.larval:
			return fmt.Errorf("SA %s: %w", id, spd.ErrNotFound)
		case s.Encap == spd.Encap{} || encap == spd.Encap{}:
			return fmt.Errorf("SA %s: encapsulation cannot be added or taken away: %w", id, spd.ErrInvalid)
		}
		s.Encap = encap
		return nil
	})
}

// Remove implements spd.Backend.
func (b *Backend) Remove(id spd.SAID) error {
	return b.transact(func(k *Kernel) error {
		s := k.sas.byID[id]
		if s == nil {
			return fmt.Errorf("SA %s: %w", id, spd.ErrNotFound)
		}
		k.sas.remove(s)
		k.report(spd.SARemoved{ID: id})
		return nil
	})
}

// SAs implements spd.Backend, in the order in which the SAs were installed.
func (b *Backend) SAs() ([]spd.SA, error) {
	var all []spd.SA
	err := b.transact(func(k *Kernel) error {
		for _, s := range k.sas.inOrder(func(s *sa) bool { return !s.larval }) {
			all = append(all, s.listed())
		}
		return nil
	})
	return all, err
}

// SAsBetween lists the ESP SAs between two addresses, in both directions and without their keys, where to list all would
// take too long.
func (b *Backend) SAsBetween(one, other netip.Addr) (some []spd.SA) {
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	there := spd.Endpoints{Src: one, Dst: other}
	for _, endpoints := range []spd.Endpoints{there, there.Reverse()} {
		for _, s := range b.kernel.sas.byRoute[saRoute{endpoints, spd.ESP}] {
			if !s.larval {
				some = append(some, s.listed())
			}
		}
	}
	return some
}

// listed is the SA without its keys.
func (s *sa) listed() spd.SA {
	listed := s.SA
	listed.Transform.EncrKey, listed.Transform.IntegKey = nil, nil
	return listed
}

func (t *saTable) inOrder(wanted func(*sa) bool) []*sa {
	var some []*sa
	for _, s := range t.byID {
		if wanted(s) {
			some = append(some, s)
		}
	}
	slices.SortFunc(some, byBirth)
	return some
}

// FlushSAs deletes all SAs, larval ones too, as an administrator may.
func (k *Kernel) FlushSAs() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sas.byID, k.sas.byRoute = map[spd.SAID]*sa{}, map[saRoute][]*sa{}
	clear(k.holds)
	k.report(spd.Flushed{})
}

// Tick lets what is over at Options.Clock expire: SAs, larval SAs and the waiting for an ACQUIRE's answer.
func (k *Kernel) Tick() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.options.Clock()
	for want, h := range k.holds {
		if !now.Before(h.until) {
			delete(k.holds, want)
		}
	}
	due := func(s *sa, d time.Duration) bool { return d > 0 && !now.Before(s.added.Add(d)) }
	for _, s := range k.sas.inOrder(func(s *sa) bool { return due(s, s.Lifetime.Soft) || due(s, s.Lifetime.Hard) }) {
		k.age(s, due(s, s.Lifetime.Soft), due(s, s.Lifetime.Hard))
	}
}

// age reports the end of a lifetime, the soft one once.
func (k *Kernel) age(s *sa, soft, hard bool) {
	switch {
	case hard:
		k.sas.remove(s)
		k.report(spd.Expire{ID: s.ID(), Hard: true})
	case soft && !s.dying:
		s.dying = true
		k.report(spd.Expire{ID: s.ID()})
	}
}

// spend counts a packet against the lifetime in octets.
func (k *Kernel) spend(s *sa, octets int) {
	s.bytes += uint64(octets)
	over := func(limit uint64) bool { return limit > 0 && s.bytes >= limit }
	k.age(s, over(s.Lifetime.SoftBytes), over(s.Lifetime.HardBytes))
}
