package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const interopRun = `
{"Action":"output","Package":"m/integration/interop","Test":"TestStrongSwan","Output":"    a_test.go:1: version: 5.9.8\n"}
{"Action":"run","Package":"m/integration/interop","Test":"TestStrongSwan/mipsecd_initiates"}
{"Action":"run","Package":"m/integration/interop","Test":"TestStrongSwan/mipsecd_initiates/INVALID_KE_PAYLOAD"}
{"Action":"run","Package":"m/integration/interop","Test":"TestStrongSwan/mipsecd_initiates/tunnel"}
{"Action":"run","Package":"m/integration/interop","Test":"TestStrongSwan/mipsecd_initiates/tunnel/basic_pattern"}
{"Action":"run","Package":"m/integration/interop","Test":"TestStrongSwan/strongSwan_initiates/tunnel/basic_pattern"}
{"Action":"run","Package":"m/integration/interop","Test":"TestStrongSwan/strongSwan_with_itself/tunnel"}
{"Action":"run","Package":"m/integration/interop","Test":"TestStrongSwanAuthLifetime/strongSwan_initiates/in_time"}
{"Action":"output","Package":"m/integration/interop","Test":"TestLibreswanEAP/mipsecd_initiates/TLS","Output":"    in the guest:\n    b_test.go:7: lacks: pluto knows no EAP\n"}
{"Action":"pass","Package":"m/integration/interop","Test":"TestStrongSwan"}
{"Action":"pass","Package":"m/integration/interop","Test":"TestStrongSwan/mipsecd_initiates"}
{"Action":"pass","Package":"m/integration/interop","Test":"TestStrongSwan/mipsecd_initiates/INVALID_KE_PAYLOAD"}
{"Action":"pass","Package":"m/integration/interop","Test":"TestStrongSwan/mipsecd_initiates/tunnel"}
{"Action":"pass","Package":"m/integration/interop","Test":"TestStrongSwan/mipsecd_initiates/tunnel/basic_pattern"}
{"Action":"pass","Package":"m/integration/interop","Test":"TestStrongSwan/strongSwan_with_itself/tunnel"}
{"Action":"fail","Package":"m/integration/interop","Test":"TestStrongSwanAuthLifetime/strongSwan_initiates/in_time"}
{"Action":"pass","Package":"m/integration/interop","Test":"TestLibreswanEAP/mipsecd_initiates/TLS"}
{"Action":"pass","Package":"m/other","Test":"TestStrongSwanElsewhere/mipsecd_initiates/x"}
{"Action":"fail","Package":"m/integration/interop"}
{"Action":"pass","Package":"m/other"}
`

func shownBy(t *testing.T, run string) *table {
	t.Helper()
	s := newSummary(io.Discard)
	if err := s.read(strings.NewReader(run)); err != nil {
		t.Fatal(err)
	}
	return &s.table
}

func TestTable(t *testing.T) {
	want := tableHead + `
## strongSwan

Version 5.9.8; cases: 2 fails, 2 passes.

| case | mipsecd initiates | strongSwan initiates |
|---|---|---|
| INVALID_KE_PAYLOAD | passes | - |
| tunnel: basic pattern | passes | fails |
| auth lifetime: in time | - | fails |

## libreswan

Version unknown; cases: 1 lacks.

| case | mipsecd initiates | libreswan initiates |
|---|---|---|
| EAP: TLS | lacks: pluto knows no EAP | - |
`
	if got := shownBy(t, interopRun).text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The features are in the order of the tests, which begin one after the other, and go on side by side.
func TestTableHasTheOrderOfTheTests(t *testing.T) {
	line := func(action, name string) string {
		return `{"Action":"` + action + `","Package":"m/integration/interop","Test":"TestStrongSwan` + name + `"}` + "\n"
	}
	text := shownBy(t, line("run", "EAP")+line("run", "NAT")+line("pass", "NAT/mipsecd_initiates/a")+
		line("pass", "EAP/mipsecd_initiates/a")+`{"Action":"pass","Package":"m/integration/interop"}`).text()
	if !strings.Contains(text, "| EAP: a | passes | - |\n| NAT: a | passes | - |\n") {
		t.Error(text)
	}
}

// Whichever side's tests end first, the page is the same.
func TestTableHasOneOrder(t *testing.T) {
	line := func(who, name string) string {
		return `{"Action":"pass","Package":"m/integration/interop","Test":"TestStrongSwanNAT/` + who + `_initiates/` + name + `"}` + "\n"
	}
	ours, theirs := line("mipsecd", "a")+line("mipsecd", "c"), line("strongSwan", "b")+line("strongSwan", "c")
	const end = `{"Action":"pass","Package":"m/integration/interop"}`
	one, other := shownBy(t, ours+theirs+end).text(), shownBy(t, theirs+ours+end).text()
	if one != other || !strings.Contains(one, "| NAT: a | passes | - |\n| NAT: c | passes | passes |\n| NAT: b | - | passes |\n") {
		t.Errorf("%s\nand\n%s", one, other)
	}
}

func TestTableIsCompared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "interoperability.md")
	shown := shownBy(t, interopRun)
	if err := shown.check(path, false); err == nil {
		t.Error("no page is no difference")
	}
	if err := shown.check(path, true); err != nil {
		t.Fatal(err)
	}
	if err := shown.check(path, false); err != nil {
		t.Errorf("what has just been written: %v", err)
	}
	if err := shownBy(t, strings.ReplaceAll(interopRun, "5.9.8", "6.0.1")).check(path, false); err != nil {
		t.Errorf("another version alone: %v", err)
	}
	other := shownBy(t, strings.Replace(interopRun, `"fail"`, `"pass"`, 1))
	if err := other.check(path, false); err == nil || !strings.Contains(err.Error(), "+| auth lifetime: in time | - | passes |") {
		t.Errorf("another verdict: %v", err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	none := shownBy(t, `{"Action":"pass","Package":"m/other","Test":"TestX"}`)
	if err := none.check(path, true); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("a run without these tests changes the page: %v", err)
	}
}

func TestWordsOfNames(t *testing.T) {
	for camel, want := range map[string]string{
		"": "", "EAP": "EAP", "AssignedAddress": "assigned address", "MOBIKE": "MOBIKE", "AuthLifetime": "auth lifetime",
		"Algorithms": "algorithms", "NAT": "NAT", "EAPTwice": "EAP twice",
	} {
		if got := words(camel); got != want {
			t.Errorf("%q: %q, want %q", camel, got, want)
		}
	}
	for name, want := range map[string]string{
		"mipsecd_initiates": "mipsecd initiates", "INVALID_KE_PAYLOAD": "INVALID_KE_PAYLOAD", "PF_KEY": "PF_KEY",
		"EAP_with_TLS": "EAP with TLS", "a|b": "a/b", "_": " ",
	} {
		if got := spaced(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
