package suite

import (
	"slices"
	"strings"

	"mipsecd/spd"
)

// Proposal is one proposal of an SA payload for IKE or ESP: alternatives of each kind of algorithm, the preferred ones
// first (RFC 7296 section 3.3). An IKE proposal has no ESN, one for ESP no PRF. Groups without an entry is the same as
// GroupNone alone, and likewise each of AddKE, Integ and spd.IntegNone, ESN and false.
type Proposal struct {
	Encr   []Encryption
	PRF    []PRF
	Integ  []spd.Integ
	Groups []Group
	AddKE  [MaxAddKE][]Group
	ESN    []bool
}

// DefaultIKE is what to propose for an IKE_SA, and what to accept, where nothing is configured.
func DefaultIKE() []Proposal {
	return []Proposal{
		{
			Encr:   []Encryption{{spd.EncrAESGCM16, 128}, {spd.EncrAESGCM16, 256}},
			PRF:    []PRF{PRFHMACSHA256},
			Groups: []Group{X25519, P256, MODP2048},
		},
		{
			Encr:   []Encryption{{spd.EncrAESCBC, 128}, {spd.EncrAESCBC, 256}},
			PRF:    []PRF{PRFHMACSHA256},
			Integ:  []spd.Integ{spd.IntegSHA256_128},
			Groups: []Group{X25519, P256, MODP2048},
		},
	}
}

// DefaultESP is what to propose for a Child SA, and what to accept, where nothing is configured.
func DefaultESP() []Proposal {
	return []Proposal{
		{
			Encr: []Encryption{{spd.EncrAESGCM16, 128}, {spd.EncrAESGCM16, 256}},
			ESN:  []bool{false},
		},
		{
			Encr:  []Encryption{{spd.EncrAESCBC, 128}, {spd.EncrAESCBC, 256}},
			Integ: []spd.Integ{spd.IntegSHA256_128},
			ESN:   []bool{false},
		},
	}
}

// ChooseIKE is the suite that both proposals allow, of each kind the one that p prefers.
func (p Proposal) ChooseIKE(other Proposal) (IKESuite, bool) {
	encr, okEncr := choose(p.Encr, other.Encr)
	prf, okPRF := choose(p.PRF, other.PRF)
	integ, okInteg := choose(orZero(p.Integ), orZero(other.Integ))
	group, okGroup := choose(p.Groups, other.Groups)
	more, okMore := p.chooseAddKE(other, group)
	return IKESuite{encr, prf, integ, group, more}, okEncr && okPRF && okInteg && okGroup && okMore
}

// ChooseESP is the suite that both proposals allow, of each kind the one that p prefers.
func (p Proposal) ChooseESP(other Proposal) (ESPSuite, bool) {
	encr, okEncr := choose(p.Encr, other.Encr)
	integ, okInteg := choose(orZero(p.Integ), orZero(other.Integ))
	group, okGroup := choose(orZero(p.Groups), orZero(other.Groups))
	more, okMore := p.chooseAddKE(other, group)
	esn, okESN := choose(orZero(p.ESN), orZero(other.ESN))
	return ESPSuite{encr, integ, group, more, esn}, okEncr && okInteg && okGroup && okMore && okESN
}

// Restrict leaves the ciphers that can be used with at least one of the integrity algorithms, and the integrity
// algorithms that can be used with at least one of those. Not ok when none is left.
func (p Proposal) Restrict(usable func(spd.Encr, spd.Integ) bool) (Proposal, bool) {
	left := p
	left.Encr, left.Integ = nil, nil
	for _, e := range p.Encr {
		for _, i := range orZero(p.Integ) {
			if !usable(e.ID, i) {
				continue
			}
			add(&left.Encr, e)
			if i != spd.IntegNone {
				add(&left.Integ, i)
			}
		}
	}
	return left, len(left.Encr) > 0
}

// choose is the first of ours that is among theirs.
func choose[T comparable](ours, theirs []T) (T, bool) {
	i := slices.IndexFunc(ours, func(v T) bool { return slices.Contains(theirs, v) })
	if i < 0 {
		var none T
		return none, false
	}
	return ours[i], true
}

// orZero spells out what it means to list no alternative.
func orZero[T any](list []T) []T {
	if len(list) == 0 {
		return make([]T, 1)
	}
	return list
}

// impliedPRF lists the PRFs that go with the integrity algorithms where a proposal for IKE names none.
func impliedPRF(integ []spd.Integ) []PRF {
	var list []PRF
	for _, id := range integ {
		list = append(list, integrities[id].prf)
	}
	return list
}

// String is the proposal as ParseIKE and ParseESP read it, without what they take for granted.
func (p Proposal) String() string {
	var words []string
	for _, e := range p.Encr {
		words = append(words, e.String())
	}
	for _, id := range p.Integ {
		words = append(words, integName(id))
	}
	if !slices.Equal(p.PRF, impliedPRF(p.Integ)) {
		for _, prf := range p.PRF {
			words = append(words, prf.String())
		}
	}
	for _, g := range p.Groups {
		words = append(words, g.String())
	}
	for i, list := range p.AddKE {
		for _, g := range list {
			words = append(words, addKEWord(i, g))
		}
	}
	if slices.Contains(p.ESN, true) {
		for _, esn := range p.ESN {
			words = append(words, esnWord(esn))
		}
	}
	return strings.Join(words, "-")
}

func esnWord(esn bool) string {
	if esn {
		return "esn"
	}
	return "noesn"
}
