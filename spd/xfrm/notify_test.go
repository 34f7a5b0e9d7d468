//go:build linux && (amd64 || arm64 || riscv64)

package xfrm

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"mipsecd/spd"
)

// wantEvents is what the captured notifications report.
func wantEvents() map[string]spd.Event {
	indexed := func(p spd.Policy, index uint32) spd.Policy {
		p.Index = index
		return p
	}
	sub := indexed(bindingPolicy(), 17)
	sub.Sub = true
	sub.Templates = []spd.Template{{Proto: spd.HomeOpt, Mode: spd.RouteOptimization, Level: spd.Require,
		Endpoints: spd.Endpoints{Src: netip.IPv6Unspecified(), Dst: netip.IPv6Unspecified()}}}
	ipv4 := spd.Policy{PolicyKey: spd.PolicyKey{Dir: spd.In, Selector: spd.Selector{
		Src: netip.MustParsePrefix("192.0.2.0/24"), Dst: netip.MustParsePrefix("198.51.100.1/32"),
		Proto: spd.ProtoUDP, DstPort: spd.ExactPort(500)}}, Index: 24, Priority: 7, Action: spd.Discard}
	move := moveTunnel(away, away2)
	move.KMAddress = away2
	encapsulated := moveTunnel(away, away2)
	encapsulated.Encap = spd.Encap{Src: 4500, Dst: 20000}
	tunnel := tunnelPolicy(away).Templates[0]
	tunnel.Reqid = 1
	sa := spd.SAID{Dst: agent, Proto: spd.ESP, SPI: 0x1001}
	bound := spd.CareOfState{Proto: spd.HomeOpt, Endpoints: atHome, CareOf: coa}
	unbound := bound
	unbound.Gone = true
	return map[string]spd.Event{
		"new-policy":         spd.PolicyChanged{Policy: indexed(bindingPolicy(), 1)},
		"update-policy":      spd.PolicyChanged{Policy: indexed(tunnelPolicy(away), 9)},
		"new-policy-sub":     spd.PolicyChanged{Policy: sub},
		"delete-policy-sub":  spd.PolicyChanged{Policy: sub, Gone: true},
		"new-policy-ipv4":    spd.PolicyChanged{Policy: ipv4},
		"delete-policy-ipv4": spd.PolicyChanged{Policy: ipv4, Gone: true},
		"new-sa-hao":         bound,
		"delete-sa-hao":      unbound,
		"new-sa-cbc":         nil,
		"new-sa-gcm-esn":     nil,
		"new-sa-encap":       nil,
		"mapping":            spd.Mapping{ID: sa, From: netip.AddrPortFrom(hoa, 20000)},
		"migrate":            move,
		"migrate-encap":      encapsulated,
		"delete-sa":          spd.SARemoved{ID: sa},
		"acquire": spd.Acquire{Seq: 1, PolicyIndex: 33, Template: tunnel, Endpoints: away, Selector: spd.Selector{
			Src: anywhere, Dst: spd.Host(agent), Proto: spd.ProtoICMPv6, SrcPort: spd.ExactPort(128)},
			Flow: spd.Selector{Src: spd.Host(hoa), Dst: spd.Host(agent), Proto: spd.ProtoICMPv6, SrcPort: spd.ExactPort(128),
				DstPort: spd.ExactPort(0)}},
		"expire-acquire": nil,
		"expire-larval":  spd.Expire{ID: spd.SAID{Dst: agent, Proto: spd.ESP, SPI: 0x0ff791ea}, Hard: true},
		"expire-hard":    spd.Expire{ID: sa, Hard: true},
		"flush-esp":      spd.EventsLost{},
		"flush-sa":       spd.Flushed{},
		"flush-policy":   spd.Flushed{Policies: true},
	}
}

func TestDecodeCapturedNotifications(t *testing.T) {
	want := wantEvents()
	for _, c := range captures(t) {
		t.Run(c.name, func(t *testing.T) {
			expected, ok := want[c.name]
			if !ok {
				t.Fatal("not expected")
			}
			delete(want, c.name)
			if got, err := decodeEvent(captured(t, c.name)); err != nil || !reflect.DeepEqual(got, expected) {
				t.Errorf("got %+v, %v, want %+v", got, err, expected)
			}
		})
	}
	if len(want) > 0 {
		t.Errorf("no captures of %v", want)
	}
}

func TestDecodeCapturedSAs(t *testing.T) {
	cbc := newSA(0x1001, spd.Transport, atHome, 9)
	cbc.Transform = spd.Transform{Encr: spd.EncrAESCBC, Integ: spd.IntegSHA256_128}
	cbc.ReplayWindow, cbc.Dir = 32, 0
	gcm := newSA(0x1002, spd.Tunnel, away, 5)
	gcm.Transform = spd.Transform{Encr: spd.EncrAESGCM16, ESN: true}
	gcm.Selector = spd.MH(spd.Host(hoa), anywhere, mhHoTI)
	gcm.Lifetime = spd.Lifetime{Soft: time.Hour, Hard: 2 * time.Hour, HardBytes: 1000000}
	gcm.ReplayWindow, gcm.Acquire, gcm.Dir = 64, 7<<24, 0 // which was given to ip as 7: it swaps it
	encapsulated := cbc
	encapsulated.Encap = spd.Encap{Src: 4500, Dst: 4501}
	for name, want := range map[string]spd.SA{
		"new-sa-cbc": cbc, "delete-sa": cbc, "new-sa-gcm-esn": gcm, "new-sa-encap": encapsulated,
	} {
		if got, err := decodeState(captured(t, name)); err != nil || got.larval || !reflect.DeepEqual(got.sa, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
}

// A message cut anywhere is refused, except between two attributes.
func TestDecodeRefusesTruncated(t *testing.T) {
	fixed := map[uint16]int{msgNewPolicy: policyInfoLen, msgUpdPolicy: policyInfoLen, msgDelPolicy: policyIDLen,
		msgNewSA: saInfoLen, msgDelSA: saIDLen, msgMigrate: policyIDLen, msgAcquire: acquireLen, msgExpire: expireLen,
		msgFlushSA: 1, msgMapping: 64}
	for _, c := range captures(t) {
		for n := range len(c.datagram) {
			if _, err := decodeMessages(c.datagram[:n]); err == nil && n > 0 {
				t.Errorf("%s: a datagram of %d of %d octets is taken", c.name, n, len(c.datagram))
			}
		}
		m := captured(t, c.name)
		whole := map[int]bool{}
		for n := fixed[m.kind]; n < len(m.body); {
			for n%4 != 0 { // padding may be missing
				whole[n] = true
				n++
			}
			whole[n] = true
			if n < len(m.body) {
				n += int(native.Uint16(m.body[n:]))
			}
			whole[n] = true
		}
		for n := range len(m.body) {
			cut := m
			cut.body = m.body[:n:n]
			if _, err := decodeEvent(cut); err == nil && !whole[n] {
				t.Errorf("%s: %d of %d octets are taken", c.name, n, len(m.body))
			}
		}
	}
}

func TestDecodeRefusesMalformed(t *testing.T) {
	for _, c := range []struct {
		name, capture string
		offset        int
		octet         byte
	}{
		{"prefix length of destination", "new-policy", 42, 129},
		{"prefix length of source", "new-policy", 43, 129},
		{"prefix length with IPv4", "new-policy-ipv4", 42, 33},
		{"family of a selector", "new-policy", 40, 3},
		{"no family in a policy", "new-policy", 40, 0},
		{"family of a template", "update-policy", 168 + 4 + 24, 3},
		{"attribute shorter than its header", "new-policy", 168, 3},
		{"attribute longer than the message", "new-policy", 169, 1},
		{"templates not whole", "new-policy", 168, 0x43},
		{"family of an SA", "new-sa-cbc", 212, 3},
		{"key longer than its attribute", "new-sa-gcm-esn", 224 + 4 + 64, 0xff},
		{"length of the replay window's attribute", "new-sa-gcm-esn", 224 + 96, 8},
		{"family of old addresses", "migrate", 64 + 44 + 12 + 4 + 72, 3},
		{"family of new addresses", "migrate", 64 + 44 + 12 + 4 + 74, 3},
		{"family of the key exchange", "migrate", 64 + 4 + 36, 3},
		{"family of a mapping", "mapping", 20, 3},
		{"length of the encapsulation", "new-sa-encap", 524, 0x18},
		{"ACQUIRE without a template of its protocol", "acquire", 20, spd.AH},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := captured(t, c.capture)
			if m.body[c.offset] == c.octet {
				t.Fatal("nothing changed")
			}
			m.body[c.offset] = c.octet
			if e, err := decodeEvent(m); err == nil {
				t.Errorf("taken: %+v", e)
			}
		})
	}
}

func TestDecodePassesOver(t *testing.T) {
	for _, c := range []struct {
		name, capture string
		offset        int
		octet         byte
	}{
		{"policy of a socket", "new-policy", 160, 4},
		{"source port under a partial mask", "new-policy", 38, 0xf0},
		{"destination port under a partial mask", "new-policy-ipv4", 35, 0xf0},
		{"SA with a port under a partial mask", "new-sa-gcm-esn", 38, 0xf0},
		{"ACQUIRE for a home address option", "acquire", 20, spd.HomeOpt},
		{"ACQUIRE for IPComp", "acquire", 20, 108},
		{"ACQUIRE by a sub policy", "acquire", 280 + 68 + 4, 1},
		{"EXPIRE of a home address option", "expire-hard", 76, spd.HomeOpt},
		{"care-of state for all sources", "new-sa-hao", 0, 0}, // its addresses are zeroed below
	} {
		t.Run(c.name, func(t *testing.T) {
			m := captured(t, c.capture)
			m.body[c.offset] = c.octet
			if c.capture == "new-sa-hao" {
				clear(m.body[80:96])
			}
			if e, err := decodeEvent(m); e != nil || err != nil {
				t.Errorf("got %+v, %v", e, err)
			}
		})
	}
	for _, kind := range []uint16{2, 27, 30, 32, 37} {
		if e, err := decodeEvent(message{kind: kind}); e != nil || err != nil {
			t.Errorf("message %d: %+v, %v", kind, e, err)
		}
	}
}

func TestDecodeFlushOfSubPoliciesLeavesTheOthers(t *testing.T) {
	m := captured(t, "flush-policy")
	m.body[4] = typeSub
	if e, err := decodeEvent(m); err != nil || e != (spd.EventsLost{}) {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestPolicyRoundTrip(t *testing.T) {
	selector := spd.Selector{Src: netip.MustParsePrefix("2001:db8::7/64"), Dst: anywhere, Proto: spd.ProtoICMPv6,
		SrcPort: spd.ExactPort(0), DstPort: spd.ExactPort(0)}
	v4 := spd.Endpoints{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("0.0.0.0")}
	all := []spd.Policy{bindingPolicy(), tunnelPolicy(away)}
	for _, level := range []spd.Template{{Level: spd.Use, Reqid: 3}, {Level: spd.Require}, {Level: spd.Unique, Reqid: 3}} {
		for _, mode := range []spd.Mode{spd.Transport, spd.Tunnel, spd.BEET, spd.RouteOptimization} {
			template := level
			template.Proto, template.Mode = spd.AH, mode
			if mode != spd.Transport {
				template.Endpoints = v4
			}
			all = append(all, spd.Policy{PolicyKey: spd.PolicyKey{Selector: selector, Dir: spd.Fwd, Sub: true},
				Priority: 1 << 31, Action: spd.Protect, Templates: []spd.Template{template, template}})
		}
	}
	for _, action := range []spd.Action{spd.Bypass, spd.Discard} {
		key := spd.PolicyKey{Selector: spd.MH(anywhere, spd.Host(hoa), mhBRR), Dir: spd.In}
		all = append(all, spd.Policy{PolicyKey: key, Action: action})
	}
	for _, p := range all {
		body, err := encodePolicy(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodePolicy(message{kind: msgNewPolicy, body: body}); err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("got %+v, %v, want %+v", got, err, p)
		}
	}
}

func TestPolicyLevels(t *testing.T) {
	for _, c := range []struct{ level, want spd.Level }{
		{0, spd.Unique}, {spd.Use, spd.Use}, {spd.Require, spd.Unique}, {spd.Unique, spd.Unique},
	} {
		p := bindingPolicy()
		p.Templates[0].Level = c.level
		body, err := encodePolicy(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodePolicy(message{kind: msgNewPolicy, body: body})
		if err != nil || got.Templates[0].Level != c.want || got.Templates[0].Reqid != 1 {
			t.Errorf("level %s with a reqid: got %+v, %v, want %s", c.level, got, err, c.want)
		}
	}
}

func TestMigrateRoundTrip(t *testing.T) {
	move := moveTunnel(away, away2)
	move.Sub = true
	move.Changes = append(move.Changes, spd.EndpointChange{Proto: spd.AH, Mode: spd.Transport, Reqid: 6, New: atHome,
		Old: spd.Endpoints{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.IPv4Unspecified()}})
	withKM := move
	withKM.KMAddress = away2
	withEncap := move
	withEncap.Encap = spd.Encap{Src: 4500, Dst: 20000}
	for _, m := range []spd.Migrate{move, withKM, withEncap} {
		body, err := encodeMigrate(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeMigrate(body); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, %v, want %+v", got, err, m)
		}
	}
}

func TestSARoundTrip(t *testing.T) {
	for _, window := range []uint8{0, 1, 32, 33, 255} {
		for _, esn := range []bool{false, true} {
			want := newSA(0xffffffff, spd.Tunnel, away, 9)
			want.Dir, want.ReplayWindow, want.Transform.ESN, want.Acquire = spd.In, window, esn, 77
			want.Lifetime = spd.Lifetime{Soft: time.Minute, Hard: time.Hour, SoftBytes: 1, HardBytes: 1<<64 - 2}
			body, err := encodeSA(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeState(message{kind: msgNewSA, body: body})
			want.Dir, want.Transform.EncrKey, want.Transform.IntegKey = 0, nil, nil
			if err != nil || got.larval || !reflect.DeepEqual(got.sa, want) {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		}
	}
}

func TestAnOutboundSAWithESNHasAWindow(t *testing.T) {
	sa := newSA(0x1001, spd.Tunnel, away, 9)
	sa.Transform.ESN = true
	body, err := encodeSA(sa)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeState(message{kind: msgNewSA, body: body}); err != nil || got.sa.ReplayWindow != 32 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestErrForeignIsNotReported(t *testing.T) {
	m := captured(t, "new-policy")
	m.body[160] = 3
	if _, err := decodePolicy(m); !errors.Is(err, errForeign) {
		t.Errorf("got %v", err)
	}
}
