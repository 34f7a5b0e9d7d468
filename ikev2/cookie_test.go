package ikev2

import (
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/spd"
)

// underLoad makes a responder believe that it is attacked: n initiators begin and never go on.
func underLoad(w *world, mn, ha *host, n int) {
	w.t.Helper()
	w.lose = func(p *packet) bool { return p.from == ha }
	for range n {
		mn.tell(spd.Key{Demand: binding, Path: path1})
		w.run()
		mn.tell(spd.Terminate{Peer: "ha"})
	}
	w.lose = nil
	w.log.Reset()
	mn.notices = nil
}

const withCookie = `
	MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	HA --> IKE_SA_INIT response 0 [ N(COOKIE) ]
	MN --> IKE_SA_INIT request 0 [ N(COOKIE) SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	HA --> IKE_AUTH response 1 [ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
`

func cookies(from, limit int) options {
	return options{change: func(_, _ *host, _, cfg *Config) { cfg.Limits = Limits{Cookies: from, HalfOpen: limit} }}
}

func TestRFC7296_2_6_Cookies(t *testing.T) {
	w, mn, ha := newWorld(t, cookies(3, 100))
	underLoad(w, mn, ha, 2)
	mn.key(binding)
	w.script(initialExchanges) // two are below the threshold
	mn.tell(spd.Terminate{Peer: "ha"})
	w.run()
	underLoad(w, mn, ha, 1)
	before := len(ha.engine.sas)
	mn.tell(spd.Key{Demand: binding, Path: path1})
	w.deliver(0)
	if len(ha.engine.sas) != before || len(ha.engine.jobs) != 0 {
		t.Error("the responder keeps state for one who has no cookie")
	}
	w.run()
	w.script(withCookie)
	if ha.engine.halfOpen.total != 3 {
		t.Errorf("%d half-open IKE_SAs, wanted 3", ha.engine.halfOpen.total)
	}
	w.pass(31 * time.Second)
	w.settled(1)
}

// Half-open IKE_SAs are forgotten after their time, and with them the need for cookies.
func TestRFC7296_2_6_HalfOpenExpire(t *testing.T) {
	w, mn, ha := newWorld(t, cookies(2, 100))
	underLoad(w, mn, ha, 2)
	w.pass(29 * time.Second)
	if ha.engine.halfOpen.total != 2 {
		t.Errorf("%d half-open IKE_SAs, wanted 2", ha.engine.halfOpen.total)
	}
	w.pass(time.Second)
	w.settled(0)
	mn.key(binding)
	w.script(initialExchanges)
	w.settled(1)
}

func TestHalfOpenLimit(t *testing.T) {
	o := cookies(10, 2)
	limit := o.change
	o.change = func(mn, ha *host, a, b *Config) {
		limit(mn, ha, a, b)
		b.Timing.HalfOpen = 10 * time.Second
	}
	w, mn, ha := newWorld(t, o)
	underLoad(w, mn, ha, 3)
	if ha.engine.halfOpen.total != 2 {
		t.Errorf("%d half-open IKE_SAs, wanted 2", ha.engine.halfOpen.total)
	}
	mn.key(binding)
	w.script(`MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]`)
	w.pass(16 * time.Second) // the last retransmission finds room again
	if !strings.Contains(w.log.String(), "HA --> IKE_AUTH response") {
		t.Errorf("no IKE_SA:\n%s", w.log.String())
	}
	w.settled(1)
}

// A cookie is good for one nonce, address and SPI, and for some minutes; any other is as good as none.
func TestRFC7296_2_6_CookieValid(t *testing.T) {
	w, mn, ha := newWorld(t, cookies(1, 100))
	underLoad(w, mn, ha, 1)
	mn.tell(spd.Key{Demand: binding, Path: path1})
	w.deliver(0)
	request, n := w.flight[0], wire.FindNotify(w.clear[string(w.flight[0].Data)], wire.NotifyCookie)
	h, err := wire.ParseHeader(request.Data)
	w.check(err)
	first, err := wire.Parse(firstInit(w, h.SPIi))
	w.check(err)
	nonce, _ := wire.Find[*wire.Nonce](first.Payloads)
	e := ha.engine
	from := request.Remote
	if !e.cookieValid(n.Data, nonce.Data, from, h.SPIi) {
		t.Fatal("a good cookie is refused")
	}
	for name, bad := range map[string]bool{
		"another SPI":     e.cookieValid(n.Data, nonce.Data, from, h.SPIi+1),
		"another nonce":   e.cookieValid(n.Data, append([]byte{1}, nonce.Data...), from, h.SPIi),
		"another address": e.cookieValid(n.Data, nonce.Data, request.Local, h.SPIi),
		"nothing":         e.cookieValid(nil, nonce.Data, from, h.SPIi),
		"cut":             e.cookieValid(n.Data[:len(n.Data)-1], nonce.Data, from, h.SPIi),
		"another version": e.cookieValid(append([]byte{9}, n.Data[1:]...), nonce.Data, from, h.SPIi),
	} {
		if bad {
			t.Errorf("a cookie for %s is accepted", name)
		}
	}
	for _, c := range []struct {
		after time.Duration
		good  bool
	}{{2*cookieAge - 1, true}, {2 * cookieAge, false}} {
		e.now = w.now.Add(c.after)
		if e.cookieValid(n.Data, nonce.Data, from, h.SPIi) != c.good {
			t.Errorf("after %s the cookie is good: %t", c.after, !c.good)
		}
	}
	// Once the secret has changed, those of the one before are good for as long again as it was in use.
	e.now = w.now.Add(cookieAge)
	e.cookie(nonce.Data, from, 1)
	for _, c := range []struct {
		after time.Duration
		good  bool
	}{{2*cookieAge - 1, true}, {2 * cookieAge, false}} {
		e.now = w.now.Add(c.after)
		if e.cookieValid(n.Data, nonce.Data, from, h.SPIi) != c.good {
			t.Errorf("after %s and a new secret the cookie is good: %t", c.after, !c.good)
		}
	}
}

// firstInit is the IKE_SA_INIT request with an SPI and without a cookie.
func firstInit(w *world, spi uint64) []byte {
	w.t.Helper()
	for data := range w.named {
		m, err := wire.Parse([]byte(data))
		if err == nil && m.SPIi == spi && !m.Response && wire.FindNotify(m.Payloads, wire.NotifyCookie) == nil {
			return []byte(data)
		}
	}
	w.t.Fatal("no such request")
	return nil
}

// A responder that never likes the cookie it gave is given up.
func TestRFC7296_2_6_CookiesWithoutEnd(t *testing.T) {
	w, mn, _ := newWorld(t, options{})
	w.lose = func(p *packet) bool { return true }
	mn.key(binding)
	for i := range byte(20) {
		h := wire.Header{SPIi: mn.starting(), Version: 0x20, Exchange: wire.ExchangeIKESAInit, Response: true}
		m := wire.Message{Header: h, Payloads: []wire.Payload{&wire.Notify{Kind: wire.NotifyCookie, Data: []byte{i}}}}
		mn.step(Datagram{Data: m.Marshal()})
	}
	if got := strings.Count(w.log.String(), "MN -->"); got != 1+maxCookies {
		t.Errorf("%d requests, wanted %d", got, 1+maxCookies)
	}
}

// A wrong cookie is answered with a good one.
func TestRFC7296_2_6_WrongCookie(t *testing.T) {
	w, mn, ha := newWorld(t, cookies(1, 100))
	underLoad(w, mn, ha, 1)
	mn.tell(spd.Key{Demand: binding, Path: path1})
	h := wire.Header{SPIi: mn.starting(), Version: 0x20, Exchange: wire.ExchangeIKESAInit, Response: true}
	m := wire.Message{Header: h, Payloads: []wire.Payload{&wire.Notify{Kind: wire.NotifyCookie, Data: []byte("forged")}}}
	w.flight = nil
	mn.step(Datagram{Data: m.Marshal()})
	w.run()
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		MN --> IKE_SA_INIT request 0 [ N(COOKIE) SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ N(COOKIE) ]
		MN --> IKE_SA_INIT request 0 [ N(COOKIE) SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	`)
}
