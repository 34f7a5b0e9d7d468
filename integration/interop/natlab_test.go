//go:build linux

package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
)

// A lab for NATs: a road warrior and a gateway, each behind a router that may translate addresses, with IPv4 and IPv6
// between. The correspondent is behind the gateway.
//
//	warrior ──── nat-w ──── outside ──── nat-g ──── gateway ──── correspondent
//	10.1.0.2            198.51.100.0/24            10.2.0.2       2001:db8:c::100
//	fd01::2            2001:db8:51::/64            fd02::2
const (
	warrior       lab.Node = "warrior"
	natOfWarrior  lab.Node = "nat-w"
	natOfGateway  lab.Node = "nat-g"
	gateway       lab.Node = "gateway"
	correspondent lab.Node = "correspondent"
)

// outsideAddrs are those of one IP version.
type outsideAddrs struct {
	iptables         string
	warrior, gateway netip.Addr // their own
	// natW, natW2 and natG are those of the NATs on the outside, of which that of the warrior has two.
	natW, natW2, natG netip.Addr
}

var (
	outside4 = outsideAddrs{
		"iptables-legacy", netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.2.0.2"),
		netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.3"), netip.MustParseAddr("198.51.100.2"),
	}
	outside6 = outsideAddrs{
		"ip6tables-legacy", netip.MustParseAddr("fd01::2"), netip.MustParseAddr("fd02::2"),
		netip.MustParseAddr("2001:db8:51::1"), netip.MustParseAddr("2001:db8:51::3"), netip.MustParseAddr("2001:db8:51::2"),
	}
)

// buildNATLab builds the lab without any translation, and takes it down when the test ends.
func buildNATLab(t *testing.T) {
	t.Helper()
	for _, n := range []lab.Node{warrior, natOfWarrior, natOfGateway, gateway, correspondent} {
		uml.Sh(t, "ip netns add %s", n)
		t.Cleanup(func() { uml.Sh(t, "ip netns del %s", n) })
		must(t, n.Do(func() error {
			return errors.Join(sysctl("ipv6/conf/all/accept_dad", "0"), sysctl("ipv6/conf/default/accept_dad", "0"),
				sysctl("ipv6/conf/all/forwarding", "1"), sysctl("ipv4/ip_forward", "1"), sysctl("core/xfrm_acq_expires", "3"))
		}))
	}
	for _, commands := range []struct {
		on    lab.Node
		lines string
	}{
		{natOfWarrior, `
			link add inside type veth peer name eth0 netns warrior
			link add outside type veth peer name outside netns nat-g
			link set inside up
			link set outside up
			addr add 10.1.0.1/24 dev inside
			addr add fd01::1/64 dev inside
			addr add 198.51.100.1/24 dev outside
			addr add 198.51.100.3/24 dev outside
			addr add 2001:db8:51::1/64 dev outside
			addr add 2001:db8:51::3/64 dev outside
			route add 10.2.0.0/24 via 198.51.100.2
			route add fd02::/64 via 2001:db8:51::2`},
		{natOfGateway, `
			link add inside type veth peer name eth0 netns gateway
			link set inside up
			link set outside up
			addr add 10.2.0.1/24 dev inside
			addr add fd02::1/64 dev inside
			addr add 198.51.100.2/24 dev outside
			addr add 2001:db8:51::2/64 dev outside
			route add 10.1.0.0/24 via 198.51.100.1
			route add fd01::/64 via 2001:db8:51::1`},
		{warrior, fmt.Sprintf(`
			link set lo up
			link set eth0 up
			addr add 10.1.0.2/24 dev eth0
			addr add fd01::2/64 dev eth0
			addr add %s/128 dev lo
			route add default via 10.1.0.1
			route add default via fd01::1 src %[1]s
			route add fd02::/64 via fd01::1 src fd01::2
			route add 2001:db8:51::/64 via fd01::1 src fd01::2`, lab.HoA)},
		{gateway, fmt.Sprintf(`
			link add inner type veth peer name eth0 netns correspondent
			link set lo up
			link set eth0 up
			link set inner up
			addr add 10.2.0.2/24 dev eth0
			addr add fd02::2/64 dev eth0
			addr add 2001:db8:c::1/64 dev inner
			route add default via 10.2.0.1
			route add default via fd02::1
			route add %s/128 via fd02::1`, lab.HoA)},
		{correspondent, fmt.Sprintf(`
			link set lo up
			link set eth0 up
			addr add %s/64 dev eth0
			route add default via 2001:db8:c::1`, lab.Correspondent)},
	} {
		must(t, commands.on.IP(commands.lines))
	}
}

// sysctl sets a variable of the network namespace that the calling thread is in.
func sysctl(name, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
}

// natPlace is where there are NATs.
type natPlace struct {
	outsideAddrs
	warrior, gateway bool
}

// seen is where the warrior finds the gateway.
func (p natPlace) seen() netip.Addr {
	if p.gateway {
		return p.natG
	}
	return p.outsideAddrs.gateway
}

// place puts NATs where they are to be, in place of what there was. A NAT lets nothing but UDP pass.
func (p natPlace) place(t *testing.T) {
	t.Helper()
	for _, n := range []lab.Node{warrior, gateway} {
		must(t, n.IP("xfrm state flush\nxfrm policy flush"))
	}
	for _, n := range []lab.Node{natOfWarrior, natOfGateway} {
		for _, iptables := range []string{outside4.iptables, outside6.iptables} {
			run(t, n, iptables, "-t nat -F")
			run(t, n, iptables, "-F FORWARD")
		}
	}
	if p.warrior {
		run(t, natOfWarrior, p.iptables, "-A FORWARD -p esp -j DROP")
		run(t, natOfWarrior, p.iptables, "-t nat -A POSTROUTING -o outside -p udp "+p.mapping(p.natW, 20000))
	}
	if p.gateway {
		run(t, natOfGateway, p.iptables, "-A FORWARD -p esp -j DROP")
		for _, port := range []string{"500", "4500"} {
			run(t, natOfGateway, p.iptables, fmt.Sprintf("-t nat -A PREROUTING -i outside -p udp -d %s --dport %s -j DNAT --to-destination %s",
				p.natG, port, p.outsideAddrs.gateway))
		}
	}
	p.forget(t)
}

// mapping is the target of a rule that gives ports from this one on.
func (p natPlace) mapping(a netip.Addr, from uint16) string {
	return fmt.Sprintf("-j SNAT --to-source %s --random", strings.Replace(netip.AddrPortFrom(a, from).String(), fmt.Sprint(":", from),
		fmt.Sprintf(":%d-%d", from, from+999), 1))
}

// rebind gives the warrior's NAT other mappings.
func (p natPlace) rebind(t *testing.T, a netip.Addr, from uint16) {
	t.Helper()
	run(t, natOfWarrior, p.iptables, "-t nat -R POSTROUTING 1 -o outside -p udp "+p.mapping(a, from))
	p.forget(t)
}

// forget has both NATs lose their mappings.
func (p natPlace) forget(t *testing.T) {
	t.Helper()
	for _, n := range []lab.Node{natOfWarrior, natOfGateway} {
		run(t, n, "conntrack", "-F")
	}
}

func run(t *testing.T, n lab.Node, name, args string) {
	t.Helper()
	_, err := n.Run(name, strings.Fields(args)...)
	must(t, err)
}

// dump is what tcpdump sees outside.
type dump struct{ file string }

// startDump begins to watch the link between the NATs, until the test ends.
func startDump(t *testing.T) dump {
	t.Helper()
	d := dump{filepath.Join(t.TempDir(), "dump")}
	out, err := os.Create(d.file)
	must(t, err)
	defer out.Close()
	cmd := exec.Command("tcpdump", "-n", "-l", "-i", "outside", "udp or esp")
	cmd.Stdout, cmd.Stderr = out, out
	must(t, natOfWarrior.Do(cmd.Start))
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("outside:\n%s", d.text(t))
		}
	})
	d.sees(t, "listening on outside")
	return d
}

func (d dump) text(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(d.file)
	must(t, err)
	return string(b)
}

// sees waits until there is a line with this pattern.
func (d dump) sees(t *testing.T, pattern string) {
	t.Helper()
	line := regexp.MustCompile(pattern)
	wait(t, "outside there is "+pattern, func() error {
		if !line.MatchString(d.text(t)) {
			return errors.New("there is not")
		}
		return nil
	})
}

// not holds that there is no such line.
func (d dump) not(t *testing.T, pattern string) {
	t.Helper()
	if found := regexp.MustCompile(".*" + pattern + ".*").FindString(d.text(t)); found != "" {
		t.Errorf("outside there is %s", found)
	}
}
