package mobilenode

import (
	"net/netip"
	"testing"
	"time"

	"mipsecd/internal/secret"
	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// script is a mobile node that is told one thing after the other.
type script struct {
	t    *testing.T
	node *Node
}

// hostSecret is what a script's mobile node alone knows.
var hostSecret = secret.Bytes("the host's own")

func newScript(t *testing.T, own bool, homes ...migrate.Home) script {
	return script{t, New(homes, own, hostSecret)}
}

// step gives the node inputs and wants these effects of all of them together.
func (s script) step(want string, inputs ...migrate.Input) {
	s.t.Helper()
	var effects []migrate.Effect
	for _, in := range inputs {
		effects = append(effects, s.node.Step(start, in)...)
	}
	Expect(s.t, effects, want)
}

// kernel is a step in which the kernel reports.
func (s script) kernel(want string, events ...spd.Event) {
	s.t.Helper()
	var inputs []migrate.Input
	for _, e := range events {
		inputs = append(inputs, migrate.Kernel{Event: e})
	}
	s.step(want, inputs...)
}

// says is a step in which the key exchange reports.
func (s script) says(want string, n spd.Notice) {
	s.t.Helper()
	s.step(want, migrate.Keying{Notice: n})
}

// acquire is the kernel's call for an SA of the policy that sends messages of a kind.
func acquire(d Daemon, careOf netip.Addr, purpose migrate.Protection, packet []byte) spd.Acquire {
	for i, name := range migrate.Protections {
		for _, p := range d.Policies(d.OnHA, careOf) {
			if t := p.Templates[0]; name == purpose && p.Dir == spd.Out && t.Reqid == d.Reqid+2*uint32(i) {
				a := spd.Acquire{Seq: 1, Selector: p.Selector, Template: t, Endpoints: t.Endpoints, Packet: packet}
				if t.Mode == spd.Transport {
					a.Endpoints = spd.Endpoints{Src: d.HomeAddress, Dst: d.HomeAgent}
				}
				return a
			}
		}
	}
	panic("no policy for " + string(purpose))
}
