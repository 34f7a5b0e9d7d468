package ikev2

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

func TestShardOf(t *testing.T) {
	message := func(h wire.Header) []byte { return h.Append(nil) }
	const spii, spir = 0x0300_0000_0000_0005, 0x0200_0000_0000_0001
	for _, c := range []struct {
		name  string
		data  []byte
		shard int
		ok    bool
	}{
		{"a new IKE_SA", message(wire.Header{SPIi: spii, Exchange: wire.ExchangeIKESAInit, Initiator: true}), spii % 4, true},
		{"answer to ours", message(wire.Header{SPIi: spii, SPIr: spir, Exchange: wire.ExchangeIKESAInit, Response: true}), 3, true},
		{"to us as responder", message(wire.Header{SPIi: spii, SPIr: spir, Exchange: wire.ExchangeIKEAuth, Initiator: true}), 2, true},
		{"to us as initiator", message(wire.Header{SPIi: spii, SPIr: spir, Exchange: wire.ExchangeInformational}), 3, true},
		{"no shard of ours", message(wire.Header{SPIi: 9 << 56, Exchange: wire.ExchangeInformational}), 9, false},
		{"too short", make([]byte, wire.HeaderLen-1), 0, false},
	} {
		if shard, ok := ShardOf(c.data, 4); ok != c.ok || ok && shard != c.shard {
			t.Errorf("%s: %d, %t, wanted %d, %t", c.name, shard, ok, c.shard, c.ok)
		}
	}
}

// Every SPI that an engine makes has its shard in front.
func TestSPIsOfAShard(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: func(_, _ *host, a, b *Config) { a.Shard, b.Shard = 7, 9 }})
	mn.key(binding)
	mn.rekeyIKE()
	w.run()
	ha.rekeyIKE()
	w.run()
	for _, s := range append(mn.engine.Status(), ha.engine.Status()...) {
		i, r := s.SPIi>>56, s.SPIr>>56
		if i != 9 || r != 7 {
			t.Errorf("SPIs %016x %016x", s.SPIi, s.SPIr)
		}
	}
	w.settled(1)
}

func TestParseIdentity(t *testing.T) {
	for _, c := range []struct {
		in, out string
		kind    wire.IDType
	}{
		{"mn@example.org", "mn@example.org", wire.IDRFC822Addr},
		{"ha.example.org", "ha.example.org", wire.IDFQDN},
		{"2001:db8::1", "2001:db8::1", wire.IDIPv6Addr},
		{"2001:0DB8:0:0::1", "2001:db8::1", wire.IDIPv6Addr},
		{"192.0.2.1", "192.0.2.1", wire.IDIPv4Addr},
		{"keyid:a b/c", "keyid:a b/c", wire.IDKeyID},
		{"keyid:0x6162", "keyid:ab", wire.IDKeyID},
		{"keyid:0x00ff", "keyid:0x00ff", wire.IDKeyID},
		{"keyid:0x3078", "keyid:0x3078", wire.IDKeyID},
		{"c=CH,o=Example , cn=\"mn1, the first\"", "C=CH, O=Example, CN=mn1\\, the first", wire.IDDERASN1DN},
	} {
		id, err := ParseIdentity(c.in)
		if err != nil || id.Kind != c.kind || id.String() != c.out {
			t.Errorf("%q is %v %q (%v), wanted %v %q", c.in, id.Kind, id, err, c.kind, c.out)
		}
		back := identityOf(id.payload(true))
		if back != id {
			t.Errorf("%v comes back as %v", id, back)
		}
	}
	for _, bad := range []string{"", " ", "keyid:", "keyid:0x", "keyid:0x1", "keyid:0xyz", "CN=", "CM=x", "a b", "host/name", "host:500", "a\nb"} {
		if id, err := ParseIdentity(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, id)
		}
	}
}

// What a peer calls itself cannot confuse a terminal.
func TestIdentityOfAStranger(t *testing.T) {
	for _, c := range []struct {
		id   Identity
		want string
	}{
		{Identity{wire.IDFQDN, "a\x1b[2Jb"}, `"a\x1b[2Jb"`},
		{Identity{wire.IDKeyID, "\x00"}, "keyid:0x00"},
		{Identity{wire.IDIPv6Addr, "short"}, "ID_IPV6_ADDR of 5 octets"},
		{Identity{wire.IDDERASN1DN, "\x30\x00"}, "ID_DER_ASN1_DN of 2 octets"},
		{Identity{wire.IDDERASN1DN, "\x30\x01\x00"}, "ID_DER_ASN1_DN of 3 octets"},
		{Identity{wire.IDDERASN1GN, "\x82\x01a"}, "ID_DER_ASN1_GN of 3 octets"},
	} {
		if got := c.id.String(); got != c.want {
			t.Errorf("%s, wanted %s", got, c.want)
		}
	}
}

func TestPeerList(t *testing.T) {
	key := secret.Bytes("a key")
	a := &Peer{Name: "a", RemoteID: mustID("a@example.org"), PSK: key}
	b := &Peer{Name: "b", RemoteID: mustID("b@example.org"), PSK: key}
	l, err := NewPeerList(a, b)
	if err != nil || l.ByName("a") != a || l.ByIdentity(b.RemoteID) != b || l.ByName("c") != nil ||
		l.ByIdentity(Identity{}) != nil {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := NewPeerList(a, &Peer{Name: "a", PSK: key}); err == nil || !strings.Contains(err.Error(), `called "a"`) {
		t.Errorf("two with one name: %v", err)
	}
	_, err = NewPeerList(a, &Peer{Name: "c", RemoteID: a.RemoteID, PSK: key})
	if err == nil || !strings.Contains(err.Error(), "one identity") {
		t.Errorf("two with one identity: %v", err)
	}
	for _, bare := range []*Peer{{Name: "c"}, {Name: "c", PSK: key, Trust: new(auth.Trust)}, {Name: "c", Credential: new(auth.Credential)}} {
		if _, err := NewPeerList(bare); err == nil || !strings.Contains(err.Error(), "neither") {
			t.Errorf("one without keys: %v", err)
		}
	}
}

// Timers run in the order of their times, and none that was stopped.
func TestTimers(t *testing.T) {
	e := New(Config{})
	e.now = time.Unix(0, 0)
	var ran []int
	timers := map[int]*timer{}
	for _, s := range []int{5, 1, 4, 2, 3} {
		timers[s] = e.after(time.Duration(s)*time.Second, func() { ran = append(ran, s) })
	}
	e.stop(timers[4])
	e.stop(timers[4])
	e.stop(nil)
	if at := e.Deadline(); !at.Equal(time.Unix(1, 0)) {
		t.Errorf("deadline %v", at)
	}
	e.Step(time.Unix(3, 0), Tick{})
	e.stop(timers[2]) // has run
	e.Step(time.Unix(9, 0), Tick{})
	if want := []int{1, 2, 3, 5}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, wanted %v", ran, want)
	}
	if !e.Deadline().IsZero() {
		t.Errorf("deadline %v", e.Deadline())
	}
}

// A message is traced in clear, when that is asked for.
func TestTrace(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	for _, on := range []bool{true, false} {
		mn.engine.SetTrace(on)
		var traced []Traced
		for _, f := range mn.engine.Step(w.now, Command{spd.Expired{Peer: "ha", ID: mn.anyChild(), Hard: true}}) {
			if x, ok := f.(Traced); ok {
				traced = append(traced, x)
			}
		}
		if !on {
			if len(traced) != 0 {
				t.Errorf("%+v, though nobody wants it", traced)
			}
			return
		}
		if len(traced) != 1 || !traced[0].Outbound || traced[0].Summary != "INFORMATIONAL request 2 [ D ]" ||
			traced[0].Local != netip.AddrPortFrom(coa1, Port) || traced[0].Remote != netip.AddrPortFrom(haa, Port) {
			t.Fatalf("%+v", traced)
		}
		m, err := wire.Parse(traced[0].Message)
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := wire.Find[*wire.Delete](m.Payloads); !ok || d.SPIs[0] != mn.anyChild().SPI {
			t.Errorf("%+v", m.Payloads)
		}
	}
}

// Without randomness nothing is sent.
func TestNoRandomness(t *testing.T) {
	w, mn, _ := newWorld(t, options{})
	mn.engine.cfg.Rand = strings.NewReader("")
	defer func() {
		if recover() == nil {
			t.Error("the engine goes on without randomness")
		}
		w.script(``)
	}()
	mn.key(binding)
}
