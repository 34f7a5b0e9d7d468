// Package interop tests mipsecd against Debian's strongSwan: each of them on the mobile node and on the home agent, on a
// real kernel. Its tests need the Debian packages user-mode-linux, charon-systemd, strongswan-swanctl and iputils-ping.
package interop
