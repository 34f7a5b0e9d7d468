//go:build linux

package interop

import (
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
)

// TestStrongSwan has a guest for each of mipsecd and strongSwan as the mobile node, which initiates, and the other as the
// home agent. A third shows that the lab and strongSwan's configuration are sound without mipsecd.
func TestStrongSwan(t *testing.T) {
	buildBinary(t)
	for _, guest := range []struct {
		name string
		body func(*testing.T)
	}{
		{"mipsecd initiates", func(t *testing.T) { pair(t, lab.MN) }},
		{"strongSwan initiates", func(t *testing.T) { pair(t, lab.HA) }},
		{"strongSwan with itself", strongSwanAlone},
	} {
		t.Run(guest.name, func(t *testing.T) {
			t.Parallel()
			uml.Run(t, guest.body)
		})
	}
}

func pair(t *testing.T, mipsecdOn lab.Node) {
	p := pairCharon(t, mipsecdOn)
	for _, k := range []traffic{binding, payload} {
		t.Run(k.mode, func(t *testing.T) {
			for _, s := range suites {
				t.Run(s.name, func(t *testing.T) { p.basics(t, k, s) })
			}
		})
	}
	if mipsecdOn == lab.HA { // once is enough: the kernel takes seconds to find all algorithms that PF_KEY tells of
		t.Run("PF_KEY", p.throughPFKEY)
	}
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"the home agent asks for a Child SA", p.homeAgentAsks},
		{"strongSwan rekeys", p.peerRekeys},
		{"mipsecd rekeys", p.mipsecdRekeys},
		{"strongSwan deletes", p.peerDeletes},
		{"mipsecd deletes", p.mipsecdDeletes},
		{"mipsecd ends without an answer", p.unansweredEnd},
		{"strongSwan asks for a sign of life", p.peerProbes},
		{"mipsecd asks for a sign of life", p.mipsecdProbes},
		{"wrong pre-shared key", p.wrongSecret},
		{"another's home address", p.othersHomeAddress},
		{"INVALID_KE_PAYLOAD", p.otherGroups},
		{"certificates", func(t *testing.T) { p.certificates(t, "RSA", "P-256", "Ed25519") }},
		{"fragments", p.fragments},
		{"cookie", p.cookie}, // the last one: strongSwan goes on asking for cookies
	} {
		t.Run(c.name, c.test)
	}
}
