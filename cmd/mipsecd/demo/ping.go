package demo

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

// pinger is a correspondent node that pings a home address.
type pinger struct {
	*host
	from, to netip.Addr
	sequence uint16
	replies  chan uint16
}

// ping sends echo requests until one of them is answered, and tells how many it took: the first may meet a tunnel that
// is still to be keyed.
func (p *pinger) ping(ctx context.Context) (sent int, err error) {
	for {
		p.sequence++
		sent++
		err := p.send(memory.Packet{
			Src: p.from, Dst: p.to, Proto: spd.ProtoICMPv6,
			Payload: binary.BigEndian.AppendUint16([]byte{echoRequest, 0, 0, 0, 0, 1}, p.sequence),
		})
		if err != nil {
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

func (p *pinger) received(in memory.Packet) {
	if in.Proto == spd.ProtoICMPv6 && len(in.Payload) == 8 && in.Payload[0] == echoReply {
		select {
		case p.replies <- binary.BigEndian.Uint16(in.Payload[6:]):
		default: // nobody waits for it any more
		}
	}
}

// answerPing answers an echo request.
func answerPing(h *host, p memory.Packet) {
	if p.Proto != spd.ProtoICMPv6 || len(p.Payload) != 8 || p.Payload[0] != echoRequest {
		return
	}
	reply := append([]byte{echoReply}, p.Payload[1:]...)
	if err := h.send(memory.Packet{Src: p.Dst, Dst: p.Src, Proto: spd.ProtoICMPv6, Payload: reply}); err != nil {
		h.refused(err)
	}
}
