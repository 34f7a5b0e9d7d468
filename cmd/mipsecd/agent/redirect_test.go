package agent_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/spd"
)

// A road warrior that its gateway sends elsewhere (RFC 5685) has its tunnel lead there, and traffic passes.
func TestRoadWarriorIsRedirected(t *testing.T) {
	const gw, other = "2001:db8:9::1", "2001:db8:9::2"
	r := newRoads(t, "none", gw, "2001:db8:f1::100", "2001:db8:f2::100")
	r.gateway.SetLocal(netip.MustParseAddr(gw), netip.MustParseAddr(other))
	link := r.network.AddLink("other", spd.Host(netip.MustParseAddr(other)))
	if err := r.gateway.Node.Attach(link, netip.MustParseAddr(other)); err != nil {
		t.Fatal(err)
	}
	r.moveTo(0)
	r.reaches(r.careOf[0])
	if err := r.gateAg.Redirect("rw@example.org", netip.MustParseAddr(other)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s, err := r.warriorAg.Status()
		if err != nil {
			t.Fatal(err)
		}
		there := func(sa agent.IKESA) bool {
			return sa.State == "established" && sa.Remote.Addr() == netip.MustParseAddr(other) && len(sa.Children) == 1 &&
				sa.Children[0].Remote == netip.MustParseAddr(other)
		}
		if len(s.IKESAs) == 1 && slices.ContainsFunc(s.IKESAs, there) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", s.IKESAs)
		}
	}
	r.reaches(r.careOf[0])
}
