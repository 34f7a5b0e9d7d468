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

// pairing is mipsecd on one host and charon on the other.
type pairing struct {
	*world
	mipsecdOn, charonOn lab.Node
	charon              *charon
}

// meeting is one run of both with a configuration each.
type meeting struct {
	*pairing
	mipsecd *mipsecd
	start   int // where charon's log was
}

// meet configures charon, starts mipsecd, and clears up when the test ends.
func (p *pairing) meet(t *testing.T, m mipsecdOptions, c charonOptions) *meeting {
	t.Helper()
	x := &meeting{pairing: p, start: len(p.charon.log(t))}
	t.Cleanup(func() { p.clear(t) })
	p.charon.configure(t, c)
	t.Cleanup(func() {
		if t.Failed() {
			x.report(t)
		}
	})
	x.mipsecd = startMipsecd(t, p.mipsecdOn, m)
	return x
}

// clear ends what charon has, and takes policies and SAs away on both hosts.
func (p *pairing) clear(t *testing.T) {
	t.Helper()
	if strings.Contains(p.charon.sas(t), saEvent) {
		p.charon.must(t, "--terminate", "--ike", "peer", "--force")
	}
	for _, n := range []lab.Node{p.mipsecdOn, p.charonOn} {
		if err := n.IP("xfrm policy flush ptype main\nxfrm state flush proto esp"); err != nil {
			t.Error(err)
		}
	}
}

// report logs what charon and the kernels say.
func (x *meeting) report(t *testing.T) {
	t.Logf("charon on %s:\n%s", x.charonOn, x.charonLog(t))
	for _, n := range []lab.Node{x.mipsecdOn, x.charonOn} {
		out, err := n.Run("sh", "-c", "ip -s xfrm state; ip xfrm policy; grep -v '0$' /proc/net/xfrm_stat || true")
		t.Logf("%s: %v\n%s", n, err, out)
	}
}

// charonLog is what charon has logged since the meeting began.
func (x *meeting) charonLog(t *testing.T) string { return x.charon.log(t)[x.start:] }

// logged waits until charon has logged something that the pattern matches, after a position in its log, and yields where
// that ends.
func (x *meeting) logged(t *testing.T, after int, pattern string) (end int) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	wait(t, "charon logs "+pattern, func() error {
		found := re.FindStringIndex(x.charonLog(t)[after:])
		if found == nil {
			return errors.New("it has not")
		}
		end = after + found[1]
		return nil
	})
	return end
}

// call makes traffic of one kind pass, both ways. On the mobile node it makes the kernel call for the SAs that are
// missing.
func (x *meeting) call(t *testing.T, k traffic) {
	t.Helper()
	if k == payload {
		ping(t, lab.MN)
	} else {
		x.register(t)
	}
}

// establish has a Child SA made, by mipsecd on the kernel's call or by charon on swanctl's.
func (x *meeting) establish(t *testing.T, k traffic) {
	t.Helper()
	if x.charonOn == lab.MN {
		x.charon.must(t, "--initiate", "--child", k.name)
	} else {
		x.call(t, k)
	}
}

// agreement is what mipsecd, charon and their kernels all have.
type agreement struct {
	ike      string // the IKE_SA's SPIs
	children []spis
}

// agreed waits until both kernels have the SAs of these kinds of traffic and no others, with the same SPIs, and both
// daemons say so. The children are in the order of the kinds.
func (x *meeting) agreed(t *testing.T, kinds ...traffic) (all agreement) {
	t.Helper()
	wait(t, "mipsecd, charon and both kernels agree", func() (err error) {
		all = agreement{}
		ours, theirs := kernelSAs(t, x.mipsecdOn), kernelSAs(t, x.charonOn)
		for _, k := range kinds {
			a, errA := k.find(x.mipsecdOn, x.mipsecdOn, ours)
			b, errB := k.find(x.charonOn, x.mipsecdOn, theirs)
			if err := errors.Join(errA, errB); err != nil {
				return err
			}
			if a != b {
				return fmt.Errorf("%s: SPIs %08x on %s, %08x on %s", k.name, a, x.mipsecdOn, b, x.charonOn)
			}
			all.children = append(all.children, a)
		}
		if len(ours) != 2*len(kinds) || len(theirs) != 2*len(kinds) {
			return fmt.Errorf("more SAs than wanted: %v on %s, %v on %s", ours, x.mipsecdOn, theirs, x.charonOn)
		}
		all.ike, err = x.daemonsAgree(t, all.children)
		return err
	})
	return all
}

// daemonsAgree checks that mipsecd and charon know one IKE_SA, the same, between care-of address and home agent, and in
// it these Child SAs. It yields the SPIs of the IKE_SA.
func (x *meeting) daemonsAgree(t *testing.T, children []spis) (ike string, err error) {
	t.Helper()
	ours, err := x.mipsecd.status()
	if err != nil {
		return "", err
	}
	sas, theirs := ours.established(), x.charon.sas(t)
	if len(sas) != 1 || strings.Count(theirs, saEvent) != 1 {
		return "", fmt.Errorf("not one IKE_SA: mipsecd %+v, charon %s", ours, theirs)
	}
	sa := sas[0]
	if len(sa.Children) != len(children) || strings.Count(theirs, "spi-in=") != len(children) {
		return "", fmt.Errorf("not %d Child SAs: mipsecd %+v, charon %s", len(children), sa, theirs)
	}
	local, remote := careOf, lab.HomeAgent
	if x.mipsecdOn == lab.HA {
		local, remote = remote, local
	}
	if want := fmt.Sprintf("[%s]:500 [%s]:500", local, remote); sa.Local+" "+sa.Remote != want {
		return "", fmt.Errorf("the IKE_SA is between %s and %s, want %s", sa.Local, sa.Remote, want)
	}
	want := []string{"initiator-spi=" + sa.SPIi, "responder-spi=" + sa.SPIr}
	for _, c := range children {
		in, out := fmt.Sprintf("%08x", c.toMN), fmt.Sprintf("%08x", c.toHA)
		if x.mipsecdOn == lab.HA {
			in, out = out, in
		}
		if !slices.Contains(sa.Children, childSA{SPIIn: in, SPIOut: out}) {
			return "", fmt.Errorf("mipsecd has no Child SA with SPIs %s and %s: %+v", in, out, sa)
		}
		want = append(want, "spi-in="+out+" spi-out="+in)
	}
	for _, w := range want {
		if !strings.Contains(theirs, w) {
			return "", fmt.Errorf("charon does not say %q: %s", w, theirs)
		}
	}
	return sa.SPIi + sa.SPIr, nil
}

// nothing waits until neither kernel has an ESP SA and neither daemon an IKE_SA.
func (x *meeting) nothing(t *testing.T) {
	t.Helper()
	wait(t, "nothing is established any more", func() error {
		for _, n := range []lab.Node{x.mipsecdOn, x.charonOn} {
			if sas := kernelSAs(t, n); len(sas) > 0 {
				return fmt.Errorf("%s has %v", n, sas)
			}
		}
		if sas := x.charon.sas(t); strings.Contains(sas, saEvent) {
			return fmt.Errorf("charon has %s", sas)
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
	for _, n := range []lab.Node{x.mipsecdOn, x.charonOn} {
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
