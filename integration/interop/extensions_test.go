//go:build linux

package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
)

// extension is a test of one thing that another RFC adds, with mipsecd on the mobile node or on the home agent.
type extension struct {
	name string
	test func(*pairing, *testing.T)
}

// bothWays has a guest in which mipsecd initiates, and one in which strongSwan does, if there are tests for them.
func bothWays(t *testing.T, mipsecdInitiates, strongSwanInitiates []extension) {
	t.Parallel()
	for _, guest := range []struct {
		name      string
		mipsecdOn lab.Node
		tests     []extension
	}{
		{"mipsecd initiates", lab.MN, mipsecdInitiates},
		{"strongSwan initiates", lab.HA, strongSwanInitiates},
	} {
		if len(guest.tests) == 0 {
			continue
		}
		t.Run(guest.name, func(t *testing.T) {
			t.Parallel()
			uml.Run(t, func(t *testing.T) {
				p := pairCharon(t, guest.mipsecdOn)
				for _, e := range guest.tests {
					t.Run(e.name, func(t *testing.T) { e.test(p, t) })
				}
			})
		})
	}
}

// command runs mipsecd with a command for the running agent.
func (m *mipsecd) command(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(os.Getenv(envBinary), append(args, "--control", m.path("control"))...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mipsecd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// logs waits until mipsecd has logged something.
func (m *mipsecd) logs(t *testing.T, text string) {
	t.Helper()
	wait(t, "mipsecd logs "+text, func() error {
		if !strings.Contains(m.log(t), text) {
			return errors.New("it has not")
		}
		return nil
	})
}

// TestStrongSwanChildless sets IKE_SAs up without a Child SA (RFC 6023).
func TestStrongSwanChildless(t *testing.T) {
	alone := func(childless string) func(*pairing, *testing.T) {
		return func(p *pairing, t *testing.T) {
			x := p.meet(t, modern.mipsecd(), modern.peer())
			x.charon.amend(t, "childless = "+childless)
			x.mipsecd.command(t, "connect", identityHA)
			x.childSAsFollow(t, x.agreed(t))
		}
	}
	bothWays(t, []extension{
		{"strongSwan allows it", alone("allow")},
		{"strongSwan takes nothing else", alone("force")},
		{"strongSwan does not take it", func(p *pairing, t *testing.T) {
			x := p.meet(t, modern.mipsecd(), modern.peer())
			x.charon.amend(t, "childless = never")
			x.mipsecd.command(t, "connect", identityHA)
			x.mipsecd.logs(t, "the peer takes no IKE_SA without a Child SA")
			x.bothPass(t, x.both(t))
		}},
	}, []extension{
		{"an IKE_SA alone", func(p *pairing, t *testing.T) {
			x := p.meet(t, modern.mipsecd(), modern.peer())
			x.charon.must(t, "--initiate", "--ike", "peer")
			x.childSAsFollow(t, x.agreed(t))
		}},
		{"strongSwan always asks for the Child SA afterwards", func(p *pairing, t *testing.T) {
			x := p.meet(t, modern.mipsecd(), modern.peer())
			x.charon.amend(t, "childless = force")
			x.bothPass(t, x.both(t))
			x.logged(t, 0, `parsed CREATE_CHILD_SA response \d+ \[ N\(USE_TRANSP\) SA`)
		}},
		{"mipsecd does not take it", func(p *pairing, t *testing.T) {
			m := modern.mipsecd()
			m.more = "childless = false\n"
			x := p.meet(t, m, modern.peer())
			if out, err := x.charon.control("--initiate", "--ike", "peer"); err == nil {
				t.Errorf("strongSwan has an IKE_SA alone: %s", out)
			}
			x.bothPass(t, x.both(t))
		}},
	})
}

// childSAsFollow has Child SAs made on an IKE_SA that was set up without one.
func (x *meeting) childSAsFollow(t *testing.T, alone agreement) {
	t.Helper()
	a := x.both(t)
	if a.ike != alone.ike {
		t.Errorf("the Child SAs are on the IKE_SA %s, want %s", a.ike, alone.ike)
	}
	x.bothPass(t, a)
}

// TestStrongSwanAuthLifetime has an authentication repeated (RFC 4478) while traffic passes, of which nothing is lost.
func TestStrongSwanAuthLifetime(t *testing.T) {
	bothWays(t, []extension{
		{"strongSwan says when", func(p *pairing, t *testing.T) { // it does where it cannot begin itself, as with EAP
			x := p.meetEAP(t, byPassword, newPapers(t, "P-256"), secretText)
			x.charon.amend(t, "reauth_time = 15s", "over_time = 10s", "rand_time = 0s")
			first := x.both(t)
			x.logged(t, 0, `generating IKE_AUTH response \d+ \[ AUTH .*N\(AUTH_LFT\)`)
			x.renewed(t, first, func() {})
		}},
		{"mipsecd wants to", func(p *pairing, t *testing.T) {
			x := p.meet(t, modern.mipsecd(), modern.peer())
			x.renewed(t, x.both(t), func() { x.mipsecd.command(t, "reauthenticate", identityHA) })
		}},
	}, []extension{
		{"mipsecd says when", func(p *pairing, t *testing.T) {
			m := modern.mipsecd()
			m.more = "auth-lifetime = \"15s\"\n"
			x := p.meet(t, m, modern.peer())
			x.charon.set(t, "make_before_break = yes")
			x.charon.amend(t, "over_time = 5s")
			x.renewed(t, x.both(t), func() { x.logged(t, 0, "received AUTH_LIFETIME of 15s, scheduling reauthentication in 10s") })
		}},
		{"mipsecd asks for it at once", func(p *pairing, t *testing.T) {
			x := p.meet(t, modern.mipsecd(), modern.peer())
			x.charon.set(t, "make_before_break = yes")
			x.renewed(t, x.both(t), func() { x.mipsecd.command(t, "reauthenticate", identityMN) })
		}},
		{"strongSwan does not do it", func(p *pairing, t *testing.T) {
			m := modern.mipsecd()
			m.more = "auth-lifetime = \"15s\"\n"
			x := p.meet(t, m, modern.peer())
			x.charon.amend(t, "over_time = 0s")
			x.both(t)
			x.mipsecd.logs(t, "the authentication has ended")
		}},
	})
}

// renewed has both authenticate anew while the mobile node is pinged, and checks that there are others in the place of what
// was, which pass traffic, and that nothing was lost but what came by the new SAs before the one side had them (RFC 7296
// section 2.8: who answers may use them first).
func (x *meeting) renewed(t *testing.T, before agreement, start func()) {
	t.Helper()
	ping := lab.StartPing(t, lab.CN, lab.HoA, 100*time.Millisecond)
	pingAnswered(t, ping)
	start()
	after := x.replaced(t, func(now agreement) bool {
		return now.ike != before.ike && other(now, before, 0) && other(now, before, 1)
	})
	pingAnswered(t, ping)
	x.bothPass(t, after)
	if lost := ping.Lost(); len(lost) > 0 && lost[len(lost)-1]-lost[0] >= len(lost) {
		t.Errorf("the echo requests %v were lost, want none or a few in a row", lost)
	}
}

// pingAnswered waits until an echo request is answered that has not been sent yet.
func pingAnswered(t *testing.T, ping *lab.Ping) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := ping.Next(ctx)
	must(t, err)
}

// TestStrongSwanRedirect has strongSwan go to another address of the home agent's when mipsecd says so (RFC 5685). Told so
// in IKE_AUTH strongSwan 5.9.8 crashes, and to say so itself it wants a plugin that Debian does not have. The tunnels of
// Mobile IPv6 end at the home agent's first address, so the binding is what passes.
func TestStrongSwanRedirect(t *testing.T) {
	const other = "2001:db8:1::2"
	meet := func(p *pairing, t *testing.T, more string) *meeting {
		t.Helper()
		must(t, lab.HA.IP("address replace "+other+"/64 dev "+lab.Home.Name+" nodad"))
		m := modern.mipsecd()
		m.more = more
		return p.meet(t, m, modern.peer())
	}
	elsewhere := func(x *meeting, t *testing.T) {
		t.Helper()
		wait(t, "the IKE_SA is with "+other, func() error {
			s, err := x.mipsecd.status()
			if err != nil {
				return err
			}
			sas := s.established()
			if len(sas) != 1 || sas[0].Local.String() != "["+other+"]:500" || len(sas[0].Children) != 1 {
				return fmt.Errorf("mipsecd has %+v", sas)
			}
			return nil
		})
		x.call(t, binding)
		x.hidden(t)
	}
	bothWays(t, nil, []extension{
		{"at once", func(p *pairing, t *testing.T) {
			x := meet(p, t, "redirect-to = \""+other+"\"\n")
			must(t, x.charon.initiate(binding))
			x.logged(t, 0, `parsed IKE_SA_INIT response 0 \[ N\(REDIR\) \]`)
			elsewhere(x, t)
		}},
		{"in the midst of a session", func(p *pairing, t *testing.T) {
			x := meet(p, t, "")
			must(t, x.charon.initiate(binding))
			x.passes(t, binding, x.agreed(t, binding).children[0])
			x.mipsecd.command(t, "redirect", identityMN, other)
			x.logged(t, 0, `parsed INFORMATIONAL request \d+ \[ N\(REDIR\) \]`)
			elsewhere(x, t)
		}},
	})
}
