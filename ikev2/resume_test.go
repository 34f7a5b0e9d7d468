package ikev2

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// resumes lets the mobile node resume an IKE_SA.
func resumes(mn, ha *host, _, haCfg *Config) {
	mn.peer.Resumption, ha.peer.Resumption = true, true
	haCfg.Secret = secret.Bytes("thirty-two octets of the host's.")
}

const (
	resumeExchange = `
		MN --> IKE_SESSION_RESUME request 0 [ Ni N(TICKET_OPAQUE) N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SESSION_RESUME response 0 [ Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	`
	initExchange = `
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	`
	authWithTicket = `
		MN --> IKE_AUTH request 1 [ IDi N(INITIAL_CONTACT) IDr AUTH N(TICKET_REQUEST) N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr AUTH N(TICKET_LT_OPAQUE) N(USE_TRANSPORT_MODE) SA TSi TSr ]
	`
	refusedTicket = `
		MN --> IKE_SESSION_RESUME request 0 [ Ni N(TICKET_OPAQUE) N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SESSION_RESUME response 0 [ N(TICKET_NACK) ]
	`
)

// crash makes a host forget everything but its configuration.
func (h *host) crash() {
	h.engine = New(h.engine.cfg)
	h.kernel = newKernel(h.name, h.nextSPI)
	h.jobs, h.notices = nil, nil
}

// lost is a mobile node that has lost an IKE_SA for which it has a ticket, and a home agent that does not know it.
func lost(t *testing.T, o options) (w *world, mn, ha *host) {
	t.Helper()
	if o.change == nil {
		o.change = resumes
	}
	w, mn, ha = established(t, o, binding)
	ha.crash()
	mn.tell(spd.Probe{Peer: "ha"})
	w.pass(time.Minute)
	mn.clean(t)
	if len(mn.engine.sas) != 0 {
		t.Fatal("the IKE_SA is not lost")
	}
	w.log.Reset()
	mn.notices, ha.notices = nil, nil
	return w, mn, ha
}

func TestRFC5723_4_AfterARestartOfTheHomeAgent(t *testing.T) {
	w, mn, ha := lost(t, options{})
	mn.key(binding)
	w.script(resumeExchange + authWithTicket)
	w.settled(1)
	for _, h := range []*host{mn, ha} {
		if up := one[spd.PeerUp](h); up.Peer != h.peer.Name || up.Initiator != (h == mn) {
			t.Errorf("%+v", up)
		}
	}
}

// Without the K bit a movement ends the IKE_SA on both sides; the next one resumes it, and silently replaces one that the
// home agent still has.
func TestRFC5723_4_3_4_AfterAMovement(t *testing.T) {
	for _, heard := range []bool{true, false} {
		w, mn, ha := established(t, options{change: resumes}, binding)
		if heard {
			ha.move(path1, path2, false, false)
		}
		mn.move(path1, path2, false, true)
		w.run()
		w.script(resumeExchange + authWithTicket)
		w.settled(1)
		if down := one[spd.PeerDown](ha); heard != (down.Reason == errMoved.Error()) || !heard && down.Reason != errResumed.Error() {
			t.Errorf("heard of the movement: %t, %+v", heard, down)
		}
	}
}

// SKEYSEED is prf(SK_d_old, "Resumption" | Ni | Nr).
func TestRFC5723_5_1_Keys(t *testing.T) {
	w, mn, _ := lost(t, options{})
	old := secret.Bytes(bytes.Clone(mn.engine.sessions["ha"].d))
	var ni, nr []byte
	w.lose = func(p *packet) bool {
		if n, ok := wire.Find[*wire.Nonce](w.clear[string(p.Data)]); ok && strings.Contains(p.summary, "RESUME") {
			if p.from == mn {
				ni = n.Data
			} else {
				nr = n.Data
			}
		}
		return false
	}
	mn.key(binding)
	for _, sa := range mn.engine.sas {
		prf := sa.suite.PRF
		seed := prf.Sum(old, slices.Concat([]byte("Resumption"), ni, nr))
		stream := prf.Plus(seed, slices.Concat(ni, nr, spiBytes(sa.own), spiBytes(sa.other)), prf.Size())
		if !sa.keys.d.Equal(stream) {
			t.Error("SK_d is another")
		}
	}
	w.settled(1)
}

// A home agent that does not take the ticket says so, and a full exchange follows, with what the ticket was to bring.
func TestRFC5723_4_3_2_Refused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(mn, ha *host)
	}{
		{"another secret", func(_, ha *host) { ha.engine.cfg.Secret = secret.Bytes("another secret of thirty-two ...") }},
		{"resumption is no longer allowed", func(_, ha *host) { ha.peer.Resumption = false }},
		{"another way of authentication", func(mn, _ *host) { reseal(mn, func(s *session) { s.proof = 2 }) }},
		{"another identity of the responder", func(mn, _ *host) { reseal(mn, func(s *session) { s.idr = mustID("x.example.org") }) }},
		{"an unknown peer", func(mn, _ *host) { reseal(mn, func(s *session) { s.idi = mustID("x@example.org") }) }},
		{"another suite", func(mn, _ *host) { reseal(mn, func(s *session) { s.suite.Encr.KeyBits = 256 }) }},
		{"a short SK_d", func(mn, _ *host) { reseal(mn, func(s *session) { s.d = s.d[1:] }) }},
		{"expired", func(mn, _ *host) { reseal(mn, func(s *session) { s.expires = mn.w.now }) }},
		{"altered", func(mn, _ *host) { mn.engine.sessions["ha"].ticket[20] ^= 1 }},
		{"too short", func(mn, _ *host) { s := mn.engine.sessions["ha"]; s.ticket = s.ticket[:10] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, ha := lost(t, options{})
			c.change(mn, ha)
			mn.key(binding)
			auth := authWithTicket
			if !ha.peer.Resumption {
				auth = strings.Replace(auth, " N(TICKET_LT_OPAQUE)", "", 1)
			}
			w.script(refusedTicket + initExchange + auth)
			w.settled(1)
			if n := len(said[spd.KeyFailed](mn)); n > 0 {
				t.Errorf("%d KeyFailed", n)
			}
		})
	}
}

// reseal gives a mobile node a ticket with another content.
func reseal(mn *host, change func(*session)) {
	e := mn.w.peerOf(mn).engine
	e.now = mn.w.now
	kept := mn.engine.sessions["ha"]
	s, _, err := e.openTicket(kept.ticket)
	if err != nil {
		mn.w.t.Fatal(err)
	}
	change(s)
	kept.ticket, _ = e.sealTicket(s)
}

// One who has no resumption at all does not answer.
func TestResumptionUnknownToTheHomeAgent(t *testing.T) {
	w, mn, ha := lost(t, options{})
	ha.engine.cfg.Secret = nil
	mn.key(binding)
	w.pass(10 * time.Second)
	request := "MN --> IKE_SESSION_RESUME request 0 [ Ni N(TICKET_OPAQUE) N(IKEV2_FRAGMENTATION_SUPPORTED) ]"
	w.script(request + "\n" + request + " again\n" + request + " again\n" + initExchange +
		strings.Replace(authWithTicket, "TICKET_LT_OPAQUE", "TICKET_NACK", 1))
	w.settled(1)
}

// While nobody answers the ticket is kept, and used when somebody does.
func TestTicketOutlivesSilence(t *testing.T) {
	w, mn, _ := lost(t, options{})
	w.lose = func(*packet) bool { return true }
	mn.key(binding)
	w.pass(2 * time.Minute)
	one[spd.KeyFailed](mn)
	w.lose, mn.notices = nil, nil
	w.log.Reset()
	mn.key(binding)
	w.script(resumeExchange + authWithTicket)
	w.settled(1)
}

// A ticket serves once (section 4.3.1). One whose IKE_SA was deleted or rekeyed does not serve at all (section 6.2).
func TestRFC5723_4_3_1_OneTime(t *testing.T) {
	for _, c := range []struct {
		name  string
		after func(w *world, mn, ha *host)
	}{
		{"used", func(w *world, mn, ha *host) {
			ha.crash()
			mn.tell(spd.Probe{Peer: "ha"})
			w.pass(time.Minute)
			mn.key(binding)
		}},
		{"deleted by the initiator", func(_ *world, mn, _ *host) { mn.tell(spd.Terminate{Peer: "ha"}) }},
		{"deleted by the responder", func(_ *world, _, ha *host) { ha.tell(spd.Terminate{Peer: "mn"}) }},
		{"rekeyed by the initiator", func(_ *world, mn, _ *host) { mn.rekeyIKE() }},
		{"rekeyed by the responder", func(_ *world, _, ha *host) { ha.rekeyIKE() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, mn, ha := established(t, options{change: resumes}, binding)
			stolen := *mn.engine.sessions["ha"]
			stolen.d = bytes.Clone(stolen.d)
			c.after(w, mn, ha)
			w.run()
			kept := mn.engine.sessions["ha"]
			if deleted := strings.HasPrefix(c.name, "deleted"); deleted != (kept == nil) {
				t.Errorf("kept: %v", kept)
			}
			if kept != nil && bytes.Equal(kept.ticket, stolen.ticket) {
				t.Error("the old ticket is kept")
			}
			mn.crash()
			mn.engine.sessions["ha"] = &stolen
			w.log.Reset()
			mn.key(binding)
			if !strings.HasPrefix(strings.TrimSpace(w.log.String()), strings.Split(strings.TrimSpace(refusedTicket), "\n")[0]) ||
				!strings.Contains(w.log.String(), "N(TICKET_NACK)") {
				t.Error(w.log.String())
			}
			w.pass(2 * time.Minute)
			w.settled(1)
		})
	}
}

// When the IKE_SA is rekeyed the initiator asks for a new ticket, and resumes with that.
func TestRFC5723_4_1_AfterRekeying(t *testing.T) {
	for _, by := range []string{"MN", "HA"} {
		w, mn, ha := established(t, options{change: resumes}, binding)
		if by == "MN" {
			mn.rekeyIKE()
		} else {
			ha.rekeyIKE()
		}
		w.run()
		if !strings.Contains(w.log.String(), "MN --> INFORMATIONAL request 0 [ N(TICKET_REQUEST) ]") ||
			strings.Contains(w.log.String(), "HA --> INFORMATIONAL request 0 [ N(TICKET_REQUEST) ]") {
			t.Errorf("rekeyed by %s:\n%s", by, w.log.String())
		}
		ha.crash()
		mn.tell(spd.Probe{Peer: "ha"})
		w.pass(time.Minute)
		w.log.Reset()
		mn.key(binding)
		w.script(resumeExchange + authWithTicket)
		w.settled(1)
	}
}

// A client must not present a ticket that has expired: it ends with the IKE_SA at the latest.
func TestRFC5723_6_2_Lifetime(t *testing.T) {
	for _, c := range []struct{ ike, auth, want time.Duration }{
		{0, 0, maxTicketLife},
		{time.Hour, 0, time.Hour},
		{time.Hour, 30 * time.Minute, 30 * time.Minute},
	} {
		w, mn, _ := lost(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
			resumes(mn, ha, mnCfg, haCfg)
			ha.peer.IKELifetime, ha.peer.AuthLifetime = c.ike, c.auth
		}})
		s := mn.engine.sessions["ha"]
		if got := s.expires.Sub(w.now) + time.Minute; got != c.want {
			t.Errorf("the ticket is good for %s, want %s", got, c.want)
		}
		w.now = s.expires
		mn.key(binding)
		if strings.Contains(w.log.String(), "RESUME") {
			t.Errorf("presented when it has expired:\n%s", w.log.String())
		}
		w.settled(1)
	}
}

// A ticket does not put off the next authentication, and that is by a full exchange.
func TestResumptionKeepsTheAuthLifetime(t *testing.T) {
	w, mn, ha := established(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
		resumes(mn, ha, mnCfg, haCfg)
		ha.peer.AuthLifetime = time.Hour
	}}, binding)
	begun := w.now
	w.pass(20 * time.Minute)
	mn.move(path1, path2, false, true)
	ha.move(path1, path2, false, false)
	w.run()
	for _, h := range w.hosts {
		for _, sa := range h.engine.sas {
			if got := sa.authEnds.Sub(begun); got != time.Hour {
				t.Errorf("%s: the authentication ends after %s", h.name, got)
			}
		}
	}
	w.log.Reset()
	w.pass(38 * time.Minute)
	if !strings.Contains(w.log.String(), "IKE_SA_INIT") || strings.Contains(w.log.String(), "RESUME") {
		t.Error(w.log.String())
	}
	w.settled(1)
}

// A stolen ticket is of no use to one without the keys, and leaves it to its owner.
func TestRFC5723_9_1_StolenTicket(t *testing.T) {
	w, mn, ha := lost(t, options{})
	kept := *mn.engine.sessions["ha"]
	kept.d = bytes.Clone(kept.d)
	mn.engine.sessions["ha"].d = secret.Bytes(make([]byte, len(kept.d)))
	mn.key(binding)
	w.pass(2 * time.Minute)
	if ups := said[spd.PeerUp](ha); len(ups) > 1 {
		t.Errorf("%+v", ups)
	}
	mn.crash()
	ha.crash()
	mn.engine.sessions["ha"] = &kept
	w.log.Reset()
	mn.key(binding)
	w.script(resumeExchange + authWithTicket)
	w.settled(1)
}

// One peer's ticket does not serve another identity.
func TestRFC5723_4_3_3_Identity(t *testing.T) {
	w, mn, ha := lost(t, options{})
	mn.peer.LocalID = mustID("somebody@example.org")
	mn.key(binding)
	if n := len(said[spd.PeerUp](ha)); n != 0 || !strings.Contains(w.log.String(), "HA --> IKE_AUTH response 1 [ N(AUTHENTICATION_FAILED) ]") {
		t.Errorf("%d PeerUp\n%s", n, w.log.String())
	}
	w.pass(time.Minute)
	w.settled(0)
}

func TestResumptionWithACookie(t *testing.T) {
	w, mn, ha := lost(t, options{})
	ha.engine.cfg.Limits.Cookies = -1
	mn.key(binding)
	w.script(`
		MN --> IKE_SESSION_RESUME request 0 [ Ni N(TICKET_OPAQUE) N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SESSION_RESUME response 0 [ N(COOKIE) ]
		MN --> IKE_SESSION_RESUME request 0 [ N(COOKIE) Ni N(TICKET_OPAQUE) N(IKEV2_FRAGMENTATION_SUPPORTED) ]
		HA --> IKE_SESSION_RESUME response 0 [ Nr N(IKEV2_FRAGMENTATION_SUPPORTED) ]
	` + authWithTicket)
	w.settled(1)
}

// Messages of a resumption are lost like others, and forged ones are dropped.
func TestResumptionOnABadNetwork(t *testing.T) {
	for i := range 2 {
		w, mn, _ := lost(t, options{})
		w.losing("IKE_SESSION_RESUME", i)
		mn.key(binding)
		w.pass(10 * time.Second)
		w.settled(1)
		if strings.Contains(w.log.String(), "IKE_SA_INIT") {
			t.Error(w.log.String())
		}
	}
	w, mn, ha := lost(t, options{})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	request := w.flight[0]
	for n := range request.Data { // truncated, with a Length that fits
		short := slices.Clone(request.Data[:n])
		if n >= wire.HeaderLen {
			short[24], short[25], short[26], short[27] = 0, 0, byte(n>>8), byte(n)
		}
		ha.step(Datagram{Local: request.Remote, Remote: request.Local, Data: short})
	}
	if len(ha.engine.sas) != 0 {
		t.Errorf("%d half-open IKE_SAs of truncated requests", len(ha.engine.sas))
	}
	w.flight = w.flight[:1]
	w.run()
	w.settled(1)
}

// Tickets outlive one change of the key that seals them, not two.
func TestRFC5723_9_5_KeysChange(t *testing.T) {
	w, mn, ha := lost(t, options{})
	reseal(mn, func(s *session) { s.expires = w.now.Add(10 * ticketKeyLife) })
	e, ticket := ha.engine, mn.engine.sessions["ha"].ticket
	for weeks, want := range []bool{true, true, false} {
		e.now = w.now.Add(time.Duration(weeks) * ticketKeyLife)
		if _, _, err := e.openTicket(ticket); (err == nil) != want {
			t.Errorf("after %d weeks: %v", weeks, err)
		}
	}
	if bytes.Contains(ticket, mn.engine.sessions["ha"].d) || bytes.Contains(ticket, []byte("example.org")) {
		t.Error("the ticket is in clear")
	}
}

func TestUsedTicketsAreBounded(t *testing.T) {
	var u usedTickets
	now := time.Unix(1000, 0)
	id := func(n int) (id ticketID) {
		copy(id[:], []byte{byte(n), byte(n >> 8), byte(n >> 16), 1})
		return id
	}
	ends := func(n int) time.Time { return now.Add(time.Hour + time.Duration(n)*time.Second) }
	for n := range maxUsedTickets + 10 {
		u.add(now, id(n), ends(n))
	}
	if len(u.ids) > maxUsedTickets || len(u.order) > maxUsedTickets {
		t.Errorf("%d and %d are kept", len(u.ids), len(u.order))
	}
	for _, n := range []int{0, 9, 10, maxUsedTickets, maxUsedTickets + 9} {
		if !u.has(id(n), ends(n)) {
			t.Errorf("ticket %d could be used again", n)
		}
	}
	if fresh := maxUsedTickets + 11; u.has(id(fresh), ends(fresh)) {
		t.Error("a ticket that was not used is refused")
	}
	u.add(now.Add(1000*time.Hour), id(-1), now.Add(1001*time.Hour))
	if len(u.ids) != 1 {
		t.Errorf("%d are kept that have expired", len(u.ids))
	}
}

// The engine that gave a ticket is the one to resume with it.
func TestShardOfATicket(t *testing.T) {
	w, mn, _ := lost(t, options{change: func(mn, ha *host, mnCfg, haCfg *Config) {
		resumes(mn, ha, mnCfg, haCfg)
		haCfg.Shard = 3
	}})
	mn.tell(spd.Key{Demand: binding, Path: path1})
	data := w.flight[0].Data
	for n, want := range map[int]int{4: 3, 8: 3, 2: 1} {
		if shard, ok := ShardOf(data, n); !ok || shard != want {
			t.Errorf("of %d shards it is %d, %t, want %d", n, shard, ok, want)
		}
	}
	if _, ok := ShardOf(data[:len(data)-1], 4); ok {
		t.Error("a truncated request has a shard")
	}
	w.run()
	w.settled(1)
}

func FuzzTicket(f *testing.F) {
	w, mn, ha := newWorld(f, options{change: resumes})
	mn.key(binding)
	e := ha.engine
	e.now = w.now
	s, _, err := e.openTicket(mn.engine.sessions["ha"].ticket)
	if err != nil {
		f.Fatal(err)
	}
	plain := s.marshal()
	for n := range plain {
		if _, err := e.parseSession(plain[:n]); err == nil {
			f.Errorf("%d of %d octets are taken", n, len(plain))
		}
	}
	f.Add(plain)
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := e.parseSession(b); err == nil && !bytes.HasPrefix(b, s.marshal()[:26]) {
			t.Errorf("%x is written as %x", b, s.marshal())
		}
	})
}
