package memory

import (
	"reflect"
	"testing"

	"mipsecd/spd"
)

// RFC 6275 section 11.3.2: away from home, the mobile node sends ESP from its care-of address with a home address option;
// section 10.4.2: the home agent sends to the care-of address with a type 2 routing header.
func TestCareOfAddressOnTheWire(t *testing.T) {
	mn, ha := pair(t)
	shared(mn, ha, 0x1000, spd.Transport, binding, 1)
	mn.SetCareOf(spd.CareOfState{Proto: spd.HomeOpt, Endpoints: binding, CareOf: coa})
	ha.SetCareOf(spd.CareOfState{Proto: spd.Route2, Endpoints: binding.Reverse(), CareOf: coa})

	wire := mn.sends(mh(hoa, homeAgent, 5))
	if wire.Src != coa || wire.Dst != homeAgent || wire.Proto != spd.HomeOpt || wire.Payload[0] != spd.ESP {
		t.Errorf("on the wire: %+v", wire)
	}
	ha.receives(wire, mh(hoa, homeAgent, 5))
	wire = ha.sends(mh(homeAgent, hoa, 6))
	if wire.Src != homeAgent || wire.Dst != coa || wire.Proto != spd.Route2 || wire.Payload[0] != spd.ProtoMH {
		t.Errorf("on the wire: %+v", wire)
	}
	mn.receives(wire, mh(homeAgent, hoa, 6))
	if other := mn.sends(mh(hoa, peer, 1)); other.Src != hoa {
		t.Errorf("another destination: %+v", other)
	}
}

func TestCareOfStates(t *testing.T) {
	h := newHost(t, Options{})
	first := spd.CareOfState{Proto: spd.HomeOpt, Endpoints: binding, CareOf: coa}
	second := spd.CareOfState{Proto: spd.Route2, Endpoints: binding.Reverse(), CareOf: coa}
	moved, gone := first, first
	moved.CareOf, gone.CareOf, gone.Gone = coa2, coa2, true
	for _, c := range []struct {
		set  spd.CareOfState
		want []spd.CareOfState
	}{
		{first, []spd.CareOfState{first}},
		{second, []spd.CareOfState{second, first}}, // the home agent's address is the lower one
		{moved, []spd.CareOfState{second, moved}},
		{gone, []spd.CareOfState{second}},
	} {
		h.SetCareOf(c.set)
		h.wantEvents(c.set)
		if got, err := h.CareOfStates(); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("got %+v, %v; want %+v", got, err, c.want)
		}
	}
}

func TestOtherMobilityHeadersAreRefused(t *testing.T) {
	good := Packet{Src: coa, Dst: homeAgent, Proto: spd.HomeOpt, Payload: homeAddressOption(mh(hoa, homeAgent, 5), hoa)}
	if p, err := removeCareOf(good); err != nil || p.Src != hoa {
		t.Fatalf("%s, %v", p, err)
	}
	for n := range 24 {
		cut := good
		cut.Payload = good.Payload[:n]
		if p, err := removeCareOf(cut); err == nil {
			t.Errorf("the first %d octets give %s", n, p)
		}
	}
	for _, at := range []int{1, 2, 3, 6, 7} {
		bad := good
		bad.Payload = append([]byte(nil), good.Payload...)
		bad.Payload[at]++
		if p, err := removeCareOf(bad); err == nil {
			t.Errorf("a change at octet %d gives %s", at, p)
		}
	}
	good.Proto = spd.Route2
	if p, err := removeCareOf(good); err == nil {
		t.Errorf("as a routing header it gives %s", p)
	}
}
