package mobilenode

import (
	"testing"

	"mipsecd/migrate"
	. "mipsecd/migrate/migratetest"
	"mipsecd/mobility"
	"mipsecd/spd"
)

// A node that takes its IKE_SA along sets it up anew if the home agent says that it does not do so.
func TestRFC6275Section11_7_3HomeAgentWithoutKBit(t *testing.T) {
	ack := func(status mobility.BindingStatus, k bool) migrate.Acknowledged {
		return migrate.Acknowledged{HomeAddress: HoA, HomeAgent: HA, Status: uint8(status), KeyMobility: k}
	}
	to := func(careOf string) string {
		return "report moved ha: to " + careOf + "\nrelocate ha to " + careOf + " - HA, keep, renew"
	}
	const anew = "report not kept ha: the home agent has no K bit: the IKE_SA is set up anew\nreauthenticate ha"
	bound := Daemon{Protected: Home("ha", true).Protected}.Binds
	s := newScript(t, false, Home("ha", true))
	s.kernel(to("CoA1"), bound(CoA1))
	s.step("", ack(mobility.StatusAccepted, false)) // nothing has moved yet
	s.kernel(to("CoA2"), bound(CoA2))
	s.step("", ack(mobility.StatusSequenceOutOfWindow, false),
		migrate.Acknowledged{HomeAddress: OtherHoA, HomeAgent: HA}, migrate.Acknowledged{HomeAddress: HoA, HomeAgent: CN})
	s.step(anew, ack(mobility.StatusAccepted, false))
	s.step("", ack(mobility.StatusAccepted, false)) // of the same Binding Update, sent again
	s.kernel(to("CoA1"), bound(CoA1))
	s.step("", ack(mobility.StatusAccepted, true), ack(mobility.StatusAccepted, false)) // the home agent has moved it
	s.kernel(to("CoA2"), bound(CoA2))
	s.says("", spd.PeerUp{Peer: "ha", ID: 2})
	s.step("", ack(mobility.StatusAccepted, false)) // it was set up there

	s = newScript(t, false, Home("ha", false))
	s.kernel("report moved ha: to CoA1\nrelocate ha to CoA1 - HA, renew", bound(CoA1))
	s.kernel("report moved ha: to CoA2\nrelocate ha to CoA2 - HA, renew", bound(CoA2))
	s.step("", ack(mobility.StatusAccepted, false)) // both know
}
