package ikev2

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

var path3 = spd.Path{Local: coa3, Remote: haa}

// mobile has both take part in MOBIKE.
func mobile(mn, ha *host, _, _ *Config) { mn.peer.MOBIKE, ha.peer.MOBIKE = true, true }

// roaming is a road warrior with a tunnel to its gateway.
func roaming(t testing.TB, change func(mn, ha *host, mnCfg, haCfg *Config)) (w *world, mn, ha *host) {
	t.Helper()
	return established(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
		mobile(mn, ha, mnCfg, haCfg)
		if change != nil {
			change(mn, ha, mnCfg, haCfg)
		}
	}}, payload)
}

// relocate tells the road warrior's engine where it is now.
func (h *host) relocate(to spd.Path) {
	h.w.t.Helper()
	h.tell(spd.Relocate{Peer: h.peer.Name, Path: to, Renew: true})
}

// followed has the tunnels of both moved as their roles do, who hear of it, and holds that this host's are on a path then.
func (w *world) followed(to spd.Path) {
	w.t.Helper()
	for _, h := range w.hosts {
		for _, m := range said[spd.PeerMoved](h) {
			if m.Old != m.New {
				h.migrateTunnels(m.Old, m.New)
			}
		}
		h.notices = nil
		at := to
		if h.name == "HA" {
			at = reversed(to)
		}
		for _, s := range h.by(spd.Out) {
			if s.Endpoints != (spd.Endpoints{Src: at.Local, Dst: at.Remote}) {
				w.t.Errorf("%s: %s is not on %s", h.name, s, at)
			}
		}
		for _, sa := range h.engine.sas {
			if sa.path() != at {
				w.t.Errorf("%s: the IKE_SA is on %s, not on %s", h.name, sa.path(), at)
			}
		}
	}
	w.run()
	w.settled(1)
}

const moving = `
	MN --> INFORMATIONAL request 2 [ N(UPDATE_SA_ADDRESSES) N(NO_NATS_ALLOWED) N(COOKIE2) ]
	HA --> INFORMATIONAL response 2 [ N(COOKIE2) ]
	HA --> INFORMATIONAL request 0 [ N(COOKIE2) ]
	MN --> INFORMATIONAL response 0 [ N(COOKIE2) ]
`

func TestRFC4555_3_2_BothSaySo(t *testing.T) {
	for _, test := range []struct {
		name   string
		mn, ha bool
		script string
	}{
		{"both", true, true, `
			MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(MOBIKE_SUPPORTED) N(NO_NATS_ALLOWED) SA TSi TSr ]
			HA --> IKE_AUTH response 1 [ IDr AUTH N(MOBIKE_SUPPORTED) SA TSi TSr ]`},
		{"the initiator", true, false, `
			MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(MOBIKE_SUPPORTED) N(NO_NATS_ALLOWED) SA TSi TSr ]
			HA --> IKE_AUTH response 1 [ IDr AUTH SA TSi TSr ]`},
		{"the responder", false, true, `
			MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH SA TSi TSr ]
			HA --> IKE_AUTH response 1 [ IDr AUTH SA TSi TSr ]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, mn, ha := newWorld(t, options{change: func(mn, ha *host, _, _ *Config) {
				mn.peer.MOBIKE, ha.peer.MOBIKE = test.mn, test.ha
			}})
			mn.key(payload)
			_, auth, _ := strings.Cut(w.log.String(), "KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]\n")
			w.log.Reset()
			w.log.WriteString(auth)
			w.script(test.script)
			mn.relocate(path2)
			mn.migrateTunnels(path1, path2)
			w.run()
			if test.mn && test.ha {
				w.script(moving)
				return
			}
			// Without MOBIKE a new IKE_SA is set up from there.
			if !strings.Contains(w.log.String(), "IKE_SA_INIT request") || strings.Contains(w.log.String(), "UPDATE_SA") {
				t.Error(w.log.String())
			}
			if mn.anySA().mobike.on || ha.anySA().mobike.on {
				t.Error("MOBIKE is on")
			}
		})
	}
}

func TestRFC4555_3_5_Move(t *testing.T) {
	w, mn, ha := roaming(t, nil)
	w.onPath(path2)
	mn.relocate(path2)
	if m := one[spd.PeerMoved](mn); m.Old != path1 || m.New != path2 {
		t.Errorf("%+v", m)
	}
	w.run()
	w.script(moving)
	if m := one[spd.PeerMoved](ha); m.Old != reversed(path1) || m.New != reversed(path2) || m.ID != ha.anySA().own {
		t.Errorf("%+v", m)
	}
	w.followed(path2)
	mn.relocate(path2) // is no news
	w.run()
	w.script(``)
	ha.soft()
	w.run()
	ha.rekeyIKE()
	w.run()
	w.settled(1)
	w.log.Reset()

	// The road warrior decides, whoever has rekeyed the IKE_SA since.
	w.onPath(path3)
	mn.relocate(path3)
	w.run()
	if !strings.Contains(w.log.String(), "MN --> INFORMATIONAL request 0 [ N(UPDATE_SA_ADDRESSES)") {
		t.Error(w.log.String())
	}
	w.followed(path3)
}

// What is on its way goes to the new address at once, and the update as soon as the window allows.
func TestRFC4555_3_5_OutstandingRequest(t *testing.T) {
	w, mn, _ := roaming(t, nil)
	w.losing("INFORMATIONAL request", 0)
	mn.tell(spd.Probe{Peer: "ha"})
	w.run()
	w.onPath(path2)
	mn.relocate(path2)
	w.run()
	w.script(`
		MN --> INFORMATIONAL request 2 [ ] (lost)
		MN --> INFORMATIONAL request 2 [ ] again
		HA --> INFORMATIONAL response 2 [ ]
		MN --> INFORMATIONAL request 3 [ N(UPDATE_SA_ADDRESSES) N(NO_NATS_ALLOWED) N(COOKIE2) ]
		HA --> INFORMATIONAL response 3 [ N(COOKIE2) ]
		HA --> INFORMATIONAL request 0 [ N(COOKIE2) ]
		MN --> INFORMATIONAL response 0 [ N(COOKIE2) ]
	`)
	w.followed(path2)
}

// Of several movements in flight the latest wins, whichever message is lost or late.
func TestRFC4555_3_5_LatestWins(t *testing.T) {
	for lost := range 8 {
		t.Run(fmt.Sprintf("lost %d", lost), func(t *testing.T) {
			w, mn, _ := roaming(t, nil)
			n := 0
			w.lose = func(*packet) bool { n++; return n == lost+1 }
			mn.relocate(path2)
			for range lost % 3 {
				if len(w.flight) > 0 {
					w.deliver(0)
				}
			}
			mn.relocate(path3)
			mn.relocate(path1)
			mn.relocate(path2)
			w.run()
			w.pass(time.Minute)
			w.followed(path2)
		})
	}
}

// The gateway's tunnels stay until the road warrior has been seen at its new address.
func TestRFC4555_3_7_ReturnRoutability(t *testing.T) {
	w, mn, ha := roaming(t, nil)
	w.losing("HA --> INFORMATIONAL request", 0)
	mn.relocate(path2)
	w.run()
	if len(said[spd.PeerMoved](ha)) != 0 || ha.anySA().path() != reversed(path2) {
		t.Error("the Child SAs have moved before the peer has been seen")
	}
	// It moves again, and the question goes to both addresses: the answer says nothing, and it is asked anew.
	mn.relocate(path3)
	w.run()
	w.pass(time.Minute)
	if got := strings.Count(w.log.String(), "HA --> INFORMATIONAL request 1 [ N(COOKIE2) ]"); got != 1 {
		t.Errorf("asked anew %d times:\n%s", got, w.log.String())
	}
	if m := one[spd.PeerMoved](ha); m.Old != reversed(path1) || m.New != reversed(path3) {
		t.Errorf("%+v", m)
	}
	w.followed(path3)
}

func TestRFC4555_3_7_BelievingThePeer(t *testing.T) {
	w, mn, _ := roaming(t, func(_, ha *host, _, _ *Config) { ha.peer.BelieveAddresses = true })
	mn.relocate(path2)
	w.run()
	w.script(`
		MN --> INFORMATIONAL request 2 [ N(UPDATE_SA_ADDRESSES) N(NO_NATS_ALLOWED) N(COOKIE2) ]
		HA --> INFORMATIONAL response 2 [ N(COOKIE2) ]
	`)
	w.followed(path2)
}

// Who answers with another COOKIE2, or none, has not seen the request: the IKE_SA is closed.
func TestRFC4555_3_7_OtherCookie(t *testing.T) {
	for _, answer := range [][]wire.Payload{nil, {&wire.Notify{Kind: wire.NotifyCookie2, Data: make([]byte, cookieLen)}}} {
		w, mn, ha := roaming(t, nil)
		w.losing("MN --> INFORMATIONAL response", 0)
		mn.relocate(path2)
		w.run()
		sa := mn.anySA()
		ha.step(Datagram{Local: ha.anySA().local, Remote: ha.anySA().remote,
			Data: mn.engine.sealed(sa, sa.here(), wire.ExchangeInformational, 0, true, answer)[0]})
		w.run()
		if len(said[spd.PeerMoved](ha)) != 0 || len(ha.engine.sas)+len(mn.engine.sas) != 0 {
			t.Errorf("with %v the IKE_SA stands: %+v", answer, ha.notices)
		}
	}
}

// COOKIE2 is copied into the answer of any INFORMATIONAL request, MOBIKE or not.
func TestRFC4555_4_2_5_CookieIsCopied(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	cookie := &wire.Notify{Kind: wire.NotifyCookie2, Data: []byte("12345678")}
	ha.forge(wire.ExchangeInformational, 0, false, cookie)
	w.run()
	ps := w.lastClear(mn, "INFORMATIONAL response")
	if n := wire.FindNotify(ps, wire.NotifyCookie2); n == nil || string(n.Data) != "12345678" {
		t.Errorf("%v", ps)
	}
}

// translate is somebody on the way who changes the source of what the mobile node sends.
func (w *world) translate(times int) {
	w.change = func(p *packet) {
		if times > 0 && p.from.name == "MN" {
			times--
			p.Local = netip.AddrPortFrom(netip.MustParseAddr("2001:db8:bad::1"), 501)
		}
	}
}

func TestRFC4555_3_9_UnexpectedNAT(t *testing.T) {
	t.Run("once: it is tried again", func(t *testing.T) {
		w, mn, _ := roaming(t, nil)
		w.translate(1)
		mn.relocate(path2)
		w.run()
		w.script(`
			MN --> INFORMATIONAL request 2 [ N(UPDATE_SA_ADDRESSES) N(NO_NATS_ALLOWED) N(COOKIE2) ]
			HA --> INFORMATIONAL response 2 [ N(COOKIE2) N(UNEXPECTED_NAT_DETECTED) ]
			MN --> INFORMATIONAL request 3 [ N(UPDATE_SA_ADDRESSES) N(NO_NATS_ALLOWED) N(COOKIE2) ]
			HA --> INFORMATIONAL response 3 [ N(COOKIE2) ]
			HA --> INFORMATIONAL request 0 [ N(COOKIE2) ]
			MN --> INFORMATIONAL response 0 [ N(COOKIE2) ]
		`)
		w.followed(path2)
	})
	t.Run("always: nothing moves", func(t *testing.T) {
		w, mn, ha := roaming(t, nil)
		w.translate(1 << 20)
		mn.relocate(path2)
		w.run()
		if n := strings.Count(w.log.String(), "N(UNEXPECTED_NAT_DETECTED)"); n != DefaultTiming.Tries+1 {
			t.Errorf("refused %d times", n)
		}
		if ha.anySA().path() != reversed(path1) || len(said[spd.PeerMoved](ha)) != 0 {
			t.Error("the home agent has followed")
		}
		mn.hasDropped("UNEXPECTED_NAT_DETECTED")
	})
	t.Run("in IKE_AUTH", func(t *testing.T) {
		w, mn, ha := newWorld(t, options{change: mobile})
		w.translate(2)
		mn.key(payload)
		if !strings.Contains(w.log.String(), "HA --> IKE_AUTH response 1 [ N(UNEXPECTED_NAT_DETECTED) ]") || len(mn.sas)+len(ha.sas) > 0 {
			t.Error(w.log.String())
		}
	})
}

// A gateway follows only who has begun the IKE_SA, not into the tunnel itself, nor to an address of its own that it has
// told nobody of.
func TestRFC4555_3_5_UnacceptableAddresses(t *testing.T) {
	update := &wire.Notify{Kind: wire.NotifyUpdateSAAddresses}
	for _, test := range []struct {
		name     string
		from     string
		path     spd.Path // as the sender sees it
		accepted bool
	}{
		{"another address", "MN", path2, true},
		{"the home address", "MN", spd.Path{Local: hoa, Remote: haa}, false},
		{"a multicast address", "MN", spd.Path{Local: netip.MustParseAddr("ff02::1"), Remote: haa}, false},
		{"an address that the gateway has told nobody of", "MN", spd.Path{Local: coa2, Remote: coa3}, false},
		{"an update by the responder", "HA", reversed(path2), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, mn, ha := roaming(t, func(_, _ *host, _, haCfg *Config) { haCfg.Addresses = []netip.Addr{haa} })
			to, sender := ha, mn
			if test.from == "HA" {
				to, sender = mn, ha
			}
			sa := sender.anySA()
			to.step(Datagram{
				Local: netip.AddrPortFrom(test.path.Remote, Port), Remote: netip.AddrPortFrom(test.path.Local, Port),
				Data: sender.engine.sealed(sa, sa.here(), wire.ExchangeInformational, sa.nextSend, false, []wire.Payload{update})[0],
			})
			answer := w.lastClear(to, "INFORMATIONAL response")
			refused := wire.FindNotify(answer, wire.NotifyUnacceptableAddresses) != nil
			moved := to.anySA().path() == reversed(test.path)
			if refused == test.accepted || moved != test.accepted {
				t.Errorf("refused %v, moved %v: %v", refused, moved, answer)
			}
		})
	}
}

var (
	haa4 = netip.MustParseAddr("192.0.2.1")
	coa4 = netip.MustParseAddr("198.51.100.1")
)

func TestRFC4555_3_4_And_3_6_AdditionalAddresses(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
		mobile(mn, ha, mnCfg, haCfg)
		mnCfg.Addresses, haCfg.Addresses = []netip.Addr{coa1, coa2}, []netip.Addr{haa, haa4, coa3}
	}})
	mn.key(payload)
	if !strings.Contains(w.log.String(), "N(MOBIKE_SUPPORTED) N(ADDITIONAL_IP4_ADDRESS) N(ADDITIONAL_IP6_ADDRESS) SA TSi") ||
		!strings.Contains(w.log.String(), "N(MOBIKE_SUPPORTED) N(ADDITIONAL_IP6_ADDRESS) N(NO_NATS_ALLOWED) SA TSi") {
		t.Error(w.log.String())
	}
	w.log.Reset()
	knows := func(h *host, want ...netip.Addr) {
		t.Helper()
		if got := h.anySA().mobike.theirs; !slices.Equal(got, want) {
			t.Errorf("%s knows %v, want %v", h.name, got, want)
		}
	}
	knows(mn, haa, haa4, coa3)
	knows(ha, coa1, coa2)
	mn.tell(spd.Addresses{List: []netip.Addr{coa1, coa4}})
	mn.tell(spd.Addresses{List: []netip.Addr{coa1, coa4}})
	w.run()
	knows(ha, coa1, coa4)
	ha.tell(spd.Addresses{List: []netip.Addr{haa}})
	w.run()
	knows(mn, haa)
	w.script(`
		MN --> INFORMATIONAL request 2 [ N(ADDITIONAL_IP4_ADDRESS) N(NO_NATS_ALLOWED) N(COOKIE2) ]
		HA --> INFORMATIONAL response 2 [ N(COOKIE2) ]
		HA --> INFORMATIONAL request 0 [ N(NO_ADDITIONAL_ADDRESSES) N(NO_NATS_ALLOWED) N(COOKIE2) ]
		MN --> INFORMATIONAL response 0 [ N(COOKIE2) ]
	`)
	if len(said[spd.PeerMoved](mn))+len(said[spd.PeerMoved](ha)) != 0 {
		t.Error("something has moved")
	}
}

// dead is a network in which only some paths carry, as the mobile node sees them.
func (w *world) dead(alive ...spd.Path) {
	w.lose = func(p *packet) bool {
		path := spd.Path{Local: p.Local.Addr(), Remote: p.Remote.Addr()}
		if p.from.name == "HA" {
			path = reversed(path)
		}
		return !slices.Contains(alive, path)
	}
}

// When a path dies, whoever has begun the IKE_SA goes on over another one, be it of another family.
func TestRFC4555_3_10_OtherPaths(t *testing.T) {
	for _, alive := range []spd.Path{path2, {Local: coa4, Remote: haa4}, {Local: coa1, Remote: coa3}} {
		t.Run(alive.String(), func(t *testing.T) {
			w, mn, _ := roaming(t, func(_, _ *host, mnCfg, haCfg *Config) {
				mnCfg.Addresses, haCfg.Addresses = []netip.Addr{coa1, coa2, coa4}, []netip.Addr{haa, coa3, haa4}
			})
			w.dead(alive)
			mn.tell(spd.Probe{Peer: "ha"})
			w.run()
			w.pass(10 * time.Second)
			w.followed(alive)
		})
	}
}

// Where the address in use is gone and there is no other of its family, no time is lost.
func TestRFC4555_3_10_AddressGone(t *testing.T) {
	w, mn, _ := roaming(t, func(_, _ *host, mnCfg, haCfg *Config) {
		mnCfg.Addresses, haCfg.Addresses = []netip.Addr{coa1}, []netip.Addr{haa, haa4}
	})
	w.dead(spd.Path{Local: coa4, Remote: haa4})
	mn.tell(spd.Addresses{List: []netip.Addr{coa4}})
	w.run()
	w.followed(spd.Path{Local: coa4, Remote: haa4})
}

// An answer that comes late over the path that was left is no reason to go back.
func TestRFC4555_3_10_LateAnswer(t *testing.T) {
	w, mn, _ := roaming(t, func(_, _ *host, mnCfg, _ *Config) { mnCfg.Addresses = []netip.Addr{coa1, coa2} })
	mn.tell(spd.Probe{Peer: "ha"})
	w.deliver(0)
	mn.relocate(path2)
	w.run()
	w.followed(path2)
}

// The one who has not begun has patience: it is not for him to find out what is wrong.
func TestRFC4555_3_11_ResponderIsPatient(t *testing.T) {
	w, mn, ha := roaming(t, nil)
	w.lose = func(*packet) bool { return true }
	ha.tell(spd.Probe{Peer: "mn"})
	w.pass(responderPatience - time.Minute)
	if len(ha.engine.sas) != 1 {
		t.Fatal("given up")
	}
	w.lose = nil
	mn.relocate(path2)
	w.run()
	w.pass(time.Minute)
	w.followed(path2)
	w.lose = func(*packet) bool { return true }
	ha.tell(spd.Probe{Peer: "mn"})
	w.pass(responderPatience + time.Minute)
	if len(ha.engine.sas) != 0 {
		t.Error("never given up")
	}
}

// An update that is asked on an IKE_SA which is being replaced is made on its successor.
func TestRFC4555_3_5_MoveWhileRekeying(t *testing.T) {
	for _, who := range []int{0, 1} {
		w, mn, _ := roaming(t, nil)
		w.hosts[who].rekeyIKE()
		mn.relocate(path2)
		w.run()
		w.pass(time.Minute)
		w.followed(path2)
	}
}
