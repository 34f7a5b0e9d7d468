package pfkey

import (
	"errors"
	"fmt"

	"mipsecd/spd"
)

// policyMessage adds or replaces a policy. What PF_KEY can't say is refused, as the kernel would make something else of
// it.
func (d *dialect) policyMessage(t msgType, p spd.Policy) (*message, error) {
	m, err := d.keyMessage(t, p.PolicyKey)
	if err != nil {
		return nil, err
	}
	invalid := func(why string) (*message, error) {
		return nil, fmt.Errorf("%w: policy %s: %s", spd.ErrInvalid, p.PolicyKey, why)
	}
	switch {
	case p.Action == spd.Protect && len(p.Templates) == 0:
		return invalid("to protect it must have a template; the kernel would take it for a bypass")
	case p.Action != spd.Protect && len(p.Templates) != 0:
		return invalid("must have templates only to protect")
	case p.Action == spd.Protect:
		m.policy.action = policyIPsec
	case p.Action == spd.Bypass:
		m.policy.action = policyNone
	case p.Action == spd.Discard:
		m.policy.action = policyDiscard
	default:
		return invalid("must protect, bypass or discard")
	}
	m.policy.priority = p.Priority
	for _, t := range p.Templates {
		if err := d.checkTemplate(t); err != nil {
			return nil, fmt.Errorf("%w: policy %s: template %s: %w", spd.ErrInvalid, p.PolicyKey, t, err)
		}
		m.policy.requests = append(m.policy.requests,
			request{proto: t.Proto, mode: t.Mode, level: t.Level, reqid: t.Reqid, endpoints: t.Endpoints})
	}
	return m, nil
}

func (d *dialect) checkTemplate(t spd.Template) error {
	switch {
	case t.Mode != spd.Transport && t.Mode != spd.Tunnel:
		return errors.New("PF_KEY has policies of transport and tunnel mode only")
	case t.Mode == spd.Transport && t.Endpoints != spd.Endpoints{}:
		return errors.New("must not have endpoints in transport mode")
	case t.Mode == spd.Tunnel && !addressed(t.Endpoints):
		return errors.New("must have two endpoints of one family in tunnel mode")
	case t.Level == spd.Unique && (t.Reqid == 0 || t.Reqid > d.maxReqid):
		return fmt.Errorf("PF_KEY keeps the reqid of level unique only if it is 1 to %d", d.maxReqid)
	case t.Level != spd.Unique && t.Reqid != 0:
		return errors.New("PF_KEY drops a reqid unless the level is unique")
	}
	return nil
}

// keyMessage names a policy.
func (d *dialect) keyMessage(t msgType, k spd.PolicyKey) (*message, error) {
	invalid := func(why string) (*message, error) {
		return nil, fmt.Errorf("%w: policy %s: %s", spd.ErrInvalid, k, why)
	}
	s := k.Selector
	switch {
	case k.Sub:
		return invalid("PF_KEY has no access to sub-policies")
	case k.Dir < spd.In || k.Dir > spd.Fwd || k.Dir == spd.Fwd && !d.forward:
		return invalid("there is no such direction")
	case !s.Src.IsValid() || !s.Dst.IsValid() || s.Src.Addr().BitLen() != s.Dst.Addr().BitLen():
		return invalid("must have two prefixes of one family")
	case s.SrcPort == spd.ExactPort(0) || s.DstPort == spd.ExactPort(0):
		return invalid("PF_KEY can't select port, type or code 0, which stands for any")
	}
	proto := s.Proto
	if proto == spd.ProtoAny {
		proto = anyProto
	}
	return &message{
		header: header{typ: t},
		src:    &address{proto: proto, prefix: s.Src, port: portNumber(s.SrcPort)},
		dst:    &address{proto: proto, prefix: s.Dst, port: portNumber(s.DstPort)},
		policy: &policyExt{dir: uint8(k.Dir)},
	}, nil
}

func portNumber(p spd.Port) uint16 {
	if p.Exact {
		return p.Value
	}
	return 0
}

// key is the policy that a message names. The type of Mobility Header and ICMPv6 messages comes as a port.
func (m *message) key() (spd.PolicyKey, error) {
	if m.src == nil || m.dst == nil || m.policy == nil {
		return spd.PolicyKey{}, fmt.Errorf("%s: must have two addresses and a policy", m.typ)
	}
	k := spd.PolicyKey{
		Selector: spd.Selector{
			Src: m.src.prefix, Dst: m.dst.prefix, Proto: m.src.proto,
			SrcPort: portCondition(m.src.port), DstPort: portCondition(m.dst.port),
		},
		Dir: spd.Dir(m.policy.dir),
	}
	if k.Selector.Proto == anyProto {
		k.Selector.Proto = spd.ProtoAny
	}
	return k, nil
}

func portCondition(number uint16) spd.Port {
	if number == 0 {
		return spd.Port{}
	}
	return spd.ExactPort(number)
}

// spdPolicy is the policy in a message of the SPD.
func (m *message) spdPolicy() (spd.Policy, error) {
	key, err := m.key()
	if err != nil {
		return spd.Policy{}, err
	}
	p := spd.Policy{PolicyKey: key, Index: m.policy.id, Priority: m.policy.priority}
	switch m.policy.action {
	case policyIPsec:
		p.Action = spd.Protect
	case policyDiscard:
		p.Action = spd.Discard
	default:
		p.Action = spd.Bypass
	}
	for _, q := range m.policy.requests {
		p.Templates = append(p.Templates,
			spd.Template{Proto: q.proto, Mode: q.mode, Level: q.level, Reqid: q.reqid, Endpoints: q.endpoints})
	}
	return p, nil
}

// migrateMessage asks for a movement: each change is a request with the old endpoints and one with the new.
func (d *dialect) migrateMessage(g spd.Migrate) (*message, error) {
	invalid := func(why string) (*message, error) {
		return nil, fmt.Errorf("%w: migration of %s: %s", spd.ErrInvalid, g.PolicyKey, why)
	}
	if d.migrate == 0 {
		return invalid("this system's PF_KEY takes none")
	}
	m, err := d.keyMessage(d.migrate, g.PolicyKey)
	if err != nil {
		return nil, err
	}
	if g.KMAddress != (spd.Endpoints{}) {
		if d.kmAddress == 0 || !sameFamily(g.KMAddress) {
			return invalid("a key exchange address must be a pair of one family, and known to this system's PF_KEY")
		}
		m.kmAddress = g.KMAddress
	}
	if g.Encap != (spd.Encap{}) {
		return invalid("PF_KEY moves no encapsulation")
	}
	if len(g.Changes) == 0 {
		return invalid("must have a change")
	}
	m.policy.action = policyIPsec
	for _, c := range g.Changes {
		if !sameFamily(c.Old) || !addressed(c.New) || c.Mode < spd.Transport || c.Mode > spd.BEET {
			return invalid("a change must have old and new endpoints, and transport, tunnel or BEET mode")
		}
		if !d.wideRequest && c.Reqid > 0xffff {
			return invalid("a reqid must be at most 65535")
		}
		level := spd.Require
		if c.Reqid != 0 {
			level = spd.Unique
		}
		m.policy.requests = append(m.policy.requests,
			request{proto: c.Proto, mode: c.Mode, level: level, reqid: c.Reqid, endpoints: c.Old},
			request{proto: c.Proto, mode: c.Mode, level: level, reqid: c.Reqid, endpoints: c.New})
	}
	if satype, err := satypeOf(g.Changes[0].Proto); err == nil {
		m.satype = satype
	}
	return m, nil
}

// migration is the movement that a message reports.
func (m *message) migration() (spd.Migrate, error) {
	key, err := m.key()
	if err != nil {
		return spd.Migrate{}, err
	}
	if len(m.policy.requests)%2 != 0 {
		return spd.Migrate{}, fmt.Errorf("%s: %d requests, must be pairs", m.typ, len(m.policy.requests))
	}
	g := spd.Migrate{PolicyKey: key, KMAddress: m.kmAddress}
	for i := 0; i < len(m.policy.requests); i += 2 {
		old, moved := m.policy.requests[i], m.policy.requests[i+1]
		g.Changes = append(g.Changes, spd.EndpointChange{
			Proto: old.proto, Mode: old.mode, Reqid: old.reqid, Old: old.endpoints, New: moved.endpoints,
		})
	}
	return g, nil
}
