//go:build linux

package interop

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mipsecd/integration/lab"
	"mipsecd/integration/mobilityd"
)

// patience bounds each wait of these tests. No verdict depends on it, unless something never happens.
const patience = time.Minute

var (
	careOf    = lab.Foreign1.Address // where the mobile node is all the time
	othersHoA = netip.MustParseAddr("2001:db8:1::200")
)

const (
	identityMN = "mn@example.org" // ID_RFC822_ADDR
	identityHA = "ha.example.org" // ID_FQDN
	secretText = "a secret of the mobile node and its home agent"
)

// world is the lab with a mobile node away from home, if not said otherwise.
type world struct {
	at      netip.Addr // where the mobile node is
	mobile  *mobilityd.MobileNode
	home    *mobilityd.HomeAgent
	capture *lab.Capture
}

// build takes the mobile node to a foreign link, where it registers before there is any IPsec.
func build(t *testing.T) *world {
	t.Helper()
	w := &world{at: careOf}
	lab.Build(t)
	w.startDaemons(t)
	lab.Detach(t, lab.Home)
	lab.Attach(t, lab.Foreign1)
	w.register(t)
	w.capture = lab.StartCapture(t, lab.Foreign1)
	return w
}

// startDaemons starts the mobility daemons of mobile node and home agent.
func (w *world) startDaemons(t *testing.T) {
	t.Helper()
	config := func(n lab.Node) mobilityd.Config {
		return mobilityd.Config{
			HomeAddress: lab.HoA, HomeAgent: lab.HomeAgent, Lifetime: time.Hour, KeyMobility: true, HomeLink: lab.Home.Name, IP: n.IP,
		}
	}
	must(t, lab.MN.Do(func() (err error) {
		w.mobile, err = mobilityd.StartMobileNode(config(lab.MN))
		return err
	}))
	t.Cleanup(func() { w.mobile.Close() })
	must(t, lab.HA.Do(func() (err error) {
		w.home, err = mobilityd.StartHomeAgent(config(lab.HA))
		return err
	}))
	t.Cleanup(func() { w.home.Close() })
}

// buildAtHome leaves the mobile node at home, without any Mobile IPv6: libreswan uses no address that two interfaces have.
func buildAtHome(t *testing.T) *world {
	t.Helper()
	lab.Build(t)
	must(t, lab.MN.IP(fmt.Sprintf("addr del %s/128 dev lo", lab.HoA)))
	return &world{at: lab.HoA, capture: lab.StartCapture(t, lab.Home)}
}

// register sends Binding Updates, without any news in them, until one is acknowledged.
func (w *world) register(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := w.mobile.Move(ctx, careOf); err != nil {
		t.Fatalf("no binding: %v; the home agent: %v", err, w.home.Err())
	}
}

// hidden checks that the mobile node's link has seen nothing in the clear. At home that is the traffic called direct.
func (w *world) hidden(t *testing.T) {
	t.Helper()
	if w.at == lab.HoA {
		if n := w.capture.Count(t, func(p lab.Captured) bool { return p.Proto == unix.IPPROTO_TCP }); n > 0 {
			t.Errorf("%d segments of TCP were seen in the clear", n)
		}
		return
	}
	for _, packet := range w.capture.Exposed(t, lab.HoA) {
		t.Error("seen in the clear:", packet)
	}
}

// ping sends echo requests between the home address and the correspondent until one is answered.
func ping(t *testing.T, from lab.Node) {
	t.Helper()
	must(t, echo(from, untilAnswered...))
}

// untilAnswered are the options of ping to go on until there is an answer.
var untilAnswered = []string{"-c1", "-i0.2", fmt.Sprintf("-w%.0f", patience.Seconds())}

// echo sends echo requests between the home address and the correspondent. It is an error if none is answered.
func echo(from lab.Node, options ...string) error {
	to := []string{"-I", lab.HoA.String(), lab.Correspondent.String()}
	if from == lab.CN {
		to = []string{lab.HoA.String()}
	}
	_, err := from.Run("ping", append(options, to...)...)
	return err
}

// wait waits until holds yields nil, and fails the test when it does not in all patience.
func wait(t *testing.T, what string, holds func() error) {
	t.Helper()
	waitFor(t, patience, what, holds)
}

// waitFor is wait with another bound.
func waitFor(t *testing.T, bound time.Duration, what string, holds func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(bound); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = holds(); err == nil {
			return
		}
	}
	t.Fatalf("%s: waited %s in vain: %v", what, bound, err)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
