package pfkey

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"mipsecd/spd"
)

func newSA(spi uint32, e spd.Endpoints) spd.SA {
	return spd.SA{
		SPI: spi, Proto: spd.ESP, Mode: spd.Transport, Endpoints: e, Reqid: 1, ReplayWindow: 32,
		Transform: spd.Transform{Encr: spd.EncrAESCBC, EncrKey: key(14, 16),
			Integ: spd.IntegSHA1_96, IntegKey: key(11, 20)},
	}
}

// over sends a message over the wire.
func over(t *testing.T, d *dialect, m *message) *message {
	t.Helper()
	b, err := d.encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = d.decode(b); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPoliciesRoundTrip(t *testing.T) {
	binding := spd.Policy{
		PolicyKey: spd.PolicyKey{Selector: spd.MH(spd.Host(hoa), spd.Host(homeAgent), 5), Dir: spd.Out},
		Action:    spd.Protect, Priority: 2, Index: 9,
		Templates: []spd.Template{
			{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Unique, Reqid: 0x3fff},
			{Proto: spd.AH, Mode: spd.Transport, Level: spd.Use},
			{Proto: spd.ESP, Mode: spd.Tunnel, Level: spd.Require, Endpoints: away},
			{Proto: spd.ESP, Mode: spd.Tunnel, Level: spd.Require, Endpoints: spd.Endpoints{Src: ip4, Dst: peer4}},
		},
	}
	selecting := func(s spd.Selector, dir spd.Dir, a spd.Action) spd.Policy {
		return spd.Policy{PolicyKey: spd.PolicyKey{Selector: s, Dir: dir}, Action: a}
	}
	icmp := spd.Selector{Src: spd.Host(hoa), Dst: anywhere, Proto: spd.ProtoICMPv6,
		SrcPort: spd.ExactPort(1), DstPort: spd.ExactPort(4)}
	for _, p := range []spd.Policy{
		binding,
		selecting(icmp, spd.In, spd.Discard),
		selecting(spd.Selector{Src: anywhere, Dst: spd.Host(hoa)}, spd.Fwd, spd.Bypass),
		selecting(spd.Selector{Src: spd.Host(ip4), Dst: netip.MustParsePrefix("198.51.100.0/24"), Proto: spd.ProtoUDP,
			DstPort: spd.ExactPort(500)}, spd.Out, spd.Bypass),
	} {
		for _, d := range []*dialect{&linux, &bsd} {
			m, err := d.policyMessage(sadbSPDAdd, p)
			if p.Dir == spd.Fwd && !d.forward {
				if !errors.Is(err, spd.ErrInvalid) {
					t.Errorf("%s: %v", p, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			m.policy.id = p.Index
			want := p
			if !d.priority {
				want.Priority = 0
			}
			if got, err := over(t, d, m).spdPolicy(); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, error %v, want %+v", got, err, want)
			}
		}
	}
}

func TestPoliciesThatPFKEYCannotSay(t *testing.T) {
	for want, change := range map[string]func(*spd.Policy){
		"sub-policies":                   func(p *spd.Policy) { p.Sub = true },
		"no such direction":              func(p *spd.Policy) { p.Dir = 4 },
		"PF_KEY can't select port":       func(p *spd.Policy) { p.Selector.SrcPort = spd.ExactPort(0) },
		"two prefixes of one family":     func(p *spd.Policy) { p.Selector.Dst = spd.Host(ip4) },
		"to protect it must have":        func(p *spd.Policy) { p.Templates = nil },
		"templates only to protect":      func(p *spd.Policy) { p.Action = spd.Bypass },
		"must protect, bypass":           func(p *spd.Policy) { p.Action, p.Templates = 0, nil },
		"keeps the reqid of level":       func(p *spd.Policy) { p.Templates[0].Reqid = 0x4000 },
		"only if it is 1 to 16383":       func(p *spd.Policy) { p.Templates[0].Reqid = 0 },
		"drops a reqid":                  func(p *spd.Policy) { p.Templates[0].Level = spd.Require },
		"transport and tunnel mode only": func(p *spd.Policy) { p.Templates[0].Mode = spd.BEET },
		"must have two endpoints":        func(p *spd.Policy) { p.Templates[0].Endpoints.Dst = netip.IPv6Unspecified() },
		"must not have endpoints":        func(p *spd.Policy) { p.Templates[0].Mode = spd.Transport },
	} {
		p := homeTestInit(away)
		change(&p)
		m, err := linux.policyMessage(sadbSPDAdd, p)
		if !errors.Is(err, spd.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, error %v, want %q", m, err, want)
		}
	}
}

func TestSAsRoundTrip(t *testing.T) {
	esp := newSA(0x1001, atHome)
	esp.Lifetime = spd.Lifetime{Soft: 3080 * time.Second, Hard: time.Hour, SoftBytes: 1 << 20, HardBytes: 1 << 21}
	ah := newSA(0x1002, spd.Endpoints{Src: ip4, Dst: peer4})
	ah.Proto, ah.Mode, ah.ReplayWindow = spd.AH, spd.Tunnel, 0
	ah.Transform = spd.Transform{Integ: spd.IntegSHA512_256, IntegKey: key(3, 64)}
	encapsulated := esp
	encapsulated.Encap = spd.Encap{Src: 4500, Dst: 20000}
	for _, s := range []spd.SA{esp, ah, encapsulated} {
		m, err := linux.addMessage(s)
		if err != nil {
			t.Fatal(err)
		}
		want := s
		want.Transform.EncrKey, want.Transform.IntegKey = nil, nil
		if got, ok := linux.saOf(over(t, &linux, m)); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestSAIsLaidOutAsTheFixture(t *testing.T) {
	for _, f := range fixtures {
		var m *message
		var err error
		switch f.message.typ {
		case sadbAdd:
			s := newSA(0x1001, atHome)
			s.Acquire = 7
			s.Lifetime = spd.Lifetime{Hard: time.Hour, Soft: 3080 * time.Second, SoftBytes: 1 << 20}
			m, err = linux.addMessage(s)
		case sadbGetSPI:
			m, err = larvalMessage(spd.LarvalSA{Endpoints: spd.Endpoints{Src: ip4, Dst: peer4}, Proto: spd.ESP, Mode: spd.Tunnel})
		default:
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m.seq, m.pid = f.message.seq, f.message.pid
		if !reflect.DeepEqual(m, &f.message) {
			t.Errorf("%s: %+v, want %+v", f.name, m, &f.message)
		}
	}
}

func TestLifetimesAreRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]uint64{0: 0, 1: 1, time.Second: 1, time.Second + 1: 2} {
		if got := newLifetime(d, 0).addTime; got != want {
			t.Errorf("%v: %d s, want %d", d, got, want)
		}
	}
	if got := (&lifetime{addTime: 1 << 63}).time(); got <= 0 {
		t.Errorf("the longest lifetime is %v", got)
	}
}

func TestReplayWindowIsCapped(t *testing.T) {
	s := newSA(0x1001, atHome)
	s.ReplayWindow = 128
	if m, err := linux.addMessage(s); err != nil || m.sa.replay != 32 {
		t.Errorf("window of %d, error %v", m.sa.replay, err)
	}
}

func TestSAsThatPFKEYCannotSay(t *testing.T) {
	for want, change := range map[string]func(*spd.SA){
		"SPI 255, must be at least 256": func(s *spd.SA) { s.SPI = 255 },
		"extended sequence numbers":     func(s *spd.SA) { s.Transform.ESN = true },
		"UDP encapsulation of this SA":  func(s *spd.SA) { s.Proto, s.Encap = spd.AH, spd.Encap{Src: 4500, Dst: 4500} },
		"an SA of route2":               func(s *spd.SA) { s.Proto = spd.Route2 },
		"two addresses of one family":   func(s *spd.SA) { s.Endpoints.Dst = ip4 },
		"mode ro":                       func(s *spd.SA) { s.Mode = spd.RouteOptimization },
		"a key of more than 8191":       func(s *spd.SA) { s.Transform.EncrKey = key(1, 8192) },
	} {
		s := newSA(0x1001, atHome)
		change(&s)
		if m, err := linux.addMessage(s); !errors.Is(err, spd.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, error %v, want %q", m, err, want)
		}
	}
	if m, err := larvalMessage(spd.LarvalSA{Proto: spd.ESP, Mode: spd.Transport}); !errors.Is(err, spd.ErrInvalid) {
		t.Errorf("no addresses: %+v, error %v", m, err)
	}
	if m, err := idMessage(sadbDelete, spd.SAID{Proto: spd.ESP, SPI: 0x1001}); !errors.Is(err, spd.ErrInvalid) {
		t.Errorf("no destination: %+v, error %v", m, err)
	}
}

func TestMigrationsRoundTrip(t *testing.T) {
	everywhere := spd.Endpoints{Src: netip.IPv6Unspecified(), Dst: netip.IPv6Unspecified()}
	g := spd.Migrate{
		PolicyKey: homeTestInit(away).PolicyKey, KMAddress: away2,
		Changes: []spd.EndpointChange{
			{Proto: spd.ESP, Mode: spd.Transport, Reqid: 7, Old: everywhere, New: away2},
			{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 0x12345, Old: away, New: away2},
		},
	}
	m, err := linux.migrateMessage(g)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := over(t, &linux, m).migration(); err != nil || !reflect.DeepEqual(got, g) {
		t.Errorf("got %+v, error %v, want %+v", got, err, g)
	}
	for want, change := range map[string]func(*spd.Migrate){
		"must have a change":       func(g *spd.Migrate) { g.Changes = nil },
		"a change must have":       func(g *spd.Migrate) { g.Changes[0].Old = spd.Endpoints{} },
		"old and new endpoints":    func(g *spd.Migrate) { g.Changes[0].New = everywhere },
		"transport, tunnel":        func(g *spd.Migrate) { g.Changes[0].Mode = spd.RouteOptimization },
		"key exchange address":     func(g *spd.Migrate) { g.KMAddress.Dst = ip4 },
		"PF_KEY can't select port": func(g *spd.Migrate) { g.Selector.SrcPort = spd.ExactPort(0) },
	} {
		bad := g
		bad.Changes = append([]spd.EndpointChange{}, g.Changes...)
		change(&bad)
		if m, err := linux.migrateMessage(bad); !errors.Is(err, spd.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, error %v, want %q", m, err, want)
		}
	}
	g.KMAddress = spd.Endpoints{}
	none := bsd
	none.migrate = 0
	if m, err := none.migrateMessage(g); !errors.Is(err, spd.ErrInvalid) {
		t.Errorf("where MIGRATE can't be sent: %+v, error %v", m, err)
	}
	if m, err := bsd.migrateMessage(g); !errors.Is(err, spd.ErrInvalid) {
		t.Errorf("a reqid of 17 bits in 16: %+v, error %v", m, err)
	}
}
