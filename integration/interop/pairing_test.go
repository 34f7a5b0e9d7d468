//go:build linux

package interop

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mipsecd/integration/lab"
)

// pairing is mipsecd on one host and a peer on the other.
type pairing struct {
	*world
	mipsecdOn, peerOn lab.Node
	peer              peer
	charon            *charon // the peer, if it is strongSwan

	// What the Child SAs are for that the tests have made: first by IKE_AUTH, then by CREATE_CHILD_SA. A peer that has one
	// Child SA in an IKE_SA has no second.
	first, second traffic
	withoutGCM    bool // the peer has no AES-GCM for ESP: AES-CBC with HMAC-SHA1 takes its place
}

// opposite is the other of the two hosts that have an IKEv2 daemon.
func opposite(n lab.Node) lab.Node {
	if n == lab.MN {
		return lab.HA
	}
	return lab.MN
}

// meeting is one run of both with a configuration each.
type meeting struct {
	*pairing
	mipsecd *mipsecd
	start   int // where the peer's log was
}

// meet configures the peer, starts mipsecd, and clears up when the test ends.
func (p *pairing) meet(t *testing.T, m mipsecdOptions, o peerOptions) *meeting {
	t.Helper()
	x := &meeting{pairing: p, start: len(p.peer.log(t))}
	t.Cleanup(func() { p.clear(t) })
	if p.withoutGCM {
		m.esp, o.esp = strings.ReplaceAll(m.esp, "gcm16", "-sha1"), strings.ReplaceAll(o.esp, "gcm16", "-sha1")
	}
	p.peer.configure(t, o)
	t.Cleanup(func() {
		if t.Failed() {
			x.report(t)
		}
	})
	p.first.addPolicies(t, p.mipsecdOn)
	p.second.addPolicies(t, p.mipsecdOn)
	x.mipsecd = startMipsecd(t, p.mipsecdOn, m)
	return x
}

// clear ends what the peer has, and takes policies and SAs away on both hosts.
func (p *pairing) clear(t *testing.T) {
	t.Helper()
	p.peer.clear(t)
	for _, n := range []lab.Node{p.mipsecdOn, p.peerOn} {
		if err := n.IP("xfrm policy flush ptype main\nxfrm state flush proto esp"); err != nil {
			t.Error(err)
		}
	}
}

// report logs what the peer and the kernels say.
func (x *meeting) report(t *testing.T) {
	t.Logf("%s on %s:\n%s", x.peer.name(), x.peerOn, x.peerLog(t))
	for _, n := range []lab.Node{x.mipsecdOn, x.peerOn} {
		out, err := n.Run("sh", "-c", "ip -s xfrm state; ip xfrm policy; grep -v '0$' /proc/net/xfrm_stat || true")
		t.Logf("%s: %v\n%s", n, err, out)
	}
}

// peerLog is what the peer has logged since the meeting began.
func (x *meeting) peerLog(t *testing.T) string { return x.peer.log(t)[x.start:] }

// logged waits until the peer has logged something that the pattern matches, after a position in its log, and yields
// where that ends.
func (x *meeting) logged(t *testing.T, after int, pattern string) (end int) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	wait(t, x.peer.name()+" logs "+pattern, func() error {
		found := re.FindStringIndex(x.peerLog(t)[after:])
		if found == nil {
			return errors.New("it has not")
		}
		end = after + found[1]
		return nil
	})
	return end
}

// saw waits until the peer has logged an event.
func (x *meeting) saw(t *testing.T, after int, e event) (end int) {
	t.Helper()
	return x.logged(t, after, x.peer.says(e))
}

// establish has the mobile node ask for a Child SA: mipsecd on its kernel's call, the peer when it is told to.
func (x *meeting) establish(t *testing.T, k traffic) {
	t.Helper()
	if x.peerOn == lab.MN {
		must(t, x.peer.initiate(k))
	} else {
		x.call(t, k)
	}
}

// both has the Child SA for the first kind of traffic made by IKE_AUTH and the one for the second, if the peer has that, by
// CREATE_CHILD_SA.
func (x *meeting) both(t *testing.T) agreement {
	t.Helper()
	x.establish(t, x.first)
	first := x.agreed(t, x.first)
	if x.second == (traffic{}) {
		return first
	}
	x.establish(t, x.second)
	return x.agreed(t, x.first, x.second)
}

// bothPass has both kinds of traffic pass.
func (x *meeting) bothPass(t *testing.T, a agreement) {
	t.Helper()
	x.passes(t, x.first, a.children[0])
	x.passes(t, x.second, a.children[1])
}

// passesFirst has the first kind of traffic pass, for which there is the only Child SA.
func (x *meeting) passesFirst(t *testing.T) {
	t.Helper()
	x.passes(t, x.first, x.agreed(t, x.first).children[0])
}

// agreement is what mipsecd, the peer and their kernels all have.
type agreement struct {
	ike      string // the IKE_SA's SPIs
	children []spis
}

// agreed waits until both kernels have the SAs of these kinds of traffic and no others, with the same SPIs, and both
// daemons say so. The children are in the order of the kinds.
func (x *meeting) agreed(t *testing.T, kinds ...traffic) (all agreement) {
	t.Helper()
	kinds = slices.DeleteFunc(kinds, func(k traffic) bool { return k == traffic{} })
	wait(t, "mipsecd, "+x.peer.name()+" and both kernels agree", func() (err error) {
		all = agreement{}
		ours, theirs := kernelSAs(t, x.mipsecdOn), kernelSAs(t, x.peerOn)
		for _, k := range kinds {
			s, err := k.find(ours)
			if err != nil {
				return fmt.Errorf("%s: %w", x.mipsecdOn, err)
			}
			if err := k.has(theirs, s); err != nil {
				return fmt.Errorf("%s: %w", x.peerOn, err)
			}
			all.children = append(all.children, s)
		}
		if len(ours) != 2*len(kinds) || len(theirs) != 2*len(kinds) {
			return fmt.Errorf("more SAs than wanted: %v on %s, %v on %s", ours, x.mipsecdOn, theirs, x.peerOn)
		}
		all.ike, err = x.daemonsAgree(t, all.children)
		return err
	})
	return all
}

// daemonsAgree checks that mipsecd and the peer know one IKE_SA, the same, between care-of address and home agent, and in
// it these Child SAs. It yields the SPIs of the IKE_SA.
func (x *meeting) daemonsAgree(t *testing.T, children []spis) (ike string, err error) {
	t.Helper()
	ours, err := x.mipsecd.status()
	if err != nil {
		return "", err
	}
	sas, theirs := ours.established(), x.peer.established(t)
	if len(sas) != 1 || len(theirs) != 1 {
		return "", fmt.Errorf("not one IKE_SA: mipsecd %+v, %s %+v", ours, x.peer.name(), theirs)
	}
	a, b := sas[0], theirs[0]
	if b.spis == "" { // the peer does not tell
		b.spis = a.SPIi + a.SPIr
	}
	if a.SPIi+a.SPIr != b.spis || len(a.Children) != len(children) || len(b.children) != len(children) {
		return "", fmt.Errorf("not the same IKE_SA with %d Child SAs: mipsecd %+v, %s %+v", len(children), a, x.peer.name(), b)
	}
	local, remote := x.at, lab.HomeAgent
	if x.mipsecdOn == lab.HA {
		local, remote = remote, local
	}
	if want := fmt.Sprintf("[%s]:500 [%s]:500", local, remote); fmt.Sprint(a.Local, " ", a.Remote) != want {
		return "", fmt.Errorf("the IKE_SA is between %s and %s, want %s", a.Local, a.Remote, want)
	}
	for _, c := range children {
		in, out := fmt.Sprintf("%08x", c.toMN), fmt.Sprintf("%08x", c.toHA)
		if x.mipsecdOn == lab.HA {
			in, out = out, in
		}
		if !slices.Contains(a.Children, childSA{SPIIn: in, SPIOut: out}) {
			return "", fmt.Errorf("mipsecd has no Child SA with SPIs %s and %s: %+v", in, out, a)
		}
		if !slices.Contains(b.children, childSA{SPIIn: out, SPIOut: in}) {
			return "", fmt.Errorf("%s has no Child SA with SPIs %s and %s: %+v", x.peer.name(), out, in, b)
		}
	}
	return b.spis, nil
}

// nothing waits until neither kernel has an ESP SA and neither daemon an IKE_SA.
func (x *meeting) nothing(t *testing.T) {
	t.Helper()
	wait(t, "nothing is established any more", func() error {
		for _, n := range []lab.Node{x.mipsecdOn, x.peerOn} {
			if sas := kernelSAs(t, n); len(sas) > 0 {
				return fmt.Errorf("%s has %v", n, sas)
			}
		}
		if sas := x.peer.established(t); len(sas) > 0 {
			return fmt.Errorf("%s has %+v", x.peer.name(), sas)
		}
		if !x.mipsecd.running() {
			return nil
		}
		s, err := x.mipsecd.status()
		if sas := s.established(); err == nil && len(sas) > 0 {
			err = fmt.Errorf("mipsecd has %+v", sas)
		}
		return err
	})
}

// passes has traffic pass, and checks that it was these SAs that it used, in both directions and on both hosts, and that
// nothing was seen in the clear on the link.
func (x *meeting) passes(t *testing.T, k traffic, s spis) {
	t.Helper()
	before := map[lab.Node][]esp{}
	for _, n := range []lab.Node{x.mipsecdOn, x.peerOn} {
		before[n] = kernelSAs(t, n)
	}
	x.call(t, k)
	for n, sas := range before {
		upBefore, downBefore := s.packets(sas)
		if up, down := s.packets(kernelSAs(t, n)); up <= upBefore || down <= downBefore {
			t.Errorf("%s: on %s the SAs %08x carried %d and %d packets, want more than the %d and %d before", k.name, n, s,
				up, down, upBefore, downBefore)
		}
	}
	x.hidden(t)
}

// refused has the mobile node ask in vain, until the peer has logged why.
func (x *meeting) refused(t *testing.T, why event) {
	t.Helper()
	var err error
	if x.peerOn == lab.MN {
		err = x.peer.initiate(payload)
	} else {
		err = echo(lab.MN, "-c1", "-W1")
	}
	if err == nil {
		t.Error("it was not refused")
	}
	x.saw(t, 0, why)
}
