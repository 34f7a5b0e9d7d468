package pfkey

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"mipsecd/spd"
)

// fakeConn is a kernel that answers a request with what answer says. Without an answer the wait is over at once.
type fakeConn struct {
	answer  func(request []byte) [][]byte
	sent    [][]byte
	queue   [][]byte
	crowds  []bool // what crowded says, one after the other
	sendErr error
	readErr error // what receive says once the queue is empty
}

func (c *fakeConn) send(b []byte) error {
	if c.sendErr != nil {
		return c.sendErr
	}
	c.sent = append(c.sent, bytes.Clone(b))
	c.queue = append(c.queue, c.answer(b)...)
	return nil
}

func (c *fakeConn) receive(time.Time) ([]byte, error) {
	if len(c.queue) == 0 {
		return nil, cmp.Or(c.readErr, os.ErrDeadlineExceeded)
	}
	b := c.queue[0]
	c.queue = c.queue[1:]
	return b, nil
}

func (c *fakeConn) drain(see func([]byte)) error {
	for _, b := range c.queue {
		see(b)
	}
	c.queue = nil
	return nil
}

func (c *fakeConn) close() error { return nil }

func (c *fakeConn) crowded() (bool, error) {
	if len(c.crowds) == 0 {
		return false, nil
	}
	now := c.crowds[0]
	c.crowds = c.crowds[1:]
	return now, nil
}

// mustEncode lays out a message of Linux.
func mustEncode(t testing.TB, m *message) []byte {
	t.Helper()
	b, err := linux.encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reply makes the answer to a request by changing it.
func reply(t testing.TB, request []byte, change func(*message)) []byte {
	t.Helper()
	m, err := linux.decode(request)
	if err != nil {
		t.Fatal(err)
	}
	change(m)
	return mustEncode(t, m)
}

func TestReplyIsToldApart(t *testing.T) {
	stale := &message{header: header{typ: sadbSPDGet, errno: 5, pid: uint32(os.Getpid())}}
	c := &fakeConn{queue: [][]byte{mustEncode(t, stale)}}
	c.answer = func(b []byte) [][]byte {
		return [][]byte{
			{1, 2, 3}, // no message
			reply(t, b, func(m *message) { m.pid++; m.policy.id = 1 }),
			reply(t, b, func(m *message) { m.seq++; m.policy.id = 2 }),
			reply(t, b, func(m *message) { m.typ = sadbSPDAdd; m.policy.id = 3 }),
			reply(t, b, func(m *message) { m.seq++; m.errno = 22 }),
			reply(t, b, func(m *message) { m.policy.id = 4 }),
			reply(t, b, func(m *message) { m.policy.id = 5 }),
		}
	}
	m, err := newClient(&linux, c).do(&message{header: header{typ: sadbSPDGet}, policy: &policyExt{id: 9}})
	if err != nil || m.policy.id != 4 {
		t.Fatalf("%+v, error %v", m, err)
	}
}

func TestRequestsHaveTheirOwnNumbers(t *testing.T) {
	c := &fakeConn{answer: func(b []byte) [][]byte { return [][]byte{bytes.Clone(b)} }}
	var seen []uint32
	for range 3 {
		m, err := newClient(&linux, c).do(&message{header: header{typ: sadbSPDGet}})
		if err != nil {
			t.Fatal(err)
		}
		if m.seq < 1<<31 || slices.Contains(seen, m.seq) || m.pid != uint32(os.Getpid()) {
			t.Errorf("sequence number %d after %d, process %d", m.seq, seen, m.pid)
		}
		seen = append(seen, m.seq)
	}
	m, err := newClient(&linux, c).do(&message{header: header{typ: sadbAdd, seq: 7}})
	if err != nil || m.seq != 7 {
		t.Errorf("the number of an ACQUIRE became %+v, error %v", m, err)
	}
}

func TestErrnos(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		2: spd.ErrNotFound, 3: spd.ErrNotFound, 17: spd.ErrExists, // ENOENT, ESRCH, EEXIST
		61: spd.ErrNoTemplate, 22: spd.ErrInvalid, 38: spd.ErrInvalid, 40: spd.ErrInvalid, // ENODATA, EINVAL, ENOSYS, ELOOP
		1: syscall.EPERM,
	} {
		answered := &fakeConn{answer: func(b []byte) [][]byte {
			return [][]byte{reply(t, b, func(m *message) { m.errno = uint8(errno) })}
		}}
		for how, c := range map[string]*fakeConn{"reply": answered, "send": {sendErr: os.NewSyscallError("write", errno)}} {
			_, err := newClient(&linux, c).do(&message{header: header{typ: sadbSPDGet}})
			if !errors.Is(err, want) || !errors.Is(err, errno) {
				t.Errorf("errno %d by %s: %v, want %v", errno, how, err, want)
			}
			_, err = newClient(&linux, c).do(&message{header: header{typ: sadbAdd}})
			if !errors.Is(err, errno) || errors.Is(err, spd.ErrNotFound) {
				t.Errorf("errno %d of ADD by %s: %v", errno, how, err)
			}
		}
	}
}

func TestNoReply(t *testing.T) {
	c := &fakeConn{answer: func([]byte) [][]byte { return nil }}
	if _, err := newClient(&linux, c).do(&message{header: header{typ: sadbGet}}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestDump(t *testing.T) {
	var series func(b []byte) [][]byte
	c := newClient(&linux, &fakeConn{answer: func(b []byte) [][]byte { return series(b) }})
	list := func() (ids []uint32, err error) {
		err = c.dump(sadbSPDDump, func(m *message) error {
			ids = append(ids, m.policy.id)
			return nil
		})
		return ids, err
	}
	element := func(b []byte, id, seq uint32) []byte {
		return reply(t, b, func(m *message) { m.seq, m.policy = seq, &policyExt{id: id} })
	}

	series = func(b []byte) [][]byte {
		other := reply(t, b, func(m *message) { m.typ, m.seq = sadbSPDAdd, 0 })
		return [][]byte{element(b, 3, 2), other, element(b, 2, 1), element(b, 1, 0), element(b, 9, 0)}
	}
	if ids, err := list(); err != nil || !slices.Equal(ids, []uint32{3, 2, 1}) {
		t.Errorf("a series: %d, error %v", ids, err)
	}

	series = func(b []byte) [][]byte {
		return [][]byte{reply(t, b, func(m *message) { m.errno = uint8(syscall.ENOENT) })}
	}
	if ids, err := list(); err != nil || len(ids) != 0 {
		t.Errorf("nothing to list: %d, error %v", ids, err)
	}

	series = func(b []byte) [][]byte {
		bad := element(b, 2, 1)
		bad[headerLen] = 0
		return [][]byte{element(b, 3, 2), bad, element(b, 1, 0)}
	}
	if ids, err := list(); err == nil || !slices.Equal(ids, []uint32{3, 1}) {
		t.Errorf("one that makes no sense: %d, error %v", ids, err)
	}

	series = func(b []byte) [][]byte {
		return [][]byte{element(b, 3, 2), reply(t, b, func(m *message) { m.seq, m.errno = 0, uint8(syscall.ENOMEM) })}
	}
	if ids, err := list(); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("one that breaks off: %d, error %v", ids, err)
	}
}

// The kernel answers a MIGRATE only when it fails. What it reports of one that succeeds may be about another process's.
func TestMigrateIsAnsweredOnlyWhenItFails(t *testing.T) {
	g := spd.Migrate{PolicyKey: homeTestInit(atHome).PolicyKey, KMAddress: away,
		Changes: []spd.EndpointChange{{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 5, Old: atHome, New: away}}}
	report := func(m *message) { m.seq, m.pid, m.src.port = 0, 0, 0 }
	refusal := func(m *message) { m.errno = 61 /* ENODATA */ }
	others := func(m *message) { m.pid, m.errno = m.pid+1, 22 }
	earlier := func(m *message) { m.seq, m.errno = m.seq-1, 22 }
	for name, test := range map[string]struct {
		answers []func(*message)
		want    error
	}{
		"nothing":                    {nil, nil},
		"a report":                   {[]func(*message){report}, nil},
		"a refusal":                  {[]func(*message){refusal}, spd.ErrNoTemplate},
		"a report, then a refusal":   {[]func(*message){report, refusal}, spd.ErrNoTemplate},
		"a refusal, then a report":   {[]func(*message){refusal, report}, spd.ErrNoTemplate},
		"refusals of other requests": {[]func(*message){others, earlier, report}, nil},
	} {
		c := &fakeConn{}
		c.answer = func(b []byte) (answers [][]byte) {
			for _, change := range test.answers {
				answers = append(answers, reply(t, b, change))
			}
			return append(answers, []byte("no message"))
		}
		req, err := linux.migrateMessage(g)
		if err != nil {
			t.Fatal(err)
		}
		if err := newClient(&linux, c).migrate(req); !errors.Is(err, test.want) || len(c.queue) != 0 {
			t.Errorf("%s: error %v, want %v; %d messages left", name, err, test.want, len(c.queue))
		}
		c.sendErr = os.NewSyscallError("write", syscall.ENODATA)
		if err := newClient(&linux, c).migrate(req); !errors.Is(err, spd.ErrNoTemplate) {
			t.Errorf("no room for the refusal: error %v", err)
		}
	}
}
