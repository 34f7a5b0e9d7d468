package ikev2

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

var (
	homePrefix = netip.MustParsePrefix("2001:db8:1::/64")
	homeDNS    = netip.MustParseAddr("2001:db8:1::53")
	// given is what the home agent assigns: the home address that the policies of the tests are about.
	given = spd.Assignment{
		Addresses: []netip.Prefix{netip.PrefixFrom(hoa, 64)}, HomePrefix: homePrefix, DNS: []netip.Addr{homeDNS},
	}
)

// unassigned is a demand of the mobile node as it is before it has an address: for whichever it gets.
func unassigned(d spd.Demand) spd.Demand {
	d.Unassigned, d.Local = true, coa1
	d.Traffic.Local = slices.Clone(d.Traffic.Local)
	all := netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	d.Traffic.Local[0].Start, d.Traffic.Local[0].End = netip.IPv6Unspecified(), all
	return d
}

// wishing makes the mobile node ask for an address and more, and the home agent give it.
func wishing(mn, ha *host, _, _ *Config) {
	mn.peer.Wish = &spd.Wish{Addresses: []netip.Addr{{}}, HomePrefix: true, DNS: true}
	ha.gives.Assignment = given
}

// An address is asked for and assigned in IKE_AUTH; the Child SA is narrowed to it, in transport mode its SAs are on it
// (RFC 4877 section 9).
func TestRFC7296_2_19_AddressInIKE_AUTH(t *testing.T) {
	for _, d := range []spd.Demand{binding, payload} {
		w, mn, ha := newWorld(t, options{change: wishing})
		mn.key(unassigned(d))
		mode := ""
		if d.Mode == spd.Transport {
			mode = " N(USE_TRANSPORT_MODE)"
		}
		auth := w.log.String()[strings.Index(w.log.String(), "MN --> IKE_AUTH"):]
		if want := "MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH CP(CFG_REQUEST)" + mode + " SA TSi TSr ]\n" +
			"HA --> IKE_AUTH response 1 [ IDr AUTH CP(CFG_REPLY) N(USE_ASSIGNED_HoA)" + mode + " SA TSi TSr ]\n"; auth != want {
			t.Errorf("%s: %s", d.Name, auth)
		}
		w.settled(1)
		if r := one[spd.AddressRequest](ha); r.Peer != "mn" || !reflect.DeepEqual(r.Wish, *mn.peer.Wish) {
			t.Errorf("asked of the role: %+v", r)
		}
		if got := one[spd.Assigned](mn); !reflect.DeepEqual(got, spd.Assigned{Peer: "ha", Assignment: given}) {
			t.Errorf("assigned %+v", got)
		}
		up := one[spd.ChildUp](mn).Demand
		if up.Local != d.Local || !reflect.DeepEqual(up.Traffic, d.Traffic) || up.Unassigned {
			t.Errorf("%s: %+v", d.Name, up)
		}
		mn.soft() // it is rekeyed as any other
		w.run()
		w.settled(1)
		if n := len(said[spd.AddressRequest](ha)); n != 1 {
			t.Errorf("%d requests after a rekeying", n)
		}
	}
}

// With EAP in between, the reply is in the last answer: that which has the SA payload.
func TestRFC7296_2_19_AddressAfterEAP(t *testing.T) {
	w, mn, ha := newEAP(t, passwords("a password", "a password"), func(mn, ha *host) { wishing(mn, ha, nil, nil) })
	mn.key(unassigned(binding))
	w.settled(1)
	exchanges := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	for i, line := range exchanges {
		asks, tells := strings.Contains(line, "CP(CFG_REQUEST)"), strings.Contains(line, "CP(CFG_REPLY)")
		if asks != (i == 2) || tells != (i == len(exchanges)-1) {
			t.Errorf("message %d of %d: %s", i, len(exchanges), line)
		}
	}
	if got := one[spd.Assigned](mn); !reflect.DeepEqual(got.Assignment, given) || one[spd.ChildUp](mn).Demand.Local != hoa {
		t.Errorf("assigned %+v", got)
	}
	one[spd.AddressRequest](ha)
}

// The address is asked for again with each new IKE_SA, as the one that was assigned before; not when one is rekeyed, which
// keeps it.
func TestRFC7296_3_15_1_TheSameAddressAgain(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: func(mn, ha *host, a, b *Config) {
		wishing(mn, ha, a, b)
		mn.peer.Wish.Addresses = []netip.Addr{coa3}
	}})
	mn.key(unassigned(binding))
	mn.rekeyIKE()
	w.run()
	mn.tell(spd.Terminate{Peer: "ha"})
	w.run()
	w.settled(0)
	mn.key(binding)
	w.settled(1)
	var wished []netip.Addr
	for _, r := range said[spd.AddressRequest](ha) {
		wished = append(wished, r.Addresses...)
	}
	if want := []netip.Addr{coa3, hoa}; !slices.Equal(wished, want) {
		t.Errorf("asked for %v, want %v", wished, want)
	}
}

// What the responder cannot assign it says, makes no Child SA, and the IKE_SA stands.
func TestRFC7296_3_15_4_AddressAssignmentFailure(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: wishing})
	ha.gives.Err = errors.New("no address is left")
	mn.key(unassigned(binding))
	if got := w.log.String(); !strings.HasSuffix(got, "response 1 [ IDr AUTH N(INTERNAL_ADDRESS_FAILURE) ]\n") {
		t.Errorf("exchanges:\n%s", got)
	}
	if err := one[spd.Assigned](mn).Err; !answered(err, wire.NotifyInternalAddressFailure) {
		t.Errorf("assigned with %v", err)
	}
	one[spd.KeyFailed](mn)
	one[spd.PeerUp](mn)
	w.settled(0)
	if len(said[spd.Request](ha)) != 0 {
		t.Error("the role was asked for a Child SA")
	}
}

// An address that is asked for in vain is an error, also if the peer does not say so; a Child SA for one that was not
// assigned is deleted again.
func TestRFC7296_3_15_4_NoReply(t *testing.T) {
	for name, gives := range map[string]spd.Assignment{
		"nothing": {}, "no address": {DNS: given.DNS},
		"no such address": {Addresses: []netip.Prefix{netip.MustParsePrefix("fe80::1/64")}},
	} {
		w, mn, ha := newWorld(t, options{change: wishing})
		ha.gives.Assignment = gives
		mn.key(unassigned(binding))
		if got := one[spd.Assigned](mn); got.Err == nil || len(got.Addresses) > 0 {
			t.Errorf("%s: assigned %+v", name, got)
		}
		if err := one[spd.KeyFailed](mn).Err; !strings.Contains(err.Error(), "which is no address that it has assigned") {
			t.Errorf("%s: %v", name, err)
		}
		w.settled(0)
	}
	w, mn, ha := newWorld(t, options{change: wishing})
	ha.gives.Assignment = spd.Assignment{Addresses: []netip.Prefix{netip.PrefixFrom(coa3, 64)}} // but TSi becomes hoa
	mn.key(unassigned(binding))
	one[spd.KeyFailed](mn)
	w.settled(0)
}

// More addresses than were asked for are none.
func TestRFC7296_3_15_1_NoMoreThanRequested(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: wishing})
	ha.gives.Addresses = []netip.Prefix{netip.PrefixFrom(hoa, 64), netip.PrefixFrom(coa3, 64)}
	mn.key(unassigned(binding))
	if got := one[spd.Assigned](mn).Addresses; !slices.Equal(got, given.Addresses) {
		t.Errorf("assigned %v", got)
	}
	w.settled(1)
}

// A Child SA that wants an assigned address first is refused by a notification of its own.
func TestRFC7296_2_19_FailedCPRequired(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	ha.refuse = spd.ErrUnassigned
	mn.key(binding)
	if got := w.log.String(); !strings.HasSuffix(got, "response 1 [ IDr AUTH N(FAILED_CP_REQUIRED) ]\n") {
		t.Errorf("exchanges:\n%s", got)
	}
	one[spd.PeerUp](mn)
	w.settled(0)
}

// A request in CREATE_CHILD_SA is answered before the SA payload, or fails the Child SA.
func TestRFC7296_2_19_AddressInCREATE_CHILD_SA(t *testing.T) {
	w, mn, ha := established(t, options{change: wishing}, binding)
	request := func(id uint32) {
		n := &negotiation{demand: returnRoute, proposals: mn.peer.ESP, ni: make([]byte, nonceLen)}
		n.larva.SPI = id
		ask := &wire.CP{Kind: wire.CFGRequest, Attributes: []wire.CPAttribute{{Type: wire.InternalIP6Address}}}
		mn.forge(wire.ExchangeCreateChildSA, id, false, append([]wire.Payload{ask}, n.createPayloads()...)...)
	}
	request(2)
	ha.gives.Err = errors.New("no address is left")
	request(3)
	w.script(`
		HA --> CREATE_CHILD_SA response 2 [ CP(CFG_REPLY) SA Nr TSi TSr ]
		HA --> CREATE_CHILD_SA response 3 [ N(INTERNAL_ADDRESS_FAILURE) ]
	`)
}

// Who has an IKE_SA already, but no address, asks with a Child SA on it.
func TestRFC7296_2_19_AskedInCREATE_CHILD_SA(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	wishing(mn, w.peerOf(mn), nil, nil)
	mn.key(unassigned(returnRoute))
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ CP(CFG_REQUEST) SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ CP(CFG_REPLY) N(USE_ASSIGNED_HoA) SA Nr TSi TSr ]
	`)
	w.settled(2)
	if got := one[spd.Assigned](mn); !reflect.DeepEqual(got.Assignment, given) || got.Err != nil {
		t.Errorf("assigned %+v", got)
	}
	w, mn, ha := established(t, options{}, binding)
	wishing(mn, ha, nil, nil)
	ha.gives.Err = errors.New("no address is left")
	mn.key(unassigned(returnRoute))
	if err := one[spd.KeyFailed](mn).Err; !answered(err, wire.NotifyInternalAddressFailure) {
		t.Error(err)
	}
	w.settled(1)
}

// What is asked in an INFORMATIONAL exchange is answered (RFC 7296 sections 2.20 and 3.15.4); what is not supported is
// passed over, and so is a CFG_SET.
func TestRFC7296_2_20_AskedInINFORMATIONAL(t *testing.T) {
	v4 := wire.CPAttribute{Type: wire.InternalIP4Address}
	version := wire.CPAttribute{Type: wire.ApplicationVersion}
	v6 := wire.CPAttribute{Type: wire.InternalIP6Address}
	for _, c := range []struct {
		name  string
		asked wire.CP
		gives spd.AddressGrant
		want  []wire.Payload
	}{
		{"version", wire.CP{Kind: wire.CFGRequest, Attributes: []wire.CPAttribute{version}}, spd.AddressGrant{}, []wire.Payload{
			&wire.CP{Kind: wire.CFGReply, Attributes: []wire.CPAttribute{{Type: wire.ApplicationVersion, Value: []byte("mipsecd")}}},
		}},
		{"what is supported", wire.CP{Kind: wire.CFGRequest, Attributes: []wire.CPAttribute{{Type: wire.SupportedAttributes}}},
			spd.AddressGrant{}, []wire.Payload{&wire.CP{Kind: wire.CFGReply, Attributes: []wire.CPAttribute{
				{Type: wire.SupportedAttributes, Value: []byte{0, 7, 0, 8, 0, 10, 0, 14, 0, 16}},
			}}}},
		{"IPv4 and IPv6", wire.CP{Kind: wire.CFGRequest, Attributes: []wire.CPAttribute{v4, v6}},
			spd.AddressGrant{Assignment: given}, []wire.Payload{&wire.CP{Kind: wire.CFGReply, Attributes: []wire.CPAttribute{
				wire.PrefixAttribute(wire.InternalIP6Address, given.Addresses[0]),
			}}}},
		{"IPv4 only", wire.CP{Kind: wire.CFGRequest, Attributes: []wire.CPAttribute{v4}}, spd.AddressGrant{Assignment: given},
			[]wire.Payload{&wire.CP{Kind: wire.CFGReply, Attributes: []wire.CPAttribute{}}}},
		{"an address that is not there", wire.CP{Kind: wire.CFGRequest, Attributes: []wire.CPAttribute{v6}},
			spd.AddressGrant{Err: errors.New("none")}, []wire.Payload{
				&wire.Notify{Kind: wire.NotifyInternalAddressFailure, SPI: []byte{}, Data: []byte{}},
			}},
		{"the home prefix only (RFC 5026 section 5.3.2)", wire.CP{Kind: wire.CFGRequest, Attributes: []wire.CPAttribute{
			{Type: wire.MIP6HomePrefix},
		}}, spd.AddressGrant{Assignment: given}, []wire.Payload{
			&wire.CP{Kind: wire.CFGReply, Attributes: []wire.CPAttribute{
				wire.PrefixAttribute(wire.InternalIP6Address, given.Addresses[0]), wire.HomePrefixAttribute(homePrefix, 1<<32-1),
			}},
			&wire.Notify{Kind: wire.NotifyUseAssignedHoA, SPI: []byte{}, Data: []byte{}},
		}},
		{"CFG_SET", wire.CP{Kind: wire.CFGSet, Attributes: []wire.CPAttribute{version}}, spd.AddressGrant{}, nil},
	} {
		w, mn, ha := established(t, options{}, binding)
		ha.gives = c.gives
		mn.forge(wire.ExchangeInformational, 2, false, &c.asked)
		if got := w.clear[string(w.flight[0].Data)]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: answered %+v, want %+v", c.name, got, c.want)
		}
		ha.clean(t)
	}
}

// Nobody waits any more for a grant once the IKE_SA is gone.
func TestAddressGrantForNobody(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: wishing})
	ha.hold = true
	mn.tell(spd.Key{Demand: unassigned(binding), Path: path1})
	w.run()
	for len(said[spd.AddressRequest](ha)) == 0 {
		ha.jobs[0]()
		ha.jobs = ha.jobs[1:]
		w.run()
	}
	w.pass(DefaultTiming.HalfOpen)
	ha.hold = false
	ha.work()
	ha.tell(spd.AddressGrant{Request: 99})
	ha.clean(t)
	if len(said[spd.PeerUp](ha))+len(ha.sas) != 0 {
		t.Errorf("%+v", ha.notices)
	}
}
