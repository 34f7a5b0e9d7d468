// Package mobility says what happened outside in the words of Mobile IPv6 (RFC 6275): it decodes the Mobility Header and
// the packets that a kernel shows, turns the kernel's reports into movements, and defines what a role (packages
// homeagent and mobilenode) takes in and gives out. All of it is pure.
package mobility
