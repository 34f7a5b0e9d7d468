package pfkey

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

const (
	inet4        = 2 // AF_INET, everywhere
	sockaddr4Len = 16
	sockaddr6Len = 28
)

// appendSockaddr lays out sockaddr_in or sockaddr_in6.
func (d *dialect) appendSockaddr(b []byte, a netip.AddrPort) []byte {
	family, length := d.inet6, sockaddr6Len
	if a.Addr().Is4() {
		family, length = inet4, sockaddr4Len
	}
	start := len(b)
	if d.saLen {
		b = append(b, uint8(length), uint8(family))
	} else {
		b = native.AppendUint16(b, family)
	}
	b = binary.BigEndian.AppendUint16(b, a.Port())
	if a.Addr().Is4() {
		b = append(b, a.Addr().AsSlice()...)
	} else {
		ip := a.Addr().As16()
		b = append(append(b, 0, 0, 0, 0), ip[:]...) // after the flow label
	}
	return append(b, make([]byte, length-(len(b)-start))...)
}

func (d *dialect) decodeSockaddr(r *cursor.Reader) (netip.AddrPort, error) {
	var length uint8
	var family uint16
	if d.saLen {
		length, family = r.U8(), uint16(r.U8())
	} else {
		family = r.U16()
	}
	port := r.Bytes(2)
	var ip []byte
	want := uint8(sockaddr4Len)
	switch {
	case r.Err() != nil:
	case family == inet4:
		ip = r.Bytes(4)
		r.Skip(8)
	case family == d.inet6:
		r.Skip(4)
		ip = r.Bytes(16)
		r.Skip(4)
		want = sockaddr6Len
	default:
		return netip.AddrPort{}, fmt.Errorf("sa_family %d, must be %d (AF_INET) or %d (AF_INET6)",
			family, inet4, d.inet6)
	}
	if r.Err() != nil {
		return netip.AddrPort{}, fmt.Errorf("sockaddr: %w", r.Err())
	}
	if d.saLen && length != want {
		return netip.AddrPort{}, fmt.Errorf("sa_len %d, must be %d for family %d", length, want, family)
	}
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(port)), nil
}

// appendPair lays out two sockaddrs back to back.
func (d *dialect) appendPair(b []byte, e spd.Endpoints) []byte {
	b = d.appendSockaddr(b, netip.AddrPortFrom(e.Src, 0))
	return d.appendSockaddr(b, netip.AddrPortFrom(e.Dst, 0))
}

func (d *dialect) decodePair(r *cursor.Reader) (spd.Endpoints, error) {
	src, err := d.decodeSockaddr(r)
	if err != nil {
		return spd.Endpoints{}, err
	}
	dst, err := d.decodeSockaddr(r)
	if err != nil {
		return spd.Endpoints{}, err
	}
	if src.Addr().BitLen() != dst.Addr().BitLen() {
		return spd.Endpoints{}, fmt.Errorf("%s and %s: must be of one family", src.Addr(), dst.Addr())
	}
	return spd.Endpoints{Src: src.Addr(), Dst: dst.Addr()}, nil
}

// appendKMAddress lays out sadb_x_kmaddress (draft-ebalard-mext-pfkey-enhanced-migrate appendix A).
func (d *dialect) appendKMAddress(b []byte, e spd.Endpoints) []byte {
	return d.appendPair(append(b, 0, 0, 0, 0), e)
}

func (d *dialect) decodeKMAddress(r *cursor.Reader) (spd.Endpoints, error) {
	r.Skip(4)
	return d.decodePair(r)
}

// address is sadb_address (RFC 2367 section 2.3.3).
type address struct {
	proto  uint8
	prefix netip.Prefix
	port   uint16
}

// anyProto is IPSEC_ULPROTO_ANY: in selectors zero is hop-by-hop options.
const anyProto = 255

// hostAddress is an endpoint of an SA, for which protocol and port do not matter.
func hostAddress(a netip.Addr) *address { return &address{prefix: spd.Host(a)} }

func (d *dialect) appendAddress(b []byte, x address) []byte {
	b = append(b, x.proto, uint8(x.prefix.Bits()), 0, 0)
	return d.appendSockaddr(b, netip.AddrPortFrom(x.prefix.Addr(), x.port))
}

func (d *dialect) decodeAddress(r *cursor.Reader) (*address, error) {
	proto, bits := r.U8(), int(r.U8())
	r.Skip(2)
	a, err := d.decodeSockaddr(r)
	if err != nil {
		return nil, err
	}
	if bits > a.Addr().BitLen() {
		return nil, fmt.Errorf("sadb_address_prefixlen %d, at most %d", bits, a.Addr().BitLen())
	}
	return &address{proto: proto, prefix: netip.PrefixFrom(a.Addr(), bits), port: a.Port()}, nil
}
