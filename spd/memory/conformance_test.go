package memory

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"mipsecd/spd"
	"mipsecd/spd/spdtest"
)

func TestConformance(t *testing.T) {
	k := New(Options{Clock: time.Now, Seed: 1})
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		ticks := time.NewTicker(50 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				k.Tick()
			case <-stop:
				return
			}
		}
	}()
	spdtest.Run(t, func(*testing.T) spd.Backend { return k.Open() }, spdtest.Caps{
		Flush: func(_ *testing.T, policies bool) {
			if policies {
				k.FlushPolicies()
			} else {
				k.FlushSAs()
			}
		},
		Send: func(t *testing.T, src, dst netip.Addr, port uint16) {
			payload := binary.BigEndian.AppendUint16([]byte{0xc0, 0}, port)
			if _, err := k.Output(Packet{Src: src, Dst: dst, Proto: spd.ProtoUDP, Payload: payload}); err == nil {
				t.Error("the packet went out in the clear")
			}
		},
		Rebind: func(t *testing.T, src, dst netip.Addr, port uint16) {
			payload := append(binary.BigEndian.AppendUint16([]byte{0xc0, 0}, port), make([]byte, 4)...)
			p, err := k.Output(Packet{Src: src, Dst: dst, Proto: spd.ProtoUDP, Payload: payload})
			if err != nil || p.Proto != spd.ProtoUDP || binary.BigEndian.Uint16(p.Payload[2:]) != spdtest.RebindTo {
				t.Fatalf("%s, %v", p, err)
			}
			binary.BigEndian.PutUint16(p.Payload, spdtest.RebindFrom)
			binary.BigEndian.PutUint16(p.Payload[2:], natPort)
			if _, err := k.Input(p); err != nil {
				t.Error(err)
			}
		},
	})
}
