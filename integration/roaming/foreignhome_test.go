//go:build linux

package roaming

import (
	"fmt"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
	"mipsecd/mobility"
)

// TestForeignHomeAddressIsRefused has a mobile node that the home agent knows, and whose secret is right, claim the home
// address of another one (RFC 4877 section 4.2).
func TestForeignHomeAddressIsRefused(t *testing.T) {
	uml.Run(t, func(t *testing.T) {
		for _, kernel := range []string{"xfrm", "pfkey"} {
			t.Run(kernel, job{kernel: kernel, policies: "external", kBit: true, kmAddress: true}.steal)
		}
	}, mipsecd)
}

func (j job) steal(t *testing.T) {
	s := newScenario(t, j.configure(t))
	s.kernels[lab.CN] = openBackend(t, "xfrm", lab.CN)
	s.agents = map[lab.Node]*process{
		lab.HA: startHomeAgent(t, j, owner, thief), lab.MN: startMobileNode(t, j, lab.MN, owner, owner.home),
	}
	s.ready(t, lab.MN, lab.HA)
	s.startPing(t, lab.Router)
	s.move(t, lab.Foreign1)
	owned := keys{
		binding: s.keyed(t, binding, lab.HoA, pair{}), payload: s.keyed(t, payload, lab.Foreign1.Address, pair{}),
	}
	ike := s.ikeSA(t, lab.Foreign1.Address)
	before := s.sas(t, lab.HA)

	// The thief sends Binding Updates from the correspondent's host, with the home address on it. It may call for SAs, and
	// fail, before its mipsecd knows the host's other addresses; then it calls again.
	must(t, lab.CN.IP(fmt.Sprintf("addr add %s/128 dev lo nodad", owner.home)))
	j.policies, j.hasty = "mipsecd", true
	theft := startMobileNode(t, j, lab.CN, thief, owner.home)
	s.ready(t, lab.CN)
	conn := listenMH(t, lab.CN, owner.home)

	const refusal = "TS_UNACCEPTABLE"
	ha := s.agents[lab.HA]
	eventually(t, func() error {
		must(t, sendMH(conn, mobility.BindingUpdate{HomeReg: true, Ack: true}, lab.HomeAgent))
		return ha.told(0, refusal, " "+thief.identity+" ", owner.home.String(), owner.identity)
	})
	eventually(t, func() error { return theft.told(0, "no Child SA", refusal) })
	for _, p := range []*process{ha, theft} {
		for _, sa := range p.status(t).IKESAs {
			if sa.Peer != owner.identity && len(sa.Children) > 0 {
				t.Errorf("%s has with %s the Child SAs %v", p.node, sa.Peer, sa.Children)
			}
		}
	}
	if got := s.sas(t, lab.CN); len(got) > 0 {
		t.Errorf("the thief has the SAs %v", got)
	}
	if got := s.sas(t, lab.HA); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("the home agent had the SAs %v, has %v", before, got)
	}

	s.kept(t, binding, lab.HoA, owned.binding)
	s.kept(t, payload, lab.Foreign1.Address, owned.payload)
	if ack := s.move(t, lab.Foreign2); !ack.Status.Accepted() {
		t.Errorf("the owner's next binding: %s", ack.Status)
	}
	if now := s.ikeSA(t, lab.Foreign2.Address); now != ike {
		t.Errorf("the owner's IKE_SA was %s, is %s", ike, now)
	}
	s.kept(t, binding, lab.HoA, owned.binding)
	s.kept(t, payload, lab.Foreign2.Address, owned.payload)
	s.unbroken(t)
}
