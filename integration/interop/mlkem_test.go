//go:build linux

package interop

import "testing"

// TestStrongSwanWithoutMLKEM has mipsecd want ML-KEM-768 after other key exchanges (RFC 9370), of which strongSwan 5.9 knows
// nothing: where mipsecd can do without, they agree on that, and where it cannot, on nothing.
func TestStrongSwanWithoutMLKEM(t *testing.T) {
	const ike, esp = "-ke1_mlkem768", "aes128gcm16-x25519-ke1_mlkem768,"
	fallback := func(first string) func(*pairing, *testing.T) {
		return func(p *pairing, t *testing.T) {
			m := modern.mipsecd()
			m.ike, m.esp = first, esp+m.esp
			x := p.meet(t, m, modern.peer())
			a := x.both(t)
			x.bothPass(t, a)
			x.peer.rekeyIKE(t)
			x.bothPass(t, x.replaced(t, func(now agreement) bool { return now.ike != a.ike }))
		}
	}
	refused := func(only string) func(*pairing, *testing.T) {
		return func(p *pairing, t *testing.T) {
			m := modern.mipsecd()
			m.ike = only
			x := p.meet(t, m, modern.peer())
			x.refused(t, noProposal)
			x.nothing(t)
			x.hidden(t)
		}
	}
	tests := []extension{
		{"there is a proposal without it", fallback(modern.ike + ike + "," + modern.ike)},
		{"there is none", refused(modern.ike + ike)},
	}
	bothWays(t,
		// One who does not know a type of transform refuses the whole proposal, though NONE is offered.
		append(tests, extension{"it is optional in the only one", refused(modern.ike + ike + "-ke1_none")}),
		append(tests, extension{"it is optional in the only one", fallback(modern.ike + ike + "-ke1_none")}))
}
