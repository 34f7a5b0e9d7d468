package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"mipsecd/spd"
	"mipsecd/spd/memory"
)

const (
	echoRequest = 128
	echoReply   = 129
)

// Pinger pings from one address to another: a correspondent node a home address, or a mobile node a correspondent.
type Pinger struct {
	*Host
	from, to netip.Addr
	sequence uint16
	replies  chan uint16
}

// NewPinger makes a host with the address from ping another.
func NewPinger(h *Host, from, to netip.Addr) *Pinger {
	p := &Pinger{Host: h, from: from, to: to, replies: make(chan uint16, 16)}
	h.Receive = p.received
	return p
}

// Ping sends echo requests until one of them is answered, and tells how many it took: the first may meet a tunnel that
// is still to be keyed.
func (p *Pinger) Ping(ctx context.Context) (sent int, err error) {
	for {
		p.sequence++
		sent++
		err := p.Send(memory.Packet{
			Src: p.from, Dst: p.to, Proto: spd.ProtoICMPv6,
			Payload: binary.BigEndian.AppendUint16([]byte{echoRequest, 0, 0, 0, 0, 1}, p.sequence),
		})
		if err != nil && !errors.Is(err, memory.ErrHeld) {
			return sent, err
		}
		select {
		case got := <-p.replies:
			if got == p.sequence {
				return sent, nil
			}
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return sent, errors.New("no ping was answered")
		}
	}
}

func (p *Pinger) received(in memory.Packet) {
	if in.Proto == spd.ProtoICMPv6 && len(in.Payload) == 8 && in.Payload[0] == echoReply {
		select {
		case p.replies <- binary.BigEndian.Uint16(in.Payload[6:]):
		default: // nobody waits for it any more
		}
	}
}

// AnswerPings makes a host answer echo requests.
func AnswerPings(h *Host) {
	h.Receive = func(p memory.Packet) { answerPing(h, p) }
}

// answerPing answers an echo request.
func answerPing(h *Host, p memory.Packet) {
	if p.Proto != spd.ProtoICMPv6 || len(p.Payload) != 8 || p.Payload[0] != echoRequest {
		return
	}
	reply := append([]byte{echoReply}, p.Payload[1:]...)
	if err := h.Send(memory.Packet{Src: p.Dst, Dst: p.Src, Proto: spd.ProtoICMPv6, Payload: reply}); err != nil {
		h.Say("refused: %v", err)
	}
}
