package agent

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2"
	"mipsecd/internal/vnet"
	"mipsecd/migrate"
	"mipsecd/mobilenode"
	"mipsecd/spd/memory"
)

// running starts an agent of a mobile node that nobody answers, and its control socket.
func running(t *testing.T, path string) *Agent {
	t.Helper()
	network := vnet.New(1)
	backend := memory.New(memory.Options{}).Open()
	peers, err := ikev2.NewPeerList()
	if err != nil {
		t.Fatal(err)
	}
	home := migrate.Home{Peer: "ha", Protected: migrate.Protected{
		HomeAddress: netip.MustParseAddr("2001:db8:1::100"), HomeAgent: netip.MustParseAddr("2001:db8:1::1"),
	}}
	a := New(Options{
		Role: mobilenode.New([]migrate.Home{home}, false), Engine: ikev2.Config{Peers: peers}, Shards: 2, Backend: backend,
		Conn: network.AddNode("mn").ListenUDP(ikev2.Port),
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
	got, err := AskStatus(t.Context(), path)
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

func TestAbandonedControlSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	running(t, path)
	if _, err := AskStatus(t.Context(), path); err != nil {
		t.Error(err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	if _, err := AskStatus(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}
