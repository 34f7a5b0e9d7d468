//go:build linux

package interop

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	control "mipsecd/cmd/mipsecd/agent"
	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
)

// envBinary tells the guest where the mipsecd is that was built outside.
const envBinary = "MIPSECD_TEST_BINARY"

// TestMain builds the command that is tested. The guests see it where it is.
func TestMain(m *testing.M) {
	if !uml.Inside() {
		dir, err := os.MkdirTemp("", "interop")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary := filepath.Join(dir, "mipsecd")
		if out, err := exec.Command("go", "build", "-o", binary, "mipsecd/cmd/mipsecd").CombinedOutput(); err != nil {
			panic(fmt.Sprintf("building mipsecd: %v\n%s", err, out))
		}
		os.Setenv(envBinary, binary)
	}
	m.Run()
}

// mipsecd is a running mipsecd on one host of the lab.
type mipsecd struct {
	node lab.Node
	dir  string
	cmd  *exec.Cmd

	done    chan struct{}
	failure error // once done
}

// mipsecdOptions are what the tests vary.
type mipsecdOptions struct {
	suite
	secret    string
	certified bool   // not by the secret
	proof     string // what there is in place of the secret, if certified: lines of the peers' tables
	more      string // lines of the configuration
	identities
}

const mipsecdConf = `
role = %q
identity = %q
policies = "mipsecd"
protect = ["binding", "payload"]
ike = %s
esp = %s
shards = 1
control-socket = "control"
trace-file = "trace.pcapng"
log-level = "debug"
`

const homeAgentConf = `
[home-agent]
identity = %q
address = %q
home-address = %q
secret-file = "psk"
`

const mobileNodesConf = `
address = %q
%s
[[mobile-node]]
identity = %q
home-address = %q
secret-file = "psk"

[[mobile-node]]
identity = "other@example.org"
home-address = %q
secret-file = "psk"
`

// Reqids of mipsecd's SAs: each direction has its own.
const (
	reqidBU          = 1000
	reqidBA          = 1001
	reqidPayloadToHA = 1006
	reqidPayloadToMN = 1007
)

// startMipsecd starts the agent of the mobile node or the home agent, and ends it when the test ends.
func startMipsecd(t *testing.T, node lab.Node, o mipsecdOptions) *mipsecd {
	t.Helper()
	var conf string
	if node == lab.MN {
		conf = fmt.Sprintf(mipsecdConf, "mobile-node", identityMN, list(o.ike), list(o.esp)) + o.more +
			fmt.Sprintf(homeAgentConf, identityHA, lab.HomeAgent, lab.HoA)
	} else {
		conf = fmt.Sprintf(mipsecdConf, "home-agent", identityHA, list(o.ike), list(o.esp)) +
			fmt.Sprintf(mobileNodesConf, lab.HomeAgent, o.more, identityMN, lab.HoA, othersHoA)
	}
	if o.certified {
		conf = strings.ReplaceAll(conf, "secret-file = \"psk\"\n", o.proof)
	}
	return runMipsecd(t, node, o.identities.in(conf), cmp.Or(o.secret, secretText))
}

// runMipsecd starts the agent with a configuration whose secret-file is "psk", and ends it when the test ends.
func runMipsecd(t *testing.T, node lab.Node, conf, secret string) *mipsecd {
	t.Helper()
	m := &mipsecd{node: node, dir: t.TempDir(), done: make(chan struct{})}
	write(t, m.path("mipsecd.toml"), conf)
	write(t, m.path("psk"), secret)
	log, err := os.Create(m.path("log"))
	must(t, err)
	defer log.Close()
	m.cmd = exec.Command(os.Getenv(envBinary), "run", "-c", m.path("mipsecd.toml"))
	m.cmd.Stdout, m.cmd.Stderr = log, log
	must(t, node.Do(m.cmd.Start))
	go func() {
		m.failure = m.cmd.Wait()
		close(m.done)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("mipsecd on %s:\n%s", node, m.log(t))
		}
		m.cmd.Process.Kill()
		m.ended()
	})
	wait(t, "mipsecd answers", func() error {
		_, err := m.status()
		return err
	})
	return m
}

// list is what commas separate as TOML.
func list(s string) string { return `["` + strings.ReplaceAll(s, ",", `", "`) + `"]` }

func (m *mipsecd) path(name string) string { return filepath.Join(m.dir, name) }

func (m *mipsecd) signal(t *testing.T, s os.Signal) {
	t.Helper()
	must(t, m.cmd.Process.Signal(s))
}

// stop asks the agent to end, and waits until it has.
func (m *mipsecd) stop(t *testing.T) {
	t.Helper()
	m.signal(t, syscall.SIGTERM)
	defer time.AfterFunc(patience, func() { m.cmd.Process.Kill() }).Stop()
	if err := m.ended(); err != nil {
		t.Errorf("mipsecd ended with %v, want success", err)
	}
}

// ended waits until the agent has ended.
func (m *mipsecd) ended() error {
	<-m.done
	return m.failure
}

// running reports whether the agent has not ended.
func (m *mipsecd) running() bool {
	select {
	case <-m.done:
		return false
	default:
		return true
	}
}

func (m *mipsecd) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(m.path("log"))
	must(t, err)
	return string(b)
}

// status is as much of what the agent tells as the tests look at.
type status struct {
	Bindings []control.Binding
	IKESAs   []ikeSA
}

type ikeSA struct {
	control.IKESA
	Children []childSA
}

type childSA struct {
	SPIIn  string
	SPIOut string
}

// established picks the IKE_SAs that are: one of which nothing is left but an answer to repeat is not.
func (s status) established() []ikeSA {
	return slices.DeleteFunc(s.IKESAs, func(sa ikeSA) bool { return sa.State != "established" })
}

// status asks it as "mipsecd status" does.
func (m *mipsecd) status() (s status, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := control.Client{Socket: m.path("control")}.Status(ctx)
	s.Bindings = all.Bindings
	for _, sa := range all.IKESAs {
		var children []childSA
		for _, c := range sa.Children {
			children = append(children, childSA{SPIIn: c.SPIIn, SPIOut: c.SPIOut})
		}
		s.IKESAs = append(s.IKESAs, ikeSA{sa, children})
	}
	return s, err
}
