//go:build linux

package interop

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/testpki"
)

// charon is strongSwan's IKE daemon on one host of the lab.
type charon struct {
	node lab.Node
	dir  string
	cmd  *exec.Cmd
	conn connection // that it has
}

// charonConf has just the plugins that are needed: some others would put bypass policies or name servers on the host. An
// inbound SA that was rekeyed goes at once, as SAs have no lifetime here: of one that stays for a while, strongSwan forgets
// the end if the IKE_SA is rekeyed just then.
const charonConf = `
charon-systemd {
	load = random nonce sha1 sha2 hmac kdf aes ctr ccm gcm chapoly cmac xcbc curve25519 gmp openssl pem kernel-netlink socket-default vici md4 eap-identity eap-mschapv2 eap-tls resolve curl
	install_routes = no
	retransmit_timeout = 0.8
	retransmit_base = 1.5
	retransmit_tries = 7
	delete_rekeyed_delay = 0
	cookie_threshold = %d
	%s
	plugins {
		vici {
			socket = unix://%s
		}
		resolve {
			file = %s
		}
	}
	filelog {
		main {
			path = %s
			default = 1
			flush_line = yes
			ike_name = yes
			time_format = %%T
		}
	}
	journal {
		default = -1
	}
}
swanctl {
	load = random openssl pem
}
`

// charonCookies is the number of half-open IKE_SAs from which on charon asks for a cookie.
const charonCookies = 1

// configureDaemon writes its own configuration: the usual, and these lines.
func (c *charon) configureDaemon(t *testing.T, lines ...string) {
	t.Helper()
	write(t, c.path("strongswan.conf"),
		fmt.Sprintf(charonConf, charonCookies, strings.Join(lines, "\n\t"), c.socket(), c.nameServers(), c.logFile()))
}

// set has the daemon go by these lines from now on, in place of those of an earlier call.
func (c *charon) set(t *testing.T, lines ...string) {
	t.Helper()
	c.configureDaemon(t, lines...)
	c.must(t, "--reload-settings")
}

// startCharon starts the daemon, and ends it when the test ends.
func startCharon(t *testing.T, node lab.Node) *charon {
	t.Helper()
	c := &charon{node: node, dir: t.TempDir()}
	c.configureDaemon(t)
	c.cmd = exec.Command("/usr/sbin/charon-systemd")
	c.cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+c.path("strongswan.conf"))
	must(t, node.Do(c.cmd.Start))
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	})
	wait(t, "charon answers", func() error {
		_, err := c.control("--stats")
		return err
	})
	return c
}

func (c *charon) path(name string) string { return filepath.Join(c.dir, name) }
func (c *charon) socket() string          { return c.path("vici") }
func (c *charon) logFile() string         { return c.path("log") }
func (c *charon) nameServers() string     { return c.path("resolv.conf") } // that it was told of

// control runs swanctl with one command.
func (c *charon) control(args ...string) (string, error) {
	return ask([]string{"STRONGSWAN_CONF=" + c.path("strongswan.conf"), "SWANCTL_DIR=" + c.dir},
		"swanctl", append(args, "--uri", "unix://"+c.socket())...)
}

func (c *charon) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.control(args...)
	must(t, err)
	return out
}

// saEvent begins each of sas.
const saEvent = "list-sa event"

// sas lists the IKE_SAs with the peer and their Child SAs.
func (c *charon) sas(t *testing.T) string {
	t.Helper()
	return c.must(t, "--list-sas", "--ike", "peer", "--raw")
}

// log is what the daemon has logged so far.
func (c *charon) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(c.logFile())
	must(t, err)
	return string(b)
}

// Reqids of charon's SAs: it has one for both directions.
const (
	charonBindingReqid = 11
	charonPayloadReqid = 12
)

// configure: for the binding charon uses the "transport proxy mode" for Mobile IPv6, which has SAs on the addresses of the
// traffic selectors. It can also ask for what is another mobile node's.
func (c *charon) configure(t *testing.T, o peerOptions) {
	t.Helper()
	out, in := "out", "in" // toward the home agent and back
	if c.node == lab.HA {
		out, in = in, out
	}
	n := c.usual(o.suite)
	n.id, n.peerID, n.secret = o.identities.in(n.id), o.identities.in(n.peerID), cmp.Or(o.secret, n.secret)
	n.lines = []string{"mobike = no", "unique = no"}
	if o.liveness != "" {
		n.lines = append(n.lines, "dpd_delay = "+o.liveness)
		c.set(t, "retransmit_tries = 3")
		t.Cleanup(func() { c.set(t) })
	}
	if o.papers != nil {
		c.give(t, o.papers)
		n.auth, n.peerAuth = "pubkey\n\t\t\tcerts = own.pem", "pubkey"
	}
	home := bindingTS(lab.HomeAgent)
	n.children = []child{
		{binding.name, transportProxy, c.selectors(bindingTS(lab.HoA), home), charonBindingReqid},
		{payload.name, "tunnel", c.selectors(lab.HoA.String()+"/128", "::/0"), charonPayloadReqid},
		{"others-binding", transportProxy, c.selectors(bindingTS(othersHoA), home), 0},
		{"others-payload", "tunnel", c.selectors(othersHoA.String()+"/128", "::/0"), 0},
	}
	c.load(t, n)

	const policy = "xfrm policy add src %s dst %s proto 135 type %d dir %s priority 2 tmpl proto esp mode transport reqid %d\n"
	must(t, c.node.IP(
		fmt.Sprintf(policy, lab.HoA, lab.HomeAgent, bindingUpdate, out, charonBindingReqid)+
			fmt.Sprintf(policy, lab.HomeAgent, lab.HoA, bindingAck, in, charonBindingReqid)))
}

// give puts its papers where swanctl finds them, until the test ends.
func (c *charon) give(t *testing.T, p *papers) {
	t.Helper()
	p.writeTo(t, c.node, p.root, c.path("x509/own.pem"), c.path("private/own.pem"), c.path("x509ca/root.pem"))
	if above := p.above[c.node]; above != nil {
		write(t, c.path("x509ca/above.pem"), string(testpki.CertificatesPEM(above)))
	}
	t.Cleanup(func() {
		for _, dir := range []string{"x509", "private", "x509ca"} {
			must(t, os.RemoveAll(c.path(dir)))
		}
	})
}

// Types of Mobility Header.
const (
	bindingUpdate = 5
	bindingAck    = 6
)

// bindingTS is one side's traffic selector for the binding: the type of what it sends is the high octet of the port
// (RFC 7296 section 3.13.1).
func bindingTS(a netip.Addr) string {
	if a == lab.HomeAgent {
		return fmt.Sprintf("%s/128[135/%d]", a, bindingAck<<8)
	}
	return fmt.Sprintf("%s/128[135/%d]", a, bindingUpdate<<8)
}
