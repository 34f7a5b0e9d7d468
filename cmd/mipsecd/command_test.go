package main

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mipsecd/ikev2/auth"
	"mipsecd/internal/testpki"
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
	out, err = mipsecd("trace", path)
	if lines := strings.Split(out, "\n"); err != nil || len(lines) < 5 ||
		!strings.Contains(lines[0], " [2001:db8:f1::100]:500 > [2001:db8:1::1]:500  ") ||
		!strings.Contains(lines[0], "IKE_SA_INIT request 0 [ SA KE Ni ") ||
		!strings.Contains(lines[2], "IKE_AUTH request 1 [ IDi ") || strings.Contains(out, "unreadable") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// What precedes the place where a trace was cut off is shown.
func TestTraceThatWasCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "demo.pcapng")
	if _, err := mipsecd("demo", "--trace", path); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := mipsecd("trace", path)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(out, "IKE_SA_INIT request 0") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestTraceOfAnotherKind(t *testing.T) {
	path := write(t, "role = \"mobile-node\"\n# this is no trace")
	if _, err := mipsecd("trace", path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want an error that names %s", err, path)
	}
}

func TestBundleOfCertificates(t *testing.T) {
	root := testpki.NewAuthority(t, "root")
	chain := []*x509.Certificate{root.Issue(t, "mn", testpki.Key("P-256"), nil), root.Certificate}
	path := filepath.Join(t.TempDir(), "mn.pem")
	if err := os.WriteFile(path, testpki.CertificatesPEM(chain...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := mipsecd("bundle", path); err != nil || out != string(auth.Bundle(chain)) {
		t.Errorf("%v, %x", err, out)
	}
	if out, err := mipsecd("bundle", write(t, "no PEM")); err == nil || out != "" || !strings.Contains(err.Error(), "want PEM") {
		t.Errorf("%v, %x", err, out)
	}
}
