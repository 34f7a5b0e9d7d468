package agent

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2"
	"mipsecd/ikev2/suite"
	"mipsecd/internal/vnet"
	"mipsecd/migrate"
	"mipsecd/mobilenode"
	"mipsecd/spd"
	"mipsecd/spd/memory"
)

var (
	mnAddress = netip.MustParseAddr("2001:db8:1::100")
	haAddress = netip.MustParseAddr("2001:db8:1::1")
)

// running starts an agent of a mobile node that nobody answers, and its control socket.
func running(t *testing.T, path string) *Agent {
	t.Helper()
	network := vnet.New(1)
	backend := memory.New(memory.Options{}).Open()
	ike, err := suite.ParseIKE("aes128gcm16-prfsha256-x25519")
	if err != nil {
		t.Fatal(err)
	}
	peers, err := ikev2.NewPeerList(&ikev2.Peer{
		Name: "ha", LocalID: ikev2.AddrIdentity(mnAddress), RemoteID: ikev2.AddrIdentity(haAddress), PSK: []byte("a secret"),
		IKE: []suite.Proposal{ike},
	})
	if err != nil {
		t.Fatal(err)
	}
	home := migrate.Home{Peer: "ha", Protected: migrate.Protected{HomeAddress: mnAddress, HomeAgent: haAddress}}
	a := New(Options{
		Role:   mobilenode.New([]migrate.Home{home}, false, nil),
		Engine: ikev2.Config{Peers: peers, Rand: rand.Reader}, Shards: 2, Backend: backend,
		Conn: network.AddNode("mn").ListenIKE(),
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- a.Run(ctx) }()
	go func() { ended <- a.Control(ctx, path) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		backend.Close()
		network.Close()
	})
	for {
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return a
		}
		time.Sleep(time.Millisecond)
	}
}

func TestStatusOverTheControlSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "control")
	a := running(t, path)
	want, err := a.Status()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Client{path}.Status(t.Context())
	if err != nil || !reflect.DeepEqual(got, want) || len(got.Bindings) != 1 || got.Bindings[0].Peer != "ha" {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if table := got.Table(); !strings.Contains(table, "2001:db8:1::100") {
		t.Errorf("the table lacks the home address:\n%s", table)
	}
	for p, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %o", p, info.Mode(), err, mode)
		}
	}
	if err := a.Control(t.Context(), path); err == nil || !strings.Contains(err.Error(), "another mipsecd answers") {
		t.Errorf("a second agent on the socket: %v", err)
	}
}

func TestConnectOverTheControlSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	a, client := running(t, path), Client{path}
	err := client.Connect(t.Context(), "nobody/here")
	if err == nil || !strings.Contains(err.Error(), `no peer is called "nobody/here"`) {
		t.Errorf("a peer that there is not: %v", err)
	}
	if err := client.Connect(t.Context(), "ha"); err != nil {
		t.Fatal(err)
	}
	if s, err := a.Status(); err != nil || len(s.IKESAs) != 1 || s.IKESAs[0].Peer != "ha" || s.IKESAs[0].State != "connecting" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAbandonedControlSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	running(t, path)
	if _, err := (Client{path}).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	if _, err := (Client{path}).Status(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestTraceIsSwitchedAtRunTime(t *testing.T) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "control"), filepath.Join(dir, "trace.pcapng")
	a, client, ctx := running(t, socket), Client{socket}, t.Context()
	traced := func() string {
		t.Helper()
		s, err := client.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s.Trace
	}
	if err := client.StopTrace(ctx); err == nil || !strings.Contains(err.Error(), errNoTrace.Error()) {
		t.Errorf("stopping no trace: %v", err)
	}
	if err := client.StartTrace(ctx, filepath.Join(dir, "no", "such", "folder")); err == nil || traced() != "" {
		t.Errorf("a trace to a folder that is not there: %v, to %q", err, traced())
	}
	if err := client.StartTrace(ctx, file); err != nil || traced() != file {
		t.Fatalf("trace to %q, %v; want %q", traced(), err, file)
	}
	a.Tell(spd.Key{
		Demand: spd.Demand{Peer: "ha", Local: mnAddress, Remote: haAddress},
		Path:   spd.Path{Local: mnAddress, Remote: haAddress},
	})
	length := func() int64 {
		t.Helper()
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v; want mode 600", info, err)
		}
		return info.Size()
	}
	for empty := length(); length() == empty; time.Sleep(time.Millisecond) {
		if t.Context().Err() != nil {
			t.Fatal("no message in the trace")
		}
	}
	if err := client.StopTrace(ctx); err != nil || traced() != "" {
		t.Errorf("stopping the trace: %v, still to %q", err, traced())
	}
}

func TestBadRequestsChangeNothing(t *testing.T) {
	a := running(t, filepath.Join(t.TempDir(), "control"))
	for _, r := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/trace", ``, http.StatusBadRequest},
		{"PUT", "/trace", `{"file": "relative.pcapng"}`, http.StatusBadRequest},
		{"PUT", "/trace", `{"file": "/tmp/x", "keys": true}`, http.StatusBadRequest},
		{"PUT", "/trace", `{"file": "` + strings.Repeat("/x", maxRequest) + `"}`, http.StatusBadRequest},
		{"POST", "/trace", `{"file": "/tmp/x"}`, http.StatusMethodNotAllowed},
		{"GET", "/nothing", ``, http.StatusNotFound},
	} {
		w := httptest.NewRecorder()
		a.requests().ServeHTTP(w, httptest.NewRequest(r.method, r.path, strings.NewReader(r.body)))
		if s, err := a.Status(); w.Code != r.status || err != nil || s.Trace != "" {
			t.Errorf("%s %s %.40q: %d, trace to %q, %v; want %d", r.method, r.path, r.body, w.Code, s.Trace, err, r.status)
		}
	}
}
