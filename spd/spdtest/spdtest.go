// Package spdtest is the conformance suite of spd.Backend: one named test for each promise of its documentation.
package spdtest

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"mipsecd/spd"
)

// Caps says what the backend or the kernel under it cannot do, and how to cause what no method of Backend causes.
type Caps struct {
	// NoSub: there are no sub policies.
	NoSub bool
	// NoTypeZero: a selector cannot tell message type 0 from any type.
	NoTypeZero bool
	// NoTypeInReport: the selector in the report of a Migrate lacks the message type.
	NoTypeInReport bool
	// NoFlow: an ACQUIRE does not tell which packet met the policy.
	NoFlow bool
	// NoAEAD: SAs cannot have an AEAD cipher.
	NoAEAD bool
	// NoMigrateEncap: a Migrate cannot change the encapsulation of SAs.
	NoMigrateEncap bool
	// Flush deletes all SAs or all policies, as an administrator may. Without it Flushed is not tested.
	Flush func(t *testing.T, policies bool)
	// Send sends a UDP datagram from src, to be made an address of this host, to a port of dst, to be made reachable.
	// What comes of it does not matter. Without it Acquire is not tested.
	Send func(t *testing.T, src, dst netip.Addr, port uint16)
	// Rebind is a NAT that changes its mapping: it sends a UDP datagram from src to a port of dst, both to be made
	// addresses of this host, takes the UDP-encapsulated ESP that comes of it off dst's port RebindTo, and gives it to
	// port 4500 of dst, where ESP is taken out of UDP, from src's port RebindFrom. Without it Mapping is not tested.
	Rebind func(t *testing.T, src, dst netip.Addr, port uint16)
}

// Ports for Caps.Rebind.
const (
	RebindTo   uint16 = 4501
	RebindFrom uint16 = 20000
)

// Run runs the suite. open gives a new backend on the same kernel each time; it does not close it. The backend must be
// the kernel's only user, as each test begins and ends with an empty SPD and SAD.
func Run(t *testing.T, open func(t *testing.T) spd.Backend, caps Caps) {
	s := suite{open: open, caps: caps}
	t.Run("SAs", s.testSAs)
	t.Run("policies", s.testPolicies)
	t.Run("migrate", s.testMigrate)
	t.Run("events", s.testEvents)
}

type suite struct {
	open func(t *testing.T) spd.Backend
	caps Caps
}

// run runs one test on a fresh backend.
func (s suite) run(t *testing.T, name string, test func(*testing.T, spd.Backend)) {
	t.Run(name, func(t *testing.T) {
		b := s.openBackend(t)
		empty(t, b)
		defer empty(t, b)
		test(t, b)
	})
}

func (s suite) openBackend(t *testing.T) spd.Backend {
	b := s.open(t)
	t.Cleanup(func() { b.Close() })
	return b
}

// empty deletes all SAs and policies.
func empty(t *testing.T, b spd.Backend) {
	t.Helper()
	for _, sa := range list(t, b.SAs) {
		succeed(t, b.Remove(sa.ID()))
	}
	for _, p := range list(t, b.Policies) {
		succeed(t, b.RemovePolicy(p.PolicyKey))
	}
}

// The scene: documentation addresses (RFC 3849) and reqids that all kernels allow, KAME's manual ones.
var (
	hoa        = netip.MustParseAddr("2001:db8:1::100")
	homeAgent  = netip.MustParseAddr("2001:db8:1::1")
	coa1       = netip.MustParseAddr("2001:db8:2::1")
	coa2       = netip.MustParseAddr("2001:db8:3::2")
	anywhere   = netip.MustParsePrefix("::/0")
	everywhere = spd.Endpoints{Src: netip.IPv6Unspecified(), Dst: netip.IPv6Unspecified()}

	atHome = spd.Endpoints{Src: hoa, Dst: homeAgent}
	away1  = spd.Endpoints{Src: coa1, Dst: homeAgent}
	away2  = spd.Endpoints{Src: coa2, Dst: homeAgent}
)

const (
	mhBindingRefresh = 0
	mhHomeTestInit   = 1
	mhBindingUpdate  = 5
	mhBindingAck     = 6
)

func key(fill byte, n int) []byte { return slices.Repeat([]byte{fill}, n) }

// newSA makes an SA that every kernel knows.
func newSA(spi uint32, mode spd.Mode, e spd.Endpoints, reqid uint32, dir spd.Dir) spd.SA {
	return spd.SA{SPI: spi, Proto: spd.ESP, Mode: mode, Endpoints: e, Reqid: reqid, Dir: dir, ReplayWindow: 32,
		Transform: spd.Transform{Encr: spd.EncrAESCBC, EncrKey: key(1, 16), Integ: spd.IntegSHA1_96, IntegKey: key(2, 20)}}
}

func transport(reqid uint32) spd.Template {
	return spd.Template{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Unique, Reqid: reqid}
}

func tunnel(e spd.Endpoints, reqid uint32) spd.Template {
	return spd.Template{Proto: spd.ESP, Mode: spd.Tunnel, Level: spd.Unique, Reqid: reqid, Endpoints: e}
}

func protect(dir spd.Dir, s spd.Selector, templates ...spd.Template) spd.Policy {
	return spd.Policy{PolicyKey: spd.PolicyKey{Selector: s, Dir: dir}, Priority: 10, Action: spd.Protect,
		Templates: templates}
}

// bindingPolicy protects Binding Updates on their way out.
func bindingPolicy(reqid uint32) spd.Policy {
	return protect(spd.Out, spd.MH(spd.Host(hoa), spd.Host(homeAgent), mhBindingUpdate), transport(reqid))
}

// tunnelPolicy protects Home Test Inits on their way out.
func tunnelPolicy(e spd.Endpoints, reqid uint32) spd.Policy {
	return protect(spd.Out, spd.MH(spd.Host(hoa), anywhere, mhHomeTestInit), tunnel(e, reqid))
}

func succeed(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func list[T any](t *testing.T, get func() ([]T, error)) []T {
	t.Helper()
	all, err := get()
	succeed(t, err)
	return all
}

// await waits for an event that satisfies want and passes over others, among which a kernel may mix it.
func await[E spd.Event](t *testing.T, b spd.Backend, want func(E) bool) E {
	t.Helper()
	var others []spd.Event
	timeout := time.After(30 * time.Second)
	for {
		select {
		case e, open := <-b.Events():
			if !open {
				t.Fatalf("events closed; no %T among %v", *new(E), others)
			}
			if wanted, ok := e.(E); ok && want(wanted) {
				return wanted
			}
			others = append(others, e)
		case <-timeout:
			t.Fatalf("no %T as wanted among %+v", *new(E), others)
		}
	}
}
