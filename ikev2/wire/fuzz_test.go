package wire

import (
	"reflect"
	"runtime"
	"slices"
	"testing"
)

// understood is what Marshal can write again: without the marks for what was left out.
func understood(ps []Payload) []Payload {
	for _, p := range ps {
		switch p := p.(type) {
		case *SA:
			for _, proposal := range p.Proposals {
				for i := range proposal.Transforms {
					proposal.Transforms[i].Unknown = false
				}
			}
		case *TS:
			p.Skipped = false
		}
	}
	return slices.DeleteFunc(ps, func(p Payload) bool {
		ts, ok := p.(*TS)
		return ok && len(ts.Selectors) == 0
	})
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"ike_sa_init_request", "ike_sa_init_response", "ike_auth_request"} {
		f.Add(golden(f, name))
	}
	for _, s := range samples {
		f.Add(s.alone(hexBytes(s.body)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		Describe(m.Header, m.Payloads)
		m.Payloads = understood(m.Payloads)
		again, err := Parse(m.Marshal())
		if err != nil {
			t.Fatalf("marshalled, it is refused: %v", err)
		}
		if len(m.Payloads) == 0 && len(again.Payloads) == 0 {
			m.Payloads = again.Payloads
		}
		if !reflect.DeepEqual(m, again) {
			t.Fatalf("marshalled, it is\n%+v, was\n%+v", again, m)
		}
	})
}

func FuzzParsePayloads(f *testing.F) {
	f.Add(uint8(PayloadIDi), golden(f, "ike_auth_request_decrypted"))
	f.Add(uint8(PayloadIDr), golden(f, "ike_auth_response_decrypted"))
	for _, s := range samples {
		f.Add(uint8(s.payload.Type()), chain(PayloadNone, hexBytes(s.body)))
	}
	f.Fuzz(func(t *testing.T, first uint8, b []byte) {
		ps, err := ParsePayloads(PayloadType(first), b)
		if err != nil {
			return
		}
		ps = understood(ps)
		again, err := ParsePayloads(FirstType(ps), AppendPayloads(nil, ps))
		if err != nil {
			t.Fatalf("written, they are refused: %v", err)
		}
		if len(ps) != len(again) || len(ps) > 0 && !reflect.DeepEqual(ps, again) {
			t.Fatalf("written, they are\n%+v, were\n%+v", again, ps)
		}
	})
}

// TestMemory holds what reading may cost: what a peer sends must not make us allocate out of proportion. The worst are
// the structures that are smallest on the wire.
func TestMemory(t *testing.T) {
	const perOctet, fixed = 16, 2048
	smallest := map[string][]Payload{
		"payloads":     times(MaxPayloads, Payload(&VendorID{})),
		"unknown":      times(MaxPayloads, Payload(&Unknown{Kind: 99})),
		"notifies":     times(MaxPayloads, Payload(&Notify{Kind: NotifyCookie})),
		"deletes":      times(MaxPayloads, Payload(&Delete{Protocol: ProtocolESP, SPIs: []uint32{1}})),
		"many deleted": {&Delete{Protocol: ProtocolESP, SPIs: make([]uint32, 16000)}},
		"proposals":    {&SA{Proposals: times(MaxProposals, Proposal{Transforms: make([]Transform, 1)})}},
		"transforms":   {&SA{Proposals: times(MaxProposals, Proposal{Transforms: make([]Transform, MaxTransforms-3)})}},
		"selectors":    {&TS{Selectors: times(MaxSelectors, hexSelector("c0000201 c0000202"))}},
		"attributes":   {&CP{Attributes: make([]CPAttribute, MaxAttributes)}},
	}
	for name, ps := range smallest {
		b := AppendPayloads(nil, ps)
		first := FirstType(ps)
		check := func(what string, b []byte) {
			if spent, most := spent(func() { _, _ = ParsePayloads(first, b) }), uint64(perOctet*len(b)+fixed); spent > most {
				t.Errorf("%s: %d octets allocated for %d%s, at most %d expected", name, spent, len(b), what, most)
			}
		}
		if _, err := ParsePayloads(first, b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check("", b)
		check(" that are refused", b[:len(b)-1])
	}
	// Counts that promise more than follows.
	for _, c := range []struct {
		first PayloadType
		chain string
	}{
		{PayloadD, "00 00 0008 03 04 ffff"}, {PayloadTSi, "00 00 0008 40 000000"},
		{PayloadSA, "00 00 0014 00 00 0010 01 01 08 80 0102030405060708"},
	} {
		b := hexBytes(c.chain)
		if spent := spent(func() { _, _ = ParsePayloads(c.first, b) }); spent > fixed {
			t.Errorf("%v: %d octets allocated for %d", c.first, spent, len(b))
		}
	}
}

// spent is how many octets f allocates.
func spent(f func()) uint64 {
	const runs = 64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

func BenchmarkParse(b *testing.B) {
	for _, name := range []string{"ike_sa_init_request", "ike_sa_init_response", "ike_auth_request"} {
		datagram := golden(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(datagram); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMarshal(b *testing.B) {
	for _, name := range []string{"ike_sa_init_request", "ike_sa_init_response", "ike_auth_request"} {
		m, err := Parse(golden(b, name))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Marshal()
			}
		})
	}
}
