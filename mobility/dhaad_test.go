package mobility

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"testing"
)

// dhaadReplies are replies with their octets as RFC 6275 section 6.6 draws them.
var dhaadReplies = []struct {
	message DHAADReply
	hex     string
}{
	{DHAADReply{Identifier: 0x1234}, "91 00 0000 1234 0000"},
	{DHAADReply{Identifier: 1, HomeAgents: []netip.Addr{ha, coa}},
		"91 00 0000 0001 0000 20010db8000100000000000000000001 20010db8000200000000000000000005"},
}

func TestRFC6275Section6_6DHAADReply(t *testing.T) {
	for _, c := range dhaadReplies {
		want := unhex(t, c.hex)
		if got, err := c.message.Marshal(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("marshalled %x, %v, want %x", got, err, want)
		}
		if got, err := ParseDHAADReply(want); err != nil || !reflect.DeepEqual(got, c.message) {
			t.Errorf("parsed %+v, %v, want %+v", got, err, c.message)
		}
		for n := range want {
			if got, err := ParseDHAADReply(want[:n]); err == nil && n%16 != dhaadHeader {
				t.Errorf("%d octets of %d are parsed as %+v", n, len(want), got)
			}
		}
	}
	most := DHAADReply{HomeAgents: slices.Repeat([]netip.Addr{ha}, maxDHAAD)}
	if b, err := most.Marshal(); err != nil || len(b) > 1280-40 {
		t.Errorf("%d octets, %v", len(b), err)
	}
	for name, m := range map[string]DHAADReply{
		"too many":         {HomeAgents: slices.Repeat([]netip.Addr{ha}, maxDHAAD+1)},
		"an IPv4 address":  {HomeAgents: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		"no address":       {HomeAgents: []netip.Addr{{}}},
		"one with a scope": {HomeAgents: []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}},
	} {
		if b, err := m.Marshal(); err == nil {
			t.Errorf("%s: marshalled as %x", name, b)
		}
	}
}

func TestRFC6275Section6_5DHAADRequest(t *testing.T) {
	want := unhex(t, "90 00 0000 1234 0000")
	m := DHAADRequest{0x1234}
	if got := m.Marshal(); !bytes.Equal(got, want) {
		t.Errorf("marshalled %x", got)
	}
	if got, err := ParseDHAADRequest(want); err != nil || got != m {
		t.Errorf("parsed %+v, %v", got, err)
	}
	for n := range want {
		if _, err := ParseDHAADRequest(want[:n]); err == nil {
			t.Errorf("%d octets are parsed", n)
		}
	}
	for _, other := range []string{"91 00 0000 1234 0000", "90 01 0000 1234 0000"} {
		if _, err := ParseDHAADRequest(unhex(t, other)); err == nil {
			t.Errorf("%s is parsed as a request", other)
		}
	}
	if _, err := ParseDHAADReply(want); err == nil {
		t.Error("a request is parsed as a reply")
	}
}

func FuzzParseDHAADReply(f *testing.F) {
	for _, c := range dhaadReplies {
		f.Add(unhex(f, c.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseDHAADReply(b)
		if err != nil {
			return
		}
		if len(m.HomeAgents) != (len(b)-dhaadHeader)/16 {
			t.Fatalf("%d home agents in %d octets", len(m.HomeAgents), len(b))
		}
		if len(m.HomeAgents) > maxDHAAD {
			return
		}
		out, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseDHAADReply(out); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v, %v, want %+v", again, err, m)
		}
	})
}

func FuzzParseDHAADRequest(f *testing.F) {
	f.Add(DHAADRequest{7}.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := ParseDHAADRequest(b); err == nil && !bytes.Equal(m.Marshal()[4:6], b[4:6]) {
			t.Fatalf("%x is parsed as %+v", b, m)
		}
	})
}
