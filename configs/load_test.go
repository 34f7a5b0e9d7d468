package configs

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mipsecd/internal/secret"
	"mipsecd/internal/testpki"
	"mipsecd/migrate"
)

// write makes a file of exactly this mode.
func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// The secrets are beside the configuration, wherever the agent is started.
func TestSamples(t *testing.T) {
	samples, err := filepath.Glob("*.toml")
	if err != nil || len(samples) < 4 {
		t.Fatalf("%d samples, %v", len(samples), err)
	}
	dir := t.TempDir()
	for _, name := range []string{"ha.psk", "mn1.psk", "mn2.psk", "gw.psk", "rw1.psk", "rw2.psk", "mn1.password", "mn2.password", "radius.secret"} {
		write(t, filepath.Join(dir, name), testSecret+"\n", 0o600)
	}
	write(t, filepath.Join(dir, "mn2.ppk"), testPPK+"\n", 0o600)
	root, key := testpki.NewAuthority(t, "root"), testpki.Key("P-256")
	cert := root.Issue(t, "both", key, func(c *x509.Certificate) {
		c.DNSNames, c.EmailAddresses = []string{"ha.example.org"}, []string{"mn1@example.org"}
	})
	write(t, filepath.Join(dir, "ca.pem"), string(testpki.CertificatesPEM(root.Certificate)), 0o644)
	write(t, filepath.Join(dir, "ca.crl"), string(root.Revoke(t, nil).Raw), 0o644)
	for _, name := range []string{"ha", "mn1"} {
		write(t, filepath.Join(dir, name+".pem"), string(testpki.CertificatesPEM(cert)), 0o644)
		write(t, filepath.Join(dir, name+".key"), string(testpki.KeyPEM(key)), 0o600)
	}
	for i, name := range []string{"binding", "prefix", "home-test", "payload"} {
		write(t, filepath.Join(dir, "mn1-"+name+"-up.key"), strings.Repeat(string(rune('a'+i)), 96), 0o600)
		write(t, filepath.Join(dir, "mn1-"+name+"-down.key"), strings.Repeat(string(rune('A'+i)), 96), 0o600)
	}
	for _, sample := range samples {
		text, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, sample)
		write(t, path, string(text), 0o644)
		c, err := Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		warriors := c.Homes[0].Mobility != migrate.MobileIPv6
		daemons := strings.Contains(sample, "umip") || strings.Contains(sample, "shisa")
		if own := !daemons && !warriors; c.OwnPolicies != own {
			t.Errorf("%s: mipsecd's own policies: %v", sample, c.OwnPolicies)
		}
		if byHand := strings.Contains(sample, "manual"); byHand != (len(c.Manual) == 4 && len(c.Peers) == 0) {
			t.Errorf("%s: manual keys %v", sample, c.Manual)
		}
		for _, p := range c.Peers {
			if byEAP := strings.Contains(sample, "eap") || strings.Contains(sample, "radius"); byEAP != (p.EAP != nil) {
				t.Errorf("%s: EAP with %s: %v", sample, p.Name, !byEAP)
			} else if byEAP {
				continue
			}
			certified := strings.Contains(sample, "certificates") && p.Name != "mn2@example.org"
			if certified && (p.Trust == nil || p.Credential == nil) {
				t.Errorf("%s: no certificates for %s", sample, p.Name)
			}
			if !certified && !p.PSK.Equal([]byte(testSecret)) {
				t.Errorf("%s: the secret of %s is another", sample, p.Name)
			}
		}
	}
}

func TestLoadWithoutFile(t *testing.T) {
	if c, err := Load(filepath.Join(t.TempDir(), "x.toml")); c != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestSecretFiles(t *testing.T) {
	for _, test := range []struct {
		name, content string
		mode          fs.FileMode
		key, err      string
	}{
		{"with a newline", "12345678\n", 0o600, "12345678", ""},
		{"without a newline", "12345678", 0o400, "12345678", ""},
		{"with two newlines", "12345678\n\n", 0o600, "12345678\n", ""},
		{"with binary octets", "\x00\xff345678", 0o600, "\x00\xff345678", ""},
		{"in hexadecimal", "0x00fF345678aBcdEf\n", 0o600, "\x00\xff\x34\x56\x78\xab\xcd\xef", ""},
		{"half an octet", "0x00ff345678abcde", 0o600, "", "it begins with 0x, but two hexadecimal digits for each octet do not follow"},
		{"no hexadecimal", "0xylophone-and-more", 0o600, "", "it begins with 0x, but two hexadecimal digits for each octet do not follow"},
		{"short in hexadecimal", "0x00112233445566", 0o600, "", "a key of 7 octets only; want at least 8"},
		{"the longest", strings.Repeat("k", 1024) + "\n", 0o600, strings.Repeat("k", 1024), ""},
		{"readable by the group", testSecret, 0o640, "", "PATH is open to group or others (mode 0640); run chmod 600 on it"},
		{"readable by others", testSecret, 0o604, "", "PATH is open to group or others (mode 0604); run chmod 600 on it"},
		{"writable by the group", testSecret, 0o620, "", "PATH is open to group or others (mode 0620); run chmod 600 on it"},
		{"empty", "", 0o600, "", "it is empty; want the pre-shared key in it"},
		{"only a newline", "\n", 0o600, "", "it is empty; want the pre-shared key in it"},
		{"short", "1234567\n", 0o600, "", "a key of 7 octets only; want at least 8"},
		{"long", strings.Repeat("k", 1025), 0o600, "",
			"more than 1024 octets; want nothing but the pre-shared key in it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "psk")
			write(t, path, test.content, test.mode)
			var key secret.Bytes
			content, err := readFile(path, PreSharedKey)
			if err == nil {
				key, err = parseKey(minSecret, PreSharedKey)(content)
			}
			if test.err == "" && (err != nil || !key.Equal([]byte(test.key))) {
				t.Errorf("another key, %v", err)
			}
			if test.err != "" && (err == nil || key != nil || err.Error() != strings.ReplaceAll(test.err, "PATH", path)) {
				t.Errorf("got %v, want %s", err, test.err)
			}
		})
	}
}

// An error of a secret file has the line that names it.
func TestSecretFileErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.toml")
	write(t, path, mobileNode("", ""), 0o644)
	want := path + ":8: home-agent.secret-file: open " + dir + "/ha.psk: no such file or directory; " +
		"want a file with the pre-shared key"
	if _, err := Load(path); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := os.Mkdir(filepath.Join(dir, "ha.psk"), 0o700); err != nil {
		t.Fatal(err)
	}
	want = path + ":8: home-agent.secret-file: " + dir + "/ha.psk is no regular file; want a file with the pre-shared key"
	if _, err := Load(path); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
