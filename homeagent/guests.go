package homeagent

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mipsecd/migrate"
	"mipsecd/mobility"
	"mipsecd/spd"
)

// guests are the mobile nodes whose home addresses are assigned. One has its address from when it asks for it until it has
// been without an IKE_SA for as long as the Pool holds it: it is the same with each IKE_SA of that time.
type guests struct {
	pool    Pool
	taken   map[netip.Addr]bool
	byPeer  map[string]*guest
	leaving []*guest // who have an address and no IKE_SA, the first to lose it in front
}

type guest struct {
	open    migrate.Home
	address netip.Addr // the zero Addr while it has none
	sas     map[uint64]bool
	until   time.Time // when its address is free again, if it is leaving
}

// newGuests reserves what is not to be assigned: configured home addresses and those of home agents.
func newGuests(pool Pool, homes []migrate.Home) guests {
	if len(pool.Ranges) == 0 && pool.Prefix.IsValid() {
		pool.Ranges = whole(pool.Prefix)
	}
	g := guests{pool: pool, taken: map[netip.Addr]bool{}, byPeer: map[string]*guest{}}
	for _, home := range homes {
		g.taken[home.HomeAgent] = true
		if home.HomeAddress.IsValid() {
			g.taken[home.HomeAddress] = true
		} else {
			g.byPeer[home.Peer] = &guest{open: home, sas: map[uint64]bool{}}
		}
	}
	return g
}

// stay keeps a guest's address until it leaves.
func (g *guests) stay(who *guest) {
	g.leaving = slices.DeleteFunc(g.leaving, func(other *guest) bool { return other == who })
}

// leave frees a guest's address in a while, unless there is an IKE_SA with it by then.
func (g *guests) leave(now time.Time, who *guest) {
	g.stay(who)
	if who.address.IsValid() && len(who.sas) == 0 {
		who.until = now.Add(g.pool.Hold)
		g.leaving = append(g.leaving, who)
	}
}

// assign answers what a mobile node wishes to be assigned. One whose home addresses are configured is told these. One that
// asks for the home prefix alone would make an address of its own out of it: if it may not, it is assigned one (RFC 5026
// section 5.3.2).
func (a *Agent) assign(r spd.AddressRequest) spd.AddressGrant {
	g := spd.AddressGrant{Request: r.Request}
	if r.HomePrefix {
		g.HomePrefix = a.guests.pool.Prefix
	}
	if r.DNS {
		g.DNS = a.guests.pool.DNS
	}
	who := a.guests.byPeer[r.Peer]
	wanted := len(r.Addresses)
	if r.HomePrefix && !(who != nil && a.guests.pool.Autoconfiguration) {
		wanted = max(wanted, 1)
	}
	if who != nil && wanted > 0 {
		var wish netip.Addr
		if len(r.Addresses) > 0 {
			wish = r.Addresses[0]
		}
		if !who.address.IsValid() || r.Anew && wish.IsValid() && wish != who.address {
			a.lodge(who, a.guests.pool.pick(who.open.Peer, wish, a.guests.taken))
		}
	}
	addresses := a.homes.AddressesWith(r.Peer)
	for _, home := range addresses[:min(wanted, len(addresses))] {
		g.Addresses = append(g.Addresses, a.guests.pool.onLink(home))
	}
	if wanted > 0 && len(g.Addresses) == 0 {
		g.Err = fmt.Errorf("no home address is left for %s", r.Peer)
	}
	return g
}

// claim gives a guest the address for which it asks for SAs, if it may have made that itself and nobody has it.
func (a *Agent) claim(r spd.Request) {
	who, pool := a.guests.byPeer[r.Peer], a.guests.pool
	address := soleAddress(r.Traffic.Remote)
	if who == nil || !pool.Autoconfiguration || a.guests.taken[address] || !pool.Prefix.Contains(address) ||
		mobility.IsAnycast(pool.Prefix, address) {
		return
	}
	a.lodge(who, address)
}

// soleAddress is the one address that traffic selectors are about, or the zero Addr.
func soleAddress(list []spd.TrafficSelector) netip.Addr {
	other := func(ts spd.TrafficSelector) bool { return ts.Start != list[0].Start || ts.End != list[0].Start }
	if len(list) == 0 || slices.ContainsFunc(list, other) {
		return netip.Addr{}
	}
	return list[0].Start
}

// lodge gives a guest an address that is free, in place of one that it has; with the zero Addr it keeps that.
func (a *Agent) lodge(who *guest, address netip.Addr) {
	if !address.IsValid() {
		return
	}
	if old := who.address; old.IsValid() {
		a.evict(who)
		a.tell(spd.Vacate{Peer: who.open.Peer, Address: old})
	}
	who.address = address
	a.guests.taken[address] = true
	a.emit(a.homes.Assign(a.now, who.open, address)...)
	a.expect(address, false)
	a.guests.leave(a.now, who) // until its IKE_SA stands
}

// expect takes the policies of an address into our copy, or out of it, without waiting for the kernel's reports: what is
// asked for next depends on them.
func (a *Agent) expect(address netip.Addr, gone bool) {
	for _, p := range a.homes.Policies(address) {
		a.image.Event(spd.PolicyChanged{Policy: p, Gone: gone})
	}
}

// keyed keeps a guest's address while there are IKE_SAs with it, and some time longer.
func (a *Agent) keyed(peer string, id uint64, up bool) {
	who := a.guests.byPeer[peer]
	switch {
	case who == nil:
	case up:
		who.sas[id] = true
		a.guests.stay(who)
	default:
		delete(who.sas, id)
		a.guests.leave(a.now, who)
	}
}

// evict frees the address of a guest.
func (a *Agent) evict(who *guest) {
	a.expect(who.address, true)
	a.emit(a.homes.Release(who.address)...)
	delete(a.guests.taken, who.address)
	who.address = netip.Addr{}
}

// tick frees the addresses of those who have left.
func (a *Agent) tick() {
	for at := a.Deadline(); !at.IsZero() && !a.now.Before(at); at = a.Deadline() {
		who := a.guests.leaving[0]
		a.guests.leaving = a.guests.leaving[1:]
		a.evict(who)
	}
}

// Deadline implements migrate.Role.
func (a *Agent) Deadline() time.Time {
	if len(a.guests.leaving) == 0 {
		return time.Time{}
	}
	return a.guests.leaving[0].until
}

// vacant reports, as an error, that a mobile node has no home address yet.
func (a *Agent) vacant(peer string) error {
	if who := a.guests.byPeer[peer]; who != nil && !who.address.IsValid() {
		return fmt.Errorf("%s may speak for no home address yet: %w", peer, spd.ErrUnassigned)
	}
	return nil
}
