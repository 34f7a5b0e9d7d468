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
	declared := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(source, -1) {
			declared[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("../docs/rfc7296.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| [23][^|]*\|[^|]*\|([^|]*)\|$`).FindAllStringSubmatch(string(table), -1)
	if want := strings.Count(string(table), "\n| ") - 1; len(rows) != want {
		t.Errorf("%d of %d rows can be read", len(rows), want)
	}
	name := regexp.MustCompile("`(Test\\w+)`")
	for _, row := range rows {
		names := name.FindAllStringSubmatch(row[1], -1)
		if len(names) == 0 {
			t.Errorf("no test: %s", row[0])
		}
		for _, n := range names {
			if !declared[n[1]] {
				t.Errorf("no test %s: %s", n[1], row[0])
			}
		}
	}
}
