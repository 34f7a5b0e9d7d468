// Package udp carries IKE and KINK datagrams between exact pairs of addresses.
package udp

import "net/netip"

// Datagram is one UDP datagram. Local is this host's address and port, whichever way it goes.
type Datagram struct {
	Local, Remote netip.AddrPort
	Data          []byte
}

// Conn is UDP ports, mostly one, on all addresses of this host. Its methods may be called from several goroutines.
type Conn interface {
	// Send sends from the address that the datagram names (a mobile node's CoA) past all IPsec policies. It does not
	// keep Data. The error wraps syscall.EADDRNOTAVAIL when the host does not own that address.
	Send(Datagram) error
	// Receive blocks until a datagram arrives at any address of this host. After Close it returns net.ErrClosed.
	Receive() (Datagram, error)
	Close() error
}
