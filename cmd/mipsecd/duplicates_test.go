package main

import (
	"net"
	"net/netip"
	"testing"

	"mipsecd/migrate"
	"mipsecd/mobility"
)

// A Binding Acknowledgement tells of a duplicate by its status alone; nothing else does.
func TestRFC6275_6_1_8_DADFailed(t *testing.T) {
	home, agent := netip.MustParseAddr("2001:db8:1::100"), netip.MustParseAddr("2001:db8:1::1")
	from := &net.IPAddr{IP: agent.AsSlice()}
	for want, m := range map[bool][]mobility.Message{
		true: {mobility.BindingAck{Status: mobility.StatusDADFailed}},
		false: {mobility.BindingAck{}, mobility.BindingAck{Status: mobility.StatusSequenceOutOfWindow},
			mobility.BindingUpdate{Sequence: 134}},
	} {
		for _, m := range m {
			mh, err := m.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			d, ok := duplicate(mh, from, home.AsSlice())
			if ok != want || ok && d != (migrate.Duplicate{HomeAddress: home, HomeAgent: agent}) {
				t.Errorf("%+v: %+v, %t", m, d, ok)
			}
			for n := range mh {
				if _, ok := duplicate(mh[:n], from, home.AsSlice()); ok {
					t.Errorf("%d octets of %+v are taken", n, m)
				}
			}
		}
	}
}
