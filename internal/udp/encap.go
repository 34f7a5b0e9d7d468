package udp

import "bytes"

// marker stands before an IKE message where UDP-encapsulated ESP arrives, too: ESP has its SPI there, which is not zero
// (RFC 3948 section 2.2).
var marker = make([]byte, 4)

// keepalive is the whole datagram that keeps a NAT's mapping alive (RFC 3948 section 2.3).
var keepalive = []byte{0xff}

// BesideESP makes a Conn for IKE of a port that is for UDP-encapsulated ESP, too: it puts the non-ESP marker before what
// is sent, and takes it off what arrives. What has none, such as keepalives, it swallows. An empty datagram leaves as a
// keepalive.
func BesideESP(c Conn) Conn { return besideESP{c} }

type besideESP struct{ Conn }

func (c besideESP) Send(d Datagram) error {
	if len(d.Data) == 0 {
		d.Data = keepalive
	} else {
		d.Data = append(marker[:len(marker):len(marker)], d.Data...)
	}
	return c.Conn.Send(d)
}

func (c besideESP) Receive() (Datagram, error) {
	for {
		d, err := c.Conn.Receive()
		if err != nil {
			return d, err
		}
		if data, ok := bytes.CutPrefix(d.Data, marker); ok {
			d.Data = data
			return d, nil
		}
	}
}
