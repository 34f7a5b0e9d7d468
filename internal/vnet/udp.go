package vnet

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"mipsecd/internal/udp"
)

// receiveQueue is how many datagrams wait at a socket; more are lost.
const receiveQueue = 4096

// socket is a UDP port of a node.
type socket struct {
	node     *Node
	port     uint16
	received chan udp.Datagram
	closed   chan struct{}
	shutDown bool
	esp      bool // what is UDP-encapsulated ESP is not for the socket
}

var _ udp.Conn = (*socket)(nil)

// ListenUDP opens a port on all addresses that the node has and will have. It panics if the port is open already.
func (nd *Node) ListenUDP(port uint16) udp.Conn { return nd.listen(port, false) }

// ListenIKE opens ports 500 and 4500. UDP-encapsulated ESP that arrives at the latter is for the node's handler.
func (nd *Node) ListenIKE() udp.Conn {
	const ike, nat = 500, 4500
	return udp.Join(udp.Port{Number: ike, Conn: nd.ListenUDP(ike)},
		udp.Port{Number: nat, Conn: udp.BesideESP(nd.listen(nat, true))})
}

func (nd *Node) listen(port uint16, esp bool) *socket {
	nd.network.mu.Lock()
	defer nd.network.mu.Unlock()
	if nd.ports[port] != nil {
		panic(fmt.Sprintf("%s listens at UDP port %d already", nd, port))
	}
	s := &socket{
		node: nd, port: port, received: make(chan udp.Datagram, receiveQueue), closed: make(chan struct{}), esp: esp,
	}
	nd.ports[port] = s
	nd.network.sockets[s] = struct{}{}
	return s
}

// Send implements udp.Conn. It wants a local address; a local port of zero is the socket's.
func (s *socket) Send(d udp.Datagram) error {
	if s.isClosed() {
		return net.ErrClosed
	}
	var err error
	switch {
	case !d.Remote.IsValid() || d.Remote.Port() == 0:
		err = syscall.EDESTADDRREQ
	case d.Local.Port() != s.port && d.Local.Port() != 0:
		err = fmt.Errorf("this is the socket of port %d", s.port)
	case len(d.Data) > 65535-udpHeader:
		err = syscall.EMSGSIZE
	default:
		err = s.node.Send(Packet{Src: d.Local.Addr(), Dst: d.Remote.Addr(), Proto: protoUDP,
			Payload: appendUDP(s.port, d.Remote.Port(), d.Data)})
	}
	if err != nil {
		return fmt.Errorf("udp: send from %s to %s: %w", d.Local, d.Remote, err)
	}
	return nil
}

// Receive implements udp.Conn.
func (s *socket) Receive() (udp.Datagram, error) {
	if s.isClosed() { // even if there is something left to receive
		return udp.Datagram{}, net.ErrClosed
	}
	select {
	case d := <-s.received:
		return d, nil
	case <-s.closed:
		return udp.Datagram{}, net.ErrClosed
	}
}

func (s *socket) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Close implements udp.Conn. A second Close does nothing.
func (s *socket) Close() error {
	s.node.network.mu.Lock()
	defer s.node.network.mu.Unlock()
	s.shut()
	return nil
}

// shut closes the socket under the network's lock.
func (s *socket) shut() {
	if !s.shutDown {
		s.shutDown = true
		close(s.closed)
		delete(s.node.ports, s.port)
		delete(s.node.network.sockets, s)
	}
}

// socketFor finds the socket that a packet is for, or nil.
func (nd *Node) socketFor(p Packet) *socket {
	if p.Proto != protoUDP {
		return nil
	}
	_, port, data, ok := parseUDP(p.Payload)
	if !ok {
		return nil
	}
	s := nd.ports[port]
	if s != nil && s.esp && len(data) >= 4 && binary.BigEndian.Uint32(data) != 0 {
		return nil // begins with an SPI (RFC 3948 section 2.2)
	}
	return s
}

// queue lets a datagram wait to be received.
func (s *socket) queue(p Packet) {
	srcPort, _, data, _ := parseUDP(p.Payload)
	d := udp.Datagram{Local: netip.AddrPortFrom(p.Dst, s.port), Remote: netip.AddrPortFrom(p.Src, srcPort),
		Data: slices.Clone(data)}
	select {
	case s.received <- d:
	default:
	}
}
