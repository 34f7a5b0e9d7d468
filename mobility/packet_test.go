package mobility

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/spd"
)

// ipv6 is an IPv6 packet; first is the number of the first header in body.
func ipv6(src, dst netip.Addr, first uint8, body ...[]byte) []byte {
	payload := bytes.Join(body, nil)
	b := binary.BigEndian.AppendUint32(nil, 6<<28)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, first, 64)
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	return append(b, payload...)
}

// homeAddress is a destination options header with a Home Address option.
func homeAddress(next uint8, a netip.Addr) []byte {
	return append([]byte{next, 2, optionPadN, 2, 0, 0, optionHome, 16}, a.AsSlice()...)
}

// routing2 is a type 2 routing header.
func routing2(next uint8, a netip.Addr) []byte {
	return append([]byte{next, 2, routingType2, 1, 0, 0, 0, 0}, a.AsSlice()...)
}

var (
	registration = BindingUpdate{Sequence: 1, Ack: true, HomeReg: true, KeyMobility: true, Lifetime: time.Minute,
		CareOf: coa}
	withoutAltCoA  = BindingUpdate{Sequence: 1, Ack: true, HomeReg: true, Lifetime: time.Minute}
	deregistration = BindingUpdate{Sequence: 2, Ack: true, HomeReg: true, CareOf: hoa}
)

func TestPacketHeaders(t *testing.T) {
	mh := marshal(t, registration)
	noNext := []byte{0, 0, 0, 0, 0, 0, 0, 0}
	extension := func(next uint8) []byte { return []byte{next, 0, optionPadN, 4, 0, 0, 0, 0} }
	ah := append([]byte{spd.ProtoMH, 4}, make([]byte, 22)...)
	for _, c := range []struct {
		name   string
		packet []byte
		want   Packet
	}{
		{"bare", ipv6(hoa, ha, spd.ProtoMH, mh), Packet{Src: hoa, Dst: ha, Proto: spd.ProtoMH, MH: registration}},
		{"home address option", ipv6(coa, ha, destOptions, homeAddress(spd.ProtoMH, hoa), mh),
			Packet{Src: coa, Dst: ha, HomeAddressOption: hoa, Proto: spd.ProtoMH, MH: registration}},
		{"type 2 routing header", ipv6(ha, coa, routing, routing2(spd.ProtoMH, hoa), marshal(t, BindingAck{Sequence: 1})),
			Packet{Src: ha, Dst: coa, RoutingHome: hoa, Proto: spd.ProtoMH, MH: BindingAck{Sequence: 1}}},
		{"all headers", ipv6(coa, ha, hopByHop, extension(routing), []byte{destOptions, 0, 4, 0, 0, 0, 0, 0},
			homeAddress(fragment, hoa), []byte{spd.AH, 0, 0, 1, 0, 0, 0, 9}, ah, mh),
			Packet{Src: coa, Dst: ha, HomeAddressOption: hoa, Proto: spd.ProtoMH, MH: registration}},
		{"unknown destination option and Pad1", ipv6(coa, ha, destOptions,
			[]byte{spd.ProtoMH, 0, optionPad1v6, 0x1e, 2, 201, 201, optionPad1v6}, mh),
			Packet{Src: coa, Dst: ha, Proto: spd.ProtoMH, MH: registration}},
		{"ESP", ipv6(coa, ha, destOptions, homeAddress(spd.ESP, hoa), noNext),
			Packet{Src: coa, Dst: ha, HomeAddressOption: hoa, Proto: spd.ESP}},
		{"TCP", ipv6(hoa, ha, spd.ProtoTCP, noNext), Packet{Src: hoa, Dst: ha, Proto: spd.ProtoTCP}},
		{"later fragment", ipv6(hoa, ha, fragment, []byte{spd.ProtoMH, 0, 0, 8, 0, 0, 0, 9}, mh),
			Packet{Src: hoa, Dst: ha, Proto: fragment}},
		{"octets past the Payload Length", append(ipv6(hoa, ha, spd.ProtoMH, mh), make([]byte, 8)...),
			Packet{Src: hoa, Dst: ha, Proto: spd.ProtoMH, MH: registration}},
		{"Payload Length not yet filled in", withPayloadLength(ipv6(hoa, ha, spd.ProtoMH, mh), 0),
			Packet{Src: hoa, Dst: ha, Proto: spd.ProtoMH, MH: registration}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParsePacket(c.packet)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func withPayloadLength(packet []byte, n uint16) []byte {
	binary.BigEndian.PutUint16(packet[4:], n)
	return packet
}

func TestPacketTruncated(t *testing.T) {
	full := ipv6(coa, ha, hopByHop, []byte{routing, 0, optionPadN, 4, 0, 0, 0, 0}, routing2(destOptions, coa),
		homeAddress(fragment, hoa), []byte{spd.AH, 0, 0, 1, 0, 0, 0, 9}, append([]byte{spd.ProtoMH, 4}, make([]byte, 22)...),
		marshal(t, registration))
	if _, err := ParsePacket(full); err != nil {
		t.Fatal(err)
	}
	for n := range full {
		if p, err := ParsePacket(full[:n]); err == nil {
			t.Errorf("the first %d octets were taken for %+v", n, p)
		}
	}
	for n := 1; n < len(full)-40; n++ {
		if p, err := ParsePacket(withPayloadLength(slices.Clone(full), uint16(n))); err == nil {
			t.Errorf("with a Payload Length of %d it was taken for %+v", n, p)
		}
	}
}

func TestPacketMalformed(t *testing.T) {
	mh := marshal(t, registration)
	shortOption := homeAddress(spd.ProtoMH, hoa)
	shortOption[7] = 15
	noSegments := routing2(spd.ProtoMH, hoa)
	noSegments[3] = 0
	chain := bytes.Repeat([]byte{hopByHop, 0, optionPadN, 4, 0, 0, 0, 0}, maxHeaders)
	for _, c := range []struct {
		name   string
		packet []byte
		want   string
	}{
		{"IPv4", slices.Concat([]byte{0x45}, make([]byte, 59)), "version is 4, must be 6"},
		{"option longer than its header", ipv6(coa, ha, destOptions, []byte{spd.ProtoMH, 0, 1, 5, 0, 0, 0, 0}, mh),
			"header 60: destination option 1: "},
		{"option without length", ipv6(coa, ha, destOptions, []byte{spd.ProtoMH, 0, 1, 3, 0, 0, 0, 8}, mh),
			"header 60: destination option 8: "},
		{"home address of 15 octets", ipv6(coa, ha, destOptions, shortOption, mh), "has length 15, must be 16"},
		{"two home addresses (RFC 6275 section 6.3)", ipv6(coa, ha, destOptions, homeAddress(destOptions, hoa),
			homeAddress(spd.ProtoMH, hoa), mh), "201 (Home Address) is there twice"},
		{"no segments left (RFC 6275 section 6.4.1)", ipv6(ha, coa, routing, noSegments, mh),
			"header 43: type 2 with 24 octets and 0 segments left"},
		{"short type 2", ipv6(ha, coa, routing, []byte{spd.ProtoMH, 0, 2, 1, 0, 0, 0, 0}, mh),
			"header 43: type 2 with 8 octets and 1 segments left"},
		{"two type 2", ipv6(ha, coa, routing, routing2(routing, hoa), routing2(spd.ProtoMH, hoa), mh), "is there twice"},
		{"endless chain", ipv6(coa, ha, hopByHop, chain, mh), "more than 16 extension headers"},
		{"Mobility Header", ipv6(coa, ha, spd.ProtoMH, []byte{6, 0, 0, 0, 0, 0, 0, 0}), "header 135: MH: Payload Proto is 6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParsePacket(c.packet)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v, want an error with %q", p, err, c.want)
			}
			if !reflect.DeepEqual(p, Packet{}) {
				t.Errorf("%+v beside the error", p)
			}
		})
	}
}

func TestBinding(t *testing.T) {
	hoa2 := netip.MustParseAddr("2001:db8:9::100")
	home := func(a netip.Addr) bool { return a == hoa || a == hoa2 }
	careOf := func(a netip.Addr) BindingUpdate { bu := registration; bu.CareOf = a; return bu }
	correspondent := BindingUpdate{Sequence: 1, CareOf: coa}
	other, none := netip.MustParseAddr("2001:db8:3::5"), netip.Addr{}
	for _, c := range []struct {
		name              string
		src, option       netip.Addr
		message           Message
		wantHoA, wantCoA  netip.Addr
		withoutAltWantCoA netip.Addr
	}{
		{"before the swap", hoa, coa, careOf(other), hoa, other, coa},
		{"after the swap", coa, hoa, careOf(other), hoa, other, coa},
		{"without a home address option", hoa, none, careOf(other), hoa, other, hoa},
		{"deregistration at home", hoa, none, deregistration, hoa, hoa, hoa},
		{"deregistration, before the swap", hoa, coa, deregistration, hoa, hoa, coa},
		{"at home with the other home address, before the swap", hoa, hoa2, careOf(hoa2), hoa, hoa2, hoa2},
		{"at home with the other home address, after the swap", hoa2, hoa, careOf(hoa2), hoa, hoa2, hoa},
		{"nobody's home address", coa, other, careOf(coa), none, none, none},
		{"nobody's home address, no option", coa, none, careOf(coa), none, none, none},
		{"to a correspondent", hoa, coa, correspondent, none, none, none},
		{"not a BU", hoa, coa, BindingAck{}, none, none, none},
		{"not MH", hoa, coa, nil, none, none, none},
		{"link-local care-of address", hoa, coa, careOf(netip.MustParseAddr("fe80::1")), none, none, coa},
		{"multicast care-of address", hoa, coa, careOf(netip.MustParseAddr("ff0e::1")), none, none, coa},
		{"unspecified care-of address", hoa, coa, careOf(netip.IPv6Unspecified()), none, none, coa},
		{"IPv4 care-of address", hoa, coa, careOf(netip.MustParseAddr("::ffff:192.0.2.1")), none, none, coa},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Packet{Src: c.src, Dst: ha, HomeAddressOption: c.option, MH: c.message}
			gotHoA, gotCoA, ok := p.Binding(home)
			if gotHoA != c.wantHoA || gotCoA != c.wantCoA || ok != c.wantHoA.IsValid() {
				t.Errorf("got %v at %v, %v, want %v at %v", gotHoA, gotCoA, ok, c.wantHoA, c.wantCoA)
			}
			if bu, isBU := c.message.(BindingUpdate); isBU && bu.HomeReg {
				p.MH = withoutAltCoA
				if _, got, _ := p.Binding(home); got != c.withoutAltWantCoA {
					t.Errorf("without the Alternate Care-of Address option got %v, want %v", got, c.withoutAltWantCoA)
				}
			}
		})
	}
}

func FuzzParsePacket(f *testing.F) {
	mh := marshal(f, registration)
	f.Add(ipv6(coa, ha, destOptions, homeAddress(spd.ProtoMH, hoa), mh))
	f.Add(ipv6(ha, coa, routing, routing2(spd.ProtoMH, hoa), marshal(f, BindingAck{Sequence: 1})))
	f.Add(ipv6(coa, ha, hopByHop, []byte{fragment, 0, optionPadN, 4, 0, 0, 0, 0}, []byte{spd.AH, 0, 0, 1, 0, 0, 0, 9},
		append([]byte{spd.ProtoMH, 4}, make([]byte, 22)...), mh))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePacket(b)
		if err != nil {
			return
		}
		if (p.MH != nil) != (p.Proto == spd.ProtoMH) {
			t.Fatalf("protocol %d with message %v", p.Proto, p.MH)
		}
		home := func(a netip.Addr) bool { return a == p.Src }
		if hoa, coa, ok := p.Binding(home); ok && (hoa != p.Src || !routable(coa)) {
			t.Fatalf("%v at %v from %+v", hoa, coa, p)
		}
	})
}
