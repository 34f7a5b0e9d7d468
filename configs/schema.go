package configs

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mipsecd/ikev2"
	"mipsecd/ikev2/suite"
	"mipsecd/migrate"
	"mipsecd/spd"
)

// Keys lists all keys of the configuration, table by table.
func Keys() (all []Key) {
	list := func(table string, role Role, fields []field) {
		for _, f := range fields {
			f.Name = table + f.Name
			f.Role = max(f.Role, role)
			all = append(all, f.Key)
		}
	}
	list("", 0, new(document).fields())
	list("timing.", 0, timingFields(new(ikev2.Timing)))
	list("limits.", 0, limitFields(new(ikev2.Limits)))
	list("radius.", HomeAgent, new(radiusTable).fields())
	list("home-agent.", MobileNode, new(peer).fields(MobileNode))
	list("home-agent."+manualKey+".binding.", MobileNode, new(manualTable).fields())
	list("mobile-node.", HomeAgent, new(peer).fields(HomeAgent))
	list("mobile-node."+manualKey+".binding.", HomeAgent, new(manualTable).fields())
	return all
}

// document is the top of a file.
type document struct {
	Config
	settings
	level                   spd.Level
	reqidBase               uint32
	additional              []netip.Addr
	timing, limits, radius  map[string]any
	homeAgents, mobileNodes []map[string]any
}

func (d *document) fields() []field {
	return slices.Concat([]field{
		bind(&d.Role, roles, Key{Name: "role", Required: true, Meaning: "the part that this host plays"}),
		bind(&d.Identity, identity, Key{Name: "identity", Required: true, Meaning: "who this host proves to be"}),
		bind(&d.Address, anyAddress, Key{Name: "address", Role: HomeAgent, Required: true,
			Meaning: "its own address; IPv4 for road warriors only"}),
		bind(&d.additional, oneOrMore(anyAddress), Key{Name: "additional-address", Role: HomeAgent,
			Meaning: "more of its addresses, where road warriors with MOBIKE find it should the other be out of reach"}),
		bind(&d.Interfaces, interfaces, Key{Name: "interfaces", Role: MobileNode,
			Meaning: "the interfaces whose addresses may be care-of addresses; without it all"}),
		bind(&d.OwnPolicies, policies, Key{Name: "policies", Default: `"external"`,
			Meaning: `who installs and moves the security policies: the mobility daemon ("external") or mipsecd; ` +
				"those of road warriors are always mipsecd's"}),
		bind(&d.level, levels, Key{Name: "level", Default: `"unique"`,
			Meaning: "how strongly mipsecd's policies want SAs: each its own, any, or none if there is none, but for tunnels"}),
		bind(&d.reqidBase, reqid, Key{Name: "reqid-base", Default: "1000",
			Meaning: fmt.Sprintf("the first reqid of mipsecd's policies; each home address takes %d, "+
				"others if somebody else's policy has one of them already", migrate.ReqidsPerHome)}),
		bind(&d.Kernel, kernels, Key{Name: "kernel", Default: `"auto"`,
			Meaning: "the interface to the kernel's IPsec; auto is xfrm where the system has it, and pfkey elsewhere"}),
	}, d.assigning(), d.settings.fields(), []field{
		bind(&d.Childless, boolean, Key{Name: "childless", Default: "true",
			Meaning: "a peer may set an IKE_SA up without a Child SA (RFC 6023)"}),
		bind(&d.NAT, nats, Key{Name: "nat-traversal", Default: `"auto"`,
			Meaning: "ESP goes in UDP, and the key exchange by port 4500, where a NAT is found, always, or never"}),
		bind(&d.FragmentSize, fragmentSizes, Key{Name: "fragment-size", Default: fmt.Sprint(ikev2.DefaultFragmentSize),
			Meaning: "the longest message of the key exchange, in octets without IP and UDP headers, that goes in one datagram " +
				"(RFC 7383); 0 neither makes nor takes fragments"}),
		bind(&d.timing, subtable, Key{Name: "timing", Meaning: "when the key exchange loses patience"}),
		bind(&d.limits, subtable, Key{Name: "limits", Meaning: "what strangers may take up of each engine"}),
		bind(&d.radius, subtable, Key{Name: "radius", Role: HomeAgent, Meaning: "the RADIUS servers for eap = \"radius\""}),
		bind(&d.ControlSocket, path, Key{Name: "control-socket", Default: `"` + DefaultControlSocket + `"`,
			Meaning: "where the running agent is asked and told"}),
		bind(&d.LogLevel, logLevels, Key{Name: "log-level", Default: `"info"`, Meaning: "what is logged: this and worse"}),
		bind(&d.HostSecretFile, path, Key{Name: "host-secret-file",
			Meaning: "keeps what nobody else may know, so that what this host gives to its peers is good after its restart; " +
				"made if it is not there"}),
		bind(&d.RedirectTo, anyAddress, Key{Name: "redirect-to", Role: HomeAgent,
			Meaning: "where all mobile nodes that follow are sent at once (RFC 5685), unless they have come to this address already"}),
		bind(&d.CrashDetection, boolean, Key{Name: "quick-crash-detection", Default: "false",
			Meaning: "peers are given tokens by which they know at once that this host has crashed, and theirs are believed " +
				"(RFC 6290); with host-secret-file; not for hosts that share their secret"}),
		bind(&d.TraceFile, path, Key{Name: "trace-file",
			Meaning: "gets the messages of the key exchanges in clear, without keys"}),
		bind(&d.Shards, integer[int](0, 256), Key{Name: "shards", Default: "0",
			Meaning: "how many engines share the work; 0 is one for each processor"}),
		bind(&d.homeAgents, tables, Key{Name: "home-agent", Role: MobileNode, Required: true,
			Meaning: "the home agents of this mobile node"}),
		bind(&d.mobileNodes, tables, Key{Name: "mobile-node", Role: HomeAgent,
			Meaning: "the mobile nodes of this home agent"}),
	})
}

// settings are what a peer may have for itself, and otherwise has from the top of the file.
type settings struct {
	keying                               string
	mobility                             migrate.Mobility
	keyMobility, returnRoutability       bool
	protect                              []migrate.Protection
	network                              netip.Prefix
	ike, esp                             []suite.Proposal
	ikeLifetime, childLifetime, liveness time.Duration
	authLifetime                         time.Duration
	resumption                           bool
	certificateFiles
	eap eapWay // zero is none
}

func (s *settings) fields() []field {
	return slices.Concat([]field{
		bind(&s.keying, keying, Key{Name: "keying", Default: `"ikev2"`,
			Meaning: "where keys come from: the key exchange IKEv2, or the configuration (RFC 6275 section 15.3: then nothing tells " +
				"a replayed packet from a new one)"}),
		bind(&s.mobility, mobilities, Key{Name: "mobility", Default: `"mobile-ipv6"`,
			Meaning: "how the home agent gets to know where the mobile node is: by Mobile IPv6, or as the gateway of a road warrior " +
				"by MOBIKE (RFC 4555) or not before a new IKE_SA is set up from there; the same on both ends"}),
		bind(&s.returnRoutability, boolean, Key{Name: "return-routability", Default: "true",
			Meaning: "a peer that says by MOBIKE where it is has to be seen there before its tunnels follow"}),
		bind(&s.network, network, Key{Name: "network", Default: `"::/0"`,
			Meaning: "what the tunnel of a road warrior leads to"}),
		bind(&s.keyMobility, boolean, Key{Name: "k-bit", Default: "true",
			Meaning: "the IKE_SA survives movements (K bit of RFC 6275); the same on both ends and for the mobility daemon"}),
		bind(&s.protect, protect, Key{Name: "protect", Default: `["binding", "prefix", "home-test"]`,
			Meaning: "what mipsecd's policies protect, the same on both ends; " +
				"the default is what RFC 4877 section 4.1 wants protected in any case; for a road warrior it is its payload alone"}),
		bind(&s.ike, ike, Key{Name: "ike", Default: proposals(suite.DefaultIKE()),
			Meaning: "the proposals for an IKE_SA, the preferred ones first; ke1_mlkem768 in one adds a key exchange that " +
				"withstands quantum computers, up to ke7_ (RFC 9370); ke1_none beside it makes that optional, but to one who knows " +
				"nothing of it only a proposal without it is acceptable"}),
		bind(&s.esp, esp, Key{Name: "esp", Default: proposals(DefaultESP(Auto)),
			Meaning: "the proposals for a Child SA, the preferred ones first; a group such as x25519, and ke1_mlkem768 " +
				"after it, make keys of their own in each rekeying; with pfkey the default is " + proposals(DefaultESP(PFKey))}),
		bind(&s.ikeLifetime, lifetime, Key{Name: "ike-lifetime", Default: `"8h"`, Meaning: "when an IKE_SA is rekeyed"}),
		bind(&s.childLifetime, lifetime, Key{Name: "child-lifetime", Default: `"1h"`,
			Meaning: "when a Child SA ends, rekeyed before"}),
		bind(&s.liveness, orNever(duration("1s", "24h")), Key{Name: "liveness", Default: `"30s"`,
			Meaning: "how long a peer may be silent before it is asked whether it is alive"}),
		bind(&s.authLifetime, lifetime, Key{Name: "auth-lifetime", Default: `"never"`,
			Meaning: "after what time both prove anew who they are, in whole seconds; a home agent tells its mobile nodes (RFC 4478)"}),
		bind(&s.resumption, boolean, Key{Name: "resumption", Default: "false",
			Meaning: "a mobile node may resume an IKE_SA that was lost without a key exchange, by a ticket of the home agent's " +
				"(RFC 5723); forgoes that the new keys be safe from who learns the old ones"}),
		bind(&s.eap, eapWays, Key{Name: eapKey,
			Meaning: "the mobile node proves itself by this method of EAP, the home agent by a certificate; a home agent may leave it to " +
				"RADIUS servers"}),
	}, s.certificateFiles.fields())
}

// proposals is a default in TOML.
func proposals(list []suite.Proposal) string {
	quoted := make([]string, len(list))
	for i, p := range list {
		quoted[i] = fmt.Sprintf("%q", p)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// timingFields have the defaults of ikev2.DefaultTiming.
func timingFields(t *ikev2.Timing) []field {
	d := ikev2.DefaultTiming
	quoted := func(d time.Duration) string { return fmt.Sprintf("%q", d) }
	return []field{
		bind(&t.Retransmit, duration("50ms", "1m"), Key{Name: "retransmit", Default: quoted(d.Retransmit),
			Meaning: "the wait before a request is sent again; it doubles with each time"}),
		bind(&t.Tries, integer[int](1, 12), Key{Name: "tries", Default: fmt.Sprint(d.Tries),
			Meaning: "how often a request is sent in all"}),
		bind(&t.HalfOpen, duration("1s", "10m"), Key{Name: "half-open", Default: quoted(d.HalfOpen),
			Meaning: "how long a responder waits for the peer to prove who it is"}),
	}
}

// limitFields have the defaults of ikev2.DefaultLimits.
func limitFields(l *ikev2.Limits) []field {
	d := ikev2.DefaultLimits
	return []field{
		bind(&l.Cookies, integer[int](1, 1e6), Key{Name: "cookies", Default: fmt.Sprint(d.Cookies),
			Meaning: "from how many half-open IKE_SAs on who begins one must first show, by a cookie, that it gets what is sent to it"}),
		bind(&l.HalfOpen, integer[int](1, 1e6), Key{Name: "half-open", Default: fmt.Sprint(d.HalfOpen),
			Meaning: "how many half-open IKE_SAs there may be"}),
		bind(&l.HalfOpenPerNetwork, integer[int](1, 1e6), Key{Name: "half-open-per-network", Default: fmt.Sprint(d.HalfOpenPerNetwork),
			Meaning: "how many of them with one IPv6 network of 64 bits, or one IPv4 address"}),
	}
}

// peer is a table home-agent of a mobile node or mobile-node of a home agent.
type peer struct {
	identity      ikev2.Identity
	name          string
	at            whereabouts // of a home agent
	homeAddresses homeAddresses
	wished        netip.Addr
	secretFile    string
	manualKeys    map[string]any
	eapSettings
	ppk ppk
	settings
	acceptRedirects bool
	redirectTo      netip.Addr
}

// fields are the keys in a configuration of this role.
func (p *peer) fields(role Role) []field {
	homes := "the mobile node's home address, or several; or that the home agent assigns it one"
	list := []field{
		bind(&p.identity, identity, Key{Name: "identity", Required: true, Meaning: "who the peer proves to be"}),
		bind(&p.name, label, Key{Name: "name", Meaning: "what it is called in logs and commands; without it, its identity"}),
	}
	if role == MobileNode {
		homes += "; or that it makes one itself out of the home prefix, which the home agent tells it (RFC 5026 section 5.3.2), the " +
			"same again with host-secret-file"
		list = append(list, bind(&p.at, homeAgentAt, Key{Name: "address", Required: true,
			Meaning: "the home agent's address, IPv4 for a road warrior's gateway only; or where it is looked for: its name in DNS, or " +
				"that of the home agents of a domain (RFC 5026 section 5.1), of which each proves this identity; or the home link, on " +
				"which home agents are asked (RFC 6275 section 11.4.1)"}),
			bind(&p.wished, address, Key{Name: "wished-address",
				Meaning: "the home address that is asked for, where it is assigned"}),
			bind(&p.acceptRedirects, boolean, Key{Name: "accept-redirects",
				Meaning: "a road warrior goes to another gateway, with the same identity, if its gateway says so (RFC 5685); " +
					"without it, it does not"}))
	} else {
		list = append(list, bind(&p.redirectTo, anyAddress, Key{Name: "redirect-to",
			Meaning: "where this mobile node is sent once it has proven who it is, if it follows (RFC 5685)"}))
	}
	list = append(list,
		bind(&p.homeAddresses, homesFor(role), Key{Name: "home-address", Required: true, Meaning: homes}),
		bind(&p.secretFile, path, Key{Name: "secret-file",
			Meaning: fmt.Sprintf("has the pre-shared key, of %d to %d octets, as they are or after 0x in hexadecimal; mode 600; without it, certificates prove the peer",
				minSecret, maxSecret)}),
	)
	list = append(list, bind(&p.manualKeys, subtable, Key{Name: manualKey,
		Meaning: "for keying = \"manual\": a table for each kind of traffic of protect, such as binding, the same on both ends"}))
	list = append(list, p.eapSettings.fields(role)...)
	list = append(list, p.ppk.fields()...)
	for _, f := range p.settings.fields() {
		f.Default, f.Meaning = "", f.Name+" for this peer; without it as at the top"
		list = append(list, f)
	}
	return list
}
