package configs

import (
	"errors"

	"mipsecd/ikev2/auth"
)

// lookupSettings are the keys of certificates that go by hash and URL (RFC 7296 section 3.6).
type lookupSettings struct {
	urls      []string
	bundleURL string
	servers   []auth.Server
}

// The keys of lookupSettings.
const (
	urlKey       = "certificate-url"
	bundleURLKey = "certificate-bundle-url"
	serversKey   = "certificate-servers"
)

func (s *lookupSettings) fields() []field {
	return []field{
		bind(&s.urls, oneOrMore(httpURL), Key{Name: urlKey,
			Meaning: "where this host's certificates are in DER, a URL for each in their order; a peer that looks certificates up is " +
				"sent hash and URL of them (RFC 7296 section 3.6), and those themselves that have none"}),
		bind(&s.bundleURL, httpURL, Key{Name: bundleURLKey,
			Meaning: "where all of them are in one bundle, as mipsecd bundle makes it; instead of certificate-url"}),
		bind(&s.servers, oneOrMore(server), Key{Name: serversKey,
			Meaning: "the HTTP servers, name or address and perhaps a port, from which certificates are fetched that a peer names by " +
				"hash and URL, as it is then told to; they have to be within reach without an SA; without it, nothing is fetched"}),
	}
}

// published are the URLs of the certificates that a peer is to have, and the table with their keys. Those at the top are of
// the certificates there.
func (r *reader) published(t table, f certificateFiles) (at table, urls []string, bundle string) {
	at = r.giver(t, urlKey, bundleURLKey)
	if at.name == "" && (t.has(certificateKey) || t.has(pkcs12Key)) {
		return at, nil, ""
	}
	if at.has(urlKey) {
		urls = f.urls
	}
	if at.has(bundleURLKey) {
		bundle = f.bundleURL
	}
	return at, urls, bundle
}

// publish tells a credential where its certificates are.
func (r *reader) publish(c *auth.Credential, at table, urls []string, bundle string) {
	if bundle != "" {
		c.PublishBundleAt(bundle)
	}
	if len(urls) == 0 {
		return
	}
	err := c.PublishAt(urls...)
	if bundle != "" {
		err = errors.New("want either it or certificate-bundle-url")
	}
	if err != nil {
		r.report(at.at.key(urlKey), at.key(urlKey), "%v", err)
	}
}
