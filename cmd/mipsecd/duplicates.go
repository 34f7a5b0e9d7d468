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

// duplicates tells of the Binding Acknowledgements which say that another host has a home address of this one's, and which are
// heard beside the mobility daemon. One that a policy wants protected the kernel delivers only if it was.
func duplicates(ctx context.Context, cfg *configs.Config) (<-chan migrate.Duplicate, error) {
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
	out := make(chan migrate.Duplicate)
	go func() {
		for buf := make([]byte, 4096); ; {
			n, about, from, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil || about == nil {
				continue // an ICMPv6 error about something that another socket has sent
			}
			d, ok := duplicate(buf[:n], from, about.Dst)
			if !ok {
				continue
			}
			select {
			case out <- d:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// duplicate reads a Mobility Header that is a Binding Acknowledgement of that status.
func duplicate(mh []byte, from net.Addr, to net.IP) (d migrate.Duplicate, ok bool) {
	m, err := mobility.ParseMH(mh)
	ack, isAck := m.(mobility.BindingAck)
	sender, isIP := from.(*net.IPAddr)
	if err != nil || !isAck || !isIP || ack.Status != mobility.StatusDADFailed {
		return d, false
	}
	var okHA, okHoA bool
	d.HomeAgent, okHA = netip.AddrFromSlice(sender.IP)
	d.HomeAddress, okHoA = netip.AddrFromSlice(to)
	return d, okHA && okHoA
}
