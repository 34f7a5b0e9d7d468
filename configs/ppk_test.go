package configs

import (
	"slices"
	"strings"
	"testing"
)

const testPPK = "a key of more than 256 bits, as it should be"

func TestPPK(t *testing.T) {
	read := func(path string, content Content) ([]byte, error) {
		if content == PostQuantumKey {
			return []byte(testPPK + "\n"), nil
		}
		return anySecret(path, content)
	}
	for text, required := range map[string]bool{
		homeAgent("", "ppk-id = \"together\"\nppk-file = \"ppk\""):                           true,
		homeAgent("", "ppk-id = \"together\"\nppk-file = \"ppk\"\nppk-required = false"):     false,
		mobileNode("", "ppk-id = \"together\"\nppk-file = \"ppk\"\nppk-required = true\n\n"): true,
	} {
		c, err := Parse("x.toml", []byte(text), read)
		if err != nil {
			t.Fatal(err)
		}
		p := c.Peers[0].PPK
		if p == nil || p.ID != "together" || !p.Key.Equal([]byte(testPPK)) || p.Required != required {
			t.Errorf("%s: %+v", text, p)
		}
	}
	if c := parse(t, homeAgent("", "")); c.Peers[0].PPK != nil {
		t.Error("a PPK that nobody asked for")
	}
}

func TestPPKErrors(t *testing.T) {
	for _, c := range []struct{ peer, want string }{
		{`ppk-id = "together"`, "x.toml:5: mobile-node.ppk-file: is missing; want the path of a file, as there is a ppk-id"},
		{`ppk-file = "ppk"`, "x.toml:5: mobile-node.ppk-id: is missing; want the name of the key in ppk-file"},
		{`ppk-required = true`, "x.toml:9: mobile-node.ppk-required: this is for a ppk-file, which is missing"},
		{`ppk-require = true`, "x.toml:9: mobile-node.ppk-require: there is no such key; the nearest is ppk-required"},
		{"ppk-id = \"together\"\nppk-file = \"ppk\"",
			"x.toml:10: mobile-node.ppk-file: ppk: a key of 11 octets only; want at least 32"},
	} {
		_, err := Parse("x.toml", []byte(homeAgent("", c.peer)), anySecret)
		if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), c.want) {
			t.Errorf("%s: got\n%v\nwant\n%s", c.peer, err, c.want)
		}
	}
}
