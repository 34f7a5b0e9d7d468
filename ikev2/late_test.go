package ikev2

import (
	"errors"
	"net/netip"
	"testing"
	"time"

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

// If the peer has no use for the pair by now, as at home, nothing of it stays anywhere.
func TestInstalledBeforeTheReportOfItsLastMovement(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	for _, h := range w.hosts {
		for _, c := range changesOf(h, path1, path2) {
			h.tell(spd.MoveSAs{Peer: h.peer.Name, Change: c})
		}
	}
	mn.refuse, ha.refuse = errors.New("no such policy at home"), errors.New("no such policy at home")
	w.pass(reportDelay)
	w.run()
	w.pass(time.Minute) // one of the two is told to try again
	w.settled(1)
}

// A pair that has been there for long is where its policies are.
func TestOldPairsAreNotVerified(t *testing.T) {
	w, mn, _ := established(t, options{}, binding, returnRoute)
	w.pass(2 * supersededLife)
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

// Of two pairs, one of which takes over from the other, the kernel moves one; the other follows. Who deletes a pair sends by
// it no more.
func TestRekeyedWhileMoving(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	w.overlap(mn)
	w.move(path1, path2, true, true)
	for i, h := range w.hosts {
		if at := h.at(coa2); len(at) != 3+i {
			t.Errorf("%s has at the new address %v, want %d SAs", h.name, at, 3+i)
		}
		for _, m := range said[spd.MovedTogether](h) {
			if m.SAs != 2 {
				t.Errorf("%s: %+v", h.name, m)
			}
		}
		if n := len(said[spd.MovedTogether](h)); n != 2 {
			t.Errorf("%s: SAs moved together in %d directions, want 2", h.name, n)
		}
	}
	w.lose = nil
	w.pass(time.Minute)
	w.settled(2)
	for _, h := range []*host{mn, ha} {
		h.tell(spd.MoveSAs{Peer: h.peer.Name, Change: changesOf(h, path1, path2)[0]}) // the report that the other has followed
		if n := len(said[spd.MovedTogether](h)); n != 2 {
			t.Errorf("%s: one more movement", h.name)
		}
	}
}

// What does not follow is replaced: the pair that took over, of which either SA may be the one.
func TestRekeyedWhileMovingAndLeftBehind(t *testing.T) {
	for left := range 2 {
		w, mn, _ := established(t, options{}, binding, returnRoute)
		w.overlap(mn)
		mn.stays = true
		w.move(path1, path2, true, true)
		mn.migrate(changesOf(mn, path1, path2)[1-left])
		w.lose = nil
		w.pass(time.Minute)
		w.settled(2)
		if behind := mn.at(coa1); len(behind) > 0 {
			t.Errorf("left behind: %v", behind)
		}
	}
}

// What has moved on meanwhile, as the next report will say, is not replaced.
func TestMovedOnBeforeItIsVerified(t *testing.T) {
	w, mn, _ := established(t, options{}, returnRoute)
	w.move(path1, path2, true, true)
	path3 := spd.Path{Local: coa3, Remote: haa}
	for _, c := range changesOf(mn, path2, path3) {
		mn.migrate(c)
	}
	w.pass(2 * reportDelay)
	w.script(``)
	for _, h := range w.hosts {
		h.tell(spd.Relocate{Peer: h.peer.Name, Path: map[string]spd.Path{"MN": path3, "HA": reversed(path3)}[h.name], Keep: true})
		for _, c := range changesOf(h, path2, path3) {
			if h != mn {
				h.migrate(c)
			}
			h.tell(spd.MoveSAs{Peer: h.peer.Name, Change: c})
		}
	}
	w.pass(2 * reportDelay)
	w.script(``)
	w.settled(1)
}

// overlap has a host rekey its tunnel, whose old pair stays as long as w.lose is not set anew.
func (w *world) overlap(h *host) {
	w.losing("INFORMATIONAL", -1)
	for _, c := range h.engine.Status()[0].Children {
		if c.Demand.Name == returnRoute.Name {
			h.tell(spd.Expired{Peer: h.peer.Name, ID: c.In})
		}
	}
	w.run()
	w.pass(2 * reportDelay)
}

// at lists the SAs that have an address.
func (h *host) at(a netip.Addr) (list []spd.SA) {
	for _, s := range h.sas {
		if s.Endpoints.Src == a || s.Endpoints.Dst == a {
			list = append(list, s)
		}
	}
	return list
}
