// Package demo tells the story of mipsecd on one machine, without privileges: a mobile node, its home agent and a
// correspondent on a virtual network, with kernels in memory and real IKEv2 messages. The mobile node goes from home to
// a foreign link, to another, and home again. Each step is checked.
package demo

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/cmd/mipsecd/sim"
	"mipsecd/spd"
)

// patience bounds each wait of the story.
const patience = 2 * time.Second

// Run tells the story on out and writes the decrypted IKE messages to trace, as a pcapng file. The error says which step
// did not hold.
func Run(ctx context.Context, out io.Writer, trace io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	record, err := agent.NewTrace(trace)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	t := newTimeline(out)
	w, err := newWorld(t, record)
	if err != nil {
		return err
	}
	defer w.network.Close()
	defer w.running.Wait()
	running, stop := context.WithCancel(ctx)
	defer stop()

	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"At home", w.atHome},
		{"To a foreign link: a Binding Update is keyed from the care-of address", w.firstMovement},
		{"To another foreign link: the IKE_SA follows, no message is sent", w.secondMovement},
		{"From there: a Child SA is rekeyed, the peer is alive", w.rekeyAfterMovement},
		{"A thief, mn2, asks for mn1's home address", w.theft},
		{"Home again: tunnels are bypassed, the rest stays", w.returnHome},
	} {
		t.chapter("%s", step.title)
		// The first step starts the agents, which go on until the end of the story.
		if err := step.do(running); err != nil {
			return fmt.Errorf("%q did not hold: %w", step.title, err)
		}
	}
	t.chapter("What stands at the end")
	t.end()
	if err := w.tables(out); err != nil {
		return err
	}
	return record.Err()
}

func (w *world) atHome(ctx context.Context) (err error) {
	if w.haAgent, err = w.start(ctx, w.ha.Host, agentConfig); err != nil {
		return err
	}
	if w.mnAgent, err = w.start(ctx, w.mn.Host, nodeConfig); err != nil {
		return err
	}
	if err := w.until(ctx, "own policies are set", func() bool {
		return len(w.policies(w.mn.Host)) == 5 && len(w.policies(w.ha.Host)) == 12
	}); err != nil {
		return err
	}
	return w.ping(ctx, "in clear on the home link")
}

func (w *world) firstMovement(ctx context.Context) error {
	if err := w.move(w.home, w.foreign1, careOf1); err != nil {
		return err
	}
	if err := w.register(ctx, careOf1); err != nil {
		return err
	}
	if err := w.expectSAs(ctx, careOf1, "binding"); err != nil {
		return err
	}
	if err := w.ping(ctx, "through an ESP tunnel keyed on demand"); err != nil {
		return err
	}
	return w.expectSAs(ctx, careOf1, "binding", "payload")
}

func (w *world) secondMovement(ctx context.Context) error {
	before := w.timeline.sent()
	if err := w.move(w.foreign1, w.foreign2, careOf2); err != nil {
		return err
	}
	if err := w.register(ctx, careOf2); err != nil {
		return err
	}
	if err := w.ping(ctx, "through the same tunnel, which has moved"); err != nil {
		return err
	}
	if err := w.expectSAs(ctx, careOf2, "binding", "payload"); err != nil {
		return err
	}
	if n := w.timeline.sent() - before; n != 0 {
		return fmt.Errorf("%d IKE messages were sent", n)
	}
	return nil
}

func (w *world) rekeyAfterMovement(ctx context.Context) error {
	s, err := w.mnAgent.Status()
	if err != nil {
		return err
	}
	old := childFor(s, "payload").SPIIn
	w.mnAgent.Tell(spd.Expired{Peer: "ha.example.org", ID: w.inbound(w.mn.Host, old)})
	if err := w.until(ctx, "the tunnel has new SPIs", func() bool {
		s, err = w.mnAgent.Status()
		c := childFor(s, "payload")
		return err == nil && len(s.IKESAs) == 1 && len(s.IKESAs[0].Children) == 2 && c != nil && c.SPIIn != old
	}); err != nil {
		return err
	}
	before := w.timeline.sent()
	w.mnAgent.Tell(spd.Probe{Peer: "ha.example.org"})
	if err := w.until(ctx, "request and answer are sent", func() bool { return w.timeline.sent() >= before+2 }); err != nil {
		return err
	}
	return w.ping(ctx, "through the rekeyed tunnel")
}

func (w *world) theft(ctx context.Context) error {
	thieving, stop := context.WithCancel(ctx)
	defer stop()
	if _, err := w.start(thieving, w.thief.Host, thiefConfig); err != nil {
		return err
	}
	if err := w.until(ctx, "the thief's policies are set", func() bool { return len(w.policies(w.thief.Host)) > 0 }); err != nil {
		return err
	}
	trying, giveUp := context.WithTimeout(ctx, 300*time.Millisecond)
	defer giveUp()
	if err := w.thief.Register(trying, careOfThief); err == nil {
		return fmt.Errorf("the home agent took the thief's Binding Update")
	}
	for _, h := range []*sim.Host{w.thief.Host, w.ha.Host} {
		for _, sa := range w.sas(h) {
			if sa.Endpoints.Src == careOfThief || sa.Endpoints.Dst == careOfThief || h == w.thief.Host {
				return fmt.Errorf("%s has SA %s", h.Name, sa)
			}
		}
	}
	return w.ping(ctx, "as before, to the rightful owner")
}

func (w *world) returnHome(ctx context.Context) error {
	// The home agent gives way as soon as the mobile node is on the link (RFC 6275 section 11.5.5).
	w.ha.Node.Release(homeAddress)
	if err := w.move(w.foreign2, w.home, homeAddress); err != nil {
		return err
	}
	if err := w.register(ctx, homeAddress); err != nil {
		return err
	}
	if err := w.until(ctx, "tunnels are bypassed", func() bool {
		for _, h := range []*sim.Host{w.mn.Host, w.ha.Host} {
			for _, p := range w.policies(h) {
				if p.Selector.Proto == spd.ProtoAny && p.Selector.Src == spd.Host(homeAddress) && p.Action != spd.Bypass {
					return false
				}
			}
		}
		return true
	}); err != nil {
		return err
	}
	if err := w.ping(ctx, "in clear on the home link"); err != nil {
		return err
	}
	return w.expectSAs(ctx, homeAddress, "binding")
}

// register has the mobility daemon register a care-of address.
func (w *world) register(ctx context.Context, careOf netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return w.mn.Register(ctx, careOf)
}

func (w *world) ping(ctx context.Context, how string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sent, err := w.cn.Ping(ctx)
	if err != nil {
		return err
	}
	w.timeline.add("cn", "ping %d of %s is answered, %s", sent, homeAddress, how)
	return nil
}

// until waits for a condition.
func (w *world) until(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !holds() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting in vain: %s", what)
		}
	}
	return nil
}

// expectSAs waits until both sides have one IKE_SA with mn1, between this address and the home agent, with Child SAs for
// at least these, and until their keys' SPIs agree.
func (w *world) expectSAs(ctx context.Context, at netip.Addr, protects ...string) error {
	return w.until(ctx, fmt.Sprintf("IKE_SA at %s with Child SAs for %s on both sides", at, strings.Join(protects, ", ")), func() bool {
		mn, err1 := w.mnAgent.Status()
		ha, err2 := w.haAgent.Status()
		if err1 != nil || err2 != nil || len(mn.IKESAs) != 1 || mn.IKESAs[0].Local.Addr() != at {
			return false
		}
		for _, name := range protects {
			ours, theirs := childFor(mn, name), childFor(ha, name)
			if ours == nil || theirs == nil || ours.SPIIn != theirs.SPIOut || ours.SPIOut != theirs.SPIIn {
				return false
			}
		}
		for _, sa := range ha.IKESAs {
			if sa.Peer == "mn1@example.org" && sa.Remote.Addr() != at {
				return false
			}
		}
		return true
	})
}

func childFor(s agent.Status, protects string) *agent.ChildSA {
	for _, sa := range s.IKESAs {
		for i, c := range sa.Children {
			if c.Protects == protects {
				return &sa.Children[i]
			}
		}
	}
	return nil
}

func (w *world) policies(h *sim.Host) []spd.Policy {
	b := h.Kernel.Open()
	defer b.Close()
	list, _ := b.Policies() // a kernel in memory does not fail
	return list
}

func (w *world) sas(h *sim.Host) []spd.SA {
	b := h.Kernel.Open()
	defer b.Close()
	list, _ := b.SAs()
	return list
}

// inbound is the name of a host's inbound SA with this SPI.
func (w *world) inbound(h *sim.Host, spi string) spd.SAID {
	for _, sa := range w.sas(h) {
		if fmt.Sprintf("%08x", sa.SPI) == spi && h.IsLocal(sa.Endpoints.Dst) {
			return sa.ID()
		}
	}
	return spd.SAID{}
}

// tables prints what both agents have.
func (w *world) tables(out io.Writer) error {
	for _, a := range []struct {
		name  string
		agent *agent.Agent
	}{{"mobile node", w.mnAgent}, {"home agent", w.haAgent}} {
		s, err := a.agent.Status()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n%s\n%s", a.name, s.Table())
	}
	return nil
}
