package ikev2

import (
	"encoding/binary"
	"fmt"
	"slices"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// offerIKE writes proposals for an IKE_SA. The SPI is only there when an IKE_SA is rekeyed (RFC 7296 section 3.3.1).
func offerIKE(proposals []suite.Proposal, spi []byte) *wire.SA {
	return offer(proposals, wire.ProtocolIKE, spi)
}

// offerESP writes proposals for a Child SA.
func offerESP(proposals []suite.Proposal, spi uint32) *wire.SA {
	return offer(proposals, wire.ProtocolESP, binary.BigEndian.AppendUint32(nil, spi))
}

func offer(proposals []suite.Proposal, protocol wire.ProtocolID, spi []byte) *wire.SA {
	out := &wire.SA{}
	for i, p := range proposals {
		w := wire.Proposal{Num: uint8(i + 1), Protocol: protocol, SPI: spi}
		add := func(t wire.TransformType, id uint16, bits uint16) {
			w.Transforms = append(w.Transforms, wire.Transform{Type: t, ID: id, KeyLen: bits})
		}
		for _, v := range p.Encr {
			add(wire.TransformENCR, uint16(v.ID), v.KeyBits)
		}
		for _, v := range p.PRF {
			add(wire.TransformPRF, uint16(v), 0)
		}
		for _, v := range p.Integ {
			add(wire.TransformINTEG, uint16(v), 0)
		}
		for _, v := range p.Groups {
			add(wire.TransformKE, uint16(v), 0)
		}
		for i, list := range p.AddKE {
			for _, v := range list {
				add(wire.TransformADDKE1+wire.TransformType(i), uint16(v), 0)
			}
		}
		if protocol != wire.ProtocolIKE {
			for _, v := range p.ESN {
				add(wire.TransformESN, esnID(v), 0)
			}
		}
		out.Proposals = append(out.Proposals, w)
	}
	return out
}

func esnID(esn bool) uint16 {
	if esn {
		return 1
	}
	return 0
}

// understood turns a peer's proposal into ours; transforms that we do not know are passed over. Not ok when the proposal
// as a whole cannot be chosen: it has a type of transform that we do not know (RFC 7296 section 3.3.6).
func understood(w wire.Proposal) (p suite.Proposal, ok bool) {
	for _, t := range w.Transforms {
		if t.Type > wire.TransformADDKE7 {
			return p, false
		}
		if t.Unknown {
			continue
		}
		switch t.Type {
		case wire.TransformENCR:
			p.Encr = append(p.Encr, suite.Encryption{ID: spd.Encr(t.ID), KeyBits: t.KeyLen})
		case wire.TransformPRF:
			p.PRF = append(p.PRF, suite.PRF(t.ID))
		case wire.TransformINTEG:
			if spd.Integ(t.ID) != spd.IntegNone {
				p.Integ = append(p.Integ, spd.Integ(t.ID))
			}
		case wire.TransformKE:
			p.Groups = append(p.Groups, suite.Group(t.ID))
		case wire.TransformESN:
			p.ESN = append(p.ESN, t.ID == 1)
		default:
			list := &p.AddKE[t.Type-wire.TransformADDKE1]
			*list = append(*list, suite.Group(t.ID))
		}
	}
	return p, true
}

// choice is the proposal that a responder picked.
type choice[S any] struct {
	suite   S
	num     uint8
	spi     []byte
	offered suite.Proposal // what it was picked of
}

// chooseIKE picks the first of our proposals that the peer offers too. Among the groups both allow, that of the peer's
// KE payload comes first: it saves an exchange (RFC 7296 section 1.2).
func chooseIKE(ours []suite.Proposal, offered *wire.SA, ke suite.Group) (choice[suite.IKESuite], bool) {
	return choose(ours, offered, wire.ProtocolIKE, func(p, o suite.Proposal) (suite.IKESuite, bool) {
		s, ok := p.ChooseIKE(o)
		if ok && slices.Contains(p.Groups, ke) && slices.Contains(o.Groups, ke) {
			s.Group = ke
		}
		return s, ok
	})
}

// chooseESP picks the first of our ESP proposals that the peer offers too.
func chooseESP(ours []suite.Proposal, offered *wire.SA, ke suite.Group) (choice[suite.ESPSuite], bool) {
	return choose(ours, offered, wire.ProtocolESP, func(p, o suite.Proposal) (suite.ESPSuite, bool) {
		s, ok := p.ChooseESP(o)
		if ok && ke != 0 && slices.Contains(p.Groups, ke) && slices.Contains(o.Groups, ke) {
			s.Group = ke
		}
		return s, ok
	})
}

func choose[S any](ours []suite.Proposal, offered *wire.SA, protocol wire.ProtocolID,
	match func(p, o suite.Proposal) (S, bool)) (choice[S], bool) {
	for _, p := range ours {
		for _, w := range offered.Proposals {
			if w.Protocol != protocol {
				continue
			}
			o, ok := understood(w)
			if !ok {
				continue
			}
			if s, ok := match(p, o); ok {
				return choice[S]{suite: s, num: w.Num, spi: w.SPI, offered: o}, true
			}
		}
	}
	return choice[S]{}, false
}

// acceptIKE and acceptESP write the one proposal that was chosen.
func acceptIKE(c choice[suite.IKESuite], spi []byte) *wire.SA {
	s := c.suite
	p := suite.Proposal{
		Encr: []suite.Encryption{s.Encr}, PRF: []suite.PRF{s.PRF}, Groups: []suite.Group{s.Group}, AddKE: c.addKE(s.AddKE),
	}
	if s.Integ != spd.IntegNone {
		p.Integ = []spd.Integ{s.Integ}
	}
	return numbered(offerIKE([]suite.Proposal{p}, spi), c.num)
}

func acceptESP(c choice[suite.ESPSuite], spi uint32) *wire.SA {
	s := c.suite
	p := suite.Proposal{Encr: []suite.Encryption{s.Encr}, AddKE: c.addKE(s.AddKE), ESN: []bool{s.ESN}}
	if s.Integ != spd.IntegNone {
		p.Integ = []spd.Integ{s.Integ}
	}
	if s.Group != 0 {
		p.Groups = []suite.Group{s.Group}
	}
	return numbered(offerESP([]suite.Proposal{p}, spi), c.num)
}

// addKE is one of each kind of additional key exchange that was offered: NONE, where there is to be none, is said too.
func (c choice[S]) addKE(chosen suite.AddKE) (out [suite.MaxAddKE][]suite.Group) {
	for i, g := range chosen {
		if g != suite.GroupNone || len(c.offered.AddKE[i]) > 0 {
			out[i] = []suite.Group{g}
		}
	}
	return out
}

func numbered(sa *wire.SA, num uint8) *wire.SA {
	sa.Proposals[0].Num = num
	return sa
}

// answeredIKE checks that an answer is one of our proposals (RFC 7296 section 2.7: exactly one, with one transform of
// each type).
func answeredIKE(ours []suite.Proposal, answer *wire.SA) (choice[suite.IKESuite], bool) {
	if !single(answer) {
		return choice[suite.IKESuite]{}, false
	}
	return chooseIKE(ours, answer, 0)
}

func answeredESP(ours []suite.Proposal, answer *wire.SA) (choice[suite.ESPSuite], bool) {
	if !single(answer) {
		return choice[suite.ESPSuite]{}, false
	}
	return chooseESP(ours, answer, 0)
}

func single(answer *wire.SA) bool {
	if len(answer.Proposals) != 1 {
		return false
	}
	seen := map[wire.TransformType]bool{}
	for _, t := range answer.Proposals[0].Transforms {
		if seen[t.Type] {
			return false
		}
		seen[t.Type] = true
	}
	return true
}

// withoutGroups is proposals without any key exchange, as IKE_AUTH has them (RFC 7296 section 1.2).
func withoutGroups(proposals []suite.Proposal) []suite.Proposal {
	out := slices.Clone(proposals)
	for i := range out {
		out[i].Groups, out[i].AddKE = nil, [suite.MaxAddKE][]suite.Group{}
	}
	return out
}

// firstGroup is the first key exchange group that is named, or zero if none is.
func firstGroup(proposals []suite.Proposal) suite.Group {
	for _, p := range proposals {
		for _, g := range p.Groups {
			if g != suite.GroupNone {
				return g
			}
		}
	}
	return suite.GroupNone
}

// otherGroup is the group that an INVALID_KE_PAYLOAD asks for, if it is a reasonable one: not the one that we have tried,
// but one that we have offered.
func otherGroup(ps []wire.Payload, proposals []suite.Proposal, tried suite.Group) (suite.Group, bool) {
	n := wire.FindNotify(ps, wire.NotifyInvalidKEPayload)
	if n == nil || len(n.Data) != 2 {
		return 0, false
	}
	g := suite.Group(binary.BigEndian.Uint16(n.Data))
	offered := slices.ContainsFunc(proposals, func(p suite.Proposal) bool { return slices.Contains(p.Groups, g) })
	return g, offered && g != tried && g != suite.GroupNone
}

// invalidKE asks for a KE payload of another group (RFC 7296 section 1.3).
type invalidKE struct{ want suite.Group }

func (i *invalidKE) Error() string { return fmt.Sprintf("INVALID_KE_PAYLOAD: %s is wanted", i.want) }

func (i *invalidKE) payload() *wire.Notify {
	return &wire.Notify{Kind: wire.NotifyInvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(i.want))}
}

// espSPI is a proposal's SPI of a Child SA; zero if it is not one.
func espSPI(spi []byte) uint32 {
	if len(spi) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(spi)
}
