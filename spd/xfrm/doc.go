// Package xfrm is the spd.Backend of Linux: its XFRM, spoken to over netlink (linux/xfrm.h). Of Linux's two ways to its
// IPsec it is the one that tells more: message types in the selectors of ACQUIRE and MIGRATE, sub policies, and the
// care-of addresses that Mobile IPv6 keeps in states of its own.
//
// What differs between the model and XFRM:
//
//   - A template has no level. One that is optional is level use; any other binds, to the SAs with its reqid (unique)
//     or, when that is zero, to any (require). So level require with a reqid reads back as unique.
//   - A policy without templates that allows is bypass.
//   - An SA does not know its direction, so that its Dir reads back as zero.
//   - An SA with ESN has an anti-replay window, so that an outbound one with none gets one of 32 packets.
//   - Policies of one socket, and policies and states whose selectors have port masks other than "any" and "exact",
//     cannot be expressed. They are neither listed nor reported.
//   - A flush of one protocol's SAs, or of the sub policies, is reported as EventsLost: it leaves others in place.
//   - The kernel tells of SAs that it deletes at their hard lifetime by Expire only, and of those that MIGRATE moves by
//     Migrate only.
//
// The structures are those of 64-bit machines.
package xfrm
