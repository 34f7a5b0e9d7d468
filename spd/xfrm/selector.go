//go:build linux

package xfrm

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// Address families as XFRM counts them, which are Linux's.
const (
	familyAny   uint16 = 0
	familyIPv4  uint16 = 2
	familyIPv6  uint16 = 10
	addrLen            = 16 // xfrm_address_t
	selectorLen        = 56 // struct xfrm_selector
)

func familyOf(a netip.Addr) uint16 {
	if a.Is4() {
		return familyIPv4
	}
	return familyIPv6
}

// appendAddr writes an xfrm_address_t: IPv4 addresses in its first four octets, the zero Addr as zeros.
func appendAddr(b []byte, a netip.Addr) []byte {
	b = append(b, a.AsSlice()...)
	return append(b, make([]byte, addrLen-a.BitLen()/8)...)
}

// addrOf interprets an xfrm_address_t, of which raw has all 16 octets.
func addrOf(raw []byte, family uint16) (netip.Addr, error) {
	switch family {
	case familyIPv4:
		return netip.AddrFrom4([4]byte(raw)), nil
	case familyIPv6:
		return netip.AddrFrom16([16]byte(raw)), nil
	}
	return netip.Addr{}, fmt.Errorf("address family %d: %d (IPv4) or %d (IPv6) wanted", family, familyIPv4, familyIPv6)
}

func endpointsOf(src, dst []byte, family uint16) (spd.Endpoints, error) {
	s, err := addrOf(src, family)
	if err != nil {
		return spd.Endpoints{}, err
	}
	d, err := addrOf(dst, family)
	return spd.Endpoints{Src: s, Dst: d}, err
}

// checkEndpoints refuses addresses that are not there or of two families.
func checkEndpoints(e spd.Endpoints) error {
	if !e.Src.IsValid() || !e.Dst.IsValid() || e.Src.Is4() != e.Dst.Is4() {
		return invalid("endpoints %s: two addresses of one family wanted", e)
	}
	return nil
}

// appendSelector writes a struct xfrm_selector.
func appendSelector(b []byte, s spd.Selector) ([]byte, error) {
	if !s.Src.IsValid() || !s.Dst.IsValid() || s.Src.Addr().Is4() != s.Dst.Addr().Is4() {
		return nil, invalid("selector %s: two prefixes of one family wanted", s)
	}
	b = appendAddr(b, s.Dst.Addr())
	b = appendAddr(b, s.Src.Addr())
	b = appendPort(b, s.DstPort)
	b = appendPort(b, s.SrcPort)
	b = native.AppendUint16(b, familyOf(s.Src.Addr()))
	b = append(b, uint8(s.Dst.Bits()), uint8(s.Src.Bits()), s.Proto, 0, 0, 0)
	return append(b, make([]byte, 8)...), nil // no interface, no user
}

const exactMask = 0xffff

// appendPort writes a port and its mask, big-endian. The mask tells "type 0" from "any".
func appendPort(b []byte, p spd.Port) []byte {
	if !p.Exact {
		return append(b, 0, 0, 0, 0)
	}
	b = binary.BigEndian.AppendUint16(b, p.Value)
	return binary.BigEndian.AppendUint16(b, exactMask)
}

// readSelector reads a struct xfrm_selector. One without a family selects everything and is the zero Selector.
func readSelector(r *cursor.Reader) (spd.Selector, error) {
	dst, src := r.Bytes(addrLen), r.Bytes(addrLen)
	ports := cursor.Big(r.Bytes(8))
	family, dstBits, srcBits, proto := r.U16(), int(r.U8()), int(r.U8()), r.U8()
	r.Skip(3 + 4 + 4) // padding, interface, user
	if err := r.Err(); err != nil {
		return spd.Selector{}, fmt.Errorf("selector: %w", err)
	}
	if family == familyAny {
		return spd.Selector{}, nil
	}
	ends, err := endpointsOf(src, dst, family)
	if err != nil {
		return spd.Selector{}, fmt.Errorf("selector: %w", err)
	}
	s := spd.Selector{Src: netip.PrefixFrom(ends.Src, srcBits), Dst: netip.PrefixFrom(ends.Dst, dstBits), Proto: proto}
	if !s.Src.IsValid() || !s.Dst.IsValid() {
		return spd.Selector{}, fmt.Errorf("selector: prefix lengths %d and %d: at most %d wanted",
			srcBits, dstBits, ends.Src.BitLen())
	}
	dstPort, dstExpressible := readPort(ports)
	srcPort, srcExpressible := readPort(ports)
	if !dstExpressible || !srcExpressible {
		return spd.Selector{}, errForeign
	}
	s.SrcPort, s.DstPort = srcPort, dstPort
	return s, nil
}

func readPort(r *cursor.Reader) (p spd.Port, expressible bool) {
	value, mask := r.U16(), r.U16()
	switch mask {
	case 0:
		return spd.Port{}, true
	case exactMask:
		return spd.ExactPort(value), true
	}
	return spd.Port{}, false
}
