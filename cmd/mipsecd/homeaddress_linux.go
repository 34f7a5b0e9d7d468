package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// homeInterface has the home addresses that are assigned, on the interface of this name.
type homeInterface struct{ name string }

// Add implements agent.HomeAddresses. The kernel prefers a home address as source to others (RFC 6724 section 5 rule 4); no
// neighbour is asked whether it is free, as it is not on this link.
func (h homeInterface) Add(a netip.Addr) error {
	return h.change(a, netlink.AddrAdd, unix.EEXIST)
}

// Remove implements agent.HomeAddresses.
func (h homeInterface) Remove(a netip.Addr) error {
	return h.change(a, netlink.AddrDel, unix.EADDRNOTAVAIL)
}

func (h homeInterface) change(a netip.Addr, change func(netlink.Link, *netlink.Addr) error, done unix.Errno) error {
	link, err := netlink.LinkByName(h.name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", h.name, err)
	}
	err = change(link, &netlink.Addr{
		IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())},
		Flags: unix.IFA_F_HOMEADDRESS | unix.IFA_F_NODAD,
	})
	if errors.Is(err, done) {
		return nil
	}
	return err
}
