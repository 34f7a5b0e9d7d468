package ikev2

import (
	"testing"

	"mipsecd/spd"
)

// changesOf are the movements of a host's tunnel for return routability from one path to another, out and in.
func changesOf(h *host, from, to spd.Path) []spd.EndpointChange {
	d := returnRoute
	if h.name == "HA" {
		d, from, to = mirrored(d), reversed(from), reversed(to)
	}
	out := spd.EndpointChange{
		Proto: spd.ESP, Mode: spd.Tunnel, Reqid: d.ReqidOut,
		Old: spd.Endpoints{Src: from.Local, Dst: from.Remote}, New: spd.Endpoints{Src: to.Local, Dst: to.Remote},
	}
	in := out
	in.Reqid, in.Old, in.New = d.ReqidIn, out.Old.Reverse(), out.New.Reverse()
	return []spd.EndpointChange{out, in}
}

// The kernels have moved the tunnel, but its deletion is quicker than their reports.
func TestRemovedBeforeTheReportOfItsMovement(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	for _, h := range w.hosts {
		for _, c := range changesOf(h, path1, path2) {
			h.migrate(c)
		}
	}
	for _, c := range mn.engine.Status()[0].Children {
		if c.Demand.Name == returnRoute.Name {
			mn.tell(spd.Expired{Peer: "ha", ID: c.In, Hard: true})
		}
	}
	w.run()
	if len(mn.sas) != 3 || len(ha.sas) != 3 { // the SA to the home agent has kept its name
		t.Fatalf("%d and %d SAs: the one to the mobile node can only be found by its new name", len(mn.sas), len(ha.sas))
	}
	for _, h := range w.hosts {
		for _, c := range changesOf(h, path1, path2) {
			h.tell(spd.MoveSAs{Peer: h.peer.Name, Change: c})
		}
	}
	w.settled(1)
}

// The pair is installed at the old addresses just after its policies have moved away, so that the kernel leaves it there.
func TestInstalledBeforeTheReportOfItsMovement(t *testing.T) {
	w, mn, _ := established(t, options{}, binding, returnRoute)
	for _, c := range changesOf(mn, path1, path2) {
		mn.tell(spd.MoveSAs{Peer: "ha", Change: c})
	}
	w.pass(reportDelay)
	w.run()
	w.script(`
		MN --> CREATE_CHILD_SA request 3 [ N(REKEY_SA) SA Ni TSi TSr ]
		HA --> CREATE_CHILD_SA response 3 [ SA Nr TSi TSr ]
		MN --> INFORMATIONAL request 4 [ D ]
		HA --> INFORMATIONAL response 4 [ D ]
	`)
	for _, s := range mn.sas {
		if s.Mode == spd.Tunnel && s.Endpoints.Src != coa2 && s.Endpoints.Dst != coa2 {
			t.Errorf("%s is on the old address", s)
		}
	}
}

// A pair that has been there for long is where its policies are.
func TestOldPairsAreNotVerified(t *testing.T) {
	w, mn, _ := established(t, options{}, binding, returnRoute)
	w.pass(2 * reportDelay)
	w.move(path1, path2, true, true)
	for _, h := range w.hosts {
		h.sas = map[spd.SAID]spd.SA{} // whoever looks would find nothing
	}
	w.pass(2 * reportDelay)
	w.run()
	w.script(``)
	if n := len(mn.engine.Status()[0].Children); n != 2 {
		t.Errorf("%d Child SAs, want 2", n)
	}
}
