package memory

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// Why a packet does not go on, to be found with errors.Is.
var (
	// ErrHeld: no SA serves the packet; an Acquire was reported for it or is being answered.
	ErrHeld = errors.New("no SA yet")
	// ErrDiscarded: a policy says so.
	ErrDiscarded = errors.New("discarded by policy")
	// ErrNoSA: there is no SA with the packet's destination, protocol and SPI.
	ErrNoSA = errors.New("no such SA")
	// ErrIntegrity: the two sides do not have the same keys, or someone changed the packet.
	ErrIntegrity = errors.New("integrity check failed")
	// ErrReplay: a packet with its sequence number came before or is too long ago.
	ErrReplay = errors.New("replayed")
	// ErrProtection: the packet came in the clear, or in other SAs than its policy demands.
	ErrProtection = errors.New("not protected as policy demands")
)

// hold stands for the packets that wait for the SA of an ACQUIRE.
type hold struct {
	acquire uint32
	until   time.Time
}

// Output sends a packet of this host: it returns the packet as it leaves, protected as its policies say (RFC 4301
// section 5.1) and with its care-of address. Sub policies are asked beside the others; their templates for
// Mobile IPv6's own headers are left to SetCareOf.
func (k *Kernel) Output(p Packet) (Packet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	original := p
	for _, sub := range []bool{true, false} {
		policy := k.policies.lookup(spd.Out, sub, original)
		if policy == nil {
			continue
		}
		if policy.Action == spd.Discard {
			return Packet{}, fmt.Errorf("%s: %w %s", original, ErrDiscarded, policy.PolicyKey)
		}
		for _, t := range policy.Templates {
			var err error
			if p, err = k.protect(p, original, t, policy); err != nil {
				return Packet{}, fmt.Errorf("%s: %w", original, err)
			}
		}
	}
	return k.addCareOf(p), nil
}

// protect applies one template.
func (k *Kernel) protect(p, original Packet, t spd.Template, policy *spd.Policy) (Packet, error) {
	if !isIPsec(t.Proto) {
		return p, nil
	}
	want := t
	if t.Mode == spd.Transport {
		want.Endpoints = spd.Endpoints{Src: p.Src, Dst: p.Dst}
	}
	if s := k.sas.outbound(want, original); s != nil {
		sealed, err := s.seal(p)
		if err == nil {
			k.spend(s, len(p.Payload))
		}
		return s.encapsulate(sealed), err
	}
	k.acquire(original, t, want, policy)
	if t.Level == spd.Use {
		return p, nil
	}
	return Packet{}, ErrHeld
}

// acquire calls for an SA, once until it is there or the time for it is over.
func (k *Kernel) acquire(p Packet, t, want spd.Template, policy *spd.Policy) {
	want.Level = 0
	now := k.options.Clock()
	if h, ok := k.holds[want]; ok && now.Before(h.until) {
		return
	}
	k.acquires++
	k.holds[want] = hold{acquire: k.acquires, until: now.Add(larvalLifetime)}
	call := spd.Acquire{Seq: k.acquires, Selector: policy.Selector, PolicyIndex: policy.Index, Template: t,
		Endpoints: want.Endpoints, Flow: p.flow()}
	if k.options.PacketInAcquire {
		call.Packet = k.asAcquired(p)
	}
	k.report(call)
}

// release ends the holds that a new SA serves, and that of the ACQUIRE that it answers.
func (k *Kernel) release(s spd.SA) {
	for want, h := range k.holds {
		serves := s.Dir == spd.Out && s.Proto == want.Proto && s.Mode == want.Mode && s.Endpoints == want.Endpoints &&
			(want.Reqid == 0 || s.Reqid == want.Reqid)
		if serves || s.Acquire == h.acquire {
			delete(k.holds, want)
		}
	}
}

// Input receives a packet from the network: it returns the packet for the upper layers, or to be forwarded, after its
// SAs and its policies have been checked (RFC 4301 section 5.2). As on Linux a packet that no policy knows passes, but
// not out of a tunnel.
func (k *Kernel) Input(p Packet) (Packet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	received := p
	var used []*sa
	esp, port, encapsulated := decapsulate(p)
	if encapsulated {
		p = esp
	}
	for !isUpper(p.Proto) {
		var err error
		var s *sa
		if isIPsec(p.Proto) {
			if s, p, err = k.unprotect(p); err == nil {
				used = append(used, s)
			}
		} else {
			p, err = removeCareOf(p)
		}
		if err != nil {
			return Packet{}, fmt.Errorf("%s: %w", received, err)
		}
	}
	if encapsulated {
		k.hears(used[0], netip.AddrPortFrom(received.Src, port))
	}
	for _, s := range used {
		if !s.admits(p) {
			return Packet{}, fmt.Errorf("%s: SA %s is not for it: %w", p, s.ID(), ErrProtection)
		}
	}
	slices.Reverse(used) // innermost first, as templates are
	dir := spd.In
	if !k.options.Local(p.Dst) {
		dir = spd.Fwd
	}
	if err := k.admit(dir, p, used); err != nil {
		return Packet{}, fmt.Errorf("%s: %w", p, err)
	}
	return p, nil
}

func (k *Kernel) unprotect(p Packet) (*sa, Packet, error) {
	id := spd.SAID{Dst: p.Dst, Proto: p.Proto, SPI: cursor.Big(p.Payload).U32()}
	s := k.sas.byID[id]
	if s == nil || s.larval {
		return nil, Packet{}, fmt.Errorf("SA %s: %w", id, ErrNoSA)
	}
	inner, err := s.open(p)
	if err == nil {
		k.spend(s, len(inner.Payload))
	}
	return s, inner, err
}

// admit checks a packet and the SAs that it came in against the inbound policies.
func (k *Kernel) admit(dir spd.Dir, p Packet, used []*sa) error {
	for _, sub := range []bool{true, false} {
		policy := k.policies.lookup(dir, sub, p)
		if policy == nil {
			continue
		}
		if policy.Action == spd.Discard {
			return fmt.Errorf("%w %s", ErrDiscarded, policy.PolicyKey)
		}
		for _, t := range policy.Templates {
			if !isIPsec(t.Proto) {
				continue
			}
			i := slices.IndexFunc(used, func(s *sa) bool { return s.serves(t) })
			switch {
			case i >= 0:
				used = used[i+1:]
			case t.Level != spd.Use:
				return fmt.Errorf("policy %s: %w", policy, ErrProtection)
			}
		}
	}
	if slices.ContainsFunc(used, func(s *sa) bool { return s.Mode != spd.Transport }) {
		return fmt.Errorf("out of a tunnel that no policy asks for: %w", ErrProtection)
	}
	return nil
}

func (s *sa) serves(t spd.Template) bool {
	return s.Proto == t.Proto && s.Mode == t.Mode && (t.Reqid == 0 || s.Reqid == t.Reqid) &&
		(t.Mode == spd.Transport || s.Endpoints == t.Endpoints)
}
