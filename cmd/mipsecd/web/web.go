// Package web gets by HTTP what there is to know about certificates: Responders ask OCSP responders whether they are
// revoked, and Certificates gets those that a peer names by hash and URL. What the answers are worth is decided by package
// auth.
package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// patience is how long a server may take: less than a peer waits for the answer to IKE_AUTH.
	patience = 5 * time.Second
	// maxResponse bounds a response in octets. OCSP's have a signature or two, and a certificate; a bundle has some
	// certificates.
	maxResponse = 64 << 10
	// maxKept bounds the responses that are kept, of some 2 KB each.
	maxKept = 4096
)

// newClient makes a client that goes nowhere else than it is told.
func newClient() http.Client {
	return http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it redirects to another") },
	}
}

// body reads all of a response.
func body(r *http.Response) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxResponse+1))
	if err == nil && len(data) > maxResponse {
		err = fmt.Errorf("a response of more than %d octets", maxResponse)
	}
	return data, err
}

// put remembers something, and forgets something else for it if that is too much.
func put[K comparable, V any](m map[K]V, key K, v V) {
	if _, known := m[key]; !known && len(m) >= maxKept {
		for other := range m {
			delete(m, other)
			break
		}
	}
	m[key] = v
}
