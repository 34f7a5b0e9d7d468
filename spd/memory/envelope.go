package memory

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"mipsecd/internal/cursor"
	"mipsecd/spd"
)

// The protocol of an inner packet in tunnel mode: IPv6 encapsulation.
const protoIPv6 = 41

const tagSize = sha256.Size

// seal puts a packet into an envelope with the shape of ESP: SPI, sequence number, next header, the payload in the
// clear, and a tag that takes the keys of the SA.
func (s *sa) seal(p Packet) (Packet, error) {
	if s.sequence == math.MaxUint32 {
		return Packet{}, errors.New("sequence numbers are used up") // RFC 4303 section 3.3.3
	}
	s.sequence++
	inner := Packet{Src: s.Endpoints.Src, Dst: s.Endpoints.Dst, Proto: p.Proto, Payload: p.Payload}
	if s.Mode != spd.Transport {
		inner.Proto, inner.Payload = protoIPv6, p.append(nil)
	}
	envelope := binary.BigEndian.AppendUint32(nil, s.SPI)
	envelope = binary.BigEndian.AppendUint32(envelope, s.sequence)
	envelope = append(append(envelope, inner.Proto), inner.Payload...)
	inner.Proto, inner.Payload = s.Proto, append(envelope, s.tag(envelope)...)
	return inner, nil
}

// open takes the packet out of an envelope. Replayed packets are refused after the tag is verified (RFC 4303 section
// 3.4.3).
func (s *sa) open(p Packet) (Packet, error) {
	content, tag, ok := splitTag(p.Payload)
	if !ok || !hmac.Equal(tag, s.tag(content)) {
		return Packet{}, fmt.Errorf("SA %s: %w", s.ID(), ErrIntegrity)
	}
	r := cursor.Big(content)
	_, sequence, proto := r.U32(), r.U32(), r.U8()
	payload := r.Rest()
	if r.Err() != nil {
		return Packet{}, fmt.Errorf("envelope: %w", r.Err())
	}
	if !s.replay.accept(sequence, uint32(s.ReplayWindow)) {
		return Packet{}, fmt.Errorf("SA %s, sequence number %d: %w", s.ID(), sequence, ErrReplay)
	}
	if s.Mode != spd.Transport {
		if proto != protoIPv6 {
			return Packet{}, fmt.Errorf("envelope of a tunnel: protocol %d, want %d", proto, protoIPv6)
		}
		return parsePacket(payload)
	}
	return Packet{Src: p.Src, Dst: p.Dst, Proto: proto, Payload: payload}, nil
}

func splitTag(b []byte) (content, tag []byte, ok bool) {
	n := len(b) - tagSize
	if n < 0 {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// tag covers the algorithms too, so that both sides must agree about them.
func (s *sa) tag(content []byte) []byte {
	t := s.Transform
	mac := hmac.New(sha256.New, append(append([]byte(nil), t.EncrKey...), t.IntegKey...))
	mac.Write(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, uint16(t.Encr)), uint16(t.Integ)))
	mac.Write(content)
	return mac.Sum(nil)
}

// replayWindow remembers which of the last sequence numbers have come (RFC 4303 section 3.4.3).
type replayWindow struct {
	top  uint32
	seen [256]bool // by sequence number modulo 256
}

// accept takes a sequence number unless it came before or is left of the window. A window of zero takes all.
func (w *replayWindow) accept(sequence, size uint32) bool {
	switch {
	case size == 0:
		return true
	case sequence == 0 || w.top >= size && sequence <= w.top-size:
		return false
	case sequence > w.top:
		for n := min(sequence-w.top, 256); n > 0; n-- {
			w.seen[(sequence-n+1)%256] = false
		}
		w.top = sequence
	case w.seen[sequence%256]:
		return false
	}
	w.seen[sequence%256] = true
	return true
}
