package ikev2

import (
	"net/netip"
	"reflect"
	"testing"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

var (
	correspondent = netip.MustParseAddr("2001:db8:c::100")
	everywhere    = spd.TrafficSelector{PortEnd: 65535, Start: netip.IPv6Unspecified(),
		End: netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}
)

// browsing is a demand for all traffic of the home address, made by a TCP connection with a correspondent.
func browsing(mn *host) spd.Demand {
	tcp := func(a netip.Addr, port uint16) []spd.TrafficSelector {
		return []spd.TrafficSelector{{Proto: spd.ProtoTCP, PortStart: port, PortEnd: port, Start: a, End: a}}
	}
	d := payload
	d.Traffic.Remote = []spd.TrafficSelector{everywhere}
	d.First = spd.Traffic{Local: tcp(d.Traffic.Local[0].Start, 40000), Remote: tcp(correspondent, 443)}
	mn.policies = []spd.Demand{binding, d}
	return d
}

// The selectors of the packet come first, before those of the policy; a responder that takes the policy's gives SAs for
// all, and one that cannot for the packet at least.
func TestRFC7296_2_9_FirstSelectorsAreOfThePacket(t *testing.T) {
	for _, inAuth := range []bool{true, false} {
		w, mn, ha := newWorld(t, options{})
		d := browsing(mn)
		ha.policies = []spd.Demand{mirrored(binding), mirrored(d)}
		if !inAuth {
			mn.key(binding)
			ha.notices, mn.notices = nil, nil
		}
		mn.key(d)
		asked := one[spd.Request](ha).Traffic
		if want := append(d.First.Local, d.Traffic.Local...); !reflect.DeepEqual(asked.Remote, want) {
			t.Errorf("TSi %v, want %v", asked.Remote, want)
		}
		if want := append(d.First.Remote, d.Traffic.Remote...); !reflect.DeepEqual(asked.Local, want) {
			t.Errorf("TSr %v, want %v", asked.Local, want)
		}
		if up := one[spd.ChildUp](mn); !reflect.DeepEqual(up.Demand.Traffic, d.Traffic) {
			t.Errorf("SAs for %v, want %v", up.Demand.Traffic, d.Traffic)
		}
		w.settled(len(mn.engine.Status()[0].Children))
	}
}

// When an SA is rekeyed, no packet calls for it: what it is for is asked for as it is.
func TestRFC7296_2_9_2_RekeyingAsksForTheSame(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	d := browsing(mn)
	ha.policies = []spd.Demand{mirrored(d)}
	mn.key(d)
	mn.notices, ha.notices = nil, nil
	mn.soft()
	w.run()
	if asked := one[spd.Request](ha).Traffic; !reflect.DeepEqual(asked.Remote, d.Traffic.Local) || !reflect.DeepEqual(asked.Local, d.Traffic.Remote) {
		t.Errorf("asked for %v, want %v", asked, d.Traffic)
	}
	w.settled(1)
}

// A responder whose policy wants SAs of two addresses says so, and then gives them for those of the packet.
func TestRFC7296_2_9_SinglePairRequired(t *testing.T) {
	for _, inAuth := range []bool{true, false} {
		w, mn, ha := newWorld(t, options{})
		d := browsing(mn)
		ha.policies, ha.pairs = []spd.Demand{mirrored(binding), mirrored(d)}, true
		if !inAuth {
			mn.key(binding)
			mn.notices = nil
		}
		d.First.Local[0] = d.Traffic.Local[0] // else the responder would take the packet's own ports
		mn.key(spd.Demand{
			Peer: d.Peer, Name: d.Name, Mode: d.Mode, Local: d.Local, Remote: d.Remote, ReqidIn: d.ReqidIn, ReqidOut: d.ReqidOut,
			Traffic: d.Traffic, First: spd.Traffic{Local: d.First.Local, Remote: []spd.TrafficSelector{everywhere}},
		})
		if failed := said[spd.KeyFailed](mn); len(failed) != 1 {
			t.Errorf("without a packet's address: %v, want one failure", failed)
		}
		mn.notices = nil
		w.log.Reset()
		mn.key(d)
		up := one[spd.ChildUp](mn).Demand.Traffic
		if want := []spd.TrafficSelector{{PortEnd: 65535, Start: correspondent, End: correspondent}}; !reflect.DeepEqual(up.Remote, want) {
			t.Errorf("SAs with %v, want %v", up.Remote, want)
		}
		w.settled(len(mn.engine.Status()[0].Children))
	}
}

// A responder that insists gets no third request.
func TestSinglePairIsAskedForOnce(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	d := browsing(mn)
	ha.refuse = spd.ErrSinglePair
	mn.key(d)
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ N(SINGLE_PAIR_REQUIRED) ]
		MN --> CREATE_CHILD_SA request 3 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 3 [ N(SINGLE_PAIR_REQUIRED) ]
	`)
	if err := one[spd.KeyFailed](mn).Err; !answered(err, wire.NotifySinglePairRequired) {
		t.Errorf("failed with %v", err)
	}
	w.settled(1)
}
