package memory

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"mipsecd/spd"
)

// behindNAT is a mobile node and its home agent with one tunnel in UDP. The home agent sees another address and port than
// the mobile node has.
func behindNAT(t *testing.T) (mn, ha *host, translate func(Packet) Packet) {
	mn, ha = newHost(t, Options{}), newHost(t, Options{})
	hoti := spd.MH(spd.Host(hoa), anywhere, 1)
	seen := spd.Endpoints{Src: coa2, Dst: homeAgent}
	mn.add(protect(spd.Out, hoti, tunnel(away, 3)))
	ha.add(protect(spd.In, hoti, tunnel(seen, 3)))
	out := newSA(0x1000, spd.Tunnel, away, 3, spd.Out, 1)
	in := newSA(0x1000, spd.Tunnel, seen, 3, spd.In, 1)
	out.Encap, in.Encap = spd.Encap{Src: 4500, Dst: 4500}, spd.Encap{Src: 20000, Dst: 4500}
	mn.install(out)
	ha.install(in)
	return mn, ha, func(p Packet) Packet {
		p.Src = coa2
		p.Payload = append(binary.BigEndian.AppendUint16(nil, 20000), p.Payload[2:]...)
		return p
	}
}

func TestRFC3948Section2_1ESPInUDP(t *testing.T) {
	mn, ha, translate := behindNAT(t)
	p := mh(hoa, peer, 1)
	wire := mn.sends(p)
	if wire.Proto != spd.ProtoUDP || wire.Src != coa || binary.BigEndian.Uint32(wire.Payload) != 4500<<16|4500 ||
		int(binary.BigEndian.Uint16(wire.Payload[4:])) != len(wire.Payload) || binary.BigEndian.Uint32(wire.Payload[8:]) != 0x1000 {
		t.Errorf("on the wire: %s %x", wire, wire.Payload)
	}
	ha.receives(translate(wire), p)
	ha.wantEvents()
}

// RFC 7296 section 2.23: what comes from elsewhere is reported, once it has proven to be the peer's and new.
func TestRFC7296Section2_23Mapping(t *testing.T) {
	mn, ha, translate := behindNAT(t)
	id := spd.SAID{Dst: homeAgent, Proto: spd.ESP, SPI: 0x1000}
	from := func(addr netip.Addr, port uint16) Packet {
		p := translate(mn.sends(mh(hoa, peer, 1)))
		p.Src = addr
		binary.BigEndian.PutUint16(p.Payload, port)
		return p
	}
	wire := from(coa2, 20001)
	forged := wire
	forged.Payload = append([]byte(nil), wire.Payload...)
	forged.Payload[len(forged.Payload)-1] ^= 1
	ha.refuses(forged, ErrIntegrity)
	ha.wantEvents()
	ha.receives(wire, mh(hoa, peer, 1))
	ha.wantEvents(spd.Mapping{ID: id, From: netip.AddrPortFrom(coa2, 20001)})
	ha.refuses(wire, ErrReplay)
	ha.wantEvents()
	ha.receives(from(coa, 20000), mh(hoa, peer, 1))
	ha.wantEvents(spd.Mapping{ID: id, From: netip.AddrPortFrom(coa, 20000)})
	if err := ha.SetEncap(id, spd.Encap{Src: 20001, Dst: 4500}); err != nil {
		t.Fatal(err)
	}
	ha.receives(from(coa2, 20001), mh(hoa, peer, 1))
	ha.wantEvents()
}

// RFC 7296 section 2.23: both forms are understood.
func TestPlainESPIsUnderstoodToo(t *testing.T) {
	mn, ha, translate := behindNAT(t)
	wire := translate(mn.sends(mh(hoa, peer, 1)))
	wire.Proto, wire.Payload = spd.ESP, wire.Payload[8:]
	ha.receives(wire, mh(hoa, peer, 1))
	ha.wantEvents()
}

func TestOnlyESPIsTakenOutOfUDP(t *testing.T) {
	h := newHost(t, Options{})
	for _, payload := range []string{
		"\x11\x94\x11\x94\x00\x0c\x00\x00\x00\x00\x00\x00", // the non-ESP marker
		"\x11\x94\x11\x94\x00\x09\x00\x00\xff",             // a keepalive
		"\x11\x94\x11\x95\x00\x0c\x00\x00\x00\x00\x10\x01", // another port
		"\x11\x94",
	} {
		p := Packet{Src: peer, Dst: homeAgent, Proto: spd.ProtoUDP, Payload: []byte(payload)}
		h.receives(p, p)
	}
	h.refuses(Packet{Src: peer, Dst: homeAgent, Proto: spd.ProtoUDP,
		Payload: []byte("\x11\x94\x11\x94\x00\x0c\x00\x00\x00\x00\x10\x01")}, ErrNoSA)
}
