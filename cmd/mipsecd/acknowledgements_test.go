package main

import (
	"net"
	"net/netip"
	"testing"

	"mipsecd/migrate"
	"mipsecd/mobility"
)

// Of what the mobility daemon's peers send only Binding Acknowledgements are taken, and these whole.
func TestRFC6275Section6_1_8Acknowledgements(t *testing.T) {
	home, agent := netip.MustParseAddr("2001:db8:1::100"), netip.MustParseAddr("2001:db8:1::1")
	from := &net.IPAddr{IP: agent.AsSlice()}
	for _, m := range []mobility.Message{
		mobility.BindingAck{Status: mobility.StatusDADFailed},
		mobility.BindingAck{KeyMobility: true},
		mobility.BindingAck{Status: mobility.StatusSequenceOutOfWindow},
		mobility.BindingUpdate{Sequence: 134},
	} {
		mh, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		a, ok := acknowledgement(mh, from, home.AsSlice())
		ack, want := m.(mobility.BindingAck)
		is := migrate.Acknowledged{HomeAddress: home, HomeAgent: agent, Status: uint8(ack.Status), KeyMobility: ack.KeyMobility}
		if ok != want || ok && a != is {
			t.Errorf("%+v: %+v, %t", m, a, ok)
		}
		for n := range mh {
			if _, ok := acknowledgement(mh[:n], from, home.AsSlice()); ok {
				t.Errorf("%d octets of %+v are taken", n, m)
			}
		}
	}
}
