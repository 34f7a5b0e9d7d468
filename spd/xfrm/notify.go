//go:build linux

package xfrm

import (
	"errors"
	"fmt"
	"slices"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// Sizes of struct xfrm_user_acquire and xfrm_user_expire on a 64-bit machine.
const (
	acquireLen = 280
	expireLen  = saInfoLen + 8
)

// decodeEvent is what a notification reports, or nil if that is of no concern to a key exchange.
func decodeEvent(m message) (spd.Event, error) {
	e, err := decodeNotification(m)
	switch {
	case errors.Is(err, errForeign):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return e, nil
}

func decodeNotification(m message) (spd.Event, error) {
	switch m.kind {
	case msgAcquire:
		return decodeAcquire(m.body)
	case msgExpire:
		return decodeExpire(m.body)
	case msgMigrate:
		return decodeMigrate(m.body)
	case msgMapping:
		return decodeMapping(m.body)
	case msgNewPolicy, msgUpdPolicy, msgDelPolicy:
		p, err := decodePolicy(m)
		return spd.PolicyChanged{Policy: p, Gone: m.kind == msgDelPolicy}, err
	case msgNewSA, msgUpdSA, msgDelSA:
		s, err := decodeState(m)
		if err != nil {
			return nil, err
		}
		return stateEvent(s, m.kind == msgDelSA), nil
	case msgFlushSA:
		return decodeFlushSA(m.body)
	case msgFlushPolicy:
		return decodeFlushPolicy(m.body)
	}
	return nil, nil
}

// isSA tells SAs from the other states that XFRM has: of IPComp, of Mobile IPv6.
func isSA(proto uint8) bool { return proto == spd.ESP || proto == spd.AH }

// stateEvent is what the addition, change or deletion of a state means.
func stateEvent(s state, gone bool) spd.Event {
	if c, ok := s.careOfState(); ok {
		c.Gone = gone
		return c
	}
	if gone && isSA(s.sa.Proto) && !s.larval {
		return spd.SARemoved{ID: s.sa.ID()}
	}
	return nil
}

// careOfState is the binding that a state holds. The states for all addresses, which serve route optimization, hold
// none.
func (s state) careOfState() (spd.CareOfState, bool) {
	ends := s.sa.Endpoints
	if s.sa.Proto != spd.HomeOpt && s.sa.Proto != spd.Route2 ||
		!s.careOf.IsValid() || s.careOf.IsUnspecified() || ends.Src.IsUnspecified() || ends.Dst.IsUnspecified() {
		return spd.CareOfState{}, false
	}
	return spd.CareOfState{Proto: s.sa.Proto, Endpoints: ends, CareOf: s.careOf}, true
}

// decodeAcquire reads a struct xfrm_user_acquire with its templates. ACQUIREs for Mobile IPv6's own states, and by sub
// policies, are not for a key exchange.
func decodeAcquire(body []byte) (spd.Event, error) {
	a, err := decodeAcquireBody(body)
	if err != nil {
		return nil, fmt.Errorf("ACQUIRE: %w", err)
	}
	return a, nil
}

func decodeAcquireBody(body []byte) (a spd.Acquire, err error) {
	head, as, err := splitBody(body, acquireLen)
	if err != nil {
		return a, err
	}
	r := cursor.Native(head)
	dst, _, proto := readXfrmID(r)
	src := r.Bytes(addrLen)
	if a.Flow, err = readSelector(r); err != nil && !errors.Is(err, errForeign) {
		return a, fmt.Errorf("flow: %w", err)
	}
	p, err := readPolicyInfo(r)
	if err != nil {
		return a, err
	}
	r.Skip(3 * 4) // allowed algorithms
	a.Seq = r.U32()
	sub, err := isSub(as)
	if err != nil {
		return a, err
	}
	if sub || !isSA(proto) {
		return a, errForeign
	}
	templates, err := decodeTemplates(as.get(attrTemplates))
	if err != nil {
		return a, err
	}
	// A bundle raises an ACQUIRE for each of its SAs; the template is the one for this SA.
	i := slices.IndexFunc(templates, func(t spd.Template) bool { return t.Proto == proto })
	if i < 0 {
		return a, fmt.Errorf("no template of %s", spd.IPsecName(proto))
	}
	a.Selector, a.PolicyIndex, a.Template = p.Selector, p.Index, templates[i]
	family := familyOf(p.Selector.Dst.Addr())
	if a.Template.Mode != spd.Transport {
		family = familyOf(a.Template.Endpoints.Dst)
	}
	a.Endpoints, err = endpointsOf(src, dst, family)
	return a, err
}

// decodeExpire reads a struct xfrm_user_expire. A state without an SPI is not an SA: it is an ACQUIRE that nobody has
// answered in time.
func decodeExpire(body []byte) (spd.Event, error) {
	head, _, err := splitBody(body, expireLen)
	if err != nil {
		return nil, fmt.Errorf("EXPIRE: %w", err)
	}
	r := cursor.Native(head)
	sa, err := readSAInfo(r)
	if err != nil {
		return nil, fmt.Errorf("EXPIRE: %w", err)
	}
	if !isSA(sa.Proto) || sa.SPI == 0 {
		return nil, nil
	}
	return spd.Expire{ID: sa.ID(), Hard: r.U8() != 0}, nil
}

// decodeFlushSA reads a struct xfrm_usersa_flush. A flush of one protocol leaves others in place, so that the reader
// has to look what is left.
func decodeFlushSA(body []byte) (spd.Event, error) {
	const anyIPsec = 255 // ESP, AH and IPComp
	r := cursor.Native(body)
	proto := r.U8()
	if r.Err() != nil {
		return nil, fmt.Errorf("FLUSHSA: %w", r.Err())
	}
	if proto != 0 && proto != anyIPsec {
		return spd.EventsLost{}, nil
	}
	return spd.Flushed{}, nil
}

// decodeFlushPolicy reads the attributes of FLUSHPOLICY. One of the sub policies leaves the main ones in place.
func decodeFlushPolicy(body []byte) (spd.Event, error) {
	as, err := decodeAttributes(body)
	if err != nil {
		return nil, fmt.Errorf("FLUSHPOLICY: %w", err)
	}
	sub, err := isSub(as)
	if err != nil {
		return nil, fmt.Errorf("FLUSHPOLICY: %w", err)
	}
	if sub {
		return spd.EventsLost{}, nil
	}
	return spd.Flushed{Policies: true}, nil
}
