package mobility

import (
	"net/netip"
	"testing"

	"mipsecd/spd"
)

// What a MIGRATE tells of the key exchange, on either end and in each direction of the policy.
func TestFromMigrate(t *testing.T) {
	hoa, ha := netip.MustParseAddr("2001:db8:1::100"), netip.MustParseAddr("2001:db8:1::1")
	coa, old := netip.MustParseAddr("2001:db8:2::100"), netip.MustParseAddr("2001:db8:3::100")
	anyone := netip.MustParsePrefix("::/0")
	none := netip.Addr{}
	unspecified := spd.Endpoints{Src: netip.IPv6Unspecified(), Dst: netip.IPv6Unspecified()}

	ends := func(src, dst netip.Addr) spd.Endpoints { return spd.Endpoints{Src: src, Dst: dst} }
	hosts := func(src, dst netip.Addr) spd.Selector { return spd.MH(spd.Host(src), spd.Host(dst), 5) }
	up, down := spd.MH(spd.Host(hoa), anyone, 1), spd.MH(anyone, spd.Host(hoa), 3)
	tunnel := func(from, to spd.Endpoints) spd.EndpointChange {
		return spd.EndpointChange{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 5, Old: from, New: to}
	}
	transport := func(to spd.Endpoints) spd.EndpointChange {
		return spd.EndpointChange{Proto: spd.ESP, Mode: spd.Transport, Reqid: 1, Old: unspecified, New: to}
	}
	upward, downward := tunnel(ends(old, ha), ends(coa, ha)), tunnel(ends(ha, old), ends(ha, coa))
	noSrc, noDst := ends(unspecified.Src, ha), ends(coa, unspecified.Dst)
	mn, agent := spd.Path{Local: coa, Remote: ha}, spd.Path{Local: ha, Remote: coa}
	for _, test := range []struct {
		name          string
		dir           spd.Dir
		selector      spd.Selector
		change        spd.EndpointChange
		km            spd.Endpoints
		local, remote netip.Addr
		path          spd.Path // not ok if zero
	}{
		{"mobile node, transport out", spd.Out, hosts(hoa, ha), transport(ends(coa, ha)), ends(coa, ha), hoa, ha, mn},
		{"mobile node, transport in", spd.In, hosts(ha, hoa), transport(ends(ha, coa)), ends(coa, ha), hoa, ha, mn},
		{"mobile node, tunnel out", spd.Out, up, upward, ends(coa, ha), hoa, none, mn},
		{"mobile node, tunnel in", spd.In, down, downward, ends(coa, ha), hoa, none, mn},
		{"home agent, transport in", spd.In, hosts(hoa, ha), transport(ends(coa, ha)), ends(ha, coa), ha, hoa, agent},
		{"home agent, tunnel fwd", spd.Fwd, up, upward, ends(ha, coa), none, hoa, agent},

		{"no KMADDRESS, tunnel out", spd.Out, up, upward, spd.Endpoints{}, hoa, none, mn},
		{"no KMADDRESS, tunnel in", spd.In, down, downward, spd.Endpoints{}, hoa, none, mn},
		{"no KMADDRESS, tunnel fwd", spd.Fwd, up, upward, spd.Endpoints{}, none, hoa, agent},
		{"no KMADDRESS, transport", spd.Out, hosts(hoa, ha), transport(ends(coa, ha)), spd.Endpoints{}, hoa, ha, spd.Path{}},
		{"unspecified KMADDRESS, tunnel", spd.Out, up, upward, unspecified, hoa, none, mn},
		{"unspecified KMADDRESS, transport", spd.Out, hosts(hoa, ha), transport(ends(coa, ha)), unspecified, hoa, ha, spd.Path{}},
		{"KMADDRESS without this host", spd.Out, hosts(hoa, ha), transport(ends(coa, ha)), noSrc, hoa, ha, spd.Path{}},
		{"KMADDRESS without the peer", spd.Out, hosts(hoa, ha), transport(ends(coa, ha)), noDst, hoa, ha, spd.Path{}},
		{"KMADDRESS and tunnel disagree", spd.Out, up, tunnel(ends(old, ha), ends(old, ha)), ends(coa, ha), hoa, none, mn},
		{"old is new", spd.Out, up, tunnel(ends(old, ha), ends(old, ha)), spd.Endpoints{}, hoa, none, spd.Path{}},
		{"old is new, KMADDRESS", spd.Out, up, tunnel(ends(old, ha), ends(old, ha)), ends(coa, ha), hoa, none, mn},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := FromMigrate(spd.Migrate{
				PolicyKey: spd.PolicyKey{Selector: test.selector, Dir: test.dir},
				Changes:   []spd.EndpointChange{test.change}, KMAddress: test.km,
			})
			if ok != (test.path != spd.Path{}) || ok && got.Path != test.path {
				t.Errorf("path %s (%v), want %s", got.Path, ok, test.path)
			}
			if got.Local != test.local || got.Remote != test.remote {
				t.Errorf("hosts %s and %s, want %s and %s", got.Local, got.Remote, test.local, test.remote)
			}
		})
	}
	if got, ok := FromMigrate(spd.Migrate{}); ok {
		t.Errorf("a MIGRATE without changes is a movement to %s", got.Path)
	}
}
