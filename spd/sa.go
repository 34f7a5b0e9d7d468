package spd

import (
	"fmt"
	"net/netip"
	"time"

	"mipsecd/internal/secret"
)

// SAID names an SA in a kernel: destination, protocol and SPI (RFC 4301 section 4.1).
type SAID struct {
	Dst   netip.Addr
	Proto uint8
	SPI   uint32
}

func (id SAID) String() string {
	return fmt.Sprintf("%s %08x to %s", IPsecName(id.Proto), id.SPI, id.Dst)
}

// Encr is an encryption algorithm by its IANA number among the IKEv2 transforms of type 1.
type Encr uint16

// Integ is an integrity algorithm by its IANA number among the IKEv2 transforms of type 3; zero with an AEAD cipher.
type Integ uint16

// The algorithms that SAs use.
const (
	Encr3DES             Encr = 3
	EncrNull             Encr = 11
	EncrAESCBC           Encr = 12
	EncrAESCTR           Encr = 13
	EncrAESCCM8          Encr = 14
	EncrAESCCM12         Encr = 15
	EncrAESCCM16         Encr = 16
	EncrAESGCM8          Encr = 18
	EncrAESGCM12         Encr = 19
	EncrAESGCM16         Encr = 20
	EncrChaCha20Poly1305 Encr = 28

	IntegNone       Integ = 0
	IntegSHA1_96    Integ = 2
	IntegAESXCBC96  Integ = 5
	IntegAESCMAC96  Integ = 8
	IntegSHA256_128 Integ = 12
	IntegSHA384_192 Integ = 13
	IntegSHA512_256 Integ = 14
)

// Transform is the cryptography of one SA. For CTR and the AEAD ciphers EncrKey ends with the salt (RFC 4106 section
// 8.1: four octets; AES-CCM: three).
type Transform struct {
	Encr     Encr
	EncrKey  secret.Bytes
	Integ    Integ
	IntegKey secret.Bytes
	ESN      bool
}

// Lifetime bounds an SA; zero is no bound. At Soft the kernel asks for a new SA, at Hard it drops this one.
type Lifetime struct {
	Soft, Hard           time.Duration
	SoftBytes, HardBytes uint64
}

// Encap is the UDP encapsulation of an SA's ESP packets (RFC 3948): the ports of its source and its destination. The zero
// Encap is none.
type Encap struct{ Src, Dst uint16 }

// Reverse swaps source and destination.
func (e Encap) Reverse() Encap { return Encap{Src: e.Dst, Dst: e.Src} }

func (e Encap) String() string {
	if e == (Encap{}) {
		return "none"
	}
	return fmt.Sprintf("udp %d -> %d", e.Src, e.Dst)
}

// SA is one entry of the security association database (RFC 4301 section 4.4.2). Addresses are those of the SA, not
// those of the key exchange: HoA and HA in transport mode, CoA and HA in a tunnel.
type SA struct {
	SPI       uint32
	Proto     uint8
	Mode      Mode
	Endpoints Endpoints
	Reqid     uint32
	Dir       Dir // In or Out; zero from a kernel that does not tell
	Transform Transform
	Lifetime  Lifetime
	// Acquire is the sequence number of the kernel's ACQUIRE that this SA answers, or zero.
	Acquire uint32
	// Selector restricts what may pass through the SA; the zero Selector restricts nothing.
	Selector Selector
	// Encap is how ESP gets through a NAT; AH does not.
	Encap Encap
	// ReplayWindow is the number of packets the anti-replay window covers; zero switches the check off, and of an outbound
	// SA it lets the sequence numbers begin anew after the highest, where the kernel can do that.
	ReplayWindow uint8
}

// ID is the SA's name.
func (s SA) ID() SAID { return SAID{Dst: s.Endpoints.Dst, Proto: s.Proto, SPI: s.SPI} }

func (s SA) String() string {
	return fmt.Sprintf("%s %s %08x %s %s reqid %d", s.Dir, IPsecName(s.Proto), s.SPI, s.Mode, s.Endpoints, s.Reqid)
}
