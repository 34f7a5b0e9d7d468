package ikev2

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/spd"
)

// move is a movement of the mobile node as one host hears of it: the key exchange's path first, then, of each tunnel, the
// SAs of each direction, which the kernel has moved.
func (h *host) move(from, to spd.Path, keep, renew bool) {
	h.w.t.Helper()
	if h.name == "HA" {
		from, to = reversed(from), reversed(to)
	}
	h.tell(spd.Relocate{Peer: h.peer.Name, Path: to, Keep: keep, Renew: renew})
	h.migrateTunnels(from, to)
}

// migrateTunnels moves the policies for tunnels and their SAs, and tells the engine as the kernel's reports do.
func (h *host) migrateTunnels(from, to spd.Path) {
	h.w.t.Helper()
	h.readdress(to)
	for _, d := range h.policies {
		if d.Mode != spd.Tunnel {
			continue
		}
		out := spd.EndpointChange{
			Proto: spd.ESP, Mode: spd.Tunnel, Reqid: d.ReqidOut,
			Old: spd.Endpoints{Src: from.Local, Dst: from.Remote}, New: spd.Endpoints{Src: to.Local, Dst: to.Remote},
		}
		in := out
		in.Reqid, in.Old, in.New = d.ReqidIn, out.Old.Reverse(), out.New.Reverse()
		for _, c := range []spd.EndpointChange{out, in} {
			h.migrate(c)
			h.tell(spd.MoveSAs{Peer: h.peer.Name, Change: c})
		}
	}
}

// readdress moves the policies for tunnels.
func (h *host) readdress(to spd.Path) {
	for i, d := range h.policies {
		if d.Mode == spd.Tunnel {
			h.policies[i].Local, h.policies[i].Remote = to.Local, to.Remote
		}
	}
}

// move moves both at once.
func (w *world) move(from, to spd.Path, keep, renew bool) {
	w.hosts[0].move(from, to, keep, renew)
	w.hosts[1].move(from, to, keep, false)
}

// on is a tunnel of the mobile node at another address.
func on(careOf netip.Addr, d spd.Demand) spd.Demand {
	d.Local = careOf
	return d
}

// onPath holds that all that is sent from now on goes over a path.
func (w *world) onPath(p spd.Path) {
	w.lose = func(x *packet) bool {
		got := spd.Path{Local: x.Local.Addr(), Remote: x.Remote.Addr()}
		if x.from.name == "HA" {
			got = reversed(got)
		}
		if got != p {
			w.t.Errorf("%s --> %s goes over %s, not over %s", x.from.name, x.summary, got, p)
		}
		return false
	}
}

func TestRFC6275_11_7_3_MoveWithTheKBit(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	w.move(path1, path2, true, true)
	w.run()
	w.script(``)
	if m := one[spd.PeerMoved](mn); m.Old != path1 || m.New != path2 || m.ID != mn.engine.Status()[0].SPIi {
		t.Errorf("%+v", m)
	}
	if m := one[spd.PeerMoved](ha); m.Old != reversed(path1) || m.New != reversed(path2) {
		t.Errorf("%+v", m)
	}
	for _, h := range w.hosts {
		m := one[spd.ChildMoved](h)
		if m.OldIn == m.In && m.OldOut == m.Out || m.OldIn.SPI != m.In.SPI || m.Demand.Name != returnRoute.Name {
			t.Errorf("%+v", m)
		}
	}
	w.settled(2)
	w.move(path1, path2, true, true) // says nothing new
	one[spd.PeerMoved](mn)

	w.onPath(path2)
	mn.tell(spd.Probe{Peer: "ha"})
	w.run()
	for _, h := range []*host{mn, ha} {
		for id, s := range h.sas {
			if s.Dir == spd.In {
				h.tell(spd.Expired{Peer: h.peer.Name, ID: id})
				w.run()
			}
		}
	}
	ha.rekeyIKE()
	w.run()
	mn.key(on(coa2, payload))
	w.settled(3)
	for _, h := range w.hosts {
		for _, s := range h.sas {
			if s.Endpoints.Src == coa1 || s.Endpoints.Dst == coa1 {
				t.Errorf("%s: %s is on the old address", h.name, s)
			}
		}
	}
	oneIKE(w, mn, ha)
}

// What is on its way when the mobile node moves is retransmitted from where it is by then.
func TestRFC6275_11_7_3_OutstandingRequest(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	w.losing("CREATE_CHILD_SA request", 0)
	mn.key(returnRoute)
	w.move(path1, path2, true, true)
	w.script(`MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ] (lost)`)
	w.onPath(path2)
	w.pass(time.Second)
	w.script(`
		MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ] again
		HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ]
	`)
	w.settled(2)
}

// A tunnel that is being made while the kernels move its policies comes to stand on the new addresses.
func TestTunnelMovedWhileBeingMade(t *testing.T) {
	for _, who := range []string{"MN", "HA"} {
		w, mn, ha := established(t, options{esp: "aes128gcm16-x25519"}, binding)
		slow := map[string]*host{"MN": mn, "HA": ha}[who]
		mn.tell(spd.Key{Demand: returnRoute, Path: path1})
		slow.hold = true
		w.run()
		for len(slow.jobs) > 1 || who == "HA" && len(ha.engine.peers["mn"].granted) == 0 {
			f := slow.jobs[0]
			slow.jobs = slow.jobs[1:]
			f()
		}
		w.move(path1, path2, true, true)
		slow.hold = false
		slow.work()
		w.run()
		w.pass(time.Minute)
		if up := one[spd.ChildUp](slow); up.Demand.Local != coa2 && up.Demand.Remote != coa2 {
			t.Errorf("%s: %+v", who, up)
		}
		w.settled(2)
	}
}

const renewed = `
	MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	HA --> IKE_AUTH response 1 [ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	MN --> CREATE_CHILD_SA request 2 [ SA Ni TSi TSr ]
	HA --> CREATE_CHILD_SA response 2 [ SA Nr TSi TSr ]
`

// Without the K bit the IKE_SA is set up anew from the new address, and with it all Child SAs; the old ones serve until
// they are replaced (RFC 4877 section 7.4).
func TestRFC4877_7_4_MoveWithoutTheKBit(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	mn.hold = true
	w.move(path1, path2, false, true)
	one[spd.PeerDown](mn)
	one[spd.PeerDown](ha)
	if len(mn.sas) != 4 || len(ha.sas) != 4 || len(said[spd.ChildDown](mn)) != 0 {
		t.Errorf("SAs that are not replaced are gone: %d and %d", len(mn.sas), len(ha.sas))
	}
	mn.hold = false
	w.onPath(path2)
	mn.work()
	w.run()
	w.script(renewed)
	w.settled(2)
	for _, h := range w.hosts {
		if up, down := len(said[spd.ChildUp](h)), len(said[spd.ChildDown](h)); up != 2 || down != 2 {
			t.Errorf("%s: %d ChildUp, %d ChildDown", h.name, up, down)
		}
	}
	if len(said[spd.KeyFailed](mn)) != 0 {
		t.Errorf("%+v", mn.notices)
	}
	for _, s := range mn.sas {
		if s.Mode == spd.Tunnel && s.Endpoints.Src != coa2 && s.Endpoints.Dst != coa2 {
			t.Errorf("%s is not on the new address", s)
		}
	}
	oneIKE2(w, mn, ha)
	w.pass(2 * orphanLife)
	w.settled(2)
}

// oneIKE2 is oneIKE where the first IKE_SA ended after the log began.
func oneIKE2(w *world, mn, ha *host) {
	mn.notices, ha.notices = nil, nil
	oneIKE(w, mn, ha)
}

// What the peer refuses on the new path, as tunnels at home, does not serve on: the kernel is to call for it when it is
// wanted again.
func TestRFC4877_7_4_RefusedAfterAMovement(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	ha.policies = slices.DeleteFunc(ha.policies, func(d spd.Demand) bool { return d.Mode == spd.Tunnel })
	w.move(path1, path2, false, true)
	w.run()
	if n := len(mn.sas); n != 2 {
		t.Errorf("%d SAs, want the two of the binding", n)
	}
	w.pass(orphanLife) // of the home agent's
	w.settled(1)
}

// The home agent need not have heard of the movement: INITIAL_CONTACT tells it.
func TestRFC4877_7_4_HomeAgentNotTold(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	mn.move(path1, path2, false, true)
	ha.readdress(reversed(path2))
	w.run()
	w.script(renewed)
	w.settled(2)
	oneIKE2(w, mn, ha)
}

// Who begins anew elsewhere may have moved without a word: what it does not replace serves for a moment, so that traffic
// goes on and the kernel calls for nothing meanwhile. An engine that has only the older IKE_SA is told by its role.
func TestRFC7296_2_4_InitialContactFromElsewhere(t *testing.T) {
	for _, byRole := range []bool{false, true} {
		w, mn, ha := established(t, options{}, binding, returnRoute)
		mn.crash()
		if byRole {
			ha.tell(spd.Superseded{Peer: "mn", Except: 4711, Path: reversed(path2), Before: w.now.Add(1)})
		} else {
			ha.readdress(reversed(path2))
			mn.tell(spd.Key{Demand: binding, Path: path2})
			w.run()
		}
		one[spd.PeerDown](ha)
		tunnels := func() (n int) {
			for _, sa := range ha.sas {
				if sa.Mode == spd.Tunnel {
					n++
				}
			}
			return n
		}
		if len(ha.sas) != 4 || tunnels() != 2 {
			t.Errorf("told by its role %t: %d SAs, %d of them tunnels", byRole, len(ha.sas), tunnels())
		}
		w.pass(supersededLife)
		if tunnels() != 0 {
			t.Errorf("told by its role %t: the tunnels serve for ever", byRole)
		}
	}
}

// What was being asked for when the mobile node moved is asked for again, and only once.
func TestRFC4877_7_4_MoveDuringAnExchange(t *testing.T) {
	collide(t, options{change: watchful, esp: "aes128gcm16-x25519"}, []spd.Demand{binding}, func(mn, ha *host) {
		mn.soft()
		mn.tell(spd.Key{Demand: returnRoute, Path: path1})
		mn.move(path1, path2, false, true)
		ha.readdress(reversed(path2))
		mn.tell(spd.Key{Demand: on(coa2, returnRoute), Path: path2})
	}, func(w *world, mn, ha *host) {
		w.settled(2)
		if n := len(said[spd.KeyFailed](mn)); n != 0 {
			t.Errorf("%d KeyFailed", n)
		}
		if got := mn.engine.Status(); len(got) != 1 || got[0].Local.Addr() != coa2 {
			t.Errorf("%+v", got)
		}
	})
}

// Orphans do not live for ever.
func TestOrphansExpire(t *testing.T) {
	w, mn, ha := established(t, options{}, binding, returnRoute)
	w.move(path1, path2, false, false)
	w.run()
	w.script(``)
	if len(mn.sas) != 4 || len(ha.sas) != 4 {
		t.Errorf("%d and %d SAs", len(mn.sas), len(ha.sas))
	}
	w.pass(orphanLife)
	w.settled(0)
	if len(mn.engine.peers)+len(ha.engine.peers) != 0 {
		t.Error("an association is left over")
	}

	mn.key(binding)
	w.move(path1, path2, false, false)
	mn.tell(spd.Terminate{Peer: "ha"})
	ha.tell(spd.Terminate{Peer: "mn"})
	w.settled(0)
}

// A handshake is begun again from the new address, with or without the K bit, at whatever point it is.
func TestMoveDuringTheHandshake(t *testing.T) {
	for _, keep := range []bool{true, false} {
		for steps := range 8 {
			w, mn, _ := newWorld(t, options{change: watchful})
			mn.hold = true
			mn.tell(spd.Key{Demand: binding, Path: path1})
			mn.tell(spd.Key{Demand: returnRoute, Path: path1})
			for range steps {
				switch {
				case len(mn.jobs) > 0:
					f := mn.jobs[0]
					mn.jobs = mn.jobs[1:]
					f()
				case len(w.flight) > 0:
					w.deliver(0)
				}
			}
			w.flight = nil // the old address is gone
			w.move(path1, path2, keep, true)
			mn.hold = false
			mn.work()
			w.run()
			w.pass(5 * time.Minute)
			w.settled(2)
			if got := mn.engine.Status(); len(got) != 1 || got[0].Local.Addr() != coa2 {
				t.Errorf("keep %t, after %d steps: %+v", keep, steps, got)
			}
			if n := len(said[spd.KeyFailed](mn)); n != 0 {
				t.Errorf("keep %t, after %d steps: %d KeyFailed", keep, steps, n)
			}
			if t.Failed() {
				t.Fatalf("keep %t, after %d steps:\n%s", keep, steps, w.log.String())
			}
		}
	}
}

// A movement in the middle of rekeying takes the successor along.
func TestMoveDuringIKERekeying(t *testing.T) {
	t.Parallel()
	collide(t, options{}, []spd.Demand{binding, returnRoute}, func(mn, ha *host) {
		mn.rekeyIKE()
		mn.move(path1, path2, true, true)
		ha.rekeyIKE()
		ha.move(path1, path2, true, true)
	}, func(w *world, mn, ha *host) {
		w.settled(2)
		if got := mn.engine.Status(); len(got) != 1 || got[0].Local.Addr() != coa2 {
			t.Errorf("%+v", got)
		}
		w.onPath(path2)
		oneIKE(w, mn, ha)
	})
}

func TestRelocateNobody(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	mn.tell(spd.Relocate{Peer: "nobody", Path: path2, Renew: true})
	mn.tell(spd.MoveSAs{Peer: "nobody"})
	mn.tell(spd.Probe{Peer: "nobody"})
	mn.tell(spd.Terminate{Peer: "nobody"})
	mn.tell(spd.Grant{Request: 99})
	mn.step(JobDone{ID: 99})
	w.script(``)
	w.settled(1)
}

// A movement of other SAs, or from where they are not, moves nothing.
func TestMoveSAsOfOthers(t *testing.T) {
	w, mn, _ := established(t, options{}, binding, returnRoute)
	good := spd.EndpointChange{
		Proto: spd.ESP, Mode: spd.Tunnel, Reqid: returnRoute.ReqidOut,
		Old: spd.Endpoints{Src: coa1, Dst: haa}, New: spd.Endpoints{Src: coa2, Dst: haa},
	}
	for _, change := range []func(*spd.EndpointChange){
		func(c *spd.EndpointChange) { c.Mode = spd.Transport },
		func(c *spd.EndpointChange) { c.Reqid = 99 },
		func(c *spd.EndpointChange) { c.Reqid = returnRoute.ReqidIn },
		func(c *spd.EndpointChange) { c.Old.Src = coa3 },
		func(c *spd.EndpointChange) { c.New = c.Old },
	} {
		c := good
		change(&c)
		mn.tell(spd.MoveSAs{Peer: "ha", Change: c})
	}
	if len(mn.notices) != 0 {
		t.Errorf("%+v", mn.notices)
	}
	w.settled(2)
	if !strings.Contains(one2(mn, good).String(), coa2.String()) {
		t.Error("the good one moves nothing")
	}
}

func one2(h *host, c spd.EndpointChange) spd.Demand {
	h.tell(spd.MoveSAs{Peer: "ha", Change: c})
	return one[spd.ChildMoved](h).Demand
}
