package configs

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"mipsecd/internal/radius"
	"mipsecd/internal/secret"
)

// withRADIUS is a home agent with these lines in its table radius, from line 16 on.
func withRADIUS(lines string) string {
	return strings.Replace(homeAgentWithEAP(`eap = "radius"`), "\n\n[[", "\n"+haPapers+"\n[[", 1) + `
[[mobile-node]]
identity = "keyid:two"
eap-identity = "user two"
eap = "radius"
home-address = "2001:db8:1::101"
` + "\n[radius]\n" + lines
}

const twoServers = "servers = [\"192.0.2.1\", \"[2001:db8::5]:1645\"]\nsecret-file = \"radius.secret\"\n"

func TestRADIUS(t *testing.T) {
	c, err := Parse("x.toml", []byte(withRADIUS(twoServers)), radiusReader(t, testSecret))
	if err != nil {
		t.Fatal(err)
	}
	want := &RADIUS{
		Options: radius.Options{
			Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1812"), netip.MustParseAddrPort("[2001:db8::5]:1645")},
			Secret:  secret.Bytes(testSecret), Timeout: 2 * time.Second, Tries: 3, Name: "ha.example.org",
		},
		Users: map[string]string{"mn1@example.org": "mn1@example.org", "keyid:two": "user two"},
	}
	if !reflect.DeepEqual(c.RADIUS, want) {
		t.Errorf("got %+v, want %+v", c.RADIUS, want)
	}
	for _, p := range c.Peers {
		if p.EAP == nil || p.EAP.Proves || p.Credential == nil {
			t.Errorf("%+v", p)
		}
	}
}

// radiusReader has this in the file with the secret of RADIUS.
func radiusReader(t *testing.T, text string) func(string, Content) ([]byte, error) {
	t.Helper()
	read := eapFiles(t)
	return func(path string, content Content) ([]byte, error) {
		if content != RADIUSSecret {
			return read(path, content)
		}
		if text == "" {
			return nil, errors.New(path + " is not there")
		}
		return []byte(text), nil
	}
}

func TestRADIUSErrors(t *testing.T) {
	for _, c := range []struct{ name, text, secret, want string }{
		{"no servers", withRADIUS("secret-file = \"radius.secret\"\n"), testSecret,
			`x.toml:18: radius.servers: is missing; want an IP address with or without a port, such as "[2001:db8::5]:1812", ` +
				"or a list of such"},
		{"a name", withRADIUS(strings.Replace(twoServers, "192.0.2.1", "radius.example.org", 1)), testSecret,
			`x.toml:19: radius.servers: got "radius.example.org"; want an IP address with or without a port, such as ` +
				`"[2001:db8::5]:1812"`},
		{"no port", withRADIUS(strings.Replace(twoServers, "1645", "0", 1)), testSecret,
			`x.toml:19: radius.servers: got "[2001:db8::5]:0"; want an IP address with or without a port, such as ` +
				`"[2001:db8::5]:1812"`},
		{"no secret", withRADIUS("servers = \"192.0.2.1\""), testSecret,
			"x.toml:18: radius.secret-file: is missing; want the path of a file"},
		{"no file", withRADIUS(twoServers), "", "x.toml:20: radius.secret-file: radius.secret is not there"},
		{"an empty secret", withRADIUS(twoServers), "\n",
			"x.toml:20: radius.secret-file: radius.secret: it is empty; want the secret of the RADIUS servers in it"},
		{"a short secret", withRADIUS(twoServers), "1234567",
			"x.toml:20: radius.secret-file: radius.secret: a secret of 7 octets only; want at least 8"},
		{"a long secret", withRADIUS(twoServers), strings.Repeat("k", 1025),
			"x.toml:20: radius.secret-file: radius.secret: more than 1024 octets; want nothing but the secret in it"},
		{"too much patience", withRADIUS(twoServers + "timeout = \"5s\""), testSecret,
			"x.toml:21: radius.timeout: 2 servers, asked 3 times each, may take 30s; want less than the 30s of timing.half-open"},
		{"on a mobile node", mobileNodeWithEAP(authority + `eap = "radius"`), testSecret,
			`x.toml:9: home-agent.eap: "radius" is for a home agent; want "mschapv2" or "tls"`},
		{"without servers", homeAgentWithEAP(haPapers + `eap = "radius"`), testSecret,
			`x.toml:10: mobile-node.eap: "radius" needs a table [radius]; want one, or another method`},
		{"a long name", strings.Replace(withRADIUS(twoServers), "user two", strings.Repeat("n", 254), 1), testSecret,
			"x.toml:12: mobile-node.eap-identity: 254 octets; want at most 253"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("x.toml", []byte(c.text), radiusReader(t, c.secret))
			if got := fmt.Sprint(err); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
