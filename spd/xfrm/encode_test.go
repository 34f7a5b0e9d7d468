//go:build linux && (amd64 || arm64 || riscv64)

package xfrm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/spd"
)

// Pieces of structures, little-endian as the machines of this test are.
const (
	hexHoA    = "20010db8000100000000000000000100"
	hexAgent  = "20010db8000100000000000000000001"
	hexCoA    = "20010db8000200000000000000000001"
	hexCoA2   = "20010db8000300000000000000000001"
	hexNoAddr = "00000000000000000000000000000000"

	hexSelectBU   = hexAgent + hexHoA + " 00000000 0005ffff 0a00 80 80 87 000000 00000000 00000000"
	hexSelectHoTI = hexNoAddr + hexHoA + " 00000000 0001ffff 0a00 00 80 87 000000 00000000 00000000"
	hexSelectNone = hexNoAddr + hexNoAddr + " 00000000 00000000 0000 00 00 00 000000 00000000 00000000"
	hexNoLimit    = "ffffffffffffffff"
	hexUnbounded  = hexNoLimit + hexNoLimit + hexNoLimit + hexNoLimit +
		"0000000000000000 0000000000000000 0000000000000000 0000000000000000"
	hexNow = "0000000000000000 0000000000000000 0000000000000000 0000000000000000"
)

func TestEncodeGoldenOctets(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("00", n) }
	name := func(s string) string { return hex.EncodeToString([]byte(s)) + zeros(64-len(s)) }

	gcm := newSA(0x1002, spd.Tunnel, away, 5)
	gcm.Transform = spd.Transform{Encr: spd.EncrAESGCM16, EncrKey: key(3, 20), ESN: true}
	gcm.Lifetime = spd.Lifetime{Soft: time.Hour, Hard: 2*time.Hour - time.Nanosecond, HardBytes: 1000000}
	gcm.Selector = spd.MH(spd.Host(hoa), anywhere, mhHoTI)
	gcm.ReplayWindow, gcm.Acquire = 64, 7
	sub := bindingPolicy()
	sub.Sub = true
	ipv4 := spd.Policy{PolicyKey: spd.PolicyKey{Dir: spd.In, Selector: spd.Selector{
		Src: netip.MustParsePrefix("192.0.2.0/24"), Dst: netip.MustParsePrefix("198.51.100.1/32"),
		Proto: spd.ProtoUDP, DstPort: spd.ExactPort(500)}}, Priority: 7, Action: spd.Discard}
	move := moveTunnel(away, away2)
	move.KMAddress = away2
	encapsulated, moveEncap := newSA(0x1001, spd.Transport, atHome, 9), moveTunnel(away, away2)
	encapsulated.Encap = spd.Encap{Src: 4500, Dst: 20000}
	moveEncap.Encap = encapsulated.Encap
	const hexMayWrap = "0800 1800 02000000"
	const hexEncap = "1c00 0400 0200 1194 4e20 0000" + hexNoAddr

	for _, c := range []struct {
		name string
		got  func() ([]byte, error)
		want []string
	}{
		{"policy, transport", func() ([]byte, error) { return encodePolicy(bindingPolicy()) }, []string{
			hexSelectBU, hexUnbounded, hexNow, "02000000 00000000 01 00 00 00 00000000",
			"4400 0500", hexNoAddr, "00000000 32 000000 0a00 0000", hexNoAddr, "01000000 00 00 00 00",
			"ffffffff ffffffff ffffffff"}},
		{"policy, tunnel", func() ([]byte, error) { return encodePolicy(tunnelPolicy(away)) }, []string{
			hexSelectHoTI, hexUnbounded, hexNow, "0a000000 00000000 01 00 00 00 00000000",
			"4400 0500", hexAgent, "00000000 32 000000 0a00 0000", hexCoA, "05000000 01 00 00 00",
			"ffffffff ffffffff ffffffff"}},
		{"policy, IPv4, discard", func() ([]byte, error) { return encodePolicy(ipv4) }, []string{
			"c6336401", zeros(12), "c0000200", zeros(12), "01f4ffff 00000000 0200 20 18 11 000000 00000000 00000000",
			hexUnbounded, hexNow, "07000000 00000000 00 01 00 00 00000000"}},
		{"policy key of a sub policy", func() ([]byte, error) { return encodePolicyKey(sub.PolicyKey) }, []string{
			hexSelectBU, "00000000 01 000000", "0a00 1000 010000000000 0000"}},
		{"SA, transport", func() ([]byte, error) { return encodeSA(newSA(0x1001, spd.Transport, atHome, 9)) }, []string{
			hexSelectNone, hexAgent, "00001001 32 000000", hexHoA, hexUnbounded, hexNow, zeros(12),
			"00000000 09000000 0a00 00 00 00 00000000000000",
			hexMayWrap, "5800 0200", name("cbc(aes)"), "80000000", strings.Repeat("01", 16),
			"6c00 1400", name("hmac(sha256)"), "00010000 80000000", strings.Repeat("02", 32)}},
		{"SA, tunnel", func() ([]byte, error) { return encodeSA(newSA(0x1003, spd.Tunnel, away, 9)) }, []string{
			hexSelectNone, hexAgent, "00001003 32 000000", hexCoA, hexUnbounded, hexNow, zeros(12),
			"00000000 09000000 0a00 01 00 20 00000000000000",
			hexMayWrap, "5800 0200", name("cbc(aes)"), "80000000", strings.Repeat("01", 16),
			"6c00 1400", name("hmac(sha256)"), "00010000 80000000", strings.Repeat("02", 32)}},
		{"SA, AEAD with ESN, lifetimes, selector, acquire", func() ([]byte, error) { return encodeSA(gcm) }, []string{
			hexSelectHoTI, hexAgent, "00001002 32 000000", hexCoA,
			hexNoLimit, "40420f0000000000", hexNoLimit, hexNoLimit,
			"100e000000000000 201c000000000000 0000000000000000 0000000000000000", hexNow, zeros(12),
			"07000000 05000000 0a00 01 00 80 00000000000000",
			"2400 1700 02000000", zeros(16), "40000000", zeros(8),
			"6000 1200", name("rfc4106(gcm(aes))"), "a0000000 80000000", strings.Repeat("03", 20)}},
		{"SA, encapsulated in UDP", func() ([]byte, error) { return encodeSA(encapsulated) }, []string{
			hexSelectNone, hexAgent, "00001001 32 000000", hexHoA, hexUnbounded, hexNow, zeros(12),
			"00000000 09000000 0a00 00 00 00 00000000000000", hexMayWrap, hexEncap,
			"5800 0200", name("cbc(aes)"), "80000000", strings.Repeat("01", 16),
			"6c00 1400", name("hmac(sha256)"), "00010000 80000000", strings.Repeat("02", 32)}},
		{"MIGRATE with encapsulation", func() ([]byte, error) { return encodeMigrate(moveEncap) }, []string{
			hexSelectHoTI, "00000000 01 000000", hexEncap,
			"5000 1100", hexAgent, hexCoA, hexAgent, hexCoA2, "32 01 0000 05000000 0a00 0a00"}},
		{"larval SA", func() ([]byte, error) {
			return encodeAllocSPI(spd.LarvalSA{Endpoints: atHome, Proto: spd.ESP, Mode: spd.Transport})
		}, []string{
			hexSelectNone, hexAgent, "00000000 32 000000", hexHoA, hexUnbounded, hexNow, zeros(12),
			"00000000 00000000 0a00 00 00 00 00000000000000", "00010000 ffffffff"}},
		{"SAID", func() ([]byte, error) { return encodeSAID(spd.SAID{Dst: agent, Proto: spd.ESP, SPI: 0x1001}) }, []string{
			hexAgent, "00001001 0a00 32 00"}},
		{"MIGRATE", func() ([]byte, error) { return encodeMigrate(move) }, []string{
			hexSelectHoTI, "00000000 01 000000",
			"2c00 1300", hexCoA2, hexAgent, "00000000 0a00 0000",
			"5000 1100", hexAgent, hexCoA, hexAgent, hexCoA2, "32 01 0000 05000000 0a00 0a00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.got()
			if err != nil {
				t.Fatal(err)
			}
			if want := unhex(t, c.want...); !bytes.Equal(got, want) {
				t.Errorf("got\n%x, want\n%x", got, want)
			}
		})
	}
}

func TestEncodeRefusesWhatCannotBe(t *testing.T) {
	policy := func(change func(*spd.Policy)) func() ([]byte, error) {
		p := tunnelPolicy(away)
		change(&p)
		return func() ([]byte, error) { return encodePolicy(p) }
	}
	sa := func(change func(*spd.SA)) func() ([]byte, error) {
		s := newSA(0x1001, spd.Transport, atHome, 1)
		change(&s)
		return func() ([]byte, error) { return encodeSA(s) }
	}
	migrate := func(change func(*spd.Migrate)) func() ([]byte, error) {
		m := moveTunnel(away, away2)
		change(&m)
		return func() ([]byte, error) { return encodeMigrate(m) }
	}
	mixed := spd.Endpoints{Src: netip.MustParseAddr("192.0.2.1"), Dst: agent}
	for name, encode := range map[string]func() ([]byte, error){
		"policy without direction":        policy(func(p *spd.Policy) { p.Dir = 0 }),
		"policy of unknown direction":     policy(func(p *spd.Policy) { p.Dir = spd.Fwd + 1 }),
		"policy without action":           policy(func(p *spd.Policy) { p.Action = 0 }),
		"policy without selector":         policy(func(p *spd.Policy) { p.Selector = spd.Selector{} }),
		"policy of two families":          policy(func(p *spd.Policy) { p.Selector.Src = spd.Host(mixed.Src) }),
		"protect without template":        policy(func(p *spd.Policy) { p.Templates = nil }),
		"protect with seven templates":    policy(func(p *spd.Policy) { p.Templates = slices.Repeat(p.Templates, 7) }),
		"discard with template":           policy(func(p *spd.Policy) { p.Action = spd.Discard }),
		"template without mode":           policy(func(p *spd.Policy) { p.Templates[0].Mode = 0 }),
		"template of unknown level":       policy(func(p *spd.Policy) { p.Templates[0].Level = spd.Unique + 1 }),
		"unique template without reqid":   policy(func(p *spd.Policy) { p.Templates[0].Reqid = 0 }),
		"tunnel template without address": policy(func(p *spd.Policy) { p.Templates[0].Endpoints = spd.Endpoints{} }),
		"transport template with address": policy(func(p *spd.Policy) { p.Templates[0].Mode = spd.Transport }),
		"SA without direction":            sa(func(s *spd.SA) { s.Dir = 0 }),
		"SA with reserved SPI":            sa(func(s *spd.SA) { s.SPI = 255 }),
		"SA of Mobile IPv6":               sa(func(s *spd.SA) { s.Proto = spd.HomeOpt }),
		"SA without mode":                 sa(func(s *spd.SA) { s.Mode = 0 }),
		"SA of two families":              sa(func(s *spd.SA) { s.Endpoints = mixed }),
		"SA with half a selector":         sa(func(s *spd.SA) { s.Selector.Src = anywhere }),
		"SA with unknown cipher":          sa(func(s *spd.SA) { s.Transform.Encr = 99 }),
		"SA with unknown MAC":             sa(func(s *spd.SA) { s.Transform.Integ = 99 }),
		"SA with CBC alone":               sa(func(s *spd.SA) { s.Transform.Integ = spd.IntegNone }),
		"SA with AEAD and MAC":            sa(func(s *spd.SA) { s.Transform.Encr = spd.EncrAESGCM16 }),
		"AH without MAC":                  sa(func(s *spd.SA) { s.Proto, s.Transform.Integ = spd.AH, spd.IntegNone }),
		"SAID without address":            func() ([]byte, error) { return encodeSAID(spd.SAID{Proto: spd.ESP, SPI: 256}) },
		"larval SA without address": func() ([]byte, error) {
			return encodeAllocSPI(spd.LarvalSA{Proto: spd.ESP, Mode: spd.Transport})
		},
		"policy key without direction":   func() ([]byte, error) { return encodePolicyKey(spd.PolicyKey{}) },
		"policy key without selector":    func() ([]byte, error) { return encodePolicyKey(spd.PolicyKey{Dir: spd.In}) },
		"MIGRATE without change":         migrate(func(m *spd.Migrate) { m.Changes = nil }),
		"MIGRATE with seven changes":     migrate(func(m *spd.Migrate) { m.Changes = slices.Repeat(m.Changes, 7) }),
		"MIGRATE without direction":      migrate(func(m *spd.Migrate) { m.Dir = 0 }),
		"MIGRATE from nowhere":           migrate(func(m *spd.Migrate) { m.Changes[0].Old = spd.Endpoints{} }),
		"MIGRATE to two families":        migrate(func(m *spd.Migrate) { m.Changes[0].New = mixed }),
		"MIGRATE without mode":           migrate(func(m *spd.Migrate) { m.Changes[0].Mode = 0 }),
		"MIGRATE with half a KM address": migrate(func(m *spd.Migrate) { m.KMAddress.Src = coa }),
	} {
		t.Run(name, func(t *testing.T) {
			if b, err := encode(); !errors.Is(err, spd.ErrInvalid) || b != nil {
				t.Errorf("got %d octets, %v, want ErrInvalid", len(b), err)
			}
		})
	}
}

func TestLifetimes(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want uint64
	}{{0, 0}, {-time.Second, 0}, {time.Nanosecond, 1}, {time.Second, 1}, {time.Second + 1, 2}, {time.Hour, 3600}} {
		if got := seconds(c.d); got != c.want {
			t.Errorf("%s is %d seconds, want %d", c.d, got, c.want)
		}
	}
	if got := seconds(1<<63 - 1); got != 9223372037 {
		t.Errorf("the longest lifetime is %d seconds", got)
	}
	if got := duration(1 << 63); got <= 0 || got%time.Second != 0 {
		t.Errorf("a lifetime that is too long reads as %s", got)
	}
}
