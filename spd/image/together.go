package image

import (
	"cmp"
	"slices"

	"mipsecd/spd"
)

// together lists the outbound policies that share their SAs with this one, by their reqid, the one itself first: one pair
// of SAs has the traffic selectors of them all. They differ in one of the addresses only, as each of TSi goes with each
// of TSr.
func (m *Image) together(out spd.Selector, t spd.Template) []spd.Selector {
	sharing := func(alike func(spd.Selector) bool) []spd.Selector {
		list := []spd.Selector{out}
		for k, p := range m.policies.byReqid[t.Reqid] {
			if k.Selector != out && alike(k.Selector) && p.Templates[0] == t {
				list = append(list, k.Selector)
			}
		}
		slices.SortFunc(list[1:], func(a, b spd.Selector) int { return cmp.Or(a.Src.Compare(b.Src), a.Dst.Compare(b.Dst)) })
		return list
	}
	byDst := sharing(func(s spd.Selector) bool { s.Dst = out.Dst; return s == out })
	bySrc := sharing(func(s spd.Selector) bool { s.Src = out.Src; return s == out })
	if len(bySrc) > len(byDst) {
		return bySrc
	}
	return byDst
}
