//go:build !race

package simulation

// How many mobile nodes there are, with the policies of the mobility daemons and with those of mipsecd.
const fleetOfDaemons, fleetOfMipsecd = 1000, 250
