//go:build linux

package uml

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestGuestHasIPsecAndMobileIPv6(t *testing.T) {
	Run(t, func(t *testing.T) {
		if os.Getuid() != 0 || !Inside() {
			t.Errorf("uid %d, inside %v", os.Getuid(), Inside())
		}
		for _, s := range []struct {
			name                string
			family, kind, proto int
		}{
			{"PF_KEY", 15, syscall.SOCK_RAW, 2},
			{"NETLINK_XFRM", syscall.AF_NETLINK, syscall.SOCK_RAW, 6},
			{"Mobility Header", syscall.AF_INET6, syscall.SOCK_RAW, 135},
		} {
			t.Run(s.name, func(t *testing.T) {
				fd, err := syscall.Socket(s.family, s.kind, s.proto)
				if err != nil {
					t.Fatal(err)
				}
				syscall.Close(fd)
			})
		}
		t.Run("states", func(t *testing.T) {
			Sh(t, "ip xfrm state add src fc00::1 dst fc00::2 proto esp spi 7 mode transport reqid 1 "+
				"enc 'cbc(aes)' 0x%032x auth-trunc 'hmac(sha256)' 0x%064x 128", 1, 2)
			Sh(t, "ip xfrm state add src fc00::1 dst fc00::2 proto hao mode ro coa fc00::3")
			if out := Sh(t, "ip xfrm state"); !strings.Contains(out, "proto hao") || !strings.Contains(out, "proto esp") {
				t.Error(out)
			}
		})
	})
}

func TestGuestHasTheVariablesForTests(t *testing.T) {
	const name, value = "MIPSECD_TEST_WORDS", "it's $two words"
	if !Inside() {
		t.Setenv(name, value)
	}
	Run(t, func(t *testing.T) {
		if got := os.Getenv(name); got != value {
			t.Errorf("%q, want %q", got, value)
		}
	})
}

func TestGuestWritesNothingOutside(t *testing.T) {
	const file = "written_in_the_guest"
	Run(t, func(t *testing.T) {
		for _, dir := range []string{".", "/etc", "/tmp", t.TempDir()} {
			if err := os.WriteFile(dir+"/"+file, []byte("x"), 0o600); err != nil {
				t.Error(err)
			}
		}
	})
	if !Inside() {
		for _, dir := range []string{".", "/etc", "/tmp"} {
			if _, err := os.Stat(dir + "/" + file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s/%s: %v, want it not to be there", dir, file, err)
			}
		}
	}
}

// TestEndings runs itself as another process, which runs one way to end in a guest.
func TestEndings(t *testing.T) {
	const envOutside = "MIPSECD_TEST_ENDING"
	if Inside() || os.Getenv(envOutside) != "" {
		Run(t, endings)
		return
	}
	for name, want := range map[string][]string{
		"verdicts": {
			"--- FAIL: TestEndings (", "--- FAIL: TestEndings/verdicts (", "--- PASS: TestEndings/verdicts/passes (",
			"--- SKIP: TestEndings/verdicts/skips (", "for a good reason",
			"--- FAIL: TestEndings/verdicts/fails (", "as it should", "--- FAIL: TestEndings/verdicts/fails/deep_down (",
		},
		"kernel_panic": {"--- FAIL: TestEndings (", "gave no verdict", "Kernel panic"},
		"test_panics":  {"--- FAIL: TestEndings (", "panic: out of my mind"},
	} {
		t.Run(name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), self, "-test.v", "-test.run=^TestEndings$/^"+name+"$")
			cmd.Env = append(os.Environ(), envOutside+"=1")
			out, err := cmd.CombinedOutput()
			if failed := (&exec.ExitError{}); !errors.As(err, &failed) || failed.ExitCode() != 1 {
				t.Errorf("ended with %v, want status 1", err)
			}
			if i := slices.IndexFunc(want, func(w string) bool { return !strings.Contains(string(out), w) }); i >= 0 {
				t.Errorf("no %q in:\n%s", want[i], out)
			}
		})
	}
}

func endings(t *testing.T) {
	t.Run("verdicts", func(t *testing.T) {
		t.Run("passes", func(*testing.T) {})
		t.Run("skips", func(t *testing.T) { t.Skip("for a good reason") })
		t.Run("fails", func(t *testing.T) {
			t.Run("deep down", func(t *testing.T) { t.Error("as it should") })
		})
	})
	t.Run("kernel panic", func(t *testing.T) { Sh(t, "echo c > /proc/sysrq-trigger") })
	t.Run("test panics", func(*testing.T) { panic("out of my mind") })
}

func TestNarrow(t *testing.T) {
	for _, c := range []struct{ pattern, name, want string }{
		{"", "TestA", "^TestA$"},
		{"Test", "TestA", "^TestA$"},
		{"^TestA$/sub/^deep$", "TestA", "^TestA$/sub/^deep$"},
		{"TestA/b", "TestA/b", "^TestA$/^b$"},
		{"TestA/b/c", "TestA/b", "^TestA$/^b$/c"},
		{"TestB/x|TestA/[/|]y|A/(z|/)", "TestA", "^TestA$/[/|]y|^TestA$/(z|/)"},
		{`TestA/a\|b`, "TestA", `^TestA$/a\|b`},
	} {
		if got := narrow(c.pattern, c.name); got != c.want {
			t.Errorf("narrow(%q, %q) = %q, want %q", c.pattern, c.name, got, c.want)
		}
	}
}

func TestParseLogWantsAVerdict(t *testing.T) {
	const whole = "boot\r\n\x16=== RUN   TestA\r\n\x16=== RUN   TestA/b/c\r\n    a_test.go:1: hello\r\n" +
		"\x16    --- PASS: TestA/b/c (0.00s)\r\n\x16--- PASS: TestA (0.01s)\r\nPASS\r\ninit: the test ended with status 0\r\n"
	r, err := parseLog([]byte(whole), "TestA")
	if err != nil || len(r.subs) != 1 || r.subs[0].name != "b/c" || r.subs[0].verdict != "PASS" ||
		!slices.Equal(r.subs[0].output, []string{"    a_test.go:1: hello"}) || len(r.output) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := parseLog([]byte(whole), "TestB"); err == nil {
		t.Error("a test that was not run has no verdict")
	}
	cut := whole[:strings.Index(whole, "\x16--- PASS")]
	if _, err := parseLog([]byte(cut), "TestA"); err == nil {
		t.Error("a test that did not end has no verdict")
	}
}

// A kernel that crashes by itself has said nothing about the test, and is booted once more.
func TestCrashOfTheKernelIsNoVerdict(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	booted := filepath.Join(bin, "booted")
	verdict := marker + "=== RUN   " + t.Name() + "/twice\n" + marker + "--- PASS: " + t.Name() + "/twice (0.00s)\n" +
		"init: the test ended with status 0"
	script := fmt.Sprintf("#!/bin/sh\necho >> %s\n[ $(wc -l < %[1]s) = 2 ] || kill -SEGV $$\nprintf '%s'\n", booted, verdict)
	if err := os.WriteFile(filepath.Join(bin, "linux.uml"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Run("twice", func(t *testing.T) { Run(t, nil) })
	if _, err := boot(t.Context(), "linux.uml", bin, nil); !errors.Is(err, errCrashed) {
		t.Errorf("got error %v, want %v", err, errCrashed)
	}
}
