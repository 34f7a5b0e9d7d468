package agent_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mipsecd/cmd/mipsecd/sim"
	"mipsecd/internal/vnet"
	"mipsecd/spd"
)

const (
	manualTop = `
policies = "mipsecd"
protect = ["binding", "payload"]
`
	manualHomeAgent = `
role = "home-agent"
identity = "ha.example.org"
address = "2001:db8:1::1"
` + manualTop + `
[[mobile-node]]
identity = "mn1@example.org"
home-address = "2001:db8:1::100"
keying = "manual"
`
	manualNode = `
role = "mobile-node"
identity = "mn1@example.org"
` + manualTop + `
[home-agent]
identity = "ha.example.org"
address = "2001:db8:1::1"
home-address = "2001:db8:1::100"
`
)

// manualTables are the keys under a table, the same on both ends.
func manualTables(under string) string {
	var out strings.Builder
	for i, what := range []string{"binding", "payload"} {
		key := func(octet int) string { return "0x" + strings.Repeat(fmt.Sprintf("%02x", octet), 16+32) }
		fmt.Fprintf(&out, "[%s.manual-keys.%s]\nesp = \"aes128-sha256\"\nspi = [%d, %d]\nkey = [%q, %q]\n",
			under, what, 0x1001+2*i, 0x1002+2*i, key(1+2*i), key(2+2*i))
	}
	return out.String()
}

// A mobile node with manual keys registers and is reached without a key exchange, and its identity is nobody's in one.
func TestManualKeys(t *testing.T) {
	w := &town{t: t, network: vnet.New(1)}
	t.Cleanup(w.network.Close)
	home, haAddress := netip.MustParseAddr("2001:db8:1::100"), netip.MustParseAddr("2001:db8:1::1")
	careOf, elsewhere := netip.MustParseAddr("2001:db8:f1::1"), netip.MustParseAddr("2001:db8:f2::1")
	ha, _ := w.host("ha", 1, "2001:db8:1::/64", haAddress.String())
	mn, _ := w.host("mn", 2, "2001:db8:f1::/64", careOf.String())
	thief, _ := w.host("thief", 3, "2001:db8:f2::/64", elsewhere.String())
	cn, _ := w.host("cn", 4, "2001:db8:c::/64", "2001:db8:c::1")
	sim.NewHomeDaemon(ha, haAddress, w.network.AddLink("proxied", spd.Host(home)))
	mn.SetLocal(home, careOf)

	homeAgent := w.start(ha, manualHomeAgent+manualTables("mobile-node"))
	node := w.start(mn, manualNode+"keying = \"manual\"\n"+manualTables("home-agent"), careOf)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := sim.NewMobileDaemon(mn, home, haAddress).Register(ctx, careOf); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.NewPinger(cn, netip.MustParseAddr("2001:db8:c::1"), home).Ping(ctx); err != nil {
		t.Error(err)
	}
	for peer, a := range map[string]running{"ha.example.org": node, "mn1@example.org": homeAgent} {
		s, err := a.Status()
		if err != nil || len(s.IKESAs) > 0 || len(s.Manual) != 2 || !strings.Contains(s.Table(), "\nManual SAs with "+peer+"\n  binding") {
			t.Errorf("%v\n%s", err, s.Table())
		}
		if err := a.Connect(peer); err == nil || !strings.Contains(err.Error(), "manual keys") {
			t.Errorf("connecting to %s: %v", peer, err)
		}
	}

	refused := make(chan error, 1)
	w.watch = func(what any) {
		if failed, ok := what.(spd.KeyFailed); ok {
			select {
			case refused <- failed.Err:
			default: // it was told before
			}
		}
	}
	w.start(thief, strings.Replace(manualNode, home.String(), "assigned", 1)+"secret-file = \"psk\"\n", elsewhere)
	select {
	case err := <-refused:
		if !strings.Contains(err.Error(), "AUTHENTICATION_FAILED") {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("the home agent has not refused a key exchange")
	}

	node.stop()
	if sas, err := mn.Kernel.Open().SAs(); err != nil || len(sas) > 0 {
		t.Errorf("SAs that are left: %v, %v", sas, err)
	}
}
