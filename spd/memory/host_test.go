package memory

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"mipsecd/spd"
)

var (
	hoa       = netip.MustParseAddr("2001:db8:1::100")
	homeAgent = netip.MustParseAddr("2001:db8:1::1")
	coa       = netip.MustParseAddr("2001:db8:2::7")
	coa2      = netip.MustParseAddr("2001:db8:3::7")
	peer      = netip.MustParseAddr("2001:db8:9::9") // a correspondent node
	ipv4      = netip.MustParseAddr("192.0.2.1")
	anywhere  = netip.MustParsePrefix("::/0")

	binding = spd.Endpoints{Src: hoa, Dst: homeAgent}
	away    = spd.Endpoints{Src: coa, Dst: homeAgent}
	away2   = spd.Endpoints{Src: coa2, Dst: homeAgent}
)

// host is a kernel with a clock that the test turns, and one handle.
type host struct {
	*Kernel
	*Backend
	t   *testing.T
	now time.Time
}

func newHost(t *testing.T, options Options) *host {
	h := &host{t: t, now: time.Unix(1000, 0)}
	options.Clock = func() time.Time { return h.now }
	h.Kernel = New(options)
	h.Backend = h.Kernel.Open()
	t.Cleanup(func() { h.Close() })
	return h
}

func (h *host) pass(d time.Duration) {
	h.now = h.now.Add(d)
	h.Tick()
}

func (h *host) install(sas ...spd.SA) {
	h.t.Helper()
	for _, s := range sas {
		if err := h.Install(s); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *host) add(policies ...spd.Policy) {
	h.t.Helper()
	for _, p := range policies {
		if err := h.AddPolicy(p); err != nil {
			h.t.Fatal(err)
		}
	}
}

// events takes what is queued, without PolicyChanged.
func (h *host) events() []spd.Event {
	var all []spd.Event
	for len(h.Events()) > 0 {
		if e := <-h.Events(); reflect.TypeOf(e) != reflect.TypeFor[spd.PolicyChanged]() {
			all = append(all, e)
		}
	}
	return all
}

func (h *host) wantEvents(want ...spd.Event) {
	h.t.Helper()
	if got := h.events(); !reflect.DeepEqual(got, want) {
		h.t.Errorf("events\n got %+v\nwant %+v", got, want)
	}
}

// sends checks that the packet leaves, and returns it as it does.
func (h *host) sends(p Packet) Packet {
	h.t.Helper()
	out, err := h.Output(p)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *host) holds(p Packet) {
	h.t.Helper()
	wantError(h.t, second(h.Output(p)), ErrHeld)
}

func (h *host) receives(wire, want Packet) {
	h.t.Helper()
	if got, err := h.Input(wire); err != nil || !reflect.DeepEqual(got, want) {
		h.t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func (h *host) refuses(wire Packet, want error) {
	h.t.Helper()
	wantError(h.t, second(h.Input(wire)), want)
}

func second[T any](_ T, err error) error { return err }

func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}

// newSA is an SA whose keys follow from fill.
func newSA(spi uint32, mode spd.Mode, e spd.Endpoints, reqid uint32, dir spd.Dir, fill byte) spd.SA {
	encr, integ := make([]byte, 16), make([]byte, 32)
	encr[0], integ[0] = fill, fill
	return spd.SA{SPI: spi, Proto: spd.ESP, Mode: mode, Endpoints: e, Reqid: reqid, Dir: dir, ReplayWindow: 32,
		Transform: spd.Transform{Encr: spd.EncrAESCBC, EncrKey: encr, Integ: spd.IntegSHA256_128, IntegKey: integ}}
}

// shared installs one SA at its two ends.
func shared(from, to *host, spi uint32, mode spd.Mode, e spd.Endpoints, reqid uint32) {
	from.install(newSA(spi, mode, e, reqid, spd.Out, byte(spi)))
	to.install(newSA(spi, mode, e, reqid, spd.In, byte(spi)))
}

func protect(dir spd.Dir, s spd.Selector, templates ...spd.Template) spd.Policy {
	return spd.Policy{PolicyKey: spd.PolicyKey{Selector: s, Dir: dir}, Priority: 10, Action: spd.Protect, Templates: templates}
}

func plain(dir spd.Dir, s spd.Selector, action spd.Action, priority uint32) spd.Policy {
	return spd.Policy{PolicyKey: spd.PolicyKey{Selector: s, Dir: dir}, Priority: priority, Action: action}
}

func transport(reqid uint32) spd.Template {
	return spd.Template{Proto: spd.ESP, Mode: spd.Transport, Level: spd.Unique, Reqid: reqid}
}

func tunnel(e spd.Endpoints, reqid uint32) spd.Template {
	return spd.Template{Proto: spd.ESP, Mode: spd.Tunnel, Level: spd.Unique, Reqid: reqid, Endpoints: e}
}

var buSelector = spd.MH(spd.Host(hoa), spd.Host(homeAgent), 5)

// mh is a Mobility Header message of a type.
func mh(src, dst netip.Addr, kind byte) Packet {
	return Packet{Src: src, Dst: dst, Proto: spd.ProtoMH, Payload: []byte{59, 0, kind, 0, 0, 0, 1, 2}}
}

func udpTo(src, dst netip.Addr, port uint16) Packet {
	return Packet{Src: src, Dst: dst, Proto: spd.ProtoUDP,
		Payload: append(binary.BigEndian.AppendUint16([]byte{4, 0}, port), 0, 8, 0, 0)}
}
