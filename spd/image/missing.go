package image

import (
	"cmp"
	"maps"
	"slices"

	"mipsecd/spd"
)

// Missing are the SAs that key exchanges have made and the kernel does not list, nor anywhere else with another address:
// that they have moved is reported otherwise. Orphans that it does not list are forgotten.
func (m *Image) Missing(list []spd.SA) (lost []spd.Lost) {
	type name struct {
		proto uint8
		spi   uint32
	}
	there := map[name]bool{}
	for _, sa := range list {
		there[name{sa.Proto, sa.SPI}] = true
	}
	for id, peer := range m.owners {
		if !there[name{id.Proto, id.SPI}] {
			lost = append(lost, spd.Lost{Peer: peer, ID: id})
		}
	}
	slices.SortFunc(lost, func(a, b spd.Lost) int {
		return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.ID.SPI, b.ID.SPI), a.ID.Dst.Compare(b.ID.Dst))
	})
	for _, o := range maps.Clone(m.orphans.byID) {
		if id := o.sa.ID(); !there[name{id.Proto, id.SPI}] {
			m.orphans.drop(id)
		}
	}
	return lost
}
