// Package wire reads and writes IKEv2 messages (RFC 7296 section 3, RFC 7383 section 2.5). It knows what the octets
// mean and nothing of cryptography or state: an Encrypted payload is opaque, and its decrypted content is a chain of
// payloads like any other.
//
// What it reads aliases the input: the caller must not change a datagram as long as it uses payloads read from it.
//
// What it writes is the caller's own. A length that the wire's field cannot carry (a payload of more than 65535 octets,
// an SPI of more than 255) is a mistake in the program, and panics; nothing that was read can cause it.
package wire

import (
	"encoding/binary"
)

// Message is one IKE message. Its last payload is an SK or SKF, except in IKE_SA_INIT and IKE_SESSION_RESUME.
type Message struct {
	Header
	Payloads []Payload
}

// Parse reads a datagram that is one IKE message, without the non-ESP marker of UDP port 4500. The error is an *Error:
//
//   - INVALID_MAJOR_VERSION for a version above 2, which is to be answered with our own (RFC 7296 section 2.5),
//   - UNSUPPORTED_CRITICAL_PAYLOAD for an unknown payload with the critical bit,
//   - INVALID_SYNTAX for everything else, also for IKEv1.
func Parse(b []byte) (*Message, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	if major := h.Version >> 4; major != 2 {
		notify := NotifyInvalidMajorVersion
		if major < 2 {
			notify = NotifyInvalidSyntax
		}
		return nil, &Error{Notify: notify, Section: versionSection, Err: unexpected("Major Version", major, "2")}
	}
	if int64(h.Length) != int64(len(b)) {
		return nil, syntaxError(headerSection, unexpected("Length in the IKE header", h.Length, "%d as received", len(b)))
	}
	payloads, err := parseChain(h.NextPayload, b, HeaderLen, true)
	if err != nil {
		return nil, err
	}
	return &Message{Header: h, Payloads: payloads}, nil
}

// Marshal writes the message, after setting NextPayload and Length in its header to what they must be. The Body of an
// SK or SKF is the end of the result, so it can be sealed in place with all that precedes it as associated data.
func (m *Message) Marshal() []byte {
	m.NextPayload = FirstType(m.Payloads)
	b := AppendPayloads(m.Append(make([]byte, 0, 512)), m.Payloads)
	m.Length = uint32(len(b))
	binary.BigEndian.PutUint32(b[HeaderLen-4:], m.Length)
	return b
}
