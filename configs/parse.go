package configs

import (
	"errors"
	"maps"
	"math"
	"net/netip"
	"slices"

	"github.com/BurntSushi/toml"

	"mipsecd/ikev2"
	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/suite"
	"mipsecd/migrate"
	"mipsecd/spd"
)

// Parse reads a configuration from the contents of the file that has this name. Read is called for the path
// of each file with a secret or certificates. The error joins an *Error for each thing that is wrong.
func Parse(name string, data []byte, read func(path string, content Content) ([]byte, error)) (*Config, error) {
	r := &reader{
		file: name, read: read, trusts: map[string]*auth.Trust{}, credentials: map[string]*auth.Credential{},
	}
	var values map[string]any
	if _, err := toml.Decode(string(data), &values); err != nil {
		at := &place{line: 1}
		if syntax, ok := errors.AsType[toml.ParseError](err); ok {
			at.line = max(1, syntax.Position.Line)
			err = errors.New(syntax.Message)
		}
		r.report(at, "", "%v", err)
		return nil, r.err()
	}
	r.top = table{values: values, at: findPlaces(string(data))}
	c := r.document(r.top)
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// document reads the whole file. What the Config has for a key that was reported does not matter.
func (r *reader) document(t table) *Config {
	var d document
	r.role, _ = roles.read(t.values["role"])
	setDefaults(d.fields())
	r.fill(t, d.fields())
	if !t.has("esp") {
		d.esp = DefaultESP(d.Kernel)
	}
	setDefaults(timingFields(&d.Timing))
	r.fill(table{"timing", d.timing, t.at.key("timing")}, timingFields(&d.Timing))
	setDefaults(limitFields(&d.Limits))
	r.fill(table{"limits", d.limits, t.at.key("limits")}, limitFields(&d.Limits))
	r.readRADIUS(&d, table{"radius", d.radius, t.at.key("radius")})
	r.radius = d.RADIUS
	d.ControlSocket, d.TraceFile = r.path(d.ControlSocket), r.path(d.TraceFile)
	d.HostSecretFile = r.path(d.HostSecretFile)
	if d.CrashDetection && d.HostSecretFile == "" {
		r.report(t.at.key("quick-crash-detection"), "quick-crash-detection",
			"got true; want host-secret-file with it, as the tokens are made again from that")
	}

	u := &used{
		names: map[string]int{}, identities: map[ikev2.Identity]int{}, homes: map[netip.Addr]int{},
		spis: map[numbered]int{}, reqids: map[numbered]int{}, keys: map[string]int{},
	}
	r.peers(&d, u, table{name: "home-agent", at: t.at.key("home-agent")}, d.homeAgents, MobileNode)
	r.peers(&d, u, table{name: "mobile-node", at: t.at.key("mobile-node")}, d.mobileNodes, HomeAgent)
	r.checkKernel(&d, t)
	r.checkPool(&d, t)

	if len(d.additional) > 0 {
		d.Addresses = append([]netip.Addr{d.Address}, d.additional...)
	}
	d.Trusts = slices.Collect(maps.Values(r.trusts))
	d.IKE = d.ike
	if len(d.Peers) > 0 {
		d.IKE = accepted(d.Peers)
	}
	return &d.Config
}

// used has the lines of what only one peer can have.
type used struct {
	names      map[string]int
	identities map[ikev2.Identity]int
	homes      map[netip.Addr]int
	// Of SAs with manual keys.
	spis, reqids map[numbered]int
	keys         map[string]int
}

// peers reads the tables of peers as a host of this role has them.
func (r *reader) peers(d *document, u *used, all table, tables []map[string]any, role Role) {
	if r.role != 0 && r.role != role {
		return
	}
	for i, values := range tables {
		t := table{all.name, values, all.at.item(i)}
		p := peer{settings: d.settings, ppk: ppk{required: true}}
		r.fill(t, p.fields(role))
		if role == HomeAgent {
			p.at.address = d.Address
		}
		r.mobility(t, &p)
		name := r.name(d, u, t, &p)
		r.homes(d, u, t, &p, name)
		r.discovery(d, t, &p, name)
		if r.manual(d, u, t, &p); p.keying == byHand {
			continue
		}
		peer := &ikev2.Peer{
			Name: name, LocalID: d.Identity, RemoteID: p.identity, IKE: p.ike, ESP: p.esp,
			IKELifetime: p.ikeLifetime, ChildLifetime: p.childLifetime, Liveness: p.liveness, SHA1: p.sha1,
			AuthLifetime: p.authLifetime, Resumption: p.resumption, MOBIKE: p.mobility == migrate.MOBIKE,
			AcceptRedirects: p.acceptRedirects, RedirectTo: p.redirectTo,
		}
		peer.BelieveAddresses = peer.MOBIKE && !p.returnRoutability
		r.prove(peer, t, &p)
		r.ppk(peer, t, p.ppk)
		r.assigned(peer, d, t, &p)
		d.Peers = append(d.Peers, peer)
	}
}

// mobility holds that a peer has what goes with its kind of mobility.
func (r *reader) mobility(t table, p *peer) {
	if p.mobility != migrate.MobileIPv6 {
		for _, key := range []string{"protect", "k-bit"} {
			if t.has(key) {
				r.report(t.at.key(key), t.key(key), "this is for Mobile IPv6; leave it out for a road warrior")
			}
		}
		p.protect, p.keyMobility = []migrate.Protection{migrate.ProtectPayload}, false
		return
	}
	if p.at.address.Is4() {
		where := t
		if r.role == HomeAgent {
			where = r.top
		}
		r.report(where.at.key("address"), where.key("address"),
			`got %s; want an IPv6 address for Mobile IPv6, or mobility = "mobike"`, p.at.address)
	}
	if t.has("network") {
		r.report(t.at.key("network"), t.key("network"), "this is for a road warrior; leave it out for Mobile IPv6")
	}
	if p.acceptRedirects {
		r.report(t.at.key("accept-redirects"), t.key("accept-redirects"),
			"this is for a road warrior; leave it out for Mobile IPv6, whose daemon knows the home agent by itself")
	}
	p.network = netip.Prefix{}
}

// name checks who a peer is, and returns what it is called.
func (r *reader) name(d *document, u *used, t table, p *peer) string {
	if p.identity != (ikev2.Identity{}) {
		if p.identity.Folded() == d.Identity.Folded() {
			r.report(t.at.key("identity"), t.key("identity"), "got %s, which is this host's own; want the peer's", p.identity)
		}
		if !once(r, u.identities, p.identity.Folded(), p.identity.String(), t, "identity") {
			return p.name
		}
		if p.name == "" {
			p.name = p.identity.String()
		}
	}
	if p.name != "" {
		once(r, u.names, p.name, p.name, t, "name")
	}
	return p.name
}

// homes adds the home addresses of a peer.
func (r *reader) homes(d *document, u *used, t table, p *peer, name string) {
	for _, a := range p.homeAddresses.list {
		if a.IsValid() && a == p.at.address {
			r.report(t.at.key("home-address"), t.key("home-address"),
				"got %s, which is the home agent's own; want the mobile node's", a)
		}
		if a.IsValid() {
			once(r, u.homes, a, a.String(), t, "home-address")
		}
		d.Homes = append(d.Homes, migrate.Home{
			Protected: migrate.Protected{
				HomeAddress: a, HomeAgent: p.at.address, What: p.protect, Network: p.network, Level: d.level,
				Reqid: d.reqidBase + uint32(len(d.Homes))*migrate.ReqidsPerHome,
			},
			Peer: name, Mobility: p.mobility, KeyMobility: p.keyMobility, Autoconfigured: p.homeAddresses.autoconfigured,
		})
	}
}

// once reports a value that another peer has already.
func once[T comparable](r *reader, lines map[T]int, v T, shown string, t table, key string) bool {
	at := t.at.key(key)
	if line, taken := lines[v]; taken {
		r.report(at, t.key(key), "got %s, which line %d has already; want each only once", shown, line)
		return false
	}
	lines[v] = at.line
	return true
}

// maxReqidPFKey is the highest reqid that Linux lets PF_KEY choose (IPSEC_MANUAL_REQID_MAX).
const maxReqidPFKey = 0x3fff

// checkKernel holds that the kernel can be given mipsecd's own policies.
func (r *reader) checkKernel(d *document, t table) {
	most := int64(math.MaxUint32)
	own := d.OwnPolicies
	for _, home := range d.Homes {
		own = own || home.Mobility != migrate.MobileIPv6
		if d.Kernel == PFKey && home.HomeAgent.Is4() {
			r.report(t.at.key("kernel"), "kernel", `PF_KEY has no tunnel for IPv6 in IPv4; want "xfrm" with the address %s`, home.HomeAgent)
		}
	}
	if own && d.Kernel == PFKey {
		most = maxReqidPFKey
		if d.level != spd.Unique {
			r.report(t.at.key("level"), "level", `got %q; want "unique", as PF_KEY ties no other policy to its SAs`, d.level)
		}
	}
	highest := most + 1 - int64(len(d.Homes))*migrate.ReqidsPerHome
	switch {
	case highest < 1:
		r.report(t.at.key("kernel"), "kernel", `PF_KEY has reqids for %d home addresses only, got %d; want fewer, or "xfrm"`,
			most/migrate.ReqidsPerHome, len(d.Homes))
	case int64(d.reqidBase) > highest:
		r.report(t.at.key("reqid-base"), "reqid-base", "got %d; want at most %d, as each of %d home addresses takes %d",
			d.reqidBase, highest, len(d.Homes), migrate.ReqidsPerHome)
	}
}

// accepted are the proposals of all peers, each once.
func accepted(peers []*ikev2.Peer) (all []suite.Proposal) {
	seen := map[string]bool{}
	for _, p := range peers {
		for _, proposal := range p.IKE {
			if s := proposal.String(); !seen[s] {
				seen[s] = true
				all = append(all, proposal)
			}
		}
	}
	return all
}
