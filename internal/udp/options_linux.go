package udp

import (
	"fmt"

	"golang.org/x/sys/unix"

	"mipsecd/internal/bypass"
)

// receiveBuffer holds the burst of a home agent's restart: some thousand mobile nodes at once.
const receiveBuffer = 4 << 20

// preferCareOf is IPV6_PREFER_SRC_COA: without it source address selection takes the home address (RFC 5014 section
// 5, RFC 6724 section 5 rule 4).
const preferCareOf = 0x0004

// espInUDP is the encapsulation of RFC 3948 (UDP_ENCAP_ESPINUDP).
const espInUDP = 2

// prepare sets up a socket before it is bound.
func prepare(fd int, v6 bool, opts Options) error {
	// More than the system's limit takes privilege; without it the limit must do.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return fmt.Errorf("receive buffer: %w", err)
		}
	}
	if v6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_ADDR_PREFERENCES, preferCareOf); err != nil {
			return fmt.Errorf("prefer care-of addresses: %w", err)
		}
	}
	if opts.ESP {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, espInUDP); err != nil {
			return fmt.Errorf("UDP-encapsulated ESP: %w", err)
		}
	}
	if opts.NoBypass {
		return nil
	}
	return bypass.Bypass(fd, v6)
}
