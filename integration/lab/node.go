//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Node is one host of the lab: a network namespace of that name.
type Node string

// The hosts.
const (
	MN     Node = "mn" // mobile node
	HA     Node = "ha" // home agent
	CN     Node = "cn" // correspondent node
	Router Node = "r"
)

var nodes = []Node{MN, HA, CN, Router}

// Do runs f as on that host: the sockets that f opens and the processes that it starts belong there, whichever goroutine
// uses them later.
func (n Node) Do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- n.enter(f)
	}()
	return <-done
}

func (n Node) enter(f func() error) error {
	ns, err := os.Open(filepath.Join("/run/netns", string(n)))
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering %s: %w", n, err)
	}
	return f()
}

// Run runs a command on that host and returns what it prints.
func (n Node) Run(name string, args ...string) (string, error) {
	return n.run(exec.Command(name, args...))
}

func (n Node) run(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Do(cmd.Start); err != nil {
		return "", err
	}
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("%s: %s: %w\n%s", n, strings.Join(cmd.Args, " "), err, out.Bytes())
	}
	return out.String(), nil
}

// IP gives commands to iproute2 on that host, one a line, the word "ip" left out. The first that fails ends it.
func (n Node) IP(commands string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(commands)
	_, err := n.run(cmd)
	return err
}

func (n Node) mustIP(t testing.TB, commands string) {
	t.Helper()
	if err := n.IP(commands); err != nil {
		t.Fatal(err)
	}
}

func (n Node) sysctl(t testing.TB, name, value string) {
	t.Helper()
	err := n.Do(func() error { return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0) })
	if err != nil {
		t.Fatal(err)
	}
}
