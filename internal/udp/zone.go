package udp

import (
	"net"
	"strconv"
)

// zone names the interface with this index, or gives the index if it has gone.
func zone(index int) string {
	if ifi, err := net.InterfaceByIndex(index); err == nil {
		return ifi.Name
	}
	return strconv.Itoa(index)
}

// zoneIndex is the index of the interface with this name, or with this index in digits; zero if there is none.
func zoneIndex(name string) int {
	if index, err := strconv.Atoi(name); err == nil {
		return index
	}
	if ifi, err := net.InterfaceByName(name); err == nil {
		return ifi.Index
	}
	return 0
}
