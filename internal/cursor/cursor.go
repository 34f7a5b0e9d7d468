// Package cursor reads binary messages front to back. A read past the end sets a sticky error and yields zero, so a
// decoder reads a whole structure and checks once.
package cursor

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Reader walks over a byte slice without copying it.
type Reader struct {
	buf   []byte
	off   int
	order binary.ByteOrder
	err   error
}

// Big reads in network byte order.
func Big(b []byte) *Reader { return &Reader{buf: b, order: binary.BigEndian} }

// Native reads in this machine's byte order, as PF_KEY and netlink are laid out.
func Native(b []byte) *Reader { return &Reader{buf: b, order: binary.NativeEndian} }

// Ordered reads in the given byte order.
func Ordered(b []byte, order binary.ByteOrder) *Reader { return &Reader{buf: b, order: order} }

// Bytes returns the next n octets, aliasing the input, or nil with the error set.
func (r *Reader) Bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.buf)-r.off {
		r.err = fmt.Errorf("offset %d: %d octets wanted, %d left: %w", r.off, n, len(r.buf)-r.off, io.ErrUnexpectedEOF)
		return nil
	}
	b := r.buf[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

// Skip passes over n octets.
func (r *Reader) Skip(n int) { r.Bytes(n) }

// U8 reads one octet.
func (r *Reader) U8() uint8 {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads two octets.
func (r *Reader) U16() uint16 {
	if b := r.Bytes(2); b != nil {
		return r.order.Uint16(b)
	}
	return 0
}

// U32 reads four octets.
func (r *Reader) U32() uint32 {
	if b := r.Bytes(4); b != nil {
		return r.order.Uint32(b)
	}
	return 0
}

// U64 reads eight octets.
func (r *Reader) U64() uint64 {
	if b := r.Bytes(8); b != nil {
		return r.order.Uint64(b)
	}
	return 0
}

// Rest returns all that is left and moves to the end.
func (r *Reader) Rest() []byte { return r.Bytes(r.Len()) }

// Len is the number of octets left; zero once a read has failed.
func (r *Reader) Len() int {
	if r.err != nil {
		return 0
	}
	return len(r.buf) - r.off
}

// Offset is the number of octets read.
func (r *Reader) Offset() int { return r.off }

// Err is the first error, wrapping io.ErrUnexpectedEOF.
func (r *Reader) Err() error { return r.err }
