package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/net/ipv6"

	"mipsecd/configs"
	"mipsecd/migrate"
	"mipsecd/mobility"
)

// acknowledgements tells of the Binding Acknowledgements, which are heard beside the mobility daemon. One that a policy wants
// protected the kernel delivers only if it was.
func acknowledgements(ctx context.Context, cfg *configs.Config) (<-chan migrate.Acknowledged, error) {
	binds := func(h migrate.Home) bool { return h.Mobility == migrate.MobileIPv6 }
	if cfg.Role != configs.MobileNode || !slices.ContainsFunc(cfg.Homes, binds) {
		return nil, nil
	}
	socket, err := net.ListenIP("ip6:135", nil) // the kernel verifies the checksum of a Mobility Header
	if err != nil {
		return nil, fmt.Errorf("listening for Binding Acknowledgements: %w", err)
	}
	conn := ipv6.NewPacketConn(socket)
	if err := conn.SetControlMessage(ipv6.FlagDst, true); err != nil {
		socket.Close()
		return nil, fmt.Errorf("listening for Binding Acknowledgements: %w", err)
	}
	context.AfterFunc(ctx, func() { socket.Close() })
	out := make(chan migrate.Acknowledged)
	go func() {
		for buf := make([]byte, 4096); ; {
			n, about, from, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil || about == nil {
				continue // an ICMPv6 error about something that another socket has sent
			}
			a, ok := acknowledgement(buf[:n], from, about.Dst)
			if !ok {
				continue
			}
			select {
			case out <- a:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// acknowledgement reads a Mobility Header that is a Binding Acknowledgement.
func acknowledgement(mh []byte, from net.Addr, to net.IP) (a migrate.Acknowledged, ok bool) {
	m, err := mobility.ParseMH(mh)
	ack, isAck := m.(mobility.BindingAck)
	sender, isIP := from.(*net.IPAddr)
	if err != nil || !isAck || !isIP {
		return a, false
	}
	a.Status, a.KeyMobility = uint8(ack.Status), ack.KeyMobility
	var okHA, okHoA bool
	a.HomeAgent, okHA = netip.AddrFromSlice(sender.IP)
	a.HomeAddress, okHoA = netip.AddrFromSlice(to)
	return a, okHA && okHoA
}
