package wire

import (
	"encoding/binary"
	"slices"
)

// Unencrypted is a message as it was before it was encrypted, and perhaps cut into fragments: with plain for the Body of
// its SK, and lengths that say so. That is what IntAuth is computed of (RFC 9242 section 3.3.2). The head is all of a
// datagram that Parse has accepted before the Body of its SK or SKF; of fragments, that of the first. The type of the
// first payload in plain is first.
func Unencrypted(head []byte, first PayloadType, plain []byte) []byte {
	const nextPayload = 16 // its place in the IKE header
	announced, at := nextPayload, HeaderLen
	for t := PayloadType(head[announced]); t != PayloadSK && t != PayloadSKF; t = PayloadType(head[announced]) {
		announced, at = at, at+int(binary.BigEndian.Uint16(head[at+2:]))
	}
	m := slices.Grow(slices.Clone(head[:at+4]), len(plain))
	m[announced] = byte(PayloadSK)
	m[at] = byte(first)
	m = append(m, plain...)
	binary.BigEndian.PutUint16(m[at+2:], size16(len(m)-at))
	binary.BigEndian.PutUint32(m[HeaderLen-4:], uint32(len(m)))
	return m
}
