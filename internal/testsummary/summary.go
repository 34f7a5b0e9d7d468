package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of "go test -json" (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
	FailedBuild                   string
}

// summary counts tests and subtests.
type summary struct {
	out                     io.Writer
	packages                map[string]*pkg
	passed, failed, skipped int
	skips                   []string
	table                   table
}

// pkg is a package under test.
type pkg struct {
	tests  map[string]*test
	order  []string
	output strings.Builder // what belongs to no test
	failed int
	others int // passed or skipped
}

// test is one that has begun. verdict is "" until it has ended.
type test struct {
	output  strings.Builder
	verdict string
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, packages: map[string]*pkg{}, table: table{peers: map[string]*peerTable{}}}
}

// read takes events until the end of the input. Lines that are no events are printed as they are.
func (s *summary) read(r io.Reader) error {
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				s.take(e)
			} else {
				fmt.Fprintf(s.out, "%s\n", line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) take(e event) {
	switch {
	case e.Action == "build-output":
		io.WriteString(s.out, e.Output)
	case e.Package == "":
	case e.Test == "":
		s.takePackage(e)
	default:
		s.takeTest(s.pkg(e.Package), e)
	}
}

func (s *summary) pkg(name string) *pkg {
	if s.packages[name] == nil {
		s.packages[name] = &pkg{tests: map[string]*test{}}
	}
	return s.packages[name]
}

func (s *summary) takeTest(p *pkg, e event) {
	t := p.tests[e.Test]
	if t == nil {
		t = &test{}
		p.tests[e.Test] = t
		p.order = append(p.order, e.Test)
	}
	switch e.Action {
	case "output":
		t.output.WriteString(e.Output)
	case "pass":
		t.verdict = e.Action
		s.passed++
		p.others++
	case "fail":
		t.verdict = e.Action
		s.failed++
		p.failed++
	case "skip":
		t.verdict = e.Action
		s.skipped++
		p.others++
		s.skips = append(s.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(t.output.String())))
	}
}

func (s *summary) takePackage(e event) {
	p := s.pkg(e.Package)
	switch e.Action {
	case "output":
		p.output.WriteString(e.Output)
	case "pass":
		s.end(e.Package, p)
		fmt.Fprintf(s.out, "ok    %s: %d (%.1f s)\n", e.Package, p.others, e.Elapsed)
	case "skip": // no test files
		delete(s.packages, e.Package)
	case "fail":
		s.end(e.Package, p)
		if p.failed == 0 { // it did not build, or failed outside its tests
			s.failed++
		}
		fmt.Fprintf(s.out, "FAIL  %s: %d failed, %d did not (%.1f s)\n", e.Package, p.failed, p.others, e.Elapsed)
		if e.FailedBuild != "" {
			fmt.Fprintf(s.out, "%s did not build\n", e.FailedBuild)
		}
		s.printFailures(p)
	}
}

// end makes failures of tests that the end of their package cut off.
func (s *summary) end(name string, p *pkg) {
	delete(s.packages, name)
	for _, t := range p.tests {
		if t.verdict == "" {
			t.verdict = "fail"
			t.output.WriteString("did not end\n")
			s.failed++
			p.failed++
		}
	}
	s.table.collect(name, p)
}

func (s *summary) printFailures(p *pkg) {
	for _, name := range p.order {
		if t := p.tests[name]; t.verdict == "fail" {
			io.WriteString(s.out, t.output.String())
		}
	}
	io.WriteString(s.out, p.output.String())
}

// finish prints the result and reports whether all is well.
func (s *summary) finish() bool {
	for _, name := range slices.Sorted(maps.Keys(s.packages)) { // go test itself was cut off
		s.takePackage(event{Action: "output", Package: name, Output: "go test ended before the package did\n"})
		s.takePackage(event{Action: "fail", Package: name})
	}
	for _, skip := range s.skips {
		fmt.Fprintf(s.out, "skipped: %s\n", skip)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	return s.failed == 0 && s.passed > 0
}

// reason is what a skipped test printed, on one line.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, "; ")
}
