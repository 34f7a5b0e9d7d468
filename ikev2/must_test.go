package ikev2

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// This file holds requirements that no other test comes by; docs/rfc7296.md says where each of them is held.

// A wider window of the peer's need not be used: there is one request at a time.
func TestRFC7296_2_3_OneRequestAtATime(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	ha.forge(wire.ExchangeInformational, 0, false, &wire.Notify{Kind: wire.NotifySetWindowSize, Data: []byte{0, 0, 0, 9}})
	w.losing("HA --> CREATE_CHILD_SA", -1)
	mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	mn.tell(spd.Key{Demand: payload, Path: path1})
	w.run()
	w.script(`
		MN --> INFORMATIONAL response 0 [ ]
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ] (lost)
	`)
}

// The order of the payloads does not matter.
func TestRFC7296_2_5_PayloadsInAnyOrder(t *testing.T) {
	request := func() []wire.Payload {
		return []wire.Payload{
			offerESP(proposals(t, "aes128gcm16", suite.ParseESP), 9), &wire.Nonce{Data: make([]byte, 32)},
			&wire.TS{Initiator: true, Selectors: payload.Traffic.Local}, &wire.TS{Selectors: payload.Traffic.Remote},
		}
	}
	for first := range request() {
		for second := range request() {
			w, mn, _ := established(t, options{}, binding)
			ps := request()
			ps[0], ps[first] = ps[first], ps[0]
			ps[1], ps[second] = ps[second], ps[1]
			mn.forge(wire.ExchangeCreateChildSA, 2, false, ps...)
			w.script(`HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ]`)
		}
	}
}

// edited is the first IKE_SA_INIT request of the mobile node, changed on its way; the world is left with it delivered.
func edited(t *testing.T, edit func(d *Datagram)) (w *world, mn, ha *host) {
	t.Helper()
	w, mn, ha = newWorld(t, options{})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	edit(&w.flight[0].Datagram)
	w.log.Reset()
	w.deliver(0)
	return w, mn, ha
}

// Minor version and reserved flags are ignored; the answer has version 2.0 and none of them.
func TestRFC7296_2_5_MinorVersion(t *testing.T) {
	w, _, _ := edited(t, func(d *Datagram) {
		d.Data[17] = 0x25  // version 2.5
		d.Data[19] |= 0xd7 // all but Initiator, Version and Response: those that must be ignored
		d.Data[19] &^= 0x20
	})
	if len(w.flight) != 1 || w.flight[0].Data[17] != 0x20 || w.flight[0].Data[19] != 0x20 {
		t.Fatalf("answered by %v", w.flight)
	}
	w.script(`HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]`)
}

// The request with the cookie has it first, and the payloads of the one without it after it, octet for octet.
func TestRFC7296_2_6_CookieBeforeTheSamePayloads(t *testing.T) {
	w, mn, ha := newWorld(t, cookies(1, 100))
	underLoad(w, mn, ha, 1)
	mn.tell(spd.Key{Demand: binding, Path: path1})
	first := w.flight[0].Data
	w.deliver(0)
	w.deliver(0)
	again := w.flight[0].Data
	h, err := wire.ParseHeader(again)
	w.check(err)
	length := binary.BigEndian.Uint16(again[wire.HeaderLen+2:])
	rest := again[wire.HeaderLen+int(length):]
	if h.NextPayload != wire.PayloadN || !bytes.Equal(rest, first[wire.HeaderLen:]) || h.SPIr != 0 ||
		!bytes.Equal(again[:8], first[:8]) {
		t.Errorf("the request %x\nis repeated as %x", first, again)
	}
}

// What a rekeying yields is for no less than the SA that it replaces was for.
func TestRFC7296_2_9_2_NoNarrowerThanBefore(t *testing.T) {
	w, mn, ha := established(t, options{}, payload)
	d := ha.policies[2]
	for _, ts := range []*[]spd.TrafficSelector{&d.Traffic.Local, &d.Traffic.Remote} {
		*ts = slices.Clone(*ts)
		(*ts)[0].Proto = spd.ProtoTCP
	}
	ha.policies = []spd.Demand{d}
	mn.soft()
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ N(REKEY_SA) SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 2 [ N(TS_UNACCEPTABLE) ]
	`)
	w.settled(1)
}

// Nonces have half the key size of any PRF at least, and no two are the same; a peer's has 16 to 256 octets (section 3.9).
func TestRFC7296_2_10_Nonces(t *testing.T) {
	for _, prf := range []suite.PRF{suite.PRFHMACSHA1, suite.PRFHMACSHA256, suite.PRFHMACSHA384, suite.PRFHMACSHA512} {
		if nonceLen < 16 || 2*nonceLen < prf.Size() {
			t.Errorf("nonces of %d octets for %s", nonceLen, prf)
		}
	}
	seen := map[string]bool{}
	w, mn, _ := newWorld(t, options{})
	mn.key(binding)
	mn.key(returnRoute)
	mn.soft()
	w.run()
	for _, ps := range w.clear {
		if n, ok := wire.Find[*wire.Nonce](ps); ok {
			if len(n.Data) != nonceLen || seen[string(n.Data)] {
				t.Errorf("nonce %x", n.Data)
			}
			seen[string(n.Data)] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d nonces in three exchanges", len(seen))
	}
	for _, length := range []int{15, 16, 256, 257} {
		body := make([]byte, length)
		_, err := wire.ParsePayloads(wire.PayloadNonce, wire.AppendPayloads(nil, []wire.Payload{&wire.Nonce{Data: body}}))
		if good := length == 16 || length == 256; good != (err == nil) {
			t.Errorf("a nonce of %d octets: %v", length, err)
		}
	}
}

// A request from any port is answered there, from where it was received.
func TestRFC7296_2_11_AnyPort(t *testing.T) {
	for _, port := range []uint16{500, 4500, 12345, 1} {
		var asked Datagram
		w, _, _ := edited(t, func(d *Datagram) {
			d.Local = netip.AddrPortFrom(d.Local.Addr(), port)
			asked = *d
		})
		if len(w.flight) != 1 || w.flight[0].Local != asked.Remote || w.flight[0].Remote != asked.Local {
			t.Errorf("port %d: answered by %v", port, w.flight)
		}
	}
}

// Whoever gets at the memory after an IKE_SA has ended finds no keys of it.
func TestRFC7296_2_12_KeysAreForgotten(t *testing.T) {
	w, mn, ha := newWorld(t, options{})
	w.losing("HA --> IKE_AUTH", -1)
	mn.tell(spd.Key{Demand: binding, Path: path1})
	for len(w.flight) > 0 {
		w.deliver(0)
	}
	of := func(h *host) []secret.Bytes {
		k := h.anySA().keys
		return []secret.Bytes{k.d, k.pi, k.pr}
	}
	keys := append(of(mn), of(ha)[0]) // the responder is done with its SK_p
	for _, k := range keys {
		if len(k) == 0 || !slices.ContainsFunc(k, func(b byte) bool { return b != 0 }) {
			t.Fatal("no keys to forget")
		}
	}
	mn.step(Abandon{})
	ha.step(Abandon{})
	for i, k := range keys {
		if slices.ContainsFunc(k, func(b byte) bool { return b != 0 }) {
			t.Errorf("key %d is still there", i)
		}
	}
}

// An IKE_SA is not rekeyed without a Diffie-Hellman exchange.
func TestRFC7296_2_18_NoGroup(t *testing.T) {
	for _, group := range []suite.Group{suite.GroupNone, 0xffff} {
		w, mn, ha := established(t, options{}, binding)
		offered := offerIKE(proposals(t, "aes128gcm16-prfsha256-x25519", suite.ParseIKE), spiBytes(9))
		transforms := &offered.Proposals[0].Transforms
		*transforms = slices.DeleteFunc(*transforms, func(x wire.Transform) bool { return x.Type == wire.TransformKE })
		if group == suite.GroupNone {
			*transforms = append(*transforms, wire.Transform{Type: wire.TransformKE, ID: uint16(group)})
		}
		mn.forge(wire.ExchangeCreateChildSA, 2, false, offered, &wire.Nonce{Data: make([]byte, 32)})
		w.script(`HA --> CREATE_CHILD_SA response 2 [ N(NO_PROPOSAL_CHOSEN) ]`)
		if len(said[spd.PeerDown](ha)) > 0 {
			t.Error("the IKE_SA has ended")
		}
	}
}

// What comes without protection about an IKE_SA that stands is neither answered nor believed.
func TestRFC7296_2_21_4_UnprotectedNotifications(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	sa := mn.anySA()
	for _, kind := range []wire.NotifyType{
		wire.NotifyInvalidIKESPI, wire.NotifyInvalidSPI, wire.NotifyInvalidSyntax, wire.NotifyInvalidMajorVersion,
		wire.NotifyAuthenticationFailed, wire.NotifyNoProposalChosen, wire.NotifyInitialContact, wire.NotifyCookie,
	} {
		for _, exchange := range []wire.ExchangeType{wire.ExchangeInformational, wire.ExchangeIKESAInit, wire.ExchangeIKEAuth} {
			for _, response := range []bool{true, false} {
				for id := range uint32(3) {
					m := wire.Message{Header: sa.header(exchange, id, response), Payloads: []wire.Payload{&wire.Notify{Kind: kind}}}
					m.Initiator = false
					mn.step(Datagram{Local: sa.local, Remote: sa.remote, Data: m.Marshal()})
					m.Initiator = true
					ha.step(Datagram{Local: sa.remote, Remote: sa.local, Data: m.Marshal()})
				}
			}
		}
	}
	w.script("")
	mn.tell(spd.Probe{Peer: "ha"})
	w.run()
	one[spd.PeerAlive](mn)
	w.settled(1)
}

// A response is never answered, whatever is wrong with it.
func TestRFC7296_3_1_NoAnswerToAResponse(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	for _, exchange := range []wire.ExchangeType{wire.ExchangeCreateChildSA, wire.ExchangeInformational, wire.ExchangeIKEAuth, 99} {
		mn.forge(exchange, 2, true, &wire.Unknown{Kind: 200, Critical: true})
		mn.forge(exchange, 0, true, &wire.Notify{Kind: wire.NotifyInvalidSyntax})
	}
	w.script("")
	w.settled(1)
}

// Proposals are numbered from one on, and an answer has the number of the one that it chooses.
func TestRFC7296_3_3_1_ProposalNumbers(t *testing.T) {
	ours := proposals(t, "aes256-sha256-x25519,aes128gcm16-prfsha256-x25519", suite.ParseIKE)
	offered := offerIKE(ours, nil)
	for i, p := range offered.Proposals {
		if int(p.Num) != i+1 || len(p.SPI) != 0 {
			t.Errorf("proposal %d: number %d, SPI %x", i, p.Num, p.SPI)
		}
	}
	c, ok := chooseIKE(ours[1:], offered, suite.X25519)
	if got := acceptIKE(c, nil); !ok || got.Proposals[0].Num != 2 {
		t.Errorf("chosen: %t, %+v", ok, got)
	}
}

// A cipher with keys of several sizes is not chosen without a Key Length, nor one with a fixed size with it.
func TestRFC7296_3_3_5_KeyLength(t *testing.T) {
	for name, bits := range map[string]uint16{
		"aes128gcm16": 0, "aes128-sha256": 0, "aes128ccm8": 0, "aes128ctr-sha256": 0,
		"3des-sha1": 192, "chacha20poly1305": 256, "null-sha1": 8,
	} {
		ours := proposals(t, name, suite.ParseESP)
		offered := offerESP(ours, 1)
		if _, ok := chooseESP(ours, offered, 0); !ok {
			t.Errorf("%s as it should be is not chosen", name)
		}
		offered.Proposals[0].Transforms[0].KeyLen = bits
		if _, ok := chooseESP(ours, offered, 0); ok {
			t.Errorf("%s with Key Length %d is chosen", name, bits)
		}
	}
}

// The public value is of a group in the proposals of the same message, and a MODP group's is as long as its prime.
func TestRFC7296_3_4_PublicValue(t *testing.T) {
	for name, length := range map[string]int{
		"modp1536": 192, "modp2048": 256, "modp3072": 384, "modp4096": 512, "ecp256": 64, "ecp384": 96, "ecp521": 132, "x25519": 32,
	} {
		w, mn, _ := newWorld(t, options{ike: "aes128gcm16-prfsha256-" + name})
		mn.tell(spd.Key{Demand: binding, Path: path1})
		ps := w.clear[string(w.flight[0].Data)]
		ke, _ := wire.Find[*wire.KE](ps)
		sa, _ := wire.Find[*wire.SA](ps)
		offered := slices.ContainsFunc(sa.Proposals[0].Transforms, func(x wire.Transform) bool {
			return x.Type == wire.TransformKE && x.ID == ke.Group
		})
		if len(ke.Data) != length || !offered {
			t.Errorf("%s: %d octets of group %d, offered: %t", name, len(ke.Data), ke.Group, offered)
		}
	}
}

// An error of a type that is not known fails a request when it comes in the answer, and means nothing in a request; a status
// of such a type means nothing anywhere.
func TestRFC7296_3_10_1_UnknownNotifications(t *testing.T) {
	const unknownError, unknownStatus = wire.NotifyType(8191), wire.NotifyType(40000)
	w, mn, ha := established(t, options{}, binding)
	mn.forge(wire.ExchangeInformational, 2, false, &wire.Notify{Kind: unknownError}, &wire.Notify{Kind: unknownStatus})
	w.script(`HA --> INFORMATIONAL response 2 [ ]`)
	if len(ha.engine.sas) != 1 {
		t.Error("the IKE_SA has ended")
	}
	for kind, fails := range map[wire.NotifyType]bool{unknownError: true, unknownStatus: false} {
		w, mn, ha := established(t, options{}, binding)
		w.losing("HA --> CREATE_CHILD_SA", -1)
		mn.key(returnRoute)
		var answer []wire.Payload
		for _, ps := range w.clear {
			if n, ok := wire.Find[*wire.Nonce](ps); ok && len(ps) == 4 && slices.Contains(ps, wire.Payload(n)) {
				if sa, _ := wire.Find[*wire.SA](ps); ha.hasIn(espSPI(sa.Proposals[0].SPI)) {
					answer = append([]wire.Payload{&wire.Notify{Kind: kind}}, ps...)
				}
			}
		}
		ha.forge(wire.ExchangeCreateChildSA, 2, true, answer...)
		if failed := len(said[spd.KeyFailed](mn)) == 1; failed != fails {
			t.Errorf("notification %d in an answer: failed: %t", kind, failed)
		}
	}
}

// Who a peer's software is from does not matter.
func TestRFC7296_3_12_VendorID(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	mn.forge(wire.ExchangeInformational, 2, false, &wire.VendorID{Data: []byte("anyone")})
	w.script(`HA --> INFORMATIONAL response 2 [ ]`)
	if strings.Contains(w.log.String(), "INVALID") {
		t.Error("refused")
	}
	w.settled(1)
}
