// Package interop tests mipsecd against Debian's strongSwan and libreswan: each of them on the mobile node and on the home
// agent, on a real kernel. Its tests need what integration/install.sh installs.
package interop
