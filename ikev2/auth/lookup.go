package auth

import (
	"cmp"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/cursor"
)

// Fetcher gets by HTTP what peers name by hash and URL. It may be used by several goroutines.
type Fetcher interface {
	// Fetch hands check what an http URL leads to, or what it has got before and has this SHA-1 hash. It returns check's
	// error, or says why there is nothing. It takes seconds at most.
	Fetch(url string, hash [sha1.Size]byte, check func(data []byte) error) error
}

// maxFetches bounds what is fetched to check one peer: the four certificates of RFC 7296 section 3.6. maxURL bounds a URL
// in octets.
const (
	maxFetches = 4
	maxURL     = 1024
)

// Server is an HTTP server.
type Server struct{ host, port string }

// ParseServer reads a name or an address, of IPv6 in brackets, and perhaps a port: "certs.example.org:8080".
func ParseServer(s string) (Server, error) {
	server, err := ServerOf("http://" + s)
	if err != nil || strings.ContainsAny(s, "/?#") {
		return Server{}, fmt.Errorf(`got %q; want a server such as "certs.example.org" or "[2001:db8::1]:8080"`, s)
	}
	return server, nil
}

// ServerOf is where an http URL leads to. Other URLs it refuses (RFC 7296 section 3.6).
func ServerOf(text string) (Server, error) {
	if len(text) > maxURL {
		return Server{}, fmt.Errorf("a URL of %d octets; want at most %d", len(text), maxURL)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return Server{}, fmt.Errorf(`got %q; want a URL such as "http://certs.example.org/cert.der"`, text)
	}
	return Server{strings.ToLower(u.Hostname()), cmp.Or(u.Port(), "80")}, nil
}

// reference names data by its SHA-1 hash and where it is (RFC 7296 section 3.6).
type reference struct {
	hash [sha1.Size]byte
	url  string
}

func parseReference(data []byte) (r reference, err error) {
	c := cursor.Big(data)
	copy(r.hash[:], c.Bytes(sha1.Size))
	r.url = string(c.Rest())
	return r, c.Err()
}

// refer is the CERT payload that names data by its hash and a URL.
func refer(encoding wire.CertEncoding, data []byte, url string) *wire.Cert {
	hash := sha1.Sum(data)
	return &wire.Cert{Encoding: encoding, Data: append(hash[:], url...)}
}

// PublishAt says at which URLs the certificates are, in DER and in the order of the chain. Those without one are sent
// themselves.
func (c *Credential) PublishAt(urls ...string) error {
	if len(urls) > len(c.chain) {
		return fmt.Errorf("got %d URLs; want at most %d, one for each certificate", len(urls), len(c.chain))
	}
	c.published = c.Certificates()
	for i, u := range urls {
		c.published[i] = refer(wire.CertHashAndURLX509, c.chain[i].Raw, u)
	}
	return nil
}

// PublishBundleAt says at which URL the Bundle of the certificates is.
func (c *Credential) PublishBundleAt(url string) {
	c.published = []wire.Payload{refer(wire.CertHashAndURLBundle, Bundle(c.chain), url)}
}

// Published are the CERT payloads for a peer that looks certificates up: by hash and URL where there is one.
func (c *Credential) Published() []wire.Payload {
	if c.published == nil {
		return c.Certificates()
	}
	return slices.Clone(c.published)
}

// chainReader reads X.509 certificates out of CERT payloads, one payload after the other.
type chainReader struct {
	trust    *Trust
	payloads []*wire.Cert // that are left
	certs    []*x509.Certificate
	fetches  int
}

// first reads up to the first certificate: that of the key that signs.
func (r *chainReader) first() (*x509.Certificate, error) {
	reason := errors.New("no X.509 certificate has come with the signature")
	for len(r.payloads) > 0 && len(r.certs) == 0 {
		reason = fmt.Errorf("no X.509 certificate has come with the signature, but %s", r.payloads[0].Encoding)
		if err := r.next(); err != nil {
			return nil, err
		}
	}
	if len(r.certs) == 0 {
		return nil, reason
	}
	return r.certs[0], nil
}

// others reads what is left.
func (r *chainReader) others() ([]*x509.Certificate, error) {
	for len(r.payloads) > 0 {
		if err := r.next(); err != nil {
			return nil, err
		}
	}
	return r.certs[1:], nil
}

// next reads one payload; what is no certificate is passed over (RFC 4945 section 3.3.10), as is what leads to one where
// nothing is fetched.
func (r *chainReader) next() (err error) {
	p := r.payloads[0]
	r.payloads = r.payloads[1:]
	var more []*x509.Certificate
	switch {
	case p.Encoding == wire.CertX509Signature:
		more, err = parseOne(p.Data)
	case len(r.trust.Servers) == 0:
	case p.Encoding == wire.CertHashAndURLX509:
		more, err = r.lookUp(p, parseOne)
	case p.Encoding == wire.CertHashAndURLBundle:
		more, err = r.lookUp(p, parseBundle)
	}
	if err != nil {
		return fmt.Errorf("certificate %d can't be read: %w", len(r.certs)+1, err)
	}
	if r.certs = append(r.certs, more...); len(r.certs) > maxChain {
		return fmt.Errorf("more than %d certificates", maxChain)
	}
	return nil
}

// lookUp gets what a peer names by hash and URL, if it is at a server from which that may be fetched: a peer that has not
// proven yet who it is has no others asked.
func (r *chainReader) lookUp(p *wire.Cert, parse func([]byte) ([]*x509.Certificate, error)) ([]*x509.Certificate, error) {
	named, err := parseReference(p.Data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Encoding, err)
	}
	server, err := ServerOf(named.url)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", p.Encoding, err)
	case !slices.Contains(r.trust.Servers, server):
		return nil, fmt.Errorf("it is at %q, and that server is not among those of certificate-servers", named.url)
	case r.fetches == maxFetches:
		return nil, fmt.Errorf("more than %d are named by hash and URL", maxFetches)
	}
	r.fetches++
	var certs []*x509.Certificate
	err = r.trust.Fetcher.Fetch(named.url, named.hash, func(data []byte) (err error) {
		if sha1.Sum(data) != named.hash {
			return errors.New("its SHA-1 hash is another")
		}
		certs, err = parse(data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s at %q: %w", p.Encoding, named.url, err)
	}
	return certs, nil
}

func parseOne(der []byte) ([]*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	return []*x509.Certificate{c}, err
}
