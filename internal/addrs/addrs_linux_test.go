package addrs

import (
	"net"
	"net/netip"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inNamespace runs a test on a thread with a network namespace of its own; the thread ends with the test.
func inNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("these tests need root: network namespace: %v", err)
	}
	ip(t, "link set lo up")
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// eth0 makes a link whose other end is down: an address on it stays tentative.
func eth0(t *testing.T) {
	t.Helper()
	ip(t, "link add eth0 type veth peer name far")
	ip(t, "link set eth0 up")
}

func start(t *testing.T) *Watcher {
	t.Helper()
	w, err := Watch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// await reads changes until one has these addresses.
func await(t *testing.T, w *Watcher, want ...Address) {
	t.Helper()
	for c := range w.Changes() {
		if len(c.Addresses) == 0 && len(want) == 0 || reflect.DeepEqual(c.Addresses, want) {
			return
		}
		t.Logf("%v, waiting for %v", c.Addresses, want)
	}
	t.Fatalf("ended while waiting for %v: %v", want, w.Err())
}

func address(addr, ifname string) Address {
	return Address{Addr: netip.MustParseAddr(addr), Interface: ifname}
}

func TestAddressesComeAndGo(t *testing.T) {
	inNamespace(t)
	ip(t, "addr add 2001:db8::1/128 dev lo nodad")
	w := start(t)
	a, b, v4 := address("2001:db8::1", "lo"), address("2001:db8::2", "lo"), address("192.0.2.1", "lo")
	await(t, w, a)
	ip(t, "addr add 2001:db8::2/64 dev lo nodad")
	await(t, w, a, b)
	ip(t, "addr add fe80::1/64 dev lo nodad") // left out
	ip(t, "addr add 192.0.2.1/24 dev lo")
	await(t, w, v4, a, b)
	ip(t, "addr del 2001:db8::1/128 dev lo")
	await(t, w, v4, b)
	ip(t, "addr flush dev lo scope global")
	await(t, w)
}

func TestRFC4862Section5_4TentativeUntilDetectionEnds(t *testing.T) {
	inNamespace(t)
	eth0(t)
	w := start(t)
	await(t, w)
	ip(t, "addr add 2001:db8::5/64 dev eth0")
	a := address("2001:db8::5", "eth0")
	a.Tentative, a.Down = true, true
	await(t, w, a)
	ip(t, "link set far up")
	a.Tentative, a.Down = false, false
	await(t, w, a)
}

func TestFlags(t *testing.T) {
	inNamespace(t)
	w := start(t)
	await(t, w)
	ip(t, "addr add 2001:db8::100/128 dev lo nodad home")
	home := address("2001:db8::100", "lo")
	home.Home = true
	await(t, w, home)
	ip(t, "addr add 2001:db8::5/64 dev lo nodad")
	a := address("2001:db8::5", "lo")
	await(t, w, a, home)
	ip(t, "addr change 2001:db8::5/64 dev lo preferred_lft 0 valid_lft 1000")
	a.Deprecated = true
	await(t, w, a, home)
}

func TestInterfacesComeAndGo(t *testing.T) {
	inNamespace(t)
	eth0(t)
	ip(t, "addr add 2001:db8::5/64 dev eth0 nodad")
	w := start(t)
	a := address("2001:db8::5", "eth0")
	a.Down = true
	await(t, w, a)
	ip(t, "link set far up")
	a.Down = false
	await(t, w, a)
	ip(t, "link set eth0 name wlan0")
	a.Interface = "wlan0"
	await(t, w, a)
	ip(t, "link del wlan0")
	await(t, w)
}

func TestSourceOfARoute(t *testing.T) {
	inNamespace(t)
	eth0(t)
	ip(t, "link set far up")
	ip(t, "addr add 2001:db8::5/64 dev eth0 nodad")
	ip(t, "addr add 192.0.2.5/24 dev eth0")
	ip(t, "addr add 2001:db8::6/128 dev lo nodad")
	for to, want := range map[string]string{"2001:db8::1": "2001:db8::5", "192.0.2.1": "192.0.2.5"} {
		if got, err := Source(netip.MustParseAddr(to)); err != nil || got != netip.MustParseAddr(want) {
			t.Errorf("to %s from %v, %v; want %s", to, got, err, want)
		}
	}
	if got, err := Source(netip.MustParseAddr("2001:db8:1::1")); err == nil {
		t.Errorf("from %s, where there is no route", got)
	}
}

// TestLostNews fills the socket beyond its room, so that the kernel drops news.
func TestLostNews(t *testing.T) {
	inNamespace(t)
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	r := s.(rtnetlink)
	if err := r.news.SetReceiveBufferSize(1, false); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ip(t, "addr add 2001:db8::1/128 dev lo nodad")
		ip(t, "addr del 2001:db8::1/128 dev lo")
	}
	ip(t, "addr add 2001:db8::2/128 dev lo nodad")
	w, err := watch(s)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	await(t, w, address("2001:db8::2", "lo"))
	ip(t, "addr add 2001:db8::3/128 dev lo nodad")
	await(t, w, address("2001:db8::2", "lo"), address("2001:db8::3", "lo"))
}

func TestWhatIsLeftOut(t *testing.T) {
	for _, c := range []struct {
		name  string
		addr  string
		flags int
		want  Address
	}{
		{"global", "2001:db8::1", unix.IFA_F_PERMANENT, address("2001:db8::1", "")},
		{"IPv4", "192.0.2.1", 0, address("192.0.2.1", "")},
		{"unique local", "fd00::1", 0, address("fd00::1", "")},
		{"link-local", "fe80::1", 0, Address{}},
		{"loopback", "::1", 0, Address{}},
		{"IPv4 loopback", "127.0.0.1", 0, Address{}},
		{"another host's", "2001:db8::1", unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED, Address{}},
		{"optimistic (RFC 4429)", "2001:db8::1", unix.IFA_F_TENTATIVE | unix.IFA_F_OPTIMISTIC, address("2001:db8::1", "")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := fromNetlink(netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(c.addr)}, Flags: c.flags})
			if got != c.want || ok != c.want.Addr.IsValid() {
				t.Errorf("got %v, %v, want %v", got, ok, c.want)
			}
		})
	}
	if _, ok := fromNetlink(netlink.Addr{}); ok {
		t.Error("an entry without address was taken")
	}
}
