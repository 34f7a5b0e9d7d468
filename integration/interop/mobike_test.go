//go:build linux

package interop

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
)

// TestStrongSwanMOBIKE has a road warrior roam between two foreign links under a running ping, over IPv6 and IPv4: first
// the new link is there before the old one goes, then after it. Its one IKE_SA and its one Child SA go along (RFC 4555). Over
// IPv4 the second link may be behind a NAT.
// mipsecd and strongSwan are the road warrior in turn; a third guest has mipsecd on both sides.
func TestStrongSwanMOBIKE(t *testing.T) {
	t.Parallel()
	for _, guest := range []struct {
		name            string
		warrior, gateOn string
	}{
		{"mipsecd initiates", "mipsecd", "strongSwan"},
		{"strongSwan initiates", "strongSwan", "mipsecd"},
		{"mipsecd with itself", "mipsecd", "mipsecd"},
	} {
		t.Run(guest.name, func(t *testing.T) {
			t.Parallel()
			uml.Run(t, func(t *testing.T) {
				for _, o := range []outside{outsideIPv6, outsideIPv4, outsideNAT} {
					t.Run(o.name, func(t *testing.T) { roam(t, o, guest.warrior, guest.gateOn) })
				}
			})
		})
	}
}

// outside is the network in which a road warrior moves: its gateway, where it is on each of the foreign links, and where the
// gateway sees it. Before the second link there may be a NAT.
type outside struct {
	name         string
	gateway      netip.Addr
	links        [2]string
	careOf, seen [2]netip.Addr
	routers      [2]netip.Addr
	bits         int
}

// nat reports whether there is a NAT before the second link.
func (o outside) nat() bool { return o.seen != o.careOf }

var (
	outsideIPv6 = outside{
		name: "IPv6 outside", gateway: netip.MustParseAddr("2001:db8:f::100"), bits: 64,
		links:   [2]string{lab.Foreign1.Name, lab.Foreign2.Name},
		careOf:  [2]netip.Addr{lab.Foreign1.Address, lab.Foreign2.Address},
		seen:    [2]netip.Addr{lab.Foreign1.Address, lab.Foreign2.Address},
		routers: [2]netip.Addr{netip.MustParseAddr("2001:db8:2::1"), netip.MustParseAddr("2001:db8:3::1")},
	}
	outsideIPv4 = outside{
		name: "IPv4 outside", gateway: netip.MustParseAddr("192.0.2.100"), bits: 24,
		links:   [2]string{lab.Foreign1.Name, lab.Foreign2.Name},
		careOf:  [2]netip.Addr{netip.MustParseAddr("198.51.100.100"), netip.MustParseAddr("203.0.113.100")},
		seen:    [2]netip.Addr{netip.MustParseAddr("198.51.100.100"), netip.MustParseAddr("203.0.113.100")},
		routers: [2]netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1")},
	}
)

// outsideNAT is outsideIPv4 with a NAT, which lets nothing but UDP pass.
var outsideNAT = func() outside {
	o := outsideIPv4
	o.name += ", NAT before the second link"
	o.seen[1] = netip.MustParseAddr("192.0.2.1")
	return o
}()

// build builds the lab, with IPv4 beside IPv6 and the road warrior nowhere.
func (o outside) build(t *testing.T) {
	t.Helper()
	lab.Build(t)
	lab.Detach(t, lab.Home)
	for _, n := range []lab.Node{lab.Router, lab.HA} {
		_, err := n.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
		must(t, err)
	}
	must(t, lab.Router.IP(`
		addr add 192.0.2.1/24 dev ha
		addr add 198.51.100.1/24 dev foreign1
		addr add 203.0.113.1/24 dev foreign2`))
	must(t, lab.HA.IP(`
		addr add 192.0.2.100/24 dev internet
		route add default via 192.0.2.1`))
	if o.nat() {
		run(t, lab.Router, "iptables-legacy", fmt.Sprintf("-t nat -A POSTROUTING -o ha -s %s -p udp -j SNAT --to-source %s:20000-20999 --random",
			o.careOf[1], o.seen[1]))
		run(t, lab.Router, "iptables-legacy", fmt.Sprintf("-A FORWARD -i %s -p esp -j DROP", o.links[1]))
	}
}

// attach gives the road warrior an address on a link, with routes; those of what is inside are taken by the tunnel.
func (o outside) attach(t *testing.T, i int) {
	t.Helper()
	must(t, lab.MN.IP(fmt.Sprintf(`
		link set %[1]s up
		addr add %[2]s/%[3]d dev %[1]s
		route replace ::/0 dev %[1]s
		route replace default via %[4]s dev %[1]s`, o.links[i], o.careOf[i], o.bits, o.routers[i])))
}

func (o outside) detach(t *testing.T, i int) {
	t.Helper()
	must(t, lab.MN.IP(fmt.Sprintf("addr flush dev %[1]s\nlink set %[1]s down", o.links[i])))
}

const roamingConf = `
role = "mobile-node"
identity = %q
mobility = "mobike"
ike = [%q]
esp = [%q]
control-socket = "control"
log-level = "debug"

[home-agent]
identity = %q
address = %q
home-address = %q
secret-file = "psk"
`

const stayingConf = `
role = "home-agent"
identity = %q
address = %q
mobility = "mobike"
ike = [%q]
esp = [%q]
control-socket = "control"
log-level = "debug"

[[mobile-node]]
identity = %q
home-address = %q
secret-file = "psk"
`

// roads is a road warrior and its gateway; of each of the two daemons one is there, or two of mipsecd.
type roads struct {
	outside
	mipsecd []*mipsecd
	charon  *charon
}

func (r *roads) start(t *testing.T, n lab.Node, daemon string) {
	t.Helper()
	switch {
	case daemon == "mipsecd" && n == lab.MN:
		r.mipsecd = append(r.mipsecd, runMipsecd(t, n,
			fmt.Sprintf(roamingConf, identityMN, modern.ike, modern.esp, identityHA, r.gateway, lab.HoA), secretText))
	case daemon == "mipsecd":
		r.mipsecd = append(r.mipsecd, runMipsecd(t, n,
			fmt.Sprintf(stayingConf, identityHA, r.gateway, modern.ike, modern.esp, identityMN, lab.HoA), secretText))
	default:
		r.charon = startCharon(t, n)
		c := r.charon.usual(modern)
		c.local, c.remote = "%any", r.gateway.String()
		if n == lab.HA {
			c.local, c.remote = c.remote, c.local
		}
		c.lines = []string{"mobike = yes"}
		c.children = []child{{name: payload.name, mode: "tunnel", ts: r.charon.selectors(lab.HoA.String()+"/128", "::/0")}}
		r.charon.load(t, c)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("charon on %s:\n%s", n, r.charon.log(t))
			}
		})
	}
}

// stands waits until both kernels have one tunnel, with the same SPIs, between the gateway and where the road warrior is on a
// link, and mipsecd has one IKE_SA there. It yields the SPIs of the IKE_SA and of the tunnel.
func (r *roads) stands(t *testing.T, link int) (ike, child []string) {
	t.Helper()
	wait(t, fmt.Sprintf("the tunnel is at %s", r.careOf[link]), func() error {
		ike, child = nil, nil
		for n, careOf := range map[lab.Node]netip.Addr{lab.MN: r.careOf[link], lab.HA: r.seen[link]} {
			sas := kernelSAs(t, n)
			if len(sas) != 2 {
				return fmt.Errorf("%s has %v", n, sas)
			}
			for _, sa := range sas {
				if sa.src != careOf && sa.dst != careOf || sa.src != r.gateway && sa.dst != r.gateway {
					return fmt.Errorf("%s has %s", n, sa)
				}
				child = append(child, fmt.Sprintf("%08x", sa.spi))
			}
		}
		if child = distinct(child); len(child) != 2 {
			return fmt.Errorf("the SPIs are %v", child)
		}
		for _, m := range r.mipsecd {
			s, err := m.status()
			if err != nil {
				return err
			}
			sas := s.established()
			if len(sas) != 1 || len(sas[0].Children) != 1 {
				return fmt.Errorf("mipsecd on %s has %+v", m.node, sas)
			}
			at := sas[0].Local
			if m.node == lab.HA {
				at = sas[0].Remote
			}
			if at.Addr() != r.careOf[link] && at.Addr() != r.seen[link] {
				return fmt.Errorf("mipsecd on %s has %+v", m.node, sas)
			}
			ike = append(ike, sas[0].SPIi+sas[0].SPIr)
		}
		ike = distinct(ike)
		return nil
	})
	return ike, child
}

func distinct(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// roam has a road warrior go from the first link to the second and back.
func roam(t *testing.T, o outside, warrior, gateway string) {
	o.build(t)
	o.attach(t, 0)
	captures := []*lab.Capture{lab.StartCapture(t, lab.Foreign1), lab.StartCapture(t, lab.Foreign2)}
	r := &roads{outside: o}
	r.start(t, lab.HA, gateway)
	r.start(t, lab.MN, warrior)
	if warrior == "strongSwan" {
		r.charon.must(t, "--initiate", "--child", payload.name)
	}
	ping(t, lab.MN)
	ike, child := r.stands(t, 0)
	running := lab.StartPing(t, lab.CN, lab.HoA, 100*time.Millisecond)
	arrived := func(i int) {
		t.Helper()
		pingAnswered(t, running)
		ikeNow, childNow := r.stands(t, i)
		if !slices.Equal(ikeNow, ike) {
			t.Errorf("the IKE_SA is %v, before the movement it was %v", ikeNow, ike)
		}
		if !slices.Equal(childNow, child) && !o.nat() { // to and from behind a NAT the Child SA may be replaced
			t.Errorf("the Child SA is %v, before the movement it was %v", childNow, child)
		}
		pingAnswered(t, running)
	}
	pingAnswered(t, running)
	o.attach(t, 1)
	o.detach(t, 0)
	arrived(1)
	o.detach(t, 1)
	o.attach(t, 0)
	arrived(0)
	for _, c := range captures {
		for _, packet := range c.Exposed(t, lab.HoA) {
			t.Error("seen in the clear:", packet)
		}
	}
	if r.charon == nil {
		return
	}
	log := r.charon.log(t)
	want := []string{ // strongSwan itself does not look whether a peer is where it says
		`parsed INFORMATIONAL request \d+ \[ N\(UPD_SA_ADDR\) .*N\(COOKIE2\)`,
		`generating INFORMATIONAL response \d+ \[ .*N\(COOKIE2\)`,
	}
	if warrior == "strongSwan" {
		want = []string{
			`generating INFORMATIONAL request \d+ \[ N\(UPD_SA_ADDR\)`,
			`parsed INFORMATIONAL request \d+ \[ N\(COOKIE2\) \]`,
			`generating INFORMATIONAL response \d+ \[ N\(COOKIE2\) \]`,
		}
	}
	for _, want := range want {
		if n := len(regexp.MustCompile(want).FindAllString(log, -1)); n < 2 {
			t.Errorf("charon has logged %q %d times, want it for both movements", want, n)
		}
	}
}
