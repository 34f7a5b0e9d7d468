//go:build linux

package uml

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

//go:embed init.sh
var initScript string

// memory is what a guest may use; only what it touches is taken from the machine.
const memory = "1G"

// onLeash runs a guest as a process group of its own, which is killed when the other end of the pipe on descriptor 3 is
// closed. The guest's processes are processes of the machine; so none is left over, even when this process is killed.
const onLeash = `(cat; kill -KILL 0) <&3 >/dev/null 2>&1 & exec "$@"`

// boot starts a guest that runs command in this process's directory, with the programs in dir on its PATH, waits for its
// end and returns all that it wrote to its console. The error says how it ended, if not by command ending with status zero.
func boot(ctx context.Context, kernel, dir string, command []string) ([]byte, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	script := filepath.Join(dir, "init")
	if err := os.WriteFile(script, guestInit(cwd, dir, command), 0o700); err != nil {
		return nil, err
	}
	held, leash, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer leash.Close()
	var console bytes.Buffer
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", onLeash, "sh", kernel, "mem="+memory,
		"rootfstype=hostfs", "rootflags=/", "ro", "init="+script, "uml_dir="+dir,
		"con=null", "con0=fd:0,fd:1", "con1=null", "quiet")
	cmd.Stdout, cmd.Stderr = &console, &console
	cmd.ExtraFiles = []*os.File{held}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = leash.Close
	cmd.WaitDelay = 2 * time.Second
	err = cmd.Run()
	held.Close()
	if ctx.Err() != nil {
		return console.Bytes(), errors.New("ended because its time was up")
	}
	if crashed(err) && !statusLine.Match(console.Bytes()) && !panicLine.Match(console.Bytes()) {
		return console.Bytes(), errCrashed
	}
	if err != nil && !statusLine.Match(console.Bytes()) { // user-mode-linux sometimes dies when it is switched off
		return console.Bytes(), fmt.Errorf("the kernel died: %w", err)
	}
	return console.Bytes(), exitStatus(console.Bytes())
}

// errCrashed is user-mode-linux's own end, by which nothing is said about what it ran: on a busy machine a signal now and
// then finds no room on its stack.
var errCrashed = errors.New("user-mode-linux crashed")

func crashed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGSEGV
}

// guestInit is the script that the guest's kernel starts: what to run, then what every guest does.
func guestInit(cwd, programs string, command []string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "#!/bin/sh\nrun() {\n\tcd %s && %s=1 HOME=/root LC_ALL=C.UTF-8 PATH=%s:$PATH", quote(cwd), envInside,
		quote(programs))
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, envPassed) {
			b.WriteString(" " + name + "=" + quote(value))
		}
	}
	for _, arg := range command {
		b.WriteString(" " + quote(arg))
	}
	b.WriteString("\n}\n\n" + initScript)
	return b.Bytes()
}

// quote makes s one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

var (
	statusLine = regexp.MustCompile(`(?m)^init: the test ended with status (\d+)\r?$`)
	panicLine  = regexp.MustCompile(`(?m)^.*Kernel panic.*$`)
)

func exitStatus(console []byte) error {
	if line := panicLine.Find(console); line != nil {
		return errors.New(strings.TrimSpace(string(line)))
	}
	switch m := statusLine.FindSubmatch(console); {
	case m == nil:
		return errors.New("it ended without saying how the test ended")
	case string(m[1]) != "0":
		return fmt.Errorf("the test ended with status %s", m[1])
	}
	return nil
}
