package auth

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"
	"testing"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/testpki"
)

// published is what is at URLs.
type published struct {
	data    map[string][]byte
	fetched []string
}

func (p *published) Fetch(url string, _ [sha1.Size]byte, check func([]byte) error) error {
	p.fetched = append(p.fetched, url)
	data, there := p.data[url]
	if !there {
		return errors.New("nobody answers")
	}
	return check(data)
}

const certsURL = "http://certs.example.org/"

// looking is a trust in an authority that fetches from one server, and what is there.
func looking(t *testing.T, root *testpki.Authority) (*Trust, *published) {
	t.Helper()
	trust, at := trust(t, root), &published{data: map[string][]byte{}}
	server, err := ParseServer("Certs.example.org")
	if err != nil {
		t.Fatal(err)
	}
	trust.Servers, trust.Fetcher = []Server{server}, at
	return trust, at
}

// publish puts a certificate, or whatever it is, at a URL, and yields what names it.
func (p *published) publish(encoding wire.CertEncoding, name string, data []byte) *wire.Cert {
	p.data[certsURL+name] = data
	return refer(encoding, data, certsURL+name)
}

func TestRFC7296_3_6_HashAndURL(t *testing.T) {
	p := newPKI(t)
	leaf, sub := p.sub.Issue(t, "ha", p.key, named), p.sub.Certificate
	other := p.root.Issue(t, "other", testpki.Key("P-256"), nil)
	inline := func(c *x509.Certificate) *wire.Cert { return &wire.Cert{Encoding: wire.CertX509Signature, Data: c.Raw} }
	const one, bundle = wire.CertHashAndURLX509, wire.CertHashAndURLBundle
	at := func(url string) func(*published) []*wire.Cert {
		return func(p *published) []*wire.Cert {
			p.data[url] = leaf.Raw
			return []*wire.Cert{refer(one, leaf.Raw, url), inline(sub)}
		}
	}
	for _, c := range []struct {
		name    string
		sends   func(*published) []*wire.Cert
		fetches int
		failed  string
	}{
		{"all", func(p *published) []*wire.Cert {
			return []*wire.Cert{p.publish(one, "leaf", leaf.Raw), p.publish(one, "sub", sub.Raw)}
		}, 2, ""},
		{"only the first", func(p *published) []*wire.Cert {
			return []*wire.Cert{p.publish(one, "leaf", leaf.Raw), inline(sub)}
		}, 1, ""},
		{"only the second", func(p *published) []*wire.Cert {
			return []*wire.Cert{inline(leaf), p.publish(one, "sub", sub.Raw)}
		}, 1, ""},
		{"a bundle", func(p *published) []*wire.Cert {
			return []*wire.Cert{p.publish(bundle, "all", Bundle([]*x509.Certificate{leaf, sub}))}
		}, 1, ""},
		{"a bundle of what leads to the authority", func(p *published) []*wire.Cert {
			return []*wire.Cert{inline(leaf), p.publish(bundle, "sub", Bundle([]*x509.Certificate{sub}))}
		}, 1, ""},
		{"four", func(p *published) []*wire.Cert {
			return []*wire.Cert{
				p.publish(one, "leaf", leaf.Raw), p.publish(one, "other", other.Raw), p.publish(one, "again", leaf.Raw),
				p.publish(one, "sub", sub.Raw),
			}
		}, 4, ""},
		{"five", func(p *published) []*wire.Cert {
			return slices.Repeat([]*wire.Cert{p.publish(one, "leaf", leaf.Raw)}, 5)
		}, 4, "certificate 5 can't be read: more than 4 are named by hash and URL"},
		{"a bundle of too many", func(p *published) []*wire.Cert {
			return []*wire.Cert{inline(leaf), p.publish(bundle, "all", Bundle(slices.Repeat([]*x509.Certificate{sub}, maxChain)))}
		}, 1, "more than 10 certificates"},
		{"another at the URL", func(p *published) []*wire.Cert {
			r := p.publish(one, "leaf", leaf.Raw)
			p.publish(one, "leaf", other.Raw)
			return []*wire.Cert{r, inline(sub)}
		}, 1, `certificate 1 can't be read: Hash and URL of X.509 certificate at "http://certs.example.org/leaf": ` +
			`its SHA-1 hash is another`},
		{"nothing at the URL", func(p *published) []*wire.Cert {
			return []*wire.Cert{refer(one, leaf.Raw, certsURL+"gone")}
		}, 1, "nobody answers"},
		{"no certificate", func(p *published) []*wire.Cert {
			return []*wire.Cert{p.publish(one, "page", []byte("<html>"))}
		}, 1, "malformed certificate"},
		{"a bundle where there should be a certificate", func(p *published) []*wire.Cert {
			return []*wire.Cert{p.publish(one, "all", Bundle([]*x509.Certificate{leaf}))}
		}, 1, "malformed"},
		{"a certificate where there should be a bundle", func(p *published) []*wire.Cert {
			return []*wire.Cert{p.publish(bundle, "leaf", leaf.Raw)}
		}, 1, "item 1 of the CertificateBundle: neither [0] certificate nor [1] revocation list"},
		{"of somebody else", func(p *published) []*wire.Cert {
			return []*wire.Cert{p.publish(one, "other", other.Raw), p.publish(one, "leaf", leaf.Raw)}
		}, 1, `the certificate of "CN=other" is not of "ha.example.org"`},
		{"the same server, written otherwise", at("HTTP://CERTS.EXAMPLE.ORG:80/leaf?x=1"), 1, ""},
		{"another server", at("http://intranet/leaf"), 0,
			`it is at "http://intranet/leaf", and that server is not among those of certificate-servers`},
		{"another port", at("http://certs.example.org:8080/leaf"), 0, "is not among"},
		{"a server whose name goes on", at("http://certs.example.org.example.net/leaf"), 0, "is not among"},
		{"a server in the guise of a path", at("http://intranet/http://certs.example.org/leaf"), 0, "is not among"},
		{"a server in the guise of a user", at("http://certs.example.org@intranet/leaf"), 0, "want a URL such as"},
		{"a user", at("http://me@certs.example.org/leaf"), 0, "want a URL such as"},
		{"https", at("https://certs.example.org/leaf"), 0, "want a URL such as"},
		{"a file", at("file:///etc/passwd"), 0, "want a URL such as"},
		{"no URL", at("leaf"), 0, "want a URL such as"},
		{"an empty URL", at(""), 0, "want a URL such as"},
		{"a line too much", at("http://certs.example.org/\r\nHost: intranet"), 0, "want a URL such as"},
		{"the longest URL", at(certsURL + strings.Repeat("x", maxURL-len(certsURL))), 1, ""},
		{"a longer URL", at(certsURL + strings.Repeat("x", maxURL+1-len(certsURL))), 0, "a URL of 1025 octets; want at most 1024"},
	} {
		t.Run(c.name, func(t *testing.T) {
			trust, at := looking(t, p.root)
			said := claim(t, credential(t, p.key, leaf), offered)
			said.Certificates = c.sends(at)
			err := trust.Check(said, now)
			if c.failed != "" {
				failed(t, err, c.failed)
			} else if err != nil {
				t.Error(err)
			}
			if len(at.fetched) != c.fetches {
				t.Errorf("fetched %q, want %d", at.fetched, c.fetches)
			}
		})
	}
}

// Who does not own the key has nothing fetched but the certificate by which that is found out.
func TestOnlyTheOwnerOfTheKeyHasMoreFetched(t *testing.T) {
	p := newPKI(t)
	trust, at := looking(t, p.root)
	leaf := p.sub.Issue(t, "ha", p.key, named)
	said := claim(t, credential(t, p.key, leaf), offered)
	said.Certificates = []*wire.Cert{
		at.publish(wire.CertHashAndURLX509, "leaf", leaf.Raw), at.publish(wire.CertHashAndURLX509, "sub", p.sub.Certificate.Raw),
	}
	said.Octets = []byte("something else")
	failed(t, trust.Check(said, now), "the signature (ECDSA with SHA-256) is wrong")
	if !slices.Equal(at.fetched, []string{certsURL + "leaf"}) {
		t.Errorf("fetched %q", at.fetched)
	}
}

// Where nothing is to be fetched, nothing is.
func TestHashAndURLNotWanted(t *testing.T) {
	own, trust := side(t, "P-256")
	said := claim(t, own, offered)
	at := &published{data: map[string][]byte{}}
	said.Certificates = []*wire.Cert{at.publish(wire.CertHashAndURLX509, "leaf", own.chain[0].Raw)}
	trust.Fetcher = at
	failed(t, trust.Check(said, now), "no X.509 certificate has come with the signature, but Hash and URL of X.509 certificate")
	said.Certificates = append(said.Certificates, certificates(own)...)
	if err := trust.Check(said, now); err != nil {
		t.Error(err)
	}
	if len(at.fetched) != 0 {
		t.Errorf("fetched %q", at.fetched)
	}
}

// What one side publishes is what the other looks up.
func TestRFC7296_3_6_Published(t *testing.T) {
	p := newPKI(t)
	leaf, sub := p.sub.Issue(t, "ha", p.key, named), p.sub.Certificate
	const one, bundle, inline = wire.CertHashAndURLX509, wire.CertHashAndURLBundle, wire.CertX509Signature
	all := map[string][]byte{
		certsURL + "leaf": leaf.Raw, certsURL + "sub": sub.Raw, certsURL + "all": Bundle([]*x509.Certificate{leaf, sub}),
	}
	for _, c := range []struct {
		name    string
		publish func(*Credential) error
		want    []wire.CertEncoding
	}{
		{"nothing", func(*Credential) error { return nil }, []wire.CertEncoding{inline, inline}},
		{"the first", func(c *Credential) error { return c.PublishAt(certsURL + "leaf") }, []wire.CertEncoding{one, inline}},
		{"both", func(c *Credential) error { return c.PublishAt(certsURL+"leaf", certsURL+"sub") }, []wire.CertEncoding{one, one}},
		{"a bundle", func(c *Credential) error { c.PublishBundleAt(certsURL + "all"); return nil }, []wire.CertEncoding{bundle}},
	} {
		t.Run(c.name, func(t *testing.T) {
			trust, at := looking(t, p.root)
			at.data = all
			own := credential(t, p.key, leaf, sub)
			if err := c.publish(own); err != nil {
				t.Fatal(err)
			}
			said := claim(t, own, offered)
			said.Certificates = nil
			var encodings []wire.CertEncoding
			for _, payload := range own.Published() {
				cert := payload.(*wire.Cert)
				said.Certificates = append(said.Certificates, cert)
				encodings = append(encodings, cert.Encoding)
			}
			if err := trust.Check(said, now); err != nil || !slices.Equal(encodings, c.want) {
				t.Errorf("%v: %v", encodings, err)
			}
			for _, cert := range certificates(own) {
				if cert.Encoding != inline {
					t.Errorf("%s to one who does not look certificates up", cert.Encoding)
				}
			}
		})
	}
	failed(t, credential(t, p.key, leaf).PublishAt("a", "b"), "got 2 URLs; want at most 1, one for each certificate")
}

func TestParseServer(t *testing.T) {
	for text, want := range map[string]Server{
		"certs.example.org": {"certs.example.org", "80"}, "Certs.Example.org:8080": {"certs.example.org", "8080"},
		"192.0.2.1": {"192.0.2.1", "80"}, "[2001:DB8::1]:80": {"2001:db8::1", "80"},
	} {
		if got, err := ParseServer(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":80", "a b", "a/", "a/b", "a?b", "a#b", "me@a", "http://a", "a:b", "2001:db8::1"} {
		if got, err := ParseServer(text); err == nil || !strings.Contains(err.Error(), "want a server such as") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// The hash is as long as it is: what is shorter names nothing.
func TestEveryPrefixOfAReferenceIsRefused(t *testing.T) {
	data := refer(wire.CertHashAndURLX509, []byte("data"), certsURL).Data
	got, err := parseReference(data)
	if err != nil || got.url != certsURL || got.hash != sha1.Sum([]byte("data")) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range sha1.Size {
		if _, err := parseReference(data[:n]); err == nil {
			t.Errorf("%d octets are taken", n)
		}
	}
}

// choice is CertificateOrCRL, by another encoder: [0] EXPLICIT a certificate, or [1] a revocation list.
func choice(tag int, der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: der}
}

func sequence(t testing.TB, choices ...asn1.RawValue) []byte {
	t.Helper()
	der, err := asn1.Marshal(choices)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// testBundle has two certificates with a revocation list between.
func testBundle(t testing.TB) (der []byte, certs []*x509.Certificate) {
	t.Helper()
	root := testpki.NewAuthority(t, "root")
	leaf := root.Issue(t, "ha", testpki.Key("Ed25519"), named)
	list := root.Revoke(t, nil)
	return sequence(t, choice(0, leaf.Raw), choice(1, list.Raw), choice(0, root.Certificate.Raw)),
		[]*x509.Certificate{leaf, root.Certificate}
}

// Revocation lists are passed over.
func TestRFC7296_3_6_CertificateBundle(t *testing.T) {
	der, certs := testBundle(t)
	if got, err := parseBundle(der); err != nil || !slices.EqualFunc(got, certs, (*x509.Certificate).Equal) {
		t.Errorf("%v, %v", got, err)
	}
	if got, want := Bundle(certs), sequence(t, choice(0, certs[0].Raw), choice(0, certs[1].Raw)); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	for n := range der {
		if _, err := parseBundle(der[:n]); err == nil {
			t.Fatalf("%d of %d octets are taken", n, len(der))
		}
	}
	if _, err := parseBundle(append(der, 0)); err == nil {
		t.Error("an octet more is taken")
	}
	if _, err := parseBundle([]byte{0x30, 0}); err == nil || !strings.Contains(err.Error(), "no certificate is in") {
		t.Errorf("an empty bundle: %v", err)
	}
}

func FuzzCertificateBundle(f *testing.F) {
	der, _ := testBundle(f)
	f.Add(der)
	f.Add([]byte{0x30, 0x02, 0xa0, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		certs, err := parseBundle(der)
		if err != nil {
			return
		}
		if again, err := parseBundle(Bundle(certs)); err != nil || !slices.EqualFunc(again, certs, (*x509.Certificate).Equal) {
			t.Errorf("written again it has %d certificates of %d: %v", len(again), len(certs), err)
		}
	})
}

func FuzzHashAndURL(f *testing.F) {
	f.Add(refer(wire.CertHashAndURLX509, []byte("data"), certsURL+"cert.der").Data)
	f.Add(refer(wire.CertHashAndURLX509, []byte("data"), "http://[2001:db8::1%25eth0]:80/?a=b#c").Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseReference(data)
		if err != nil {
			return
		}
		if server, err := ServerOf(r.url); err == nil && (server.host == "" || server.port == "" || len(r.url) > maxURL) {
			t.Errorf("%q is at %v", r.url, server)
		}
	})
}
