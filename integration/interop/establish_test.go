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

	// For INVALID_KE_PAYLOAD: the wide ones begin with another group than the narrow ones take.
	wideIKE   = suite{"wide", "aes128gcm16-prfsha256-x25519-modp2048", "aes128gcm16-modp2048"}
	narrowIKE = suite{"narrow", "aes128gcm16-prfsha256-modp2048", "aes128gcm16-modp2048"}
	wideESP   = suite{"wide ESP", "aes128gcm16-prfsha256-x25519", "aes128gcm16-x25519-modp2048"}
	narrowESP = suite{"narrow ESP", "aes128gcm16-prfsha256-x25519", "aes128gcm16-modp2048"}
)

func (s suite) mipsecd() mipsecdOptions { return mipsecdOptions{suite: s} }
func (s suite) peer() peerOptions       { return peerOptions{suite: s} }

// basics: a Child SA is made by IKE_SA_INIT and IKE_AUTH, and carries traffic.
func (p *pairing) basics(t *testing.T, k traffic, s suite) {
	x := p.meet(t, s.mipsecd(), s.peer())
	x.establish(t, k)
	x.passes(t, k, x.agreed(t, k).children[0])
}

// throughPFKEY: mipsecd talks PF_KEY to its kernel, where XFRM is the default.
func (p *pairing) throughPFKEY(t *testing.T) {
	m := basic.mipsecd()
	m.more = "kernel = \"pfkey\"\n"
	x := p.meet(t, m, basic.peer())
	x.bothPass(t, x.both(t))
}

// homeAgentAsks: the responder of the IKE_SA asks for a second Child SA, mipsecd because its kernel calls for it.
func (p *pairing) homeAgentAsks(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.peer())
	x.bothPass(t, x.homeAgentAsks(t))
}

// homeAgentAsks has the first Child SA made by IKE_AUTH, which the mobile node begins, and the second, for the payload, by
// a CREATE_CHILD_SA exchange, which the home agent begins.
func (x *meeting) homeAgentAsks(t *testing.T) agreement {
	t.Helper()
	x.establish(t, x.first)
	x.agreed(t, x.first)
	if x.peerOn == lab.HA {
		must(t, x.peer.initiate(x.second))
	} else {
		ping(t, lab.CN)
	}
	return x.agreed(t, x.first, x.second)
}

// otherGroups: the initiator of IKE_SA_INIT begins with a group that the responder does not take.
func (p *pairing) otherGroups(t *testing.T) {
	x := p.meetUnequal(t, wideIKE, narrowIKE)
	x.establish(t, x.first)
	x.saw(t, 0, wrongKE)
	x.passesFirst(t)
}

// otherGroupsInChild: so does the initiator of CREATE_CHILD_SA.
func (p *pairing) otherGroupsInChild(t *testing.T) {
	x := p.meetUnequal(t, wideESP, narrowESP)
	established := x.both(t)
	x.saw(t, 0, wrongKEInChild)
	x.bothPass(t, established)
}

// meetUnequal is meet with one suite for the initiator and another for the responder.
func (p *pairing) meetUnequal(t *testing.T, initiator, responder suite) *meeting {
	t.Helper()
	m, o := initiator, responder
	if p.peerOn == lab.MN {
		m, o = o, m
	}
	return p.meet(t, m.mipsecd(), o.peer())
}
