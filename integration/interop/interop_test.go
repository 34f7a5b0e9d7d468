//go:build linux

package interop

import (
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
)

// Tests are named Test<Peer><Group>, with subtests "mipsecd initiates" and "<peer> initiates" for the IKE_SA, and in these
// a subtest for each case. docs/interoperability.md is made of those names.

// testCase is one of a pairing.
type testCase struct {
	name string
	test func(*testing.T)
}

// twoWays has a guest in which mipsecd, on the mobile node, begins IKE_SAs, and one in which the peer does.
func twoWays(t *testing.T, peer string, body func(t *testing.T, mipsecdOn lab.Node)) {
	t.Parallel()
	for name, on := range map[string]lab.Node{"mipsecd initiates": lab.MN, peer + " initiates": lab.HA} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uml.Run(t, func(t *testing.T) { body(t, on) })
		})
	}
}

// run runs cases. What the peer lacks passes when the peer shows that it does.
func (p *pairing) run(t *testing.T, cases ...testCase) {
	t.Logf("version: %s", p.peer.version(t))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if why := p.peer.lacks(t, c.name); why != "" {
				t.Logf("lacks: %s", why)
				return
			}
			c.test(t)
		})
	}
}

// TestStrongSwan is the matrix for strongSwan, in which the SAs for the binding are on the home address.
func TestStrongSwan(t *testing.T) {
	twoWays(t, "strongSwan", func(t *testing.T, mipsecdOn lab.Node) {
		p := pairCharon(t, mipsecdOn)
		p.run(t, p.inMode("transport", binding)...)
		p.run(t, p.inMode("tunnel", payload)...)
		if mipsecdOn == lab.HA { // once is enough: the kernel takes seconds to find all algorithms that PF_KEY tells of
			p.run(t, testCase{"PF_KEY", p.throughPFKEY})
		}
		p.run(t, p.matrix()...)
		p.run(t,
			testCase{"another's home address", p.othersHomeAddress},
			testCase{"fragments", p.fragments},
			testCase{"cookie", p.cookie}, // the last one: strongSwan goes on asking for cookies
		)
	})
}

// TestStrongSwanAlone shows that the lab and strongSwan's configuration are sound without mipsecd.
func TestStrongSwanAlone(t *testing.T) {
	t.Parallel()
	uml.Run(t, strongSwanAlone)
}

// inMode are the cases of one Child SA, in one mode: each suite, and each kind of certificate.
func (p *pairing) inMode(mode string, k traffic) (cases []testCase) {
	for _, s := range suites {
		cases = append(cases, testCase{mode + " mode, pre-shared key, " + s.name, func(t *testing.T) { p.basics(t, k, s) }})
	}
	for _, kind := range []string{"RSA", "P-256", "Ed25519"} {
		cases = append(cases, testCase{mode + " mode, certificate, " + kind, func(t *testing.T) { p.certified(t, k, kind) }})
	}
	return cases
}

// matrix are the cases of a whole life.
func (p *pairing) matrix() []testCase {
	peer := p.peer.name()
	return []testCase{
		{"the home agent asks for a Child SA", p.homeAgentAsks},
		{peer + " rekeys", p.peerRekeys},
		{"mipsecd's lifetimes are the shorter ones", p.mipsecdRekeys},
		{peer + " deletes a Child SA", p.peerDeletesChild},
		{peer + " deletes the IKE_SA", p.peerDeletesIKE},
		{"mipsecd deletes a Child SA", p.mipsecdDeletesChild},
		{"mipsecd deletes the IKE_SA", p.mipsecdDeletesIKE},
		{"mipsecd deletes the IKE_SA without an answer", p.unansweredEnd},
		{peer + " asks for a sign of life", p.peerProbes},
		{"mipsecd asks for a sign of life", p.mipsecdProbes},
		{"wrong pre-shared key", p.wrongSecret},
		{"certificate of another authority", p.otherAuthority},
		{"INVALID_KE_PAYLOAD to IKE_SA_INIT", p.otherGroups},
		{"INVALID_KE_PAYLOAD to CREATE_CHILD_SA", p.otherGroupsInChild},
	}
}
