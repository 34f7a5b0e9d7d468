package mobilenode

import (
	"net/netip"
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/mobility"
	"mipsecd/spd"
)

// packet is a packet from HoA to HA as KAME shows it before IPsec: with inOption in a home address option, if that is
// valid.
func packet(t *testing.T, inOption netip.Addr, mh mobility.Message) []byte {
	t.Helper()
	return packetFrom(t, HoA, inOption, mh)
}

func packetFrom(t *testing.T, src, inOption netip.Addr, mh mobility.Message) []byte {
	t.Helper()
	body, err := mh.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	next := spd.ProtoMH
	if inOption.IsValid() {
		option := append([]byte{spd.ProtoMH, 2, 1, 2, 0, 0, 201, 16}, inOption.AsSlice()...)
		body, next = append(option, body...), spd.HomeOpt
	}
	b := append([]byte{0x60, 0, 0, 0, 0, byte(len(body)), next, 64}, src.AsSlice()...)
	return append(append(b, HA.AsSlice()...), body...)
}

// The Binding Update for which the kernel calls tells the CoA: the alternate one, else that in the home address option
// (draft-sugimoto-mip6-pfkey-migrate-04 section 4.2.2).
func TestCareOfAddressInTheAcquiresPacket(t *testing.T) {
	const (
		key    = "key 1 binding with ha (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2 over "
		atCoA1 = "report moved ha: to CoA1\nrelocate ha to CoA1 - HA, keep, renew\n" + key + "CoA1 - HA"
	)
	bu := mobility.BindingUpdate{Sequence: 1, Ack: true, HomeReg: true, KeyMobility: true, Lifetime: 3600e9}
	withAlternate, toCN := bu, bu
	withAlternate.CareOf, toCN.HomeReg = CoA1, false
	cut := packet(t, CoA1, bu)[:39]
	_, unreadable := mobility.ParsePacket(cut)
	if unreadable == nil {
		t.Fatal("a packet without its last octets is read")
	}
	for _, test := range []struct {
		name   string
		packet []byte
		want   string
	}{
		{"alternate CoA", packet(t, CoA1, withAlternate), atCoA1},
		{"alternate CoA before the home address option's", packet(t, CoA2, withAlternate), atCoA1},
		{"home address option", packet(t, CoA1, bu), atCoA1},
		{"on the wire, source and home address option exchanged", packetFrom(t, CoA1, HoA, bu), atCoA1},
		{"at home", packet(t, netip.Addr{}, bu),
			"report moved ha: home\nrelocate ha to HoA - HA, keep, renew\n" + key + "HoA - HA"},
		{"not the home registration", packet(t, CoA1, toCN), key + "HoA - HA"},
		{"another message", packet(t, CoA1, mobility.HomeTestInit{}), key + "HoA - HA"},
		{"unreadable", cut, "report unreadable packet ha: " + unreadable.Error() + "\n" + key + "HoA - HA"},
		{"none", nil, key + "HoA - HA"},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := Home("ha", true)
			s := newScript(t, false, home)
			d := Daemon{Protected: home.Protected}
			s.step("", migrate.Snapshot{Policies: d.Static()})
			s.kernel(test.want, acquire(d, HoA, migrate.ProtectBinding, test.packet))
		})
	}
}

// SHISA's order: the Binding Update is keyed first, the kernel moves the tunnels when it is acknowledged. Later Binding
// Updates have their SA, so that a movement is seen by its MIGRATE only.
func TestSHISA(t *testing.T) {
	home := Home("ha", true)
	home.What = []migrate.Protection{migrate.ProtectBinding, migrate.ProtectHomeTest}
	d := Daemon{Protected: home.Protected}
	s := newScript(t, false, home)
	s.step("", migrate.Snapshot{Policies: append(d.Static(), d.Tunnels(HoA)...)})
	bu := mobility.BindingUpdate{Sequence: 1, Ack: true, HomeReg: true, KeyMobility: true, CareOf: CoA1, Lifetime: 3600e9}
	s.kernel(`
		report moved ha: to CoA1
		relocate ha to CoA1 - HA, keep, renew
		key 1 binding with ha (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2 over CoA1 - HA`,
		acquire(d, HoA, migrate.ProtectBinding, packet(t, CoA1, bu)))
	s.kernel(`
		move SAs of ha: esp tunnel 5 from HoA -> HA to CoA1 -> HA
		move SAs of ha: esp tunnel 6 from HA -> HoA to HA -> CoA1`, d.MovesTunnels(HoA, CoA1)...)
	s.kernel(`
		report moved ha: to CoA2
		relocate ha to CoA2 - HA, keep, renew
		move SAs of ha: esp tunnel 5 from CoA1 -> HA to CoA2 -> HA
		move SAs of ha: esp tunnel 6 from HA -> CoA1 to HA -> CoA2`, d.MovesTunnels(CoA1, CoA2)...)
	s.kernel("", d.MovesTunnels(CoA2, CoA2)...)
}

// movesByKAME are the reports of a kernel that moves tunnels by itself and tells of it by SADB_X_SPDUPDATE.
func movesByKAME(d Daemon, to netip.Addr) (events []spd.Event) {
	for _, p := range d.Tunnels(to) {
		events = append(events, spd.PolicyChanged{Policy: p, Moved: true})
	}
	return events
}

// By its mobility socket SHISA tells of a movement before the Binding Update. At home the kernel leaves the tunnels at the last
// CoA, from where they move when the mobile node leaves home again.
func TestSHISAByMobilitySocket(t *testing.T) {
	home := Home("ha", true)
	home.What = []migrate.Protection{migrate.ProtectBinding, migrate.ProtectHomeTest}
	d := Daemon{Protected: home.Protected}
	s := newScript(t, false, home)
	s.step("", migrate.Snapshot{Policies: append(d.Static(), d.Tunnels(HoA)...)})
	moves := func(careOf netip.Addr) spd.Binding { return spd.Binding{HomeAddress: HoA, CareOf: careOf} }
	bound := func(careOf netip.Addr) spd.Binding {
		return spd.Binding{HomeAddress: HoA, CareOf: careOf, HomeAgent: HA}
	}
	s.kernel("report moved ha: to CoA1\nrelocate ha to CoA1 - HA, keep, renew", moves(CoA1))
	s.kernel("key 1 binding with ha (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2 over CoA1 - HA",
		acquire(d, HoA, migrate.ProtectBinding, nil))
	s.kernel("", bound(CoA1))
	s.kernel(`
		move SAs of ha: esp tunnel 5 from HoA -> HA to CoA1 -> HA
		move SAs of ha: esp tunnel 6 from HA -> HoA to HA -> CoA1`, movesByKAME(d, CoA1)...)
	s.kernel("", movesByKAME(d, CoA1)...) // again, though nothing has changed

	s.kernel("report moved ha: to CoA2\nrelocate ha to CoA2 - HA, keep, renew", moves(CoA2))
	s.kernel("", bound(CoA2))
	s.kernel(`
		move SAs of ha: esp tunnel 5 from CoA1 -> HA to CoA2 -> HA
		move SAs of ha: esp tunnel 6 from HA -> CoA1 to HA -> CoA2`, d.MovesTunnels(CoA1, CoA2)...)

	s.kernel("report moved ha: home\nrelocate ha to HoA - HA, keep, renew", moves(HoA))
	s.kernel("", append([]spd.Event{bound(HoA)}, d.MovesTunnels(CoA2, CoA2)...)...)
	s.kernel("key 1 binding with ha (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2 over HoA - HA",
		acquire(d, HoA, migrate.ProtectBinding, nil))

	s.kernel("report moved ha: to CoA1\nrelocate ha to CoA1 - HA, keep, renew", moves(CoA1))
	s.kernel(`
		move SAs of ha: esp tunnel 5 from CoA2 -> HA to CoA1 -> HA
		move SAs of ha: esp tunnel 6 from HA -> CoA2 to HA -> CoA1`, append([]spd.Event{bound(CoA1)}, movesByKAME(d, CoA1)...)...)

	// With others, and of others' home addresses, nothing is ours.
	s.kernel("", spd.Binding{HomeAddress: HoA, CareOf: CoA2, HomeAgent: CN}, spd.Binding{HomeAddress: OtherHoA, CareOf: CoA2})
}

// Where mipsecd owns the policies it bypasses the tunnels at home, and restores them when the mobile node leaves again. KAME
// takes no MIGRATE from it: they are set where they are to be.
func TestSHISAWithPoliciesOfMipsecd(t *testing.T) {
	s := newScript(t, true, OtherHome("ha"))
	const binding = `
		set out OtherHoA -> HA mh type 5 protect esp/transport/unique:11
		set in HA -> OtherHoA mh type 6 protect esp/transport/unique:12
		set in HA -> OtherHoA mh protect esp/transport/unique:12`
	const bypassed = `
		set out OtherHoA -> * any bypass
		set in * -> OtherHoA any bypass`
	s.step("carry"+binding+bypassed, migrate.Snapshot{})
	leaves := func(careOf string) string {
		return `
		carry
		set out OtherHoA -> * any protect esp/tunnel/OtherHoA -> HA/unique:17
		set in * -> OtherHoA any protect esp/tunnel/HA -> OtherHoA/unique:18
		migrate out OtherHoA -> * any from OtherHoA -> HA to ` + careOf + ` -> HA
		migrate in * -> OtherHoA any from HA -> OtherHoA to HA -> ` + careOf + `
		or else` + binding + `
		set out OtherHoA -> * any protect esp/tunnel/` + careOf + ` -> HA/unique:17
		set in * -> OtherHoA any protect esp/tunnel/HA -> ` + careOf + `/unique:18
		report moved ha: to ` + careOf + `
		relocate ha to ` + careOf + ` - HA, keep, renew`
	}
	s.kernel(leaves("CoA1"), spd.Binding{HomeAddress: OtherHoA, CareOf: CoA1})
	s.kernel("", spd.Binding{HomeAddress: OtherHoA, CareOf: CoA1, HomeAgent: HA})
	s.kernel(`
		carry
		migrate out OtherHoA -> * any from CoA1 -> HA to OtherHoA -> HA
		migrate in * -> OtherHoA any from HA -> CoA1 to HA -> OtherHoA
		set out OtherHoA -> * any bypass
		set in * -> OtherHoA any bypass
		or else`+binding+bypassed+`
		report moved ha: home
		relocate ha to OtherHoA - HA, keep, renew`, spd.Binding{HomeAddress: OtherHoA, CareOf: OtherHoA})
	s.kernel(leaves("CoA2"), spd.Binding{HomeAddress: OtherHoA, CareOf: CoA2})
}

// As long as no CoA is known, an address that is no home address is tried, else the home address.
func TestPathBeforeACareOfAddressIsKnown(t *testing.T) {
	ipv4 := netip.MustParseAddr("192.0.2.1")
	for _, test := range []struct {
		name      string
		addresses []netip.Addr
		path      string
	}{
		{"nothing known", nil, "HoA - HA"},
		{"home addresses only", []netip.Addr{HoA, OtherHoA}, "HoA - HA"},
		{"another address", []netip.Addr{HoA, OtherHoA, CoA2, CoA1}, "CoA2 - HA"},
		{"another family", []netip.Addr{ipv4, HoA}, "HoA - HA"},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := Home("ha", true)
			d := Daemon{Protected: home.Protected}
			s := newScript(t, false, home, OtherHome("ha"))
			s.step("", migrate.Snapshot{Policies: d.Static()}, migrate.Addresses{List: []netip.Addr{CN}},
				migrate.Addresses{List: test.addresses})
			const key = "key 1 binding with ha (transport, HoA - HA) [HoA mh 0x0500] [HA mh 0x0600] reqids 1 2 over "
			s.kernel(key+test.path, acquire(d, HoA, migrate.ProtectBinding, nil))
			s.kernel("report moved ha: home\nrelocate ha to HoA - HA, keep, renew", d.Binds(HoA))
			s.kernel(key+"HoA - HA", acquire(d, HoA, migrate.ProtectBinding, nil))
		})
	}
}
