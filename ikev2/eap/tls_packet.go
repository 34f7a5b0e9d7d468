package eap

import (
	"encoding/binary"
	"errors"
	"fmt"

	"mipsecd/internal/cursor"
)

// Flags of an EAP-TLS packet (RFC 5216 section 3.1). The others are reserved and ignored.
const (
	tlsLength = 0x80 // L: the length of the whole flight comes first
	tlsMore   = 0x40 // M: more fragments follow
	tlsStart  = 0x20 // S
)

// tlsPacket is an EAP-TLS packet without the EAP header: a fragment of a flight. One without data and flags asks for the
// next fragment, or says that there is nothing more to say.
type tlsPacket struct {
	flags  uint8
	length uint32 // of the flight in octets, with tlsLength
	data   []byte
}

func parseTLS(b []byte) (p tlsPacket, err error) {
	r := cursor.Big(b)
	p.flags = r.U8() & (tlsLength | tlsMore | tlsStart)
	if p.flags&tlsLength != 0 {
		p.length = r.U32()
	}
	p.data = r.Rest()
	if err := r.Err(); err != nil {
		return p, fmt.Errorf("header: %w", err)
	}
	return p, nil
}

func (p tlsPacket) marshal() []byte {
	b := []byte{p.flags}
	if p.flags&tlsLength != 0 {
		b = binary.BigEndian.AppendUint32(b, p.length)
	}
	return append(b, p.data...)
}

// Bounds of flights. Fragments are so short that IKE need not be fragmented below the least MTU of IPv6; a flight has room
// for the longest chains of certificates.
const (
	maxFragment = 1000
	maxFlight   = 64 << 10
)

// flights takes flights apart into packets, and puts them together (RFC 5216 section 2.1.5). One side speaks at a time.
type flights struct {
	in     []byte // of a flight that is not all here
	length uint32 // that the other side has announced for it; zero is none
	out    []byte // still to be sent
	begun  bool   // to send a flight of several fragments
}

// take takes a packet in. Whole is the end of a flight, or a fragment being asked for; else the other side is to be asked
// for the next one.
func (f *flights) take(p tlsPacket) (flight []byte, whole bool, err error) {
	switch {
	case len(f.out) > 0 && len(p.data) > 0:
		return nil, false, errors.New("a flight in the midst of ours; want an empty packet")
	case len(f.in)+len(p.data) > maxFlight || p.length > maxFlight:
		return nil, false, fmt.Errorf("a flight of %d octets; want at most %d", max(len(f.in)+len(p.data), int(p.length)), maxFlight)
	case p.flags&tlsMore != 0 && len(p.data) == 0:
		return nil, false, errors.New("an empty fragment, with more to follow; want data")
	}
	if len(f.in) == 0 {
		f.length = p.length
	}
	f.in = append(f.in, p.data...)
	if p.flags&tlsMore != 0 {
		return nil, false, nil
	}
	flight, f.in = f.in, nil
	if f.length != 0 && int(f.length) != len(flight) {
		return nil, false, fmt.Errorf("TLS Message Length: %d; want %d, the octets of the fragments", f.length, len(flight))
	}
	return flight, true, nil
}

// give is the next packet of what is to be sent; an empty one if that is nothing.
func (f *flights) give() []byte {
	var p tlsPacket
	if !f.begun && len(f.out) > maxFragment {
		p.flags, p.length = tlsLength, uint32(len(f.out))
	}
	n := min(len(f.out), maxFragment)
	p.data, f.out = f.out[:n], f.out[n:]
	if f.begun = len(f.out) > 0; f.begun {
		p.flags |= tlsMore
	}
	return p.marshal()
}
