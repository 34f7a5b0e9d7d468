// Package simulation has a home agent and a thousand mobile nodes live through an hour of virtual time. Roles and key
// exchange engines are those of mipsecd, whole; kernels are in memory, mobility daemons and the network are models. All
// that happens is one event after the other, in an order that a seed decides, and after each of them it is checked that
// both sides of the mobile nodes concerned agree.
package simulation
