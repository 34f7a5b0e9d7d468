package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mipsecd/ikev2/wire"
)

// Where the certificates are is for those of the same table, and may be another for a peer.
func TestCertificatesByHashAndURL(t *testing.T) {
	files := library(t)
	read := func(path string, _ Content) ([]byte, error) { return files[path], nil }
	const (
		url    = "certificate-url = \"http://certs.example.org/ha.der\"\n"
		other  = "certificate-url = \"http://certs.example.net/ha.der\"\n"
		bundle = "certificate-bundle-url = \"http://certs.example.org/ha.bundle\"\n"
		own    = "certificate-file = \"ha.pem\"\nprivate-key-file = \"ha.key\"\n"
	)
	for _, c := range []struct{ name, top, peer, want string }{
		{"nowhere", "", "", ""},
		{"at the top", url, "", "http://certs.example.org/ha.der"},
		{"for a peer", "", url, "http://certs.example.org/ha.der"},
		{"elsewhere for a peer", url, other, "http://certs.example.net/ha.der"},
		{"a bundle", bundle, "", "http://certs.example.org/ha.bundle"},
		{"a bundle for a peer", url, bundle, "http://certs.example.org/ha.bundle"},
		{"a peer has its own certificate", url, own, ""},
		{"a peer has its own certificate, and where that is", url, own + other, "http://certs.example.net/ha.der"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := Parse("x.toml", []byte(certifiedHomeAgent(topCertificates+c.top, c.peer)+`
[[mobile-node]]
identity = "mn2@example.org"
home-address = "2001:db8:1::101"
`), read)
			if err != nil {
				t.Fatal(err)
			}
			sent := cfg.Peers[0].Credential.Published()[0].(*wire.Cert)
			encoding := wire.CertHashAndURLX509
			if strings.HasSuffix(c.want, "bundle") {
				encoding = wire.CertHashAndURLBundle
			}
			if c.want == "" {
				encoding = wire.CertX509Signature
			}
			if sent.Encoding != encoding || c.want != "" && string(sent.Data[20:]) != c.want {
				t.Errorf("%s %q", sent.Encoding, sent.Data)
			}
		})
	}
}

func TestCertificateServers(t *testing.T) {
	files := library(t)
	read := func(path string, _ Content) ([]byte, error) { return files[path], nil }
	cfg, err := Parse("x.toml", []byte(certifiedHomeAgent(topCertificates,
		"certificate-servers = [\"certs.example.org\", \"[2001:db8::1]:8080\"]\n")+`
[[mobile-node]]
identity = "mn2@example.org"
home-address = "2001:db8:1::101"
`), read)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(cfg.Peers[0].Trust.Servers); got != "[{certs.example.org 80} {2001:db8::1 8080}]" {
		t.Error(got)
	}
	if got := cfg.Peers[1].Trust.Servers; len(got) != 0 {
		t.Errorf("another peer's: %v", got)
	}
}

func TestHashAndURLErrors(t *testing.T) {
	files := library(t)
	read := func(path string, _ Content) ([]byte, error) { return files[path], nil }
	const url = `certificate-url = "http://certs.example.org/ha.der"`
	for _, c := range []struct{ name, text, want string }{
		{"not by http", certifiedHomeAgent(topCertificates, `certificate-url = "https://certs.example.org/ha.der"`),
			`x.toml:11: mobile-node.certificate-url: got "https://certs.example.org/ha.der"; want an http URL such as ` +
				`"http://certs.example.org/cert.der", or a list of such`},
		{"more than certificates", certifiedHomeAgent(topCertificates, `certificate-url = ["http://a/1", "http://a/2"]`),
			"x.toml:11: mobile-node.certificate-url: got 2 URLs; want at most 1, one for each certificate"},
		{"alone and in a bundle", certifiedHomeAgent(topCertificates, url+"\ncertificate-bundle-url = \"http://a/1\""),
			"x.toml:11: mobile-node.certificate-url: want either it or certificate-bundle-url"},
		{"a URL for a server", certifiedHomeAgent(topCertificates, `certificate-servers = "http://certs.example.org/"`),
			`x.toml:11: mobile-node.certificate-servers: got "http://certs.example.org/"; want a server such as ` +
				`"certs.example.org", or a list of such`},
		{"beside a secret", homeAgent("", url),
			"x.toml:9: mobile-node.certificate-url: this is for certificates; want either it or secret-file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("x.toml", []byte(c.text), read)
			if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), c.want) {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}
