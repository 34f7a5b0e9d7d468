//go:build linux

package xfrm

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"mipsecd/spd"
)

func testMigrateKeeps(t *testing.T) {
	b, watcher := openBackend(t), openBackend(t)
	succeed(t, b.AddPolicy(tunnelPolicy(spd.Endpoints{Src: hoa, Dst: agent})))
	sa := newSA(0x1001, spd.Tunnel, atHome, 5)
	sa.Transform.ESN = true
	succeed(t, b.Install(sa))
	sendMH(t, mhHoTI)
	sendMH(t, mhHoTI)
	if n := packets(t); n != "2" {
		t.Fatalf("%s packets have passed, want 2", n)
	}
	move := moveTunnel(atHome, away)
	move.KMAddress = away
	succeed(t, b.Migrate(move))
	wantShown(t, "ip xfrm state", "src 2001:db8:2::1 dst 2001:db8:1::1", "proto esp spi 0x00001001 reqid 5 mode tunnel",
		"auth-trunc hmac(sha256) 0x0202", "enc cbc(aes) 0x0101", "oseq 0x2")
	wantShown(t, "ip xfrm policy", "tmpl src 2001:db8:2::1 dst 2001:db8:1::1", "reqid 5 mode tunnel")
	if got := await[spd.Migrate](t, watcher); !reflect.DeepEqual(got, move) {
		t.Errorf("reported: %+v, want %+v", got, move)
	}
}

func testMigrateIPv4(t *testing.T) {
	b := openBackend(t)
	a := netip.MustParseAddr
	from := spd.Endpoints{Src: a("192.0.2.1"), Dst: a("198.51.100.1")}
	p := spd.Policy{PolicyKey: spd.PolicyKey{Dir: spd.Out, Selector: spd.Selector{
		Src: netip.MustParsePrefix("10.0.0.0/8"), Dst: netip.MustParsePrefix("0.0.0.0/0")}}, Priority: 1, Action: spd.Protect,
		Templates: []spd.Template{{Proto: spd.ESP, Mode: spd.Tunnel, Level: spd.Unique, Reqid: 5, Endpoints: from}}}
	succeed(t, b.AddPolicy(p))
	succeed(t, b.Install(newSA(0x1001, spd.Tunnel, from, 5)))
	for _, to := range []spd.Endpoints{{Src: a("192.0.2.7"), Dst: from.Dst}, away} { // the second from IPv4 to IPv6
		m := spd.Migrate{PolicyKey: p.PolicyKey, KMAddress: to,
			Changes: []spd.EndpointChange{{Proto: spd.ESP, Mode: spd.Tunnel, Reqid: 5, Old: from, New: to}}}
		succeed(t, b.Migrate(m))
		if got := await[spd.Migrate](t, b); !reflect.DeepEqual(got, m) {
			t.Errorf("reported: %+v, want %+v", got, m)
		}
		policies, err := b.Policies()
		succeed(t, err)
		sas, err := b.SAs()
		succeed(t, err)
		if len(policies) != 1 || policies[0].Templates[0].Endpoints != to || len(sas) != 1 || sas[0].Endpoints != to {
			t.Errorf("to %s: %v, %v", to, policies, sas)
		}
		from = to
	}
}

// The SAs that overlap in a rekeying are alike to a MIGRATE, and Linux moves the first that it finds.
func testMigrateOne(t *testing.T) {
	b := openBackend(t)
	succeed(t, b.AddPolicy(tunnelPolicy(away)))
	succeed(t, b.Install(newSA(0x1001, spd.Tunnel, away, 5)))
	succeed(t, b.Install(newSA(0x1002, spd.Tunnel, away, 5)))
	succeed(t, b.Migrate(moveTunnel(away, away2)))
	all, err := b.SAs()
	succeed(t, err)
	at := map[spd.Endpoints]int{}
	for _, sa := range all {
		at[sa.Endpoints]++
	}
	if at[away] != 1 || at[away2] != 1 {
		t.Errorf("SAs: %v", all)
	}
}

func testMigrateErrors(t *testing.T) {
	b := openBackend(t)
	wrong := func(m spd.Migrate, is error, errno unix.Errno) {
		t.Helper()
		if err := b.Migrate(m); !errors.Is(err, is) || !errors.Is(err, errno) {
			t.Errorf("got %v, want %v and %v", err, is, errno)
		}
	}
	wrong(moveTunnel(away, away2), spd.ErrNotFound, unix.ENOENT)
	succeed(t, b.AddPolicy(tunnelPolicy(away)))
	wrong(moveTunnel(away2, away), spd.ErrNoTemplate, unix.ENODATA)
	for _, change := range []func(*spd.EndpointChange){
		func(c *spd.EndpointChange) { c.Reqid++ },
		func(c *spd.EndpointChange) { c.Proto = spd.AH },
		func(c *spd.EndpointChange) { c.Mode = spd.Transport },
	} {
		m := moveTunnel(away, away2)
		change(&m.Changes[0])
		wrong(m, spd.ErrNoTemplate, unix.ENODATA)
	}
	twice := moveTunnel(away, away2)
	twice.Changes = append(twice.Changes, twice.Changes[0])
	wrong(twice, spd.ErrInvalid, unix.EINVAL)
	if all, err := b.Policies(); err != nil || len(all) != 1 || all[0].Templates[0].Endpoints != away {
		t.Errorf("changed: %v, %v", all, err)
	}
}
