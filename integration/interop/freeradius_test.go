//go:build linux

package interop

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/testpki"
	"mipsecd/internal/uml"
)

const (
	identityRADIUS = "radius.example.org" // dNSName of the server's certificate
	radiusSecret   = "a secret of home agent and RADIUS server"
)

// freeradiusConf begins with a method that no mobile node takes, so that it hears a Nak of each.
const freeradiusConf = `
raddbdir = %[1]q
logdir = %[1]q
run_dir = %[1]q
db_dir = %[1]q
libdir = /usr/lib/freeradius
pidfile = "%[1]s/pid"
correct_escapes = true
security {
	reject_delay = 0
}
client ha {
	ipv6addr = ::/0
	secret = %[2]q
	require_message_authenticator = yes
}
modules {
	files {
		usersfile = "%[1]s/users"
	}
	mschap {
		use_mppe = yes
	}
	eap {
		default_eap_type = md5
		md5 {
		}
		mschapv2 {
		}
		tls-config papers {
			certificate_file = "%[1]s/own.pem"
			private_key_file = "%[1]s/own.key"
			ca_file = "%[1]s/ca.pem"
			tls_min_version = "1.2"
			tls_max_version = %[3]q
			ecdh_curve = ""
		}
		tls {
			tls = papers
		}
	}
}
server default {
	listen {
		type = auth
		ipv6addr = ::
		port = 1812
	}
	authorize {
		files
		eap
	}
	authenticate {
		Auth-Type MS-CHAP {
			mschap
		}
		eap
	}
}
`

const freeradiusUsers = `%s Cleartext-Password := %q
	Session-Timeout = 3600
`

// freeradius is a running FreeRADIUS on the correspondent node.
type freeradius struct{ dir string }

// startFreeRADIUS starts the server, and ends it when the test ends. It believes who the papers' authority has certified.
func startFreeRADIUS(t *testing.T, p *papers, tlsVersion string) *freeradius {
	t.Helper()
	r := &freeradius{dir: t.TempDir()}
	about, err := lab.CN.Run("freeradius", "-v")
	must(t, err)
	t.Logf("version: %s", regexp.MustCompile(`Version ([0-9.]+)`).FindStringSubmatch(about)[1])
	key := testpki.Key("P-256")
	cert := p.root.Issue(t, "radius", key, func(c *x509.Certificate) { c.DNSNames = []string{identityRADIUS} })
	for name, text := range map[string]string{
		"radiusd.conf": fmt.Sprintf(freeradiusConf, r.dir, radiusSecret, tlsVersion), "dictionary": "",
		"users":   fmt.Sprintf(freeradiusUsers, identityMN, secretText),
		"own.pem": string(testpki.CertificatesPEM(cert)), "own.key": string(testpki.KeyPEM(key)),
		"ca.pem": string(testpki.CertificatesPEM(p.root.Certificate)),
	} {
		write(t, filepath.Join(r.dir, name), text)
	}
	out, err := os.Create(filepath.Join(r.dir, "out"))
	must(t, err)
	defer out.Close()
	cmd := exec.Command("/usr/sbin/freeradius", "-fX", "-d", r.dir, "-n", "radiusd")
	cmd.Stdout, cmd.Stderr = out, out
	must(t, lab.CN.Do(cmd.Start))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("FreeRADIUS:\n%s", r.log(t))
		}
		cmd.Process.Kill()
		cmd.Wait()
	})
	wait(t, "FreeRADIUS is ready", func() error {
		if !strings.Contains(r.log(t), "Ready to process requests") {
			return errors.New(r.log(t))
		}
		return nil
	})
	return r
}

func (r *freeradius) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "out"))
	must(t, err)
	return string(b)
}

// says holds that it has logged something.
func (r *freeradius) says(t *testing.T, text string) {
	t.Helper()
	if !strings.Contains(r.log(t), text) {
		t.Errorf("FreeRADIUS has not said %q", text)
	}
}

// asking is a home agent that has FreeRADIUS look at who its mobile nodes are.
func asking(t *testing.T, p *papers, secret string) mipsecdOptions {
	t.Helper()
	file := filepath.Join(t.TempDir(), "radius.secret")
	write(t, file, secret)
	m := modern.mipsecd()
	m.certified, m.proof = true, "eap = \"radius\"\n"
	m.more = p.forMipsecd(t, lab.HA) +
		fmt.Sprintf("\n[radius]\nservers = %q\nsecret-file = %q\ntimeout = \"10s\"\ntries = 2\n", lab.Correspondent, file)
	return m
}

// proving is a mobile node that proves itself by EAP.
func proving(t *testing.T, by method, p *papers, password string) mipsecdOptions {
	t.Helper()
	m := modern.mipsecd()
	m.certified, m.proof, m.secret = true, fmt.Sprintf("eap = %q\n", by.mipsecd), password
	m.more = p.forMipsecd(t, lab.MN)
	if by == byPassword {
		m.proof += "eap-secret-file = \"psk\"\n"
	} else {
		m.proof += fmt.Sprintf("eap-server = %q\n", identityRADIUS)
	}
	return m
}

// TestFreeRADIUS has mipsecd's home agent leave it to FreeRADIUS who the mobile node is.
func TestFreeRADIUS(t *testing.T) {
	t.Parallel()
	t.Run("mipsecd initiates", func(t *testing.T) {
		t.Parallel()
		uml.Run(t, mipsecdByRADIUS)
	})
	t.Run("strongSwan initiates", func(t *testing.T) {
		t.Parallel()
		uml.Run(t, strongSwanByRADIUS)
	})
}

// mipsecdByRADIUS: both ends are mipsecd's.
func mipsecdByRADIUS(t *testing.T) {
	w := build(t)
	run := func(t *testing.T, m, h mipsecdOptions) (mn, ha *mipsecd) {
		t.Helper()
		t.Cleanup(func() {
			for _, n := range []lab.Node{lab.MN, lab.HA} {
				must(t, n.IP("xfrm policy flush ptype main\nxfrm state flush proto esp"))
			}
		})
		return startMipsecd(t, lab.MN, m), startMipsecd(t, lab.HA, h)
	}
	for _, c := range []struct {
		name, tls string
		by        method
		kind      string // as FreeRADIUS calls the method
	}{
		{"EAP-MSCHAPv2", "1.2", byPassword, "MSCHAPv2 (26)"},
		{"EAP-TLS 1.2", "1.2", byCertificate, "TLS (13)"},
		{"EAP-TLS 1.3", "1.3", byCertificate, "TLS (13)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPapers(t, "P-256")
			r := startFreeRADIUS(t, p, c.tls)
			mn, ha := run(t, proving(t, c.by, p, secretText), asking(t, p, radiusSecret))
			w.register(t)
			ping(t, lab.MN)
			w.hidden(t)
			for _, m := range []*mipsecd{mn, ha} {
				s, err := m.status()
				if sas := s.established(); err != nil || len(sas) != 1 || len(sas[0].Children) != 2 {
					t.Errorf("mipsecd on %s has %+v, %v; want one IKE_SA with two Child SAs", m.node, s, err)
				}
			}
			mn.logs(t, "N(AUTH_LIFETIME)") // from Session-Timeout
			r.says(t, "Found mutually acceptable type "+c.kind)
			r.says(t, "Sent Access-Accept")
		})
	}
	for _, c := range []struct {
		name, password, radiusSecret, haSays string
	}{
		{"wrong password", "another secret", radiusSecret, "RADIUS: Access-Reject"},
		{"wrong secret of RADIUS", secretText, "another secret of RADIUS", "does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPapers(t, "P-256")
			startFreeRADIUS(t, p, "1.2")
			_, ha := run(t, proving(t, byPassword, p, c.password), asking(t, p, c.radiusSecret))
			if echo(lab.MN, "-c1", "-W1") == nil {
				t.Error("it was not refused")
			}
			ha.logs(t, c.haSays)
			for _, n := range []lab.Node{lab.MN, lab.HA} {
				if sas := kernelSAs(t, n); len(sas) > 0 {
					t.Errorf("%s has %v", n, sas)
				}
			}
			w.hidden(t)
		})
	}
}

// strongSwanByRADIUS: strongSwan is the mobile node.
func strongSwanByRADIUS(t *testing.T) {
	p := pairCharon(t, lab.HA)
	meet := func(t *testing.T, by method, papers *papers) *meeting {
		t.Helper()
		o := modern.peer()
		o.papers = papers
		x := p.meet(t, asking(t, papers, radiusSecret), o)
		x.charon.useEAP(t, by.charon+"\n\t\t\taaa_id = "+identityRADIUS)
		return x
	}
	for _, by := range []method{byPassword, byCertificate} {
		t.Run(by.logged, func(t *testing.T) {
			papers := newPapers(t, "P-256")
			startFreeRADIUS(t, papers, "1.2")
			x := meet(t, by, papers)
			x.bothPass(t, x.both(t))
			x.logged(t, 0, "EAP method "+by.logged+" succeeded, MSK established")
		})
	}
	t.Run("a RADIUS server of another authority", func(t *testing.T) {
		papers, others := newPapers(t, "P-256"), newPapers(t, "P-256")
		startFreeRADIUS(t, others, "1.2")
		x := meet(t, byCertificate, papers)
		x.refused(t, refusesEAP)
		x.nothing(t)
		x.hidden(t)
	})
}
