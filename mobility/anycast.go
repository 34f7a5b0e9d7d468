package mobility

import (
	"encoding/binary"
	"net/netip"
)

// The interface identifiers that RFC 2526 section 2 reserves under each prefix are the last with seven bits of their own:
// the last of all or, where an identifier has 64 bits, of those that are not universal.
const (
	reservedBits = 0x7f
	lastLocal    = 0xfdff_ffff_ffff_ffff
	homeAgents   = 0x7e // the seven bits of the home agents (RFC 6275 section 8.4)
)

// interfaceID is the part of an address under a prefix of at least 64 bits that is a host's own, and lastAnycast the
// highest one that is reserved there.
func interfaceID(prefix netip.Prefix, a netip.Addr) (id, lastAnycast uint64) {
	hosts := uint64(1)<<(128-prefix.Bits()) - 1
	b := a.As16()
	id, lastAnycast = binary.BigEndian.Uint64(b[8:])&hosts, hosts
	if prefix.Bits() == 64 {
		lastAnycast = lastLocal
	}
	return id, lastAnycast
}

// WithInterfaceID is the address under a prefix of 64 to 120 bits with this interface identifier, of which the bits that
// do not fit are left out.
func WithInterfaceID(prefix netip.Prefix, id uint64) netip.Addr {
	b := prefix.Masked().Addr().As16()
	hosts := uint64(1)<<(128-prefix.Bits()) - 1
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])|id&hosts)
	return netip.AddrFrom16(b)
}

// IsAnycast reports whether an address under a prefix of 64 to 120 bits is no host's: the subnet routers' (RFC 4291
// section 2.6.1), or one that RFC 2526 reserves.
func IsAnycast(prefix netip.Prefix, a netip.Addr) bool {
	id, last := interfaceID(prefix, a)
	return id == 0 || id|reservedBits == last
}

// HomeAgents is the anycast address of the home agents on the home link with a prefix of 64 to 120 bits (RFC 2526 section
// 3, RFC 6275 section 8.4).
func HomeAgents(prefix netip.Prefix) netip.Addr {
	_, last := interfaceID(prefix, prefix.Addr())
	return WithInterfaceID(prefix, last&^reservedBits|homeAgents)
}
