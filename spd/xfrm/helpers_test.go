//go:build linux

package xfrm

import (
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"mipsecd/spd"
)

var (
	hoa      = netip.MustParseAddr("2001:db8:1::100")
	agent    = netip.MustParseAddr("2001:db8:1::1")
	coa      = netip.MustParseAddr("2001:db8:2::1")
	coa2     = netip.MustParseAddr("2001:db8:3::1")
	anywhere = netip.MustParsePrefix("::/0")

	atHome = spd.Endpoints{Src: hoa, Dst: agent}
	away   = spd.Endpoints{Src: coa, Dst: agent}
	away2  = spd.Endpoints{Src: coa2, Dst: agent}
)

const (
	mhBRR  = 0
	mhHoTI = 1
	mhBU   = 5
)

// bindingPolicy protects Binding Updates on their way to the home agent.
func bindingPolicy() spd.Policy {
	return spd.Policy{
		PolicyKey: spd.PolicyKey{Selector: spd.MH(spd.Host(hoa), spd.Host(agent), mhBU), Dir: spd.Out},
		Priority:  2, Action: spd.Protect,
		Templates: []spd.Template{{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Unique, Reqid: 1}},
	}
}

// tunnelPolicy protects Home Test Inits on their way to the home agent.
func tunnelPolicy(e spd.Endpoints) spd.Policy {
	return spd.Policy{
		PolicyKey: spd.PolicyKey{Selector: spd.MH(spd.Host(hoa), anywhere, mhHoTI), Dir: spd.Out},
		Priority:  10, Action: spd.Protect,
		Templates: []spd.Template{{Proto: spd.ESP, Mode: spd.Tunnel, Level: spd.Unique, Reqid: 5, Endpoints: e}},
	}
}

func key(fill byte, n int) []byte { return slices.Repeat([]byte{fill}, n) }

var cbcSHA256 = spd.Transform{
	Encr: spd.EncrAESCBC, EncrKey: key(1, 16), Integ: spd.IntegSHA256_128, IntegKey: key(2, 32),
}

// newSA makes an outbound SA of ESP.
func newSA(spi uint32, mode spd.Mode, e spd.Endpoints, reqid uint32) spd.SA {
	return spd.SA{SPI: spi, Proto: spd.ESP, Mode: mode, Endpoints: e, Reqid: reqid, Dir: spd.Out, Transform: cbcSHA256}
}

// moveTunnel is the movement of tunnelPolicy's template.
func moveTunnel(from, to spd.Endpoints) spd.Migrate {
	return spd.Migrate{PolicyKey: tunnelPolicy(from).PolicyKey, Changes: []spd.EndpointChange{
		{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 5, Old: from, New: to}}}
}

// capture is a datagram that a kernel sent.
type capture struct {
	name     string
	datagram []byte
}

// captures reads testdata/notifications.txt.
func captures(t testing.TB) []capture {
	t.Helper()
	text, err := os.ReadFile("testdata/notifications.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []capture
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, octets, _ := strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, capture{name, unhex(t, octets)})
	}
	return all
}

// captured is the one message of a capture.
func captured(t testing.TB, name string) message {
	t.Helper()
	for _, c := range captures(t) {
		if c.name == name {
			all, err := decodeMessages(c.datagram)
			if err != nil || len(all) != 1 {
				t.Fatalf("%s: %d messages, %v", name, len(all), err)
			}
			return all[0]
		}
	}
	t.Fatalf("no capture %s", name)
	return message{}
}

// unhex reads hexadecimal digits, among which blanks may stand.
func unhex(t testing.TB, parts ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(strings.Join(parts, "")), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
