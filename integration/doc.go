// Package integration tests whole agents: on real kernels and against real peers.
package integration
