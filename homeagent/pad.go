package homeagent

import (
	"fmt"

	"mipsecd/spd"
)

// authorize grants what the policies want for the mobile node's own home addresses, and nothing else (RFC 4877 section
// 4.2: the home agent MUST verify that the identity may create SAs for that HoA). A request that names an address for
// which the peer does not speak is refused as a whole; one that leaves the address open, by a range, is narrowed.
func (a *Agent) authorize(r spd.Request) spd.Grant {
	a.claim(r)
	if err := a.vacant(r.Peer); err != nil {
		return spd.Grant{Request: r.Request, Err: err}
	}
	for _, ts := range r.Traffic.Remote {
		if ts.Start != ts.End {
			continue
		}
		switch p := a.homes.Of(ts.Start); {
		case p == nil:
			return refuse(r, "%s may not speak for %s, which is nobody's home address", r.Peer, ts.Start)
		case p.Peer != r.Peer:
			return refuse(r, "%s may not speak for %s, which is %s's", r.Peer, ts.Start, p.Peer)
		}
	}
	return a.homes.Grant(r, a.image)
}

func refuse(r spd.Request, why string, args ...any) spd.Grant {
	return spd.Grant{Request: r.Request, Err: fmt.Errorf(why, args...)}
}
