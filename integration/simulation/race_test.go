//go:build race

package simulation

// With the race detector all takes ten times as long, and there is one goroutine only: fewer mobile nodes do.
const fleetOfDaemons, fleetOfMipsecd = 64, 32
