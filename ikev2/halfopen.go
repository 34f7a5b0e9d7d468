package ikev2

import "net/netip"

// halfOpens counts the half-open IKE_SAs of responders: in all, and from each network, so that one of them cannot take the
// place of all others.
type halfOpens struct {
	total int
	from  map[netip.Prefix]int
}

// networkOf is what one who has an address may well have all addresses of.
func networkOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a = a.Unmap(); a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// open counts sa in, until close.
func (h *halfOpens) open(sa *ikeSA) {
	sa.hs.network = networkOf(sa.remote.Addr())
	h.total++
	h.from[sa.hs.network]++
}

// close counts sa out if it was counted in.
func (h *halfOpens) close(sa *ikeSA) {
	if sa.hs == nil || sa.initiator {
		return
	}
	h.total--
	if h.from[sa.hs.network]--; h.from[sa.hs.network] == 0 {
		delete(h.from, sa.hs.network)
	}
}
