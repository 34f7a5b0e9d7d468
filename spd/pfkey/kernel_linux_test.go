package pfkey

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// What the conformance suite can't know: the details of Linux's af_key, and that other programs see the same.
func TestLinux(t *testing.T) {
	uml.Run(t, func(t *testing.T) {
		uml.Sh(t, "ip link add out type dummy && ip link set out up && ip -6 addr add %s/128 dev out nodad", hoa)
		uml.Sh(t, "ip -6 route add %s dev out", homeAgent)
		probeOnce(t)
		for _, test := range []struct {
			name string
			run  func(*testing.T)
		}{
			{"SAs as ip xfrm sees them", testSAsOfLinux},
			{"Algorithms", testAlgorithmsOfLinux},
			{"Policies as ip xfrm makes them", testPoliciesOfLinux},
			{"Reqids of policies", testReqidsOfLinux},
			{"Acquire by a Binding Update", testAcquireOfLinux},
			{"Larval SAs expire", testLarvalOfLinux},
			{"MIGRATE and its report", testMigrateOfLinux},
			{"MIGRATE just after another process", testPrecededMigrateOfLinux},
			{"Policies of sockets and sub-policies", testHiddenPoliciesOfLinux},
			{"Overrun", testOverrunOfLinux},
			{"Dump beyond the receive buffer", testLongDumpOfLinux},
			{"Network namespace", testNamespaceOfLinux},
			{"Close", testCloseOfLinux},
		} {
			t.Run(test.name, test.run)
			uml.Sh(t, "ip xfrm state flush; ip xfrm policy flush")
		}
	})
}

// next returns the next event that is an E.
func next[E spd.Event](t *testing.T, b *Backend) E {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case e, open := <-b.Events():
			if wanted, ok := e.(E); ok {
				return wanted
			}
			if !open {
				t.Fatalf("events closed before a %T", *new(E))
			}
		case <-timeout:
			t.Fatalf("no %T", *new(E))
		}
	}
}

// mustList is what get lists.
func mustList[T any](t *testing.T, get func() ([]T, error)) []T {
	t.Helper()
	all, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantText(t *testing.T, text string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(text) {
			t.Errorf("no %s in\n%s", p, text)
		}
	}
}

func testSAsOfLinux(t *testing.T) {
	b := mustOpen(t)
	s := newSA(0x1001, away)
	s.Mode, s.Reqid, s.ReplayWindow = spd.Tunnel, 70000, 16
	s.Lifetime = spd.Lifetime{Soft: 90 * time.Second, Hard: 100 * time.Second, SoftBytes: 1000, HardBytes: 2000}
	must(t, b.Install(s))
	four := newSA(0x1002, spd.Endpoints{Src: ip4, Dst: peer4})
	four.Proto = spd.AH
	four.Transform.Encr, four.Transform.EncrKey = 0, nil
	must(t, b.Install(four))

	wantText(t, uml.Sh(t, "ip -s xfrm state get src %s dst %s proto esp spi 0x1001", coa, homeAgent),
		`proto esp spi 0x00001001\(\d+\) reqid 70000`, `mode tunnel`, `replay-window 16`,
		`auth-trunc hmac\(sha1\) 0x(0b){20} \(160 bits\) 96`, `enc cbc\(aes\) 0x(0e){16}`,
		`limit: soft 1000\(bytes\), hard 2000\(bytes\)`, `limit: soft \(INF\)\(packets\), hard \(INF\)\(packets\)`,
		`expire add: soft 90\(sec\), hard 100\(sec\)`, `expire use: soft 0\(sec\), hard 0\(sec\)`)
	wantText(t, uml.Sh(t, "ip xfrm state get src %s dst %s proto ah spi 0x1002", ip4, peer4),
		`mode transport`, `hmac\(sha1\)`)

	got := mustList(t, b.SAs)
	slices.SortFunc(got, func(a, b spd.SA) int { return int(a.SPI) - int(b.SPI) })
	for i, want := range []spd.SA{s, four} {
		want.Transform.EncrKey, want.Transform.IntegKey = nil, nil
		if fmt.Sprintf("%+v", got[i]) != fmt.Sprintf("%+v", want) {
			t.Errorf("listed %+v, want %+v", got[i], want)
		}
	}
	uml.Sh(t, "ip xfrm state delete src %s dst %s proto ah spi 0x1002", ip4, peer4)
	if e := next[spd.SARemoved](t, b); e.ID != four.ID() {
		t.Errorf("removed %v, want %v", e.ID, four.ID())
	}
	must(t, b.Remove(s.ID()))
	if left := uml.Sh(t, "ip xfrm state"); left != "" {
		t.Errorf("left:\n%s", left)
	}
}

// testAlgorithmsOfLinux holds the dialect's table against the kernel: what it names is installed with IKE's truncation,
// and what it leaves out is refused, or truncated otherwise.
func testAlgorithmsOfLinux(t *testing.T) {
	b := mustOpen(t)
	keys := map[spd.Encr]int{spd.Encr3DES: 24, spd.EncrNull: 0, spd.EncrAESCBC: 32, spd.EncrAESCTR: 20}
	hashes := map[spd.Integ]struct {
		octets int
		text   string
	}{
		spd.IntegSHA1_96:    {20, `hmac\(sha1\) \S+ \(160 bits\) 96`},
		spd.IntegSHA384_192: {48, `hmac\(sha384\) \S+ \(384 bits\) 192`},
		spd.IntegSHA512_256: {64, `hmac\(sha512\) \S+ \(512 bits\) 256`},
		spd.IntegAESXCBC96:  {16, `xcbc\(aes\) \S+ \(128 bits\) 96`},
	}
	if len(keys) != len(linux.encr) || len(hashes) != len(linux.integ) {
		t.Fatal("not all algorithms of the dialect are tested")
	}
	for encr, n := range keys {
		for integ, hash := range hashes {
			s := newSA(0x1001, atHome)
			s.Transform = spd.Transform{Encr: encr, EncrKey: key(3, n), Integ: integ, IntegKey: key(4, hash.octets)}
			if encr == spd.Encr3DES { // whose three keys must differ
				s.Transform.EncrKey = bytes.Join([][]byte{key(1, 8), key(4, 8), key(7, 8)}, nil)
			}
			if !b.Supports(encr, integ) {
				t.Errorf("%s with %s is not supported", encrName(encr), integName(integ))
				continue
			}
			must(t, b.Install(s))
			wantText(t, uml.Sh(t, "ip -s xfrm state"), hash.text)
			got := mustList(t, b.SAs)
			if len(got) != 1 || got[0].Transform.Encr != encr || got[0].Transform.Integ != integ {
				t.Errorf("listed %+v, want %s with %s", got, encrName(encr), integName(integ))
			}
			must(t, b.Remove(s.ID()))
		}
	}

	s := newSA(0x1001, atHome)
	s.Transform.EncrKey = key(3, 15)
	if err := b.Install(s); !errors.Is(err, spd.ErrInvalid) {
		t.Errorf("a key of 15 octets for AES: %v", err)
	}
	s.Transform = spd.Transform{Encr: spd.EncrAESGCM16, EncrKey: key(3, 20)}
	if err := b.Install(s); !errors.Is(err, spd.ErrInvalid) || !strings.Contains(err.Error(), "ENCR_AES_GCM_16") {
		t.Errorf("AEAD: %v", err)
	}
	s.Transform = spd.Transform{Integ: spd.IntegSHA1_96, IntegKey: key(4, 20)}
	if err := b.Install(s); !errors.Is(err, spd.ErrInvalid) {
		t.Errorf("ESP without a cipher: %v", err)
	}
	if b.Supports(spd.EncrAESGCM16, spd.IntegNone) || b.Supports(spd.EncrAESCBC, spd.IntegSHA256_128) ||
		b.Supports(spd.EncrAESCBC, spd.IntegNone) || !b.Supports(0, spd.IntegSHA1_96) {
		t.Error("Supports is wrong")
	}

	raw := func(encrypt, auth uint8, authKey int) error {
		m, err := linux.addMessage(newSA(0x1001, atHome))
		must(t, err)
		m.sa.encrypt, m.sa.auth, m.authKey = encrypt, auth, key(4, authKey)
		_, err = b.requests.do(m)
		return err
	}
	for number := uint8(14); number <= 20; number++ { // SADB_X_EALG_AES_CCM_ICV8 to SADB_X_EALG_AES_GCM_ICV16
		if err := raw(number, 3, 20); !errors.Is(err, syscall.ENOSYS) || !errors.Is(err, spd.ErrInvalid) {
			t.Errorf("SADB_EALG %d: %v", number, err)
		}
	}
	must(t, raw(12, 5, 32))
	wantText(t, uml.Sh(t, "ip xfrm state"), `auth-trunc hmac\(sha256\) \S+ 96`)
}

func testPoliciesOfLinux(t *testing.T) {
	b := mustOpen(t)
	p := homeTestInit(away)
	must(t, b.AddPolicy(p))
	wantText(t, uml.Sh(t, "ip xfrm policy"), `src 2001:db8:1::100/128 dst ::/0 proto mobility-header type 1`,
		`dir out priority 10`, `tmpl src `+coa.String()+` dst 2001:db8:1::1`, `proto esp reqid 5 mode tunnel`)
	must(t, b.RemovePolicy(p.PolicyKey))
	if left := uml.Sh(t, "ip xfrm policy"); left != "" {
		t.Errorf("left:\n%s", left)
	}
	next[spd.PolicyChanged](t, b)
	next[spd.PolicyChanged](t, b)

	// As the mobility daemon does: with a reqid that PF_KEY can't set, and level required.
	p.Templates[0].Reqid = 70000
	const (
		selector = "src %s dst ::/0 proto 135 type 1 dir out"
		template = "tmpl src %s dst %s proto esp reqid 70000 mode tunnel"
	)
	uml.Sh(t, "ip xfrm policy add "+selector+" priority 10 "+template+" level required", hoa, coa, homeAgent)
	e := next[spd.PolicyChanged](t, b)
	if p.Index = e.Policy.Index; e.Gone || p.Index == 0 || fmt.Sprintf("%+v", e.Policy) != fmt.Sprintf("%+v", p) {
		t.Errorf("reported %+v, want %+v", e, p)
	}
	uml.Sh(t, "ip xfrm policy update "+selector+" priority 11 "+template, hoa, coa, homeAgent)
	if e := next[spd.PolicyChanged](t, b); e.Gone || e.Policy.Priority != 11 {
		t.Errorf("reported %+v", e)
	}
	p.Priority = 11
	got := mustList(t, b.Policies)
	if len(got) != 1 || got[0].PolicyKey != p.PolicyKey || !slices.Equal(got[0].Templates, p.Templates) {
		t.Errorf("listed %+v, want %+v", got, p)
	}
	uml.Sh(t, "ip xfrm policy delete dir out index %d", mustList(t, b.Policies)[0].Index)
	if e := next[spd.PolicyChanged](t, b); !e.Gone || e.Policy.PolicyKey != p.PolicyKey {
		t.Errorf("reported %+v", e)
	}
	uml.Sh(t, "ip xfrm policy add src %s dst %s proto 135 type 0 dir out action block", hoa, homeAgent)
	got = mustList(t, b.Policies)
	if len(got) != 1 || got[0].Selector.SrcPort != (spd.Port{}) || got[0].Action != spd.Discard {
		t.Errorf("listed %+v, want one for any type", got)
	}
}

// testReqidsOfLinux shows why checkTemplate refuses what it refuses.
func testReqidsOfLinux(t *testing.T) {
	b := mustOpen(t)
	for _, c := range []struct {
		level spd.Level
		reqid uint32
		kept  bool
	}{{spd.Unique, 0x3fff, true}, {spd.Unique, 70000, false}, {spd.Require, 5, false}, {spd.Use, 5, false}} {
		m, err := linux.keyMessage(sadbSPDUpdate, homeTestInit(away).PolicyKey)
		must(t, err)
		m.policy.action = policyIPsec
		m.policy.requests = []request{{proto: spd.ESP, mode: spd.Transport, level: c.level, reqid: c.reqid}}
		_, err = b.requests.do(m)
		must(t, err)
		if got := mustList(t, b.Policies)[0].Templates[0].Reqid; (got == c.reqid) != c.kept {
			t.Errorf("level %s: reqid %d became %d", c.level, c.reqid, got)
		}
	}
}

func testHiddenPoliciesOfLinux(t *testing.T) {
	b := mustOpen(t)
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	bypass := linux.appendPolicy([]byte{2, 0, 18, 0}, &policyExt{action: 4, dir: 2})
	must(t, unix.SetsockoptString(fd, unix.IPPROTO_IPV6, unix.IPV6_IPSEC_POLICY, string(bypass)))
	uml.Sh(t, "ip xfrm policy add src %s dst %s dir out ptype sub action block", hoa, homeAgent)
	wantText(t, uml.Sh(t, "ip xfrm policy"), `socket out`, `ptype sub`)
	if got := mustList(t, b.Policies); len(got) != 0 {
		t.Errorf("listed %v", got)
	}
	uml.Sh(t, "ip xfrm policy delete src %s dst %s dir out ptype sub", hoa, homeAgent)
	must(t, b.AddPolicy(homeTestInit(away)))
	if e := next[spd.PolicyChanged](t, b); e.Gone || e.Policy.PolicyKey != homeTestInit(away).PolicyKey {
		t.Errorf("reported %+v, want the policy that is no sub-policy", e)
	}
}

func testNamespaceOfLinux(t *testing.T) {
	must(t, mustOpen(t).AddPolicy(homeTestInit(away)))
	opened := make(chan *Backend)
	go func() {
		defer close(opened)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		b, err := Open()
		if err != nil {
			t.Error(err)
			return
		}
		opened <- b
	}()
	b := <-opened
	if b == nil {
		t.FailNow()
	}
	defer b.Close()
	if got := mustList(t, b.Policies); len(got) != 0 {
		t.Errorf("listed %v in a new namespace", got)
	}
}

func testCloseOfLinux(t *testing.T) {
	b := mustOpen(t)
	must(t, b.AddPolicy(homeTestInit(away))) // an event that nobody reads
	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- b.Close() }()
	}
	must(t, <-closed)
	must(t, <-closed)
	if _, err := b.Policies(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
