package agent

import (
	"io"
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
