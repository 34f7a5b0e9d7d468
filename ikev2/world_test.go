package ikev2

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/internal/vnet"
	"mipsecd/spd"
)

// The cast: a mobile node with its home address and two care-of addresses, and its home agent.
var (
	hoa  = netip.MustParseAddr("2001:db8:1::100")
	coa1 = netip.MustParseAddr("2001:db8:a::1")
	coa2 = netip.MustParseAddr("2001:db8:b::1")
	coa3 = netip.MustParseAddr("2001:db8:c::1")
	haa  = netip.MustParseAddr("2001:db8:1::1")

	path1 = spd.Path{Local: coa1, Remote: haa}
	path2 = spd.Path{Local: coa2, Remote: haa}
)

func reversed(p spd.Path) spd.Path { return spd.Path{Local: p.Remote, Remote: p.Local} }

// binding protects BU and BA in transport mode, returnRoute tunnels HoTI and HoT, payload tunnels the rest.
var (
	binding     = demand("binding", spd.Transport, 1, 5<<8, 6<<8)
	returnRoute = demand("return routability", spd.Tunnel, 3, 1<<8, 3<<8)
	payload     = demand("payload", spd.Tunnel, 5, 0, 65535)
)

func demand(name string, mode spd.Mode, reqid uint32, from, to uint16) spd.Demand {
	one := func(a netip.Addr, port uint16) []spd.TrafficSelector {
		s := spd.TrafficSelector{Proto: spd.ProtoMH, PortStart: port, PortEnd: port, Start: a, End: a}
		if to == 65535 {
			s.Proto, s.PortStart, s.PortEnd = spd.ProtoAny, 0, 65535
		}
		return []spd.TrafficSelector{s}
	}
	d := spd.Demand{
		Peer: "ha", Name: name, Mode: mode, ReqidIn: reqid, ReqidOut: reqid + 1,
		Traffic: spd.Traffic{Local: one(hoa, from), Remote: one(haa, to)}, Local: hoa, Remote: haa,
	}
	if mode == spd.Tunnel {
		d.Local = coa1
	}
	return d
}

// mirrored is a demand of the mobile node as the home agent has it.
func mirrored(d spd.Demand) spd.Demand {
	d.Peer = "mn"
	d.Local, d.Remote = d.Remote, d.Local
	d.Traffic.Local, d.Traffic.Remote = d.Traffic.Remote, d.Traffic.Local
	d.ReqidIn, d.ReqidOut = d.ReqidIn+100, d.ReqidOut+100
	d.Acquire = 0
	return d
}

// world is hosts on a network, with a clock that only a test moves.
type world struct {
	t      testing.TB
	now    time.Time
	hosts  []*host
	flight []*packet // sent and not yet there
	log    strings.Builder
	named  map[string]string // what a datagram says, by its octets
	clear  map[string][]wire.Payload
	seen   map[string]bool
	// lose decides which packets the network loses; nil loses none.
	lose func(*packet) bool
	// change is what somebody on the way makes of a packet; nil leaves all alone.
	change func(*packet)
}

type packet struct {
	Datagram
	from    *host
	summary string
	again   bool // a retransmission
}

// host is one engine with its fake kernel and role.
type host struct {
	w      *world
	name   string
	engine *Engine
	*kernel
	policies []spd.Demand
	refuse   error            // what the role answers to every Request
	pairs    bool             // the role grants only what is between two addresses
	gives    spd.AddressGrant // what it answers to every AddressRequest
	stays    bool             // nobody has the SAs follow that the kernel leaves behind
	hold     bool             // jobs wait for work
	jobs     []func()
	notices  []spd.Notice
	dropped  []error
	read     []string // the messages that have arrived
	peer     *Peer
	nat      *vnet.NAT // that it is behind, or nil
}

// options are what tests change about a pair of hosts.
type options struct {
	seed     uint64
	ike, esp string // proposals of both
	change   func(mn, ha *host, mnCfg, haCfg *Config)
}

func mustID(s string) Identity {
	id, err := ParseIdentity(s)
	if err != nil {
		panic(err)
	}
	return id
}

func proposals(t testing.TB, s string, parse func(string) (suite.Proposal, error)) []suite.Proposal {
	t.Helper()
	var out []suite.Proposal
	for one := range strings.SplitSeq(s, ",") {
		p, err := parse(one)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// newWorld is a mobile node and its home agent, who know each other.
func newWorld(t testing.TB, o options) (w *world, mn, ha *host) {
	t.Helper()
	w = &world{
		t: t, now: time.Unix(1_000_000, 0), named: map[string]string{}, seen: map[string]bool{}, clear: map[string][]wire.Payload{},
	}
	if o.ike == "" {
		o.ike = "aes128gcm16-prfsha256-x25519"
	}
	if o.esp == "" {
		o.esp = "aes128gcm16"
	}
	ike, esp := proposals(t, o.ike, suite.ParseIKE), proposals(t, o.esp, suite.ParseESP)
	psk := secret.Bytes("a secret between the two")
	mn = &host{w: w, name: "MN", kernel: newKernel("MN", 0xa0000000), policies: []spd.Demand{binding, returnRoute, payload}}
	ha = &host{w: w, name: "HA", kernel: newKernel("HA", 0xb0000000)}
	for _, d := range mn.policies {
		ha.policies = append(ha.policies, mirrored(d))
	}
	mn.peer = &Peer{
		Name: "ha", LocalID: mustID("mn@example.org"), RemoteID: mustID("ha.example.org"), PSK: psk, IKE: ike, ESP: esp,
	}
	ha.peer = &Peer{
		Name: "mn", LocalID: mn.peer.RemoteID, RemoteID: mn.peer.LocalID, PSK: psk, IKE: ike, ESP: esp,
	}
	configs := make([]Config, 2)
	w.hosts = []*host{mn, ha}
	for i := range w.hosts {
		var seed [32]byte
		seed[0], seed[1], seed[2], seed[3] = byte(i), byte(o.seed), byte(o.seed>>8), byte(o.seed>>16)
		configs[i] = Config{IKE: ike, Rand: rand.NewChaCha8(seed), Trace: true, NAT: NATNever}
	}
	if o.change != nil {
		o.change(mn, ha, &configs[0], &configs[1])
	}
	for i, h := range w.hosts {
		list, err := NewPeerList(h.peer)
		if err != nil {
			t.Fatal(err)
		}
		configs[i].Peers = list
		h.engine = New(configs[i])
	}
	return w, mn, ha
}

// tell gives a host's engine a command and lets all that follows happen.
func (h *host) tell(c spd.Command) {
	h.w.t.Helper()
	h.step(Command{c})
}

// key asks for a demand over path1, and lets all that follows happen.
func (h *host) key(d spd.Demand) {
	h.w.t.Helper()
	h.tell(spd.Key{Demand: d, Path: path1})
	h.w.run()
}

// step gives the engine one input and carries its effects out, and what those lead to at this host.
func (h *host) step(in Input) {
	h.w.t.Helper()
	inputs := []Input{in}
	for len(inputs) > 0 {
		in, inputs = inputs[0], inputs[1:]
		var latest Traced
		for _, f := range h.engine.Step(h.w.now, in) {
			switch f := f.(type) {
			case Send:
				h.w.send(h, f.Datagram, latest)
			case Traced:
				if f.Outbound {
					latest = f
				} else {
					h.read = append(h.read, f.Summary)
				}
			case Install:
				h.w.check(h.install(f.SA))
				h.w.crosswise(h, f.SA)
			case SetEncap:
				if h.setEncap(f.ID, f.Encap) != nil {
					inputs = append(inputs, Command{spd.Expired{Peer: f.Peer, ID: f.ID}})
				}
			case Remove:
				h.w.check(h.remove(f.ID))
			case Verify:
				if !slices.ContainsFunc(slices.Collect(maps.Values(h.sas)), f.Holds) {
					inputs = append(inputs, Command{spd.Expired{Peer: f.Peer, ID: f.ID}})
				}
			case AllocSPI:
				inputs = h.job(inputs, func() Input { return JobDone{ID: f.ID, Value: h.alloc(f.Larva)} })
			case Job:
				inputs = h.job(inputs, func() Input {
					v, err := f.Run()
					return JobDone{ID: f.ID, Value: v, Err: err}
				})
			case Notice:
				h.notices = append(h.notices, f.Notice)
				switch r := f.Notice.(type) {
				case spd.Request:
					inputs = h.job(inputs, func() Input { return Command{h.grant(r)} })
				case spd.MovedTogether:
					for n := 1; n < r.SAs && !h.stays; n++ {
						h.migrate(r.Moved.Change)
					}
				case spd.AddressRequest:
					inputs = h.job(inputs, func() Input { return Command{h.assign(r)} })
				}
			case Dropped:
				h.dropped = append(h.dropped, f.Err)
			}
		}
	}
}

// job runs at once, or waits for work.
func (h *host) job(inputs []Input, f func() Input) []Input {
	if h.hold {
		h.jobs = append(h.jobs, func() { h.step(f()) })
		return inputs
	}
	return append(inputs, f())
}

// work runs the jobs that were held back, and those that they lead to.
func (h *host) work() {
	h.w.t.Helper()
	for len(h.jobs) > 0 {
		f := h.jobs[0]
		h.jobs = h.jobs[1:]
		f()
	}
}

// grant is the role's answer: the demand of the policy for that traffic.
func (h *host) grant(r spd.Request) spd.Grant {
	if h.refuse != nil {
		return spd.Grant{Request: r.Request, Err: h.refuse}
	}
	for _, d := range h.policies {
		local, remote := spd.Narrow(r.Traffic.Local, d.Traffic.Local), spd.Narrow(r.Traffic.Remote, d.Traffic.Remote)
		if h.pairs && len(local) > 0 && len(remote) > 0 && (local[0].Start != local[0].End || remote[0].Start != remote[0].End) {
			return spd.Grant{Request: r.Request, Err: spd.ErrSinglePair}
		}
		proto := d.Traffic.Local[0].Proto
		if len(local) > 0 && len(remote) > 0 && (proto == r.Traffic.Local[0].Proto || proto == spd.ProtoAny) {
			d.Traffic = spd.Traffic{Local: local, Remote: remote}
			if h.peer.MOBIKE && d.Mode == spd.Tunnel {
				d.Local, d.Remote = r.Path.Local, r.Path.Remote
			}
			return spd.Grant{Request: r.Request, Demand: d}
		}
	}
	return spd.Grant{Request: r.Request, Err: errors.New("no policy")}
}

// assign is the role's answer to a wish for addresses.
func (h *host) assign(r spd.AddressRequest) spd.AddressGrant {
	g := h.gives
	g.Request = r.Request
	return g
}

// send puts a datagram on the network, unless that loses it.
func (w *world) send(from *host, d Datagram, latest Traced) {
	w.t.Helper()
	if len(d.Data) == 0 {
		w.logf("%s --> keepalive", from.name)
		return
	}
	key := string(d.Data)
	if w.named[key] == "" {
		w.named[key] = latest.Summary + whichFragment(d.Data)
		h, err := wire.ParseHeader(latest.Message)
		w.check(err)
		ps, err := wire.ParsePayloads(h.NextPayload, latest.Message[wire.HeaderLen:])
		w.check(err)
		w.clear[key] = ps
		w.reveals(from, h, ps)
	}
	p := &packet{Datagram: d, from: from, summary: w.named[key], again: w.seen[key]}
	w.seen[key] = true
	line := fmt.Sprintf("%s --> %s", from.name, p.summary)
	if p.again {
		line += " again"
	}
	if w.lose != nil && w.lose(p) {
		w.logf("%s (lost)", line)
		return
	}
	w.logf("%s", line)
	w.flight = append(w.flight, p)
}

// reveals holds that the SPI of a Child SA is reserved before a request names it, and its inbound SA installed before an
// answer does, unless key exchanges are to follow.
func (w *world) reveals(from *host, h wire.Header, ps []wire.Payload) {
	w.t.Helper()
	sa, ok := wire.Find[*wire.SA](ps)
	if !ok || sa.Proposals[0].Protocol != wire.ProtocolESP {
		return
	}
	spi := espSPI(sa.Proposals[0].SPI)
	follows := wire.FindNotify(ps, wire.NotifyAdditionalKeyExchange) != nil
	if h.Response && !from.hasIn(spi) && !(follows && from.hasLarva(spi)) {
		w.t.Errorf("%s reveals %08x before it is installed", from.name, spi)
	}
	if !h.Response && !from.hasLarva(spi) {
		w.t.Errorf("%s reveals %08x, which is not reserved", from.name, spi)
	}
}

// deliver hands over one of the packets in flight.
func (w *world) deliver(i int) {
	w.t.Helper()
	p := w.flight[i]
	w.flight = slices.Delete(w.flight, i, i+1)
	w.arrive(p)
}

func (w *world) arrive(p *packet) {
	w.t.Helper()
	if w.change != nil {
		w.change(p)
	}
	from := p.Local
	if nat := p.from.nat; nat != nil {
		from = nat.Out(from)
	}
	to, there := w.peerOf(p.from), true
	d := Datagram{Local: p.Remote, Remote: from, Data: slices.Clone(p.Data)}
	if to.nat != nil {
		d.Local, there = to.nat.In(p.Remote)
	}
	if there {
		to.step(d)
	}
}

// run delivers everything in the order in which it was sent.
func (w *world) run() {
	w.t.Helper()
	for n := 0; len(w.flight) > 0; n++ {
		if n > 10000 {
			w.t.Fatal("the network does not come to rest")
		}
		w.deliver(0)
	}
}

// pass lets time go by, with all that happens in it.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for w.tick(end) {
		w.run()
	}
	w.now = end
}

// tick moves the clock to the next deadline, if that is not after end.
func (w *world) tick(end time.Time) bool {
	w.t.Helper()
	var next *host
	for _, h := range w.hosts {
		at := h.engine.Deadline()
		if !at.IsZero() && (next == nil || at.Before(next.engine.Deadline())) {
			next = h
		}
	}
	if next == nil || next.engine.Deadline().After(end) {
		return false
	}
	if at := next.engine.Deadline(); at.After(w.now) {
		w.now = at
	}
	next.step(Tick{})
	return true
}

func (w *world) logf(format string, args ...any) { fmt.Fprintf(&w.log, format+"\n", args...) }

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Error(err)
	}
}

// script compares what went over the network since the last script, a line a message.
func (w *world) script(want string) {
	w.t.Helper()
	clean := func(s string) string {
		var out []string
		for line := range strings.Lines(s) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
		return strings.Join(out, "\n")
	}
	got := clean(w.log.String())
	w.log.Reset()
	if got != clean(want) {
		w.t.Errorf("exchanges:\n%s\n\nwanted:\n%s", got, clean(want))
	}
}
