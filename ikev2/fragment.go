package ikev2

import (
	"fmt"
	"slices"
	"time"

	"mipsecd/ikev2/wire"
)

// Fragments carry a message that is too long for one datagram (RFC 7383): parts of what its Encrypted payload would hold,
// each protected by itself. IKE_SA_INIT, which has no such payload, is never in fragments.

// DefaultFragmentSize makes an IP datagram of 1280 octets, which IPv6 carries everywhere (RFC 7383 section 2.5.1): less
// the headers of IPv6 and UDP.
const DefaultFragmentSize = 1280 - 40 - 8

// minFragmentSize has room for content with any cipher.
const minFragmentSize = 128

// fragmentHead is all before the Body of an SKF in a fragment of ours.
const fragmentHead = wire.HeaderLen + 8

// What one message of a peer may take up while it is incomplete: an attacker who has done no more than a key exchange
// can have that much kept for each half-open IKE_SA. A long chain of certificates fits in, and in the smallest datagrams
// that RFC 7383 section 2.5.1 knows, of 576 octets, it is half as many fragments.
const (
	maxAssembled = 16 << 10 // octets
	maxFragments = 64
)

// fragmentation says in IKE_SA_INIT that we can put fragments together, if we can and, in an answer, the peer can, too
// (RFC 7383 section 2.3).
type fragmentation struct{ silent }

func (fragmentation) offerInit(e *Engine, _ *ikeSA) []wire.Payload {
	if e.cfg.FragmentSize < 0 {
		return nil
	}
	return []wire.Payload{&wire.Notify{Kind: wire.NotifyIKEv2FragmentationSupported}}
}

func (f fragmentation) answerInit(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload {
	f.initAnswered(e, sa, request)
	if !sa.fragments {
		return nil
	}
	return f.offerInit(e, sa)
}

func (fragmentation) initAnswered(e *Engine, sa *ikeSA, theirs []wire.Payload) {
	sa.fragments = e.cfg.FragmentSize > 0 && wire.FindNotify(theirs, wire.NotifyIKEv2FragmentationSupported) != nil
}

// fragmented builds the fragments of a message: its header, and the content of its Encrypted payload in parts.
func (e *Engine) fragmented(sa *ikeSA, h wire.Header, first wire.PayloadType, plain []byte) (datagrams [][]byte) {
	room := sa.keys.out.Room(e.cfg.FragmentSize - fragmentHead)
	total := (len(plain) + room - 1) / room
	for part := range slices.Chunk(plain, room) {
		datagrams = append(datagrams, e.seal(sa, h, &wire.SKF{
			Inner: first, Number: uint16(len(datagrams) + 1), Total: uint16(total), Body: make([]byte, sa.keys.out.Len(len(part))),
		}, part))
		first = wire.PayloadNone
	}
	return datagrams
}

// assembly is the fragments that are here of a message that is not all here: of the next request, or of the answer to the
// outstanding one.
type assembly struct {
	exchange wire.ExchangeType
	first    wire.PayloadType
	head     []byte   // of the first fragment, as in content
	parts    [][]byte // by Fragment Number, from 0 on; nil is missing
	missing  int
	octets   int
	timeout  *timer
}

// collect takes a fragment in, and yields the content of the message when it is the last one that was missing. The order
// of the checks is that of RFC 7383 section 2.6. A fragment that is here already is not an error: when one is lost, the
// sender repeats them all.
func (e *Engine) collect(sa *ikeSA, d Datagram, m *wire.Message, a *assembly, f *wire.SKF) (*content, error) {
	if err := a.check(m.Exchange, f); err != nil {
		return nil, err
	}
	if a.has(f) {
		return nil, nil
	}
	part, err := unseal(sa.keys.in, d, f.Body)
	if err != nil {
		return nil, err
	}
	if a.timeout == nil && !m.Response { // an answer is waited for as long as its request is repeated
		a.timeout = e.after(e.cfg.Timing.patience(), func() { *a = assembly{} })
	}
	if err := a.add(m.Exchange, f, part, headOf(d, f.Body)); err != nil || a.missing > 0 {
		return nil, err
	}
	return &content{a.first, slices.Concat(a.parts...), a.head}, nil
}

// check refuses what is not of this message, is of an earlier splitting of it, or would be too much.
func (a *assembly) check(exchange wire.ExchangeType, f *wire.SKF) error {
	switch {
	case f.Total > maxFragments:
		return fmt.Errorf("fragment %d of %d, at most %d are taken", f.Number, f.Total, maxFragments)
	case len(a.parts) > int(f.Total):
		return fmt.Errorf("fragment %d of %d, of a message that is in %d by now", f.Number, f.Total, len(a.parts))
	case len(a.parts) > 0 && a.exchange != exchange:
		return fmt.Errorf("fragment %d of %d of %s, of a message of %s", f.Number, f.Total, exchange, a.exchange)
	}
	return nil
}

func (a *assembly) has(f *wire.SKF) bool {
	return len(a.parts) == int(f.Total) && a.parts[f.Number-1] != nil
}

// add keeps a part that is proven to be the peer's. A message that comes in more fragments than before is a new splitting,
// which has no part in common with that (RFC 7383 section 2.6).
func (a *assembly) add(exchange wire.ExchangeType, f *wire.SKF, part, head []byte) error {
	if total := int(f.Total); len(a.parts) != total {
		*a = assembly{exchange: exchange, parts: make([][]byte, total), missing: total, timeout: a.timeout}
	}
	size := len(part)
	if f.Number == 1 {
		size += len(head) - fragmentHead // payloads before the SKF
	}
	if a.octets+size > maxAssembled {
		return fmt.Errorf("fragment %d of %d: the message has more than %d octets", f.Number, f.Total, maxAssembled)
	}
	if f.Number == 1 {
		a.first, a.head = f.Inner, slices.Clone(head)
	}
	a.parts[f.Number-1] = part
	a.missing--
	a.octets += size
	return nil
}

// forgetFragments discards what is kept of a message: it is here as a whole, or will not be.
func (e *Engine) forgetFragments(a *assembly) {
	e.stop(a.timeout)
	*a = assembly{}
}

// patience is how long a request is repeated. So long its fragments may take, too (RFC 7383 section 2.6).
func (t Timing) patience() time.Duration { return t.Retransmit * (1<<t.Tries - 1) }
