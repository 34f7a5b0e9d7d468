package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/mobile-ipv6.md names is there, with its cases, and every item has one.
func TestMobileIPv6TableNamesTests(t *testing.T) {
	declared := map[string]bool{}
	function, text := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`), regexp.MustCompile(`"[^"\n]+"`)
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		suite := strings.Contains(path, "spdtest")
		if err != nil || !strings.HasSuffix(path, "_test.go") && !(suite && strings.HasSuffix(path, ".go")) {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(source, -1) {
			declared[string(m[1])] = true
		}
		for _, m := range text.FindAll(source, -1) {
			declared[strings.Trim(string(m), `"`)] = true // may be the name of a case
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("../docs/mobile-ipv6.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| ([^|]+)\|[^|]*\|([^|]*)\|$`).FindAllStringSubmatch(string(table), -1)
	if want := strings.Count(string(table), "\n|") - 1; len(rows) != want {
		t.Errorf("%d of %d rows can be read", len(rows), want)
	}
	name := regexp.MustCompile("`([^`]+)`")
	for _, row := range rows[1:] {
		names := name.FindAllStringSubmatch(row[2], -1)
		if len(names) == 0 {
			t.Errorf("no test: %s", row[0])
		}
		for _, n := range names {
			for part := range strings.SplitSeq(n[1], "/") {
				if !declared[part] {
					t.Errorf("no test %s, for want of %q: %s", n[1], part, row[1])
				}
			}
		}
	}
}
