//go:build linux

package xfrm

import (
	"fmt"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// Sizes of struct xfrm_userpolicy_info, xfrm_userpolicy_id and xfrm_user_tmpl on a 64-bit machine.
const (
	policyInfoLen = 168
	policyIDLen   = 64
	templateLen   = 64
)

// maxTemplates is how many templates a policy has at most (XFRM_MAX_DEPTH).
const maxTemplates = 6

// Policy types (attrPolicyType) and actions.
const (
	typeMain    uint8 = 0
	typeSub     uint8 = 1
	actionAllow uint8 = 0
	actionBlock uint8 = 1
)

// anyAlgorithm is the mask of the algorithms that a template allows.
const anyAlgorithm = ^uint32(0)

// encodePolicy is the body of NEWPOLICY and UPDPOLICY.
func encodePolicy(p spd.Policy) ([]byte, error) {
	dir, err := dirNumber(p.Dir)
	if err != nil {
		return nil, err
	}
	action := actionAllow
	switch {
	case p.Action < spd.Protect || p.Action > spd.Discard:
		return nil, invalid("action %s: protect, bypass or discard wanted", p.Action)
	case (p.Action == spd.Protect) != (len(p.Templates) > 0) || len(p.Templates) > maxTemplates:
		return nil, invalid("%s with %d templates: 1 to %d with protect, else none wanted",
			p.Action, len(p.Templates), maxTemplates)
	case p.Action == spd.Discard:
		action = actionBlock
	}
	b, err := appendSelector(nil, p.Selector)
	if err != nil {
		return nil, err
	}
	b = appendLifetime(b, spd.Lifetime{})
	b = append(b, make([]byte, 32)...) // current lifetime
	b = native.AppendUint32(b, p.Priority)
	b = append(b, 0, 0, 0, 0)        // its index is the kernel's to give
	b = append(b, dir, action, 0, 0) // no flags, shared with any
	b = append(b, make([]byte, 4)...)
	b = appendPolicyType(b, p.Sub)
	if len(p.Templates) == 0 {
		return b, nil
	}
	templates, family := []byte(nil), familyOf(p.Selector.Src.Addr())
	for _, t := range p.Templates {
		if templates, err = appendTemplate(templates, t, family); err != nil {
			return nil, err
		}
	}
	return appendAttribute(b, attrTemplates, templates), nil
}

// encodePolicyKey is the body of DELPOLICY and the beginning of that of MIGRATE: a struct xfrm_userpolicy_id, and the
// attribute that tells sub policies.
func encodePolicyKey(k spd.PolicyKey) ([]byte, error) {
	dir, err := dirNumber(k.Dir)
	if err != nil {
		return nil, err
	}
	b, err := appendSelector(nil, k.Selector)
	if err != nil {
		return nil, err
	}
	b = append(b, 0, 0, 0, 0, dir, 0, 0, 0) // found by selector, not by index
	return appendPolicyType(b, k.Sub), nil
}

// appendPolicyType writes a struct xfrm_userpolicy_type. Main policies have none, for kernels without sub policies.
func appendPolicyType(b []byte, sub bool) []byte {
	if !sub {
		return b
	}
	return appendAttribute(b, attrPolicyType, []byte{typeSub, 0, 0, 0, 0, 0})
}

// appendTemplate writes a struct xfrm_user_tmpl. family is the selector's, which is that of transport mode.
func appendTemplate(b []byte, t spd.Template, family uint16) ([]byte, error) {
	mode, err := modeNumber(t.Mode)
	if err != nil {
		return nil, err
	}
	switch {
	case t.Level > spd.Unique:
		return nil, invalid("level %s: use, require or unique wanted", t.Level)
	case t.Level == spd.Unique && t.Reqid == 0:
		return nil, invalid("level unique without a reqid")
	case t.Mode == spd.Transport && t.Endpoints != (spd.Endpoints{}):
		return nil, invalid("a transport template with endpoints %s: none wanted", t.Endpoints)
	case t.Mode != spd.Transport:
		if err := checkEndpoints(t.Endpoints); err != nil {
			return nil, err
		}
		family = familyOf(t.Endpoints.Dst)
	}
	var optional uint8
	if t.Level == spd.Use {
		optional = 1
	}
	b = appendXfrmID(b, spd.SAID{Dst: t.Endpoints.Dst, Proto: t.Proto})
	b = native.AppendUint16(b, family)
	b = append(b, 0, 0)
	b = appendAddr(b, t.Endpoints.Src)
	b = native.AppendUint32(b, t.Reqid)
	b = append(b, mode, 0, optional, 0)
	for range 3 { // integrity, encryption, compression
		b = native.AppendUint32(b, anyAlgorithm)
	}
	return b, nil
}

// decodePolicy reads the body of NEWPOLICY, UPDPOLICY and DELPOLICY.
func decodePolicy(m message) (spd.Policy, error) {
	p, err := decodePolicyBody(m)
	if err != nil {
		return spd.Policy{}, fmt.Errorf("policy: %w", err)
	}
	return p, nil
}

func decodePolicyBody(m message) (spd.Policy, error) {
	fixed := policyInfoLen
	if m.kind == msgDelPolicy {
		fixed = policyIDLen
	}
	info, as, err := splitBody(m.body, fixed)
	if err != nil {
		return spd.Policy{}, err
	}
	if m.kind == msgDelPolicy {
		info = as.get(attrPolicy)
	}
	p, err := readPolicyInfo(cursor.Native(info))
	if err != nil {
		return spd.Policy{}, err
	}
	if p.Sub, err = isSub(as); err != nil {
		return spd.Policy{}, err
	}
	if p.Templates, err = decodeTemplates(as.get(attrTemplates)); err != nil {
		return spd.Policy{}, err
	}
	if p.Action == spd.Protect && len(p.Templates) == 0 {
		p.Action = spd.Bypass
	}
	return p, nil
}

// readPolicyInfo reads a struct xfrm_userpolicy_info. Whether an allowing policy protects or bypasses, its templates
// tell.
func readPolicyInfo(r *cursor.Reader) (spd.Policy, error) {
	sel, err := readSelector(r)
	if err != nil {
		return spd.Policy{}, err
	}
	r.Skip(64 + 32) // lifetimes
	p := spd.Policy{Priority: r.U32(), Index: r.U32(), Action: spd.Protect}
	dir, action := r.U8(), r.U8()
	r.Skip(2 + 4)
	if r.Err() != nil {
		return spd.Policy{}, r.Err()
	}
	if !sel.Src.IsValid() {
		return spd.Policy{}, fmt.Errorf("selector without an address family")
	}
	p.Selector = sel
	if action == actionBlock {
		p.Action = spd.Discard
	}
	p.Dir, err = dirOf(dir)
	return p, err
}

// isSub tells from a message's attributes whether its policy is a sub policy.
func isSub(as attributes) (bool, error) {
	raw := as.get(attrPolicyType)
	if raw == nil {
		return false, nil
	}
	r := cursor.Native(raw)
	kind := r.U8()
	if r.Err() != nil {
		return false, fmt.Errorf("policy type: %w", r.Err())
	}
	return kind != typeMain, nil
}

// decodeTemplates reads the value of attrTemplates: an array of struct xfrm_user_tmpl.
func decodeTemplates(value []byte) ([]spd.Template, error) {
	var all []spd.Template
	for r := cursor.Native(value); r.Len() > 0; {
		t, err := readTemplate(r)
		if err != nil {
			return nil, fmt.Errorf("template %d: %w", len(all), err)
		}
		all = append(all, t)
	}
	return all, nil
}

func readTemplate(r *cursor.Reader) (spd.Template, error) {
	dst, _, proto := readXfrmID(r)
	family := r.U16()
	r.Skip(2)
	src := r.Bytes(addrLen)
	t := spd.Template{Proto: proto, Reqid: r.U32(), Mode: modeOf(r.U8())}
	r.Skip(1)
	optional := r.U8() != 0
	r.Skip(1 + 3*4)
	if r.Err() != nil {
		return spd.Template{}, r.Err()
	}
	t.Level = levelOf(optional, t.Reqid)
	if t.Mode == spd.Transport {
		return t, nil
	}
	var err error
	t.Endpoints, err = endpointsOf(src, dst, family)
	return t, err
}

// levelOf is the level of a template: XFRM knows whether it is optional, and its reqid.
func levelOf(optional bool, reqid uint32) spd.Level {
	switch {
	case optional:
		return spd.Use
	case reqid != 0:
		return spd.Unique
	}
	return spd.Require
}
