//go:build linux

// Package uml runs a test on a kernel of its own. Debian's user-mode-linux is a real Linux that runs as an ordinary
// process and boots within two seconds; it has the ESP, PF_KEY and Mobile IPv6 that the machine's own kernel may lack,
// and the test is root in it without being root outside.
//
// The guest's root is the machine's own file system under an overlay: the test binary, its working directory, /tmp and
// every installed program are where they are outside, all can be written to, and what is written is gone with the guest.
package uml

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// envInside is set in the guest, and nowhere else. Variables whose names start with envPassed are as they are outside.
const (
	envInside = "MIPSECD_INSIDE_UML"
	envPassed = "MIPSECD_TEST_"
)

// How long a guest may take when the test binary runs without -timeout, how much earlier than the test binary's own
// deadline the guest is ended so that its output is still reported, and how much earlier than that the test in the
// guest gives up by itself, with a goroutine dump.
const (
	defaultLimit = 10 * time.Minute
	reportMargin = 5 * time.Second
	guestMargin  = 10 * time.Second
)

// Run runs body as root on a kernel of its own: outside it boots a guest that executes this test binary for this test
// alone; there Run calls body. The guest's subtests are replayed as subtests of t, of the same name, with their output
// and verdict. The test fails when the kernel is not installed, does not boot, panics, or ends without a verdict.
//
// Of the environment the guest has the variables whose names start with MIPSECD_TEST_.
//
// The programs are main packages; they are built outside, and body finds them on its PATH.
//
// The test must be one that -test.run can name, and Run must be all that it does.
func Run(t *testing.T, body func(t *testing.T), programs ...string) {
	t.Helper()
	if Inside() {
		body(t)
		return
	}
	kernel, err := exec.LookPath("linux.uml")
	if err != nil {
		t.Fatalf("no kernel to test on: %v. It is in Debian's package user-mode-linux: apt-get install user-mode-linux", err)
	}
	deadline, limited := t.Deadline()
	if !limited {
		deadline = time.Now().Add(defaultLimit)
	}
	deadline = deadline.Add(-reportMargin)
	inner := time.Until(deadline.Add(-guestMargin)).Round(time.Second)
	if inner <= 0 {
		t.Fatalf("too little time left for a guest: raise -timeout")
	}
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()

	dir := t.TempDir()
	if len(programs) > 0 {
		if err := build(append([]string{"build", "-o", dir + "/"}, programs...)...); err != nil {
			t.Fatal(err)
		}
	}
	command := guestCommand(t, inner)
	console, err := boot(ctx, kernel, dir, command)
	if errors.Is(err, errCrashed) {
		t.Log("user-mode-linux itself has crashed, with no verdict so far: once more")
		console, err = boot(ctx, kernel, dir, command)
	}
	log, parseErr := parseLog(console, t.Name())
	if parseErr != nil {
		t.Fatalf("the guest gave no verdict on %s: %v; %v\n%s", t.Name(), parseErr, err, printable(console))
	}
	log.replay(t)
	if err != nil && log.verdict != "FAIL" {
		t.Errorf("the guest: %v\n%s", err, printable(console))
	}
}

// Inside reports whether this process runs in a guest.
func Inside() bool { return os.Getenv(envInside) != "" }

// Sh runs a shell command line, made as by fmt.Sprintf, and returns what it prints, without the last line break. When
// the command fails, so does the test, with that output.
func Sh(t testing.TB, format string, args ...any) string {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	out, err := exec.Command("/bin/sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// guestCommand is the command line that runs the test t alone, in the form that parseLog reads.
func guestCommand(t *testing.T, limit time.Duration) []string {
	t.Helper()
	binary, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	command := []string{binary, "-test.v=test2json", "-test.paniconexit0", "-test.count=1",
		"-test.run=" + narrow(flagValue("test.run"), t.Name()),
		"-test.timeout=" + limit.String(),
		"-test.short=" + flagValue("test.short")}
	if skip := flagValue("test.skip"); skip != "" {
		command = append(command, "-test.skip="+skip)
	}
	return command
}

// binary is this test binary, in a form that runs in a guest: without the race detector, whose shadow memory lies
// beyond the 512 GiB of address space that a guest's process has. That one lies beside it, and goes with it.
var binary = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	info, _ := debug.ReadBuildInfo()
	if info == nil || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return self, nil
	}
	plain := self + ".plain"
	return plain, build("test", "-c", "-o", plain, ".")
})

// build runs the go command.
func build(args ...string) error {
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("building for the guest: go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func flagValue(name string) string { return flag.Lookup(name).Value.String() }

func printable(console []byte) string {
	return strings.NewReplacer("\r", "", string(marker), "").Replace(string(console))
}
