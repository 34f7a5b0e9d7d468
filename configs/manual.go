package configs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mipsecd/ikev2/suite"
	"mipsecd/internal/secret"
	"mipsecd/migrate"
	"mipsecd/spd"
	"mipsecd/spd/manual"
)

// ManualRisk is what an operator of manual keys is told.
const ManualRisk = "IPsec does not tell a replayed packet from a new one with manual keys (RFC 6275 section 15.3): " +
	"a home agent that restarts may believe an old Binding Update; better use IKEv2 (RFC 8221 section 3)"

// The keys of manual SAs.
const (
	manualKey  = "manual-keys"
	espKey     = "esp"
	spiKey     = "spi"
	reqidKey   = "reqid"
	keyKey     = "key"
	keyFileKey = "key-file"
)

// manualTable is the table for one kind of traffic. All but esp are of two SAs: that toward the home agent, and that toward
// the mobile node.
type manualTable struct {
	esp          suite.ESPSuite
	spis, reqids [2]uint32
	keys         [2]secret.Bytes
	files        [2]string
}

func (m *manualTable) fields() []field {
	return []field{
		bind(&m.esp, manualESP, Key{Name: espKey, Required: true,
			Meaning: "the algorithms of both SAs; neither AES-CTR nor a cipher that protects integrity, too (RFC 8221 section 3)"}),
		bind(&m.spis, two(spis), Key{Name: spiKey, Required: true,
			Meaning: "the SPIs: of the SA toward the home agent, and of that toward the mobile node; in this order all pairs are"}),
		bind(&m.reqids, two(reqid), Key{Name: reqidKey,
			Meaning: `the reqids that the mobility daemon's policies have; not with policies = "mipsecd"`}),
		bind(&m.keys, two(hexKey), Key{Name: keyKey,
			Meaning: "the keys, each random and of its own (RFC 6275 section 5.1): that of the cipher, and behind it that of the " +
				"integrity algorithm; this file then has to have mode 600"}),
		bind(&m.files, two(path), Key{Name: keyFileKey,
			Meaning: "instead of key: have the keys, as octets or after 0x in hexadecimal; mode 600"}),
	}
}

var (
	manualESP = parsed(`a cipher and an integrity algorithm such as "aes256-sha512"`, parseManualESP)
	hexKey    = kind[secret.Bytes]{someKey, parseHexKey}
	spis      = judged("an SPI from 256 to 4294967295 (RFC 4303 section 2.1)", func(v int64) (uint32, bool) {
		return uint32(v), 256 <= v && v < 1<<32
	})
)

const someKey = "a key in hexadecimal, after 0x"

// two takes a list of exactly two.
func two[T any](each kind[T]) kind[[2]T] {
	want := "a list of two: each " + each.want
	return kind[[2]T]{want, func(v any) (pair [2]T, err error) {
		list, ok := v.([]any)
		if _, text := v.(string); text {
			return pair, errors.New("got one text; want " + want) // which may be a key
		}
		if !ok || len(list) != 2 {
			return pair, fault(v, want)
		}
		for i := range list {
			if pair[i], err = each.read(list[i]); err != nil {
				return pair, err
			}
		}
		return pair, nil
	}}
}

func parseManualESP(s string) (suite.ESPSuite, error) {
	p, err := suite.ParseESP(s)
	if err != nil {
		return suite.ESPSuite{}, err
	}
	chosen, _ := p.ChooseESP(p)
	switch {
	case suite.IsAEAD(chosen.Encr.ID) || chosen.Encr.ID == spd.EncrAESCTR:
		return chosen, fmt.Errorf("got %q, whose counter would begin anew with the same key after a restart, which RFC 8221 "+
			"section 3 forbids; want aes128, aes192 or aes256, and an integrity algorithm such as sha512", s)
	case chosen.Group != suite.GroupNone || chosen.AddKE != suite.AddKE{} || chosen.ESN:
		return chosen, fmt.Errorf("got %q, part of which takes a key exchange; want a cipher and an integrity algorithm only", s)
	case chosen.String() != p.String():
		return chosen, fmt.Errorf("got %q, of which nobody chooses; want one cipher and one integrity algorithm", s)
	}
	return chosen, nil
}

// parseHexKey has no key in its errors.
func parseHexKey(v any) (secret.Bytes, error) {
	s, ok := v.(string)
	if !ok || !strings.HasPrefix(s, "0x") {
		return nil, errors.New("got something else; want " + someKey)
	}
	return parseKey(1, SAKey)([]byte(s))
}

// numbered is what one host has only one of: an SA with an SPI, or a policy with a reqid.
type numbered struct {
	host   netip.Addr
	number uint32
}

// manual reads the SAs of a peer with which no key exchange is spoken.
func (r *reader) manual(d *document, u *used, t table, p *peer) {
	if p.keying != byHand {
		if t.has(manualKey) {
			r.report(t.at.key(manualKey), t.key(manualKey), `got keys where there is a key exchange; want keying = %q with them`, byHand)
		}
		return
	}
	r.manualOnly(t, p)
	home := new(migrate.Home) // if there is an error of it already
	if len(p.homeAddresses.list) == 1 {
		home = &d.Homes[len(d.Homes)-1]
	}
	home.Manual, home.KeyMobility, home.Reqids = true, false, map[migrate.Protection]migrate.Reqids{}
	kinds := make(map[migrate.Protection]map[string]any, len(migrate.Protections))
	var fields []field
	for _, what := range migrate.Protections {
		fields = append(fields, field{Key{Name: string(what), Required: slices.Contains(p.protect, what), Value: "a table with its keys, as protect has it"},
			func(v any) (err error) {
				kinds[what], err = subtable.read(v)
				return err
			}})
	}
	all := table{t.key(manualKey), p.manualKeys, t.at.key(manualKey)}
	r.fill(all, fields)
	for _, what := range migrate.Protections {
		values := kinds[what]
		switch {
		case values == nil:
		case !slices.Contains(p.protect, what):
			r.report(all.at.key(string(what)), all.key(string(what)), "got keys for what protect does not have; want it there, or no keys")
		default:
			r.manualPair(d, u, table{all.key(string(what)), values, all.at.key(string(what))}, home, what)
		}
	}
}

// manualOnly holds that a peer with manual keys has what goes with them, and nothing of a key exchange.
func (r *reader) manualOnly(t table, p *peer) {
	allowed := []string{"identity", "name", "address", "home-address", "keying", "mobility", "k-bit", "protect", manualKey,
		"network", "accept-redirects"} // the last two are of Mobile IPv6's errors
	for _, f := range p.fields(r.role) {
		if t.has(f.Name) && !slices.Contains(allowed, f.Name) {
			r.report(t.at.key(f.Name), t.key(f.Name), "this is for a key exchange; leave it out with keying = %q", byHand)
		}
	}
	kBit := t
	if !t.has("keying") {
		kBit = r.giver(t, "k-bit")
	}
	if kBit.has("k-bit") && p.keyMobility {
		r.report(kBit.at.key("k-bit"), kBit.key("k-bit"), "got true; want false with manual keys (RFC 6275 section 6.1.7)")
	}
	if p.mobility != migrate.MobileIPv6 {
		at := r.giver(t, "mobility")
		r.report(at.at.key("mobility"), at.key("mobility"), `got a road warrior; want "mobile-ipv6" with keying = %q`, byHand)
	}
	if len(p.homeAddresses.list) > 1 || p.homeAddresses.open() {
		r.report(t.at.key("home-address"), t.key("home-address"),
			"got several, or one that is assigned; want one address with manual keys, which are its own (RFC 6275 section 15.3)")
	}
}

// manualPair reads the SAs for one kind of traffic.
func (r *reader) manualPair(d *document, u *used, t table, home *migrate.Home, what migrate.Protection) {
	var m manualTable
	before := len(r.errors)
	r.fill(t, m.fields())
	if len(r.errors) > before {
		return
	}
	if m.esp.Encr.ID == spd.EncrNull && what == migrate.ProtectHomeTest {
		r.report(t.at.key(espKey), t.key(espKey), "got %q; want a cipher, too, for the home test (RFC 4877 section 4.3)", m.esp)
	}
	r.manualReqids(d, u, t, home, what, m.reqids)
	hosts := [2]netip.Addr{home.HomeAgent, home.HomeAddress}
	if r.role == MobileNode {
		hosts[1] = netip.Addr{} // this one: all tunnels end at its care-of address
	}
	keys, from, ok := r.manualKeys(t, m)
	if !ok {
		return
	}
	reqids := home.ReqidsFor(what)
	sas := [2]manual.SA{{Reqid: reqids.ToHA}, {Reqid: reqids.ToMN}}
	for i := range sas {
		once(r, u.spis, numbered{hosts[i], m.spis[i]}, fmt.Sprintf("SPI %#x", m.spis[i]), t, spiKey)
		sas[i].SPI = m.spis[i]
		sas[i].Transform = r.transform(u, t, from, m.esp, keys[i])
	}
	pair := manual.Pair{Peer: home.Peer, Suite: m.esp.String(), Out: sas[0], In: sas[1]}
	if r.role == HomeAgent {
		pair.In, pair.Out = pair.Out, pair.In
	}
	d.Manual = append(d.Manual, pair)
}

// manualReqids gives a home the reqids of the mobility daemon's policies.
func (r *reader) manualReqids(
	d *document, u *used, t table, home *migrate.Home, what migrate.Protection, ids [2]uint32,
) {
	at, key := t.at.key(reqidKey), t.key(reqidKey)
	switch {
	case d.OwnPolicies && t.has(reqidKey):
		r.report(at, key, "mipsecd's own policies have reqids of their own; leave it out")
	case d.OwnPolicies:
	case !t.has(reqidKey):
		r.report(at, key, "is missing; want the reqids of the mobility daemon's policies, such as [1, 2]")
	case d.Kernel == PFKey && max(ids[0], ids[1]) > maxReqidPFKey:
		r.report(at, key, "got %d; want at most %d, as PF_KEY ties no other policy to its SAs", max(ids[0], ids[1]), maxReqidPFKey)
	default:
		for _, id := range ids {
			once(r, u.reqids, numbered{home.HomeAddress, id}, fmt.Sprint(id), t, reqidKey)
		}
		home.Reqids[what] = migrate.Reqids{ToHA: ids[0], ToMN: ids[1]}
	}
}

// manualKeys are the keys of two SAs, and the key of the table that has them.
func (r *reader) manualKeys(t table, m manualTable) (keys []secret.Bytes, from string, ok bool) {
	switch inline := t.has(keyKey); {
	case inline == t.has(keyFileKey):
		r.report(t.at, t.key(keyFileKey), "want either it or key")
	case inline:
		_, err := r.read(r.file, SAKey)
		if err != nil {
			r.report(t.at.key(keyKey), t.key(keyKey), "%v", err)
		}
		return m.keys[:], keyKey, err == nil
	default:
		keys, ok = contents(r, t, keyFileKey, m.files[:], SAKey, parseKey(1, SAKey))
	}
	return keys, keyFileKey, ok
}

// transform is the cryptography of one SA.
func (r *reader) transform(u *used, t table, from string, esp suite.ESPSuite, key secret.Bytes) spd.Transform {
	encr, integ := suite.ESPKeyLens(esp)
	if len(key) != encr+integ {
		r.report(t.at.key(from), t.key(from), "got a key of %d octets; want %d for %s: %d for the cipher, and then %d for the integrity",
			len(key), encr+integ, esp, encr, integ)
		return spd.Transform{}
	}
	once(r, u.keys, string(key), "a key", t, from)
	return spd.Transform{Encr: esp.Encr.ID, EncrKey: key[:encr:encr], Integ: esp.Integ, IntegKey: key[encr:]}
}
