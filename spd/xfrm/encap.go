//go:build linux

package xfrm

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// espInUDP is the encapsulation of RFC 3948 (UDP_ENCAP_ESPINUDP).
const espInUDP = 2

// appendEncap writes a struct xfrm_encap_tmpl, unless there is no encapsulation. The original address, which it ends
// with, Linux does not look at.
func appendEncap(b []byte, e spd.Encap) []byte {
	if e == (spd.Encap{}) {
		return b
	}
	value := native.AppendUint16(nil, espInUDP)
	value = binary.BigEndian.AppendUint16(value, e.Src)
	value = binary.BigEndian.AppendUint16(value, e.Dst)
	value = append(value, 0, 0)
	return appendAttribute(b, attrEncap, append(value, make([]byte, addrLen)...))
}

// decodeEncap is the zero Encap if there is no attribute. Of other kinds than that of RFC 3948 the ports are told, too.
func decodeEncap(as attributes) (e spd.Encap, err error) {
	raw := as.get(attrEncap)
	if raw == nil {
		return e, nil
	}
	r := cursor.Native(raw)
	r.Skip(2)
	ports := cursor.Big(r.Bytes(4))
	r.Skip(2 + addrLen)
	e.Src, e.Dst = ports.U16(), ports.U16()
	if r.Err() != nil {
		return spd.Encap{}, fmt.Errorf("encapsulation: %w", r.Err())
	}
	return e, nil
}

// withEncap is the answer to GETSA, a whole SA, with other ports. An SA that has none is refused.
func withEncap(m message, e spd.Encap) (message, error) {
	info, as, err := splitBody(m.body, saInfoLen)
	if err != nil {
		return m, err
	}
	if as.get(attrEncap) == nil || e == (spd.Encap{}) {
		return m, invalid("an encapsulation cannot be added or taken away")
	}
	m.body = append(make([]byte, 0, len(m.body)), info...)
	for _, a := range as {
		if a.kind == attrEncap {
			m.body = appendEncap(m.body, e)
		} else {
			m.body = appendAttribute(m.body, a.kind, a.value)
		}
	}
	return m, nil
}

// decodeMapping reads a struct xfrm_user_mapping.
func decodeMapping(body []byte) (spd.Mapping, error) {
	r := cursor.Native(body)
	dst := r.Bytes(addrLen)
	spi := cursor.Big(r.Bytes(4)).U32()
	family, proto := r.U16(), r.U8()
	r.Skip(1 + 4 + addrLen) // padding, reqid, the old address
	src := r.Bytes(addrLen)
	ports := cursor.Big(r.Bytes(4))
	if r.Err() != nil {
		return spd.Mapping{}, fmt.Errorf("MAPPING: %w", r.Err())
	}
	ends, err := endpointsOf(src, dst, family)
	if err != nil {
		return spd.Mapping{}, fmt.Errorf("MAPPING: %w", err)
	}
	ports.Skip(2) // the old one
	id := spd.SAID{Dst: ends.Dst, Proto: proto, SPI: spi}
	return spd.Mapping{ID: id, From: netip.AddrPortFrom(ends.Src, ports.U16())}, nil
}
