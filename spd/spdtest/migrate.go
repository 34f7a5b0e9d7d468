package spdtest

import (
	"net/netip"
	"slices"
	"testing"

	"mipsecd/spd"
)

func (s suite) testMigrate(t *testing.T) {
	const reqid, otherReqid = 5, 6
	outKey := tunnelPolicy(away1, reqid).PolicyKey
	change := func(old, new spd.Endpoints) spd.EndpointChange {
		return spd.EndpointChange{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: reqid, Old: old, New: new}
	}
	move := func(old, new spd.Endpoints) spd.Migrate {
		return spd.Migrate{PolicyKey: outKey, Changes: []spd.EndpointChange{change(old, new)}}
	}
	km := spd.Endpoints{Src: coa2, Dst: homeAgent}
	setUp := func(t *testing.T, b spd.Backend) spd.SA {
		sa := newSA(0x2001, spd.Tunnel, away1, reqid, spd.Out)
		succeed(t, b.AddPolicy(tunnelPolicy(away1, reqid)))
		succeed(t, b.Install(sa))
		return sa
	}

	s.run(t, "moves template and SA, SPI and reqid kept", func(t *testing.T, b spd.Backend) {
		sa := setUp(t, b)
		succeed(t, b.Migrate(move(away1, away2)))
		sa.Endpoints = away2
		wantSAs(t, b, sa)
		wantPolicies(t, b, tunnelPolicy(away2, reqid))
	})
	s.run(t, "moves there and back", func(t *testing.T, b spd.Backend) {
		sa := setUp(t, b)
		succeed(t, b.Migrate(move(away1, away2)))
		succeed(t, b.Migrate(move(away2, away1)))
		wantSAs(t, b, sa)
		wantPolicies(t, b, tunnelPolicy(away1, reqid))
	})
	s.run(t, "keeps the encapsulation", func(t *testing.T, b spd.Backend) {
		sa := newSA(0x2001, spd.Tunnel, away1, reqid, spd.Out)
		sa.Encap = spd.Encap{Src: 4500, Dst: 20000}
		succeed(t, b.AddPolicy(tunnelPolicy(away1, reqid)))
		succeed(t, b.Install(sa))
		succeed(t, b.Migrate(move(away1, away2)))
		sa.Endpoints = away2
		wantSAs(t, b, sa)
		succeed(t, b.SetEncap(sa.ID(), spd.Encap{Src: 4500, Dst: 20001}))
	})
	if s.caps.NoMigrateEncap {
		s.run(t, "with an encapsulation is ErrInvalid", func(t *testing.T, b spd.Backend) {
			sa, m := setUp(t, b), move(away1, away2)
			m.Encap = spd.Encap{Src: 4500, Dst: 20000}
			wantError(t, b.Migrate(m), spd.ErrInvalid)
			wantSAs(t, b, sa)
		})
	} else {
		s.run(t, "adds or changes an encapsulation", func(t *testing.T, b spd.Backend) {
			sa := setUp(t, b)
			for i, m := range []spd.Migrate{move(away1, away2), move(away2, away1), move(away1, away1)} {
				m.Encap = spd.Encap{Src: 4500, Dst: 20000 + uint16(i)}
				succeed(t, b.Migrate(m))
				sa.Endpoints, sa.Encap = m.Changes[0].New, m.Encap
				wantSAs(t, b, sa)
				awaitMigrate(t, s, b, m)
			}
		})
	}
	s.run(t, "moves an inbound SA, whose name changes", func(t *testing.T, b spd.Backend) {
		in := func(e spd.Endpoints) spd.Policy {
			return protect(spd.In, spd.MH(anywhere, spd.Host(hoa), 3), tunnel(e, reqid))
		}
		sa := newSA(0x2002, spd.Tunnel, away1.Reverse(), reqid, spd.In)
		succeed(t, b.AddPolicy(in(away1.Reverse())))
		succeed(t, b.Install(sa))
		succeed(t, b.Migrate(spd.Migrate{PolicyKey: in(away1).PolicyKey,
			Changes: []spd.EndpointChange{change(away1.Reverse(), away2.Reverse())}}))
		old := sa.ID()
		sa.Endpoints = away2.Reverse()
		wantSAs(t, b, sa)
		wantPolicies(t, b, in(away2.Reverse()))
		wantError(t, b.Remove(old), spd.ErrNotFound)
		succeed(t, b.Remove(sa.ID()))
	})
	s.run(t, "moves beside an SPI that is reserved", func(t *testing.T, b spd.Backend) {
		in := protect(spd.In, spd.MH(anywhere, spd.Host(hoa), 3), tunnel(away1.Reverse(), reqid))
		succeed(t, b.AddPolicy(in))
		_, err := b.AllocSPI(spd.LarvalSA{Endpoints: away1.Reverse(), Proto: spd.ESP, Mode: spd.Tunnel})
		succeed(t, err)
		succeed(t, b.Migrate(spd.Migrate{PolicyKey: in.PolicyKey,
			Changes: []spd.EndpointChange{change(away1.Reverse(), away2.Reverse())}}))
	})
	s.run(t, "moves a template that has no SA yet", func(t *testing.T, b spd.Backend) {
		succeed(t, b.AddPolicy(tunnelPolicy(away1, reqid)))
		succeed(t, b.Migrate(move(away1, away2)))
		wantPolicies(t, b, tunnelPolicy(away2, reqid))
	})
	s.run(t, "moves the tunnel beside a transport template", func(t *testing.T, b spd.Backend) {
		policy := func(e spd.Endpoints) spd.Policy {
			return protect(spd.Out, outKey.Selector, transport(7), tunnel(e, reqid))
		}
		succeed(t, b.AddPolicy(policy(away1)))
		succeed(t, b.Migrate(move(away1, away2)))
		wantPolicies(t, b, policy(away2))
	})
	s.run(t, "leaves other reqids alone", func(t *testing.T, b spd.Backend) {
		sa, other := setUp(t, b), newSA(0x2003, spd.Tunnel, away1, otherReqid, spd.Out)
		otherPolicy := protect(spd.Out, spd.MH(spd.Host(hoa), anywhere, 2), tunnel(away1, otherReqid))
		succeed(t, b.Install(other))
		succeed(t, b.AddPolicy(otherPolicy))
		succeed(t, b.Migrate(move(away1, away2)))
		sa.Endpoints = away2
		wantSAs(t, b, sa, other)
		wantPolicies(t, b, tunnelPolicy(away2, reqid), otherPolicy)
	})
	s.run(t, "from old endpoints to the same", func(t *testing.T, b spd.Backend) {
		sa := setUp(t, b)
		succeed(t, b.Migrate(move(away1, away1)))
		wantSAs(t, b, sa)
		wantPolicies(t, b, tunnelPolicy(away1, reqid))
		succeed(t, b.Migrate(move(away1, away2)))
	})
	s.run(t, "again moves the SA that was left behind", func(t *testing.T, b spd.Backend) {
		first := setUp(t, b)
		second := newSA(first.SPI+1, spd.Tunnel, away1, reqid, spd.Out)
		succeed(t, b.Install(second))
		succeed(t, b.Migrate(move(away1, away2)))
		again := move(away2, away2)
		again.Changes = append(again.Changes, change(away1, away2))
		succeed(t, b.Migrate(again))
		first.Endpoints, second.Endpoints = away2, away2
		wantSAs(t, b, first, second)
		wantPolicies(t, b, tunnelPolicy(away2, reqid))
		awaitMigrate(t, s, b, again)
	})
	s.run(t, "of a policy that is not there is ErrNotFound", func(t *testing.T, b spd.Backend) {
		sa := newSA(0x2001, spd.Tunnel, away1, reqid, spd.Out)
		succeed(t, b.Install(sa))
		wantError(t, b.Migrate(move(away1, away2)), spd.ErrNotFound)
		wantSAs(t, b, sa)
	})
	s.run(t, "of another MH type is ErrNotFound", func(t *testing.T, b spd.Backend) {
		sa := setUp(t, b)
		other := move(away1, away2)
		other.Selector.SrcPort = spd.ExactPort(2)
		wantError(t, b.Migrate(other), spd.ErrNotFound)
		wantSAs(t, b, sa)
		wantPolicies(t, b, tunnelPolicy(away1, reqid))
	})
	s.run(t, "from other endpoints is ErrNoTemplate and changes nothing", func(t *testing.T, b spd.Backend) {
		sa := setUp(t, b)
		wantError(t, b.Migrate(move(atHome, away2)), spd.ErrNoTemplate)
		wantSAs(t, b, sa)
		wantPolicies(t, b, tunnelPolicy(away1, reqid))
	})
	s.run(t, "of another reqid is ErrNoTemplate and changes nothing", func(t *testing.T, b spd.Backend) {
		sa, other := setUp(t, b), move(away1, away2)
		other.Changes[0].Reqid = otherReqid
		wantError(t, b.Migrate(other), spd.ErrNoTemplate)
		wantSAs(t, b, sa)
		wantPolicies(t, b, tunnelPolicy(away1, reqid))
	})
	s.run(t, "where only the SA has the old endpoints is ErrNoTemplate", func(t *testing.T, b spd.Backend) {
		sa := newSA(0x2001, spd.Tunnel, atHome, reqid, spd.Out)
		succeed(t, b.Install(sa))
		succeed(t, b.AddPolicy(tunnelPolicy(away1, reqid)))
		wantError(t, b.Migrate(move(atHome, away2)), spd.ErrNoTemplate)
		wantSAs(t, b, sa)
		wantPolicies(t, b, tunnelPolicy(away1, reqid))
	})
	s.run(t, "to unspecified addresses is ErrInvalid and changes nothing", func(t *testing.T, b spd.Backend) {
		sa := setUp(t, b)
		nowhere := spd.Endpoints{Src: netip.IPv6Unspecified(), Dst: homeAgent}
		wantError(t, b.Migrate(move(away1, nowhere)), spd.ErrInvalid)
		wantSAs(t, b, sa)
		wantPolicies(t, b, tunnelPolicy(away1, reqid))
	})
	s.run(t, "of transport from unspecified addresses moves nothing and is reported", func(t *testing.T, b spd.Backend) {
		watcher := s.openBackend(t)
		sa := newSA(0x2004, spd.Transport, atHome, reqid, spd.Out)
		succeed(t, b.AddPolicy(bindingPolicy(reqid)))
		succeed(t, b.Install(sa))
		m := spd.Migrate{PolicyKey: bindingPolicy(reqid).PolicyKey, KMAddress: km, Changes: []spd.EndpointChange{
			{Proto: spd.ESP, Mode: spd.Transport, Reqid: reqid, Old: everywhere, New: away2}}}
		succeed(t, b.Migrate(m))
		wantSAs(t, b, sa)
		wantPolicies(t, b, bindingPolicy(reqid))
		awaitMigrate(t, s, watcher, m)
	})
	s.run(t, "is reported to all backends", func(t *testing.T, b spd.Backend) {
		watcher := s.openBackend(t)
		setUp(t, b)
		plain, withKM, still := move(away1, away2), move(away2, away1), move(away1, away1)
		withKM.KMAddress = km.Reverse()
		for _, m := range []spd.Migrate{plain, withKM, still} {
			succeed(t, b.Migrate(m))
		}
		for _, reader := range []spd.Backend{watcher, b} {
			for _, m := range []spd.Migrate{plain, withKM, still} {
				awaitMigrate(t, s, reader, m)
			}
		}
	})
	s.run(t, "of two templates is one report", func(t *testing.T, b spd.Backend) {
		watcher := s.openBackend(t)
		succeed(t, b.AddPolicy(protect(spd.Out, outKey.Selector, transport(7), tunnel(away1, reqid))))
		m := move(away1, away2)
		m.Changes = append([]spd.EndpointChange{{Proto: spd.ESP, Mode: spd.Transport, Reqid: 7, Old: everywhere, New: away2}},
			m.Changes...)
		succeed(t, b.Migrate(m))
		awaitMigrate(t, s, watcher, m)
	})
}

func awaitMigrate(t *testing.T, s suite, b spd.Backend, want spd.Migrate) {
	t.Helper()
	if s.caps.NoTypeInReport {
		want.Selector.SrcPort, want.Selector.DstPort = spd.Port{}, spd.Port{}
	}
	await(t, b, func(got spd.Migrate) bool {
		return got.PolicyKey == want.PolicyKey && got.KMAddress == want.KMAddress && got.Encap == want.Encap &&
			slices.Equal(got.Changes, want.Changes)
	})
}
