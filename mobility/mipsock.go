package mobility

import (
	"fmt"
	"net/netip"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// MIPMessage is a message of SHISA's mobility sockets (PF_MOBILITY), by which its daemons tell the kernel, and all who listen,
// of bindings and movements. Of other messages there is nothing but the header.
type MIPMessage struct {
	Type  MIPType
	PID   uint32 // of the sender
	Seq   uint32
	Errno uint32 // why the kernel has refused it, or zero

	HomeAddress, CareOf netip.Addr
	// Peer is whom a mobile node has told of a binding; in a binding cache it is the host's own address. A movement has none.
	Peer    netip.Addr
	HomeReg bool      // the binding is with the home agent (H bit)
	Command MDCommand // of MIPMovement
}

// MIPType is the type of a MIPMessage.
type MIPType uint8

// The types with which mipsecd does something.
const (
	MIPCacheAdd    MIPType = 4  // MIPM_BC_ADD: a home agent has accepted a binding
	MIPCacheRemove MIPType = 5  // MIPM_BC_REMOVE: it has none any more
	MIPListAdd     MIPType = 6  // MIPM_BUL_ADD: a mobile node's binding is acknowledged
	MIPListRemove  MIPType = 8  // MIPM_BUL_REMOVE: it has none any more
	MIPMovement    MIPType = 10 // MIPM_MD_INFO: the mobile node has moved, and will register
)

// MDCommand is what follows of a movement.
type MDCommand uint8

// The commands. MDReregister is for another link, MDDeregisterHome for the home link.
const (
	MDReregister     MDCommand = 1
	MDDeregisterHome MDCommand = 2
)

const (
	mipVersion     = 1
	bsdSockaddrIn6 = 28   // its length, and sa_len
	mipHomeReg     = 0x40 // in the first octet of the flags, which are those of a Binding Update
)

// ParseMIPMessage reads a message as a mobility socket gives it, with numbers in the order of this host. Octets past its
// length are refused.
func ParseMIPMessage(b []byte) (MIPMessage, error) {
	m, err := parseMIPMessage(b)
	if err != nil {
		return MIPMessage{}, fmt.Errorf("mobility socket: %w", err)
	}
	return m, nil
}

func parseMIPMessage(b []byte) (m MIPMessage, err error) {
	r := cursor.Native(b)
	length, version := int(r.U16()), r.U8()
	m.Type = MIPType(r.U8())
	m.PID, m.Seq, m.Errno = r.U32(), r.U32(), r.U32()
	switch {
	case r.Err() != nil:
		return m, r.Err()
	case version != mipVersion:
		return m, fmt.Errorf("version is %d, must be %d", version, mipVersion)
	case length != len(b):
		return m, fmt.Errorf("length is %d, must be %d", length, len(b))
	}
	switch m.Type {
	case MIPCacheAdd, MIPCacheRemove:
		r.Skip(4) // lifetime
		m.HomeReg = r.U8()&mipHomeReg != 0
		r.Skip(1)
		err = readSockaddrs(r, &m.HomeAddress, &m.CareOf, &m.Peer)
	case MIPListAdd, MIPListRemove:
		m.HomeReg = r.U8()&mipHomeReg != 0
		r.Skip(7) // more flags, interfaces of both addresses, state
		err = readSockaddrs(r, &m.HomeAddress, &m.CareOf, &m.Peer)
	case MIPMovement:
		m.Command = MDCommand(r.U8())
		r.Skip(3)                                         // hint, interface
		err = readSockaddrs(r, &m.HomeAddress, &m.CareOf) // and the former care-of address
	}
	if err != nil {
		return m, fmt.Errorf("message %d: %w", m.Type, err)
	}
	return m, nil
}

// readSockaddrs reads addresses that follow each other as sockaddr_in6 of BSD, whose sin6_family differs between systems.
func readSockaddrs(r *cursor.Reader, into ...*netip.Addr) error {
	for i, a := range into {
		length := r.U8()
		r.Skip(7) // family, port, flow label
		ip := r.Bytes(16)
		r.Skip(4) // scope
		if err := r.Err(); err != nil {
			return err
		}
		if length != bsdSockaddrIn6 {
			return fmt.Errorf("length of address %d is %d, must be %d", i, length, bsdSockaddrIn6)
		}
		*a = netip.AddrFrom16([16]byte(ip))
	}
	return nil
}

// Binding is what the message says of where a home address is. Not ok if it says nothing of that, or was refused.
func (m MIPMessage) Binding() (b spd.Binding, ok bool) {
	b = spd.Binding{HomeAddress: m.HomeAddress, CareOf: m.CareOf, HomeAgent: m.Peer}
	switch m.Type {
	case MIPCacheAdd, MIPListAdd:
		ok = m.HomeReg
	case MIPCacheRemove, MIPListRemove:
		ok, b.CareOf = m.HomeReg, m.HomeAddress
	case MIPMovement:
		ok = m.Command == MDReregister || m.Command == MDDeregisterHome
		if m.Command == MDDeregisterHome {
			b.CareOf = m.HomeAddress
		}
	}
	if !ok || m.Errno != 0 || !routable(b.CareOf) {
		return spd.Binding{}, false
	}
	return b, true
}
