//go:build linux

package interop

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mipsecd/integration/lab"
)

// libreswan is that project's IKE daemon, pluto, on one host of the lab. It is started anew for each configuration.
type libreswan struct {
	node     lab.Node
	address  netip.Addr // of the mobile node
	children []traffic
	dir      string
	cmd      *exec.Cmd // nil while it does not run
}

const (
	// libreswanFiles is where install.sh puts what Debian's package has for /: it cannot be installed beside strongSwan's.
	libreswanFiles = "/opt/mipsecd-test/libreswan"
	libreswanBin   = "/usr/libexec/ipsec" // where the programs look for each other
)

// newLibreswan prepares the daemon, and ends it when the test ends.
func newLibreswan(t *testing.T, node lab.Node, mobileNode netip.Addr, children ...traffic) *libreswan {
	t.Helper()
	if _, err := os.Lstat(libreswanBin); err != nil {
		must(t, os.Symlink(filepath.Join(libreswanFiles, libreswanBin), libreswanBin))
	}
	l := &libreswan{node: node, address: mobileNode, children: children, dir: t.TempDir()}
	write(t, l.logFile(), "")
	t.Cleanup(func() { l.clear(t) })
	return l
}

func (l *libreswan) path(name string) string { return filepath.Join(l.dir, name) }
func (l *libreswan) logFile() string         { return l.path("log") }

// plutoSuites are the suites as libreswan writes them.
var plutoSuites = map[string]suite{
	modern.name:    {ike: "aes_gcm128-sha2_256-dh31", esp: "aes_gcm128-null-dh31"},
	suites[1].name: {ike: "aes_gcm128-sha2_256-dh19", esp: "aes_gcm128-null-dh19"},
	suites[2].name: {ike: "aes256-sha2_256-dh14", esp: "aes256-sha2_256-dh14"},
	basic.name:     {ike: "aes128-sha1-dh5", esp: "aes128-sha1"},
	wideIKE.name:   {ike: "aes_gcm128-sha2_256-dh31,aes_gcm128-sha2_256-dh14", esp: "aes_gcm128-null-dh14"},
	narrowIKE.name: {ike: "aes_gcm128-sha2_256-dh14", esp: "aes_gcm128-null-dh14"},
}

const plutoConf = `
config setup
	plutodebug=base

conn %%default
	left=%s
	right=%s
	leftid=%s
	rightid=%s
	ike=%s
	esp=%s
	keyingtries=1
	initial-contact=yes
	retransmit-interval=300
	retransmit-timeout=%d
	leftupdown=%%disabled
	%s
`

const plutoConn = `
conn %s
	auto=add
	type=%s
	leftsubnet=%s
	rightsubnet=%s
	%s
`

// configure starts the daemon. It has no lifetimes but those that are asked for.
func (l *libreswan) configure(t *testing.T, o peerOptions) {
	t.Helper()
	own, theirs, id, theirID := l.address, lab.HomeAgent, identityMN, "@"+identityHA
	if l.node == lab.HA {
		own, theirs, id, theirID = theirs, own, theirID, id
	}
	more, giveUp := []string{"authby=secret", "rekey=no"}, 30
	if o.papers != nil {
		more[0] = "leftcert=own\n\tleftsendcert=always\n\tauthby=rsa-sha2"
		if o.papers.kind == "P-256" {
			more[0] = "leftcert=own\n\tleftsendcert=always\n\tauthby=ecdsa"
		}
	}
	if o.lifetime > 0 {
		more[1] = fmt.Sprintf("rekey=yes\n\tsalifetime=%ds\n\tikelifetime=%ds\n\trekeymargin=%ds\n\trekeyfuzz=0%%",
			o.lifetime+plutoMargin, o.lifetime*3/2+plutoMargin, plutoMargin)
	}
	if o.liveness != "" {
		giveUp = 5
		more = append(more, "dpddelay="+o.liveness, "dpdtimeout=3s", "dpdaction=clear")
	}
	s := plutoSuites[o.suite.name]
	conf := fmt.Sprintf(plutoConf, own, theirs, id, theirID, s.ike, s.esp, giveUp, strings.Join(more, "\n\t"))
	for _, k := range l.children {
		mobile, home, only := lab.HoA.String()+"/128", lab.HomeAgent.String()+"/128", ""
		switch k {
		case payload:
			home = "::/0"
		case direct:
			only = "leftprotoport=tcp\n\trightprotoport=tcp"
		}
		if l.node == lab.HA {
			mobile, home = home, mobile
		}
		conf += fmt.Sprintf(plutoConn, k.name, k.mode, mobile, home, only)
	}
	write(t, l.path("ipsec.conf"), conf)
	write(t, l.path("ipsec.secrets"), fmt.Sprintf("%s %s : PSK %q\n", id, theirID, cmp.Or(o.secret, secretText)))
	l.start(t, o)
}

// plutoMargin is how many seconds before the end of a lifetime libreswan rekeys.
const plutoMargin = 30

func (l *libreswan) start(t *testing.T, o peerOptions) {
	t.Helper()
	nss := "sql:" + l.path("nss")
	must(t, os.RemoveAll(l.path("nss")))
	must(t, os.MkdirAll(l.path("nss"), 0o700))
	l.run(t, "certutil", "-N", "-d", nss, "--empty-password")
	if o.papers != nil {
		cert, key, ca, both := l.path("cert.pem"), l.path("key.pem"), l.path("ca.pem"), l.path("own.p12")
		o.papers.writeTo(t, l.node, o.papers.root, cert, key, ca)
		l.run(t, "openssl", "pkcs12", "-export", "-in", cert, "-inkey", key, "-name", "own", "-passout", "pass:none", "-out", both)
		l.run(t, "pk12util", "-i", both, "-d", nss, "-W", "none", "-K", "")
		l.run(t, "certutil", "-A", "-n", "root", "-t", "CT,,", "-i", ca, "-d", nss)
	}
	out, err := os.Create(l.path("out"))
	must(t, err)
	defer out.Close()
	cmd := exec.Command(libreswanBin+"/pluto", "--nofork", "--config", l.path("ipsec.conf"), "--rundir", l.dir,
		"--nssdir", l.path("nss"), "--secretsfile", l.path("ipsec.secrets"), "--logfile", l.logFile())
	cmd.Stdout, cmd.Stderr = out, out
	must(t, l.node.Do(cmd.Start))
	l.cmd = cmd
	wait(t, "pluto has its connections", func() error { // a helper of its own adds them
		out, err := l.whack("--status")
		if n := strings.Count(out, "conn serial:"); err == nil && n < len(l.children) {
			err = fmt.Errorf("%d of %d", n, len(l.children))
		}
		return err
	})
	l.must(t, "--listen")
}

func (l *libreswan) run(t *testing.T, name string, args ...string) {
	t.Helper()
	_, err := l.node.Run(name, args...)
	must(t, err)
}

// clear ends the daemon, if it runs, without a word to mipsecd.
func (l *libreswan) clear(t *testing.T) {
	t.Helper()
	if l.cmd == nil {
		return
	}
	l.cmd.Process.Kill()
	l.cmd.Wait()
	l.cmd = nil
	must(t, os.Remove(l.path("pluto.ctl")))
	must(t, os.Remove(l.path("pluto.pid")))
}

// whack gives the daemon a command, and yields what it says to that.
func (l *libreswan) whack(args ...string) (string, error) {
	return ask(nil, libreswanBin+"/whack", append(args, "--rundir", l.dir)...)
}

func (l *libreswan) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := l.whack(args...)
	must(t, err)
	return out
}

func (l *libreswan) name() string                       { return "libreswan" }
func (l *libreswan) rekeyChild(t *testing.T, k traffic) { l.must(t, "--rekey-ipsec", "--name", k.name) }
func (l *libreswan) signal(t *testing.T, s os.Signal)   { must(t, l.cmd.Process.Signal(s)) }
func (l *libreswan) press(t *testing.T)                 { l.must(t, "--ddos-busy") }

func (l *libreswan) version(t *testing.T) string {
	t.Helper()
	out, err := l.node.Run(libreswanBin+"/pluto", "--version")
	must(t, err)
	return strings.Fields(out)[1]
}

func (l *libreswan) initiate(k traffic) error {
	out, err := l.whack("--initiate", "--name", k.name)
	if err == nil && !strings.Contains(out, "initiator established Child SA") {
		err = fmt.Errorf("no Child SA: %s", out)
	}
	return err
}

var (
	plutoIKE   = regexp.MustCompile(`(?m)^000 #(\d+): "(\w+)":\d+ STATE_V2_ESTABLISHED_IKE_SA `)
	plutoChild = regexp.MustCompile(`(?m)^000 #(\d+): "(\w+)":\d+ STATE_V2_ESTABLISHED_CHILD_SA .* IKE SA #(\d+);`)
	plutoSPIs  = regexp.MustCompile(`(?m)^000 #(\d+): .*? esp:([0-9a-f]+)@\S+ esp:([0-9a-f]+)@`)
)

// established: libreswan knows its IKE_SAs by numbers, and does not tell their SPIs.
func (l *libreswan) established(t *testing.T) (list []peerSA) {
	t.Helper()
	if l.cmd == nil {
		return nil
	}
	states := l.must(t, "--showstates")
	spis := map[string]childSA{}
	for _, m := range plutoSPIs.FindAllStringSubmatch(states, -1) {
		spis[m[1]] = childSA{SPIIn: padded(m[3]), SPIOut: padded(m[2])}
	}
	for _, ike := range plutoIKE.FindAllStringSubmatch(states, -1) {
		var sa peerSA
		for _, child := range plutoChild.FindAllStringSubmatch(states, -1) {
			if child[3] == ike[1] {
				sa.children = append(sa.children, spis[child[1]])
			}
		}
		list = append(list, sa)
	}
	return list
}

// padded is an SPI with the zeros that some write and some do not.
func padded(spi string) string { return fmt.Sprintf("%08s", spi) }

func (l *libreswan) deleteChild(t *testing.T, k traffic) {
	t.Helper()
	for _, child := range plutoChild.FindAllStringSubmatch(l.must(t, "--showstates"), -1) {
		if child[2] == k.name {
			l.must(t, "--deletestate", child[1])
			return
		}
	}
	t.Fatalf("libreswan has no Child SA for %s", k.name)
}

// rekeyIKE: the IKE_SA is that of the connection with which it began.
func (l *libreswan) rekeyIKE(t *testing.T) {
	t.Helper()
	l.must(t, "--rekey-ike", "--name", plutoIKE.FindStringSubmatch(l.must(t, "--showstates"))[2])
}

func (l *libreswan) deleteIKE(t *testing.T) {
	t.Helper()
	for _, ike := range plutoIKE.FindAllStringSubmatch(l.must(t, "--showstates"), -1) {
		l.must(t, "--deletestate", ike[1])
	}
}

func (l *libreswan) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(l.logFile())
	must(t, err)
	return string(b)
}

func (l *libreswan) says(e event) string {
	return map[event]string{
		refusesAuth:   `AUTHENTICATION_FAILED`,
		cookieAsked:   `received anti-DDOS COOKIE response|DOS mode on; responding to IKE_SA_INIT with cookie notification request`,
		wrongKE:       `INVALID_KE_PAYLOAD`,
		probeAnswered: `received an INFORMATIONAL liveness check response`,
		probeReceived: `received an INFORMATIONAL liveness check request`,
		givesUp:       `second timeout exceeded after \d+ retransmits`,
	}[e]
}

func (l *libreswan) verifies(kind string) []string {
	return map[string][]string{
		"RSA":   {`authenticated peer '\d+-bit RSASSA-PSS with SHA2_\d+' digital signature`},
		"P-256": {`authenticated peer 'P-256 ECDSA with SHA2_\d+' digital signature`},
	}[kind]
}

// lacks: libreswan tells itself what it has not.
func (l *libreswan) lacks(t *testing.T, name string) string {
	t.Helper()
	switch {
	case strings.HasSuffix(name, "Ed25519"):
		_, err := l.node.Run("certutil", "-R", "-k", "ed25519", "-s", "CN=mn", "-d", "sql:"+l.dir)
		return because(t, err, "ed25519 is neither a key-type nor a nickname nor a key-id")
	case name == "INVALID_KE_PAYLOAD to CREATE_CHILD_SA":
		_, err := l.node.Run(libreswanBin+"/algparse", "-v2", "-pfs", "esp=aes_gcm128;dh31,aes_gcm128;dh14")
		return because(t, err, "more than one IKEv2 ESP DH algorithm .*")
	}
	return ""
}

// TestLibreswan is the matrix for libreswan, in tunnels: in transport mode it has no SAs on other addresses than IKE uses.
func TestLibreswan(t *testing.T) {
	twoWays(t, "libreswan", func(t *testing.T, mipsecdOn lab.Node) {
		on := opposite(mipsecdOn)
		p := &pairing{world: build(t), mipsecdOn: mipsecdOn, peerOn: on, first: agent, second: payload}
		p.peer = newLibreswan(t, on, p.at, agent, payload)
		p.run(t, p.inMode("tunnel", payload)...)
		p.run(t, p.matrix()...)
		p.run(t, testCase{"libreswan's lifetimes are the shorter ones", p.peerOutlived(4)}, testCase{"cookie", p.cookie})
	})
}

// TestLibreswanTransport has the mobile node at home, where the home address is the one that IKE uses.
func TestLibreswanTransport(t *testing.T) {
	twoWays(t, "libreswan", func(t *testing.T, mipsecdOn lab.Node) {
		on := opposite(mipsecdOn)
		p := &pairing{world: buildAtHome(t), mipsecdOn: mipsecdOn, peerOn: on, first: direct}
		p.peer = newLibreswan(t, on, p.at, direct)
		p.run(t, p.inMode("transport", direct)...)
	})
}
