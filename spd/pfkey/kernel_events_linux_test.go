package pfkey

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// This file has the parts of TestLinux that are about what the kernel reports.

// testAcquireOfLinux sends a real Binding Update, which meets the one of two policies that is for its MH type.
func testAcquireOfLinux(t *testing.T) {
	b := mustOpen(t)
	for mhType, reqid := range map[uint8]uint32{1: 11, 5: 15} {
		must(t, b.AddPolicy(spd.Policy{
			PolicyKey: spd.PolicyKey{Selector: spd.MH(spd.Host(hoa), spd.Host(homeAgent), mhType), Dir: spd.Out},
			Action:    spd.Protect,
			Templates: []spd.Template{{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Unique, Reqid: reqid}},
		}))
	}
	sendMH(t, 5)
	e := next[spd.Acquire](t, b)
	want := spd.Acquire{
		Seq: e.Seq, Endpoints: atHome, Selector: spd.MH(spd.Host(hoa), spd.Host(homeAgent), 5),
		Template: spd.Template{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Unique, Reqid: 15},
	}
	for _, p := range mustList(t, b.Policies) {
		if p.Selector == want.Selector {
			want.PolicyIndex = p.Index
		}
	}
	if e.Seq == 0 || e.PolicyIndex == 0 || fmt.Sprintf("%+v", e) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v, want %+v", e, want)
	}
	wantText(t, uml.Sh(t, "ip xfrm state"), `proto esp spi 0x00000000 reqid 15`)

	// On other addresses than the ACQUIRE's, so that nothing but its number tells the kernel that this is the answer.
	s := newSA(0x1001, atHome)
	s.Endpoints.Src = coa
	s.Acquire, s.Reqid = e.Seq, 99
	must(t, b.Install(s))
	if got := uml.Sh(t, "ip xfrm state"); strings.Contains(got, "spi 0x00000000") {
		t.Errorf("the ACQUIRE stands:\n%s", got)
	}
	if got := mustList(t, b.SAs); len(got) != 1 {
		t.Errorf("listed %v", got)
	}
	must(t, b.Remove(s.ID()))
}

// sendMH sends a Mobility Header of 16 octets from HoA to HA.
func sendMH(t *testing.T, mhType byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(spd.ProtoMH))
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(fd, &unix.SockaddrInet6{Addr: hoa.As16()}))
	err = unix.Sendto(fd, []byte{59, 1, mhType, 15: 0}, 0, &unix.SockaddrInet6{Addr: homeAgent.As16()})
	t.Logf("sent: %v", err) // a packet without an SA may be refused
}

func testLarvalOfLinux(t *testing.T) {
	uml.Sh(t, "echo 1 > /proc/sys/net/core/xfrm_acq_expires")
	defer uml.Sh(t, "echo 30 > /proc/sys/net/core/xfrm_acq_expires")
	b := mustOpen(t)
	l := spd.LarvalSA{Endpoints: atHome.Reverse(), Proto: spd.ESP, Mode: spd.Transport}
	spi, err := b.AllocSPI(l)
	must(t, err)
	id := spd.SAID{Dst: hoa, Proto: spd.ESP, SPI: spi}
	if e := next[spd.Expire](t, b); e != (spd.Expire{ID: id, Hard: true}) {
		t.Errorf("got %+v, want %v", e, id)
	}
	if err := b.Remove(id); !errors.Is(err, spd.ErrNotFound) {
		t.Errorf("expired, but %v", err)
	}
	s := newSA(spi, atHome.Reverse())
	must(t, b.Install(s))
}

// testMigrateOfLinux moves what was moved when the fixture was captured: the report is the same to the octet.
func testMigrateOfLinux(t *testing.T) {
	b, other := mustOpen(t), mustOpen(t)
	spy, err := newSocket()
	must(t, err)
	defer spy.close()
	sibling := homeTestInit(atHome)
	sibling.Selector.SrcPort, sibling.Templates[0].Reqid = spd.ExactPort(2), 6
	must(t, b.AddPolicy(sibling))
	must(t, b.AddPolicy(homeTestInit(atHome)))
	sa := newSA(0x1001, atHome)
	sa.Mode, sa.Reqid = spd.Tunnel, 5
	must(t, b.Install(sa))
	must(t, spy.drain(func([]byte) {}))

	g := spd.Migrate{PolicyKey: homeTestInit(atHome).PolicyKey, KMAddress: away,
		Changes: []spd.EndpointChange{{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 5, Old: atHome, New: away}}}
	must(t, b.Migrate(g))
	report, err := spy.receive(time.Now().Add(replyTimeout))
	must(t, err)
	for _, padding := range []int{0x74, 0x9c} { // of the addresses: what was in the kernel's memory
		clear(report[padding : padding+4])
	}
	if want := parse(t, capturedMigrate); !bytes.Equal(report, want) {
		t.Errorf("reported\n%x, want\n%x", report, want)
	}
	for _, reader := range []*Backend{b, other} {
		if got := next[spd.Migrate](t, reader); fmt.Sprint(got) != fmt.Sprint(g) {
			t.Errorf("got %+v, want %+v", got, g)
		}
	}
	wantText(t, uml.Sh(t, "ip xfrm state"), "src "+coa.String()+" dst "+homeAgent.String()+`\s+proto esp spi 0x00001001`)

	withoutKM := g
	withoutKM.KMAddress = spd.Endpoints{}
	withoutKM.Changes = []spd.EndpointChange{g.Changes[0]}
	withoutKM.Changes[0].Old, withoutKM.Changes[0].New = away, away2
	must(t, b.Migrate(withoutKM))
	if got := next[spd.Migrate](t, other); fmt.Sprint(got) != fmt.Sprint(withoutKM) {
		t.Errorf("got %+v, want %+v", got, withoutKM)
	}

	for name, change := range map[string]func(*message){
		"reqids differ":    func(m *message) { m.policy.requests[1].reqid = 6 },
		"modes differ":     func(m *message) { m.policy.requests[1].mode = spd.Transport },
		"half a pair":      func(m *message) { m.policy.requests = m.policy.requests[:1] },
		"no new endpoints": func(m *message) { m.policy.requests[1].endpoints = spd.Endpoints{} },
		"no addresses":     func(m *message) { m.src, m.dst = nil, nil },
	} {
		m, err := linux.migrateMessage(withoutKM)
		must(t, err)
		change(m)
		if err := b.requests.migrate(m); !errors.Is(err, spd.ErrInvalid) || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, key := range map[syscall.Errno]spd.PolicyKey{
		syscall.ENODATA: g.PolicyKey, syscall.ENOENT: {Selector: g.Selector, Dir: spd.In},
	} {
		bad := g
		bad.PolicyKey = key
		if err := b.Migrate(bad); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

// preceded is a conn on whose requests somebody else's are just ahead.
type preceded struct {
	conn
	by func()
}

func (p preceded) send(b []byte) error {
	p.by()
	return p.conn.send(b)
}

// testPrecededMigrateOfLinux has another process, as it were, ask for the same a moment earlier. The report of that is not
// the answer to the later request, which fails.
func testPrecededMigrateOfLinux(t *testing.T) {
	b, other := mustOpen(t), mustOpen(t)
	must(t, b.AddPolicy(homeTestInit(atHome)))
	g := spd.Migrate{PolicyKey: homeTestInit(atHome).PolicyKey,
		Changes: []spd.EndpointChange{{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 5, Old: atHome, New: away}}}
	b.requests.conn = preceded{b.requests.conn, func() { must(t, other.Migrate(g)) }}
	if err := b.Migrate(g); !errors.Is(err, spd.ErrNoTemplate) {
		t.Errorf("got %v, want %v", err, spd.ErrNoTemplate)
	}
}

// limit gives a socket a receive buffer of n octets.
func limit(t *testing.T, c conn, n int) {
	t.Helper()
	var failed error
	must(t, c.(*socket).raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, n)
	}))
	must(t, failed)
}

func testOverrunOfLinux(t *testing.T) {
	b := mustOpen(t)
	limit(t, b.events.conn, 100<<10)
	const updates = 2000
	p := homeTestInit(away)
	for i := range uint32(updates) {
		p.Priority = i + 1
		must(t, b.UpdatePolicy(p))
	}
	reported := 0
	for lost := false; !lost; {
		switch e := (<-b.Events()).(type) {
		case spd.PolicyChanged:
			reported++
			if e.Policy.Priority != uint32(reported) {
				t.Fatalf("update %d came as number %d, but no loss was reported", e.Policy.Priority, reported)
			}
		case spd.EventsLost:
			lost = true
		}
	}
	if reported == 0 || reported == updates {
		t.Errorf("%d of %d reported", reported, updates)
	}
	p.Priority = updates + 1
	must(t, b.UpdatePolicy(p))
	for {
		e, ok := (<-b.Events()).(spd.PolicyChanged)
		if !ok {
			t.Fatal("a second loss")
		}
		if e.Policy.Priority == p.Priority {
			break
		}
	}
}

func testLongDumpOfLinux(t *testing.T) {
	b := mustOpen(t)
	limit(t, b.requests.conn, 16<<10)
	const n = 1000
	for i := range uint32(n) {
		must(t, b.Install(newSA(0x1000+i, atHome)))
		p := homeTestInit(away)
		p.Selector.Src = spd.Host(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i >> 8), 15: byte(i)}))
		must(t, b.AddPolicy(p))
	}
	if got := mustList(t, b.SAs); len(got) != n {
		t.Errorf("%d SAs listed, want %d", len(got), n)
	}
	if got := mustList(t, b.Policies); len(got) != n {
		t.Errorf("%d policies listed, want %d", len(got), n)
	}
}
