package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
)

// Client asks the agent behind a control socket.
type Client struct{ Socket string }

// Status asks how things are.
func (c Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.ask(ctx, http.MethodGet, "/status", nil, &s)
}

// Connect asks for an IKE_SA with a peer, by its name.
func (c Client) Connect(ctx context.Context, peer string) error {
	return c.ask(ctx, http.MethodPost, "/connect/"+url.PathEscape(peer), nil, nil)
}

// Reauthenticate asks for a peer, by its name, and this host to authenticate anew.
func (c Client) Reauthenticate(ctx context.Context, peer string) error {
	return c.ask(ctx, http.MethodPost, "/reauthenticate/"+url.PathEscape(peer), nil, nil)
}

// Redirect asks for a peer, by its name, to be sent to an address.
func (c Client) Redirect(ctx context.Context, peer, to string) error {
	return c.ask(ctx, http.MethodPost, "/redirect/"+url.PathEscape(peer)+"/"+url.PathEscape(to), nil, nil)
}

// StartTrace asks for a trace to a file.
func (c Client) StartTrace(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return c.ask(ctx, http.MethodPut, "/trace", traceRequest{File: path}, nil)
}

// StopTrace asks for the end of the trace.
func (c Client) StopTrace(ctx context.Context) error {
	return c.ask(ctx, http.MethodDelete, "/trace", nil, nil)
}

// ask makes one request, with a body and for an answer if these are not nil.
func (c Client) ask(ctx context.Context, method, what string, body, result any) error {
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			return err
		}
	}
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
		},
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://mipsecd"+what, &sent)
	if err != nil {
		return err
	}
	answer, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no mipsecd answers on %s: %w", c.Socket, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, maxRequest))
		return fmt.Errorf("mipsecd refuses: %s", strings.TrimSpace(string(why)))
	}
	if result == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(result)
}
