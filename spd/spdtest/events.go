package spdtest

import (
	"net/netip"
	"testing"
	"time"

	"mipsecd/spd"
)

func (s suite) testEvents(t *testing.T) {
	s.run(t, "PolicyChanged", func(t *testing.T, b spd.Backend) {
		watcher := s.openBackend(t)
		for _, policy := range []spd.Policy{bindingPolicy(1), tunnelPolicy(away1, 2)} {
			succeed(t, b.AddPolicy(policy))
			update := policy
			update.Priority += 5
			succeed(t, b.UpdatePolicy(update))
			succeed(t, b.RemovePolicy(policy.PolicyKey))
			for _, reader := range []spd.Backend{watcher, b} {
				for _, want := range []spd.Policy{policy, update} {
					e := await(t, reader, func(e spd.PolicyChanged) bool { return !e.Gone && samePolicy(e.Policy, want) })
					if e.Policy.Index == 0 {
						t.Errorf("no index in %+v", e)
					}
				}
				await(t, reader, func(e spd.PolicyChanged) bool { return e.Gone && e.Policy.PolicyKey == policy.PolicyKey })
			}
		}
	})
	s.run(t, "SARemoved", func(t *testing.T, b spd.Backend) {
		watcher := s.openBackend(t)
		sa := newSA(0x3001, spd.Transport, atHome, 1, spd.Out)
		succeed(t, b.Install(sa))
		succeed(t, b.Remove(sa.ID()))
		await(t, watcher, func(e spd.SARemoved) bool { return e.ID == sa.ID() })
	})
	s.run(t, "Expire, soft and then hard", func(t *testing.T, b spd.Backend) {
		sa := newSA(0x3002, spd.Transport, atHome, 1, spd.Out)
		sa.Lifetime = spd.Lifetime{Soft: time.Second, Hard: 3 * time.Second}
		succeed(t, b.Install(sa))
		await(t, b, func(e spd.Expire) bool { return e == spd.Expire{ID: sa.ID()} })
		await(t, b, func(e spd.Expire) bool { return e == spd.Expire{ID: sa.ID(), Hard: true} })
		wantSAs(t, b)
	})
	if s.caps.Flush != nil {
		s.run(t, "Flushed", func(t *testing.T, b spd.Backend) {
			watcher := s.openBackend(t)
			succeed(t, b.Install(newSA(0x3003, spd.Transport, atHome, 1, spd.Out)))
			succeed(t, b.AddPolicy(bindingPolicy(1)))
			s.caps.Flush(t, false)
			await(t, watcher, func(e spd.Flushed) bool { return !e.Policies })
			wantSAs(t, b)
			s.caps.Flush(t, true)
			await(t, watcher, func(e spd.Flushed) bool { return e.Policies })
			wantPolicies(t, b)
		})
	}
	if s.caps.Send != nil {
		s.run(t, "Acquire", func(t *testing.T, b spd.Backend) { testAcquire(t, b, s.caps) })
	}
	if s.caps.Rebind != nil {
		s.run(t, "Mapping", func(t *testing.T, b spd.Backend) { testMapping(t, b, s.caps) })
	}
	s.run(t, "Close closes Events", func(t *testing.T, _ spd.Backend) {
		b := s.openBackend(t)
		succeed(t, b.Close())
		timeout := time.After(30 * time.Second)
		for {
			select {
			case _, open := <-b.Events():
				if !open {
					return
				}
			case <-timeout:
				t.Fatal("still open")
			}
		}
	})
}

func testAcquire(t *testing.T, b spd.Backend, caps Caps) {
	const reqid, port = 21, 7777
	for _, template := range []spd.Template{transport(reqid), tunnel(away1, reqid)} {
		policy := protect(spd.Out, spd.Selector{Src: spd.Host(hoa), Dst: spd.Host(homeAgent), Proto: spd.ProtoUDP,
			DstPort: spd.ExactPort(port)}, template)
		succeed(t, b.AddPolicy(policy))
		index := list(t, b.Policies)[0].Index
		caps.Send(t, hoa, homeAgent, port)
		call := await(t, b, func(e spd.Acquire) bool { return e.Template.Reqid == reqid })
		want := spd.Acquire{Seq: call.Seq, Selector: policy.Selector, PolicyIndex: index, Template: template, Endpoints: atHome}
		if template.Mode == spd.Tunnel {
			want.Endpoints = away1
		}
		if got := call; got.Seq == 0 || got.Selector != want.Selector || got.PolicyIndex != want.PolicyIndex ||
			got.Template != want.Template || got.Endpoints != want.Endpoints {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if f := call.Flow; !caps.NoFlow && (f.Src != policy.Selector.Src || f.Dst != policy.Selector.Dst || f.Proto != spd.ProtoUDP ||
			f.DstPort != spd.ExactPort(port) || !f.SrcPort.Exact) {
			t.Errorf("the packet is of flow %s, want one that %s selects", f, policy.Selector)
		}
		sa := newSA(0x3004, template.Mode, want.Endpoints, reqid, spd.Out)
		sa.Acquire = call.Seq
		succeed(t, b.Install(sa))
		wantSAs(t, b, sa)
		succeed(t, b.Remove(sa.ID()))
		succeed(t, b.RemovePolicy(policy.PolicyKey))
	}
}

// A kernel without directions has one SA for what it sends to itself.
func testMapping(t *testing.T, b spd.Backend, caps Caps) {
	const reqid, port = 21, 7777
	outside := spd.Endpoints{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.1")}
	for i, e := range []spd.Endpoints{away1, outside} {
		policy := protect(spd.Out, spd.Selector{Src: spd.Host(e.Src), Dst: spd.Host(e.Dst), Proto: spd.ProtoUDP,
			DstPort: spd.ExactPort(port)}, transport(reqid))
		sa := newSA(0x3005+uint32(i), spd.Transport, e, reqid, spd.Out)
		sa.Encap = spd.Encap{Src: 4500, Dst: RebindTo}
		succeed(t, b.AddPolicy(policy))
		succeed(t, b.Install(sa))
		caps.Rebind(t, e.Src, e.Dst, port)
		want := spd.Mapping{ID: sa.ID(), From: netip.AddrPortFrom(e.Src, RebindFrom)}
		await(t, b, func(e spd.Mapping) bool { return e == want })
	}
}
