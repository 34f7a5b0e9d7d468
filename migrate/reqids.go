package migrate

import (
	"fmt"

	"mipsecd/spd"
)

// avoidReqids gives those home addresses whose policies are mipsecd's and are to have a reqid that somebody else's policy has
// already others, past all that are in use: by reqids alone a kernel finds the SAs of a policy, and a MIGRATE does. It does
// so at the start, before there is any; reqids of manual keys are the configuration's.
func (h *Homes) avoidReqids(policies []spd.Policy) (out []Effect) {
	if h.begun {
		return nil
	}
	h.begun = true
	used := h.reqidsOfOthers(policies)
	taken := func(first uint32) bool {
		for i := range uint32(ReqidsPerHome) {
			if used[first+i] {
				return true
			}
		}
		return false
	}
	var clashing []*Place
	for _, p := range h.order {
		if h.owns(p) && !p.Manual && taken(p.Reqid) {
			clashing = append(clashing, p)
		}
	}
	for _, p := range h.order {
		reserve(used, p.Reqid)
	}
	for _, open := range h.open {
		reserve(used, open.Reqid)
	}
	for _, p := range clashing {
		first := p.Reqid
		for taken(p.Reqid) {
			p.Reqid += ReqidsPerHome
		}
		reserve(used, p.Reqid)
		out = append(out, Report{What: "other reqids", Peer: p.Peer, HomeAddress: p.HomeAddress, Detail: fmt.Sprintf(
			"from %d on, as a policy of somebody else's has one of those from %d on", p.Reqid, first)})
	}
	return out
}

func reserve(used map[uint32]bool, first uint32) {
	for i := range uint32(ReqidsPerHome) {
		used[first+i] = true
	}
}

// reqidsOfOthers are those of policies that are none of ours, and zero, which is none.
func (h *Homes) reqidsOfOthers(policies []spd.Policy) map[uint32]bool {
	ours := map[spd.PolicyKey]bool{}
	for _, p := range h.order {
		for _, policy := range h.protecting(p, p.at()) {
			ours[policy.PolicyKey] = true
		}
	}
	used := map[uint32]bool{0: true}
	for _, policy := range policies {
		for _, t := range policy.Templates {
			if !ours[policy.PolicyKey] {
				used[t.Reqid] = true
			}
		}
	}
	return used
}
