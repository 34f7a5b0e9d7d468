package configs

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2"
	"mipsecd/internal/testpki"
)

// eapFiles are a password and the papers of home agent, mobile node and another EAP server.
func eapFiles(t *testing.T) func(string, Content) ([]byte, error) {
	t.Helper()
	root := testpki.NewAuthority(t, "root")
	files := map[string][]byte{"root.pem": testpki.CertificatesPEM(root.Certificate), "password": []byte("a\n"), "empty": {}}
	for name, san := range map[string]func(*x509.Certificate){
		"ha":     func(c *x509.Certificate) { c.DNSNames = []string{"ha.example.org"} },
		"mn1":    func(c *x509.Certificate) { c.EmailAddresses = []string{"mn1@example.org"} },
		"radius": func(c *x509.Certificate) { c.DNSNames = []string{"radius.example.org"} },
	} {
		key := testpki.Key("P-256")
		files[name+".pem"] = testpki.CertificatesPEM(root.Issue(t, name, key, san))
		files[name+".key"] = testpki.KeyPEM(key)
	}
	return func(path string, content Content) ([]byte, error) {
		if b, ok := files[path]; ok {
			return b, nil
		}
		return nil, errors.New(path + " is not there; want a file with " + string(content))
	}
}

const (
	haPapers   = "certificate-file = \"ha.pem\"\nprivate-key-file = \"ha.key\"\n"
	mnPapers   = "certificate-file = \"mn1.pem\"\nprivate-key-file = \"mn1.key\"\n"
	authority  = "ca-file = \"root.pem\"\n"
	passworded = "eap = \"mschapv2\"\neap-secret-file = \"password\"\n"
)

// withEAP is both configurations with these lines in the table of the peer, from line 8 on.
func mobileNodeWithEAP(peer string) string {
	return strings.Replace(mobileNode("", peer), "secret-file = \"ha.psk\"\n", "", 1)
}

func homeAgentWithEAP(peer string) string {
	return strings.Replace(homeAgent("", peer), "secret-file = \"mn1.psk\"\n", "", 1)
}

func TestEAP(t *testing.T) {
	for _, c := range []struct {
		name, mn, ha string
		right        bool
	}{
		{"EAP-MSCHAPv2", authority + passworded, haPapers + passworded, true},
		{"another user", authority + passworded + `eap-identity = "user"`, haPapers + passworded + `eap-identity = "user"`, true},
		{"two users", authority + passworded + `eap-identity = "user"`, haPapers + passworded, false},
		{"EAP-TLS", authority + mnPapers + `eap = "tls"`, haPapers + authority + `eap = "tls"`, true},
		{"EAP-TLS of another user", authority + mnPapers + `eap = "tls"`,
			haPapers + authority + "eap = \"tls\"\neap-identity = \"mn2@example.org\"", false},
		{"EAP-TLS with another server", authority + mnPapers + "eap = \"tls\"\neap-server = \"radius.example.org\"",
			haPapers + authority + `eap = "tls"`, false},
		{"two methods", authority + passworded, haPapers + authority + `eap = "tls"`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := eapFiles(t)
			var peers [2]*ikev2.Peer
			for i, text := range []string{mobileNodeWithEAP(c.mn), homeAgentWithEAP(c.ha)} {
				cfg, err := Parse("x.toml", []byte(text), read)
				if err != nil {
					t.Fatal(err)
				}
				peers[i] = cfg.Peers[0]
				believes := i == 0 || strings.Contains(c.ha, authority)
				if (len(cfg.Trusts) == 1) != believes {
					t.Errorf("%d sets of authorities", len(cfg.Trusts))
				}
				if _, err := ikev2.NewPeerList(cfg.Peers...); err != nil || peers[i].EAP.Proves != (i == 0) {
					t.Errorf("%+v: %v", peers[i], err)
				}
			}
			if err := talk(peers[0].EAP, peers[1].EAP); (err == nil) != c.right {
				t.Errorf("they end with %v", err)
			}
		})
	}
}

// talk has a mobile node prove itself to a home agent.
func talk(mn, ha *ikev2.EAP) error {
	peer, server := mn.Begin(time.Unix(1e9, 0), rand.Reader), ha.Begin(time.Unix(1e9, 0), rand.Reader)
	defer peer.Close()
	defer server.Close()
	var packet []byte
	for {
		question, serverErr := server.Step(packet)
		if serverErr != nil {
			return serverErr
		}
		answer, err := peer.Step(question.Packet)
		if err != nil || answer.Done {
			return err
		}
		packet = answer.Packet
	}
}

func TestEAPErrors(t *testing.T) {
	const needCA = "x.toml:5: mobile-node.ca-file: is missing; want the path of a file, as there is eap"
	for _, c := range []struct{ name, text, want string }{
		{"unknown method", mobileNodeWithEAP(authority + `eap = "md5"`),
			`x.toml:9: home-agent.eap: got "md5"; want "mschapv2", "tls" or "radius"`},
		{"no password", mobileNodeWithEAP(authority + `eap = "mschapv2"`),
			`x.toml:4: home-agent.eap-secret-file: is missing; want the path of a file, as eap is "mschapv2"`},
		{"an empty password", mobileNodeWithEAP(authority + "eap = \"mschapv2\"\neap-secret-file = \"empty\""),
			"x.toml:10: home-agent.eap-secret-file: empty: it is empty; want the password in it"},
		{"no such password", mobileNodeWithEAP(authority + "eap = \"mschapv2\"\neap-secret-file = \"none\""),
			"x.toml:10: home-agent.eap-secret-file: none is not there; want a file with the password of EAP"},
		{"nothing to believe the home agent by", mobileNodeWithEAP(passworded),
			"x.toml:4: home-agent.ca-file: is missing; want the path of a file, as there is eap"},
		{"nothing to believe the mobile node by", homeAgentWithEAP(haPapers + `eap = "tls"`), needCA},
		{"nothing for the home agent to prove itself with", homeAgentWithEAP(passworded),
			"x.toml:1: certificate-file: is missing; want the path of a file, as this host has to prove itself by a certificate\n" +
				"x.toml:1: private-key-file: is missing; want the path of a file, as this host has to prove itself by a certificate"},
		{"another's certificate", mobileNodeWithEAP(authority + haPapers + `eap = "tls"`),
			`x.toml:9: home-agent.certificate-file: the certificate of "CN=ha" is not of "mn1@example.org": its rfc822Name is ""`},
		{"an identity that is none", homeAgentWithEAP(haPapers + authority + "eap = \"tls\"\neap-identity = \"a user\""),
			"x.toml:12: mobile-node.eap-identity: got a user, which no certificate proves; want another"},
		{"a password for EAP-TLS", homeAgentWithEAP(haPapers + authority + "eap = \"tls\"\neap-secret-file = \"password\""),
			`x.toml:12: mobile-node.eap-secret-file: this is for eap = "mschapv2"; leave it out`},
		{"a server for EAP-MSCHAPv2", mobileNodeWithEAP(authority + passworded + `eap-server = "radius.example.org"`),
			`x.toml:11: home-agent.eap-server: this is for eap = "tls"; leave it out`},
		{"a server on a home agent", homeAgentWithEAP(haPapers + passworded + `eap-server = "radius.example.org"`),
			"x.toml:12: mobile-node.eap-server: there is no such key; the nearest is eap-secret-file"},
		{"a secret beside EAP", mobileNode("", `eap = "tls"`), "x.toml:9: home-agent.eap: want either it or secret-file"},
		{"no EAP", mobileNode("", `eap-identity = "user"`),
			"x.toml:9: home-agent.eap-identity: this is for EAP; want eap, and no secret-file, or leave it out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("x.toml", []byte(c.text), eapReader(t))
			if err == nil || err.Error() != c.want {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

// eapReader has a shared secret, too.
func eapReader(t *testing.T) func(string, Content) ([]byte, error) {
	read := eapFiles(t)
	return func(path string, content Content) ([]byte, error) {
		if content == PreSharedKey {
			return []byte(testSecret), nil
		}
		return read(path, content)
	}
}
