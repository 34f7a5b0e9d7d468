//go:build linux

package interop

import (
	"fmt"
	"syscall"
	"testing"

	"mipsecd/integration/lab"
)

// strongSwanDeletes: a Child SA, then the IKE_SA with what is left. After that all can begin anew.
func (p *pairing) strongSwanDeletes(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.charon())
	first := x.both(t)
	x.charon.must(t, "--terminate", "--child", binding.name)
	if left := x.agreed(t, payload).children[0]; left != first.children[1] {
		t.Errorf("deleting a Child SA has changed another: %08x, want %08x", left, first.children[1])
	}
	x.charon.must(t, "--terminate", "--ike", "peer")
	x.nothing(t)
	x.establish(t, binding)
	x.passes(t, binding, x.agreed(t, binding).children[0])
}

// mipsecdDeletes: somebody takes one SA out of mipsecd's kernel, so mipsecd deletes the pair on both hosts.
func (p *pairing) mipsecdDeletes(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.charon())
	lost := x.both(t).children[0].toHA
	must(t, x.mipsecdOn.IP(fmt.Sprintf("xfrm state delete src %s dst %s proto esp spi 0x%08x", lab.HoA, lab.HomeAgent, lost)))
	x.agreed(t, payload)
}

// strongSwanProbes: mipsecd answers as long as it runs. When it does not, strongSwan gives up.
func (p *pairing) strongSwanProbes(t *testing.T) {
	c := modern.charon()
	c.liveness = "1s"
	x := p.meet(t, modern.mipsecd(), c)
	x.establish(t, binding)
	x.agreed(t, binding)
	at := x.logged(t, 0, `sending DPD request`)
	x.logged(t, at, `parsed INFORMATIONAL response \d+ \[ \]`)
	x.agreed(t, binding)

	x.mipsecd.signal(t, syscall.SIGSTOP)
	x.logged(t, at, `giving up after \d+ retransmits`)
	wait(t, "charon has given up", func() error {
		if sas := kernelSAs(t, x.charonOn); len(sas) > 0 {
			return fmt.Errorf("its kernel has %v", sas)
		}
		return nil
	})
	x.mipsecd.signal(t, syscall.SIGCONT)
	if x.charonOn == lab.MN { // with INITIAL_CONTACT, which ends what mipsecd still has
		x.establish(t, binding)
		x.passes(t, binding, x.agreed(t, binding).children[0])
	}
}

// mipsecdProbes: strongSwan answers as long as it runs. When it does not, mipsecd gives up.
func (p *pairing) mipsecdProbes(t *testing.T) {
	m := modern.mipsecd()
	m.more = "liveness = \"1s\"\ntiming = { retransmit = \"300ms\", tries = 4 }\n"
	x := p.meet(t, m, modern.charon())
	x.establish(t, binding)
	x.agreed(t, binding)
	at := x.logged(t, 0, `parsed INFORMATIONAL request \d+ \[ \]`)
	x.logged(t, at, `generating INFORMATIONAL response \d+ \[ \]`)
	x.agreed(t, binding)

	goOn := x.stopCharon(t)
	wait(t, "mipsecd has given up", func() error {
		s, err := x.mipsecd.status()
		if sas := kernelSAs(t, x.mipsecdOn); err == nil && len(sas)+len(s.established()) > 0 {
			err = fmt.Errorf("its kernel has %v, and it %+v", sas, s)
		}
		return err
	})
	goOn()
	if x.mipsecdOn == lab.MN { // with INITIAL_CONTACT, which ends what charon still has
		x.establish(t, binding)
		x.passes(t, binding, x.agreed(t, binding).children[0])
	}
}

// unansweredEnd: when mipsecd ends, its SAs go even if strongSwan does not answer.
func (p *pairing) unansweredEnd(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.charon())
	x.establish(t, binding)
	x.agreed(t, binding)
	x.stopCharon(t)
	x.mipsecd.stop(t)
	if sas := kernelSAs(t, x.mipsecdOn); len(sas) > 0 {
		t.Errorf("mipsecd has left behind %v", sas)
	}
}

// stopCharon makes charon stand still until what it returns is called, or the test ends.
func (x *meeting) stopCharon(t *testing.T) (goOn func()) {
	t.Helper()
	process := x.charon.cmd.Process
	must(t, process.Signal(syscall.SIGSTOP))
	goOn = func() { process.Signal(syscall.SIGCONT) }
	t.Cleanup(goOn)
	return goOn
}

// wrongSecret: the initiator is refused, and nothing is installed or passes.
func (p *pairing) wrongSecret(t *testing.T) {
	m := modern.mipsecd()
	m.secret = "a secret of somebody else altogether"
	x := p.meet(t, m, modern.charon())
	x.refused(t, payload.name, `N\(AUTH_FAILED\)`)
	x.nothing(t)
	x.hidden(t)
}

// othersHomeAddress: strongSwan asks for SAs on a home address that is not this mobile node's, in IKE_AUTH and in
// CREATE_CHILD_SA. The IKE_SA and what is mipsecd's to give stay.
func (p *pairing) othersHomeAddress(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.charon())
	const refusal = `parsed \w+ response \d+ \[.* N\(TS_UNACCEPT\).* \]`
	var kinds []traffic
	if x.charonOn == lab.HA {
		x.establish(t, binding)
		kinds = append(kinds, binding)
	}
	for _, child := range []string{"others-binding", "others-payload"} {
		at := len(x.charonLog(t))
		if _, err := x.charon.control("--initiate", "--child", child); err == nil {
			t.Errorf("mipsecd has agreed to %s", child)
		}
		x.logged(t, at, refusal)
		x.agreed(t, kinds...)
	}
	if x.charonOn == lab.MN {
		x.establish(t, binding)
	}
	x.passes(t, binding, x.agreed(t, binding).children[0])
}

// refused has the mobile node ask in vain, until charon has logged why.
func (x *meeting) refused(t *testing.T, child, why string) {
	t.Helper()
	var err error
	if x.charonOn == lab.MN {
		_, err = x.charon.control("--initiate", "--child", child)
	} else {
		err = echo(lab.MN, "-c1", "-W1")
	}
	if err == nil {
		t.Error("it was not refused")
	}
	x.logged(t, 0, why)
}
