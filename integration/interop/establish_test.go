//go:build linux

package interop

import (
	"testing"

	"mipsecd/integration/lab"
)

// suite is what both are configured for; several proposals are separated by commas.
type suite struct{ name, ike, esp string }

var (
	modern = suite{"modern", "aes128gcm16-prfsha256-x25519", "aes128gcm16-x25519"}
	basic  = suite{"workshop basic", "aes128-sha1-modp1536", "aes128-sha1"}
	suites = []suite{
		modern,
		{"P-256", "aes128gcm16-prfsha256-ecp256", "aes128gcm16-ecp256"},
		{"MODP-2048", "aes256-sha256-modp2048", "aes256-sha256-modp2048"},
		basic,
	}
)

func (s suite) mipsecd() mipsecdOptions { return mipsecdOptions{suite: s} }
func (s suite) charon() charonOptions   { return charonOptions{suite: s} }

// basics: a Child SA is made by IKE_SA_INIT and IKE_AUTH, carries traffic, and is deleted with the IKE_SA when mipsecd
// ends.
func (p *pairing) basics(t *testing.T, k traffic, s suite) {
	x := p.meet(t, s.mipsecd(), s.charon())
	x.establish(t, k)
	x.passes(t, k, x.agreed(t, k).children[0])
	x.mipsecd.stop(t)
	x.nothing(t)
}

// both has the Child SA for the binding made by IKE_AUTH and the one for the payload by CREATE_CHILD_SA.
func (x *meeting) both(t *testing.T) agreement {
	t.Helper()
	x.establish(t, binding)
	x.agreed(t, binding)
	x.establish(t, payload)
	return x.agreed(t, binding, payload)
}

// bothPass has both kinds of traffic pass.
func (x *meeting) bothPass(t *testing.T, a agreement) {
	t.Helper()
	x.passes(t, binding, a.children[0])
	x.passes(t, payload, a.children[1])
}

// throughPFKEY: mipsecd talks PF_KEY to its kernel, where XFRM is the default.
func (p *pairing) throughPFKEY(t *testing.T) {
	m := basic.mipsecd()
	m.more = "kernel = \"pfkey\"\n"
	x := p.meet(t, m, basic.charon())
	x.bothPass(t, x.both(t))
}

// homeAgentAsks: the responder of the IKE_SA asks for a second Child SA, mipsecd because its kernel calls for it.
func (p *pairing) homeAgentAsks(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.charon())
	x.bothPass(t, x.homeAgentAsks(t))
}

// homeAgentAsks has the Child SA for the binding made by IKE_AUTH, which the mobile node begins, and the one for the
// payload by a CREATE_CHILD_SA exchange, which the home agent begins.
func (x *meeting) homeAgentAsks(t *testing.T) agreement {
	t.Helper()
	x.establish(t, binding)
	x.agreed(t, binding)
	if x.charonOn == lab.HA {
		x.charon.must(t, "--initiate", "--child", payload.name)
	} else {
		ping(t, lab.CN)
	}
	return x.agreed(t, binding, payload)
}

// otherGroups: the initiator of IKE_SA_INIT, and then of CREATE_CHILD_SA, begins with a group that the responder does not
// take.
func (p *pairing) otherGroups(t *testing.T) {
	wide := suite{ike: "aes128gcm16-prfsha256-x25519-modp2048", esp: "aes128gcm16-x25519-modp2048"}
	narrow := suite{ike: "aes128gcm16-prfsha256-modp2048", esp: "aes128gcm16-modp2048"}
	m, c := wide, narrow
	said := "generating"
	if p.charonOn == lab.MN {
		m, c, said = narrow, wide, "parsed"
	}
	x := p.meet(t, m.mipsecd(), c.charon())
	established := x.both(t)
	at := x.logged(t, 0, said+` IKE_SA_INIT response 0 \[ N\(INVAL_KE\) \]`)
	x.logged(t, at, said+` CREATE_CHILD_SA response \d+ \[ N\(INVAL_KE\) \]`)
	x.bothPass(t, established)
}
