package pfkey

import (
	"fmt"
	"net/netip"
	"time"

	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// SPIs below 256 are reserved (RFC 4303 section 2.1).
const (
	lowestSPI  = 0x100
	highestSPI = 0xffffffff
)

// satypeOf is the SA type of an IPsec protocol.
func satypeOf(proto uint8) (uint8, error) {
	switch proto {
	case spd.ESP:
		return satypeESP, nil
	case spd.AH:
		return satypeAH, nil
	}
	return 0, fmt.Errorf("%w: an SA of %s, must be esp or ah", spd.ErrInvalid, spd.IPsecName(proto))
}

// protoOf reverses satypeOf; zero for other SA types.
func protoOf(satype uint8) uint8 {
	switch satype {
	case satypeESP:
		return spd.ESP
	case satypeAH:
		return spd.AH
	}
	return 0
}

// saEndpoints checks that an SA can have these addresses, and this mode.
func saEndpoints(e spd.Endpoints, mode spd.Mode) error {
	if !addressed(e) {
		return fmt.Errorf("%w: SA %s: must have two addresses of one family", spd.ErrInvalid, e)
	}
	if mode < spd.Transport || mode > spd.BEET {
		return fmt.Errorf("%w: SA %s: mode %s is not one of PF_KEY", spd.ErrInvalid, e, mode)
	}
	return nil
}

// addressed reports whether both ends are specified addresses of one family.
func addressed(e spd.Endpoints) bool {
	return sameFamily(e) && !e.Src.IsUnspecified() && !e.Dst.IsUnspecified()
}

func sameFamily(e spd.Endpoints) bool {
	return e.Src.IsValid() && e.Src.BitLen() == e.Dst.BitLen()
}

// larvalMessage asks for an SPI.
func larvalMessage(l spd.LarvalSA) (*message, error) {
	satype, err := satypeOf(l.Proto)
	if err != nil {
		return nil, err
	}
	if err := saEndpoints(l.Endpoints, l.Mode); err != nil {
		return nil, err
	}
	return &message{
		header: header{typ: sadbGetSPI, satype: satype},
		src:    hostAddress(l.Endpoints.Src), dst: hostAddress(l.Endpoints.Dst),
		spiRange: &spiRange{lowestSPI, highestSPI},
		sa2:      &sa2Ext{mode: uint8(l.Mode)},
	}, nil
}

// addMessage carries a whole SA.
func (d *dialect) addMessage(s spd.SA) (*message, error) {
	satype, err := satypeOf(s.Proto)
	if err != nil {
		return nil, err
	}
	if err := saEndpoints(s.Endpoints, s.Mode); err != nil {
		return nil, err
	}
	switch {
	case s.SPI < lowestSPI:
		return nil, fmt.Errorf("%w: SPI %d, must be at least %d", spd.ErrInvalid, s.SPI, lowestSPI)
	case s.Transform.ESN:
		return nil, fmt.Errorf("%w: PF_KEY has no extended sequence numbers", spd.ErrInvalid)
	case s.Encap != spd.Encap{} && (s.Proto != spd.ESP || d.natType == 0):
		return nil, fmt.Errorf("%w: UDP encapsulation of this SA", spd.ErrInvalid)
	case len(s.Transform.EncrKey) > 0xffff/8 || len(s.Transform.IntegKey) > 0xffff/8:
		return nil, fmt.Errorf("%w: a key of more than %d octets", spd.ErrInvalid, 0xffff/8)
	}
	m := &message{
		header: header{typ: sadbAdd, satype: satype, seq: s.Acquire},
		sa: &saExt{
			spi: s.SPI, replay: min(s.ReplayWindow, d.maxReplay), state: stateMature,
			auth: d.integ[s.Transform.Integ], encrypt: d.encr[s.Transform.Encr],
		},
		hard: newLifetime(s.Lifetime.Hard, s.Lifetime.HardBytes),
		soft: newLifetime(s.Lifetime.Soft, s.Lifetime.SoftBytes),
		src:  hostAddress(s.Endpoints.Src), dst: hostAddress(s.Endpoints.Dst),
		authKey: s.Transform.IntegKey,
		sa2:     &sa2Ext{mode: uint8(s.Mode), reqid: s.Reqid},
		encap:   s.Encap,
	}
	if s.Proto == spd.ESP {
		m.encrKey = append(secret.Bytes{}, s.Transform.EncrKey...) // present also for ENCR_NULL, which has no bits
	}
	return m, nil
}

// newLifetime rounds up to seconds. Kernels want the soft and the hard one together, so zero bounds are sent, too.
func newLifetime(d time.Duration, bytes uint64) *lifetime {
	return &lifetime{bytes: bytes, addTime: uint64((d + time.Second - 1) / time.Second)}
}

func (x *lifetime) time() time.Duration {
	const longest = 1<<63 - 1
	return time.Duration(min(x.addTime, longest/uint64(time.Second))) * time.Second
}

// idMessage names an SA. Linux looks it up by its SAID alone, but wants to see a source address.
func idMessage(t msgType, id spd.SAID) (*message, error) {
	satype, err := satypeOf(id.Proto)
	if err != nil {
		return nil, err
	}
	if !id.Dst.IsValid() {
		return nil, fmt.Errorf("%w: SA without a destination", spd.ErrInvalid)
	}
	anywhere := netip.IPv6Unspecified()
	if id.Dst.Is4() {
		anywhere = netip.IPv4Unspecified()
	}
	return &message{
		header: header{typ: t, satype: satype},
		sa:     &saExt{spi: id.SPI},
		src:    hostAddress(anywhere), dst: hostAddress(id.Dst),
	}, nil
}

// said is the SA that a message is about. False when it is none of ESP or AH with an SPI.
func (m *message) said() (spd.SAID, bool) {
	proto := protoOf(m.satype)
	if proto == 0 || m.sa == nil || m.sa.spi == 0 || m.dst == nil {
		return spd.SAID{}, false
	}
	return spd.SAID{Dst: m.dst.prefix.Addr(), Proto: proto, SPI: m.sa.spi}, true
}

// saOf is the SA in a dump's message. False when it is larval, or not of ESP or AH.
func (d *dialect) saOf(m *message) (spd.SA, bool) {
	id, ok := m.said()
	if !ok || m.src == nil || m.sa2 == nil || m.sa.state == stateLarval {
		return spd.SA{}, false
	}
	s := spd.SA{
		SPI: id.SPI, Proto: id.Proto, Mode: spd.Mode(m.sa2.mode),
		Endpoints: spd.Endpoints{Src: m.src.prefix.Addr(), Dst: id.Dst},
		Reqid:     m.sa2.reqid, ReplayWindow: m.sa.replay, Encap: m.encap,
	}
	for encr, number := range d.encr {
		if number == m.sa.encrypt {
			s.Transform.Encr = encr
		}
	}
	for integ, number := range d.integ {
		if number == m.sa.auth {
			s.Transform.Integ = integ
		}
	}
	if m.soft != nil {
		s.Lifetime.Soft, s.Lifetime.SoftBytes = m.soft.time(), m.soft.bytes
	}
	if m.hard != nil {
		s.Lifetime.Hard, s.Lifetime.HardBytes = m.hard.time(), m.hard.bytes
	}
	return s, true
}
