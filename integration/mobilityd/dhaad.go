//go:build linux

package mobilityd

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/ipv6"

	"mipsecd/mobility"
)

// Discovery answers mobile nodes that look for home agents (RFC 6275 section 10.5).
type Discovery struct {
	requests, replies *net.IPConn
	homeAgents        []netip.Addr
}

// StartDiscovery starts on the calling thread's network namespace, as one of these home agents, whose addresses and the
// anycast address of their home link are to be on it. It answers from the address self. It needs root.
func StartDiscovery(prefix netip.Prefix, self netip.Addr, homeAgents ...netip.Addr) (*Discovery, error) {
	d := &Discovery{homeAgents: homeAgents}
	var err error
	if d.requests, err = listenICMP(mobility.HomeAgents(prefix), ipv6.ICMPTypeHomeAgentAddressDiscoveryRequest); err != nil {
		return nil, err
	}
	if d.replies, err = listenICMP(self); err != nil {
		d.requests.Close()
		return nil, err
	}
	go d.answer()
	return d, nil
}

// Close stops it.
func (d *Discovery) Close() error { return errors.Join(d.requests.Close(), d.replies.Close()) }

func (d *Discovery) answer() {
	for buf := make([]byte, 1500); ; {
		n, from, err := d.requests.ReadFromIP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		request, err := mobility.ParseDHAADRequest(buf[:n])
		if err != nil {
			continue
		}
		reply, err := mobility.DHAADReply{Identifier: request.Identifier, HomeAgents: d.homeAgents}.Marshal()
		if err == nil {
			_, _ = d.replies.WriteToIP(reply, from) // who does not get it asks again
		}
	}
}

// listenICMP opens a raw socket for ICMPv6 messages of these types alone.
func listenICMP(at netip.Addr, types ...ipv6.ICMPType) (*net.IPConn, error) {
	conn, err := net.ListenIP("ip6:ipv6-icmp", &net.IPAddr{IP: at.AsSlice()})
	if err != nil {
		return nil, err
	}
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	for _, t := range types {
		filter.Accept(t)
	}
	if err := ipv6.NewPacketConn(conn).SetICMPFilter(&filter); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
