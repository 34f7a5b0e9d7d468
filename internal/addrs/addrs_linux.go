package addrs

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// rtnetlink has one socket for news and one for questions. News only say that it is time to ask: so a lost one loses
// nothing.
type rtnetlink struct {
	news      *nl.NetlinkSocket
	questions *netlink.Handle
}

func open() (system, error) {
	news, err := nl.Subscribe(unix.NETLINK_ROUTE,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_LINK)
	if err != nil {
		return nil, fmt.Errorf("addrs: rtnetlink: %w", err)
	}
	questions, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		news.Close()
		return nil, fmt.Errorf("addrs: rtnetlink: %w", err)
	}
	return rtnetlink{news, questions}, nil
}

func (r rtnetlink) close() {
	r.news.Close()
	r.questions.Close()
}

func (r rtnetlink) wait() error {
	_, _, err := r.news.Receive()
	if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("addrs: rtnetlink: %w", err)
	}
	return nil
}

// maxInterruptions is how often an enumeration that changes meanwhile is begun anew at once. A change that comes later
// makes news of its own.
const maxInterruptions = 10

func (r rtnetlink) list() ([]Address, error) {
	var entries []netlink.Addr
	err := error(netlink.ErrDumpInterrupted)
	for range maxInterruptions {
		if entries, err = r.questions.AddrList(nil, netlink.FAMILY_ALL); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("addrs: list addresses: %w", err)
	}
	links := map[int]*netlink.LinkAttrs{}
	var list []Address
	for _, e := range entries {
		a, ok := fromNetlink(e)
		if !ok {
			continue
		}
		if links[e.LinkIndex] == nil {
			link, err := r.questions.LinkByIndex(e.LinkIndex)
			if errors.As(err, new(netlink.LinkNotFoundError)) {
				continue // gone with its addresses: news of that are on their way
			}
			if err != nil {
				return nil, fmt.Errorf("addrs: name of interface %d: %w", e.LinkIndex, err)
			}
			links[e.LinkIndex] = link.Attrs()
		}
		a.Interface = links[e.LinkIndex].Name
		a.Down = links[e.LinkIndex].RawFlags&unix.IFF_RUNNING == 0
		list = append(list, a)
	}
	return list, nil
}

// fromNetlink leaves out what a Change leaves out.
func fromNetlink(e netlink.Addr) (Address, bool) {
	if e.IPNet == nil {
		return Address{}, false
	}
	a, ok := netip.AddrFromSlice(e.IP)
	if a = a.Unmap(); !ok || a.IsLinkLocalUnicast() || a.IsLoopback() || e.Flags&unix.IFA_F_DADFAILED != 0 {
		return Address{}, false
	}
	return Address{
		Addr:       a,
		Tentative:  e.Flags&unix.IFA_F_TENTATIVE != 0 && e.Flags&unix.IFA_F_OPTIMISTIC == 0,
		Deprecated: e.Flags&unix.IFA_F_DEPRECATED != 0,
		Home:       e.Flags&unix.IFA_F_HOMEADDRESS != 0,
	}, true
}
