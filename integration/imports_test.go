package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the module's path and the start of every import of a room.
const module = "mipsecd/"

// floors are the rooms of the house from the ground up: a room imports only rooms below it. A package belongs to the
// longest room that its path starts with.
var floors = map[string]int{
	"internal":             1,
	"spd":                  2,
	"ikev2":                3,
	"kink":                 3,
	"migrate":              4,
	"mobility":             4,
	"homeagent":            5,
	"mobilenode":           5,
	"configs":              6, // turns files into what the rooms below take
	"cmd/mipsecd":          7,
	"integration":          8,
	"internal/testsummary": 8, // a command of the test run
}

// pure are the rooms that open no socket, start no goroutine, and read neither clock nor randomness.
var pure = []string{"ikev2", "kink", "mobility", "migrate", "homeagent", "mobilenode"}

func room(pkg string) (name string, floor int) {
	for r, f := range floors {
		if (pkg == r || strings.HasPrefix(pkg, r+"/")) && len(r) > len(name) {
			name, floor = r, f
		}
	}
	return name, floor
}

// source is one Go file that is not a test.
type source struct {
	path, pkg string
	file      *ast.File
}

func sources(t *testing.T) (out []source, fset *token.FileSet) {
	t.Helper()
	fset = token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		pkg := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../"))
		out = append(out, source{path: path, pkg: pkg, file: f})
		return err
	})
	if err != nil || len(out) < 20 {
		t.Fatalf("%d sources read: %v", len(out), err)
	}
	return out, fset
}

func TestRoomsImportOnlyRoomsBelow(t *testing.T) {
	all, fset := sources(t)
	used := map[string]bool{}
	for _, s := range all {
		from, floor := room(s.pkg)
		if from == "" {
			t.Errorf("%s: package %s is in no room", s.path, s.pkg)
		}
		used[from] = true
		for _, imp := range s.file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil || !strings.HasPrefix(path, module) {
				continue
			}
			if to, below := room(strings.TrimPrefix(path, module)); to != from && below >= floor {
				t.Errorf("%s: %s (floor %d) imports %s (floor %d)", fset.Position(imp.Pos()), from, floor, to, below)
			}
		}
	}
	for _, r := range slices.Sorted(maps.Keys(floors)) {
		if !used[r] && r != "kink" { // its house is still to be built
			t.Errorf("room %s is empty", r)
		}
	}
}

// impure is what a pure room must not name: what blocks, waits, or differs from one run to the next.
var impure = map[string][]string{
	"time": {"Now", "After", "AfterFunc", "NewTimer", "NewTicker", "Sleep", "Since", "Until", "Tick"},
	"net":  nil, "os": nil, "syscall": nil, "golang.org/x/sys/unix": nil, "net/http": nil, "log": nil,
	"math/rand": nil, "math/rand/v2": nil, "crypto/rand": nil, "sync": nil, "context": nil,
}

func TestCoresArePure(t *testing.T) {
	all, fset := sources(t)
	for _, s := range all {
		if r, _ := room(s.pkg); !slices.Contains(pure, r) && s.pkg != "spd" && s.pkg != "spd/image" && s.pkg != "spd/manual" {
			continue
		}
		names := map[string][]string{}
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			forbidden, listed := impure[path]
			switch {
			case path == "sync" && s.pkg == "ikev2/suite": // primes are computed once, when they are first wanted
			case listed && forbidden == nil:
				t.Errorf("%s: a pure room imports %s", fset.Position(imp.Pos()), path)
			case listed:
				names[path[strings.LastIndex(path, "/")+1:]] = forbidden
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a pure room starts a goroutine", fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(names[x.Name], n.Sel.Name) {
					t.Errorf("%s: a pure room calls %s.%s", fset.Position(n.Pos()), x.Name, n.Sel.Name)
				}
			}
			return true
		})
	}
}
