package spd

import (
	"errors"
	"net/netip"
)

// This file is the part of the vocabulary that is about addresses which one peer assigns to the other (RFC 7296 section
// 2.19): on Mobile IPv6 a home agent to its mobile nodes (RFC 4877 section 9, RFC 5026 section 5.3).

// Wish is what one side wants to be assigned by the other.
type Wish struct {
	// Addresses has one for each IPv6 address that is wanted: that which it had best be, or the zero Addr.
	Addresses []netip.Addr
	// HomePrefix wants to know the prefix of the home link, DNS its name servers.
	HomePrefix, DNS bool
}

// Assignment is what one side is assigned by the other, for as long as there is an IKE_SA between the two.
type Assignment struct {
	// Addresses are each with the length of its link's prefix.
	Addresses []netip.Prefix
	// HomePrefix is the prefix of the home link, or the zero Prefix.
	HomePrefix netip.Prefix
	DNS        []netip.Addr
}

// ErrUnassigned is the Err of a Grant if the peer is to have an address assigned before it can have SAs.
var ErrUnassigned = errors.New("no address has been assigned")

// ErrTraffic is in the Err of a KeyFailed if the peer does not accept the traffic selectors, as those of an address for which
// this host may not speak.
var ErrTraffic = errors.New("the traffic is refused")

// Vacate says that an address is the mobile node's no longer: the pairs of SAs for it are deleted.
type Vacate struct {
	Peer    string
	Address netip.Addr
}

func (Vacate) command() {}

// AddressGrant answers an AddressRequest: with what is assigned, or Err says why no address is.
type AddressGrant struct {
	Request uint64
	Assignment
	Err error
}

func (AddressGrant) command() {}

// AddressRequest says that an authenticated peer wants to be assigned something; it waits for the role's AddressGrant with
// the same Request. The role may give less, but no more addresses than are wanted.
type AddressRequest struct {
	Request uint64
	Peer    string
	Wish
	// Anew: it is asked for on an IKE_SA that stands. An address that is wished for then is to take the place of that which
	// the peer has.
	Anew bool
}

// Assigned says what a peer has assigned to this host at its wish, or Err why no address, although one was wanted.
type Assigned struct {
	Peer string
	Assignment
	Err error
}

func (AddressRequest) notice() {}
func (Assigned) notice()       {}
