//go:build !linux

package udp

import (
	"errors"
	"fmt"
)

// prepare sets up a socket before it is bound. What Linux has beyond RFC 3542 is not there: the receive buffer is the
// system's, the host's policies must let the key exchange pass, and ESP is not taken out of UDP.
func prepare(_ int, _ bool, opts Options) error {
	if opts.ESP {
		return fmt.Errorf("UDP-encapsulated ESP: %w", errors.ErrUnsupported)
	}
	return nil
}
