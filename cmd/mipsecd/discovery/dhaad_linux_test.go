package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"mipsecd/configs"
	"mipsecd/mobility"
)

var (
	prefix  = netip.MustParsePrefix("2001:db8:1::/64")
	careOf  = netip.MustParseAddr("2001:db8:2::5")
	agent   = netip.MustParseAddr("2001:db8:1::1")
	another = netip.MustParseAddr("2001:db8:1::2")
)

// homeLink is a network namespace with a mobile node and the anycast address of its home agents, on a thread of its own that
// ends with the test.
func homeLink(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("this test needs root: network namespace: %v", err)
	}
	ip := func(args string) string {
		out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
		return string(out)
	}
	ip("link set lo up")
	for _, a := range []netip.Addr{careOf, mobility.HomeAgents(prefix)} {
		ip(fmt.Sprintf("addr add %s/128 dev lo nodad", a))
		for ip(fmt.Sprintf("-6 -o route show table local %s", a)) == "" { // until then what is sent there is lost
		}
	}
}

// answering is a home agent that answers each request with these messages, and counts the requests.
func answering(t *testing.T, replies func(request mobility.DHAADRequest) [][]byte) (asked *atomic.Int32) {
	t.Helper()
	socket, err := net.ListenIP("ip6:ipv6-icmp", &net.IPAddr{IP: mobility.HomeAgents(prefix).AsSlice()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	var requests ipv6.ICMPFilter
	requests.SetAll(true)
	requests.Accept(ipv6.ICMPTypeHomeAgentAddressDiscoveryRequest)
	if err := ipv6.NewPacketConn(socket).SetICMPFilter(&requests); err != nil {
		t.Fatal(err)
	}
	asked = &atomic.Int32{}
	go func() {
		for buf := make([]byte, 1500); ; {
			n, from, err := socket.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			request, err := mobility.ParseDHAADRequest(buf[:n])
			if err != nil {
				t.Error(err)
				return
			}
			asked.Add(1)
			for _, r := range replies(request) {
				if _, err := socket.WriteTo(r, from); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	return asked
}

func reply(t *testing.T, identifier uint16, list ...netip.Addr) []byte {
	t.Helper()
	b, err := mobility.DHAADReply{Identifier: identifier, HomeAgents: list}.Marshal()
	if err != nil {
		t.Error(err)
	}
	return b
}

// What answers another request, or cannot be read, is passed over; addresses that no home agent can have are left out.
func TestRFC6275Section11_4_1Discovery(t *testing.T) {
	homeLink(t)
	answering(t, func(r mobility.DHAADRequest) [][]byte {
		return [][]byte{
			reply(t, r.Identifier+1, another), reply(t, r.Identifier, agent)[:20], reply(t, r.Identifier),
			reply(t, r.Identifier, netip.MustParseAddr("ff02::1")), reply(t, r.Identifier, another, netip.IPv6Unspecified(), agent),
		}
	})
	f := &Finder{Timeout: time.Minute}
	got, err := f.Find(t.Context(), configs.Discovery{Prefix: prefix}, careOf)
	if want := []netip.Addr{another, agent}; err != nil || !slices.Equal(got, want) {
		t.Errorf("found %s, %v, want %s", got, err, want)
	}
}

// Without an answer the request is sent five times in all, each time after twice the wait; then there is an error. The end of
// the agent ends the search.
func TestRFC6275Section11_4_1NoAnswer(t *testing.T) {
	homeLink(t)
	asked := answering(t, func(mobility.DHAADRequest) [][]byte { return nil })
	f := &Finder{Timeout: time.Millisecond}
	got, err := f.Find(t.Context(), configs.Discovery{Prefix: prefix}, careOf)
	if err == nil || len(got) > 0 || err.Error() != "no home agent answers at 2001:db8:1:0:fdff:ffff:ffff:fffe" {
		t.Errorf("found %s, %v", got, err)
	}
	for asked.Load() < 1+retries {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.Timeout = time.Hour
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := f.Find(ctx, configs.Discovery{Prefix: prefix}, careOf); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	if _, err := f.Find(t.Context(), configs.Discovery{Prefix: prefix}, agent); err == nil {
		t.Error("it asks from an address that is not this host's")
	}
}
