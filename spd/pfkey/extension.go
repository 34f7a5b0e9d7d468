package pfkey

import (
	"encoding/binary"
	"fmt"
	"slices"

	"mipsecd/internal/cursor"
	"mipsecd/internal/secret"
)

var native = binary.NativeEndian

// saExt is sadb_sa (RFC 2367 section 2.3.1).
type saExt struct {
	spi           uint32
	replay, state uint8
	auth, encrypt uint8
	flags         uint32
}

// States of an SA (RFC 2367 section 3.3).
const (
	stateLarval uint8 = 0
	stateMature uint8 = 1
)

func (x *saExt) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, x.spi)
	b = append(b, x.replay, x.state, x.auth, x.encrypt)
	return native.AppendUint32(b, x.flags)
}

func decodeSA(r *cursor.Reader) *saExt {
	spi := r.Bytes(4)
	if spi == nil {
		return nil
	}
	return &saExt{
		spi: binary.BigEndian.Uint32(spi), replay: r.U8(), state: r.U8(), auth: r.U8(), encrypt: r.U8(), flags: r.U32(),
	}
}

// lifetime is sadb_lifetime (RFC 2367 section 2.3.2); times are in seconds.
type lifetime struct {
	allocations             uint32
	bytes, addTime, useTime uint64
}

func (x *lifetime) append(b []byte) []byte {
	b = native.AppendUint32(b, x.allocations)
	b = native.AppendUint64(b, x.bytes)
	b = native.AppendUint64(b, x.addTime)
	return native.AppendUint64(b, x.useTime)
}

func decodeLifetime(r *cursor.Reader) *lifetime {
	return &lifetime{allocations: r.U32(), bytes: r.U64(), addTime: r.U64(), useTime: r.U64()}
}

// appendKey lays out sadb_key (RFC 2367 section 2.3.4).
func appendKey(b []byte, key secret.Bytes) []byte {
	b = native.AppendUint16(b, uint16(len(key)*8))
	b = append(b, 0, 0)
	return append(b, key...)
}

// algorithm is sadb_alg (RFC 2367 section 2.3.8).
type algorithm struct {
	id, ivLen        uint8
	minBits, maxBits uint16
}

const algorithmLen = 8

// appendAlgorithms lays out sadb_supported.
func appendAlgorithms(b []byte, algs []algorithm) []byte {
	b = append(b, 0, 0, 0, 0)
	for _, a := range algs {
		b = append(b, a.id, a.ivLen)
		b = native.AppendUint16(b, a.minBits)
		b = native.AppendUint16(b, a.maxBits)
		b = append(b, 0, 0)
	}
	return b
}

func decodeAlgorithms(r *cursor.Reader) ([]algorithm, error) {
	r.Skip(4)
	if r.Len()%algorithmLen != 0 {
		return nil, fmt.Errorf("sadb_alg: %d octets, must be a multiple of %d", r.Len(), algorithmLen)
	}
	algs := make([]algorithm, 0, r.Len()/algorithmLen)
	for r.Len() > 0 {
		algs = append(algs, algorithm{id: r.U8(), ivLen: r.U8(), minBits: r.U16(), maxBits: r.U16()})
		r.Skip(2)
	}
	return algs, nil
}

// spiRange is sadb_spirange (RFC 2367 section 2.3.9).
type spiRange struct{ lowest, highest uint32 }

func (x *spiRange) append(b []byte) []byte {
	b = native.AppendUint32(b, x.lowest)
	b = native.AppendUint32(b, x.highest)
	return append(b, 0, 0, 0, 0)
}

func decodeSPIRange(r *cursor.Reader) *spiRange {
	x := &spiRange{lowest: r.U32(), highest: r.U32()}
	r.Skip(4)
	return x
}

// sa2Ext is sadb_x_sa2, KAME's: what ties an SA to its policy.
type sa2Ext struct {
	mode            uint8
	sequence, reqid uint32
}

func (x *sa2Ext) append(b []byte) []byte {
	b = append(b, x.mode, 0, 0, 0)
	b = native.AppendUint32(b, x.sequence)
	return native.AppendUint32(b, x.reqid)
}

func decodeSA2(r *cursor.Reader) *sa2Ext {
	x := &sa2Ext{mode: r.U8()}
	r.Skip(3)
	x.sequence, x.reqid = r.U32(), r.U32()
	return x
}

// appendPacket lays out sadb_x_packet (draft-sugimoto-mip6-pfkey-migrate section 4.2.1).
func appendPacket(b, packet []byte) []byte {
	return append(native.AppendUint32(b, uint32(len(packet))), packet...)
}

func decodePacket(r *cursor.Reader) ([]byte, error) {
	length := r.U32()
	if uint64(length) > uint64(r.Len()) {
		return nil, fmt.Errorf("sadb_x_packet_copylen %d, at most %d octets are there", length, r.Len())
	}
	return slices.Clone(r.Bytes(int(length))), nil
}
