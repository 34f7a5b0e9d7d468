//go:build linux

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"mipsecd/mobility"
	"mipsecd/spd"
)

// Captured is one IPv6 packet as it was on a link.
type Captured struct {
	mobility.Packet
	Raw []byte
}

// Capture collects the IPv6 packets of one link, in both directions.
type Capture struct {
	link    Link
	fd      int
	packets []Captured
}

// captureBuffer is what the kernel may hold of a link's packets until they are asked for.
const captureBuffer = 16 << 20

// StartCapture begins to collect the packets on a link, as its router sees them.
func StartCapture(t testing.TB, link Link) *Capture {
	t.Helper()
	c := &Capture{link: link}
	err := link.at.Do(func() error {
		device, err := net.InterfaceByName(link.Name)
		if err != nil {
			return err
		}
		c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer); err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		return unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: device.Index})
	})
	if err != nil {
		t.Fatalf("capture on %s: %v", link.Name, err)
	}
	t.Cleanup(func() { unix.Close(c.fd) })
	return c
}

// Packets is all that has been on the link so far.
func (c *Capture) Packets(t testing.TB) []Captured {
	t.Helper()
	for {
		buf := make([]byte, 2048)
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatalf("capture on %s: %v", c.link.Name, err)
		}
		if n == 0 || buf[0]>>4 != 6 {
			continue
		}
		p, err := mobility.ParsePacket(buf[:n])
		if err != nil {
			t.Fatalf("capture on %s: %v: %x", c.link.Name, err, buf[:n])
		}
		c.packets = append(c.packets, Captured{p, buf[:n]})
	}
	stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil || stats.Drops > 0 {
		t.Fatalf("capture on %s lost packets: %+v, %v", c.link.Name, stats, err)
	}
	return c.packets
}

// Wait returns when there are packets that Packets has not given yet, or after a second.
func (c *Capture) Wait(t testing.TB) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, 1000); err != nil && !errors.Is(err, unix.EINTR) {
		t.Fatalf("capture on %s: %v", c.link.Name, err)
	}
}

// Count is the number of packets so far for which match holds.
func (c *Capture) Count(t testing.TB, match func(Captured) bool) int {
	t.Helper()
	n := 0
	for _, p := range c.Packets(t) {
		if match(p) {
			n++
		}
	}
	return n
}

// What packets are, for Count.

// IsProtectedBU: a packet from the mobile node with its HoA in a Home Address option and nothing but ESP behind that.
func IsProtectedBU(p Captured) bool {
	return p.HomeAddressOption == HoA && p.Dst == HomeAgent && p.Proto == spd.ESP
}

// IsProtectedBA: a packet to the mobile node with its HoA in a type 2 routing header and nothing but ESP behind that.
func IsProtectedBA(p Captured) bool {
	return p.RoutingHome == HoA && p.Src == HomeAgent && p.Proto == spd.ESP
}

// IsTunnel: ESP between a CoA and the home agent, without Mobile IPv6's headers.
func IsTunnel(p Captured) bool {
	return p.Proto == spd.ESP && !p.HomeAddressOption.IsValid() && !p.RoutingHome.IsValid() &&
		(p.Src == HomeAgent || p.Dst == HomeAgent)
}

// IsIKE: a UDP datagram of IKE.
func IsIKE(p Captured) bool {
	const header, ike, natTraversal = 40, 500, 4500
	if p.Proto != spd.ProtoUDP || len(p.Raw) < header+8 {
		return false
	}
	port := binary.BigEndian.Uint16(p.Raw[header+2:])
	return port == ike || port == natTraversal
}

// Exposed lists the packets that showed on the link what IPsec should have hidden: a packet from or to addr that is not
// ESP, one that carries addr in a header of Mobile IPv6 but is not ESP, a Mobility Header, or a tunnel in the clear.
func (c *Capture) Exposed(t testing.TB, addr netip.Addr) []string {
	t.Helper()
	const ipv6InIPv6 = 41
	var found []string
	for _, p := range c.Packets(t) {
		about := p.Src == addr || p.Dst == addr || p.HomeAddressOption == addr || p.RoutingHome == addr
		if about && p.Proto != spd.ESP || p.Proto == spd.ProtoMH || p.Proto == ipv6InIPv6 {
			found = append(found, fmt.Sprintf("%s: %s -> %s %s: %x", c.link.Name, p.Src, p.Dst, spd.ProtoName(p.Proto), p.Raw))
		}
	}
	return found
}
