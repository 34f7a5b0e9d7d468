package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	const begun = `{"Action":"start","Package":"m/p"}
{"Action":"run","Package":"m/p","Test":"TestA"}
`
	for _, c := range []struct {
		name, input string
		ok          bool
		want        []string // in this order; the last is the last line
		not         string
	}{
		{
			name: "all pass", ok: true, not: "chatter",
			input: begun + `{"Action":"output","Package":"m/p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"m/p","Test":"TestA","Elapsed":1}
{"Action":"run","Package":"m/p","Test":"TestA/sub"}
{"Action":"pass","Package":"m/p","Test":"TestA/sub"}
{"Action":"pass","Package":"m/p","Elapsed":1.25}
{"Action":"skip","Package":"m/empty"}`,
			want: []string{"ok    m/p: 2 (1.2 s)", "2 passed, 0 failed, 0 skipped"},
		},
		{
			name: "a failure shows its output, and no other's", not: "chatter",
			input: begun + `{"Action":"output","Package":"m/p","Test":"TestA","Output":"    a_test.go:1: wrong\n"}
{"Action":"fail","Package":"m/p","Test":"TestA"}
{"Action":"output","Package":"m/p","Test":"TestB","Output":"chatter\n"}
{"Action":"pass","Package":"m/p","Test":"TestB"}
{"Action":"fail","Package":"m/p"}`,
			want: []string{"FAIL  m/p: 1 failed, 1 did not", "a_test.go:1: wrong", "1 passed, 1 failed, 0 skipped"},
		},
		{
			name: "skips are listed with their reason", ok: true,
			input: begun + `{"Action":"pass","Package":"m/p","Test":"TestA"}
{"Action":"output","Package":"m/p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"m/p","Test":"TestB","Output":"    b_test.go:1: no such device\n"}
{"Action":"output","Package":"m/p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"m/p","Test":"TestB"}
{"Action":"pass","Package":"m/p"}`,
			want: []string{"skipped: m/p TestB: b_test.go:1: no such device", "1 passed, 0 failed, 1 skipped"},
		},
		{
			name: "skips alone are not enough",
			input: begun + `{"Action":"skip","Package":"m/p","Test":"TestA"}
{"Action":"pass","Package":"m/p"}`,
			want: []string{"no reason given", "0 passed, 0 failed, 1 skipped"},
		},
		{
			name: "a package that does not build is a failure",
			input: `{"ImportPath":"m/p","Action":"build-output","Output":"p.go:1:1: syntax error\n"}
{"ImportPath":"m/p","Action":"build-fail"}
{"Action":"start","Package":"m/p"}
{"Action":"fail","Package":"m/p","FailedBuild":"m/p"}`,
			want: []string{"p.go:1:1: syntax error", "m/p did not build", "0 passed, 1 failed, 0 skipped"},
		},
		{
			name: "a test cut off by a panic is a failure",
			input: begun + `{"Action":"output","Package":"m/p","Test":"TestA","Output":"panic: out of my mind\n"}
{"Action":"fail","Package":"m/p"}`,
			want: []string{"panic: out of my mind", "did not end", "0 passed, 1 failed, 0 skipped"},
		},
		{
			name: "a package cut off is a failure",
			input: begun + `{"Action":"pass","Package":"m/p","Test":"TestA"}
signal: killed`,
			want: []string{"signal: killed", "go test ended before the package did", "1 passed, 1 failed, 0 skipped"},
		},
		{name: "nothing is a failure", want: []string{"0 passed, 0 failed, 0 skipped"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			s := newSummary(&out)
			if err := s.read(strings.NewReader(c.input)); err != nil {
				t.Fatal(err)
			}
			if ok := s.finish(); ok != c.ok {
				t.Errorf("all well: %v, want %v", ok, c.ok)
			}
			rest := out.String()
			for _, w := range c.want {
				_, after, found := strings.Cut(rest, w)
				if !found {
					t.Fatalf("no %q in its place in:\n%s", w, &out)
				}
				rest = after
			}
			if rest != "\n" || c.not != "" && strings.Contains(out.String(), c.not) {
				t.Errorf("too much said:\n%s", &out)
			}
		})
	}
}
