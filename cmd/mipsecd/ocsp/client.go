// Package ocsp asks OCSP responders by HTTP whether certificates are revoked. What the answers are worth is decided by
// package auth.
package ocsp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"
)

const (
	// patience is how long a responder may take: less than a peer waits for the answer to IKE_AUTH.
	patience = 5 * time.Second
	// pause is how long a responder that has not answered is left alone, so that not every peer has to wait for it.
	pause = 10 * time.Second
	// maxResponse bounds a response in octets. They have a signature or two, and a certificate.
	maxResponse = 64 << 10
	// maxKept bounds the responses that are kept, of some 2 KB each, and the responders that are left alone.
	maxKept = 4096
)

// Client is an auth.Responders. It keeps each response that was good until the check refuses it, as it does after the
// response's nextUpdate.
type Client struct {
	http   http.Client
	failed func(url string, err error)

	mu     sync.Mutex
	kept   map[question][]byte
	silent map[string]silence // by URL
}

// silence is why a responder has not answered, and until when it is left alone.
type silence struct {
	reason error
	until  time.Time
}

// question is what was asked, and whom.
type question struct{ url, request string }

// NewClient makes a client; failed is told what did not lead to a good response, from whatever goroutine.
func NewClient(failed func(url string, err error)) *Client {
	return &Client{
		http: http.Client{
			Timeout:       patience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it redirects to another") },
		},
		failed: failed, kept: map[question][]byte{}, silent: map[string]silence{},
	}
}

// Ask implements auth.Responders.
func (c *Client) Ask(url string, request []byte, check func(response []byte) error) error {
	q := question{url, string(request)}
	kept, err := c.recall(q)
	if kept != nil && check(kept) == nil {
		return nil
	}
	if err != nil {
		return err
	}
	response, err := c.post(url, request)
	if err != nil {
		c.leaveAlone(url, err)
	} else if err = check(response); err == nil {
		c.keep(q, response)
	}
	if err != nil {
		c.failed(url, err)
	}
	return err
}

// post asks a responder (RFC 6960 appendix A.1).
func (c *Client) post(url string, request []byte) ([]byte, error) {
	answer, err := c.http.Post(url, "application/ocsp-request", bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if answer.StatusCode != http.StatusOK || kind != "application/ocsp-response" {
		return nil, fmt.Errorf("HTTP status %d with %q; want 200 with application/ocsp-response", answer.StatusCode, kind)
	}
	response, err := io.ReadAll(io.LimitReader(answer.Body, maxResponse+1))
	if err == nil && len(response) > maxResponse {
		err = fmt.Errorf("a response of more than %d octets", maxResponse)
	}
	return response, err
}

// recall is the response that is kept, or nil. An error says why there is no other one now.
func (c *Client) recall(q question) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, silent := c.silent[q.url]; silent && time.Now().Before(s.until) {
		return c.kept[q], s.reason
	}
	return c.kept[q], nil
}

func (c *Client) keep(q question, response []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	put(c.kept, q, response)
}

func (c *Client) leaveAlone(url string, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	put(c.silent, url, silence{reason, time.Now().Add(pause)})
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
