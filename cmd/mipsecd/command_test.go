package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mipsecd runs the command with arguments.
func mipsecd(args ...string) (stdout string, err error) {
	var out bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetOut(&out)
	err = c.Execute()
	return out.String(), err
}

// write makes a configuration with a secret beside it.
func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"mipsecd.toml": text, "psk": "a secret of its own\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "mipsecd.toml")
}

func TestCheckShowsThePolicies(t *testing.T) {
	out, err := mipsecd("check", "-c", write(t, `
role = "mobile-node"
identity = "mn1@example.org"
policies = "mipsecd"
[home-agent]
identity = "ha.example.org"
address = "2001:db8:1::1"
home-address = "2001:db8:1::100"
secret-file = "psk"
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2001:db8:1::100", "0x0500", "0x0600", "transport", "1000"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "a secret") {
		t.Error("the table has the secret")
	}
}

func TestCheckTellsAllErrorsAtOnce(t *testing.T) {
	path := write(t, "role = \"home-agent\"\nidentiy = \"ha.example.org\"\naddress = \"2001:db8:1::1x\"\n")
	_, err := mipsecd("check", "-c", path)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{path + ":2: identiy", "identity", path + ":3: address"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

func TestCheckListsTheKeys(t *testing.T) {
	out, err := mipsecd("check", "--keys")
	if err != nil || !strings.Contains(out, "`home-address`") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestStatusWithoutAgentFails(t *testing.T) {
	if _, err := mipsecd("status", "--control", filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error")
	}
}

func TestDemoWritesItsTrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "demo.pcapng")
	out, err := mipsecd("demo", "--trace", path)
	if err != nil || !strings.Contains(out, "Every step held") {
		t.Errorf("%v:\n%s", err, out)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("trace: %v, %v", info, err)
	}
}
