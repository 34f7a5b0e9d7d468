package ikev2

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// wishingPrefix makes the mobile node ask for the home prefix alone.
func wishingPrefix(mn, ha *host, _, _ *Config) {
	mn.peer.Wish = &spd.Wish{HomePrefix: true}
	ha.gives.HomePrefix = homePrefix
}

// The home agent tells the prefix, and makes no Child SA as long as there is no address; then one for the address that the
// mobile node has made is asked for on the same IKE_SA.
func TestRFC5026_5_3_2_Autoconfiguration(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: wishingPrefix})
	ha.refuse = spd.ErrUnassigned
	mn.key(unassigned(binding))
	ha.refuse = nil
	if got := one[spd.Assigned](mn); got.Err != nil || got.HomePrefix != homePrefix || len(got.Addresses) != 0 {
		t.Errorf("assigned %+v", got)
	}
	if r := one[spd.AddressRequest](ha); len(r.Addresses) != 0 || !r.HomePrefix || r.Anew {
		t.Errorf("asked of the role: %+v", r)
	}
	one[spd.KeyFailed](mn)
	w.log.Reset()
	mn.key(binding)
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ N(USE_TRANSPORT_MODE) SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ N(USE_TRANSPORT_MODE) SA Nr TSi TSr ]
	`)
	w.settled(1)
}

// An address that comes with USE_ASSIGNED_HoA in place of the prefix is taken, and is the one of the Child SA. Neither of both
// is an error.
func TestRFC5026_5_3_2_UseAssigned(t *testing.T) {
	for _, c := range []struct {
		name  string
		gives spd.Assignment
		pairs int
	}{
		{"an address", spd.Assignment{Addresses: given.Addresses}, 1},
		{"an address and the prefix", given, 1},
		{"nothing", spd.Assignment{}, 0},
	} {
		w, mn, ha := newWorld(t, options{change: wishingPrefix})
		ha.gives.Assignment = c.gives
		mn.key(unassigned(binding))
		got := one[spd.Assigned](mn)
		if !slices.Equal(got.Addresses, c.gives.Addresses) || (got.Err == nil) != (c.pairs == 1) {
			t.Errorf("%s: assigned %+v", c.name, got)
		}
		w.settled(c.pairs)
	}
}

// What is wished for in place of an address that was assigned is asked for on the IKE_SA that there is.
func TestRFC5026_5_3_2_AnotherAddress(t *testing.T) {
	_, mn, ha := newWorld(t, options{change: wishing})
	mn.key(unassigned(binding))
	d := unassigned(returnRoute)
	d.Wished = coa3
	mn.key(d)
	requests := said[spd.AddressRequest](ha)
	if len(requests) != 2 || requests[0].Anew || !requests[1].Anew || !slices.Equal(requests[1].Addresses, []netip.Addr{coa3}) {
		t.Errorf("asked of the role: %+v", requests)
	}
}

// Who gives an address up deletes all pairs of SAs for it, and no others.
func TestVacate(t *testing.T) {
	for _, side := range []string{"MN", "HA"} {
		w, mn, ha := established(t, options{}, binding, payload)
		h := map[string]*host{"MN": mn, "HA": ha}[side]
		peer := map[string]string{"MN": "ha", "HA": "mn"}[side]
		for _, c := range []spd.Vacate{{Peer: peer, Address: coa1}, {Peer: "nobody", Address: hoa}} {
			h.tell(c)
			w.run()
			w.settled(2)
		}
		h.tell(spd.Vacate{Peer: peer, Address: hoa})
		w.run()
		w.settled(0)
		if len(said[spd.PeerDown](h)) != 0 || len(said[spd.ChildDown](w.peerOf(h))) != 2 {
			t.Errorf("%s: %+v", side, h.notices)
		}
	}
}

// A role can tell that the peer does not grant the traffic from all else that may go wrong.
func TestRefusedTrafficIsTold(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	for refusal, is := range map[error]bool{errors.New("another's"): true, spd.ErrUnassigned: false} {
		ha.refuse = refusal
		mn.notices = nil
		mn.key(payload)
		if err := one[spd.KeyFailed](mn).Err; errors.Is(err, spd.ErrTraffic) != is {
			t.Errorf("%v: %v", refusal, err)
		}
	}
	if !errors.Is(&peerError{wire.NotifyTSUnacceptable}, spd.ErrTraffic) {
		t.Error("TS_UNACCEPTABLE")
	}
	w.settled(1)
}
