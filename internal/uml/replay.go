//go:build linux

package uml

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

// marker precedes each line of the testing package's own under -test.v=test2json.
const marker = "\x16"

// result is one test of the guest: what it logged, its verdict ("" if it never came to one) and its subtests.
type result struct {
	name    string
	verdict string
	output  []string
	subs    []*result
}

var (
	startLine   = regexp.MustCompile(`^=== (?:RUN|CONT|NAME) +(\S+)$`)
	verdictLine = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \(\d+\.\d+s\)$`)
)

// parseLog reads the output of a test binary under -test.v=test2json and returns the test called name, with the tree of
// its subtests. It is an error if that test has no verdict.
func parseLog(console []byte, name string) (*result, error) {
	tests := map[string]*result{}
	var current *result
	for line := range strings.Lines(string(console)) {
		line = strings.TrimRight(line, "\r\n")
		event, marked := strings.CutPrefix(line, marker)
		switch {
		case marked && startLine.MatchString(event):
			current = find(tests, startLine.FindStringSubmatch(event)[1])
		case marked && verdictLine.MatchString(event):
			m := verdictLine.FindStringSubmatch(event)
			current = find(tests, m[2])
			current.verdict = m[1]
		case marked: // === PAUSE and the like
		case strings.HasPrefix(line, "init: "): // the test binary has ended
			current = nil
		case current != nil && line != "PASS" && line != "FAIL":
			current.output = append(current.output, line)
		}
	}
	top := tests[name]
	if top == nil {
		return nil, errors.New("it was not run")
	}
	if top.verdict == "" {
		return nil, errors.New("it did not end")
	}
	return top, nil
}

// find returns the test called name, making it a subtest of the nearest one that its name continues.
func find(tests map[string]*result, name string) *result {
	if r := tests[name]; r != nil {
		return r
	}
	r := &result{name: name}
	tests[name] = r
	for parent, rest := name, ""; ; {
		i := strings.LastIndexByte(parent, '/')
		if i < 0 {
			return r
		}
		parent, rest = parent[:i], name[i+1:]
		if p := tests[parent]; p != nil {
			r.name = rest
			p.subs = append(p.subs, r)
			return r
		}
	}
}

// replay gives t the outcome that r had in the guest.
func (r *result) replay(t *testing.T) {
	if len(r.output) > 0 {
		t.Log("in the guest:\n" + strings.Join(r.output, "\n"))
	}
	for _, sub := range r.subs {
		t.Run(sub.name, sub.replay)
	}
	switch r.verdict {
	case "PASS":
	case "SKIP":
		t.SkipNow()
	case "FAIL":
		t.Fail()
	default:
		t.Error("did not end in the guest")
	}
}
