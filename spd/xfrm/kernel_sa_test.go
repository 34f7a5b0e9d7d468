//go:build linux

package xfrm

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// Lengths of keys in octets, salts counted.
var keyLengths = map[spd.Encr][]int{
	spd.Encr3DES: {24}, spd.EncrNull: {0}, spd.EncrAESCBC: {16, 24, 32}, spd.EncrAESCTR: {20, 36},
	spd.EncrAESCCM8: {19}, spd.EncrAESCCM12: {27}, spd.EncrAESCCM16: {19, 35},
	spd.EncrAESGCM8: {20}, spd.EncrAESGCM12: {28}, spd.EncrAESGCM16: {20, 36}, spd.EncrChaCha20Poly1305: {36},
}

var macKeyLengths = map[spd.Integ]int{
	spd.IntegSHA1_96: 20, spd.IntegAESXCBC96: 16, spd.IntegAESCMAC96: 16,
	spd.IntegSHA256_128: 32, spd.IntegSHA384_192: 48, spd.IntegSHA512_256: 64,
}

func testAlgorithms(t *testing.T) {
	b := openBackend(t)
	try := func(proto uint8, transform spd.Transform, shown ...string) {
		t.Helper()
		sa := newSA(0x1001, spd.Transport, atHome, 1)
		sa.Proto, sa.Transform = proto, transform
		if err := b.Install(sa); err != nil {
			t.Errorf("encryption %d with integrity %d: %v", transform.Encr, transform.Integ, err)
			return
		}
		wantShown(t, "ip xfrm state", shown...)
		all, err := b.SAs()
		succeed(t, err)
		transform.EncrKey, transform.IntegKey = nil, nil
		if len(all) != 1 || !reflect.DeepEqual(all[0].Transform, transform) {
			t.Errorf("listed as %+v, installed as %+v", all, transform)
		}
		succeed(t, b.Remove(sa.ID()))
	}
	hexKey := func(k []byte) string { return fmt.Sprintf("0x%x", k) }
	for _, c := range ciphers {
		for _, length := range keyLengths[c.encr] {
			encrKey := distinctKey(length)
			if c.icv != 0 {
				try(spd.ESP, spd.Transform{Encr: c.encr, EncrKey: encrKey},
					"aead "+c.name, hexKey(encrKey), fmt.Sprint(" ", c.icv))
				continue
			}
			integKey := distinctKey(20)
			shownKey := hexKey(encrKey)
			if length == 0 {
				shownKey = "" // older ip prints 0x, newer nothing
			}
			try(spd.ESP, spd.Transform{Encr: c.encr, EncrKey: encrKey, Integ: spd.IntegSHA1_96, IntegKey: integKey},
				"auth-trunc hmac(sha1)", hexKey(integKey), " 96", "enc "+c.name, shownKey)
		}
	}
	for _, m := range macs {
		integKey := distinctKey(macKeyLengths[m.integ])
		try(spd.AH, spd.Transform{Integ: m.integ, IntegKey: integKey},
			"proto ah", "auth-trunc "+m.name, hexKey(integKey), fmt.Sprint(" ", m.trunc))
	}
}

// distinctKey is a key whose octets differ, as 3DES wants them to.
func distinctKey(n int) []byte {
	k := make([]byte, n)
	for i := range k {
		k[i] = byte(i*37 + 1)
	}
	return k
}

func testSAShown(t *testing.T) {
	b := openBackend(t)
	sa := newSA(0x1001, spd.Tunnel, away, 9)
	sa.Selector = spd.MH(spd.Host(hoa), anywhere, mhBRR)
	sa.Lifetime = spd.Lifetime{Soft: time.Hour, Hard: 2 * time.Hour, SoftBytes: 1000, HardBytes: 2000}
	sa.ReplayWindow = 32
	succeed(t, b.Install(sa))
	wantShown(t, "ip -s xfrm state",
		"src 2001:db8:2::1 dst 2001:db8:1::1", "proto esp spi 0x00001001", "reqid 9", "mode tunnel",
		"replay-window 32", "auth-trunc hmac(sha256) 0x0202", "128", "enc cbc(aes) 0x0101",
		"sel src 2001:db8:1::100/128 dst ::/0 proto mobility-header type 0",
		"limit: soft 1000(bytes), hard 2000(bytes)", "limit: soft (INF)(packets), hard (INF)(packets)",
		"expire add: soft 3600(sec), hard 7200(sec)", "expire use: soft 0(sec), hard 0(sec)")
	succeed(t, b.Remove(sa.ID()))

	sa.Selector, sa.Transform.ESN, sa.ReplayWindow = spd.Selector{}, true, 64
	succeed(t, b.Install(sa))
	wantShown(t, "ip xfrm state", "flag", "af-unspec", "esn", "replay_window 64")
	succeed(t, b.Remove(sa.ID()))

	sa.Transform.ESN, sa.ReplayWindow, sa.Dir = false, 0, spd.Out
	succeed(t, b.Install(sa))
	wantShown(t, "ip -s xfrm state", "replay-window 0", "extra_flag oseq-may-wrap")
}

func testSAListed(t *testing.T) {
	b := openBackend(t)
	v4 := spd.Endpoints{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.1")}
	plain := newSA(0x1001, spd.Transport, atHome, 0)
	rich := newSA(0xfffffffe, spd.Tunnel, v4, 1<<31)
	rich.Selector = spd.Selector{Src: spd.Host(v4.Src), Dst: netip.MustParsePrefix("0.0.0.0/0"), Proto: spd.ProtoUDP,
		DstPort: spd.ExactPort(0)}
	rich.Lifetime = spd.Lifetime{Soft: time.Hour, Hard: 2 * time.Hour, SoftBytes: 1, HardBytes: 1 << 40}
	rich.ReplayWindow, rich.Acquire, rich.Transform.ESN = 200, 77, true
	for _, want := range []spd.SA{plain, rich} {
		succeed(t, b.Install(want))
		all, err := b.SAs()
		succeed(t, err)
		want.Transform.EncrKey, want.Transform.IntegKey, want.Dir = nil, nil, 0
		if len(all) != 1 || !reflect.DeepEqual(all[0], want) {
			t.Errorf("listed as %+v, installed as %+v", all, want)
		}
		succeed(t, b.Remove(want.ID()))
	}
}

func testManySAs(t *testing.T) {
	const steady, changing = 300, 300
	b := openBackend(t)
	for i := range uint32(steady) {
		succeed(t, b.Install(newSA(0x10000+i, spd.Transport, atHome, 1)))
	}
	var changes sync.WaitGroup
	changes.Go(func() {
		for i := range uint32(changing) {
			sa := newSA(0x20000+i, spd.Transport, atHome, 2)
			if err := b.Install(sa); err != nil {
				t.Error(err)
			}
			if err := b.Remove(sa.ID()); err != nil {
				t.Error(err)
			}
		}
	})
	for range 10 {
		all, err := b.SAs()
		succeed(t, err)
		seen := map[spd.SAID]bool{}
		for _, sa := range all {
			if sa.Reqid == 1 {
				seen[sa.ID()] = true
			}
		}
		if len(seen) != steady {
			t.Errorf("%d SAs listed, want %d", len(seen), steady)
		}
	}
	changes.Wait()
}

// alloc reserves an SPI and makes the SA for it.
func alloc(t *testing.T, b *Backend) spd.SA {
	t.Helper()
	spi, err := b.AllocSPI(spd.LarvalSA{Endpoints: atHome.Reverse(), Proto: spd.ESP, Mode: spd.Transport})
	succeed(t, err)
	wantShown(t, "ip xfrm state", fmt.Sprintf("spi 0x%08x", spi))
	sa := newSA(spi, spd.Transport, atHome.Reverse(), 2)
	sa.Dir = spd.In
	return sa
}

func wantOneSA(t *testing.T, b *Backend, id spd.SAID) {
	t.Helper()
	if all, err := b.SAs(); err != nil || len(all) != 1 || all[0].ID() != id {
		t.Errorf("got %v, %v, want %s", all, err, id)
	}
}

func testLarvalDeleted(t *testing.T) {
	b := openBackend(t)
	sa := alloc(t, b)
	uml.Sh(t, "ip xfrm state flush")
	succeed(t, b.Install(sa))
	wantOneSA(t, b, sa.ID())
}

func testLarvalExpired(t *testing.T) {
	uml.Sh(t, "sysctl -qw net.core.xfrm_acq_expires=1")
	defer uml.Sh(t, "sysctl -qw net.core.xfrm_acq_expires=30")
	b, other := openBackend(t), openBackend(t)
	sa := alloc(t, b)
	if e := await[spd.Expire](t, other); e != (spd.Expire{ID: sa.ID(), Hard: true}) {
		t.Fatalf("got %+v", e)
	}
	succeed(t, b.Install(sa))
	wantOneSA(t, b, sa.ID())
	succeed(t, b.Remove(sa.ID()))
	// The backend that has reserved the SPI knows that no SA has expired.
	if e, ok := next(t, b).(spd.SARemoved); !ok || e.ID != sa.ID() {
		t.Errorf("got %+v", e)
	}
}

func testLarvalKept(t *testing.T) {
	b := openBackend(t)
	sa := alloc(t, b)
	wrong := sa
	wrong.Transform.EncrKey = key(1, 15)
	if err := b.Install(wrong); !errors.Is(err, spd.ErrInvalid) {
		t.Fatalf("a key of 15 octets: %v", err)
	}
	wantShown(t, "ip xfrm state", fmt.Sprintf("spi 0x%08x", sa.SPI))
	succeed(t, b.Install(sa))
	wantOneSA(t, b, sa.ID())
}

func testExpireByOctets(t *testing.T) {
	b := openBackend(t)
	succeed(t, b.AddPolicy(bindingPolicy()))
	sa := newSA(0x1001, spd.Transport, atHome, 1)
	sa.Lifetime = spd.Lifetime{SoftBytes: 1, HardBytes: 200}
	succeed(t, b.Install(sa))
	await[spd.PolicyChanged](t, b)
	for i, want := range []spd.Expire{{ID: sa.ID()}, {ID: sa.ID(), Hard: true}} {
		for range 10 {
			sendMH(t, mhBU)
		}
		if got := next(t, b); got != want {
			t.Errorf("event %d: got %+v, want %+v", i, got, want)
		}
	}
}

func testTunnelFamilies(t *testing.T) {
	uml.Sh(t, "ip netns add mn && ip netns add ha && ip link add v0 netns mn type veth peer name v0 netns ha")
	defer uml.Sh(t, "ip netns del mn; ip netns del ha")
	for _, host := range []struct {
		ns, outer, inner6, inner4, peer4 string
	}{
		{"mn", "2001:db8:2::1", "2001:db8:1::100", "192.0.2.1", "192.0.2.2"},
		{"ha", "2001:db8:2::2", "2001:db8:1::1", "192.0.2.2", "192.0.2.1"},
	} {
		uml.Sh(t, "set -e; ns='ip -n %s'; $ns link set lo up; $ns link set v0 up; $ns addr add %s/64 dev v0 nodad; "+
			"$ns addr add %s/128 dev lo; $ns addr add %s/32 dev lo; "+
			"$ns route add 2001:db8:1::/64 dev v0; $ns route add %s/32 dev v0",
			host.ns, host.outer, host.inner6, host.inner4, host.peer4)
	}
	outer := spd.Endpoints{Src: coa, Dst: netip.MustParseAddr("2001:db8:2::2")}
	there, back := newSA(0x1001, spd.Tunnel, outer, 5), newSA(0x1002, spd.Tunnel, outer.Reverse(), 6)
	back.Transform = spd.Transform{Encr: spd.EncrAESGCM16, EncrKey: key(3, 20), ESN: true}
	for _, host := range []struct {
		ns      string
		out, in spd.SA
	}{{"mn", there, back}, {"ha", back, there}} {
		b := inNamespace(t, host.ns, func() *Backend {
			b, err := Open()
			if err != nil {
				t.Error(err)
			}
			return b
		})
		defer b.Close()
		host.out.Dir, host.in.Dir = spd.Out, spd.In
		host.out.ReplayWindow, host.in.ReplayWindow = 0, 32
		for dir, sa := range map[spd.Dir]spd.SA{spd.Out: host.out, spd.In: host.in} {
			succeed(t, b.Install(sa))
			for _, any := range []string{"::/0", "0.0.0.0/0"} {
				for proto, action := range map[uint8]spd.Action{spd.ProtoAny: spd.Protect, spd.ProtoICMPv6: spd.Bypass} {
					p := spd.Policy{PolicyKey: spd.PolicyKey{Dir: dir, Selector: spd.Selector{
						Src: netip.MustParsePrefix(any), Dst: netip.MustParsePrefix(any), Proto: proto}}, Priority: 9, Action: action}
					if action == spd.Protect {
						p.Templates = []spd.Template{{Proto: spd.ESP, Mode: spd.Tunnel, Level: spd.Unique, Reqid: sa.Reqid,
							Endpoints: sa.Endpoints}}
					} else { // neighbour discovery
						p.Priority, p.Selector.SrcPort = 1, spd.ExactPort(135)
					}
					succeed(t, b.AddPolicy(p))
					p.Selector.SrcPort = spd.ExactPort(136)
					if action == spd.Bypass {
						succeed(t, b.AddPolicy(p))
					}
				}
			}
		}
	}
	uml.Sh(t, "ip netns exec mn ping -c 1 -W 10 -I 2001:db8:1::100 2001:db8:1::1")
	uml.Sh(t, "ip netns exec mn ping -c 1 -W 10 -I 192.0.2.1 192.0.2.2")
	for _, ns := range []string{"mn", "ha"} {
		found := packetCount.FindAllStringSubmatch(uml.Sh(t, "ip -n %s -s xfrm state", ns), -1)
		for _, sa := range found {
			if n, err := strconv.Atoi(sa[1]); err != nil || n < 2 {
				t.Errorf("%s: an SA has served %s, want 2 packets at least", ns, sa[0])
			}
		}
		if len(found) != 2 {
			t.Errorf("%s has %d SAs, want 2", ns, len(found))
		}
	}
}
