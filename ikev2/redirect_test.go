package ikev2

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

var (
	haa2      = netip.MustParseAddr("2001:db8:1::2") // other addresses of the home agent
	haa3      = netip.MustParseAddr("2001:db8:1::3")
	elsewhere = spd.Path{Local: coa1, Remote: haa2}
)

// follows lets the mobile node follow redirects.
func follows(mn, _ *host, _, _ *Config) { mn.peer.AcceptRedirects = true }

func redirectsInit(mn, ha *host, mnCfg, haCfg *Config) {
	follows(mn, ha, mnCfg, haCfg)
	haCfg.RedirectTo = haa2
}

// remotes are the addresses that packets from the mobile node go to, in their order, each once in a row.
func (w *world) remotes() *[]netip.Addr {
	var list []netip.Addr
	lose := w.lose
	w.lose = func(p *packet) bool {
		if to := p.Remote.Addr(); p.from == w.hosts[0] && (len(list) == 0 || list[len(list)-1] != to) {
			list = append(list, to)
		}
		return lose != nil && lose(p)
	}
	return &list
}

func TestRFC5685_3_IKESAInit(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: redirectsInit})
	to := w.remotes()
	mn.key(returnRoute)
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) N(REDIRECT_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ N(REDIRECT) ]
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) N(REDIRECTED_FROM) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr AUTH SA TSi TSr ]
	`)
	if got := one[spd.Redirected](mn); got.Path != elsewhere || got.Peer != "ha" {
		t.Errorf("%+v", got)
	}
	if up := one[spd.PeerUp](mn); up.Path != elsewhere {
		t.Errorf("%+v", up)
	}
	if child := one[spd.ChildUp](mn); child.Demand.Remote != haa2 {
		t.Errorf("%+v", child)
	}
	if len(*to) != 2 || (*to)[0] != haa || (*to)[1] != haa2 {
		t.Errorf("sent to %v", *to)
	}
	if n := len(ha.engine.sas); n != 1 {
		t.Errorf("%d IKE_SAs at the home agent", n)
	}
}

// One who does not follow is served.
func TestRFC5685_3_NotSupported(t *testing.T) {
	w, mn, _ := newWorld(t, options{change: func(_, _ *host, _, haCfg *Config) { haCfg.RedirectTo = haa2 }})
	mn.key(binding)
	w.script(initialExchanges)
	w.settled(1)
}

// forgedInit is a mobile node that waits for the answer to IKE_SA_INIT and gets another one.
func forgedInit(t *testing.T, change func(mn, ha *host, mnCfg, haCfg *Config), data func(ni []byte) []byte) (w *world, mn *host) {
	t.Helper()
	w, mn, _ = newWorld(t, options{change: change})
	mn.tell(spd.Key{Demand: returnRoute, Path: path1})
	p := w.flight[0]
	h, err := wire.ParseHeader(p.Data)
	if err != nil {
		t.Fatal(err)
	}
	ni, _ := wire.Find[*wire.Nonce](w.clear[string(p.Data)])
	m := wire.Message{Header: h, Payloads: []wire.Payload{&wire.Notify{Kind: wire.NotifyRedirect, Data: data(ni.Data)}}}
	m.Initiator, m.Response = false, true
	mn.step(Datagram{Local: p.Local, Remote: p.Remote, Data: m.Marshal()})
	return w, mn
}

// What is not to be followed is dropped, and the true answer is waited for.
func TestRFC5685_3_Nonce(t *testing.T) {
	with := func(identity []byte) func([]byte) []byte {
		return func(ni []byte) []byte { return append(bytes.Clone(identity), ni...) }
	}
	for _, c := range []struct {
		name     string
		followed bool
		change   func(mn, ha *host, mnCfg, haCfg *Config)
		data     func(ni []byte) []byte
	}{
		{"the right nonce", true, follows, with(gatewayIdentity(haa2))},
		{"another nonce", false, follows, func(ni []byte) []byte {
			return append(gatewayIdentity(haa2), make([]byte, len(ni))...)
		}},
		{"no nonce", false, follows, func([]byte) []byte { return gatewayIdentity(haa2) }},
		{"where it has come from", false, follows, with(gatewayIdentity(haa))},
		{"another family of addresses", false, follows, with(gatewayIdentity(netip.MustParseAddr("192.0.2.1")))},
		{"a name", false, follows, with(append([]byte{gatewayFQDN, 14}, "gw.example.org"...))},
		{"not wanted", false, nil, with(gatewayIdentity(haa2))},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn := forgedInit(t, c.change, c.data)
			if n := len(said[spd.Redirected](mn)); (n == 1) != c.followed {
				t.Errorf("followed %d times: %v", n, mn.dropped)
			}
			if !c.followed && len(mn.dropped) != 1 {
				t.Errorf("%v", mn.dropped)
			}
			w.run()
			w.pass(time.Minute)
			if mn.clean(t); len(said[spd.ChildUp](mn)) != 1 {
				t.Error("no Child SA in the end")
			}
		})
	}
}

func TestParseRedirect(t *testing.T) {
	for _, a := range []netip.Addr{haa2, netip.MustParseAddr("192.0.2.1")} {
		whole := append(gatewayIdentity(a), "nonce"...)
		if to, nonce, err := parseRedirect(whole); err != nil || to != a || string(nonce) != "nonce" {
			t.Errorf("%s is read as %s, %q, %v", a, to, nonce, err)
		}
		for n := range gatewayIdentity(a) {
			if to, _, err := parseRedirect(whole[:n]); err == nil {
				t.Errorf("%d octets are %s", n, to)
			}
		}
	}
	for _, bad := range [][]byte{{0, 0}, {1, 16}, append([]byte{1, 16}, make([]byte, 16)...), append([]byte{2, 4}, make([]byte, 4)...), {9, 1, 0}} {
		if to, _, err := parseRedirect(bad); err == nil {
			t.Errorf("%x is %s", bad, to)
		}
	}
}

func FuzzRedirect(f *testing.F) {
	f.Add(append(gatewayIdentity(haa), "a nonce"...))
	f.Add([]byte{gatewayFQDN, 2, 'a', 'b'})
	f.Fuzz(func(t *testing.T, b []byte) {
		to, nonce, err := parseRedirect(b)
		if err == nil && !bytes.Equal(append(gatewayIdentity(to), nonce...), b) {
			t.Errorf("%x is %s and %x", b, to, nonce)
		}
	})
}

// Whom the configuration sends elsewhere is told so once both have proven who they are, and gets no Child SA.
func TestRFC5685_6_IKEAuth(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
		follows(mn, ha, mnCfg, haCfg)
		ha.peer.RedirectTo = haa2
	}})
	mn.key(returnRoute)
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) N(REDIRECT_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr AUTH N(REDIRECT) ]
		MN --> INFORMATIONAL request 2 [ D ]
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) N(REDIRECTED_FROM) ]
		HA --> INFORMATIONAL response 2 [ ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr AUTH SA TSi TSr ]
	`)
	if up := one[spd.PeerUp](mn); up.Path != elsewhere {
		t.Errorf("%+v", up)
	}
	if ups, downs := len(said[spd.PeerUp](ha)), len(said[spd.PeerDown](ha)); ups != 2 || downs != 1 || len(ha.engine.sas) != 1 {
		t.Errorf("at the home agent %d up, %d down, %d left", ups, downs, len(ha.engine.sas))
	}
	w.pass(5 * time.Minute)
	if len(ha.engine.sas) != 1 || len(mn.engine.sas) != 1 {
		t.Errorf("%d and %d IKE_SAs in the end", len(ha.engine.sas), len(mn.engine.sas))
	}
}

// In the midst of a session the initiator takes what it has to the other gateway, and deletes the old IKE_SA.
func TestRFC5685_5_ActiveSession(t *testing.T) {
	w, mn, ha := established(t, options{change: follows}, returnRoute)
	ha.tell(spd.RedirectPeer{Peer: "mn", To: haa2})
	w.run()
	if log := w.log.String(); !strings.HasPrefix(log, "HA --> INFORMATIONAL request 0 [ N(REDIRECT) ]\nMN --> INFORMATIONAL response 0 [ ]\n"+
		"MN --> INFORMATIONAL request 2 [ D ]\n") || !strings.Contains(log, "N(REDIRECTED_FROM)") {
		t.Error(log)
	}
	if up := one[spd.PeerUp](mn); up.Path != elsewhere {
		t.Errorf("%+v", up)
	}
	if child := one[spd.ChildUp](mn); child.Demand.Remote != haa2 {
		t.Errorf("%+v", child)
	}
	w.pass(5 * time.Minute)
	if len(ha.engine.sas) != 1 || len(mn.engine.sas) != 1 || len(mn.sas) != 2 {
		t.Errorf("%d and %d IKE_SAs, SAs %v", len(ha.engine.sas), len(mn.engine.sas), mn.sas)
	}
}

// One who only says that it follows, and stays, is cut off in the end; one who does not say so is not asked.
func TestRFC5685_5_WhoStays(t *testing.T) {
	w, mn, ha := established(t, options{change: follows}, returnRoute)
	mn.peer.AcceptRedirects = false
	ha.tell(spd.RedirectPeer{Peer: "mn", To: haa2})
	w.run()
	w.pass(redirectGrace - time.Second)
	w.settled(1)
	w.pass(2 * time.Second)
	w.settled(0)

	w, _, ha = established(t, options{}, returnRoute)
	ha.tell(spd.RedirectPeer{Peer: "mn", To: haa2})
	w.run()
	w.script(``)
	if len(ha.dropped) != 1 || !strings.Contains(ha.dropped[0].Error(), "it does not follow redirects") {
		t.Errorf("%v", ha.dropped)
	}
	w.settled(1)
}

// Only the original responder redirects (section 10).
func TestRFC5685_10_OnlyTheResponder(t *testing.T) {
	w, mn, ha := established(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
		mn.peer.AcceptRedirects, ha.peer.AcceptRedirects = true, true
	}}, returnRoute)
	mn.tell(spd.RedirectPeer{Peer: "ha", To: haa2})
	w.run()
	w.script(``)
	w.settled(1)
	if len(said[spd.Redirected](ha)) != 0 {
		t.Errorf("%+v", ha.notices)
	}
}

// Five redirects in five minutes are followed.
func TestRFC5685_7_Loop(t *testing.T) {
	w, mn, ha := newWorld(t, options{change: redirectsInit})
	next := map[netip.Addr]netip.Addr{haa: haa2, haa2: haa3, haa3: haa}
	w.lose = func(p *packet) bool {
		if p.from == mn {
			ha.engine.cfg.RedirectTo = next[p.Remote.Addr()]
		}
		return false
	}
	mn.key(returnRoute)
	if n := len(said[spd.Redirected](mn)); n != maxRedirects {
		t.Errorf("%d redirects are followed", n)
	}
	w.pass(time.Minute)
	one[spd.KeyFailed](mn)
	mn.notices = nil
	w.pass(redirectPeriod)
	mn.key(returnRoute)
	if n := len(said[spd.Redirected](mn)); n != maxRedirects {
		t.Errorf("%d redirects are followed later", n)
	}
}
