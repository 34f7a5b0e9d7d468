package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// server is a responder whose answers are what the test says.
type server struct {
	*httptest.Server
	client *Responders
	asked  int
	failed []string
}

func newServer(t *testing.T, answer func(w http.ResponseWriter, request string)) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked++
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/ocsp-request" {
			t.Errorf("%s of %s, %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		w.Header().Set("Content-Type", "application/ocsp-response")
		answer(w, string(body))
	}))
	t.Cleanup(s.Close)
	s.client = NewResponders(func(url string, err error) { s.failed = append(s.failed, url+": "+err.Error()) })
	return s
}

func good([]byte) error { return nil }

func TestResponsesAreKeptWhileTheyAreGood(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, request string) { fmt.Fprint(w, "about "+request) })
	check := func(want string) func([]byte) error {
		return func(response []byte) error {
			if string(response) != want {
				t.Errorf("got %q, want %q", response, want)
			}
			return nil
		}
	}
	for _, step := range []struct {
		request string
		asked   int
	}{{"one", 1}, {"one", 1}, {"two", 2}, {"one", 2}, {"two", 2}} {
		if err := s.client.Ask(s.URL, []byte(step.request), check("about "+step.request)); err != nil {
			t.Error(err)
		}
		if s.asked != step.asked {
			t.Errorf("%s: it is asked %d times, want %d", step.request, s.asked, step.asked)
		}
	}
	old := errors.New("it has expired")
	if err := s.client.Ask(s.URL, []byte("one"), func([]byte) error { return old }); err != old || s.asked != 3 {
		t.Errorf("got %v, asked %d times", err, s.asked)
	}
	if want := s.URL + ": it has expired"; len(s.failed) != 1 || s.failed[0] != want {
		t.Errorf("reported %q, want %q", s.failed, want)
	}
}

// What was not good is not kept.
func TestBadResponsesAreForgotten(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ string) { fmt.Fprint(w, "revoked") })
	for range 2 {
		s.client.Ask(s.URL, []byte("one"), func([]byte) error { return errors.New("it is revoked") })
	}
	if s.asked != 2 || len(s.client.kept) != 0 {
		t.Errorf("asked %d times, %d kept", s.asked, len(s.client.kept))
	}
}

func TestKeptResponsesAreBounded(t *testing.T) {
	s := newServer(t, func(http.ResponseWriter, string) {})
	for i := range maxKept + 10 {
		s.client.keep(question{"u", fmt.Sprint(i)}, []byte("x"))
	}
	last := question{"u", fmt.Sprint(maxKept + 9)}
	if response, _ := s.client.recall(last); len(s.client.kept) != maxKept || response == nil {
		t.Errorf("%d are kept", len(s.client.kept))
	}
}

// gone is a network in which nobody answers.
type gone struct{ asked int }

func (g *gone) RoundTrip(*http.Request) (*http.Response, error) {
	g.asked++
	return nil, errors.New("nobody answers")
}

// A responder that does not answer is not waited for by each peer in turn; what it has said before goes on to count.
func TestASilentResponderIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, reported := &gone{}, 0
		c := NewResponders(func(string, error) { reported++ })
		c.http.Transport = network
		c.keep(question{"http://a", "known"}, []byte("good"))
		ask := func(request string, wantAsked int, wantErr bool) {
			t.Helper()
			err := c.Ask("http://a", []byte(request), good)
			if (err != nil) != wantErr || err != nil && !strings.Contains(err.Error(), "nobody answers") {
				t.Errorf("%s: %v", request, err)
			}
			if network.asked != wantAsked || reported != wantAsked {
				t.Errorf("%s: asked %d times and reported %d, want %d", request, network.asked, reported, wantAsked)
			}
		}
		ask("one", 1, true)
		ask("two", 1, true)
		ask("known", 1, false)
		time.Sleep(pause - time.Nanosecond)
		ask("one", 1, true)
		time.Sleep(time.Nanosecond)
		ask("one", 2, true)
	})
}

func TestRefusedAnswers(t *testing.T) {
	for want, answer := range map[string]func(w http.ResponseWriter, _ string){
		"HTTP status 404": func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusNotFound) },
		`with "text/html"; want 200 with application/ocsp-response`: func(w http.ResponseWriter, _ string) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		},
		"a response of more than 65536 octets": func(w http.ResponseWriter, _ string) {
			fmt.Fprint(w, strings.Repeat("x", maxResponse+1))
		},
		"it redirects to another": func(w http.ResponseWriter, _ string) {
			w.Header().Set("Location", "http://192.0.2.1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
	} {
		s := newServer(t, answer)
		if err := s.client.Ask(s.URL, []byte("x"), good); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if len(s.failed) != 1 {
			t.Errorf("reported %q", s.failed)
		}
	}
	s := newServer(t, nil)
	s.Close()
	if err := s.client.Ask(s.URL, []byte("x"), good); err == nil {
		t.Error("an answer of nobody")
	}
}
