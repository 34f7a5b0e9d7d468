package discovery

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/net/ipv6"

	"mipsecd/mobility"
)

// How long a home link is asked (RFC 6275 section 12: INITIAL_DHAAD_TIMEOUT, DHAAD_RETRIES).
const (
	initialTimeout = 3 * time.Second
	retries        = 4
)

// onLink asks all home agents on the link with a prefix, of whom one answers.
func (f *Finder) onLink(ctx context.Context, prefix netip.Prefix, from netip.Addr) ([]netip.Addr, error) {
	conn, err := listen(from)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	var id [2]byte
	rand.Read(id[:]) // never fails
	request := mobility.DHAADRequest{Identifier: binary.BigEndian.Uint16(id[:])}
	to := mobility.HomeAgents(prefix)
	wait := f.Timeout
	for range 1 + retries {
		// A send may fail for an error about the one before.
		if _, err := conn.WriteTo(request.Marshal(), nil, &net.IPAddr{IP: to.AsSlice()}); err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		list, err := answered(conn, request, time.Now().Add(wait))
		if err == nil || ctx.Err() != nil {
			return list, errors.Join(err, ctx.Err())
		}
		wait *= 2
	}
	return nil, fmt.Errorf("no home agent answers at %s", to)
}

// listen opens a socket for the replies alone. The kernel makes and verifies the checksums.
func listen(from netip.Addr) (*ipv6.PacketConn, error) {
	socket, err := net.ListenIP("ip6:ipv6-icmp", &net.IPAddr{IP: from.AsSlice()})
	if err != nil {
		return nil, err
	}
	conn := ipv6.NewPacketConn(socket)
	var replies ipv6.ICMPFilter
	replies.SetAll(true)
	replies.Accept(ipv6.ICMPTypeHomeAgentAddressDiscoveryReply)
	if err := conn.SetICMPFilter(&replies); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// answered waits until a time for a reply that has addresses.
func answered(conn *ipv6.PacketConn, to mobility.DHAADRequest, until time.Time) ([]netip.Addr, error) {
	if err := conn.SetReadDeadline(until); err != nil {
		return nil, err
	}
	for buf := make([]byte, 4096); ; {
		n, _, _, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			continue // an ICMPv6 error about the request
		}
		reply, err := mobility.ParseDHAADReply(buf[:n])
		if err != nil || reply.Identifier != to.Identifier {
			continue
		}
		list := slices.DeleteFunc(reply.HomeAgents, func(a netip.Addr) bool { return a.Is4In6() || !a.IsGlobalUnicast() })
		if len(list) > 0 {
			return list, nil
		}
	}
}
