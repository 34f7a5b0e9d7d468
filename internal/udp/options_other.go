//go:build !linux

package udp

// prepare sets up a socket before it is bound. What Linux has beyond RFC 3542 is not there: the receive buffer is the
// system's, and the host's policies must let the key exchange pass.
func prepare(int, bool, Options) error { return nil }
