// Package agent runs the pure parts: it gives the role and the key exchange engines what comes from kernel, network and
// clock, and carries out what they want. One goroutine owns the role, one each engine; they talk through mailboxes.
package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"mipsecd/ikev2"
	"mipsecd/internal/udp"
	"mipsecd/migrate"
	"mipsecd/spd"
	"mipsecd/spd/manual"
)

// Options say what an agent runs and in which surroundings.
type Options struct {
	Role migrate.Role
	// Engine configures the engines; its Shard is set for each. Rand must be safe for concurrent use.
	Engine ikev2.Config
	// Manual are the SAs of peers with which no key exchange is spoken.
	Manual []manual.Pair
	// Shards is the number of engines; zero means one for each processor.
	Shards  int
	Backend spd.Backend
	// CareOf reports the kernel's Mobile IPv6 states where the Backend does not.
	CareOf CareOfSource
	Conn   udp.Conn
	// Addresses delivers this host's addresses, whole, whenever they change; nil if they do not.
	Addresses <-chan migrate.Addresses
	// HomeAddresses takes the home addresses that are assigned to this host; nil where none is asked for.
	HomeAddresses HomeAddresses
	// HomeAgents finds those whose addresses are not configured; nil where all are.
	HomeAgents HomeAgents
	// Acknowledged tells of Binding Acknowledgements for home addresses of this host's; nil if nobody listens.
	Acknowledged <-chan migrate.Acknowledged
	// Watch is told what happens: ikev2.Traced, ikev2.Dropped, spd.Notice, ByHand, migrate.Report or Failure. It is called
	// from several goroutines.
	Watch func(time.Time, any)
}

// CareOfSource reports the kernel's Mobile IPv6 states: those there are, and their changes.
type CareOfSource interface {
	CareOfStates() ([]spd.CareOfState, error)
	Events() <-chan spd.Event
}

// HomeAddresses are home addresses on this host.
type HomeAddresses interface {
	// Add puts an address onto the host; one that is there already is fine.
	Add(netip.Addr) error
	// Remove takes it away; one that is gone already is fine.
	Remove(netip.Addr) error
}

// HomeAgents finds home agents.
type HomeAgents interface {
	// Find finds the addresses at which a peer may be, the preferred ones first. It may take minutes, and ends when the agent
	// does.
	Find(peer string, from netip.Addr) ([]netip.Addr, error)
}

// Failure is something that went wrong and that nobody else answers for.
type Failure struct {
	What string
	Err  error
}

func (f Failure) Error() string { return f.What + ": " + f.Err.Error() }

// Agent is a running agent.
type Agent struct {
	opt     Options
	shards  []*shard
	notices *mailbox[spd.Notice]
	calls   chan func()
	jobs    chan func()
	router  *Router
	manual  *manual.Table // the role's goroutine owns it
	done    chan struct{}
	tracing traceFile
}

// New makes an agent; Run runs it.
func New(opt Options) *Agent {
	if opt.Shards == 0 {
		opt.Shards = min(runtime.GOMAXPROCS(0), maxShards)
	}
	if opt.Watch == nil {
		opt.Watch = func(time.Time, any) {}
	}
	a := &Agent{
		opt: opt, notices: newMailbox[spd.Notice](), calls: make(chan func()), jobs: make(chan func()),
		router: NewRouter(opt.Shards), manual: manual.New(opt.Manual), done: make(chan struct{}),
	}
	for i := range opt.Shards {
		cfg := opt.Engine
		cfg.Shard = uint8(i)
		a.shards = append(a.shards, &shard{agent: a, engine: ikev2.New(cfg), inbox: newMailbox[any]()})
	}
	return a
}

// Run runs the agent until ctx ends; then it says good-bye to its peers and returns nil. It closes the Conn, not the
// Backend. An error means that it cannot go on.
func (a *Agent) Run(ctx context.Context) error {
	defer close(a.done)
	running, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() { a.work(running) })
	}
	for _, s := range a.shards {
		all.Go(func() { s.run(running) })
	}
	all.Go(func() { a.receive(stop) })
	all.Go(func() { a.runRole(running, stop) })

	select {
	case <-ctx.Done():
		a.farewell(running)
		stop(nil)
	case <-running.Done():
	}
	a.opt.Conn.Close()
	all.Wait()
	a.failed("writing the trace", a.tracing.set(nil, nil))
	if err := context.Cause(running); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// work runs jobs.
func (a *Agent) work(ctx context.Context) {
	for {
		select {
		case job := <-a.jobs:
			job()
		case <-ctx.Done():
			return
		}
	}
}

// maxBacklog bounds the datagrams that wait for a shard; each is at most 64 KB. More are dropped: their senders
// retransmit.
const maxBacklog = 4096

// receive hands datagrams to their shards.
func (a *Agent) receive(stop context.CancelCauseFunc) {
	for {
		d, err := a.opt.Conn.Receive()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			stop(fmt.Errorf("receiving: %w", err))
			return
		}
		i, ok := ikev2.ShardOf(d.Data, len(a.shards))
		switch {
		case !ok:
			a.watch(ikev2.Dropped{Remote: d.Remote, Err: errors.New("not an IKE message of ours")})
		case a.shards[i].inbox.len() > maxBacklog:
			a.watch(ikev2.Dropped{Remote: d.Remote, Err: errors.New("too busy")})
		default:
			a.shards[i].inbox.put(ikev2.Datagram(d))
		}
	}
}

func (a *Agent) watch(what any) {
	now := time.Now()
	a.tracing.watch(now, what)
	a.opt.Watch(now, what)
}

func (a *Agent) failed(what string, err error) {
	if err != nil {
		a.watch(Failure{What: what, Err: err})
	}
}

// goodbye bounds how long an ending agent waits for its peers' answers to its Deletes.
const goodbye = 2 * time.Second

// farewell deletes what is established, here and at the peers, and here also what a peer does not answer for. Policies
// stay: without SAs nothing passes in clear. Only those of a home address that was assigned go, with that.
func (a *Agent) farewell(running context.Context) {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	for _, s := range a.shards {
		s.inbox.put(ikev2.End{})
	}
	for _, s := range a.shards {
		for busy := true; busy && ctx.Err() == nil; {
			s.ask(func(e *ikev2.Engine) { busy = len(e.Status()) > 0 })
			if busy {
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		}
		s.inbox.put(ikev2.Abandon{})
		s.ask(func(*ikev2.Engine) {}) // until that is done
	}
	select {
	case a.calls <- func() {
		a.step(migrate.End{})
		a.carry(a.manual.End())
	}:
	case <-running.Done(): // the role has failed
	}
}
