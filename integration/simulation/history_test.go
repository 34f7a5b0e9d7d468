package simulation

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mipsecd/ikev2/wire"
)

// history is what has lately happened to a mobile node, on both sides.
type history struct {
	lines [400]line
	count int
}

// line is put into words only when somebody wants to read it.
type line struct {
	at     time.Time
	where  string
	format string
	args   []any
}

func (h *history) add(l line) {
	h.lines[h.count%len(h.lines)] = l
	h.count++
}

func (h *history) String() string {
	var out strings.Builder
	for i := max(0, h.count-len(h.lines)); i < h.count; i++ {
		l := h.lines[i%len(h.lines)]
		fmt.Fprintf(&out, "%s %s %s\n", l.at.Format("04:05.000"), l.where, fmt.Sprintf(l.format, l.args...))
	}
	return out.String()
}

// note writes down what a host does that concerns the mobile node with an address, its own or the peer's.
func (w *world) note(h *host, with netip.Addr, format string, args ...any) {
	w.about(h, w.byAddr[with], format, args...)
}

// noteOf is the same by the name of the peer.
func (w *world) noteOf(h *host, peer, format string, args ...any) {
	w.about(h, w.byName[peer], format, args...)
}

func (w *world) about(h *host, n *mobileNode, format string, args ...any) {
	if h.node != nil {
		n = h.node
	}
	if n != nil {
		w.touched[n] = true
		n.history.add(line{w.now, h.name, format, args})
	}
}

// fail ends the test with the history of the mobile node that a peer of a host is.
func (w *world) fail(h *host, peer, format string, args ...any) {
	w.t.Helper()
	n := w.byName[peer]
	if h.node != nil {
		n = h.node
	}
	past := "all of them"
	if n != nil {
		past = n.history.String()
	}
	w.t.Fatalf("seed %d, %s on %s: %s\n%s", w.seed, w.now.Format("04:05.000"), h.name, fmt.Sprintf(format, args...), past)
}

// message is the header of an IKE message, in words when it is read.
type message []byte

func (m message) String() string {
	h, err := wire.ParseHeader(m)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %d of %016x %016x, response %t", h.Exchange, h.MessageID, h.SPIi, h.SPIr, h.Response)
}
