//go:build linux

package interop

import (
	"fmt"
	"syscall"
	"testing"

	"mipsecd/integration/lab"
)

// peerDeletesChild: deleting a Child SA leaves another alone.
func (p *pairing) peerDeletesChild(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.peer())
	before := x.both(t)
	x.peer.deleteChild(t, x.first)
	if left := x.agreed(t, x.second).children[0]; left != before.children[1] {
		t.Errorf("deleting a Child SA has changed another: %08x, want %08x", left, before.children[1])
	}
}

// peerDeletesIKE: its Child SAs go with the IKE_SA. After that all can begin anew.
func (p *pairing) peerDeletesIKE(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.peer())
	x.both(t)
	x.peer.deleteIKE(t)
	x.nothing(t)
	x.establish(t, x.first)
	x.passesFirst(t)
}

// mipsecdDeletesIKE: when mipsecd ends, so does all that it has agreed.
func (p *pairing) mipsecdDeletesIKE(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.peer())
	x.both(t)
	x.mipsecd.stop(t)
	x.nothing(t)
}

// mipsecdDeletesChild: somebody takes one SA out of mipsecd's kernel, so mipsecd deletes the pair on both hosts.
func (p *pairing) mipsecdDeletesChild(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.peer())
	lost := x.both(t).children[0].toHA
	must(t, x.mipsecdOn.IP(fmt.Sprintf("xfrm state delete src %s dst %s proto esp spi 0x%08x", x.first.mobile, x.first.home, lost)))
	x.agreed(t, x.second)
}

// peerProbes: mipsecd answers as long as it runs. When it does not, the peer gives up.
func (p *pairing) peerProbes(t *testing.T) {
	o := modern.peer()
	o.liveness = "1s"
	x := p.meet(t, modern.mipsecd(), o)
	x.establish(t, x.first)
	x.agreed(t, x.first)
	at := x.saw(t, 0, probeAnswered)
	x.agreed(t, x.first)

	x.mipsecd.signal(t, syscall.SIGSTOP)
	x.saw(t, at, givesUp)
	wait(t, x.peer.name()+" has given up", func() error {
		if sas := kernelSAs(t, x.peerOn); len(sas) > 0 {
			return fmt.Errorf("its kernel has %v", sas)
		}
		return nil
	})
	x.mipsecd.signal(t, syscall.SIGCONT)
	if x.peerOn == lab.MN { // with INITIAL_CONTACT, which ends what mipsecd still has
		x.establish(t, x.first)
		x.passesFirst(t)
	}
}

// mipsecdProbes: the peer answers as long as it runs. When it does not, mipsecd gives up.
func (p *pairing) mipsecdProbes(t *testing.T) {
	m := modern.mipsecd()
	m.more = "liveness = \"1s\"\ntiming = { retransmit = \"300ms\", tries = 6 }\n"
	x := p.meet(t, m, modern.peer())
	x.establish(t, x.first)
	x.agreed(t, x.first)
	x.saw(t, 0, probeReceived)
	x.agreed(t, x.first)

	goOn := x.stopPeer(t)
	wait(t, "mipsecd has given up", func() error {
		s, err := x.mipsecd.status()
		if sas := kernelSAs(t, x.mipsecdOn); err == nil && len(sas)+len(s.established()) > 0 {
			err = fmt.Errorf("its kernel has %v, and it %+v", sas, s)
		}
		return err
	})
	goOn()
	if x.mipsecdOn == lab.MN {
		x.establish(t, x.first)
		x.passesAnew(t)
	}
}

// passesAnew has the first kind of traffic pass with the SAs that mipsecd has for it. What the peer still has beside them,
// libreswan keeps in spite of INITIAL_CONTACT.
func (x *meeting) passesAnew(t *testing.T) {
	t.Helper()
	wait(t, "both kernels have the new SAs", func() error {
		s, err := x.first.find(kernelSAs(t, x.mipsecdOn))
		if err == nil {
			err = x.first.has(kernelSAs(t, x.peerOn), s)
		}
		return err
	})
	s, err := x.first.find(kernelSAs(t, x.mipsecdOn))
	must(t, err)
	x.passes(t, x.first, s)
}

// unansweredEnd: when mipsecd ends, its SAs go even if the peer does not answer.
func (p *pairing) unansweredEnd(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.peer())
	x.establish(t, x.first)
	x.agreed(t, x.first)
	x.stopPeer(t)
	x.mipsecd.stop(t)
	if sas := kernelSAs(t, x.mipsecdOn); len(sas) > 0 {
		t.Errorf("mipsecd has left behind %v", sas)
	}
}

// stopPeer makes the peer stand still until what it returns is called, or the test ends.
func (x *meeting) stopPeer(t *testing.T) (goOn func()) {
	t.Helper()
	x.peer.signal(t, syscall.SIGSTOP)
	goOn = func() { x.peer.signal(t, syscall.SIGCONT) }
	t.Cleanup(goOn)
	return goOn
}

// wrongSecret: the initiator is refused, and nothing is installed or passes.
func (p *pairing) wrongSecret(t *testing.T) {
	m := modern.mipsecd()
	m.secret = "a secret of somebody else altogether"
	x := p.meet(t, m, modern.peer())
	x.refused(t, refusesAuth)
	x.nothing(t)
	x.hidden(t)
}
