//go:build linux

package xfrm

import (
	"net"
	"net/netip"
	"testing"

	"mipsecd/internal/bypass"
	"mipsecd/internal/uml"
	"mipsecd/spd"
)

func testPolicyShown(t *testing.T) {
	b := openBackend(t)
	sub := bindingPolicy()
	sub.Sub, sub.Action, sub.Templates = true, spd.Discard, nil
	use := tunnelPolicy(away) // outbound, Linux refuses tunnels of level use
	use.Templates[0].Level, use.Dir = spd.Use, spd.In
	udp := spd.Policy{PolicyKey: spd.PolicyKey{Dir: spd.Fwd, Selector: spd.Selector{
		Src: netip.MustParsePrefix("192.0.2.0/24"), Dst: netip.MustParsePrefix("198.51.100.1/32"),
		Proto: spd.ProtoUDP, SrcPort: spd.ExactPort(0), DstPort: spd.ExactPort(500)}}, Priority: 7, Action: spd.Bypass}
	zero := bindingPolicy()
	zero.Selector.SrcPort = spd.ExactPort(mhBRR)
	for _, c := range []struct {
		policy spd.Policy
		shown  []string
	}{
		{bindingPolicy(), []string{"src 2001:db8:1::100/128 dst 2001:db8:1::1/128 proto mobility-header type 5", "dir out",
			"action allow", "priority 2", "ptype main", "tmpl src :: dst ::", "proto esp", "reqid 1", "mode transport",
			"level required", "enc-mask ffffffff auth-mask ffffffff"}},
		{zero, []string{"proto mobility-header type 0"}},
		{use, []string{"src 2001:db8:1::100/128 dst ::/0 proto mobility-header type 1", "dir in", "priority 10",
			"tmpl src 2001:db8:2::1 dst 2001:db8:1::1", "reqid 5", "mode tunnel", "level use"}},
		{sub, []string{"dir out", "action block", "priority 2", "ptype sub"}},
		{udp, []string{"src 192.0.2.0/24 dst 198.51.100.1/32 proto udp sport 0 dport 500",
			"dir fwd", "action allow", "priority 7"}},
	} {
		succeed(t, b.AddPolicy(c.policy))
		wantShown(t, "ip -s xfrm policy", c.shown...)
		succeed(t, b.RemovePolicy(c.policy.PolicyKey))
	}
}

func testSocketPolicy(t *testing.T) {
	b := openBackend(t)
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: hoa.AsSlice()})
	succeed(t, err)
	defer conn.Close()
	raw, err := conn.SyscallConn()
	succeed(t, err)
	succeed(t, raw.Control(func(fd uintptr) { err = bypass.Bypass(int(fd), true) }))
	succeed(t, err)
	wantShown(t, "ip xfrm policy", "socket")
	if all, err := b.Policies(); err != nil || len(all) != 0 {
		t.Errorf("listed: %v, %v", all, err)
	}
	succeed(t, b.AddPolicy(bindingPolicy()))
	if e, ok := next(t, b).(spd.PolicyChanged); !ok || e.Policy.PolicyKey != bindingPolicy().PolicyKey {
		t.Errorf("reported: %+v", e)
	}
}

func testPartialFlush(t *testing.T) {
	b := openBackend(t)
	ah := newSA(0x1002, spd.Transport, atHome, 1)
	ah.Proto = spd.AH
	sub := bindingPolicy()
	sub.Sub = true
	succeed(t, b.Install(newSA(0x1001, spd.Transport, atHome, 1)))
	succeed(t, b.Install(ah))
	uml.Sh(t, "ip xfrm state flush proto esp")
	if e := next(t, b); e != (spd.EventsLost{}) {
		t.Errorf("flush of ESP: %+v", e)
	}
	wantOneSA(t, b, ah.ID())
	succeed(t, b.AddPolicy(sub))
	succeed(t, b.AddPolicy(bindingPolicy()))
	uml.Sh(t, "ip xfrm policy flush ptype sub")
	await[spd.EventsLost](t, b)
	if all, err := b.Policies(); err != nil || len(all) != 1 || all[0].Sub {
		t.Errorf("left: %v, %v", all, err)
	}
}
