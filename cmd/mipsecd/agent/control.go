package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Control answers requests on a Unix socket that only its owner may use, until ctx ends. A socket left behind by an agent
// that is no longer there is replaced; one of a running agent is not.
func (a *Agent) Control(ctx context.Context, path string) error {
	l, err := listenUnix(path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	server := &http.Server{Handler: a.requests(), ReadTimeout: 10 * time.Second, MaxHeaderBytes: 4096}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// maxRequest bounds the body of a request in octets.
const maxRequest = 64 << 10

// traceRequest is the body of a request for a trace.
type traceRequest struct {
	File string `json:"file"` // an absolute path
}

// requests are what can be asked of a running agent. Each answers with JSON, or with a status that is not 200 and a text
// that says why.
func (a *Agent) requests() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		s, err := a.Status()
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer(w, s)
	})
	mux.HandleFunc("POST /connect/{peer}", aboutPeer(a.Connect))
	mux.HandleFunc("POST /reauthenticate/{peer}", aboutPeer(a.Reauthenticate))
	mux.HandleFunc("POST /redirect/{peer}/{address}", func(w http.ResponseWriter, r *http.Request) {
		to, err := netip.ParseAddr(r.PathValue("address"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		aboutPeer(func(peer string) error { return a.Redirect(peer, to) })(w, r)
	})
	mux.HandleFunc("PUT /trace", func(w http.ResponseWriter, r *http.Request) {
		var t traceRequest
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
		body.DisallowUnknownFields()
		err := body.Decode(&t)
		if err == nil && !filepath.IsAbs(t.File) {
			err = fmt.Errorf(`"file": %q, want an absolute path`, t.File)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := a.StartTrace(t.File); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		answer(w, t)
	})
	mux.HandleFunc("DELETE /trace", func(w http.ResponseWriter, _ *http.Request) {
		if err := a.StopTrace(); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		answer(w, struct{}{})
	})
	return mux
}

// aboutPeer answers a wish about a peer that the path names. An error is that there is no such peer.
func aboutPeer(wish func(peer string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := wish(r.PathValue("peer")); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		answer(w, struct{}{})
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client went away
}

func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s: another mipsecd answers there", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}
