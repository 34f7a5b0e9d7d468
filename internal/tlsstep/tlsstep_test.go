package tlsstep

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"

	"mipsecd/internal/testpki"
)

func configs(t *testing.T) (client, server *tls.Config) {
	t.Helper()
	root, key := testpki.NewAuthority(t, "root"), testpki.Key("P-256")
	cert := root.Issue(t, "server", key, func(c *x509.Certificate) { c.DNSNames = []string{"server"} })
	pool := x509.NewCertPool()
	pool.AddCert(root.Certificate)
	return &tls.Config{RootCAs: pool, ServerName: "server"},
		&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
}

// exchange passes flights to and fro until both are done.
func exchange(t *testing.T, client, server *Handshake) (clientErr, serverErr error) {
	t.Helper()
	var flight []byte
	var clientDone, serverDone bool
	for range 10 {
		if !clientDone {
			flight, clientDone, clientErr = client.Step(flight)
		}
		if !serverDone {
			flight, serverDone, serverErr = server.Step(flight)
		}
		if clientDone && serverDone {
			return clientErr, serverErr
		}
	}
	t.Fatal("flights without end")
	return
}

func nothing(*tls.Conn) error { return nil }

func TestHandshake(t *testing.T) {
	c, s := configs(t)
	var got [5]byte
	client := Client(c, func(c *tls.Conn) error {
		_, err := c.Read(got[:])
		return err
	})
	server := Server(s, func(c *tls.Conn) error {
		_, err := c.Write([]byte("hello"))
		return err
	})
	if clientErr, serverErr := exchange(t, client, server); clientErr != nil || serverErr != nil || string(got[:]) != "hello" {
		t.Errorf("client %v, server %v, %q", clientErr, serverErr, got)
	}
}

func TestBothHearOfAFailure(t *testing.T) {
	c, s := configs(t)
	c.ServerName = "another"
	if clientErr, serverErr := exchange(t, Client(c, nothing), Server(s, nothing)); clientErr == nil || serverErr == nil {
		t.Errorf("client %v, server %v", clientErr, serverErr)
	}
}

func TestCloseEndsTheHandshake(t *testing.T) {
	c, _ := configs(t)
	h := Client(c, nothing)
	if flight, done, err := h.Step(nil); len(flight) == 0 || done || err != nil {
		t.Fatalf("%d octets, %v, %v", len(flight), done, err)
	}
	h.Close()
	if _, done, err := h.Step(nil); !done || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, %v", done, err)
	}
	Client(c, nothing).Close() // never begun
}
