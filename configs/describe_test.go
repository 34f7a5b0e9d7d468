package configs

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const mobileNodeTable = `mobile node mn1@example.org, kernel interface auto
The policies are mipsecd's. Away from home, tunnels end at the care-of address
in place of the home address; at home, mipsecd bypasses them.

2001:db8:1::100, home agent ha.example.org, no K bit
  binding: esp transport, level unique
    out  2001:db8:1::100/128 -> 2001:db8:1::1/128 mh type 5  reqid 1000
    in   2001:db8:1::1/128 -> 2001:db8:1::100/128 mh type 6  reqid 1001
    TSi  2001:db8:1::100 mh 0x0500
    TSr  2001:db8:1::1 mh 0x0600
  prefix: esp transport, level unique
    out  2001:db8:1::100/128 -> 2001:db8:1::1/128 icmpv6 type 146  reqid 1002
    in   2001:db8:1::1/128 -> 2001:db8:1::100/128 icmpv6 type 147  reqid 1003
    TSi  2001:db8:1::100 icmpv6 0x9200-0x92ff
    TSr  2001:db8:1::1 icmpv6 0x9300-0x93ff
  payload: esp tunnel 2001:db8:1::100 - 2001:db8:1::1, level unique
    out  2001:db8:1::100/128 -> ::/0 any  reqid 1006
    in   ::/0 -> 2001:db8:1::100/128 any  reqid 1007
    TSi  2001:db8:1::100 any
    TSr  ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff any
`

const homeAgentTable = `home agent ha.example.org, kernel interface PF_KEY
The policies are the mobility daemon's, with its own reqids. Expected are:

2001:db8:1::100, mobile node mn1, K bit
  binding: esp transport
    in   2001:db8:1::100/128 -> 2001:db8:1::1/128 mh type 5
    out  2001:db8:1::1/128 -> 2001:db8:1::100/128 mh type 6
    TSi  2001:db8:1::100 mh 0x0500
    TSr  2001:db8:1::1 mh 0x0600
  home-test: esp tunnel 2001:db8:1::100 - 2001:db8:1::1
    in   2001:db8:1::100/128 -> ::/0 mh type 1
    out  ::/0 -> 2001:db8:1::100/128 mh type 3
    fwd  2001:db8:1::100/128 -> ::/0 mh type 1
    TSi  2001:db8:1::100 mh 0x0100
    TSr  ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff mh 0x0300
`

const gatewayTable = `home agent ha.example.org, kernel interface auto
The policies are mipsecd's.

2001:db8:1::100, mobile node mn1@example.org, a road warrior
  payload: esp tunnel care-of address - 2001:db8:1::1, level unique
    in   2001:db8:1::100/128 -> 2001:db8:c::/64 any  reqid 1006
    out  2001:db8:c::/64 -> 2001:db8:1::100/128 any  reqid 1007
    fwd  2001:db8:1::100/128 -> 2001:db8:c::/64 any  reqid 1006
    TSi  2001:db8:1::100 any
    TSr  2001:db8:c::-2001:db8:c:0:ffff:ffff:ffff:ffff any
`

const byHandTable = `mobile node mn1@example.org, kernel interface auto
The policies are the mobility daemon's, with its own reqids. Expected are:

2001:db8:1::100, home agent ha.example.org, manual keys
  binding: esp transport
    out  2001:db8:1::100/128 -> 2001:db8:1::1/128 mh type 5  reqid 1
    in   2001:db8:1::1/128 -> 2001:db8:1::100/128 mh type 6  reqid 2
    TSi  2001:db8:1::100 mh 0x0500
    TSr  2001:db8:1::1 mh 0x0600
    SPI in 0x00001002, out 0x00001001, aes256-sha512

With manual keys IPsec does not tell a replayed packet from a new one (RFC 6275
section 15.3). A home agent that restarts may believe an old Binding Update.
`

func TestDescribe(t *testing.T) {
	for text, want := range map[string]string{
		mobileNode("policies = \"mipsecd\"\nk-bit = false", `protect = ["payload", "binding", "prefix"]`): mobileNodeTable,
		homeAgent("", "mobility = \"none\"\nnetwork = \"2001:db8:c::/64\""):                               gatewayTable,
		homeAgent(`kernel = "pfkey"`, "name = \"mn1\"\nprotect = [\"binding\", \"home-test\"]"):           homeAgentTable,
		byHandText("", "", goodKeys...): byHandTable,
	} {
		got := Describe(parse(t, text))
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		for line := range strings.Lines(got) {
			if len(line) > 80 {
				t.Errorf("more than 80 columns: %s", line)
			}
		}
	}
}

// Both ends of the samples describe the same Child SAs, and each policy out has its reqid on the other end's policy in.
func TestSamplesFitTogether(t *testing.T) {
	describe := func(sample string) string {
		text, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(sample, []byte(text), func(path string, content Content) ([]byte, error) {
			if content == SAKey {
				return []byte(strings.Repeat(path, 96)[:96]), nil // to each its own
			}
			return anySecret(path, content)
		})
		if err != nil {
			t.Fatal(err)
		}
		return Describe(c)
	}
	pick := func(text, prefix string) (out []string) {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if rest, ok := strings.CutPrefix(line, prefix); ok && strings.Contains(rest, "2001:db8:1::100") {
				out = append(out, strings.TrimSpace(rest))
			}
		}
		return out
	}
	for _, suffix := range []string{".toml", "-umip.toml", "-shisa.toml", "-manual.toml"} {
		mn, ha := describe("mobile-node"+suffix), describe("home-agent"+suffix)
		for prefix, other := range map[string]string{"TSi ": "TSi ", "out ": "in ", "in ": "out "} {
			a, b := pick(mn, prefix), pick(ha, other)
			if len(a) < 3 || !slices.Equal(a, b) {
				t.Errorf("%s of the mobile node %q, %s of the home agent %q", prefix, a, other, b)
			}
		}
	}
}
