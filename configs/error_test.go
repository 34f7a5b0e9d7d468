package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mipsecd/ikev2"
)

const homes = `a global unicast IPv6 address such as "2001:db8::1", or a list of such, or "assigned"`

func TestErrors(t *testing.T) {
	// second is a home agent whose second table begins in line 9.
	second := func(lines ...string) string { return homeAgent("", "[[mobile-node]]\n"+strings.Join(lines, "\n")) }
	for _, test := range []struct{ name, text, want string }{
		{"no TOML", "role = \"home-agent\"\nidentity = \n", "x.toml:2: expected value but found '\\n' instead"},
		{"a key twice", "role = \"home-agent\"\nrole = 1", "x.toml:2: Key 'role' has already been defined."},
		{"no role", mobileNode("", "")[len(`role = "mobile-node"`):],
			`x.toml:1: role: is missing; want "mobile-node" or "home-agent"`},
		{"unknown role", "role = \"router\"\nidentity = \"a\"",
			`x.toml:1: role: got "router"; want "mobile-node" or "home-agent"`},

		{"unknown key at the top", mobileNode(`polices = "external"`, ""),
			"x.toml:3: polices: there is no such key; the nearest is policies"},
		{"unknown key of a peer", mobileNode("", `secretfile = "a"`),
			"x.toml:9: home-agent.secretfile: there is no such key; the nearest is secret-file"},
		{"unknown key of timing", mobileNode(`timing.try = 3`, ""),
			"x.toml:3: timing.try: there is no such key; the nearest is tries"},
		{"secret in the file", mobileNode("", `secret = "`+testSecret+`"`),
			"x.toml:9: home-agent.secret: there is no such key; the nearest is secret-file"},
		{"another case", mobileNode(`Kernel = "xfrm"`, ""), "x.toml:3: Kernel: there is no such key; the nearest is kernel"},

		{"address on a mobile node", mobileNode(`address = "2001:db8:1::1"`, ""),
			"x.toml:3: address: this is for a home agent; leave it out on a mobile node"},
		{"mobile-node on a mobile node", mobileNode("", "[[mobile-node]]"),
			"x.toml:9: mobile-node: this is for a home agent; leave it out on a mobile node"},
		{"interfaces on a home agent", homeAgent(`interfaces = ["eth0"]`, ""),
			"x.toml:4: interfaces: this is for a mobile node; leave it out on a home agent"},
		{"address of a mobile node", homeAgent("", `address = "2001:db8:1::1"`),
			"x.toml:9: mobile-node.address: there is no such key; the nearest is home-address"},

		{"no identity", "role = \"home-agent\"\naddress = \"2001:db8::1\"",
			"x.toml:1: identity: is missing; want " + ikev2.IdentityForms},
		{"no address", "role = \"home-agent\"\nidentity = \"a\"",
			`x.toml:1: address: is missing; want a global unicast address such as "2001:db8::1"`},
		{"no home agent", "role = \"mobile-node\"\nidentity = \"a\"",
			"x.toml:1: home-agent: is missing; want a table in [ ], or several in [[ ]]"},
		{"no identity of a peer", second(`home-address = "2001:db8:1::101"`, `secret-file = "a"`),
			"x.toml:9: mobile-node.identity: is missing; want " + ikev2.IdentityForms},
		{"no home address", second(`identity = "a"`, `secret-file = "a"`),
			"x.toml:9: mobile-node.home-address: is missing; want " + homes},
		{"no secret", second(`identity = "a"`, `home-address = "2001:db8:1::101"`),
			"x.toml:9: mobile-node.secret-file: is missing; want the path of a file, or ca-file for certificates"},

		{"bad identity", `identity = "two words"` + "\nrole = \"home-agent\"\naddress = \"2001:db8::1\"",
			`x.toml:1: identity: identity "two words": want ` + ikev2.IdentityForms},
		{"address with prefix length", second(`identity = "a"`, `secret-file = "a"`, `home-address = "2001:db8::1/64"`),
			`x.toml:12: mobile-node.home-address: got "2001:db8::1/64"; want ` + homes},
		{"bad address in a list",
			second(`identity = "a"`, `secret-file = "a"`, `home-address = [`, ` "2001:db8::1",`, ` "fe80::1" ]`),
			`x.toml:12: mobile-node.home-address: got "fe80::1"; want a global unicast IPv6 address such as "2001:db8::1"`},
		{"IPv4 for Mobile IPv6", strings.Replace(mobileNode("", ""), "2001:db8:1::1\"", "192.0.2.1\"", 1),
			`x.toml:6: home-agent.address: got 192.0.2.1; want an IPv6 address for Mobile IPv6, or mobility = "mobike"`},
		{"IPv4 for Mobile IPv6 on a home agent", strings.Replace(homeAgent("", ""), "2001:db8:1::1\"", "192.0.2.1\"", 1),
			`x.toml:3: address: got 192.0.2.1; want an IPv6 address for Mobile IPv6, or mobility = "mobike"`},
		{"IPv4 for PF_KEY",
			strings.Replace(mobileNode("kernel = \"pfkey\"", `mobility = "none"`), "2001:db8:1::1\"", "192.0.2.1\"", 1),
			`x.toml:3: kernel: PF_KEY has no tunnel for IPv6 in IPv4; want "xfrm" with the address 192.0.2.1`},
		{"crash detection without a secret", mobileNode("quick-crash-detection = true", ""),
			"x.toml:3: quick-crash-detection: got true; want host-secret-file with it, as the tokens are made again from that"},
		{"unknown mobility", mobileNode("", `mobility = "mip"`), `x.toml:9: home-agent.mobility: got "mip"; want "mobile-ipv6", "mobike" or "none"`},
		{"protection of a road warrior", mobileNode("", "mobility = \"none\"\nprotect = [\"binding\"]"),
			"x.toml:10: home-agent.protect: this is for Mobile IPv6; leave it out for a road warrior"},
		{"K bit of a road warrior", mobileNode("", "mobility = \"none\"\nk-bit = true"),
			"x.toml:10: home-agent.k-bit: this is for Mobile IPv6; leave it out for a road warrior"},
		{"redirects with Mobile IPv6", mobileNode("", `accept-redirects = true`),
			"x.toml:9: home-agent.accept-redirects: this is for a road warrior; leave it out for Mobile IPv6, whose daemon knows " +
				"the home agent by itself"},
		{"short fragments", mobileNode("fragment-size = 127", ""),
			"x.toml:3: fragment-size: got 127; want 0, or an integer from 128 to 65000"},
		{"network of Mobile IPv6", mobileNode("", `network = "2001:db8::/32"`),
			"x.toml:9: home-agent.network: this is for a road warrior; leave it out for Mobile IPv6"},
		{"network that is none", mobileNode("", "mobility = \"none\"\nnetwork = \"2001:db8::1/32\""),
			`x.toml:10: home-agent.network: got "2001:db8::1/32"; want an IPv6 prefix such as "2001:db8::/32"`},
		{"unknown protection", mobileNode(`protect = ["binding", "hometest"]`, ""),
			`x.toml:3: protect: "hometest" is no kind of traffic; want one of binding, prefix, home-test, payload`},
		{"protection without the binding", mobileNode(`protect = ["payload"]`, ""),
			`x.toml:3: protect: got a list without "binding"; want it added, as the binding is always protected`},
		{"protection twice", mobileNode(`protect = ["binding", "binding"]`, ""),
			`x.toml:3: protect: got "binding" twice; want it once`},
		{"empty list", mobileNode("", `ike = []`),
			`x.toml:9: home-agent.ike: got an empty list; want a list of proposals such as ["aes128gcm16-prfsha256-x25519"]`},
		{"wrong word in an IKE proposal", mobileNode(`ike = ["aes128gmc16-prfsha256-x25519"]`, ""),
			`x.toml:3: ike: IKE proposal "aes128gmc16-prfsha256-x25519": ` +
				`"aes128gmc16" is unknown, "aes128gcm16" is the nearest word`},
		{"wrong word in an ESP proposal", mobileNode("", `esp = ["aes128"]`),
			`x.toml:9: home-agent.esp: ESP proposal "aes128": ` +
				`no integrity algorithm, which aes128 needs: add one such as sha256`},
		{"duration without unit", mobileNode(`ike-lifetime = "8"`, ""),
			`x.toml:3: ike-lifetime: got "8"; want a duration from "10s" to "720h", or "never"`},
		{"duration too short", mobileNode(`child-lifetime = "9s"`, ""),
			`x.toml:3: child-lifetime: got "9s"; want a duration from "10s" to "720h", or "never"`},
		{"negative duration", mobileNode(`liveness = "-1s"`, ""),
			`x.toml:3: liveness: got "-1s"; want a duration from "1s" to "24h", or "never"`},
		{"integer for a duration", mobileNode(`timing.retransmit = 1`, ""),
			`x.toml:3: timing.retransmit: got 1; want a duration from "50ms" to "1m"`},
		{"negative integer", mobileNode(`shards = -1`, ""), "x.toml:3: shards: got -1; want an integer from 0 to 256"},
		{"too many shards", mobileNode(`shards = 257`, ""), "x.toml:3: shards: got 257; want an integer from 0 to 256"},
		{"no reqid", mobileNode(`reqid-base = 4294967296`, ""),
			"x.toml:3: reqid-base: got 4294967296; want an integer from 1 to 4294967295"},
		{"float", mobileNode(`shards = 1.5`, ""), "x.toml:3: shards: got 1.5; want an integer from 0 to 256"},
		{"text for a boolean", mobileNode("", `k-bit = "yes"`), `x.toml:9: home-agent.k-bit: got "yes"; want true or false`},
		{"boolean for a text", mobileNode(`policies = true`, ""),
			`x.toml:3: policies: got true; want "external" or "mipsecd"`},
		{"unknown word", mobileNode(`log-level = "loud"`, ""),
			`x.toml:3: log-level: got "loud"; want "debug", "info", "warn" or "error"`},
		{"KINK", mobileNode(`keying = "kink"`, ""), `x.toml:3: keying: KINK is not supported yet; want "ikev2" or "manual"`},
		{"unknown keying", mobileNode(`keying = "ikev1"`, ""), `x.toml:3: keying: got "ikev1"; want "ikev2" or "manual"`},
		{"several lines in a name", mobileNode("", `name = "a\nb"`),
			`x.toml:9: home-agent.name: got "a\nb"; want a text in one line`},
		{"table for a text", mobileNode("", "name = { a = 1 }"),
			"x.toml:9: home-agent.name: got a table; want a text in one line"},
		{"text for a table", "home-agent = 1\n" + `role = "mobile-node"` + "\nidentity = \"a\"",
			"x.toml:1: home-agent: got 1; want a table in [ ], or several in [[ ]]"},
		{"text among tables", "home-agent = [ 1 ]\n" + `role = "mobile-node"` + "\nidentity = \"a\"",
			"x.toml:1: home-agent: got 1; want a table in [ ], or several in [[ ]]"},
		{"several tables for one", homeAgent("", "[[timing]]"), "x.toml:9: timing: got several tables; want a table"},
		{"a long text", mobileNode(`kernel = "`+strings.Repeat("é", 70)+`"`, ""),
			`x.toml:3: kernel: got "` + strings.Repeat("é", 60) + `..."; want "auto", "xfrm" or "pfkey"`},

		{"two peers with one identity",
			second(`identity = "mn1@example.org"`, `home-address = "2001:db8:1::101"`, `secret-file = "a"`),
			"x.toml:10: mobile-node.identity: got mn1@example.org, which line 6 has already; want each only once"},
		{"two peers with one address as identity, in inline tables", `role = "home-agent"
identity = "ha.example.org"
address = "2001:db8:1::1"
mobile-node = [
	{ identity = "2001:db8::a", home-address = "2001:db8:1::101", secret-file = "a" },
	{ identity = "2001:DB8:0::A", home-address = "2001:db8:1::102", secret-file = "a" },
]`, "x.toml:4: mobile-node.identity: got 2001:db8::a, which line 4 has already; want each only once"},
		{"two peers with one name",
			homeAgent("", `name = "a"
[[mobile-node]]
identity = "mn2"
name = "a"
home-address = "2001:db8:1::101"
secret-file = "a"`),
			"x.toml:12: mobile-node.name: got a, which line 9 has already; want each only once"},
		{"a name that is another's identity",
			second(`identity = "mn2"`, `name = "mn1@example.org"`, `home-address = "2001:db8:1::101"`, `secret-file = "a"`),
			"x.toml:11: mobile-node.name: got mn1@example.org, which line 5 has already; want each only once"},
		{"two peers with one home address",
			second(`identity = "mn2"`, `home-address = ["2001:db8:1::101", "2001:db8:1:0::100"]`, `secret-file = "a"`),
			"x.toml:11: mobile-node.home-address: got 2001:db8:1::100, which line 7 has already; want each only once"},
		{"the home agent's own address", second(`identity = "mn2"`, `home-address = "2001:db8:1::1"`, `secret-file = "a"`),
			"x.toml:11: mobile-node.home-address: got 2001:db8:1::1, which is the home agent's own; want the mobile node's"},
		{"our own identity", second(`identity = "ha.example.org"`, `home-address = "2001:db8:1::101"`, `secret-file = "a"`),
			"x.toml:10: mobile-node.identity: got ha.example.org, which is this host's own; want the peer's"},

		{"nothing to assign from", second(`identity = "mn2"`, `home-address = "assigned"`, `secret-file = "a"`),
			`x.toml:11: mobile-node.home-address: got "assigned" without a home-prefix to assign it from; ` +
				`want that at the top, or an address`},
		{"assigned and configured", second(`identity = "mn2"`, `home-address = ["2001:db8:1::101", "assigned"]`, `secret-file = "a"`),
			`x.toml:11: mobile-node.home-address: got "assigned"; want a global unicast IPv6 address such as "2001:db8::1"`},
		{"a wish where nothing is assigned", mobileNode("", `wished-address = "2001:db8:1::101"`),
			`x.toml:9: home-agent.wished-address: the home address is configured; want home-address = "assigned"`},
		{"a wish for what the mobile node makes itself",
			strings.Replace(mobileNode("", `wished-address = "2001:db8:1::101"`), `home-address = "2001:db8:1::100"`,
				`home-address = "autoconfigured"`, 1),
			`x.toml:9: home-agent.wished-address: the mobile node makes its home address itself; want home-address = "assigned"`},
		{"a road warrior that makes its home address itself",
			strings.Replace(mobileNode(`mobility = "mobike"`, ""), `home-address = "2001:db8:1::100"`, `home-address = "autoconfigured"`, 1),
			`x.toml:7: home-agent.home-address: got "autoconfigured", which is for Mobile IPv6; want "assigned", or an address`},
		{"autoconfigured on the home agent", second(`identity = "mn2"`, `home-address = "autoconfigured"`, `secret-file = "a"`),
			`x.toml:11: mobile-node.home-address: got "autoconfigured"; want ` + homes},
		{"autoconfiguration without a home prefix", homeAgent("autoconfiguration = true", ""),
			"x.toml:4: autoconfiguration: there is no home-prefix; want that of the home link"},
		{"a home prefix that is too short", homeAgent(`home-prefix = "2001:db8::/63"`, ""),
			`x.toml:4: home-prefix: got "2001:db8::/63"; want an IPv6 prefix of 64 to 120 bits such as "2001:db8:1::/64"`},
		{"a home prefix with more than its bits", homeAgent(`home-prefix = "2001:db8:1::1/64"`, ""),
			`x.toml:4: home-prefix: got "2001:db8:1::1/64"; want an IPv6 prefix of 64 to 120 bits such as "2001:db8:1::/64"`},
		{"a pool without a home prefix", homeAgent(`pool = "2001:db8:1::/120"`, ""),
			"x.toml:4: pool: there is no home-prefix; want that of the home link"},
		{"a pool elsewhere", homeAgent("home-prefix = \"2001:db8:1::/64\"\npool = \"2001:db8:2::/120\"", ""),
			"x.toml:5: pool: got 2001:db8:2::-2001:db8:2::ff; want addresses within the home-prefix 2001:db8:1::/64"},
		{"pools that overlap", homeAgent(`home-prefix = "2001:db8:1::/64"`+"\n"+
			`pool = ["2001:db8:1::a0-2001:db8:1::100", "2001:db8:1::100/120"]`, ""),
			"x.toml:5: pool: got 2001:db8:1::100-2001:db8:1::1ff, which overlaps another; want each address only once"},
		{"a pool from last to first", homeAgent(`pool = "2001:db8:1::2-2001:db8:1::1"`, ""),
			`x.toml:4: pool: got "2001:db8:1::2-2001:db8:1::1"; want a prefix such as "2001:db8:1::100/120", ` +
				`or a range such as "2001:db8:1::100-2001:db8:1::1ff", or a list of such`},
		{"a hold that is too short", homeAgent(`address-hold = "999ms"`, ""),
			`x.toml:4: address-hold: got "999ms"; want a duration from "1s" to "720h"`},

		{"reqids beyond the highest", mobileNode(`reqid-base = 4294967289`, ""),
			"x.toml:3: reqid-base: got 4294967289; want at most 4294967288, as each of 1 home addresses takes 8"},
		{"reqids beyond PF_KEY's", mobileNode("kernel = \"pfkey\"\npolicies = \"mipsecd\"\nreqid-base = 16377", ""),
			"x.toml:5: reqid-base: got 16377; want at most 16376, as each of 1 home addresses takes 8"},
		{"more home addresses than PF_KEY has reqids",
			"kernel = \"pfkey\"\npolicies = \"mipsecd\"\n" + manyNodes(2048),
			`x.toml:1: kernel: PF_KEY has reqids for 2047 home addresses only, got 2048; want fewer, or "xfrm"`},
		{"a level that PF_KEY can't tie", mobileNode("kernel = \"pfkey\"\npolicies = \"mipsecd\"\nlevel = \"require\"", ""),
			`x.toml:5: level: got "require"; want "unique", as PF_KEY ties no other policy to its SAs`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Parse("x.toml", []byte(test.text), anySecret)
			if err == nil || c != nil {
				t.Fatal("no error")
			}
			if problems(t, err); err.Error() != test.want {
				t.Errorf("got\n%s\nwant\n%s", err, test.want)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := Parse("dir/x.toml", []byte(`# nothing here is right
role = "home-agent"
address = "::1"
k-bit = 1
colour = "red"

[[mobile-node]]
identity = "mn1"
home-address = "2001:db8::1"
secret-file = "a"

[[mobile-node]]
identity = "mn1"
home-adress = "2001:db8::2"

[timing]
tries = 0
`), func(path string, _ Content) ([]byte, error) { return nil, fmt.Errorf("%s is locked away", path) })
	want := `dir/x.toml:1: identity: is missing; want ` + ikev2.IdentityForms + `
dir/x.toml:3: address: got "::1"; want a global unicast address such as "2001:db8::1"
dir/x.toml:4: k-bit: got 1; want true or false
dir/x.toml:5: colour: there is no such key; the nearest is role
dir/x.toml:10: mobile-node.secret-file: dir/a is locked away
dir/x.toml:12: mobile-node.home-address: is missing; want ` + homes + `
dir/x.toml:12: mobile-node.secret-file: is missing; want the path of a file, or ca-file for certificates
dir/x.toml:13: mobile-node.identity: got mn1, which line 8 has already; want each only once
dir/x.toml:14: mobile-node.home-adress: there is no such key; the nearest is home-address
dir/x.toml:17: timing.tries: got 0; want an integer from 1 to 12`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	second := problems(t, err)[4]
	if *second != (Error{"dir/x.toml", 10, "mobile-node.secret-file", "dir/a is locked away"}) {
		t.Errorf("got %+v", *second)
	}
}

// No key takes a date.
func TestEveryKeyRefusesAnotherType(t *testing.T) {
	for _, k := range Keys() {
		role := k.Role
		if role == 0 {
			role = HomeAgent
		}
		table, name, inTable := strings.Cut(k.Name, ".")
		text, line := fmt.Sprintf("%s = 2001-01-01\n", k.Name), 1
		if inTable {
			text, line = fmt.Sprintf("[%s]\n%s = 2001-01-01\n", table, name), 2
		}
		if strings.Contains(name, manualKey+".") {
			text += "keying = \"manual\"\n"
		}
		if k.Name != "role" {
			word := map[Role]string{MobileNode: "mobile-node", HomeAgent: "home-agent"}[role]
			text, line = fmt.Sprintf("role = %q\n%s", word, text), line+1
		}
		_, err := Parse("x.toml", []byte(text), anySecret)
		want := fmt.Sprintf("x.toml:%d: %s: got a date or time; want %s", line, k.Name, k.Value)
		if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), want) {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
	}
}
