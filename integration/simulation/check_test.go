package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"mipsecd/ikev2"
	"mipsecd/migrate"
	"mipsecd/spd"
)

// How long something may be wrong.
const (
	// settling: what one side does by itself, when its parts have told each other.
	settling = 3 * time.Second
	// healing: what takes both sides: until one has given up asking (32 s), the other has found out by a check of liveness
	// (60 s) and given up, too, and all that was made before is replaced.
	healing = 130 * time.Second
)

// check finds out what is wrong with the keys of a mobile node, and ends the test if that lasts too long.
func (n *mobileNode) check() {
	w := n.host.w
	w.t.Helper()
	was := n.trouble
	n.trouble = map[string]time.Time{}
	complain := func(tolerance time.Duration, format string, args ...any) {
		w.t.Helper()
		what := fmt.Sprintf(format, args...)
		since, known := was[what]
		if !known {
			since = w.now
			w.at(since.Add(tolerance+1), func() { w.touched[n] = true })
		}
		if n.trouble[what] = since; w.now.Sub(since) > tolerance {
			w.fail(n.host, "", "for %s: %s", w.now.Sub(since), what)
		}
	}
	r := w.ha.bindings[n.home.HomeAddress]
	mine := n.host.account(complain, n, &n.binding)
	theirs := w.ha.account(complain, n, &r.binding)
	opposite(complain, "the mobile node", mine, "the home agent", theirs)
	opposite(complain, "the home agent", theirs, "the mobile node", mine)
}

type complainer func(tolerance time.Duration, format string, args ...any)

// account compares, on one host, kernel, engines and mobility daemon about a mobile node. It returns the SAs.
func (h *host) account(complain complainer, n *mobileNode, b *binding) (sas []spd.SA) {
	for _, want := range b.policies() {
		got, ok := h.backend.Policy(want.PolicyKey)
		if !ok || got.Action != want.Action || !slices.Equal(got.Templates, want.Templates) {
			complain(settling, "%s has the policy %s, want %s", h.name, got, want)
		}
	}
	for _, a := range n.places {
		sas = append(sas, h.backend.SAsBetween(a, homeAgentAddr)...)
	}
	peer := n.name
	if h.node != nil {
		peer = homeAgentName
	}
	inKernel, pairs := map[spd.SAID]bool{}, map[uint32]int{}
	for _, sa := range sas {
		inKernel[sa.ID()] = true
		tolerance := settling
		if sa.Mode == spd.Tunnel { // one that a kernel has not moved with its policy is found out and replaced
			tolerance = healing
		}
		if e := h.books.sas[sa.ID()]; e == nil || e.demand.Peer != peer {
			complain(tolerance, "%s has %s, which is nobody's or another's", h.name, sa)
		}
		if pairs[sa.Reqid]++; pairs[sa.Reqid] > 2 {
			complain(healing, "%s has %d SAs like %s", h.name, pairs[sa.Reqid], sa)
		}
		if sa.Mode == spd.Tunnel && sa.Endpoints.Src != b.careOf && sa.Endpoints.Dst != b.careOf {
			complain(healing, "%s has %s, while the mobile node is at %s", h.name, sa, b.careOf)
		}
	}
	for e := range h.books.byPeer[peer] {
		for _, id := range []spd.SAID{e.in, e.out} {
			if !inKernel[id] {
				complain(healing, "%s lacks %s for %s", h.name, id, e.demand)
			}
		}
	}
	return sas
}

const homeAgentName = "ha.example.org"

// opposite holds that each SA of one side is the other's, too.
func opposite(complain complainer, a string, sas []spd.SA, b string, others []spd.SA) {
	for _, sa := range sas {
		if !slices.ContainsFunc(others, func(o spd.SA) bool { return o.SPI == sa.SPI && o.Dir != sa.Dir && o.Mode == sa.Mode }) {
			complain(healing, "%s has %08x (%s, %s), which %s has not", a, sa.SPI, sa.Mode, sa.Dir, b)
		}
	}
}

// agrees is the check once nothing is under way: both sides have the same IKE_SAs, one or two that were begun at once, over
// the path between the care-of address and the home agent, the same Child SAs, and in their kernels exactly the SAs of these.
func (w *world) agrees() {
	w.t.Helper()
	w.rest()
	theirs := map[string][]ikev2.SAStatus{}
	for _, s := range w.ha.status() {
		theirs[s.Peer] = append(theirs[s.Peer], s)
	}
	total := 0
	for _, n := range w.nodes {
		r := w.ha.bindings[n.home.HomeAddress]
		if r.careOf != n.careOf {
			w.fail(n.host, "", "the home agent has it at %s, it is at %s", r.careOf, n.careOf)
		}
		if len(n.trouble) > 0 {
			w.fail(n.host, "", "%v", n.trouble)
		}
		mine, children := n.status(), 0
		if !slices.EqualFunc(mine, theirs[n.name], func(m, h ikev2.SAStatus) bool {
			children += len(m.Children)
			return m.Established && h.Established && m.SPIi == h.SPIi && m.SPIr == h.SPIr && m.Local == h.Remote &&
				m.Remote == h.Local && m.Local.Addr() == n.careOf && sameChildren(m.Children, h.Children)
		}) || len(mine) == 0 {
			w.fail(n.host, "", "the IKE_SAs are here %+v, at the home agent %+v", mine, theirs[n.name])
		}
		n.holds(2 * children)
		total += 2 * children
	}
	w.ha.holds(total)
}

// rest waits for what happens to be under way: SAs are rekeyed at all times.
func (w *world) rest() {
	for range 30 {
		if !slices.ContainsFunc(w.nodes, func(n *mobileNode) bool { return len(n.trouble) > 0 }) {
			return
		}
		w.pass(time.Second)
	}
}

// sameChildren reports whether the pairs of one side are those of the other.
func sameChildren(mine, theirs []ikev2.ChildStatus) bool {
	return len(mine) == len(theirs) && !slices.ContainsFunc(mine, func(m ikev2.ChildStatus) bool {
		return !slices.ContainsFunc(theirs, func(h ikev2.ChildStatus) bool {
			return h.In == m.Out && h.Out == m.In && h.Demand.Name == m.Demand.Name
		})
	})
}

// holds checks how many SAs a kernel has.
func (h *host) holds(want int) {
	h.w.t.Helper()
	sas, err := h.backend.SAs()
	if err != nil || len(sas) != want {
		h.w.fail(h, "", "%d SAs in the kernel, want %d: %v; %v", len(sas), want, sas, err)
	}
}

func (h *host) status() (all []ikev2.SAStatus) {
	for _, e := range h.engines {
		all = append(all, e.Status()...)
	}
	slices.SortFunc(all, func(a, b ikev2.SAStatus) int { return cmp.Or(cmp.Compare(a.SPIi, b.SPIi), cmp.Compare(a.SPIr, b.SPIr)) })
	return all
}

// speak checks that packets of each kind that is protected are answered.
func (w *world) speak() {
	w.t.Helper()
	began := w.now
	for range 3 { // the kernel may still wait in vain for what it has called for, and then calls again
		for _, n := range w.nodes {
			n.talk()
			n.register()
		}
		w.pass(time.Minute)
	}
	for _, n := range w.nodes {
		for _, what := range n.home.What {
			if what == migrate.ProtectHomeTest && n.careOf == n.home.HomeAddress {
				continue
			}
			if !n.answered[string(what)].After(began) {
				w.fail(n.host, "", "no answer for %s", what)
			}
		}
	}
}

// end ends all key exchanges, and checks that nothing is left of them.
func (w *world) end() {
	w.t.Helper()
	for _, n := range w.nodes {
		n.tell(spd.Terminate{Peer: homeAgentName})
	}
	w.pass(2 * time.Minute)
	for _, h := range append([]*host{w.ha.host}, hosts(w.nodes)...) {
		h.holds(0)
		if left := h.status(); len(left) > 0 {
			w.fail(h, "", "left over: %+v", left)
		}
		for _, e := range h.engines {
			if at := e.Deadline(); !at.IsZero() {
				w.fail(h, "", "a timer is left for %s", at)
			}
		}
	}
}

func hosts(nodes []*mobileNode) (list []*host) {
	for _, n := range nodes {
		list = append(list, n.host)
	}
	return list
}
