package homeagent

import (
	"fmt"
	"net/netip"
	"slices"

	"mipsecd/spd"
)

// authorize grants what the policies want for the mobile node's own home address, and nothing else (RFC 4877 section
// 4.2: the home agent MUST verify that the identity may create SAs for that HoA).
func (a *Agent) authorize(r spd.Request) spd.Grant {
	if owner := a.strangers(r); owner.IsValid() {
		return spd.Grant{Request: r.Request, Err: a.refusal(r, owner)}
	}
	for _, d := range a.image.Offers(r) {
		if a.speaksFor(r.Peer, d) {
			return spd.Grant{Request: r.Request, Demand: d}
		}
	}
	return spd.Grant{
		Request: r.Request, Err: fmt.Errorf("no policy for %v - %v with %s", r.Traffic.Local, r.Traffic.Remote, r.Peer),
	}
}

// strangers finds a home address that the request names but that is not the peer's.
func (a *Agent) strangers(r spd.Request) netip.Addr {
	for _, ts := range r.Traffic.Remote {
		if ts.Start != ts.End {
			continue
		}
		if !a.owns(r.Peer, ts.Start) {
			return ts.Start
		}
	}
	return netip.Addr{}
}

func (a *Agent) refusal(r spd.Request, asked netip.Addr) error {
	if p := a.homes.Of(asked); p != nil {
		return fmt.Errorf("%s may not speak for %s, which is %s's", r.Peer, asked, p.Peer)
	}
	return fmt.Errorf("%s may not speak for %s, which is nobody's home address", r.Peer, asked)
}

// speaksFor reports whether all of a demand's traffic on the mobile node's side is of its own home addresses, and in
// transport mode the SA as well.
func (a *Agent) speaksFor(peer string, d spd.Demand) bool {
	foreign := func(ts spd.TrafficSelector) bool { return ts.Start != ts.End || !a.owns(peer, ts.Start) }
	return !slices.ContainsFunc(d.Traffic.Remote, foreign) && (d.Mode == spd.Tunnel || a.owns(peer, d.Remote))
}

func (a *Agent) owns(peer string, home netip.Addr) bool {
	p := a.homes.Of(home)
	return p != nil && p.Peer == peer
}
