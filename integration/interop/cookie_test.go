//go:build linux

package interop

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	ike "mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/integration/lab"
	"mipsecd/spd"
)

// cookie: the responder has half-open IKE_SAs of others, and asks for a cookie.
func (p *pairing) cookie(t *testing.T) {
	const cookies = 10 // fewer than one network may have
	m := modern.mipsecd()
	if p.peerOn == lab.MN {
		m.more = fmt.Sprintf("[limits]\ncookies = %d\n", cookies)
	}
	x := p.meet(t, m, modern.peer())
	if x.peerOn == lab.MN {
		halfOpen(t, cookies)
	} else {
		x.peer.press(t)
	}
	x.establish(t, x.first)
	x.saw(t, 0, cookieAsked)
	x.passesFirst(t)
}

// halfOpen begins n IKE_SAs with the home agent, half of them from the correspondent and half from the router, as no network
// may have them all, and leaves it at that.
func halfOpen(t *testing.T, n int) {
	t.Helper()
	key, err := ike.GenerateKE(ike.X25519, rand.Reader)
	must(t, err)
	var conns []net.Conn
	for _, from := range []lab.Node{lab.CN, lab.Router} {
		must(t, from.Do(func() error {
			conn, err := net.Dial("udp6", net.JoinHostPort(lab.HomeAgent.String(), "500"))
			conns = append(conns, conn)
			return err
		}))
		defer conns[len(conns)-1].Close()
	}
	for spi := range uint64(n) {
		nonce := make([]byte, 32)
		rand.Read(nonce)
		m := wire.Message{
			Header: wire.Header{SPIi: spi + 1, Version: 0x20, Exchange: wire.ExchangeIKESAInit, Initiator: true},
			Payloads: []wire.Payload{
				&wire.SA{Proposals: []wire.Proposal{{Num: 1, Protocol: wire.ProtocolIKE, Transforms: []wire.Transform{
					{Type: wire.TransformENCR, ID: uint16(spd.EncrAESGCM16), KeyLen: 128},
					{Type: wire.TransformPRF, ID: uint16(ike.PRFHMACSHA256)},
					{Type: wire.TransformKE, ID: uint16(ike.X25519)},
				}}}},
				&wire.KE{Group: uint16(ike.X25519), Data: key.Public()},
				&wire.Nonce{Data: nonce},
			},
		}
		answered(t, conns[spi%2], m.Marshal())
	}
}

// answered sends a request until there is an answer to it.
func answered(t *testing.T, conn net.Conn, request []byte) {
	t.Helper()
	wait(t, "an answer to IKE_SA_INIT", func() error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		must(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
		for buf := make([]byte, 2048); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return err
			}
			if n >= 8 && binary.BigEndian.Uint64(buf) == binary.BigEndian.Uint64(request) {
				return nil
			}
		}
	})
}
