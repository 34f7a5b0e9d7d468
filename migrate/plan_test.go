package migrate_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mipsecd/internal/secret"
	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
	"mipsecd/spd/memory"
)

// wantPolicies compares policies, each with its priority, with what they are in words.
func wantPolicies(t *testing.T, got []spd.Policy, want string) {
	t.Helper()
	var out []migrate.Effect
	for _, p := range got {
		out = append(out, migrate.Report{What: "policy", Detail: fmt.Sprintf("%d %s", p.Priority, p)})
	}
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(want)) {
		lines = append(lines, "report policy : "+strings.TrimSpace(line))
	}
	Expect(t, out, strings.Join(lines, "\n"))
}

// sides are the two ends of a movement.
var sides = []struct {
	name string
	onHA bool
}{{"mobile node", false}, {"home agent", true}}

// movements take a mobile node away, about and home.
var movements = []struct {
	name     string
	from, to netip.Addr
}{
	{"leaving home", HoA, CoA1},
	{"from link to link", CoA1, CoA2},
	{"returning home", CoA2, HoA},
}

// kernel has the policies of a home address as mipsecd sets them, and a pair of SAs for each pair of tunnels.
type kernel struct {
	t *testing.T
	*memory.Backend
}

func newKernel(t *testing.T, home migrate.Home, onHA bool, careOf netip.Addr) kernel {
	k := kernel{t, memory.New(memory.Options{}).Open()}
	t.Cleanup(func() { k.Close() })
	node := migrate.NewHomes([]migrate.Home{home}, onHA, true)
	node.Moved(start, node.Of(home.HomeAddress), careOf)
	for _, e := range node.Flushed(spd.Flushed{Policies: true}) {
		k.do(e.(migrate.Carry).Apply(k))
	}
	for i, p := range home.Policies(onHA, careOf) {
		if t := p.Templates[0]; t.Mode == spd.Tunnel && p.Dir != spd.Fwd {
			k.do(k.Install(spd.SA{
				SPI: 0x1000 + uint32(i), Proto: spd.ESP, Mode: t.Mode, Endpoints: t.Endpoints, Reqid: t.Reqid, Dir: p.Dir,
				Transform: spd.Transform{Encr: spd.EncrAESGCM16, EncrKey: make(secret.Bytes, 20)},
			}))
		}
	}
	return k
}

func (k kernel) do(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// state is all that is in the kernel, in an order that movements do not change.
func (k kernel) state() (s struct {
	policies []spd.Policy
	sas      []spd.SA
}) {
	k.t.Helper()
	var err error
	s.policies, err = k.Policies()
	k.do(err)
	s.sas, err = k.SAs()
	k.do(err)
	slices.SortFunc(s.sas, func(a, b spd.SA) int { return cmp.Compare(a.SPI, b.SPI) })
	return s
}

// plan is what a role that owns the policies wants done when the kernel binds the home address elsewhere.
func plan(home migrate.Home, onHA bool, from, to netip.Addr) migrate.Plan {
	homes := migrate.NewHomes([]migrate.Home{home}, onHA, true)
	homes.Moved(start, homes.Of(home.HomeAddress), from)
	for _, e := range homes.Bind(start, Daemon{Protected: home.Protected}.Binds(to)) {
		if c, ok := e.(migrate.Carry); ok {
			return c.Plan
		}
	}
	return migrate.Plan{}
}

// A movement ends in the state in which mipsecd would have set the kernel up there, SAs included: the same SPIs at other
// addresses. At home the tunnels are bypassed, and their SAs wait (RFC 4877 section 4.2).
func TestRFC4877Section4_2Movements(t *testing.T) {
	home := Home("peer", true)
	for _, side := range sides {
		for _, m := range movements {
			t.Run(side.name+"/"+m.name, func(t *testing.T) {
				k := newKernel(t, home, side.onHA, m.from)
				k.do(plan(home, side.onHA, m.from, m.to).Apply(k))
				want := newKernel(t, home, side.onHA, m.to).state()
				if got := k.state(); !reflect.DeepEqual(got, want) {
					t.Errorf("got %v\nwant %v", got, want)
				}
			})
		}
	}
}

func TestNoMovementIsNoPlan(t *testing.T) {
	home := Home("peer", true)
	for _, at := range []netip.Addr{HoA, CoA1} {
		if p := migrate.Between(newTunnels(home, false, at), HoA, at, at, spd.Endpoints{}).String(); p != "" {
			t.Errorf("at %s: %s", at, p)
		}
	}
}

// The steps on the home agent, and what each of them is undone to.
func TestPlansInWords(t *testing.T) {
	home := OtherHome("mn")
	Expect(t, []migrate.Effect{migrate.Carry{Plan: plan(home, true, OtherHoA, CoA1)}}, `
		carry
		set in OtherHoA -> * any protect esp/tunnel/OtherHoA -> HA/unique:17
		set out * -> OtherHoA any protect esp/tunnel/HA -> OtherHoA/unique:18
		set fwd OtherHoA -> * any protect esp/tunnel/OtherHoA -> HA/unique:17
		migrate in OtherHoA -> * any from OtherHoA -> HA to CoA1 -> HA
		migrate out * -> OtherHoA any from HA -> OtherHoA to HA -> CoA1
		migrate fwd OtherHoA -> * any from OtherHoA -> HA to CoA1 -> HA
		or else
		set in OtherHoA -> HA mh type 5 protect esp/transport/unique:11
		set in OtherHoA -> HA mh protect esp/transport/unique:11
		set out HA -> OtherHoA mh type 6 protect esp/transport/unique:12
		set in OtherHoA -> * any protect esp/tunnel/CoA1 -> HA/unique:17
		set out * -> OtherHoA any protect esp/tunnel/HA -> CoA1/unique:18
		set fwd OtherHoA -> * any protect esp/tunnel/CoA1 -> HA/unique:17`)
	Expect(t, []migrate.Effect{migrate.Carry{Plan: plan(home, true, CoA1, OtherHoA)}}, `
		carry
		migrate in OtherHoA -> * any from CoA1 -> HA to OtherHoA -> HA
		migrate out * -> OtherHoA any from HA -> CoA1 to HA -> OtherHoA
		migrate fwd OtherHoA -> * any from CoA1 -> HA to OtherHoA -> HA
		set in OtherHoA -> * any bypass
		set out * -> OtherHoA any bypass
		set fwd OtherHoA -> * any bypass
		or else
		set in OtherHoA -> HA mh type 5 protect esp/transport/unique:11
		set in OtherHoA -> HA mh protect esp/transport/unique:11
		set out HA -> OtherHoA mh type 6 protect esp/transport/unique:12
		set in OtherHoA -> * any bypass
		set out * -> OtherHoA any bypass
		set fwd OtherHoA -> * any bypass`)
}

// The reports of a movement, and of its undoing, say where the key exchange is now.
func TestMovementsCarryTheKMAddress(t *testing.T) {
	home := Home("peer", true)
	km := spd.Endpoints{Src: CoA2, Dst: HA}
	k := newKernel(t, home, false, CoA1)
	tunnels := newTunnels(home, false, CoA1)
	f := &flaky{Mover: k, failing: map[int]error{len(tunnels): errRefused}}
	if err := migrate.Between(tunnels, HoA, CoA1, CoA2, km).Apply(f); !errors.Is(err, errRefused) {
		t.Fatalf("got error %v, want the kernel's", err)
	}
	k.Close()
	reports := 0
	for e := range k.Events() {
		if m, ok := e.(spd.Migrate); ok {
			reports++
			if m.KMAddress != km {
				t.Errorf("KMADDRESS %s, want %s", m.KMAddress, km)
			}
		}
	}
	if want := 2 * (len(tunnels) - 1); reports != want {
		t.Errorf("%d movements, want %d: all but the last, there and back", reports, want)
	}
}

var errRefused = errors.New("refused")

// flaky is a kernel that refuses the calls with these numbers, counted from 1.
type flaky struct {
	migrate.Mover
	calls   int
	failing map[int]error
}

func (f *flaky) call(do func() error) error {
	f.calls++
	if err := f.failing[f.calls]; err != nil {
		return err
	}
	return do()
}

func (f *flaky) Migrate(m spd.Migrate) error {
	return f.call(func() error { return f.Mover.Migrate(m) })
}

func (f *flaky) UpdatePolicy(p spd.Policy) error {
	return f.call(func() error { return f.Mover.UpdatePolicy(p) })
}

// Whichever step fails, the kernel is as it was before the first one.
func TestPlanHoldsWhollyOrNotAtAll(t *testing.T) {
	home := Home("peer", true)
	for _, side := range sides {
		for _, m := range movements {
			tunnels := newTunnels(home, side.onHA, m.from)
			whole := migrate.Between(tunnels, HoA, m.from, m.to, spd.Endpoints{})
			steps := strings.Count(whole.String(), "\n")
			if steps < len(tunnels) {
				t.Fatalf("%s, %s: %d steps for %d tunnels", side.name, m.name, steps, len(tunnels))
			}
			for step := 1; step <= steps; step++ {
				t.Run(fmt.Sprintf("%s/%s/step %d", side.name, m.name, step), func(t *testing.T) {
					k := newKernel(t, home, side.onHA, m.from)
					before := k.state()
					f := &flaky{Mover: k, failing: map[int]error{step: errRefused}}
					if err := whole.Apply(f); !errors.Is(err, errRefused) {
						t.Fatalf("got error %v, want the kernel's", err)
					}
					if got := k.state(); !reflect.DeepEqual(got, before) {
						t.Errorf("got %v\nwant %v", got, before)
					}
					if want := 2*step - 1; f.calls != want {
						t.Errorf("%d calls, want %d: those before the one that failed and their undoing", f.calls, want)
					}
				})
			}
		}
	}
}

func newTunnels(home migrate.Home, onHA bool, careOf netip.Addr) []spd.Policy {
	return Daemon{Protected: home.Protected, OnHA: onHA}.Tunnels(careOf)
}

// Tunnels that somebody has put elsewhere are set anew where the mobile node is, and the SAs stay behind.
func TestTunnelsAtOtherEndpointsAreSetAnew(t *testing.T) {
	home := Home("peer", true)
	for _, side := range sides {
		for _, m := range movements[1:] {
			t.Run(side.name+"/"+m.name, func(t *testing.T) {
				k := newKernel(t, home, side.onHA, CN)
				sas := k.state().sas
				k.do(plan(home, side.onHA, m.from, m.to).Apply(k))
				got, want := k.state(), newKernel(t, home, side.onHA, m.to).state()
				if !reflect.DeepEqual(got.policies, want.policies) {
					t.Errorf("got %v\nwant %v", got.policies, want.policies)
				}
				if !reflect.DeepEqual(got.sas, sas) {
					t.Errorf("SAs have moved: got %v\nwant %v", got.sas, sas)
				}
			})
		}
	}
}

// A policy for which Linux calls for an SA, and which it therefore does not move, does not keep the others from moving with
// their SAs.
func TestOneTunnelThatIsNotMoved(t *testing.T) {
	home := Home("peer", true)
	for _, side := range sides {
		k, want := newKernel(t, home, side.onHA, CoA1), newKernel(t, home, side.onHA, CoA2).state()
		f := &flaky{Mover: k, failing: map[int]error{1: spd.ErrNoTemplate}}
		k.do(plan(home, side.onHA, CoA1, CoA2).Apply(f))
		got := k.state()
		if !reflect.DeepEqual(got.policies, want.policies) {
			t.Errorf("%s: got %v\nwant %v", side.name, got.policies, want.policies)
		}
		moved := 0
		for _, sa := range got.sas {
			if sa.Endpoints.Src == CoA2 || sa.Endpoints.Dst == CoA2 {
				moved++
			}
		}
		if moved < len(want.sas)-1 {
			t.Errorf("%s: %d SAs have moved, want all of %v or all but one", side.name, moved, want.sas)
		}
	}
}

// Linux moves one of the SAs that a policy has during a rekeying; the rest is moved after.
func TestSAsLeftBehindFollow(t *testing.T) {
	k := kernel{t, memory.New(memory.Options{MigrateOne: true}).Open()}
	t.Cleanup(func() { k.Close() })
	tunnel := OtherHome("mn").Policies(false, CoA1)[2]
	k.do(k.AddPolicy(tunnel))
	for i := range uint32(3) {
		k.do(k.Install(spd.SA{
			SPI: 0x1000 + i, Proto: spd.ESP, Mode: spd.Tunnel, Endpoints: tunnel.Templates[0].Endpoints, Reqid: tunnel.Templates[0].Reqid,
			Dir: spd.Out, Transform: spd.Transform{Encr: spd.EncrAESGCM16, EncrKey: make(secret.Bytes, 20)},
		}))
	}
	c := spd.EndpointChange{
		Proto: spd.ESP, Mode: spd.Tunnel, Reqid: tunnel.Templates[0].Reqid,
		Old: tunnel.Templates[0].Endpoints, New: spd.Endpoints{Src: CoA2, Dst: HA},
	}
	k.do(k.Migrate(spd.Migrate{PolicyKey: tunnel.PolicyKey, Changes: []spd.EndpointChange{c}}))
	rest := migrate.Rest(spd.MovedTogether{Moved: spd.MoveSAs{Policy: tunnel.PolicyKey, Change: c}, SAs: 3})
	Expect(t, []migrate.Effect{migrate.Carry{Plan: rest}}, `
		carry
		migrate the rest of out OtherHoA -> * any from CoA1 -> HA to CoA2 -> HA
		migrate the rest of out OtherHoA -> * any from CoA1 -> HA to CoA2 -> HA`)
	k.do(rest.Apply(k))
	for _, sa := range k.state().sas {
		if sa.Endpoints != c.New {
			t.Errorf("left behind: %s", sa)
		}
	}
	if now := k.state().policies; now[0].Templates[0].Endpoints != c.New {
		t.Errorf("the policy is %s", now[0])
	}
	if err := migrate.Rest(spd.MovedTogether{SAs: 2}).Apply(k); !errors.Is(err, spd.ErrInvalid) {
		t.Errorf("got error %v", err)
	}
}

func TestErrorsOfAPlanAreAllThere(t *testing.T) {
	home := OtherHome("mn")
	k := newKernel(t, home, true, CoA1)
	first, second, third := errors.New("first"), errors.New("second"), errors.New("third")
	// The third step fails, then the undoing of the second, then the other plan's first step.
	f := &flaky{Mover: k, failing: map[int]error{3: first, 4: second, 6: third}}
	err := plan(home, true, CoA1, CoA2).Apply(f)
	for _, want := range []error{first, second, third} {
		if !errors.Is(err, want) {
			t.Errorf("error %q is not in %v", want, err)
		}
	}
	for _, want := range []string{"migrate fwd", "undo migrate out", "set in"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if f.calls != 6 {
		t.Errorf("%d calls, want 6", f.calls)
	}
}

func TestSetReplacesPolicies(t *testing.T) {
	k := newKernel(t, OtherHome("mn"), true, CoA1)
	want := newKernel(t, OtherHome("mn"), true, CoA2).state().policies
	k.do(migrate.Set(want).Apply(k))
	if got := k.state().policies; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
