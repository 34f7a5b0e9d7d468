package suite

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"mipsecd/internal/nearest"
	"mipsecd/spd"
)

// ParseIKE reads a proposal for an IKE_SA: words joined by hyphens, several of a kind being alternatives in order of
// preference. "aes256-aes128-sha256-modp2048-ecp256" has two ciphers and two groups. Where no PRF is named the
// integrity algorithms name them: sha256 implies prfsha256. "ke1_mlkem768" is an additional key exchange, the first of up
// to seven; "ke1_none" beside it makes it optional. An error says which word is wrong or which is missing.
func ParseIKE(s string) (Proposal, error) {
	p, err := parse(s)
	if err == nil {
		if len(p.PRF) == 0 {
			p.PRF = impliedPRF(p.Integ)
		}
		err = p.checkIKE()
	}
	if err != nil {
		return Proposal{}, fmt.Errorf("IKE proposal %q: %w", s, err)
	}
	return p, nil
}

// ParseESP reads a proposal for a Child SA, such as "aes128gcm16-x25519". A group asks for perfect forward secrecy,
// modpnone beside it makes that optional. Without esn or noesn, sequence numbers have 32 bits.
func ParseESP(s string) (Proposal, error) {
	p, err := parse(s)
	if err == nil {
		if len(p.ESN) == 0 {
			p.ESN = []bool{false}
		}
		err = p.checkESP()
	}
	if err != nil {
		return Proposal{}, fmt.Errorf("ESP proposal %q: %w", s, err)
	}
	return p, nil
}

func parse(s string) (Proposal, error) {
	var p Proposal
	for word := range strings.SplitSeq(s, "-") {
		add, ok := words[word]
		if !ok {
			return Proposal{}, fmt.Errorf("%q is unknown, %q is the nearest word", word, nearest.Of(word, candidates(word)))
		}
		if !add(&p) {
			return Proposal{}, fmt.Errorf("%q is there twice", word)
		}
	}
	return p, nil
}

// candidates are what a wrong word may have been meant to be: those for additional key exchanges if it looks like one.
func candidates(word string) []string {
	additional := strings.HasPrefix(word, "ke")
	return slices.DeleteFunc(slices.Sorted(maps.Keys(words)), func(w string) bool {
		return strings.HasPrefix(w, "ke") != additional
	})
}

// words is the vocabulary. Each word adds its algorithm to a proposal and reports whether it was not there yet.
var words = func() map[string]func(*Proposal) bool {
	list := map[string]func(*Proposal) bool{}
	for id, alg := range encryptions {
		for _, bits := range alg.keyBits() {
			e := Encryption{id, bits}
			list[e.String()] = func(p *Proposal) bool { return add(&p.Encr, e) }
		}
	}
	for id, alg := range integrities {
		list[alg.name] = func(p *Proposal) bool { return add(&p.Integ, id) }
	}
	for prf := range prfs {
		list[prf.String()] = func(p *Proposal) bool { return add(&p.PRF, prf) }
	}
	for g := range groups {
		list[g.String()] = func(p *Proposal) bool { return add(&p.Groups, g) }
	}
	list[GroupNone.String()] = func(p *Proposal) bool { return add(&p.Groups, GroupNone) }
	for i := range MaxAddKE {
		for _, g := range append(slices.Collect(maps.Keys(groups)), GroupNone) {
			list[addKEWord(i, g)] = func(p *Proposal) bool { return add(&p.AddKE[i], g) }
		}
	}
	for _, esn := range []bool{true, false} {
		list[esnWord(esn)] = func(p *Proposal) bool { return add(&p.ESN, esn) }
	}
	// Other names that strongSwan has for them.
	for alias, word := range map[string]string{
		"aes": "aes128", "sha": "sha1", "sha2_256": "sha256", "sha2_384": "sha384", "sha2_512": "sha512",
		"curve25519": "x25519",
	} {
		list[alias] = list[word]
	}
	return list
}()

func add[T comparable](list *[]T, v T) bool {
	if slices.Contains(*list, v) {
		return false
	}
	*list = append(*list, v)
	return true
}

func (p Proposal) checkIKE() error {
	if err := p.checkProtection(); err != nil {
		return err
	}
	switch {
	case slices.Contains(p.Encr, Encryption{ID: spd.EncrNull}):
		return fmt.Errorf("null is for ESP only, an IKE_SA is always encrypted")
	case len(p.PRF) == 0:
		return fmt.Errorf("no PRF, %s implies none: add one such as %s", p.Encr[0], PRFHMACSHA256)
	case len(p.Groups) == 0:
		return fmt.Errorf("no group: add one such as %s", X25519)
	case slices.Contains(p.Groups, GroupNone):
		return fmt.Errorf("%s is for ESP only, an IKE_SA always has a key exchange", GroupNone)
	case len(p.ESN) != 0:
		return fmt.Errorf("%s is for ESP only", esnWord(p.ESN[0]))
	}
	return p.checkAddKE()
}

func (p Proposal) checkESP() error {
	if err := p.checkProtection(); err != nil {
		return err
	}
	if len(p.PRF) != 0 {
		return fmt.Errorf("%s is for IKE only, a Child SA takes its PRF from the IKE_SA", p.PRF[0])
	}
	return p.checkAddKE()
}

// checkProtection holds that encryption and integrity go together (RFC 7296 section 3.3).
func (p Proposal) checkProtection() error {
	if len(p.Encr) == 0 {
		return fmt.Errorf("no encryption: add one such as %s", Encryption{spd.EncrAESGCM16, 128})
	}
	first := p.Encr[0]
	for _, e := range p.Encr {
		if IsAEAD(e.ID) != IsAEAD(first.ID) {
			return fmt.Errorf("%s and %s cannot be in one proposal, as one protects integrity and the other does not: "+
				"write two", first, e)
		}
	}
	switch {
	case IsAEAD(first.ID) && len(p.Integ) != 0:
		return fmt.Errorf("%s protects integrity itself: leave out %s, or write %s if the PRF is meant", first,
			integName(p.Integ[0]), integrities[p.Integ[0]].prf)
	case !IsAEAD(first.ID) && len(p.Integ) == 0:
		return fmt.Errorf("no integrity algorithm, which %s needs: add one such as %s", first,
			integName(spd.IntegSHA256_128))
	}
	return nil
}
