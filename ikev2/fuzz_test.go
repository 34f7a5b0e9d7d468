package ikev2

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/vnet"
	"mipsecd/spd"
)

// FuzzEngine lets octets choose what an engine is told, in whatever state it is: commands, datagrams of a peer who means
// well, of one who has the keys and does not, and of strangers. It must bear everything, and forget everything when its
// peer is gone.
func FuzzEngine(f *testing.F) {
	dice := rand.New(rand.NewPCG(1, 1))
	for i := range 20 {
		script := make([]byte, 200+i%4)
		for i := range script {
			script[i] = byte(dice.Uint32())
		}
		f.Add(script)
	}
	f.Add([]byte{0, 0, 1, 1, 1, 1, 12, 37, 0, 3, 42})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 400 {
			return
		}
		u := &fuzzing{script: script}
		o := options{esp: "aes128gcm16-x25519-modpnone", change: func(mn, ha *host, mnCfg, haCfg *Config) {
			watchful(mn, ha, mnCfg, haCfg)
			if len(script)%2 == 0 {
				tiny(mn, ha, mnCfg, haCfg)
			}
			if len(script)%4 == 1 {
				mnCfg.NAT, haCfg.NAT = NATAuto, NATAuto
				mn.nat = vnet.NewNAT(coa2)
				for i := range ha.policies {
					if ha.policies[i].Mode == spd.Tunnel {
						ha.policies[i].Remote = coa2
					}
				}
			}
		}}
		if len(script)%5 == 0 {
			others := o.change
			o.change = func(mn, ha *host, mnCfg, haCfg *Config) {
				others(mn, ha, mnCfg, haCfg)
				mobile(mn, ha, mnCfg, haCfg)
				mnCfg.Addresses, haCfg.Addresses = []netip.Addr{coa1, coa2}, []netip.Addr{haa, coa3}
			}
		}
		if len(script)%3 == 0 {
			o.ike, o.esp = hybridIKE, o.esp+"-ke1_mlkem768-ke1_none"
		}
		u.world, u.mn, u.ha = newWorld(t, o)
		for len(u.script) > 0 {
			u.step()
		}
		u.lose = func(*packet) bool { return true }
		u.mn.hold, u.ha.hold = false, false
		u.mn.work()
		u.ha.work()
		u.pass(10 * time.Minute)
		u.settled(0)
	})
}

type fuzzing struct {
	*world
	script []byte
	mn, ha *host
}

// next is the next octet of the script; zero when it is over.
func (u *fuzzing) next() byte {
	if len(u.script) == 0 {
		return 0
	}
	b := u.script[0]
	u.script = u.script[1:]
	return b
}

func (u *fuzzing) pick(n int) int { return int(u.next()) % n }

func (u *fuzzing) step() {
	h := u.hosts[u.pick(2)]
	peer := h.peer.Name
	switch u.pick(16) {
	case 0:
		h.tell(spd.Key{Demand: h.policies[u.pick(3)], Path: map[string]spd.Path{"ha": path1, "mn": reversed(path1)}[peer]})
	case 1, 2:
		if len(u.flight) > 0 {
			u.deliver(u.pick(len(u.flight)))
		}
	case 3:
		u.run()
	case 4:
		h.hold = !h.hold
	case 5:
		h.work()
	case 6:
		u.tick(u.now.Add(time.Minute))
	case 7:
		h.tell(spd.Expired{Peer: peer, ID: u.child(h), Hard: u.pick(2) == 0})
	case 8:
		h.rekeyIKE()
	case 9:
		h.tell([]spd.Command{
			spd.Terminate{Peer: peer}, spd.Probe{Peer: peer}, spd.Superseded{Peer: peer, Before: u.now.Add(1)}, spd.Lost{Peer: peer, ID: u.child(h)},
			spd.Grant{Request: uint64(u.next())},
			spd.Rebound{Peer: peer, ID: u.child(h), To: netip.AddrPortFrom(coa2, NATPort+uint16(u.next()))},
		}[u.pick(6)])
	case 10:
		if u.mn.nat != nil && u.pick(2) == 0 {
			u.mn.nat.Rebind(coa2)
			break
		}
		h.move(path1, path2, u.pick(2) == 0, u.pick(2) == 0)
	case 11:
		h.step(InstallFailed{Peer: peer, ID: u.child(h), Err: errors.New("no")})
	case 12, 13:
		u.forged(h)
	case 14:
		u.stray(h)
	case 15:
		if len(u.flight) > 0 { // changed on its way
			p := u.flight[u.pick(len(u.flight))]
			p.Data = append([]byte(nil), p.Data...)
			p.Data[u.pick(len(p.Data))] ^= u.next()
		}
	}
}

// child is one of the inbound SAs, or none.
func (u *fuzzing) child(h *host) spd.SAID {
	return h.randomChild(rand.New(rand.NewPCG(uint64(u.next()), 0)))
}

// forged has one side say anything to the other, protected by the keys of any of their IKE_SAs.
func (u *fuzzing) forged(h *host) {
	status := h.engine.Status()
	if len(status) == 0 {
		return
	}
	s := status[u.pick(len(status))]
	own := s.SPIr
	if s.Initiator {
		own = s.SPIi
	}
	sa := h.engine.sas[own]
	if sa.keys.out == nil {
		return
	}
	ids := []uint32{sa.nextSend, sa.nextReceive, sa.nextReceive - 1, uint32(u.next())}
	exchange := u.exchange()
	id, response := ids[u.pick(4)], u.pick(2) == 0
	var ps []wire.Payload
	for range u.pick(8) {
		ps = append(ps, u.payload(h, sa))
	}
	message := h.engine.sealed(sa, Datagram{}, exchange, id, response, ps)
	h.engine.effects = nil
	for _, data := range message {
		u.peerOf(h).step(Datagram{Local: sa.remote, Remote: sa.local, Data: data})
	}
}

func (u *fuzzing) exchange() wire.ExchangeType {
	return []wire.ExchangeType{
		wire.ExchangeIKESAInit, wire.ExchangeIKEAuth, wire.ExchangeCreateChildSA, wire.ExchangeInformational,
		wire.ExchangeSessionResume, wire.ExchangeIKEIntermediate, wire.ExchangeFollowupKE,
	}[u.pick(7)]
}

// stray is a datagram that nothing protects, with the SPIs of an IKE_SA or others.
func (u *fuzzing) stray(h *host) {
	head := wire.Header{
		SPIi: uint64(u.next()), SPIr: uint64(u.next()), Version: u.next()&0x3f | 0x20,
		Exchange: u.exchange(), Initiator: u.pick(2) == 0, Response: u.pick(2) == 0,
		MessageID: uint32(u.pick(3)),
	}
	if status := h.engine.Status(); len(status) > 0 {
		s := status[u.pick(len(status))]
		head.SPIi = s.SPIi
		if u.pick(2) == 0 {
			head.SPIr = s.SPIr
		}
	}
	m := wire.Message{Header: head}
	for range u.pick(8) {
		m.Payloads = append(m.Payloads, u.payload(h, nil))
	}
	from, to := netip.AddrPortFrom(coa1, Port), netip.AddrPortFrom(haa, Port)
	if h == u.mn {
		from, to = to, from
	}
	h.step(Datagram{Local: to, Remote: from, Data: m.Marshal()})
}

// link is that of the key exchanges which the other side of sa waits for.
func (u *fuzzing) link(sa *ikeSA) []byte {
	for _, h := range u.hosts {
		if other := h.engine.sas[sa.other]; other != nil && other.followUp != nil {
			return other.followUp.link
		}
	}
	return nil
}

// payload is one that could be in a message, and often should not be.
func (u *fuzzing) payload(h *host, sa *ikeSA) wire.Payload {
	data := make([]byte, u.next())
	fill := u.next()
	for i := range data {
		data[i] = byte(i) ^ fill
	}
	group := suite.Group(u.next()%40 + 1)
	switch u.pick(15) {
	case 0:
		return offerIKE(h.peer.IKE, [][]byte{nil, data[:min(8, len(data))], spiBytes(uint64(u.next()))}[u.pick(3)])
	case 1:
		return offerESP(h.peer.ESP, uint32(u.next())<<u.pick(24))
	case 2:
		return &wire.KE{Group: uint16(group), Data: data}
	case 3:
		group = []suite.Group{suite.X25519, suite.MLKEM768}[u.pick(2)]
		key, err := suite.GenerateKE(group, rand.NewChaCha8([32]byte{u.next()}))
		u.check(err)
		return &wire.KE{Group: uint16(group), Data: key.Public()}
	case 4:
		return &wire.Nonce{Data: append(make([]byte, 16), data...)[:min(256, 16+len(data))]}
	case 5:
		return &wire.Notify{Kind: wire.NotifyType(u.next()), Data: data}
	case 6:
		kinds := []wire.NotifyType{
			wire.NotifyRekeySA, wire.NotifyUseTransportMode, wire.NotifyCookie, wire.NotifyInitialContact,
			wire.NotifyTemporaryFailure, wire.NotifyChildSANotFound, wire.NotifyInvalidKEPayload,
			wire.NotifyAuthenticationFailed, wire.NotifyTSUnacceptable, wire.NotifyAdditionalKeyExchange,
			wire.NotifyStateNotFound, wire.NotifyIntermediateExchangeSupported,
			wire.NotifyMOBIKESupported, wire.NotifyAdditionalIP4Address, wire.NotifyAdditionalIP6Address,
			wire.NotifyNoAdditionalAddresses, wire.NotifyUpdateSAAddresses, wire.NotifyCookie2, wire.NotifyNoNATsAllowed,
			wire.NotifyUnacceptableAddresses, wire.NotifyUnexpectedNATDetected,
		}
		n := &wire.Notify{Kind: kinds[u.pick(len(kinds))], Data: data}
		if sa != nil && n.Kind == wire.NotifyAdditionalKeyExchange {
			n.Data = u.link(sa)
		}
		if sa != nil && len(sa.children) > 0 {
			n.Protocol, n.SPI = wire.ProtocolESP, []byte{0, 0, 0, u.next()}
			copy(n.SPI, spiBytes(uint64(sa.children[0].in))[4:])
		}
		return n
	case 7:
		d := &wire.Delete{Protocol: wire.ProtocolESP, SPIs: []uint32{uint32(u.next())}}
		if sa != nil {
			for _, c := range sa.children[:min(len(sa.children), u.pick(3))] {
				d.SPIs = append(d.SPIs, c.in)
			}
		}
		return d
	case 8:
		return &wire.Delete{Protocol: wire.ProtocolIKE}
	case 9, 10:
		d := h.policies[u.pick(3)]
		initiator := u.pick(2) == 0
		return &wire.TS{Initiator: initiator, Selectors: map[bool][]spd.TrafficSelector{
			true: d.Traffic.Local, false: d.Traffic.Remote,
		}[initiator == (u.pick(4) != 0)]}
	case 11:
		return h.peer.LocalID.payload(u.pick(2) == 0)
	case 12:
		return &wire.Auth{Method: wire.AuthSharedKey, Data: data}
	case 13:
		return &wire.CP{Kind: wire.CPKind(u.pick(5)), Attributes: []wire.CPAttribute{
			{Type: wire.CPAttributeType(u.pick(20))}, wire.PrefixAttribute(wire.InternalIP6Address, given.Addresses[0]),
		}}
	}
	return &wire.Unknown{Kind: wire.PayloadType(u.next()), Critical: u.pick(2) == 0, Data: data}
}
