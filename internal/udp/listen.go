package udp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Options are what differs between the agent's sockets.
type Options struct {
	// NoBypass leaves the sockets under the host's IPsec policies, which needs no privilege. An agent that keys for
	// this kernel must not use it: its own datagrams would wait for the SA that they are to bring about.
	NoBypass bool
	// ESP has the kernel take UDP-encapsulated ESP (RFC 3948) out of what arrives, instead of delivering it.
	ESP bool
}

// Listen opens a UDP port on all addresses of the host, of IPv6 and, where the host has it, of IPv4. The sockets belong
// to the network namespace of the calling thread.
func Listen(port uint16, opts Options) (Conn, error) {
	if port == 0 {
		return nil, errors.New("udp: port 0: a key exchange needs a port that the peer knows")
	}
	v6, err := open("udp6", netip.AddrPortFrom(netip.IPv6Unspecified(), port), opts)
	if err != nil {
		return nil, err
	}
	v4, err := open("udp4", netip.AddrPortFrom(netip.IPv4Unspecified(), port), opts)
	if err != nil && !errors.Is(err, syscall.EAFNOSUPPORT) {
		v6.Close()
		return nil, err
	}
	return newConn(port, v6, v4), nil
}

// open makes one wildcard socket that tells the destination address of what it receives.
func open(network string, at netip.AddrPort, opts Options) (*net.UDPConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		controlErr := raw.Control(func(fd uintptr) { err = prepare(int(fd), at.Addr().Is6(), opts) })
		return cmp.Or(controlErr, err)
	}}
	pc, err := config.ListenPacket(context.Background(), network, at.String())
	if err != nil {
		return nil, fmt.Errorf("udp: listen at %s: %w%s", at, cause(err), hint(err))
	}
	socket := pc.(*net.UDPConn)
	if at.Addr().Is6() {
		err = ipv6.NewPacketConn(socket).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	} else {
		err = ipv4.NewPacketConn(socket).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	}
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("udp: listen at %s: ask for destination addresses: %w", at, err)
	}
	return socket, nil
}

// cause takes off the layers that name the addresses, which the errors of this package name themselves.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// hint is what the operator can do about an error.
func hint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return " (is another IKE or KINK daemon running? stop it, or use another port)"
	case errors.Is(err, syscall.EACCES):
		return " (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EPERM):
		return " (the IPsec bypass of the socket needs root or CAP_NET_ADMIN)"
	}
	return ""
}
