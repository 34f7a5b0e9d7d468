//go:build linux

package interop

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mipsecd/integration/lab"
	"mipsecd/internal/testpki"
)

// openIKED is OpenBSD's IKE daemon, iked, on one host of the lab. It begins IKE_SAs when it starts, not when it is told to.
type openIKED struct {
	node    lab.Node
	address netip.Addr // of the mobile node
	flows   []traffic  // of the Child SA: payload, or both agent and payload, or direct
	dir     string
	cmd     *exec.Cmd // nil while it does not run
}

// openIKEDFiles is where it looks for keys and certificates, after it has made that its root directory.
const openIKEDFiles = "/etc/iked"

// newOpenIKED prepares the daemon, and ends it when the test ends.
func newOpenIKED(t *testing.T, node lab.Node, mobileNode netip.Addr, flows ...traffic) *openIKED {
	t.Helper()
	o := &openIKED{node: node, address: mobileNode, flows: flows, dir: t.TempDir()}
	write(t, o.path("log"), "")
	t.Cleanup(func() { o.clear(t) })
	return o
}

func (o *openIKED) path(name string) string { return filepath.Join(o.dir, name) }

// openIKEDIKE are the IKE_SAs' proposals of suites as iked writes them, and openIKEDESP those of Child SAs.
var (
	openIKEDIKE = map[string]string{
		modern.ike:    "enc aes-128-gcm prf hmac-sha2-256 group curve25519",
		suites[1].ike: "enc aes-128-gcm prf hmac-sha2-256 group ecp256",
		basic.ike:     "enc aes-128 auth hmac-sha1 prf hmac-sha1 group modp1536",
		wideIKE.ike:   "enc aes-128-gcm prf hmac-sha2-256 group curve25519 group modp2048",
		narrowIKE.ike: "enc aes-128-gcm prf hmac-sha2-256 group modp2048",
	}
	openIKEDESP = map[string]string{
		"aes128-sha1":          "enc aes-128 auth hmac-sha1",
		"aes128-sha1-x25519":   "enc aes-128 auth hmac-sha1 group curve25519",
		"aes128-sha1-ecp256":   "enc aes-128 auth hmac-sha1 group ecp256",
		"aes128-sha1-modp2048": "enc aes-128 auth hmac-sha1 group modp2048",

		"aes128-sha1-x25519-modp2048": "enc aes-128 auth hmac-sha1 group curve25519 group modp2048",
	}
)

const openIKEDConf = `
set enforcesingleikesa
set dpd_check_interval %s
ikev2 "peer" %s %s esp %s %s local %s peer %s ikesa %s childsa %s noesn srcid %s dstid %s \
	ikelifetime %d lifetime %d %s
`

// configure starts the daemon, if it is not to begin. It has no lifetimes but those that are asked for.
func (o *openIKED) configure(t *testing.T, p peerOptions) {
	t.Helper()
	o.clear(t)
	own, theirs, id, theirID, mode := o.address, lab.HomeAgent, identityMN, identityHA, "active"
	if o.node == lab.HA {
		own, theirs, id, theirID, mode = theirs, own, theirID, id, "passive"
	}
	var only string
	var flows []string
	for _, k := range o.flows {
		from, to := lab.HoA.String(), lab.HomeAgent.String()
		switch k {
		case payload:
			to = "::/0"
		case direct:
			only = "proto tcp"
		}
		if o.node == lab.HA {
			from, to = to, from
		}
		flows = append(flows, "from "+from+" to "+to)
	}
	auth := fmt.Sprintf("psk %q", cmp.Or(p.secret, secretText))
	if p.papers != nil {
		auth = ""
	}
	o.give(t, p.papers)
	write(t, o.path("conf"), fmt.Sprintf(openIKEDConf, strings.TrimSuffix(cmp.Or(p.liveness, "0s"), "s"), mode, o.flows[0].mode,
		only, strings.Join(flows, " "), own, theirs, openIKEDIKE[p.ike], openIKEDESP[p.esp], id, theirID,
		p.lifetime*3/2, p.lifetime, auth))
	if mode == "passive" {
		start := len(o.log(t))
		must(t, o.start())
		wait(t, "iked is ready", func() error {
			if !strings.Contains(o.log(t)[start:], openIKEDReady) {
				return errors.New("it is not")
			}
			return nil
		})
	}
}

// give puts the host's papers where iked finds them. It wants a key also where it proves itself by a secret.
func (o *openIKED) give(t *testing.T, p *papers) {
	t.Helper()
	files := map[string][]byte{"private/local.key": testpki.KeyPEM(testpki.Key("P-256"))}
	if p != nil {
		cert, key := p.of(o.node)
		files = map[string][]byte{"private/local.key": key, "certs/own.crt": testpki.CertificatesPEM(cert),
			"ca/root.crt": testpki.CertificatesPEM(p.root.Certificate)}
	}
	for name, text := range files {
		path := filepath.Join(openIKEDFiles, name)
		write(t, path, string(text))
		if name != "private/local.key" { // which it reads while it is root
			must(t, os.Chmod(path, 0o644))
		}
	}
}

func (o *openIKED) start() error {
	log, err := os.OpenFile(o.path("log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("/usr/sbin/iked", "-d", "-vv", "-f", o.path("conf"), "-s", o.path("control"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := o.node.Do(cmd.Start); err != nil {
		return err
	}
	o.cmd = cmd
	return nil
}

// openIKEDReady is what iked logs last when it begins: what it has agreed before that, it forgets.
const openIKEDReady = "config_getstatic: no stickyaddress"

// clear ends the daemon, if it runs, without a word to mipsecd, and takes its papers away.
func (o *openIKED) clear(t *testing.T) {
	t.Helper()
	o.kill()
	for _, name := range []string{"certs/own.crt", "ca/root.crt"} {
		must(t, os.RemoveAll(filepath.Join(openIKEDFiles, name)))
	}
}

func (o *openIKED) kill() {
	if o.cmd == nil {
		return
	}
	o.signalAll(syscall.SIGKILL)
	o.cmd.Wait()
	o.cmd = nil
}

// ikectl gives the daemon a command, and yields what it says to that.
func (o *openIKED) ikectl(args ...string) (string, error) {
	return ask(nil, "/usr/sbin/ikectl", append([]string{"-s", o.path("control")}, args...)...)
}

func (o *openIKED) name() string { return "OpenIKED" }

// These no case asks for that it does not lack: it has no command for them.
func (o *openIKED) rekeyChild(t *testing.T, _ traffic) { t.Fatal("iked does not rekey when told to") }
func (o *openIKED) rekeyIKE(t *testing.T)              { t.Fatal("iked does not rekey when told to") }
func (o *openIKED) deleteChild(t *testing.T, _ traffic) {
	t.Fatal("iked does not delete a Child SA when told to")
}
func (o *openIKED) press(t *testing.T) { t.Fatal("iked never asks for cookies") }

func (o *openIKED) version(t *testing.T) string {
	t.Helper()
	out, err := o.node.Run("/usr/sbin/iked", "-V")
	must(t, err)
	return strings.Fields(out)[1]
}

// signal signals the daemon's processes, of which each but the first is in a session of its own.
func (o *openIKED) signal(t *testing.T, s os.Signal) {
	t.Helper()
	must(t, o.signalAll(s))
}

func (o *openIKED) signalAll(s os.Signal) error {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", o.cmd.Process.Pid))
	for _, field := range strings.Fields(string(children)) {
		pid, _ := strconv.Atoi(field)
		err = errors.Join(err, syscall.Kill(pid, s.(syscall.Signal)))
	}
	return errors.Join(err, o.cmd.Process.Signal(s))
}

var (
	openIKEDUp      = regexp.MustCompile(`established peer .* as initiator`)
	openIKEDRefused = regexp.MustCompile(`authentication failed for|type AUTHENTICATION_FAILED`)
)

// initiate starts it anew, and waits until it has what it begins with.
func (o *openIKED) initiate(traffic) error {
	o.kill()
	before, err := os.ReadFile(o.path("log"))
	if err != nil {
		return err
	}
	if err := o.start(); err != nil {
		return err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		log, err := os.ReadFile(o.path("log"))
		switch log = log[len(before):]; {
		case err != nil:
			return err
		case bytes.Contains(log, []byte("parent: parent_configure: failed")):
			return fmt.Errorf("iked has ended: %s", log)
		case openIKEDUp.Match(log):
			return nil
		case openIKEDRefused.Match(log):
			return errors.New("iked is refused")
		}
	}
	return errors.New("iked has not established anything")
}

var (
	openIKEDIKESA = regexp.MustCompile(`(?m)^iked_sas: (\S+) rspi 0x(\w+) ispi 0x(\w+) .* ESTABLISHED `)
	openIKEDChild = regexp.MustCompile(`(?m)^  sa_childsas: (\S+) ESP 0x(\w+) (in|out) .* P=(\S+) @(\S+)$`)
)

// established: iked tells of each SA of a Child SA, which is the other one of the pair, and whose they are.
func (o *openIKED) established(t *testing.T) (list []peerSA) {
	t.Helper()
	if o.cmd == nil {
		return nil
	}
	out, err := o.ikectl("show", "sa")
	must(t, err)
	children := openIKEDChild.FindAllStringSubmatch(out, -1)
	for _, ike := range openIKEDIKESA.FindAllStringSubmatch(out, -1) {
		sa := peerSA{spis: ike[3] + ike[2]}
		for _, in := range children {
			for _, out := range children {
				if in[5] == ike[1] && in[3] == "in" && out[3] == "out" && out[1] == in[4] {
					sa.children = append(sa.children, childSA{SPIIn: in[2], SPIOut: out[2]})
				}
			}
		}
		list = append(list, sa)
	}
	return list
}

func (o *openIKED) deleteIKE(t *testing.T) {
	t.Helper()
	id := "FQDN/" + identityHA
	if o.node == lab.HA {
		id = "UFQDN/" + identityMN
	}
	_, err := o.ikectl("reset", "id", id)
	must(t, err)
}

func (o *openIKED) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(o.path("log"))
	must(t, err)
	return string(b)
}

// says: it logs each payload of the messages, also of those that it sends.
func (o *openIKED) says(e event) string {
	return map[event]string{
		refusesAuth:    openIKEDRefused.String(),
		cookieAsked:    `ikev2_pld_notify: .* type COOKIE\b`,
		wrongKE:        `ikev2_pld_notify: .* type INVALID_KE_PAYLOAD`,
		wrongKEInChild: `ikev2_pld_notify: .* type INVALID_KE_PAYLOAD`,
		probeAnswered:  `(?s)sending alive check.*send INFORMATIONAL req \d+.*recv INFORMATIONAL res \d+`,
		probeReceived:  `(?s)recv INFORMATIONAL req \d+.*send INFORMATIONAL res \d+`,
		givesUp:        `sa_free: retransmit limit reached`,
	}[e]
}

func (o *openIKED) verifies(kind string) []string {
	return []string{`ikev2_msg_authverify: method SIG keylen \d+ type X509_CERT`, `ikev2_msg_authverify: authentication successful`}
}

// lacks: iked tells itself what it has not.
func (o *openIKED) lacks(t *testing.T, name string) string {
	t.Helper()
	switch {
	case name == "OpenIKED rekeys":
		_, err := o.ikectl("rekey")
		return because(t, err, `unknown argument: rekey`)
	case name == "OpenIKED deletes a Child SA":
		_, err := o.ikectl("reset", "child")
		return because(t, err, `unknown argument: child`)
	case strings.HasSuffix(name, "certificate, Ed25519"):
		defer o.clear(t)
		o.give(t, newPapers(t, "Ed25519"))
		write(t, o.path("conf"), "set active\n")
		return because(t, o.initiate(payload), `ca_privkey_serialize: unsupported key type`)
	}
	return ""
}
