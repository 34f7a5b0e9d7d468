package homeagent

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

// Pool is what a home agent has to assign (RFC 4877 section 9, RFC 5026 section 5.3): home addresses, and what goes with
// them. The zero Pool has none.
type Pool struct {
	// Prefix is that of the home link, of 64 to 120 bits.
	Prefix netip.Prefix
	// Ranges are the addresses that may be assigned: within Prefix, without overlap. None at all is all of Prefix but the
	// anycast addresses at its two ends.
	Ranges []Range
	DNS    []netip.Addr
	// Autoconfiguration lets a mobile node make an address of its own under Prefix (RFC 5026 section 5.3.2).
	Autoconfiguration bool
	// Hold is how long an address stays a mobile node's after its last IKE_SA has ended.
	Hold time.Duration
}

// Range is the addresses from First to Last.
type Range struct{ First, Last netip.Addr }

// whole is all addresses that hosts may have under a prefix: those that are not mobility.IsAnycast.
func whole(p netip.Prefix) []Range {
	between := func(first, last uint64) Range { return Range{withInterface(p, first), withInterface(p, last)} }
	first := interfaceID(p.Masked().Addr())
	if p.Bits() == 64 {
		return []Range{between(1, 0xfdff_ffff_ffff_ff7f), between(0xfe00_0000_0000_0000, 1<<64-1)}
	}
	last := first | (1<<(128-p.Bits()) - 1)
	return []Range{between(first+1, last-128)}
}

// interfaceID is the low half of an address, in which all addresses of a home link differ.
func interfaceID(a netip.Addr) uint64 {
	b := a.As16()
	return binary.BigEndian.Uint64(b[8:])
}

func withInterface(p netip.Prefix, id uint64) netip.Addr {
	b := p.Addr().As16()
	binary.BigEndian.PutUint64(b[8:], id)
	return netip.AddrFrom16(b)
}

// size is how many addresses there are to assign; of more than 2^63 the others are left.
func (p Pool) size() (n uint64) {
	for _, r := range p.Ranges {
		n += interfaceID(r.Last) - interfaceID(r.First) + 1
	}
	return min(n, 1<<63)
}

// at is the address with this number, which is less than size.
func (p Pool) at(n uint64) netip.Addr {
	for _, r := range p.Ranges {
		first, last := interfaceID(r.First), interfaceID(r.Last)
		if n <= last-first {
			return withInterface(p.Prefix, first+n)
		}
		n -= last - first + 1
	}
	return netip.Addr{}
}

func (p Pool) contains(a netip.Addr) bool {
	for _, r := range p.Ranges {
		if r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0 {
			return true
		}
	}
	return false
}

// pick finds an address that is not taken: the one that a mobile node wishes for, or one with that interface identifier
// (RFC 7296 section 3.15.3), or one that its name leads to, so that it gets the same again after all was forgotten. The
// zero Addr if all are taken.
func (p Pool) pick(name string, wish netip.Addr, taken map[netip.Addr]bool) netip.Addr {
	free := func(a netip.Addr) bool { return p.contains(a) && !taken[a] }
	size := p.size()
	if size == 0 {
		return netip.Addr{}
	}
	if wish.Is6() {
		for _, a := range []netip.Addr{wish, p.underPrefix(wish)} {
			if free(a) {
				return a
			}
		}
	}
	hash := sha256.Sum256([]byte(name))
	first := binary.BigEndian.Uint64(hash[:]) % size
	for i := range min(size, uint64(len(taken))+1) { // one of so many must be free
		if a := p.at((first + i) % size); free(a) {
			return a
		}
	}
	return netip.Addr{}
}

// underPrefix is the address with the prefix of the home link in place of its own.
func (p Pool) underPrefix(a netip.Addr) netip.Addr {
	hosts := uint64(1)<<(128-p.Prefix.Bits()) - 1
	return withInterface(p.Prefix, interfaceID(p.Prefix.Addr())&^hosts|interfaceID(a)&hosts)
}

// onLink is an address with the prefix length of the home link, or its own if it is elsewhere.
func (p Pool) onLink(a netip.Addr) netip.Prefix {
	if p.Prefix.Contains(a) {
		return netip.PrefixFrom(a, p.Prefix.Bits())
	}
	return netip.PrefixFrom(a, a.BitLen())
}
