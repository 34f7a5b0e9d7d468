package spdtest

import (
	"testing"

	"mipsecd/spd"
)

func (s suite) testPolicies(t *testing.T) {
	for _, c := range policyCases(s.caps) {
		s.run(t, "kept: "+c.name, func(t *testing.T, b spd.Backend) {
			succeed(t, b.AddPolicy(c.policy))
			wantPolicies(t, b, c.policy)
			wantError(t, b.AddPolicy(c.policy), spd.ErrExists)
			succeed(t, b.RemovePolicy(c.policy.PolicyKey))
			wantPolicies(t, b)
		})
	}
	s.run(t, "all at once, each with an index of its own", func(t *testing.T, b spd.Backend) {
		var all []spd.Policy
		for _, c := range policyCases(s.caps) {
			succeed(t, b.AddPolicy(c.policy))
			all = append(all, c.policy)
		}
		wantPolicies(t, b, all...)
		indexes := map[uint32]bool{}
		for _, p := range list(t, b.Policies) {
			if p.Index == 0 || indexes[p.Index] {
				t.Errorf("index %d of %s is zero or not its own", p.Index, p)
			}
			indexes[p.Index] = true
		}
	})
	s.run(t, "AddPolicy refuses a duplicate and leaves the first", func(t *testing.T, b spd.Backend) {
		first, second := bindingPolicy(1), bindingPolicy(2)
		second.Priority++
		succeed(t, b.AddPolicy(first))
		wantError(t, b.AddPolicy(second), spd.ErrExists)
		wantPolicies(t, b, first)
	})
	s.run(t, "UpdatePolicy adds", func(t *testing.T, b spd.Backend) {
		succeed(t, b.UpdatePolicy(bindingPolicy(1)))
		wantPolicies(t, b, bindingPolicy(1))
	})
	s.run(t, "UpdatePolicy replaces", func(t *testing.T, b spd.Backend) {
		succeed(t, b.AddPolicy(tunnelPolicy(away1, 1)))
		succeed(t, b.AddPolicy(bindingPolicy(2)))
		succeed(t, b.UpdatePolicy(tunnelPolicy(away2, 3)))
		wantPolicies(t, b, tunnelPolicy(away2, 3), bindingPolicy(2))
	})
	s.run(t, "RemovePolicy of one of two that differ only in MH type", func(t *testing.T, b spd.Backend) {
		bu := bindingPolicy(1)
		ba := protect(spd.Out, spd.MH(spd.Host(hoa), spd.Host(homeAgent), mhBindingAck), transport(2))
		succeed(t, b.AddPolicy(bu))
		succeed(t, b.AddPolicy(ba))
		wantPolicies(t, b, bu, ba)
		succeed(t, b.RemovePolicy(bu.PolicyKey))
		wantPolicies(t, b, ba)
		wantError(t, b.RemovePolicy(bu.PolicyKey), spd.ErrNotFound)
	})
	s.run(t, "RemovePolicy in the other direction is ErrNotFound", func(t *testing.T, b spd.Backend) {
		p := bindingPolicy(1)
		succeed(t, b.AddPolicy(p))
		p.Dir = spd.In
		wantError(t, b.RemovePolicy(p.PolicyKey), spd.ErrNotFound)
		wantPolicies(t, b, bindingPolicy(1))
	})
	s.run(t, "a policy without direction is ErrInvalid", func(t *testing.T, b spd.Backend) {
		p := bindingPolicy(1)
		p.Dir = 0
		wantError(t, b.AddPolicy(p), spd.ErrInvalid)
		wantPolicies(t, b)
	})
	if !s.caps.NoSub {
		s.run(t, "a sub policy stands beside the main one", func(t *testing.T, b spd.Backend) {
			main := bindingPolicy(1)
			sub := spd.Policy{PolicyKey: main.PolicyKey, Priority: 1, Action: spd.Discard}
			sub.Sub = true
			succeed(t, b.AddPolicy(main))
			succeed(t, b.AddPolicy(sub))
			wantPolicies(t, b, main, sub)
			succeed(t, b.RemovePolicy(sub.PolicyKey))
			wantPolicies(t, b, main)
		})
	}
}

type policyCase struct {
	name   string
	policy spd.Policy
}

// policyCases are one policy of every kind. No two have one PolicyKey.
func policyCases(caps Caps) []policyCase {
	home, agent := spd.Host(hoa), spd.Host(homeAgent)
	icmp := func(kind uint16, code spd.Port) spd.Selector {
		return spd.Selector{Src: home, Dst: agent, Proto: spd.ProtoICMPv6, SrcPort: spd.ExactPort(kind), DstPort: code}
	}
	ports := spd.Selector{Src: home, Dst: agent, Proto: spd.ProtoTCP, SrcPort: spd.ExactPort(1024), DstPort: spd.ExactPort(80)}
	plain := func(s spd.Selector, action spd.Action) spd.Policy {
		return spd.Policy{PolicyKey: spd.PolicyKey{Selector: s, Dir: spd.Out}, Priority: 3, Action: action}
	}
	cases := []policyCase{
		{"one MH type out", protect(spd.Out, spd.MH(home, agent, mhBindingUpdate), transport(1))},
		{"one MH type in", protect(spd.In, spd.MH(agent, home, mhBindingAck), transport(2))},
		{"all MH types", protect(spd.Out, spd.Selector{Src: home, Dst: anywhere, Proto: spd.ProtoMH}, tunnel(away1, 3))},
		{"one ICMPv6 type", protect(spd.Out, icmp(146, spd.Port{}), transport(4))},
		{"one ICMPv6 type and code", protect(spd.Out, icmp(1, spd.ExactPort(3)), transport(5))},
		{"tunnel out", protect(spd.Out, spd.MH(home, anywhere, mhHomeTestInit), tunnel(away1, 6))},
		{"tunnel in", protect(spd.In, spd.MH(anywhere, home, 3), tunnel(away1.Reverse(), 7))},
		{"tunnel forwarded", protect(spd.Fwd, spd.MH(anywhere, home, 3), tunnel(away1.Reverse(), 7))},
		{"tunnel and transport", protect(spd.Out, spd.MH(home, agent, mhHomeTestInit), transport(8), tunnel(away1, 9))},
		{"any protocol", protect(spd.Out, spd.Selector{Src: home, Dst: anywhere}, tunnel(away1, 10))},
		{"exact ports", protect(spd.Out, ports, transport(11))},
		{"level use", protect(spd.In, ports, spd.Template{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Use})},
		{"level require", protect(spd.Fwd, ports, spd.Template{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Require})},
		{"bypass", plain(spd.MH(home, anywhere, mhBindingUpdate), spd.Bypass)},
		{"discard", plain(spd.Selector{Src: anywhere, Dst: anywhere}, spd.Discard)},
	}
	if !caps.NoTypeZero {
		cases = append(cases,
			policyCase{"MH type 0", protect(spd.Out, spd.MH(home, agent, mhBindingRefresh), transport(12))},
			policyCase{"ICMPv6 type 0 code 0", protect(spd.Out, icmp(0, spd.ExactPort(0)), transport(13))})
	}
	return cases
}

// wantPolicies checks the listed policies, in any order. A template with a reqid is listed as unique.
func wantPolicies(t *testing.T, b spd.Backend, want ...spd.Policy) {
	t.Helper()
	got := map[spd.PolicyKey]spd.Policy{}
	all := list(t, b.Policies)
	for _, p := range all {
		got[p.PolicyKey] = p
	}
	for _, p := range want {
		if !samePolicy(got[p.PolicyKey], p) {
			t.Errorf("got policy %+v, want %+v", got[p.PolicyKey], p)
		}
	}
	if len(all) != len(want) {
		t.Errorf("%d policies listed, want %d: %v", len(all), len(want), all)
	}
}
