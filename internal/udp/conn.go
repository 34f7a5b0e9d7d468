package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// A care-of address is tentative for a second or two (RFC 4862 section 5.4), and its routes may come after it. What is
// sent from it meanwhile is tried again for five seconds; of more than maxWaiting datagrams the later are given up at
// once, the key exchange retransmits.
const (
	retryInterval = 100 * time.Millisecond
	maxRetries    = 50
	maxWaiting    = 32
)

// maxDatagram is more than any UDP datagram.
const maxDatagram = 65535

type conn struct {
	port     uint16
	v6, v4   *net.UDPConn // v4 is nil on a host without IPv4
	received chan received
	waiting  chan struct{} // holds a token for each datagram that is to be tried again
	closed   chan struct{}
	close    sync.Once
	running  sync.WaitGroup
}

type received struct {
	datagram Datagram
	err      error
}

func newConn(port uint16, v6, v4 *net.UDPConn) *conn {
	c := &conn{
		port: port, v6: v6, v4: v4,
		received: make(chan received),
		waiting:  make(chan struct{}, maxWaiting),
		closed:   make(chan struct{}),
	}
	c.running.Go(func() { c.read(v6, parseControl6) })
	if v4 != nil {
		c.running.Go(func() { c.read(v4, parseControl4) })
	}
	return c
}

func (c *conn) Close() error {
	c.close.Do(func() {
		close(c.closed)
		c.v6.Close()
		if c.v4 != nil {
			c.v4.Close()
		}
	})
	c.running.Wait()
	return nil
}

func (c *conn) Receive() (Datagram, error) {
	select {
	case r := <-c.received:
		return r.datagram, r.err
	case <-c.closed:
		return Datagram{}, net.ErrClosed
	}
}

// read passes on what arrives at one socket, until Close.
func (c *conn) read(socket *net.UDPConn, parse func([]byte) (netip.Addr, int)) {
	buf, control := make([]byte, maxDatagram), make([]byte, controlSpace)
	for {
		n, controlLen, _, from, err := socket.ReadMsgUDPAddrPort(buf, control)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		r := received{err: err}
		if err == nil {
			to, index := parse(control[:controlLen])
			if to.IsLinkLocalUnicast() {
				to = to.WithZone(zone(index))
			}
			r.datagram = Datagram{
				Local:  netip.AddrPortFrom(to, c.port),
				Remote: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()),
				Data:   append([]byte(nil), buf[:n]...),
			}
		}
		select {
		case c.received <- r:
		case <-c.closed:
			return
		}
	}
}

// controlSpace is room for the destination address and interface of one datagram.
var controlSpace = max(len(ipv6.NewControlMessage(ipv6.FlagDst|ipv6.FlagInterface)),
	len(ipv4.NewControlMessage(ipv4.FlagDst|ipv4.FlagInterface)))

// The destination address stays the zero Addr where the system does not tell.

func parseControl6(b []byte) (to netip.Addr, index int) {
	var cm ipv6.ControlMessage
	if cm.Parse(b) == nil {
		to, _ = netip.AddrFromSlice(cm.Dst)
	}
	return to, cm.IfIndex
}

func parseControl4(b []byte) (to netip.Addr, index int) {
	var cm ipv4.ControlMessage
	if cm.Parse(b) == nil {
		to, _ = netip.AddrFromSlice(cm.Dst)
	}
	return to.Unmap(), cm.IfIndex
}

// Send sends at once where it can. From an address of the host that is still tentative the datagram leaves when the
// address is valid, without a further error.
func (c *conn) Send(d Datagram) error {
	local, remote, err := c.endpoints(d)
	if err == nil {
		err = c.write(local, remote, d.Data)
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) && owned(local) && c.retry(local, remote, append([]byte(nil), d.Data...)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("udp: send from %s to %s: %w", d.Local, d.Remote, err)
	}
	return nil
}

// endpoints checks the addresses of a datagram. The local address is unspecified if the kernel is to choose it; if
// both are link-local, one zone does for both.
func (c *conn) endpoints(d Datagram) (local netip.Addr, remote netip.AddrPort, err error) {
	local, to := d.Local.Addr().Unmap(), d.Remote.Addr().Unmap()
	switch {
	case !to.IsValid() || to.IsUnspecified() || d.Remote.Port() == 0:
		return local, remote, errors.New("the remote address or port is missing")
	case d.Local.Port() != c.port && d.Local.Port() != 0:
		return local, remote, fmt.Errorf("this is the socket of port %d", c.port)
	case to.Is4() && c.v4 == nil:
		return local, remote, syscall.EAFNOSUPPORT
	}
	if !local.IsValid() {
		local = netip.IPv6Unspecified()
		if to.Is4() {
			local = netip.IPv4Unspecified()
		}
	}
	if local.Is4() != to.Is4() {
		return local, remote, errors.New("one address is IPv4, the other IPv6")
	}
	if to.IsLinkLocalUnicast() && to.Is6() && to.Zone() == "" {
		if local.Zone() == "" {
			return local, remote, errors.New("a link-local address needs its zone, such as %eth0")
		}
		to = to.WithZone(local.Zone())
	}
	return local, netip.AddrPortFrom(to, d.Remote.Port()), nil
}

// write sends one datagram now. Linux has EINVAL for an IPv6 source address that is not, or not yet, this host's (what
// else could be invalid endpoints has refused), and ENETUNREACH for an IPv4 one: here both are EADDRNOTAVAIL.
func (c *conn) write(local netip.Addr, remote netip.AddrPort, data []byte) error {
	socket := c.v6
	if local.Is4() {
		socket = c.v4
	}
	var source []byte
	if !local.IsUnspecified() {
		if source = sourceControl(local); len(source) == 0 {
			return fmt.Errorf("this system lets no socket choose an IPv4 source address: %w", errors.ErrUnsupported)
		}
	}
	_, _, err := socket.WriteMsgUDPAddrPort(data, source, remote)
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	if !local.IsUnspecified() && (errno == syscall.EINVAL || errno == syscall.ENETUNREACH && !owned(local)) {
		return syscall.EADDRNOTAVAIL
	}
	return errno
}

// sourceControl is the control message that chooses the source address.
func sourceControl(local netip.Addr) []byte {
	if local.Is4() {
		return (&ipv4.ControlMessage{Src: local.AsSlice()}).Marshal()
	}
	return (&ipv6.ControlMessage{Src: local.AsSlice(), IfIndex: zoneIndex(local.Zone())}).Marshal()
}

// owned reports whether the address is one of this host's, be it tentative.
func owned(a netip.Addr) bool {
	addrs, _ := net.InterfaceAddrs()
	for _, have := range addrs {
		if p, ok := have.(*net.IPNet); ok {
			if ip, _ := netip.AddrFromSlice(p.IP); ip.Unmap() == a.WithZone("") {
				return true
			}
		}
	}
	return false
}

// retry has the datagram sent as soon as its source address can be used. It reports false when too many are waiting.
func (c *conn) retry(local netip.Addr, remote netip.AddrPort, data []byte) bool {
	select {
	case c.waiting <- struct{}{}:
	default:
		return false
	}
	go func() {
		defer func() { <-c.waiting }()
		tick := time.NewTicker(retryInterval)
		defer tick.Stop()
		for range maxRetries {
			select {
			case <-tick.C:
				if c.write(local, remote, data) == nil {
					return
				}
			case <-c.closed:
				return
			}
		}
	}()
	return true
}
