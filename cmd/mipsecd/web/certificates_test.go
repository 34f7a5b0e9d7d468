package web

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// publisher is a server of certificates that says what the test says.
type publisher struct {
	*httptest.Server
	client *Certificates
	asked  int
}

func newPublisher(t *testing.T, answer http.HandlerFunc) *publisher {
	p := &publisher{client: NewCertificates()}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked++
		if r.Method != http.MethodGet {
			t.Error(r.Method)
		}
		answer(w, r)
	}))
	t.Cleanup(func() {
		p.client.http.CloseIdleConnections()
		p.Close()
	})
	return p
}

// like checks data by a hash, as package auth does.
func like(hash [sha1.Size]byte) func([]byte) error {
	return func(data []byte) error {
		if sha1.Sum(data) != hash {
			return errors.New("its hash is another")
		}
		return nil
	}
}

// What has a hash is fetched once, from wherever it is.
func TestCertificatesAreKept(t *testing.T) {
	p := newPublisher(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "at ", r.URL.Path) })
	for _, step := range []struct {
		path, content string
		asked         int
	}{{"/a", "at /a", 1}, {"/a", "at /a", 1}, {"/b", "at /b", 2}, {"/c", "at /a", 2}, {"/b", "at /b", 2}} {
		hash := sha1.Sum([]byte(step.content))
		if err := p.client.Fetch(p.URL+step.path, hash, like(hash)); err != nil {
			t.Error(err)
		}
		if p.asked != step.asked {
			t.Errorf("%s: %d requests, want %d", step.path, p.asked, step.asked)
		}
	}
}

// What was not good is not kept: it may be there the next time.
func TestWrongCertificatesAreForgotten(t *testing.T) {
	p := newPublisher(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "an old one") })
	hash := sha1.Sum([]byte("a new one"))
	for range 2 {
		if err := p.client.Fetch(p.URL, hash, like(hash)); err == nil || err.Error() != "its hash is another" {
			t.Error(err)
		}
	}
	if p.asked != 2 || len(p.client.kept) != 0 {
		t.Errorf("%d requests, %d kept", p.asked, len(p.client.kept))
	}
}

func TestCertificatesThatCannotBeFetched(t *testing.T) {
	for want, answer := range map[string]http.HandlerFunc{
		"HTTP status 404; want 200": http.NotFound,
		"a response of more than 65536 octets": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat("x", maxResponse+1))
		},
		"it redirects to another": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		},
		"unexpected EOF": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half of it")
		},
	} {
		p := newPublisher(t, answer)
		err := p.client.Fetch(p.URL, [sha1.Size]byte{}, func([]byte) error {
			t.Errorf("%s: it is checked", want)
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if len(p.client.kept) != 0 {
			t.Errorf("%s: it is kept", want)
		}
	}
	p := newPublisher(t, nil)
	p.Close()
	if err := p.client.Fetch(p.URL, [sha1.Size]byte{}, good); err == nil {
		t.Error("a certificate of nobody")
	}
}

func TestKeptCertificatesAreBounded(t *testing.T) {
	p := newPublisher(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
	for i := range maxKept {
		put(p.client.kept, [sha1.Size]byte{byte(i), byte(i >> 8)}, []byte("x"))
	}
	hash := sha1.Sum([]byte("/last"))
	if err := p.client.Fetch(p.URL+"/last", hash, like(hash)); err != nil {
		t.Error(err)
	}
	if len(p.client.kept) != maxKept || p.client.kept[hash] == nil {
		t.Errorf("%d are kept", len(p.client.kept))
	}
}

// deaf is a network in which nobody hears.
type deaf struct{}

func (deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAPeerDoesNotWaitLongForItsCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, began := NewCertificates(), time.Now()
		c.http.Transport = deaf{}
		if err := c.Fetch("http://192.0.2.1/", [sha1.Size]byte{}, good); err == nil || time.Since(began) != patience {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
	})
}
