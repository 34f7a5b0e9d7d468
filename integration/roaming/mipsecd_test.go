//go:build linux

package roaming

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/integration/lab"
)

// mipsecd is the package of the agent under test.
const mipsecd = "mipsecd/cmd/mipsecd"

// mobileNode is one that the home agent's configuration knows: who it is and which home address is its own.
type mobileNode struct {
	identity string
	home     netip.Addr
}

const homeAgentIdentity = "ha.example.org"

var (
	owner = mobileNode{"mn@example.org", lab.HoA}
	thief = mobileNode{"mn2@example.org", netip.MustParseAddr("2001:db8:1::200")}
)

// startAgents starts mipsecd on the mobile node and on the home agent, until the test ends.
func startAgents(t *testing.T, j job) map[lab.Node]*process {
	t.Helper()
	return map[lab.Node]*process{lab.HA: startHomeAgent(t, j, owner), lab.MN: startMobileNode(t, j, lab.MN, owner, lab.HoA)}
}

func startHomeAgent(t *testing.T, j job, known ...mobileNode) *process {
	t.Helper()
	config := fmt.Sprintf("role = \"home-agent\"\nidentity = %q\naddress = %q\n", homeAgentIdentity, lab.HomeAgent)
	for _, mn := range known {
		config += fmt.Sprintf("[[mobile-node]]\nidentity = %q\nhome-address = %q\nsecret-file = %q\n",
			mn.identity, mn.home, mn.identity)
	}
	return start(t, lab.HA, j.settings(lab.HA)+config)
}

// startMobileNode starts a mobile node that claims a home address: its own, or another's.
func startMobileNode(t *testing.T, j job, n lab.Node, mn mobileNode, claimed netip.Addr) *process {
	t.Helper()
	return start(t, n, j.settings(n)+fmt.Sprintf(`
role = "mobile-node"
identity = %q

[home-agent]
identity = %q
address = %q
home-address = %q
secret-file = %q
`, mn.identity, homeAgentIdentity, lab.HomeAgent, claimed, mn.identity))
}

// settings are the part of a configuration that the roles have in common.
func (j job) settings(n lab.Node) string {
	liveness := "never"
	if j.asks == n {
		liveness = "1s"
	}
	config := fmt.Sprintf("kernel = %q\npolicies = %q\nk-bit = %t\nliveness = %q\nlog-level = \"debug\"\n"+
		"protect = [\"binding\", \"home-test\", \"payload\"]\n", j.kernel, j.policies, j.keepsKeys(n), liveness)
	if j.hasty {
		config += "timing.retransmit = \"100ms\"\ntiming.tries = 2\n"
	}
	if j.brisk {
		config += "timing.retransmit = \"200ms\"\ntiming.tries = 5\n"
	}
	if j.level != "" {
		config += fmt.Sprintf("level = %q\n", j.level)
	}
	if j.tokens {
		config += "quick-crash-detection = true\nhost-secret-file = \"host-secret\"\n"
	}
	if j.mlkem {
		config += "ike = [\"aes128gcm16-prfsha256-x25519-ke1_mlkem768\"]\nesp = [\"aes128gcm16-x25519-ke1_mlkem768\"]\n" +
			"trace-file = \"trace.pcapng\"\n"
	}
	return config
}

// process is a mipsecd: a running one, or one that may be started again.
type process struct {
	node    lab.Node
	file    string // its configuration
	control string
	cmd     *exec.Cmd
	ended   chan struct{} // closed once it no longer logs
	mu      sync.Mutex
	log     []string
}

// start starts mipsecd, with a secret of each mobile node's own at hand, and waits until it is running.
func start(t *testing.T, n lab.Node, config string) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{node: n, control: filepath.Join(dir, "control"), file: filepath.Join(dir, "mipsecd.toml")}
	must(t, os.WriteFile(p.file, fmt.Appendf(nil, "control-socket = %q\n%s", p.control, config), 0o600))
	for _, mn := range append([]mobileNode{owner, thief}, fleet...) {
		must(t, os.WriteFile(filepath.Join(dir, mn.identity), []byte("for the lab alone, a secret of "+mn.identity), 0o600))
	}
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("mipsecd on %s:\n%s", n, strings.Join(p.log, "\n"))
		}
	})
	p.run(t)
	return p
}

// run runs it, for the first time or again, and waits until it says so.
func (p *process) run(t *testing.T) {
	t.Helper()
	p.cmd, p.ended = exec.Command("mipsecd", "run", "-c", p.file), make(chan struct{})
	stderr, err := p.cmd.StderrPipe()
	must(t, err)
	must(t, p.node.Do(p.cmd.Start))
	before, ended := p.lines(), p.ended
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			p.log = append(p.log, lines.Text())
			p.mu.Unlock()
		}
	}()
	eventually(t, func() error {
		select {
		case <-ended:
			t.Fatalf("mipsecd on %s did not start", p.node)
		default:
		}
		if err := p.told(before, "mipsecd is running"); err != nil {
			return err
		}
		_, err := p.ask(t)
		return err
	})
}

// stop asks it to end, and waits until it has. One that does not run is fine.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(os.Interrupt)
	<-p.ended
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("mipsecd on %s: %v", p.node, err)
	}
	p.cmd = nil
}

// kill ends it without its having a say.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
	p.cmd.Wait()
	p.cmd = nil
}

// lines is how much it has logged.
func (p *process) lines() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.log)
}

// told is an error unless one line of its log, after so many, has all these words.
func (p *process) told(after int, words ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
next:
	for _, line := range p.log[after:] {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		return nil
	}
	return fmt.Errorf("mipsecd on %s has not told of %q", p.node, words)
}

// signal sends it a signal.
func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	must(t, p.cmd.Process.Signal(s))
}

// status asks it as "mipsecd status --json" does.
func (p *process) status(t *testing.T) agent.Status {
	t.Helper()
	s, err := p.ask(t)
	must(t, err)
	return s
}

func (p *process) ask(t *testing.T) (agent.Status, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return agent.Client{Socket: p.control}.Status(ctx)
}
