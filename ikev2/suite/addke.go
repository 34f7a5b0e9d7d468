package suite

import (
	"fmt"
	"slices"
)

// MaxAddKE is how many key exchanges may follow the first: the transforms of types ADDKE1 to ADDKE7 (RFC 9370 section
// 2.2.1).
const MaxAddKE = 7

// AddKE are the negotiated key exchanges after the first, that of ADDKE1 at the beginning: GroupNone where there is none.
type AddKE [MaxAddKE]Group

// Steps are those that take place, in their order.
func (a AddKE) Steps() []Group {
	return slices.DeleteFunc(slices.Clone(a[:]), func(g Group) bool { return g == GroupNone })
}

// lists is the proposal of a alone.
func (a AddKE) lists() (p [MaxAddKE][]Group) {
	for i, g := range a {
		if g != GroupNone {
			p[i] = []Group{g}
		}
	}
	return p
}

// HasAddKE reports whether p names an additional key exchange.
func (p Proposal) HasAddKE() bool {
	return slices.ContainsFunc(p.AddKE[:], func(list []Group) bool { return len(list) > 0 })
}

// WithoutAddKE is p without additional key exchanges; not ok if one of them is not optional.
func (p Proposal) WithoutAddKE() (Proposal, bool) {
	for _, list := range p.AddKE {
		if !slices.Contains(orZero(list), GroupNone) {
			return p, false
		}
	}
	p.AddKE = [MaxAddKE][]Group{}
	return p, true
}

// chooseAddKE picks, of each additional key exchange, what both proposals allow and p prefers, so that no method comes
// twice (RFC 9370 section 2.2.1), not even as the first key exchange. Without a first one there are none.
func (p Proposal) chooseAddKE(other Proposal, first Group) (a AddKE, ok bool) {
	var common [MaxAddKE][]Group
	for i := range common {
		theirs := orZero(other.AddKE[i])
		for _, g := range orZero(p.AddKE[i]) {
			if slices.Contains(theirs, g) && (g == GroupNone || g != first && first != GroupNone) {
				common[i] = append(common[i], g)
			}
		}
		if len(common[i]) == 0 {
			return a, false
		}
	}
	return a, a.distinct(common[:], 0)
}

// distinct fills a from i on with one of each list.
func (a *AddKE) distinct(lists [][]Group, i int) bool {
	if i == len(lists) {
		return true
	}
	for _, g := range lists[i] {
		if g != GroupNone && slices.Contains(a[:i], g) {
			continue
		}
		a[i] = g
		if a.distinct(lists, i+1) {
			return true
		}
	}
	return false
}

// checkAddKE holds that additional key exchanges follow one that takes place.
func (p Proposal) checkAddKE() error {
	for i, list := range p.AddKE {
		for _, g := range list {
			if g != GroupNone && !slices.ContainsFunc(p.Groups, func(g Group) bool { return g != GroupNone }) {
				return fmt.Errorf("%s follows no key exchange: add a group such as %s", addKEWord(i, g), X25519)
			}
		}
	}
	return nil
}

// addKEWord is the word of the proposal language for the additional key exchange i, counted from zero.
func addKEWord(i int, g Group) string {
	if g == GroupNone {
		return fmt.Sprintf("ke%d_none", i+1)
	}
	return fmt.Sprintf("ke%d_%s", i+1, g)
}
