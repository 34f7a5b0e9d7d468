package pfkey

import (
	"errors"
	"net/netip"
	"os"
	"reflect"
	"syscall"
	"testing"

	"mipsecd/spd"
)

// listen lets a listener read the messages and returns all its events. Its requests are answered by answer.
func listen(t *testing.T, reports *fakeConn, answer func([]byte) [][]byte) []spd.Event {
	t.Helper()
	if reports.readErr == nil {
		reports.readErr = os.ErrClosed
	}
	l := newListener(&linux, reports, newClient(&linux, &fakeConn{answer: answer}))
	go l.run()
	var all []spd.Event
	for e := range l.events {
		all = append(all, e)
	}
	return all
}

func noAnswer([]byte) [][]byte { return nil }

// spdAnswers answers SPDGET and SPDDUMP from an SPD.
func spdAnswers(t *testing.T, policies ...spd.Policy) func([]byte) [][]byte {
	return func(b []byte) (series [][]byte) {
		req, err := linux.decode(b)
		if err != nil {
			t.Error(err)
			return nil
		}
		for i, p := range policies {
			m, err := linux.policyMessage(req.typ, p)
			if err != nil {
				t.Error(err)
				return nil
			}
			m.header, m.policy.id = req.header, p.Index
			switch {
			case req.typ == sadbSPDDump:
				m.seq = uint32(len(policies) - 1 - i)
			case p.Index != req.policy.id:
				continue
			}
			series = append(series, mustEncode(t, m))
		}
		if len(series) == 0 {
			req.errno = uint8(syscall.ENOENT)
			series = append(series, mustEncode(t, &message{header: req.header}))
		}
		return series
	}
}

func TestEvents(t *testing.T) {
	id := spd.SAID{Dst: homeAgent, Proto: spd.ESP, SPI: 0x1001}
	ah := spd.SAID{Dst: peer4, Proto: spd.AH, SPI: 0x1002}
	aboutSA := func(typ msgType, id spd.SAID) *message {
		m, err := idMessage(typ, id)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	aboutPolicy := func(typ msgType) *message {
		m, err := linux.policyMessage(typ, homeTestInit(away))
		if err != nil {
			t.Fatal(err)
		}
		m.policy.id = 9
		return m
	}
	with := func(m *message, change func(*message)) *message { change(m); return m }
	policy := homeTestInit(away)
	policy.Index = 9
	for _, c := range []struct {
		name string
		m    *message
		want []spd.Event
	}{
		{"soft EXPIRE", with(aboutSA(sadbExpire, id), func(m *message) { m.soft = &lifetime{} }),
			[]spd.Event{spd.Expire{ID: id}}},
		{"hard EXPIRE", with(aboutSA(sadbExpire, ah), func(m *message) { m.hard = &lifetime{} }),
			[]spd.Event{spd.Expire{ID: ah, Hard: true}}},
		{"EXPIRE of an unanswered ACQUIRE", with(aboutSA(sadbExpire, id), func(m *message) { m.sa.spi = 0 }), nil},
		{"EXPIRE of IPCOMP", with(aboutSA(sadbExpire, id), func(m *message) { m.satype = 9 }), nil},
		{"DELETE", aboutSA(sadbDelete, id), []spd.Event{spd.SARemoved{ID: id}}},
		{"somebody's failed DELETE", with(aboutSA(sadbDelete, id), func(m *message) { m.errno = 3 }), nil},
		{"ADD", aboutSA(sadbAdd, id), nil},
		{"FLUSH", &message{header: header{typ: sadbFlush}}, []spd.Event{spd.Flushed{}}},
		{"SPDFLUSH", &message{header: header{typ: sadbSPDFlush}}, []spd.Event{spd.Flushed{Policies: true}}},
		{"SPDADD", aboutPolicy(sadbSPDAdd), []spd.Event{spd.PolicyChanged{Policy: policy}}},
		{"SPDUPDATE", aboutPolicy(sadbSPDUpdate), []spd.Event{spd.PolicyChanged{Policy: policy}}},
		{"SPDDELETE", aboutPolicy(sadbSPDDelete), []spd.Event{spd.PolicyChanged{Policy: policy, Gone: true}}},
		{"SPDDELETE2", aboutPolicy(sadbSPDDelete2), []spd.Event{spd.PolicyChanged{Policy: policy, Gone: true}}},
		{"SPDEXPIRE", aboutPolicy(sadbSPDExpire), []spd.Event{spd.PolicyChanged{Policy: policy, Gone: true}}},
		{"a policy without addresses", with(aboutPolicy(sadbSPDAdd), func(m *message) { m.src = nil }),
			[]spd.Event{spd.EventsLost{}}},
		{"a MIGRATE of half a pair", aboutPolicy(sadbMigrate), []spd.Event{spd.EventsLost{}}},
		{"NAT_T_NEW_MAPPING without a port", with(aboutSA(sadbNATMapping, id), func(m *message) { m.encap.Src = 4500 }),
			[]spd.Event{spd.EventsLost{}}},
		{"an ACQUIRE from nowhere", &message{header: header{typ: sadbAcquire}}, []spd.Event{spd.EventsLost{}}},
	} {
		got := listen(t, &fakeConn{queue: [][]byte{mustEncode(t, c.m)}}, noAnswer)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestAcquireIsFilledInFromTheSPD(t *testing.T) {
	template := func(mode spd.Mode, reqid uint32, e spd.Endpoints) spd.Template {
		return spd.Template{Proto: spd.ESP, Mode: mode, Level: spd.Unique, Reqid: reqid, Endpoints: e}
	}
	ah := template(spd.Transport, 2, spd.Endpoints{})
	ah.Proto = spd.AH
	policy := homeTestInit(away)
	policy.Index = 42
	policy.Templates = []spd.Template{ah, template(spd.Tunnel, 3, away2), template(spd.Tunnel, 5, away)}
	bare := spd.Acquire{Seq: 7, PolicyIndex: 42, Endpoints: away, Template: spd.Template{Proto: spd.ESP}}
	full := bare
	full.Selector, full.Template = policy.Selector, policy.Templates[2]
	transport := full
	transport.Template, transport.Endpoints = ah, atHome

	acquire := func(satype uint8, e spd.Endpoints) []byte {
		return mustEncode(t, &message{header: header{typ: sadbAcquire, satype: satype, seq: 7},
			src: hostAddress(e.Src), dst: hostAddress(e.Dst), policy: &policyExt{action: policyIPsec, dir: 2, id: 42}})
	}
	for _, c := range []struct {
		name   string
		report []byte
		spd    []spd.Policy
		want   spd.Event
	}{
		{"tunnel", acquire(satypeESP, away), []spd.Policy{homeTestInit(away2), policy}, full},
		{"transport", acquire(satypeAH, atHome), []spd.Policy{policy}, transport},
		{"policy gone", acquire(satypeESP, away), nil, bare},
	} {
		got := listen(t, &fakeConn{queue: [][]byte{c.report}}, spdAnswers(t, c.spd...))
		if !reflect.DeepEqual(got, []spd.Event{c.want}) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestAcquireWithPacket(t *testing.T) {
	f := fixtures[2]
	l := newListener(f.dialect, nil, newClient(f.dialect, &fakeConn{answer: noAnswer}))
	m, err := f.dialect.decode(parse(t, f.octets))
	if err != nil {
		t.Fatal(err)
	}
	e, err := l.event(m)
	want := spd.Acquire{Seq: 7, PolicyIndex: 42, Endpoints: atHome, Template: spd.Template{Proto: spd.ESP},
		Packet: f.message.packet}
	if err != nil || !reflect.DeepEqual(e, want) {
		t.Errorf("%+v, error %v, want %+v", e, err, want)
	}
}

func TestMigrateReportGetsItsTypeFromTheSPD(t *testing.T) {
	policy := func(mhType uint16, e spd.Endpoints, reqid uint32) spd.Policy {
		p := homeTestInit(e)
		p.Selector.SrcPort, p.Templates[0].Reqid = spd.ExactPort(mhType), reqid
		return p
	}
	incoming := policy(3, away, 5)
	incoming.Dir = spd.In
	elsewhere := policy(4, away, 5)
	elsewhere.Selector.Src = netip.MustParsePrefix("2001:db8:1::100/127")
	untyped := policy(5, away, 9)
	untyped.Selector.SrcPort = spd.Port{}
	want := spd.Migrate{
		PolicyKey: homeTestInit(away).PolicyKey, KMAddress: away,
		Changes: []spd.EndpointChange{{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 5, Old: atHome, New: away}},
	}
	for _, c := range []struct {
		name     string
		policies []spd.Policy
		want     spd.Port
	}{
		{"the one of the reqid", []spd.Policy{incoming, elsewhere, untyped, policy(2, away, 6), policy(1, away, 5)},
			spd.ExactPort(1)},
		{"the one that moved", []spd.Policy{policy(2, atHome, 5), policy(1, away, 5)}, spd.ExactPort(1)},
		{"the one that has moved on since", []spd.Policy{policy(2, away2, 6), policy(1, away2, 5)}, spd.ExactPort(1)},
		{"the only one", []spd.Policy{elsewhere, policy(1, away2, 6)}, spd.ExactPort(1)},
		{"none", []spd.Policy{incoming, elsewhere}, spd.Port{}},
	} {
		want.Selector.SrcPort = c.want
		got := listen(t, &fakeConn{queue: [][]byte{parse(t, capturedMigrate)}}, spdAnswers(t, c.policies...))
		if !reflect.DeepEqual(got, []spd.Event{want}) {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
}

// KAME moves tunnels by itself. Unless it says so by SADB_X_MIGRATE, nobody has sent the SADB_X_SPDUPDATE that says so.
func TestSPDUpdateInPlaceOfMigrate(t *testing.T) {
	for _, c := range []struct {
		name    string
		dialect *dialect
		typ     msgType
		pid     uint32
		moved   bool
	}{
		{"KAME", &bsd, sadbSPDUpdate, 0, true},
		{"somebody's", &bsd, sadbSPDUpdate, 12, false},
		{"SPDADD", &bsd, sadbSPDAdd, 0, false},
		{"Linux, which knows no sender by netlink", &linux, sadbSPDUpdate, 0, false},
	} {
		m, err := c.dialect.policyMessage(c.typ, homeTestInit(away))
		if err != nil {
			t.Fatal(err)
		}
		m.header = header{typ: c.typ, pid: c.pid, seq: 1} // the direction, as KAME has it
		l := newListener(c.dialect, nil, nil)
		got, err := l.event(m)
		if e, ok := got.(spd.PolicyChanged); !ok || err != nil || e.Moved != c.moved || e.Policy.Templates[0].Endpoints != away {
			t.Errorf("%s: %+v, %v, want moved %t", c.name, got, err, c.moved)
		}
	}
}

func TestLostEvents(t *testing.T) {
	flush := mustEncode(t, &message{header: header{typ: sadbFlush}})
	queue := func() [][]byte { return [][]byte{flush, flush, flush, flush} }
	F, L := spd.Flushed{}, spd.EventsLost{}
	for _, c := range []struct {
		name string
		conn *fakeConn
		want []spd.Event
	}{
		{"always room", &fakeConn{queue: queue()}, []spd.Event{F, F, F, F}},
		{"no room for a while", &fakeConn{queue: queue(), crowds: []bool{true, true, false}}, []spd.Event{F, F, F, L, F}},
		{"no room twice", &fakeConn{queue: queue(), crowds: []bool{true, false, true, false}},
			[]spd.Event{F, F, L, F, F, L}},
		{"a message that makes no sense", &fakeConn{queue: [][]byte{flush, {1}, flush}}, []spd.Event{F, L, F}},
	} {
		if got := listen(t, c.conn, noAnswer); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestEventsBeforeRegistrationIsOver(t *testing.T) {
	flush := mustEncode(t, &message{header: header{typ: sadbFlush}})
	c := &fakeConn{answer: func(b []byte) [][]byte {
		return [][]byte{flush, reply(t, b, func(m *message) { m.encrAlgs = []algorithm{{id: 12}} })}
	}}
	l := newListener(&linux, c, nil)
	m, err := l.register()
	if err != nil || !numbers(m.encrAlgs)[12] {
		t.Fatalf("%+v, error %v", m, err)
	}
	var satypes []uint8
	for _, b := range c.sent {
		satypes = append(satypes, b[3])
	}
	if !reflect.DeepEqual(satypes, []uint8{satypeAH, satypeESP}) {
		t.Errorf("registered for %d", satypes)
	}
	c.readErr = errors.New("over")
	go l.run()
	for range 2 {
		if e := <-l.events; e != (spd.Flushed{}) {
			t.Errorf("got %+v", e)
		}
	}
	if e, open := <-l.events; open {
		t.Errorf("got %+v", e)
	}
}
