package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// lines lists the places, each as path and line.
func lines(p *place, path string) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(p.keys)) {
		k := p.keys[name]
		out = append(out, fmt.Sprintf("%s%s %d", path, name, k.line))
		out = append(out, lines(k, path+name+".")...)
	}
	for i, item := range p.items {
		prefix := fmt.Sprintf("%s[%d]", strings.TrimSuffix(path, "."), i)
		out = append(out, fmt.Sprintf("%s %d", prefix, item.line))
		out = append(out, lines(item, prefix+".")...)
	}
	return out
}

func TestPlaces(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"keys", "a = 1\n\n# b = 2\r\nc = 3 # d = 4\r\n  e=5", []string{"a 1", "c 4", "e 5"}},
		{"tables", "[a]\nb = 1\n[ c . d ]\ne = 1", []string{"a 1", "a.b 2", "c 3", "c.d 3", "c.d.e 4"}},
		{"a table after its parts", "[a.b]\n[a]\nc = 1", []string{"a 2", "a.b 1", "a.c 3"}},
		{"arrays of tables", "[[a]]\nb = 1\n[[a]]\nb = 2\n[a.c]\nd = 3\n[e]",
			[]string{"a 1", "a[0] 1", "a[0].b 2", "a[1] 3", "a[1].b 4", "a[1].c 5", "a[1].c.d 6", "e 7"}},
		{"dotted keys", "a.b = 1\na . c = 2\n[d]\ne.f = 3", []string{"a 1", "a.b 1", "a.c 2", "d 3", "d.e 4", "d.e.f 4"}},
		{"quoted keys", "\"a\" = 1\n'b' = 2\n[\"c]\".'d']\n\"\" = 3", []string{"a 1", "b 2", "c] 3", "c].d 3", "c].d. 4"}},
		{"strings", "a = \"\\\"#\" # \"\nb = '\\'\nc = '#'\nd = 4", []string{"a 1", "b 2", "c 3", "d 4"}},
		{"long strings", "a = \"\"\"\nb = 1\n\\\"\"\"\nc = 2\"\"\"\"\"\nd = '''\ne = 1\\'''\nf = \"\"\ng = ''''''\nh = 0",
			[]string{"a 1", "d 5", "f 7", "g 8", "h 9"}},
		{"lists", "a = [ # ]\n  \"]\", [ 1 ],\n  { x = 1 }\n]\nb = 2", []string{"a 1", "b 5"}},
		{"inline tables", "a = { b = 1, c = { d = \"}\" } }\ne = 2", []string{"a 1", "e 2"}},
		{"byte order mark", "\ufeffa = 1", []string{"a 1"}},
		{"nothing", "# nothing", nil},
	} {
		if _, err := toml.Decode(test.text, &map[string]any{}); err != nil {
			t.Errorf("%s: no TOML: %v", test.name, err)
		}
		if got := lines(findPlaces(test.text), ""); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestPlaceOfWhatHasNone(t *testing.T) {
	p := findPlaces("\na = { b = 1 }\n[[c]]\n[[c]]\n[d]\ne = 1")
	for want, got := range map[int]*place{
		1: p.key("z"), 2: p.key("a").item(0).key("b"), 3: p.key("c").key("z"), 4: p.key("c").item(1).key("z"),
		5: p.key("d").item(0), 6: p.key("d").item(0).key("e"),
	} {
		if got.line != want {
			t.Errorf("got line %d, want %d", got.line, want)
		}
	}
}

// checkPlaces compares places with what the TOML library has read.
func checkPlaces(t *testing.T, text string, p *place, value any, path string) {
	if n := strings.Count(text, "\n") + 1; p.line < 1 || p.line > n {
		t.Errorf("%s: line %d of %d", path, p.line, n)
	}
	if list, ok := value.([]map[string]any); ok {
		if len(list) != len(p.items) || len(p.keys) != 0 {
			t.Fatalf("%s: found %d tables and %d keys, want %d tables", path, len(p.items), len(p.keys), len(list))
		}
		for i, item := range p.items {
			checkPlaces(t, text, item, list[i], fmt.Sprintf("%s[%d]", path, i))
		}
		return
	}
	table, _ := value.(map[string]any)
	if path == "" && len(p.keys) != len(table) {
		t.Errorf("found %d keys at the top, want %d", len(p.keys), len(table))
	}
	for name, k := range p.keys {
		v, ok := table[name]
		if !ok {
			t.Fatalf("%s.%s, line %d: found, but not there", path, name, k.line)
		}
		checkPlaces(t, text, k, v, path+"."+name)
	}
}

func FuzzPlaces(f *testing.F) {
	f.Add("a = 1\n[b]\nc.d = '''\n'''\n[[e]]\nf = [ { g = \"]\" } ] # x\n[[e]]\n")
	f.Add(mobileNode("# more", "ike = [\"a\"]"))
	f.Add("a = \"\"\"\\\"\"\"\"\"\"\nb = ''''x'''''\n\"c\".'d' = 2001-01-01 00:00:00")
	f.Fuzz(func(t *testing.T, text string) {
		var values map[string]any
		// Names with escapes are not undone; a mark of UTF-16 makes the library skip two octets.
		if _, err := toml.Decode(text, &values); err != nil || strings.Contains(text, `\`) || !utf8.ValidString(text) {
			return
		}
		checkPlaces(t, text, findPlaces(text), values, "")
	})
}
