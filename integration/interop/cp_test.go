//go:build linux

package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	control "mipsecd/cmd/mipsecd/agent"
	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
)

// TestStrongSwanAssignedAddress has each of the two assign the home address of the other by Configuration payloads
// (RFC 7296 section 2.19), under which data then passes in a tunnel. The mobile node is a road warrior.
func TestStrongSwanAssignedAddress(t *testing.T) {
	t.Parallel()
	for _, guest := range []struct {
		name string
		body func(*testing.T)
	}{{"mipsecd initiates", mipsecdIsAssigned}, {"strongSwan initiates", mipsecdAssigns}} {
		t.Run(guest.name, func(t *testing.T) {
			t.Parallel()
			uml.Run(t, guest.body)
		})
	}
}

// Addresses that are assigned: mipsecd out of one range, strongSwan out of another.
var (
	mipsecdPool = netip.MustParsePrefix("2001:db8:1::1000/120")
	charonPool  = netip.MustParsePrefix("2001:db8:1::2000/120")
	nameServer  = netip.MustParseAddr("2001:db8:1::53")
)

// assignment is mipsecd on one host and charon on the other, one of which assigns the other's home address.
type assignment struct {
	charon  *charon
	capture *lab.Capture
}

// homeless builds the lab with a mobile node that has no home address, on a foreign link.
func homeless(t *testing.T, charonOn lab.Node) *assignment {
	t.Helper()
	lab.Build(t)
	lab.Detach(t, lab.Home)
	must(t, lab.MN.IP(fmt.Sprintf("addr del %s/128 dev lo", lab.HoA)))
	lab.Attach(t, lab.Foreign1)
	a := &assignment{charon: startCharon(t, charonOn), capture: lab.StartCapture(t, lab.Foreign1)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("charon:\n%s", a.charon.log(t))
		}
	})
	return a
}

const assigningConf = `
role = "home-agent"
identity = %q
address = %q
mobility = "none"
ike = [%q]
esp = %s
home-prefix = "2001:db8:1::/64"
pool = %q
dns = %q
control-socket = "control"
log-level = "debug"

[[mobile-node]]
identity = %q
home-address = "assigned"
secret-file = "psk"

[[mobile-node]]
identity = "other@example.org"
home-address = %q
secret-file = "psk"
`

const assignedConf = `
role = "mobile-node"
identity = %q
mobility = "none"
ike = [%q]
esp = %s
control-socket = "control"
log-level = "debug"

[home-agent]
identity = %q
address = %q
home-address = "assigned"
%s
secret-file = "psk"
`

const charonPools = `homes {
		addrs = %s
		dns = %s
	}
	one {
		addrs = %s/128
	}`

// configure gives charon its one peer. More are lines of the connection, such as about what is assigned.
func (a *assignment) configure(t *testing.T, more, localTS, remoteTS string) {
	t.Helper()
	n := a.charon.usual(modern)
	n.lines = []string{more}
	n.children = []child{
		{name: payload.name, mode: "tunnel", ts: [2]string{localTS, remoteTS}},
		{binding.name, transportProxy, [2]string{bindingTS(lab.HomeAgent), bindingTS(lab.HoA)}, charonBindingReqid},
	}
	n.pools = fmt.Sprintf(charonPools, charonPool, nameServer, lab.HoA)
	a.charon.load(t, n)
}

// home waits until mipsecd has a binding whose home address was assigned.
func (m *mipsecd) home(t *testing.T) (b control.Binding) {
	t.Helper()
	wait(t, "a home address is assigned", func() error {
		s, err := m.status()
		i := slices.IndexFunc(s.Bindings, func(b control.Binding) bool { return b.Assigned })
		if err != nil || i < 0 {
			return fmt.Errorf("%+v, %v", s, err)
		}
		b = s.Bindings[i]
		return nil
	})
	return b
}

// passes checks that the correspondent and the mobile node reach each other under an address, inside ESP.
func (a *assignment) passes(t *testing.T, home netip.Addr) {
	t.Helper()
	must(t, pingFrom(lab.MN, home, lab.Correspondent))
	must(t, pingFrom(lab.CN, lab.Correspondent, home))
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		used := 0
		for _, sa := range kernelSAs(t, n) {
			if sa.mode == "tunnel" && sa.packets > 0 {
				used++
			}
		}
		if used != 2 {
			t.Errorf("on %s the tunnel was used in %d directions: %v", n, used, kernelSAs(t, n))
		}
	}
	for _, packet := range a.capture.Exposed(t, home) {
		t.Error("seen in the clear:", packet)
	}
}

// pingFrom sends echo requests until one is answered.
func pingFrom(n lab.Node, from, to netip.Addr) error {
	_, err := n.Run("ping", "-c1", "-i0.2", fmt.Sprintf("-w%.0f", patience.Seconds()), "-I", from.String(), to.String())
	return err
}

// has reports whether the mobile node has an address.
func has(t *testing.T, a netip.Addr) bool {
	t.Helper()
	out, err := lab.MN.Run("ip", "-6", "-o", "addr", "show")
	must(t, err)
	return strings.Contains(out, " "+a.String()+"/")
}

// mipsecdIsAssigned: a mobile node asks strongSwan for its home address.
func mipsecdIsAssigned(t *testing.T) {
	a := homeless(t, lab.HA)
	start := func(t *testing.T, more string) *mipsecd {
		t.Helper()
		t.Cleanup(func() { a.forget(t) })
		return runMipsecd(t, lab.MN,
			fmt.Sprintf(assignedConf, identityMN, modern.ike, list(modern.esp), identityHA, lab.HomeAgent, more), secretText)
	}
	const pools = "mobike = no\n\t\tpools = homes"
	t.Run("a wish", func(t *testing.T) { // which strongSwan does not hear: a pool has an order of its own
		a.configure(t, pools, "::/0", "dynamic")
		wish := netip.MustParseAddr("2001:db8:1::20aa")
		m := start(t, fmt.Sprintf("wished-address = %q", wish))
		home := m.home(t).HomeAddress
		if !charonPool.Contains(home) || home == wish || has(t, wish) {
			t.Errorf("wished for %s, got %s", wish, home)
		}
		if log := a.charon.log(t); !strings.Contains(log, "peer requested virtual IP "+wish.String()) {
			t.Errorf("strongSwan heard of no wish:\n%s", log)
		}
		a.passes(t, home)
		m.stop(t)
	})
	t.Run("address and name server", func(t *testing.T) {
		a.configure(t, pools, "::/0", "dynamic")
		m := start(t, "")
		b := m.home(t)
		if !charonPool.Contains(b.HomeAddress) || !slices.Equal(b.DNS, []netip.Addr{nameServer}) || !has(t, b.HomeAddress) {
			t.Fatalf("assigned %+v; want one of %s and name server %s", b, charonPool, nameServer)
		}
		a.passes(t, b.HomeAddress)
		a.charon.must(t, "--rekey", "--ike", "peer")
		a.passes(t, b.HomeAddress)

		// When the IKE_SA has gone it asks again, for the same one.
		a.charon.must(t, "--terminate", "--ike", "peer")
		a.passes(t, m.home(t).HomeAddress)
		if again := m.home(t).HomeAddress; again != b.HomeAddress {
			t.Errorf("the second time %s is assigned, after %s", again, b.HomeAddress)
		}
		if log := a.charon.log(t); !strings.Contains(log, "peer requested virtual IP "+b.HomeAddress.String()) {
			t.Errorf("strongSwan was asked for no address in particular:\n%s", log)
		}
		m.stop(t)
		if has(t, b.HomeAddress) {
			t.Error("the address is still there when mipsecd has ended")
		}
		if leases := a.charon.must(t, "--list-pools", "--leases"); !strings.Contains(leases, "offline") {
			t.Errorf("strongSwan's leases: %s", leases)
		}
	})
	t.Run("Mobile IPv6", func(t *testing.T) {
		a.configure(t, "mobike = no\n\t\tpools = one", "::/0", "dynamic")
		t.Cleanup(func() { a.forget(t) })
		conf := fmt.Sprintf(assignedConf, identityMN, modern.ike, list(modern.esp), identityHA, lab.HomeAgent, "")
		m := runMipsecd(t, lab.MN, strings.Replace(conf, `mobility = "none"`, `policies = "mipsecd"
protect = ["binding", "payload"]`, 1), secretText)
		a.mobileIPv6(t, m)
		m.stop(t)
	})
	t.Run("MOBIKE", func(t *testing.T) { // the address stays where the mobile node moves
		a.configure(t, "pools = homes", "::/0", "dynamic")
		t.Cleanup(func() { a.forget(t) })
		conf := fmt.Sprintf(assignedConf, identityMN, modern.ike, list(modern.esp), identityHA, lab.HomeAgent, "")
		m := runMipsecd(t, lab.MN, strings.Replace(conf, `"none"`, `"mobike"`, 1), secretText)
		home := m.home(t).HomeAddress
		a.passes(t, home)
		before, err := m.status()
		must(t, err)
		lab.Attach(t, lab.Foreign2)
		lab.Detach(t, lab.Foreign1)
		t.Cleanup(func() {
			lab.Attach(t, lab.Foreign1)
			lab.Detach(t, lab.Foreign2)
		})
		a.passes(t, home)
		after, err := m.status()
		must(t, err)
		was, is := before.established(), after.established()
		if len(was) != 1 || len(is) != 1 || was[0].SPIi != is[0].SPIi ||
			is[0].Local.Addr() != lab.Foreign2.Address {
			t.Errorf("the movement was from %+v to %+v", was, is)
		}
		if now := m.home(t).HomeAddress; now != home {
			t.Errorf("the address changed from %s to %s", home, now)
		}
		m.stop(t)
	})
	t.Run("nothing to assign", func(t *testing.T) {
		a.configure(t, "mobike = no", "::/0", "dynamic")
		m := start(t, "")
		wait(t, "mipsecd says so", func() error {
			if !strings.Contains(m.log(t), "no address assigned") {
				return errors.New("it has not")
			}
			return nil
		})
		wait(t, "nothing is established", func() error {
			if sas := kernelSAs(t, lab.MN); len(sas) > 0 || len(a.charon.established(t)) > 0 {
				return fmt.Errorf("%v", sas)
			}
			return nil
		})
		m.stop(t)
	})
}

// mobileIPv6: the first Child SA, for which the mobile node asks before it has an address, is that of the Binding Update, in
// transport mode between the address that it gets and the home agent (RFC 4877 section 9). strongSwan has to know it before:
// with "dynamic" its transport proxy mode takes the care-of address for it.
func (a *assignment) mobileIPv6(t *testing.T, m *mipsecd) {
	t.Helper()
	if b := m.home(t); b.HomeAddress != lab.HoA {
		t.Fatalf("assigned %s", b.HomeAddress)
	}
	const policy = "xfrm policy add src %s dst %s proto 135 type %d dir %s priority 2 tmpl proto esp mode transport reqid %d\n"
	must(t, lab.HA.IP(fmt.Sprintf(policy, lab.HoA, lab.HomeAgent, bindingUpdate, "in", charonBindingReqid)+
		fmt.Sprintf(policy, lab.HomeAgent, lab.HoA, bindingAck, "out", charonBindingReqid)))
	w := &world{}
	w.startDaemons(t)
	w.register(t)
	sas, err := binding.find(kernelSAs(t, lab.MN))
	must(t, err)
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		if up, down := sas.packets(kernelSAs(t, n)); up == 0 || down == 0 {
			t.Errorf("on %s %d and %d packets used the SAs of the binding", n, up, down)
		}
	}
	a.passes(t, lab.HoA)
}

// mipsecdAssigns: strongSwan asks a home agent for the mobile node's home address.
func mipsecdAssigns(t *testing.T) {
	a := homeless(t, lab.MN)
	conf := func(pool string) string {
		return fmt.Sprintf(assigningConf, identityHA, lab.HomeAgent, modern.ike, list(modern.esp), pool, nameServer, identityMN,
			othersHoA)
	}
	run := func(t *testing.T, conf string) *mipsecd {
		t.Helper()
		t.Cleanup(func() { a.forget(t) })
		return runMipsecd(t, lab.HA, conf, secretText)
	}
	start := func(t *testing.T, pool string) *mipsecd {
		t.Helper()
		return run(t, conf(pool))
	}
	initiate := func() error {
		_, err := a.charon.control("--initiate", "--child", "payload")
		return err
	}
	t.Run("address and name server", func(t *testing.T) {
		a.configure(t, "mobike = no\n\t\tvips = ::", "dynamic", "::/0")
		m := start(t, mipsecdPool.String())
		must(t, initiate())
		home := m.home(t).HomeAddress
		if !mipsecdPool.Contains(home) || !has(t, home) {
			t.Fatalf("assigned %s; want one of %s", home, mipsecdPool)
		}
		servers, err := os.ReadFile(a.charon.nameServers())
		if err != nil || !strings.Contains(string(servers), nameServer.String()) {
			t.Errorf("name servers %q, %v", servers, err)
		}
		a.passes(t, home)
		a.charon.must(t, "--rekey", "--ike", "peer")
		a.passes(t, home)
		a.charon.must(t, "--terminate", "--ike", "peer")
		must(t, initiate())
		if again := m.home(t).HomeAddress; again != home || !has(t, home) {
			t.Errorf("the second time %s is assigned, after %s", again, home)
		}
		a.passes(t, home)

		// A home agent that has forgotten everything assigns the same one.
		a.charon.must(t, "--terminate", "--ike", "peer")
		m.stop(t)
		m = start(t, mipsecdPool.String())
		must(t, initiate())
		if again := m.home(t).HomeAddress; again != home {
			t.Errorf("after a restart %s is assigned, after %s", again, home)
		}
		a.passes(t, home)
	})
	t.Run("wishes", func(t *testing.T) {
		wish := mipsecdPool.Addr().Next().Next()
		for _, c := range []struct {
			vips    string
			granted bool
		}{{wish.String(), true}, {othersHoA.String(), false}, {lab.HomeAgent.String(), false}, {"::,::", false}} {
			m := start(t, mipsecdPool.String())
			a.configure(t, "mobike = no\n\t\tvips = "+c.vips, "dynamic", "::/0")
			must(t, initiate())
			home := m.home(t).HomeAddress
			if granted := home == wish; granted != c.granted || !mipsecdPool.Contains(home) || !has(t, home) {
				t.Errorf("wished for %s, got %s", c.vips, home)
			}
			a.passes(t, home)
			a.charon.must(t, "--terminate", "--ike", "peer")
			m.stop(t)
		}
	})
	t.Run("after EAP", func(t *testing.T) { // the reply is in the last of several IKE_AUTH exchanges
		papers := newPapers(t, "P-256")
		a.charon.give(t, papers)
		a.configure(t, "mobike = no\n\t\tvips = ::", "dynamic", "::/0")
		a.charon.conn.auth, a.charon.conn.peerAuth = "pubkey", "pubkey"
		a.charon.useEAP(t, byPassword.charon)
		const byEAP = "eap = \"mschapv2\"\neap-secret-file = \"psk\""
		proven := strings.Replace(conf(mipsecdPool.String()), `secret-file = "psk"`, byEAP, 1)
		m := run(t, strings.Replace(proven, "control-socket", papers.forMipsecd(t, lab.HA)+"control-socket", 1))
		at := len(a.charon.log(t))
		must(t, initiate())
		a.passes(t, m.home(t).HomeAddress)
		if log := a.charon.log(t)[at:]; !strings.Contains(log, "parsed IKE_AUTH response 4 [ AUTH CPRP(ADDR6 DNS6)") {
			t.Errorf("no CFG_REPLY after EAP:\n%s", log)
		}
	})
	t.Run("none is asked for", func(t *testing.T) {
		a.configure(t, "mobike = no", mipsecdPool.Addr().Next().String(), "::/0")
		start(t, mipsecdPool.String())
		a.refused(t, initiate, "FAILED_CP_REQUIRED")
	})
	t.Run("none is left", func(t *testing.T) {
		a.configure(t, "mobike = no\n\t\tvips = ::", "dynamic", "::/0")
		start(t, lab.HomeAgent.String()+"-"+lab.HomeAgent.String())
		a.refused(t, initiate, "INTERNAL_ADDRESS_FAILURE")
	})
}

// refused has strongSwan ask in vain: it is answered with this notification, and there are no SAs.
func (a *assignment) refused(t *testing.T, initiate func() error, notification string) {
	t.Helper()
	at := len(a.charon.log(t))
	if err := initiate(); err == nil {
		t.Error("it was not refused")
	}
	if log := a.charon.log(t)[at:]; !strings.Contains(log, notification) {
		t.Errorf("no %s in\n%s", notification, log)
	}
	if sas := kernelSAs(t, lab.HA); len(sas) > 0 {
		t.Errorf("SAs %v", sas)
	}
}

// forget takes away what a case leaves behind.
func (a *assignment) forget(t *testing.T) {
	t.Helper()
	a.charon.clear(t)
	for _, n := range []lab.Node{lab.MN, lab.HA} {
		if err := n.IP("xfrm policy flush ptype main\nxfrm state flush proto esp"); err != nil {
			t.Error(err)
		}
	}
}
