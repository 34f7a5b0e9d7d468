//go:build linux

package roaming

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mipsecd/integration/lab"
)

// mipsecd is the package of the agent under test.
const mipsecd = "mipsecd/cmd/mipsecd"

// startAgents starts mipsecd on the mobile node and on the home agent, until the test ends.
func startAgents(t *testing.T, j job) {
	t.Helper()
	common := fmt.Sprintf("kernel = %q\npolicies = %q\nk-bit = %t\nlog-level = \"debug\"\n"+
		"protect = [\"binding\", \"payload\"]\n", j.kernel, j.policies, j.kBit)
	startAgent(t, lab.HA, common+fmt.Sprintf(`
role = "home-agent"
identity = "ha.example.org"
address = %q

[[mobile-node]]
identity = "mn@example.org"
home-address = %q
secret-file = "psk"
`, lab.HomeAgent, lab.HoA))
	startAgent(t, lab.MN, common+fmt.Sprintf(`
role = "mobile-node"
identity = "mn@example.org"

[home-agent]
identity = "ha.example.org"
address = %q
home-address = %q
secret-file = "psk"
`, lab.HomeAgent, lab.HoA))
}

func startAgent(t *testing.T, n lab.Node, config string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "mipsecd.toml")
	config = fmt.Sprintf("control-socket = %q\n", filepath.Join(dir, "control")) + config
	must(t, os.WriteFile(file, []byte(config), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "psk"), []byte("a pre-shared key for the lab alone"), 0o600))

	cmd := exec.Command("mipsecd", "run", "-c", file)
	stderr, err := cmd.StderrPipe()
	must(t, err)
	must(t, n.Do(cmd.Start))
	var log strings.Builder // complete once ended is closed
	running, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ready := sync.OnceFunc(func() { close(running) })
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "mipsecd is running") {
				ready()
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("mipsecd on %s: %v", n, err)
		}
		if t.Failed() {
			t.Logf("mipsecd on %s:\n%s", n, &log)
		}
	})
	select {
	case <-running:
	case <-ended:
		t.Fatalf("mipsecd on %s did not start", n)
	}
}
