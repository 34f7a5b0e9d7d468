package ikev2

import (
	"cmp"
	"net/netip"
	"slices"

	"mipsecd/spd"
)

// SAStatus describes an IKE_SA for people. It holds no keys.
type SAStatus struct {
	Peer          string
	SPIi, SPIr    uint64
	Initiator     bool
	Established   bool
	Local, Remote netip.AddrPort
	Suite         string
	PPK           bool // a PPK is in the keys (RFC 8784)
	Children      []ChildStatus
}

// ChildStatus describes a pair of SAs.
type ChildStatus struct {
	Demand  spd.Demand
	In, Out spd.SAID
	Suite   string
	Encap   spd.Encap // of what goes out
}

// Status lists the IKE_SAs, sorted by peer and SPI.
func (e *Engine) Status() []SAStatus {
	out := make([]SAStatus, 0, len(e.sas))
	for _, sa := range e.sas {
		s := SAStatus{
			Initiator: sa.initiator, Established: sa.established, Local: sa.local, Remote: sa.remote, Suite: sa.suite.String(),
			PPK: sa.ppk,
		}
		s.SPIi, s.SPIr = sa.spis()
		if sa.peer != nil {
			s.Peer = sa.peer.Name
		}
		for _, c := range sa.children {
			s.Children = append(s.Children, ChildStatus{Demand: c.demand, In: c.inID(), Out: c.outID(), Suite: c.suite.String(), Encap: c.encap})
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b SAStatus) int {
		return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.SPIi, b.SPIi), cmp.Compare(a.SPIr, b.SPIr))
	})
	return out
}
