package web

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"sync"
	"time"
)

// pause is how long a responder that has not answered is left alone, so that not every peer has to wait for it. There are
// no more of them than of responses that are kept.
const pause = 10 * time.Second

// Responders is an auth.Responders. It keeps each response that was good until the check refuses it, as it does after the
// response's nextUpdate.
type Responders struct {
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

// NewResponders makes a client; failed is told what did not lead to a good response, from whatever goroutine.
func NewResponders(failed func(url string, err error)) *Responders {
	return &Responders{http: newClient(), failed: failed, kept: map[question][]byte{}, silent: map[string]silence{}}
}

// Ask implements auth.Responders.
func (c *Responders) Ask(url string, request []byte, check func(response []byte) error) error {
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
func (c *Responders) post(url string, request []byte) ([]byte, error) {
	answer, err := c.http.Post(url, "application/ocsp-request", bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if answer.StatusCode != http.StatusOK || kind != "application/ocsp-response" {
		return nil, fmt.Errorf("HTTP status %d with %q; want 200 with application/ocsp-response", answer.StatusCode, kind)
	}
	return body(answer)
}

// recall is the response that is kept, or nil. An error says why there is no other one now.
func (c *Responders) recall(q question) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, silent := c.silent[q.url]; silent && time.Now().Before(s.until) {
		return c.kept[q], s.reason
	}
	return c.kept[q], nil
}

func (c *Responders) keep(q question, response []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	put(c.kept, q, response)
}

func (c *Responders) leaveAlone(url string, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	put(c.silent, url, silence{reason, time.Now().Add(pause)})
}
