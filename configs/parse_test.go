package configs

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/homeagent"
	"mipsecd/ikev2"
	"mipsecd/ikev2/suite"
	"mipsecd/internal/secret"
	"mipsecd/migrate"
	"mipsecd/spd"
)

func proposal(t *testing.T, parse func(string) (suite.Proposal, error), s string) suite.Proposal {
	t.Helper()
	p, err := parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func id(t *testing.T, s string) ikev2.Identity {
	t.Helper()
	id, err := ikev2.ParseIdentity(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestShortestMobileNode(t *testing.T) {
	got := parse(t, mobileNode("", ""))
	want := &Config{
		Role:     MobileNode,
		Identity: id(t, "mn1@example.org"),
		Homes: []migrate.Home{{
			Protected: migrate.Protected{
				HomeAddress: netip.MustParseAddr("2001:db8:1::100"), HomeAgent: netip.MustParseAddr("2001:db8:1::1"),
				What:  []migrate.Protection{migrate.ProtectBinding, migrate.ProtectPrefix, migrate.ProtectHomeTest},
				Reqid: 1000, Level: spd.Unique,
			},
			Peer: "ha.example.org", KeyMobility: true,
		}},
		Peers: []*ikev2.Peer{{
			Name: "ha.example.org", LocalID: id(t, "mn1@example.org"), RemoteID: id(t, "ha.example.org"),
			PSK: secret.Bytes(testSecret), IKE: suite.DefaultIKE(), ESP: DefaultESP(Auto),
			IKELifetime: 8 * time.Hour, ChildLifetime: time.Hour, Liveness: 30 * time.Second,
		}},
		IKE: suite.DefaultIKE(), Childless: true, FragmentSize: ikev2.DefaultFragmentSize, Timing: ikev2.DefaultTiming, Limits: ikev2.DefaultLimits,
		Pool:          homeagent.Pool{Hold: time.Hour},
		HomeInterface: "lo",
		ControlSocket: "/run/mipsecd/control",
		LogLevel:      slog.LevelInfo,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %+v, want %+v %+v", got, got.Peers[0], want, want.Peers[0])
	}
}

func TestEveryKey(t *testing.T) {
	got, err := Parse("/etc/mipsecd/x.toml", []byte(`
role = "home-agent"
identity = "2001:db8:1::1"
address = "2001:db8:1::1"
policies = "mipsecd"
level = "use"
reqid-base = 7
kernel = "xfrm"
keying = "ikev2"
home-prefix = "2001:db8:1::/64"
pool = ["2001:db8:1::1000/120", "2001:db8:1::2000-2001:db8:1::2001"]
address-hold = "1m"
dns = ["2001:db8:1::53", "fd00::53"]
k-bit = false
protect = ["payload", "binding"]
ike = ["aes256-sha512-modp4096"]
esp = ["aes256-sha512-esn"]
ike-lifetime = "never"
child-lifetime = "90m"
liveness = "never"
control-socket = "control"
log-level = "debug"
trace-file = "/tmp/trace.pcapng"
childless = false
host-secret-file = "secret"
fragment-size = 0
redirect-to = "2001:db8:1::2"
quick-crash-detection = true
shards = 4
timing = { retransmit = "1s", tries = 3, half-open = "1m" }
limits = { cookies = 10, half-open = 20, half-open-per-network = 5 }

[[mobile-node]]
identity = "keyid:one"
name = "one"
home-address = ["2001:db8:1::100", "fd00::100"]
secret-file = "one.psk"

[[mobile-node]]
identity = "two.example.org"
home-address = "2001:db8:1::101"
secret-file = "/secrets/two"
k-bit = true
protect = ["binding"]
ike = ["aes128gcm16-prfsha256-x25519", "aes256-sha512-modp4096"]
esp = ["null-sha256"]
ike-lifetime = "24h"
child-lifetime = "10s"
liveness = "1s"
auth-lifetime = "12h"
redirect-to = "192.0.2.3"
resumption = true
`), func(path string, _ Content) ([]byte, error) { return []byte(path), nil })
	if err != nil {
		t.Fatal(err)
	}
	home := func(reqid uint32, address, peer string, keyMobility bool, what ...migrate.Protection) migrate.Home {
		return migrate.Home{
			Protected: migrate.Protected{
				HomeAddress: netip.MustParseAddr(address), HomeAgent: netip.MustParseAddr("2001:db8:1::1"), What: what,
				Reqid: reqid, Level: spd.Use,
			},
			Peer: peer, KeyMobility: keyMobility,
		}
	}
	strong := proposal(t, suite.ParseIKE, "aes256-sha512-modp4096")
	quick := proposal(t, suite.ParseIKE, "aes128gcm16-prfsha256-x25519")
	ha := id(t, "2001:db8:1::1")
	want := &Config{
		Role: HomeAgent, Identity: ha, Address: netip.MustParseAddr("2001:db8:1::1"), Kernel: XFRM, OwnPolicies: true,
		Homes: []migrate.Home{
			home(7, "2001:db8:1::100", "one", false, migrate.ProtectPayload, migrate.ProtectBinding),
			home(15, "fd00::100", "one", false, migrate.ProtectPayload, migrate.ProtectBinding),
			home(23, "2001:db8:1::101", "two.example.org", true, migrate.ProtectBinding),
		},
		Peers: []*ikev2.Peer{
			{
				Name: "one", LocalID: ha, RemoteID: id(t, "keyid:one"), PSK: secret.Bytes("/etc/mipsecd/one.psk"),
				IKE: []suite.Proposal{strong}, ESP: []suite.Proposal{proposal(t, suite.ParseESP, "aes256-sha512-esn")},
				ChildLifetime: 90 * time.Minute,
			},
			{
				Name: "two.example.org", LocalID: ha, RemoteID: id(t, "two.example.org"), PSK: secret.Bytes("/secrets/two"),
				IKE: []suite.Proposal{quick, strong}, ESP: []suite.Proposal{proposal(t, suite.ParseESP, "null-sha256")},
				IKELifetime: 24 * time.Hour, ChildLifetime: 10 * time.Second, Liveness: time.Second, AuthLifetime: 12 * time.Hour, RedirectTo: netip.MustParseAddr("192.0.2.3"), Resumption: true,
			},
		},
		Pool: homeagent.Pool{
			Prefix: netip.MustParsePrefix("2001:db8:1::/64"), Hold: time.Minute,
			Ranges: []homeagent.Range{
				{First: netip.MustParseAddr("2001:db8:1::1000"), Last: netip.MustParseAddr("2001:db8:1::10ff")},
				{First: netip.MustParseAddr("2001:db8:1::2000"), Last: netip.MustParseAddr("2001:db8:1::2001")},
			},
			DNS: []netip.Addr{netip.MustParseAddr("2001:db8:1::53"), netip.MustParseAddr("fd00::53")},
		},
		HomeInterface: "lo",
		IKE:           []suite.Proposal{strong, quick},
		Timing:        ikev2.Timing{Retransmit: time.Second, Tries: 3, HalfOpen: time.Minute},
		Limits:        ikev2.Limits{Cookies: 10, HalfOpen: 20, HalfOpenPerNetwork: 5},
		ControlSocket: "/etc/mipsecd/control", HostSecretFile: "/etc/mipsecd/secret", CrashDetection: true, FragmentSize: -1, RedirectTo: netip.MustParseAddr("2001:db8:1::2"), LogLevel: slog.LevelDebug, TraceFile: "/tmp/trace.pcapng", Shards: 4,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %+v %+v, want %+v", got, got.Peers[0], got.Peers[1], want)
	}
	got = parse(t, mobileNode("interfaces = [\"eth0\", \"wlan0\"]\nhome-interface = \"dummy0\"", ""))
	if !slices.Equal(got.Interfaces, []string{"eth0", "wlan0"}) || got.HomeInterface != "dummy0" {
		t.Errorf("got interfaces %q, home interface %q", got.Interfaces, got.HomeInterface)
	}
}

// To write the defaults down changes nothing.
func TestDefaultsAreAsDescribed(t *testing.T) {
	for role, minimal := range map[Role]func(top, peer string) string{MobileNode: mobileNode, HomeAgent: homeAgent} {
		var top strings.Builder
		for _, k := range Keys() {
			mayBeAbsent := strings.HasPrefix(k.Name, "radius.")
			if k.Default != "" && cmp.Or(k.Role, role) == role && !mayBeAbsent {
				fmt.Fprintf(&top, "%s = %s\n", k.Name, k.Default)
			}
		}
		if got, want := parse(t, minimal(top.String(), "")), parse(t, minimal("", "")); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", role, got, want)
		}
	}
}

func TestKeysAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		if k.Name == "" || k.Value == "" || k.Meaning == "" || seen[k.Name] || k.Required && k.Default != "" {
			t.Errorf("incomplete or twice: %+v", k)
		}
		seen[k.Name] = true
	}
	for _, name := range []string{"role", "timing.tries", "home-agent.address", "mobile-node.home-address"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
	if seen["mobile-node.address"] {
		t.Error("a mobile node has no address of its own")
	}
}

func TestSeveralHomeAgents(t *testing.T) {
	second := "[[home-agent]]\n" +
		"identity = \"ha2.example.org\"\naddress = \"2001:db8:2::1\"\nhome-address = \"2001:db8:2::100\"\nsecret-file = \"a\""
	c := parse(t, strings.Replace(mobileNode("", second), "[home-agent]", "[[home-agent]]", 1))
	if len(c.Peers) != 2 || len(c.Homes) != 2 || c.Homes[1].Peer != "ha2.example.org" ||
		c.Homes[1].HomeAgent != netip.MustParseAddr("2001:db8:2::1") || c.Homes[1].Reqid != 1008 {
		t.Errorf("got %+v", c.Homes)
	}
}

func TestHomeAgentWithoutMobileNodes(t *testing.T) {
	c := parse(t, "role = \"home-agent\"\nidentity = \"ha\"\naddress = \"2001:db8::1\"\n")
	if len(c.Peers) != 0 || len(c.Homes) != 0 || !reflect.DeepEqual(c.IKE, suite.DefaultIKE()) {
		t.Errorf("got %+v", c)
	}
}

// The reqids of a home address may reach the highest one, but not go beyond.
func TestHighestReqids(t *testing.T) {
	for _, text := range []string{
		mobileNode("reqid-base = 4294967288", ""),
		mobileNode("reqid-base = 16376\nkernel = \"pfkey\"\npolicies = \"mipsecd\"", ""),
		mobileNode("reqid-base = 16377\nkernel = \"pfkey\"\nlevel = \"require\"", ""), // the policies are not ours
	} {
		if c := parse(t, text); c.Homes[0].Reqid+migrate.ReqidsPerHome-1 < 16383 {
			t.Errorf("got %d", c.Homes[0].Reqid)
		}
	}
}

// PF_KEY on Linux has no AEAD cipher and no SHA2-256; yet both ends agree with their defaults.
func TestDefaultESP(t *testing.T) {
	pfkey := parse(t, mobileNode(`kernel = "pfkey"`, "")).Peers[0].ESP
	if !reflect.DeepEqual(pfkey, DefaultESP(PFKey)) {
		t.Errorf("got %v", pfkey)
	}
	for _, p := range pfkey {
		for _, e := range p.Encr {
			if suite.IsAEAD(e.ID) {
				t.Errorf("%s has an AEAD cipher", p)
			}
		}
		if len(p.Integ) == 0 || slices.Contains(p.Integ, spd.IntegSHA256_128) {
			t.Errorf("%s has another integrity algorithm than PF_KEY", p)
		}
	}
	for _, k := range []Kernel{Auto, XFRM} {
		agree := slices.ContainsFunc(DefaultESP(k), func(p suite.Proposal) bool {
			_, ok := pfkey[0].ChooseESP(p)
			return ok
		})
		if !agree || !suite.IsAEAD(DefaultESP(k)[0].Encr[0].ID) {
			t.Errorf("%s has %v", k, DefaultESP(k))
		}
	}
	own := parse(t, mobileNode("kernel = \"pfkey\"\nesp = [\"aes256-sha1\"]", "")).Peers[0].ESP
	if !slices.EqualFunc(own, []string{"aes256-sha1"}, func(p suite.Proposal, s string) bool { return p.String() == s }) {
		t.Errorf("got %v", own)
	}
}

func TestTenThousandMobileNodes(t *testing.T) {
	c := parse(t, manyNodes(10000))
	last := c.Homes[len(c.Homes)-1]
	if len(c.Peers) != 10000 || last.Peer != "mn9999" || last.HomeAddress != netip.MustParseAddr("2001:db8:1::270f") ||
		last.Reqid != 1000+9999*migrate.ReqidsPerHome || len(c.IKE) != 2 {
		t.Errorf("got %d peers, last %+v, %d IKE proposals", len(c.Peers), last, len(c.IKE))
	}
	if _, err := ikev2.NewPeerList(c.Peers...); err != nil {
		t.Error(err)
	}
	_, err := Parse("x.toml", []byte(manyNodes(10000)+"k-bit = 0\n"), anySecret)
	if err == nil || err.Error() != "x.toml:50004: mobile-node.k-bit: got 0; want true or false" {
		t.Error(err)
	}
}

// manyNodes has five lines for each mobile node after three at the top.
func manyNodes(n int) string {
	var b strings.Builder
	b.WriteString("role = \"home-agent\"\nidentity = \"ha\"\naddress = \"2001:db8:1::ffff\"\n")
	for i := range n {
		fmt.Fprintf(&b, "\n[[mobile-node]]\nidentity = \"mn%d\"\n", i)
		fmt.Fprintf(&b, "home-address = \"2001:db8:1::%x\"\nsecret-file = \"a\"\n", i)
	}
	return b.String()
}

func BenchmarkTenThousandMobileNodes(b *testing.B) {
	text := []byte(manyNodes(10000))
	for b.Loop() {
		if _, err := Parse("x.toml", text, anySecret); err != nil {
			b.Fatal(err)
		}
	}
}
