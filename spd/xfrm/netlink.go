//go:build linux

package xfrm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// errForeign marks what a kernel holds that is not for this package's users: policies of one socket, and selectors with
// port masks that spd cannot express. A reader of a dump or of notifications passes over it.
var errForeign = errors.New("not expressible in the model")

// invalid is an error about a value that its caller gave, found before the kernel saw it.
func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, spd.ErrInvalid)...)
}

var native = binary.NativeEndian

// headerLen is the size of struct nlmsghdr, and of the fields of struct nlattr before its value.
const (
	headerLen     = 16
	attrHeaderLen = 4
)

// message is one netlink message (RFC 3549 section 2.3.2).
type message struct {
	kind  uint16
	flags uint16
	seq   uint32
	body  []byte
}

// appendMessage frames a message; the kernel fills in the sender.
func appendMessage(b []byte, m message) []byte {
	b = native.AppendUint32(b, uint32(headerLen+len(m.body)))
	b = native.AppendUint16(b, m.kind)
	b = native.AppendUint16(b, m.flags)
	b = native.AppendUint32(b, m.seq)
	b = native.AppendUint32(b, 0)
	return pad(append(b, m.body...))
}

// decodeMessages splits a datagram. The bodies alias it.
func decodeMessages(datagram []byte) ([]message, error) {
	var all []message
	for r := cursor.Native(datagram); r.Len() > 0; {
		length := r.U32()
		m := message{kind: r.U16(), flags: r.U16(), seq: r.U32()}
		r.Skip(4) // sender
		m.body = r.Bytes(int(length) - headerLen)
		skipPadding(r)
		if err := r.Err(); err != nil {
			return nil, fmt.Errorf("netlink message: %w", err)
		}
		all = append(all, m)
	}
	return all, nil
}

// attribute is one netlink attribute (struct nlattr).
type attribute struct {
	kind  uint16
	value []byte
}

type attributes []attribute

// decodeAttributes splits the tail of a message. The values alias it.
func decodeAttributes(b []byte) (attributes, error) {
	const kindMask = 0x3fff // the two bits above are flags
	var all attributes
	for r := cursor.Native(b); r.Len() > 0; {
		length := r.U16()
		a := attribute{kind: r.U16() & kindMask}
		a.value = r.Bytes(int(length) - attrHeaderLen)
		skipPadding(r)
		if err := r.Err(); err != nil {
			return nil, fmt.Errorf("netlink attribute: %w", err)
		}
		all = append(all, a)
	}
	return all, nil
}

// get is the value of the first attribute of a kind, or nil.
func (as attributes) get(kind uint16) []byte {
	for _, a := range as {
		if a.kind == kind {
			return a.value
		}
	}
	return nil
}

// splitBody takes the fixed part of a message from its attributes.
func splitBody(body []byte, fixed int) ([]byte, attributes, error) {
	r := cursor.Native(body)
	head := r.Bytes(fixed)
	skipPadding(r)
	tail := r.Rest()
	if err := r.Err(); err != nil {
		return nil, nil, err
	}
	as, err := decodeAttributes(tail)
	return head, as, err
}

func appendAttribute(b []byte, kind uint16, value []byte) []byte {
	b = native.AppendUint16(b, uint16(attrHeaderLen+len(value)))
	b = native.AppendUint16(b, kind)
	return pad(append(b, value...))
}

// pad fills up to the alignment of netlink, four octets. Bodies and attributes begin aligned.
func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

// skipPadding passes over the octets that align what comes next; at the end of the input they may be missing.
func skipPadding(r *cursor.Reader) { r.Skip(min(-r.Offset()&3, r.Len())) }
