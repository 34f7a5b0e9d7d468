package web

import (
	"crypto/sha1"
	"fmt"
	"net/http"
	"sync"
)

// maxConns bounds the connections to one server. Who wants more, as many strangers at once can, waits.
const maxConns = 8

// Certificates is an auth.Fetcher. It keeps what was good: what has a hash never changes.
type Certificates struct {
	http http.Client

	mu   sync.Mutex
	kept map[[sha1.Size]byte][]byte
}

// NewCertificates makes a client that keeps nothing yet.
func NewCertificates() *Certificates {
	c := &Certificates{http: newClient(), kept: map[[sha1.Size]byte][]byte{}}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxConnsPerHost = maxConns
	c.http.Transport = transport
	return c
}

// Fetch implements auth.Fetcher.
func (c *Certificates) Fetch(url string, hash [sha1.Size]byte, check func([]byte) error) error {
	c.mu.Lock()
	kept := c.kept[hash]
	c.mu.Unlock()
	if kept != nil && check(kept) == nil {
		return nil
	}
	data, err := c.get(url)
	if err == nil {
		err = check(data)
	}
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		put(c.kept, hash, data)
	}
	return err
}

// get reads what a URL leads to. Servers call certificates and bundles by all kinds of media types; the hash tells.
func (c *Certificates) get(url string) ([]byte, error) {
	answer, err := c.http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d; want 200", answer.StatusCode)
	}
	return body(answer)
}
