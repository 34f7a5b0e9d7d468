package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// table is what the tests of interoperability have shown. Their names say what of: TestPeerFeature/who initiates/case.
type table struct {
	peers map[string]*peerTable
}

// peerTable is one peer's part.
type peerTable struct {
	version  string
	features []string               // as they began
	order    map[string][2][]string // of a feature's cases, for either column: which of the two ends first is left to chance
	cases    map[string]*[2]string
}

// peerNames are how the peers are written in names of tests, and how they write themselves.
var peerNames = []struct{ inTest, name string }{
	{"StrongSwan", "strongSwan"}, {"Libreswan", "libreswan"}, {"OpenIKED", "OpenIKED"}, {"FreeRADIUS", "FreeRADIUS"},
}

// tablePackage is where the tests of interoperability are.
const tablePackage = "/integration/interop"

// What a test says of the peer's version, and of a case for which it has shown that the peer lacks something.
var (
	versionLine = regexp.MustCompile(`(?m): version: (.+)$`)
	lacksLine   = regexp.MustCompile(`(?m): lacks: (.+)$`)
)

// collect takes what the tests of one package have shown.
func (tb *table) collect(name string, p *pkg) {
	if !strings.HasSuffix(name, tablePackage) {
		return
	}
	for i, test := range p.order {
		isParent := func(other string) bool { return strings.HasPrefix(other, test+"/") }
		tb.take(test, p.tests[test], !slices.ContainsFunc(p.order[i+1:], isParent))
	}
}

func (tb *table) take(name string, t *test, leaf bool) {
	path := strings.Split(name, "/")
	for _, known := range peerNames {
		feature, ok := strings.CutPrefix(path[0], "Test"+known.inTest)
		if !ok {
			continue
		}
		if tb.peers[known.name] == nil {
			tb.peers[known.name] = &peerTable{order: map[string][2][]string{}, cases: map[string]*[2]string{}}
		}
		p := tb.peers[known.name]
		feature = words(feature)
		if !slices.Contains(p.features, feature) { // in the order in which the tests began
			p.features = append(p.features, feature)
		}
		if m := versionLine.FindStringSubmatch(t.output.String()); m != nil {
			p.version = m[1]
		}
		if leaf && len(path) > 2 {
			p.take(feature, path[1], path[2:], t)
		}
	}
}

// take notes the verdict of one case. Who initiates decides the column; what neither of the two begins is not in the
// table.
func (p *peerTable) take(feature, who string, path []string, t *test) {
	column := 0
	switch by, ok := strings.CutSuffix(spaced(who), " initiates"); {
	case !ok:
		return
	case by != "mipsecd":
		column = 1
	}
	for i := range path {
		path[i] = spaced(path[i])
	}
	if feature != "" {
		path = slices.Insert(path, 0, feature)
	}
	name := strings.Join(path, ": ")
	order := p.order[feature]
	order[column] = append(order[column], name)
	p.order[feature] = order
	if p.cases[name] == nil {
		p.cases[name] = &[2]string{}
	}
	verdict := map[string]string{"pass": "passes", "skip": "skipped"}[t.verdict]
	if m := lacksLine.FindStringSubmatch(t.output.String()); m != nil && verdict == "passes" {
		verdict = "lacks: " + m[1]
	}
	p.cases[name][column] = cmp.Or(verdict, "fails")
}

// humps are where a word ends within a name in CamelCase.
var humps = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)

// words splits such a name: AssignedAddress is "assigned address", and EAP stays.
func words(camel string) string {
	list := strings.Fields(humps.ReplaceAllString(camel, "$1$3 $2$4"))
	for i, w := range list {
		if len(w) > 1 && unicode.IsLower(rune(w[1])) {
			list[i] = strings.ToLower(w)
		}
	}
	return strings.Join(list, " ")
}

// spaced is the name of a subtest as it was written: "go test" puts underscores for spaces, and those between capitals are
// of the name itself. A "|" would end a cell.
func spaced(name string) string {
	capital := func(i int) bool { return i >= 0 && i < len(name) && unicode.IsUpper(rune(name[i])) }
	out := []byte(name)
	for i, c := range out {
		if c == '_' && !(capital(i-1) && capital(i+1)) {
			out[i] = ' '
		}
	}
	return strings.ReplaceAll(string(out), "|", "/")
}

const tableHead = `# Interoperability

What the tests in ` + "`integration/interop`" + ` have shown with IKEv2 daemons, and a RADIUS server, of others: all in network
namespaces on a real kernel. Where SAs are made, packets pass through just these, and nothing is seen in clear. The tests write
this page (` + "`make interoperability`" + `), and fail when it says something else than they show.

"lacks" is a case that the peer cannot do, which the test has seen of the peer itself.
`

// text is the page.
func (tb *table) text() string {
	var out strings.Builder
	out.WriteString(tableHead)
	for _, known := range peerNames {
		p := tb.peers[known.name]
		if p == nil {
			continue
		}
		fmt.Fprintf(&out, "\n## %s\n\n%s\n\n| case | mipsecd initiates | %s initiates |\n|---|---|---|\n",
			known.name, p.shown(), cmp.Or(map[string]string{"FreeRADIUS": "strongSwan"}[known.name], known.name))
		for _, name := range p.rows() {
			c := p.cases[name]
			fmt.Fprintf(&out, "| %s | %s | %s |\n", name, cmp.Or(c[0], "-"), cmp.Or(c[1], "-"))
		}
	}
	return out.String()
}

// rows are the cases, of each feature first those that mipsecd initiates.
func (p *peerTable) rows() (list []string) {
	for _, feature := range p.features {
		for _, name := range slices.Concat(p.order[feature][0], p.order[feature][1]) {
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	return list
}

// shown is a line about the peer.
func (p *peerTable) shown() string {
	verdicts := map[string]int{}
	for _, c := range p.cases {
		for _, v := range c {
			v, _, _ = strings.Cut(v, ":")
			verdicts[v]++
		}
	}
	delete(verdicts, "")
	var list []string
	for _, v := range slices.Sorted(maps.Keys(verdicts)) {
		list = append(list, fmt.Sprintf("%d %s", verdicts[v], v))
	}
	return "Version " + cmp.Or(p.version, "unknown") + "; cases: " + strings.Join(list, ", ") + "."
}

// versions are what may differ where other versions of the peers are installed.
var versions = regexp.MustCompile(`(?m)^Version .+; cases`)

// check compares the page with what the tests have shown, or with update writes it. Without any test it leaves it alone.
func (tb *table) check(path string, update bool) error {
	if len(tb.peers) == 0 {
		return nil
	}
	text := tb.text()
	if update {
		return os.WriteFile(path, []byte(text), 0o644)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	got, want := versions.ReplaceAllString(text, ""), versions.ReplaceAllString(string(old), "")
	if got == want {
		return nil
	}
	return fmt.Errorf("%s is not what the tests have shown; \"make interoperability\" writes it anew:\n%s", path, difference(want, got))
}

// difference lists the lines that only one of two texts has.
func difference(old, now string) string {
	var out strings.Builder
	only := func(mark, a, b string) {
		for line := range strings.Lines(a) {
			if !strings.Contains(b, line) {
				out.WriteString(mark + line)
			}
		}
	}
	only("-", old, now)
	only("+", now, old)
	return out.String()
}
