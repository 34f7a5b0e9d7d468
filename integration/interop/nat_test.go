//go:build linux

package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
	"mipsecd/spd"
)

// TestStrongSwanNAT has pairs of SAs whose outside is IPv4 or IPv6, without and with NATs before either or both ends.
func TestStrongSwanNAT(t *testing.T) {
	t.Parallel()
	for _, guest := range []struct {
		name      string
		mipsecdOn lab.Node
	}{
		{"mipsecd initiates", warrior}, {"strongSwan initiates", gateway},
	} {
		t.Run(guest.name, func(t *testing.T) {
			t.Parallel()
			uml.Run(t, func(t *testing.T) {
				buildNATLab(t)
				for _, c := range []struct {
					name string
					natPlace
				}{
					{"IPv4 outside", natPlace{outside4, false, false}},
					{"NAT before the initiator", natPlace{outside4, true, false}},
					{"NAT before the responder", natPlace{outside4, false, true}},
					{"NAT before both", natPlace{outside4, true, true}},
					{"NAT66 before the initiator", natPlace{outside6, true, false}},
					{"NAT66 before the responder", natPlace{outside6, false, true}},
					{"NAT66 before both", natPlace{outside6, true, true}},
				} {
					cross := func(name string, o crossingOptions) {
						t.Run(c.name+name, func(t *testing.T) { crossNAT(t, guest.mipsecdOn, c.natPlace, o) })
					}
					cross("", usualCrossing)
					if c.natPlace.warrior && !c.natPlace.gateway {
						o := usualCrossing
						o.mobility = "mobike"
						cross(", MOBIKE", o)
					}
					if c.outsideAddrs == outside6 {
						t.Run(c.name+", transport mode", func(t *testing.T) { transportNAT(t, guest.mipsecdOn, c.natPlace) })
					}
					if c.natPlace == (natPlace{outside6, true, false}) { // PF_KEY has no tunnel for IPv6 in IPv4
						cross(", PF_KEY", crossingOptions{suite{ike: modern.ike, esp: "aes128-sha512"}, "none", "pfkey"})
					}
				}
			})
		})
	}
}

// crossingOptions are what the tests vary of mipsecd, and of strongSwan with it.
type crossingOptions struct {
	suite
	mobility, kernel string
}

var usualCrossing = crossingOptions{modern, "none", "xfrm"}

const crossingConf = `
identity = %q
mobility = %q
kernel = %q
ike = [%q]
esp = [%q]
shards = 1
control-socket = "control"
log-level = "debug"
`

const warriorConf = `
role = "mobile-node"
interfaces = ["eth0"]
[home-agent]
identity = %q
address = %q
home-address = %q
secret-file = "psk"
`

const gatewayConf = `
role = "home-agent"
address = %q
[[mobile-node]]
identity = %q
home-address = %q
secret-file = "psk"
`

// crossing is a pair of SAs between a road warrior and its gateway, of which one is mipsecd and the other strongSwan.
type crossing struct {
	natPlace
	crossingOptions
	echo      func() error // from the warrior, answered
	mipsecdOn lab.Node
	mipsecd   *mipsecd
	charon    *charon
	dump      dump
}

func newCrossing(t *testing.T, mipsecdOn lab.Node, place natPlace, o crossingOptions, echo func() error) *crossing {
	t.Helper()
	place.place(t)
	x := &crossing{natPlace: place, crossingOptions: o, mipsecdOn: mipsecdOn, dump: startDump(t), echo: echo}
	if x.mipsecdOn == warrior {
		x.charon = startCharon(t, gateway)
	} else {
		x.charon = startCharon(t, warrior)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("strongSwan:\n%s", x.charon.log(t))
		}
	})
	return x
}

// crossNAT sets a tunnel up and lets happen to it what happens behind NATs.
func crossNAT(t *testing.T, mipsecdOn lab.Node, place natPlace, o crossingOptions) {
	x := newCrossing(t, mipsecdOn, place, o, func() error { return echo(warrior, "-c1", "-i0.2", "-w5") })
	home, all := lab.HoA.String()+"/128", "::/0"
	if mipsecdOn == warrior {
		x.load(t, "tunnel", all, home)
		x.beWarrior(t, lab.HoA)
	} else {
		x.beGateway(t, lab.HoA)
		x.load(t, "tunnel", home, all)
		x.charon.must(t, "--initiate", "--child", "payload")
	}
	x.passes(t)
	x.protected(t)
	if mobike := strings.Contains(x.charon.log(t), "peer supports MOBIKE"); mobike != (o.mobility == "mobike") {
		t.Errorf("strongSwan finds MOBIKE: %t", mobike)
	}

	t.Run("strongSwan rekeys", func(t *testing.T) {
		x.charon.must(t, "--rekey", "--child", "payload")
		x.passes(t)
		x.charon.must(t, "--rekey", "--ike", "peer")
		x.passes(t)
	})
	t.Run("mipsecd rekeys", func(t *testing.T) {
		x.mipsecdRekeys(t)
		x.passes(t)
	})
	x.protected(t)
	if !x.warriorBehind() || x.gatewayBehind() {
		return // a gateway behind a NAT itself does not follow a new mapping (RFC 7296 section 2.23)
	}
	if x.outsideAddrs == outside4 && o == usualCrossing { // once is enough: they take 20 seconds
		t.Run("keepalives", func(t *testing.T) {
			x.dump.sees(t, fmt.Sprintf(`%s\.\d+ > \S+\.4500: isakmp-nat-keep-alive`, regexpAddr(x.natW)))
		})
	}
	t.Run("another port", func(t *testing.T) { x.rebound(t, x.natW, 30000) })
	if o.kernel == "xfrm" || mipsecdOn == warrior { // PF_KEY moves no encapsulated SA to another address
		t.Run("another address", func(t *testing.T) { x.rebound(t, x.natW2, 40000) })
	}
}

func (x *crossing) warriorBehind() bool { return x.natPlace.warrior }
func (x *crossing) gatewayBehind() bool { return x.natPlace.gateway }
func (x *crossing) encapsulated() bool  { return x.warriorBehind() || x.gatewayBehind() }

func (x *crossing) beWarrior(t *testing.T, home netip.Addr) {
	t.Helper()
	x.launch(t, identityMN, fmt.Sprintf(warriorConf, identityHA, x.seen(), home))
}

func (x *crossing) beGateway(t *testing.T, home netip.Addr) {
	t.Helper()
	x.launch(t, identityHA, fmt.Sprintf(gatewayConf, x.outsideAddrs.gateway, identityMN, home))
}

func (x *crossing) launch(t *testing.T, id, role string) {
	t.Helper()
	conf := fmt.Sprintf(crossingConf, id, x.mobility, x.kernel, x.ike, x.esp) + role
	x.mipsecd = runMipsecd(t, x.mipsecdOn, conf, secretText)
}

// load configures strongSwan.
func (x *crossing) load(t *testing.T, mode, local, remote string) {
	t.Helper()
	n := x.charon.usual(x.suite)
	n.local, n.remote, n.id, n.peerID = x.outsideAddrs.gateway.String(), "%any", identityHA, identityMN
	if x.charon.node == warrior {
		n.local, n.remote, n.id, n.peerID = x.outsideAddrs.warrior.String(), x.seen().String(), n.peerID, n.id
	}
	n.lines = []string{"mobike = no"}
	if x.mobility == "mobike" {
		n.lines[0] = "mobike = yes"
	}
	n.children = []child{{name: payload.name, mode: mode, ts: [2]string{local, remote}}}
	x.charon.load(t, n)
}

// passes has the warrior's echo requests answered, and there is one IKE_SA with one tunnel on both sides.
func (x *crossing) passes(t *testing.T) {
	t.Helper()
	wait(t, "an echo", x.echo)
	wait(t, "one pair on both sides", func() error {
		s, err := x.mipsecd.status()
		if err != nil {
			return err
		}
		mine, theirs := s.established(), x.charon.established(t)
		if len(mine) != 1 || len(theirs) != 1 || len(mine[0].Children) != 1 || len(theirs[0].children) != 1 ||
			mine[0].Children[0].SPIIn != theirs[0].children[0].SPIOut || mine[0].Children[0].SPIOut != theirs[0].children[0].SPIIn {
			return fmt.Errorf("mipsecd has %+v, strongSwan %+v", mine, theirs)
		}
		return nil
	})
}

// protected holds that data went outside as ESP, in UDP with the NATs' addresses if there are some, and else plain.
func (x *crossing) protected(t *testing.T) {
	t.Helper()
	from, to, port := x.outsideAddrs.warrior, x.seen(), `\.\d+`
	if x.warriorBehind() {
		from, port = x.natW, `\.2\d{4}`
	}
	if x.encapsulated() {
		x.dump.sees(t, fmt.Sprintf(`%s%s > %s\.4500: UDP-encap: ESP`, regexpAddr(from), port, regexpAddr(to)))
		x.dump.sees(t, fmt.Sprintf(`%s\.4500 > %s%s: UDP-encap: ESP`, regexpAddr(to), regexpAddr(from), port))
		x.dump.sees(t, `NONESP-encap: isakmp: child_sa  ikev2_auth`)
		x.dump.not(t, `\d: ESP`)
	} else {
		x.dump.sees(t, fmt.Sprintf(`%s > %s: ESP`, regexpAddr(from), regexpAddr(to)))
		x.dump.sees(t, fmt.Sprintf(`%s > %s: ESP`, regexpAddr(to), regexpAddr(from)))
		x.dump.not(t, `UDP-encap`)
		x.dump.not(t, `isakmp-nat-keep-alive`)
	}
}

func regexpAddr(a netip.Addr) string { return strings.ReplaceAll(a.String(), ".", `\.`) }

// transportNAT sets SAs in transport mode up between the two hosts. Their addresses are others to each (RFC 7296 section
// 2.23.1).
func transportNAT(t *testing.T, mipsecdOn lab.Node, place natPlace) {
	own := place.outsideAddrs.warrior
	o := usualCrossing
	o.mobility = "mobile-ipv6" // at home, and without policies of mipsecd's
	x := newCrossing(t, mipsecdOn, place, o, func() error {
		_, err := warrior.Run("ping", "-c1", "-i0.2", "-w5", "-I", own.String(), place.seen().String())
		return err
	})
	local, remote := own, place.seen() // as mipsecd sees them
	if mipsecdOn == gateway {
		local, remote = x.outsideAddrs.gateway, own
		if x.warriorBehind() {
			remote = x.natW
		}
	}
	const policy = "xfrm policy add src %s dst %s dir %s priority 9 tmpl proto esp reqid %d mode transport\n"
	must(t, mipsecdOn.IP(fmt.Sprintf(policy, local, remote, "out", 31)+fmt.Sprintf(policy, remote, local, "in", 32)))
	if mipsecdOn == warrior {
		x.load(t, "transport", "dynamic", "dynamic")
		x.beWarrior(t, local)
	} else {
		x.beGateway(t, remote)
		x.load(t, "transport", "dynamic", "dynamic")
		x.charon.must(t, "--initiate", "--child", "payload")
	}
	x.passes(t)
	x.charon.must(t, "--rekey", "--child", "payload")
	x.passes(t)
	x.mipsecdRekeys(t)
	x.passes(t)
	x.protected(t)
}

// mipsecdRekeys has the kernel say that the tunnel is old.
func (x *crossing) mipsecdRekeys(t *testing.T) {
	t.Helper()
	before := x.mipsecdChild(t)
	for _, sa := range kernelSAs(t, x.mipsecdOn) {
		if fmt.Sprintf("%08x", sa.spi) == before.SPIIn {
			lab.SoftExpire(t, x.mipsecdOn, spd.SAID{Dst: sa.dst, Proto: spd.ESP, SPI: sa.spi})
		}
	}
	wait(t, "another tunnel", func() error {
		if x.mipsecdChild(t).SPIIn == before.SPIIn {
			return errors.New("it is the old one")
		}
		return nil
	})
}

func (x *crossing) mipsecdChild(t *testing.T) childSA {
	t.Helper()
	s, err := x.mipsecd.status()
	must(t, err)
	for _, sa := range s.established() {
		for _, c := range sa.Children {
			return c
		}
	}
	t.Fatal("mipsecd has no tunnel")
	return childSA{}
}

// rebound gives the warrior another mapping; what passes next has the gateway follow, without a new tunnel.
func (x *crossing) rebound(t *testing.T, a netip.Addr, from uint16) {
	t.Helper()
	before := x.mipsecdChild(t)
	x.rebind(t, a, from)
	x.passes(t)
	mapped := fmt.Sprintf(`%s\.%d\d{4}`, regexpAddr(a), from/10000)
	x.dump.sees(t, fmt.Sprintf(`%s > %s\.4500: UDP-encap: ESP`, mapped, regexpAddr(x.seen())))
	x.dump.sees(t, fmt.Sprintf(`%s\.4500 > %s: UDP-encap: ESP`, regexpAddr(x.seen()), mapped))
	if after := x.mipsecdChild(t); after != before {
		t.Errorf("the tunnel is %+v, was %+v", after, before)
	}
}
