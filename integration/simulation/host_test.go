package simulation

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"mipsecd/cmd/mipsecd/agent"
	"mipsecd/configs"
	"mipsecd/ikev2"
	"mipsecd/migrate"
	"mipsecd/spd"
	"mipsecd/spd/memory"
)

// host is a role, its engines and a kernel. What they tell each other takes its time, as between the goroutines of an
// agent: what comes by one lane stays in order.
type host struct {
	w       *world
	name    string
	node    *mobileNode // that it is, or nil
	options memory.Options
	opt     func() agent.Options // what a new agent starts with
	local   func(netip.Addr) bool
	receive func(memory.Packet)

	kernel  *memory.Kernel
	backend *memory.Backend
	role    migrate.Role
	engines []*engine
	router  *agent.Router
	books   books
	reports lane // of the kernel
	notices lane // of the engines
	boots   int
}

type engine struct {
	*ikev2.Engine
	inbox lane
	wake  time.Time // when it is to be woken
}

// lane keeps things in their order.
type lane struct{ last time.Time }

// lag is how long things take within a host at most.
const lag = 2 * time.Millisecond

// newHost is a host without an agent. It answers to the addresses that local names.
func (w *world) newHost(name string, seed uint64, queue int, local func(netip.Addr) bool) *host {
	h := &host{w: w, name: name, local: local}
	h.options = memory.Options{
		Clock: func() time.Time { return w.now }, Seed: seed, EventQueue: queue, Local: local,
		PacketInAcquire: seed%5 == 1, MigrateOne: seed%2 == 1,
	}
	h.boot()
	return h
}

// install has an agent with a configuration run on the host.
func (h *host) install(config string, seed uint64) *configs.Config {
	cfg, err := configs.Parse(h.name, []byte(config), func(path string, _ configs.Content) ([]byte, error) {
		return []byte("a secret of " + path), nil
	})
	if err != nil {
		h.w.t.Fatal(err)
	}
	h.opt = func() agent.Options {
		opt, err := agent.FromConfig(cfg, nil)
		if err != nil {
			h.w.t.Fatal(err)
		}
		var key [32]byte
		key[0], key[1], key[2], key[3] = byte(seed), byte(seed>>8), byte(h.boots), byte(h.w.seed)
		opt.Engine.Rand = rand.NewChaCha8(key)
		return opt
	}
	h.boot()
	return cfg
}

// boot starts the host with an empty kernel, and its agent.
func (h *host) boot() {
	h.boots++
	options := h.options
	options.Seed += uint64(h.boots) << 32
	h.kernel = memory.New(options)
	h.backend = h.kernel.Open()
	h.engines, h.books = nil, newBooks()
	if h.opt == nil {
		return
	}
	opt := h.opt()
	h.role, h.router = opt.Role, agent.NewRouter(opt.Shards)
	for i := range opt.Shards {
		cfg := opt.Engine
		cfg.Shard = uint8(i)
		h.engines = append(h.engines, &engine{Engine: ikev2.New(cfg)})
	}
	h.snapshot()
}

// soon arranges what happens on the host within its lag, after all that its lane has.
func (h *host) soon(l *lane, what func()) {
	at := h.w.now.Add(h.w.upTo(lag))
	if at.Before(l.last) {
		at = l.last
	}
	l.last = at
	boot := h.boots
	h.w.at(at, func() {
		if h.boots == boot {
			what()
		}
	})
}

// input gives an engine something, and carries out what it wants.
func (h *host) input(i int, in ikev2.Input) {
	e := h.engines[i]
	for _, effect := range e.Step(h.w.now, in) {
		h.carryOut(i, effect)
	}
	h.hear()
	if at := e.Deadline(); !at.IsZero() && (!e.wake.After(h.w.now) || at.Before(e.wake)) {
		e.wake = at
		boot := h.boots
		h.w.at(at, func() {
			if h.boots == boot && e.wake.Equal(at) {
				e.wake = time.Time{}
				h.input(i, ikev2.Tick{})
			}
		})
	}
}

func (h *host) carryOut(i int, effect ikev2.Effect) {
	e := h.engines[i]
	later := func(in func() ikev2.Input) { h.soon(&e.inbox, func() { h.input(i, in()) }) }
	switch f := effect.(type) {
	case ikev2.Send:
		h.w.note(h, f.Remote.Addr(), "sends %s", message(f.Data))
		h.w.carry(h, f.Local.Addr(), f.Remote.Addr(), func(to *host) {
			to.datagram(ikev2.Datagram{Local: f.Remote, Remote: f.Local, Data: slices.Clone(f.Data)})
		})
	case ikev2.Install:
		h.w.noteOf(h, f.Peer, "installs %s", f.SA)
		if err := h.backend.Install(f.SA); err != nil {
			h.w.fail(h, f.Peer, "%v", err)
			later(func() ikev2.Input { return ikev2.InstallFailed{Peer: f.Peer, ID: f.SA.ID(), Err: err} })
		}
	case ikev2.Remove:
		h.w.note(h, f.ID.Dst, "removes %s", f.ID)
		if err := h.backend.Remove(f.ID); err != nil && !errors.Is(err, spd.ErrNotFound) {
			h.w.t.Error(err)
		}
	case ikev2.Verify:
		if h.stays(f) {
			later(func() ikev2.Input { return ikev2.Command{Command: spd.Expired{Peer: f.Peer, ID: f.ID}} })
		}
	case ikev2.AllocSPI:
		later(func() ikev2.Input {
			spi, err := h.backend.AllocSPI(f.Larva)
			return ikev2.JobDone{ID: f.ID, Value: spi, Err: err}
		})
	case ikev2.Job:
		h.w.after(h.w.upTo(lag), func() {
			later(func() ikev2.Input {
				v, err := f.Run()
				return ikev2.JobDone{ID: f.ID, Value: v, Err: err}
			})
		})
	case ikev2.Notice:
		h.books.enter(h, f.Notice)
		h.soon(&h.notices, func() {
			if c, ok := h.router.Heard(f.Notice); ok {
				h.tell(c)
			}
			h.step(migrate.Keying{Notice: f.Notice})
		})
	case ikev2.Dropped:
		h.w.note(h, f.Remote.Addr(), "drops a datagram: %v", f.Err)
	}
}

// stays reports whether an SA has not left the endpoints from which it was to move.
func (h *host) stays(v ikev2.Verify) bool {
	return slices.ContainsFunc(h.backend.SAsBetween(v.Left.Src, v.Left.Dst), func(sa spd.SA) bool { return sa.SPI == v.ID.SPI })
}

// datagram takes one to the engine that it is for.
func (h *host) datagram(d ikev2.Datagram) {
	if h.local(d.Local.Addr()) {
		if i, ok := ikev2.ShardOf(d.Data, len(h.engines)); ok {
			h.input(i, d)
		}
	}
}

// hear brings what the kernel reports to the role.
func (h *host) hear() {
	for {
		select {
		case e := <-h.backend.Events():
			if h.role != nil {
				h.soon(&h.reports, func() { h.step(migrate.Kernel{Event: e}) })
			}
		default:
			return
		}
	}
}

// step gives the role something, and carries out what it wants.
func (h *host) step(in migrate.Input) {
	for _, effect := range h.role.Step(h.w.now, in) {
		switch f := effect.(type) {
		case migrate.Tell:
			h.tell(f.Command)
		case migrate.Carry:
			if err := f.Apply(h.backend); err != nil {
				h.w.counters["plans that failed"]++
			}
		case migrate.Reread:
			h.w.t.Errorf("%s has lost reports of its kernel", h.name)
		case migrate.Report:
			h.w.noteOf(h, f.Peer, "reports %s: %s", f.What, f.Detail)
		}
	}
	h.hear()
}

func (h *host) snapshot() {
	policies, err := h.backend.Policies()
	if err != nil {
		h.w.t.Error(err)
	}
	states, err := h.backend.CareOfStates()
	if err != nil {
		h.w.t.Error(err)
	}
	h.step(migrate.Snapshot{Policies: policies, CareOf: states})
}

// tell gives a command to the engines that it concerns.
func (h *host) tell(c spd.Command) {
	if key, ok := c.(spd.Key); ok {
		h.w.noteOf(h, key.Demand.Peer, "keys %s over %s", key.Demand, key.Path)
	}
	for from, to := h.router.Route(c); from < to; from++ {
		h.soon(&h.engines[from].inbox, func() { h.input(from, ikev2.Command{Command: c}) })
	}
}

// send sends a packet of this host, or one that it forwards, as its policies want. Not ok if it has to wait for an SA.
func (h *host) send(p memory.Packet) (ok bool) {
	wire, err := h.kernel.Output(p)
	h.hear()
	if err != nil {
		return false
	}
	if h.w.owners[wire.Dst] != h { // a home agent that does not know where the mobile node is
		h.w.carry(h, wire.Src, wire.Dst, func(to *host) { to.arrives(wire) })
	}
	return true
}

// arrives takes a packet off the network: for this host, or to be forwarded.
func (h *host) arrives(wire memory.Packet) {
	p, err := h.kernel.Input(wire)
	h.hear()
	switch {
	case errors.Is(err, memory.ErrIntegrity):
		h.w.t.Errorf("%s: %v", h.name, err) // the keys are not those of the other side
	case err != nil:
		h.w.counters[fmt.Sprint("packets refused: ", reason(err))]++
	case h.local(p.Dst):
		h.receive(p)
	default:
		h.send(p)
	}
}

func reason(err error) error {
	for _, why := range []error{memory.ErrNoSA, memory.ErrReplay, memory.ErrProtection, memory.ErrDiscarded} {
		if errors.Is(err, why) {
			return why
		}
	}
	return err
}

// tick lets the lifetimes in the kernel pass.
func (h *host) tick() {
	h.kernel.Tick()
	h.hear()
	h.w.after(tickEvery, h.tick)
}

const tickEvery = 5 * time.Second
