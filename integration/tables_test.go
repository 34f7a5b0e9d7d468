package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/rfc7296.md names is there, and every demand that it lists has one.
func TestRFC7296TableNamesTests(t *testing.T) {
	namesTests(t, "../docs/rfc7296.md", "[23][^|]*", `Test\w+`)
}

// Every test that docs/mobile-ipv6.md names is there, with its cases, and every item has one.
func TestMobileIPv6TableNamesTests(t *testing.T) {
	namesTests(t, "../docs/mobile-ipv6.md", "[^|]+", "[^`]+")
}

// namesTests checks the table of a page, whose rows begin with a cell of one pattern and end with one that names tests, by
// names of another: of the function and, after slashes, of cases.
func namesTests(t *testing.T, page, first, named string) {
	t.Helper()
	functions, texts := declared(t)
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(b), "\n|---|---|---|")
	rows := regexp.MustCompile(`(?m)^\| (`+first+`)\|[^|]*\|([^|]*)\|$`).FindAllStringSubmatch(body, -1)
	if want := strings.Count(body, "\n|"); want == 0 || len(rows) != want {
		t.Errorf("%d of %d rows can be read", len(rows), want)
	}
	name := regexp.MustCompile("`(" + named + ")`")
	for _, row := range rows {
		names := name.FindAllStringSubmatch(row[2], -1)
		if len(names) == 0 {
			t.Errorf("no test: %s", row[0])
		}
		for _, n := range names {
			function, cases, _ := strings.Cut(n[1], "/")
			if !functions[function] {
				t.Errorf("no test %s: %s", n[1], row[1])
			}
			for part := range strings.SplitSeq(cases, "/") {
				if cases != "" && !texts[part] {
					t.Errorf("no test %s, for want of %q: %s", n[1], part, row[1])
				}
			}
		}
	}
}

// declared are the functions that are tests, and all texts of tests, which may be the names of their cases.
func declared(t *testing.T) (functions, texts map[string]bool) {
	t.Helper()
	functions, texts = map[string]bool{}, map[string]bool{}
	function, text := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`), regexp.MustCompile(`"[^"\n]+"`)
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		isTest := strings.HasSuffix(path, "_test.go")
		isSuite := strings.Contains(path, "spdtest") && strings.HasSuffix(path, ".go")
		if err != nil || !isTest && !isSuite {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(source, -1) {
			functions[string(m[1])] = functions[string(m[1])] || isTest
		}
		for _, m := range text.FindAll(source, -1) {
			texts[strings.Trim(string(m), `"`)] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return functions, texts
}
