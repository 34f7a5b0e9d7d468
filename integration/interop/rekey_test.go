//go:build linux

package interop

import (
	"errors"
	"testing"
)

// peerRekeys: each Child SA, then the IKE_SA, then a Child SA again with keys of the new IKE_SA.
func (p *pairing) peerRekeys(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.peer())
	first := x.both(t)
	x.peer.rekeyChild(t, x.first)
	second := x.replaced(t, func(now agreement) bool { return other(now, first, 0) })
	x.peer.rekeyChild(t, x.second)
	third := x.replaced(t, func(now agreement) bool { return other(now, second, 1) })
	x.bothPass(t, third)

	x.peer.rekeyIKE(t)
	fourth := x.replaced(t, func(now agreement) bool { return now.ike != third.ike })
	for i, c := range fourth.children {
		if c != third.children[i] {
			t.Errorf("with the IKE_SA a Child SA has changed: %08x, want %08x", c, third.children[i])
		}
	}
	x.passes(t, x.first, fourth.children[0])
	x.peer.rekeyChild(t, x.second)
	fifth := x.replaced(t, func(now agreement) bool { return other(now, fourth, 1) })
	x.passes(t, x.second, fifth.children[1])
}

// mipsecdRekeys: mipsecd rekeys because its lifetimes are the shorter ones.
func (p *pairing) mipsecdRekeys(t *testing.T) {
	m := modern.mipsecd()
	m.more = "child-lifetime = \"10s\"\nike-lifetime = \"12s\"\n"
	p.rekeyed(t, m, modern.peer())
}

// peerOutlived: the peer rekeys because its lifetimes, of so many seconds for a Child SA, are the shorter ones.
func (p *pairing) peerOutlived(lifetime int) func(*testing.T) {
	return func(t *testing.T) {
		o := modern.peer()
		o.lifetime = lifetime
		p.rekeyed(t, modern.mipsecd(), o)
	}
}

// rekeyed: within lifetimes all SAs are replaced, and traffic goes on.
func (p *pairing) rekeyed(t *testing.T, m mipsecdOptions, o peerOptions) {
	x := p.meet(t, m, o)
	first := x.both(t)
	callAll := func() {
		x.call(t, x.first)
		x.call(t, x.second) // nothing, without a second
	}
	second := x.replaced(t, func(now agreement) bool {
		for i := range first.children {
			if !other(now, first, i) {
				return false
			}
		}
		return true
	})
	callAll()
	x.replaced(t, func(now agreement) bool { return now.ike != second.ike })
	callAll()
	x.hidden(t)
}

// other reports whether both SPIs of a Child SA are others now.
func other(now, before agreement, child int) bool {
	return now.children[child].toHA != before.children[child].toHA && now.children[child].toMN != before.children[child].toMN
}

// replaced waits until something else is there in the place of what was, which is gone.
func (x *meeting) replaced(t *testing.T, done func(agreement) bool) (now agreement) {
	t.Helper()
	wait(t, "it is rekeyed", func() error {
		if now = x.agreed(t, x.first, x.second); !done(now) {
			return errors.New("the SPIs are as before")
		}
		return nil
	})
	return now
}
