//go:build linux

package interop

import (
	"fmt"
	"regexp"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mipsecd/integration/lab"
	"mipsecd/spd"
)

// pairOpenIKED is iked as mipsecd's peer. It has one Child SA in an IKE_SA, and on Linux no AES-GCM for ESP.
func pairOpenIKED(t *testing.T, w *world, mipsecdOn lab.Node, child traffic) *pairing {
	t.Helper()
	on := opposite(mipsecdOn)
	return &pairing{world: w, mipsecdOn: mipsecdOn, peerOn: on, first: child, withoutGCM: true,
		peer: newOpenIKED(t, on, w.at, child)}
}

// withOpenIKED are the cases of one Child SA, in one mode.
func (p *pairing) withOpenIKED() (cases []testCase) {
	mode := p.first.mode + " mode, "
	for _, s := range []suite{modern, suites[1], basic} {
		cases = append(cases, testCase{mode + "pre-shared key, " + s.name + ", ESP with AES-CBC", func(t *testing.T) { p.basics(t, p.first, s) }})
	}
	for _, kind := range []string{"RSA", "P-256", "Ed25519"} {
		cases = append(cases, testCase{mode + "certificate, " + kind, func(t *testing.T) { p.certified(t, p.first, kind) }})
	}
	return cases
}

// oneChild: iked makes one Child SA of all flows of a peer, and answers one who asks for less with all.
func (p *pairing) oneChild(t *testing.T) {
	iked := p.peer.(*openIKED)
	flows := iked.flows
	t.Cleanup(func() { iked.flows = flows })
	iked.flows = []traffic{agent, payload}
	x := p.meet(t, modern.mipsecd(), modern.peer())
	x.establish(t, x.first)
	x.passesFirst(t)
	t.Logf("lacks: %s", because(t, x.peerLog(t), `loaded flows: ESP-.*, ESP-.*`))
}

// otherGroupInRekeying: mipsecd rekeys with a group that iked does not take, and then with another.
func (p *pairing) otherGroupInRekeying(t *testing.T) {
	x := p.meet(t, wideESP.mipsecd(), narrowESP.peer())
	x.establish(t, x.first)
	before := x.agreed(t, x.first)
	lab.SoftExpire(t, x.mipsecdOn, spd.SAID{Dst: x.first.mobile, Proto: spd.ESP, SPI: before.children[0].toMN})
	x.saw(t, 0, wrongKEInChild)
	x.replaced(t, func(now agreement) bool { return other(now, before, 0) })
	x.passesFirst(t)
}

// otherSPIInRekeying: told of another group, iked asks to rekey not the same SA again, but that of the other direction, by an
// SPI that is not its own (RFC 7296 section 1.3.3).
func (p *pairing) otherSPIInRekeying(t *testing.T) {
	o := wideESP.peer()
	o.lifetime = 4
	x := p.meet(t, narrowESP.mipsecd(), o)
	x.establish(t, x.first)
	x.saw(t, 0, wrongKEInChild)
	const notFound = `ikev2_pld_notify: .* type CHILD_SA_NOT_FOUND`
	x.logged(t, 0, notFound)
	asked := regexp.MustCompile(`rekeying ESP spi (\w+)`).FindAllStringSubmatch(x.peerLog(t), 2)
	if len(asked) != 2 || asked[0][1] == asked[1][1] {
		t.Errorf("iked asked to rekey %v, want two SAs", asked)
	}
	t.Logf("lacks: %s", because(t, x.peerLog(t), notFound))
}

// openIKEDIdle is how long iked may have heard nothing from a peer before it asks. It looks at the SAs first, but on Linux its
// kernel does not tell it when they were used.
const openIKEDIdle = 5 * time.Minute

// idle sets the guest's clock ahead, by which iked measures how long it has heard nothing.
func idle(t *testing.T) {
	t.Helper()
	ahead, err := unix.TimeToTimespec(time.Now().Add(openIKEDIdle))
	must(t, err)
	must(t, unix.ClockSettime(unix.CLOCK_REALTIME, &ahead))
}

// meetProbing is meet with an iked that often looks whether mipsecd lives.
func (p *pairing) meetProbing(t *testing.T) *meeting {
	t.Helper()
	o := modern.peer()
	o.liveness = "1s"
	x := p.meet(t, modern.mipsecd(), o)
	x.establish(t, x.first)
	x.agreed(t, x.first)
	return x
}

// openIKEDProbes: mipsecd answers when it is asked whether it lives.
func (p *pairing) openIKEDProbes(t *testing.T) {
	x := p.meetProbing(t)
	idle(t)
	x.saw(t, 0, probeAnswered)
	x.passesFirst(t)
}

// openIKEDGivesUp: mipsecd has died without a word. It takes iked two minutes to give up.
func (p *pairing) openIKEDGivesUp(t *testing.T) {
	x := p.meetProbing(t)
	x.mipsecd.signal(t, syscall.SIGSTOP)
	idle(t)
	waitFor(t, 5*time.Minute, "iked has no SAs any more", func() error {
		if sas := kernelSAs(t, x.peerOn); len(sas) > 0 {
			return fmt.Errorf("its kernel has %v", sas)
		}
		return nil
	})
	x.saw(t, 0, givesUp)
}

// TestOpenIKEDTransport has the mobile node at home, where the home address is the one that IKE uses.
func TestOpenIKEDTransport(t *testing.T) {
	twoWays(t, "OpenIKED", func(t *testing.T, mipsecdOn lab.Node) {
		p := pairOpenIKED(t, buildAtHome(t), mipsecdOn, direct)
		p.run(t, p.withOpenIKED()...)
		p.run(t, testCase{"OpenIKED gives up when mipsecd is silent", p.openIKEDGivesUp})
	})
}

func TestOpenIKED(t *testing.T) {
	twoWays(t, "OpenIKED", func(t *testing.T, mipsecdOn lab.Node) {
		p := pairOpenIKED(t, build(t), mipsecdOn, payload)
		p.run(t, append(p.withOpenIKED(),
			testCase{"the home agent asks for a Child SA", p.oneChild},
			testCase{"OpenIKED rekeys", p.peerRekeys},
			testCase{"OpenIKED's lifetimes are the shorter ones", p.peerOutlived(8)},
			testCase{"OpenIKED deletes a Child SA", p.peerDeletesChild},
			testCase{"OpenIKED deletes the IKE_SA", p.peerDeletesIKE},
			testCase{"mipsecd deletes a Child SA", p.mipsecdDeletesChild},
			testCase{"mipsecd deletes the IKE_SA", p.mipsecdDeletesIKE},
			testCase{"mipsecd deletes the IKE_SA without an answer", p.unansweredEnd},
			testCase{"OpenIKED asks for a sign of life", p.openIKEDProbes},
			testCase{"mipsecd asks for a sign of life", p.mipsecdProbes},
			testCase{"wrong pre-shared key", p.wrongSecret},
			testCase{"certificate of another authority", p.otherAuthority},
			testCase{"INVALID_KE_PAYLOAD to IKE_SA_INIT", p.otherGroups},
		)...)
		const wrongGroup = "INVALID_KE_PAYLOAD to CREATE_CHILD_SA"
		if mipsecdOn == lab.HA { // iked never asks for cookies
			p.run(t, testCase{wrongGroup, p.otherSPIInRekeying}, testCase{"cookie", p.cookie})
		} else { // iked does not hear the end of an IKE_SA that it has begun and mipsecd has rekeyed
			p.run(t, testCase{wrongGroup, p.otherGroupInRekeying}, testCase{"mipsecd's lifetimes are the shorter ones", p.mipsecdRekeys})
		}
	})
}
