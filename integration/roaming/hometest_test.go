//go:build linux

package roaming

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/secret"
	"mipsecd/mobility"
)

// routability is the way of return routability by the home agent (RFC 6275 section 5.2.5), between the mobile node and a
// correspondent that answers each Home Test Init.
type routability struct {
	mn    *net.IPConn
	mu    sync.Mutex
	inits int // that have come to the correspondent
	tests int // that have come to the mobile node
}

var cookie = [8]byte{'a', ' ', 'c', 'o', 'o', 'k', 'i', 'e'}

func startRoutability(t *testing.T) *routability {
	t.Helper()
	r := &routability{mn: listenMH(t, lab.MN, lab.HoA)}
	cn := listenMH(t, lab.CN, lab.Correspondent)
	go r.serve(cn, func(m mobility.Message, from netip.Addr) {
		if _, ok := m.(mobility.HomeTestInit); ok && from == lab.HoA {
			r.inits++
			sendMH(cn, mobility.HomeTest{Cookie: cookie, Token: secret.Bytes("a token ")}, from)
		}
	})
	go r.serve(r.mn, func(m mobility.Message, from netip.Addr) {
		if hot, ok := m.(mobility.HomeTest); ok && from == lab.Correspondent && hot.Cookie == cookie {
			r.tests++
		}
	})
	return r
}

func (r *routability) serve(conn *net.IPConn, handle func(mobility.Message, netip.Addr)) {
	for buf := make([]byte, 2048); ; {
		n, from, err := conn.ReadFromIP(buf)
		if err != nil {
			return
		}
		addr, _ := netip.AddrFromSlice(from.IP)
		if m, err := mobility.ParseMH(buf[:n]); err == nil {
			r.mu.Lock()
			handle(m, addr)
			r.mu.Unlock()
		}
	}
}

// init sends a Home Test Init. It may get lost: while there is no SA the kernel drops it.
func (r *routability) init(t *testing.T) {
	t.Helper()
	must(t, sendMH(r.mn, mobility.HomeTestInit{Cookie: cookie}, lab.Correspondent))
}

// forget counts anew.
func (r *routability) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inits, r.tests = 0, 0
}

// arrived is an error as long as no Home Test Init has come to the correspondent or no Home Test to the mobile node.
func (r *routability) arrived() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inits == 0 || r.tests == 0 {
		return fmt.Errorf("%d Home Test Inits at the correspondent, %d Home Tests at the mobile node", r.inits, r.tests)
	}
	return nil
}

// listenMH opens a host's raw socket for the Mobility Header.
func listenMH(t *testing.T, n lab.Node, a netip.Addr) (conn *net.IPConn) {
	t.Helper()
	must(t, n.Do(func() (err error) {
		conn, err = net.ListenIP("ip6:135", &net.IPAddr{IP: a.AsSlice()})
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func sendMH(conn *net.IPConn, m mobility.Message, to netip.Addr) error {
	b, err := m.Marshal()
	if err != nil {
		return err
	}
	_, err = conn.WriteToIP(b, &net.IPAddr{IP: to.AsSlice()})
	return err
}
