package ikev2

import (
	"strings"
	"testing"
	"time"

	"mipsecd/spd"
)

// Message IDs must not be used again: the side that sees them come to their end rekeys (RFC 7296 section 2.2).
func TestRFC7296_2_2_MessageIDsRunOut(t *testing.T) {
	for _, by := range []string{"MN", "HA"} {
		w, mn, ha := established(t, options{}, binding)
		asks, answers := mn, ha
		if by == "HA" {
			asks, answers = ha, mn
		}
		for _, sa := range asks.engine.sas {
			sa.nextSend = lastIDs - 2
		}
		for _, sa := range answers.engine.sas {
			sa.nextReceive = lastIDs - 2
		}
		for range 4 {
			asks.tell(spd.Probe{Peer: asks.peer.Name})
			w.run()
			w.pass(time.Second)
		}
		w.pass(time.Minute)
		for _, h := range w.hosts {
			for _, sa := range h.engine.sas {
				if sa.nextSend > 100 || sa.nextReceive > 100 {
					t.Errorf("%s still has the message IDs %d and %d:\n%s", h.name, sa.nextSend, sa.nextReceive, w.log.String())
				}
			}
		}
		w.settled(1)
	}
}

// An IKE_SA that cannot be rekeyed is given up before a message ID comes again.
func TestRFC7296_2_2_MessageIDsAreUsedUp(t *testing.T) {
	w, mn, _ := established(t, options{}, binding)
	for _, h := range w.hosts {
		for _, sa := range h.engine.sas {
			sa.nextSend, sa.nextReceive = 0, 0
			if h == mn {
				sa.nextSend = 1<<32 - 3
			} else {
				sa.nextReceive = 1<<32 - 3
			}
		}
	}
	for range 3 {
		mn.tell(spd.Probe{Peer: "ha"})
		w.run()
		w.pass(time.Millisecond)
	}
	for _, h := range w.hosts {
		if down := one[spd.PeerDown](h); down.Reason != "its message IDs are used up" {
			t.Errorf("%+v", down)
		}
	}
	w.settled(0)
}

// A kernel says once that an SA's life is about to end; when the rekeying is refused it is tried again until it does end.
func TestRefusedRekeyingIsTriedAgain(t *testing.T) {
	w, mn, ha := established(t, options{}, binding)
	esp := ha.peer.ESP
	ha.peer.ESP = nil
	mn.tell(spd.Expired{Peer: "ha", ID: mn.anyChild()})
	w.run()
	w.pass(rekeyRetry + time.Second)
	if n := strings.Count(w.log.String(), "N(NO_PROPOSAL_CHOSEN)"); n != 2 {
		t.Errorf("%d refusals:\n%s", n, w.log.String())
	}
	w.settled(1)
	ha.peer.ESP = esp
	w.pass(rekeyRetry)
	if up := one[spd.ChildUp](mn); up.Replaces == (spd.SAID{}) {
		t.Errorf("%+v", up)
	}
	w.settled(1)
	w.log.Reset()
	w.pass(time.Hour)
	w.script(``)

	ha.peer.ESP = nil
	id := mn.anyChild()
	mn.tell(spd.Expired{Peer: "ha", ID: id})
	w.run()
	mn.tell(spd.Expired{Peer: "ha", ID: id, Hard: true})
	w.run()
	w.log.Reset()
	w.pass(time.Hour)
	w.script(``)
	w.settled(0)
}
