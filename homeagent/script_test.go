package homeagent

import (
	"testing"
	"time"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/spd"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// script is a home agent that is told one thing after the other.
type script struct {
	t     *testing.T
	agent *Agent
}

func newScript(t *testing.T, own bool, homes ...migrate.Home) script {
	return script{t, New(homes, own, Pool{})}
}

// step gives the agent inputs and wants these effects of all of them together.
func (s script) step(want string, inputs ...migrate.Input) {
	s.t.Helper()
	var effects []migrate.Effect
	for _, in := range inputs {
		effects = append(effects, s.agent.Step(start, in)...)
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
