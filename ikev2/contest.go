package ikev2

import "bytes"

// contest is the rekeying of one SA: by this side, by the peer, or by both at once (RFC 7296 sections 2.8.1 and 2.8.2).
// It is decided when neither attempt is pending.
type contest[SA any] struct{ mine, theirs attempt[SA] }

// attempt is one side's exchange.
type attempt[SA any] struct {
	pending bool
	made    *SA    // what came of it, or nil
	nonce   []byte // the lower of the exchange's two
}

func (c *contest[SA]) pending() bool { return c.mine.pending || c.theirs.pending }

// mineLoses reports whether there are two new SAs, and ours is the one of the exchange with the lowest of the four
// nonces: the side that asked for it closes it.
func (c *contest[SA]) mineLoses() bool {
	return c.mine.made != nil && c.theirs.made != nil && bytes.Compare(c.mine.nonce, c.theirs.nonce) < 0
}

func lower(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}
