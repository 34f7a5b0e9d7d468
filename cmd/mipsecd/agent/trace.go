package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"mipsecd/ikev2"
	"mipsecd/internal/pcapng"
)

// Trace writes each IKE message in clear to a pcapng file that Wireshark reads. It holds no keys.
type Trace struct {
	mu  sync.Mutex
	w   *pcapng.Writer
	err error
}

// NewTrace begins a file.
func NewTrace(w io.Writer) (*Trace, error) {
	p, err := pcapng.NewWriter(w)
	return &Trace{w: p}, err
}

// Watch records what happens, if it is a message.
func (t *Trace) Watch(now time.Time, what any) {
	m, ok := what.(ikev2.Traced)
	if !ok {
		return
	}
	pdu := pcapng.PDU{
		Time: now, Dissector: "isakmp", Src: m.Remote, Dst: m.Local, Data: m.Message, Comment: m.Summary, Outbound: m.Outbound,
	}
	if m.Outbound {
		pdu.Src, pdu.Dst = pdu.Dst, pdu.Src
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = t.w.WritePDU(pdu)
	}
}

// Err is the first error in writing; nothing is written after it.
func (t *Trace) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// traceFile is the trace of a running agent, on or off.
type traceFile struct {
	mu    sync.Mutex
	file  *os.File // nil while it is off
	trace *Trace
}

// errNoTrace says that there is no trace to stop.
var errNoTrace = errors.New("there is no trace under way")

// StartTrace begins to write each message in clear to a new file, in place of an earlier trace. Only its owner may read
// it: it holds identities and traffic selectors.
func (a *Agent) StartTrace(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	trace, err := NewTrace(f)
	if err != nil {
		f.Close()
		return fmt.Errorf("trace: %w", err)
	}
	a.failed("writing the trace", a.tracing.set(f, trace))
	a.traceAll(true)
	return nil
}

// StopTrace ends the trace. The error is the first one in writing it.
func (a *Agent) StopTrace() error {
	if a.tracing.name() == "" {
		return errNoTrace
	}
	a.traceAll(false)
	return a.tracing.set(nil, nil)
}

// traceAll has the engines tell of their messages, or no longer.
func (a *Agent) traceAll(on bool) {
	for _, s := range a.shards {
		s.inbox.put(func() { s.engine.SetTrace(on) })
	}
}

// set puts another file, or none, in place of the one there is, and yields what went wrong with that.
func (t *traceFile) set(f *os.File, trace *Trace) (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		err = errors.Join(t.trace.Err(), t.file.Close())
	}
	t.file, t.trace = f, trace
	return err
}

func (t *traceFile) watch(now time.Time, what any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trace != nil {
		t.trace.Watch(now, what)
	}
}

// name is the path of the file, empty while there is none.
func (t *traceFile) name() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return ""
	}
	return t.file.Name()
}
