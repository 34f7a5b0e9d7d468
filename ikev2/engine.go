package ikev2

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// Config is what an Engine needs to know.
type Config struct {
	// Shard is the first octet of every SPI that this engine makes, so that a datagram finds the engine that owns its
	// IKE_SA (see ShardOf).
	Shard uint8
	Peers Peers
	// IKE are the proposals acceptable from a peer that has not said who it is.
	IKE []suite.Proposal
	// CertRequests are what auth.Requests wants of a peer that has not said who it is. Nil speaks to such a one of no
	// certificates; then no peer that begins can have any.
	CertRequests []wire.Payload
	// Signs: even without CertRequests there are peers to whom this host proves itself by a certificate when they begin.
	Signs bool
	NAT   NATTraversal
	// Addresses are those of this host that peers with MOBIKE may use and are told of; the command spd.Addresses replaces
	// them. Without any it is that on which a peer has begun.
	Addresses []netip.Addr
	// Childless takes IKE_SAs without a Child SA from peers that begin (RFC 6023).
	Childless bool
	// Secret is what only this host knows, of 32 octets; the same for all engines, and after a restart. From it come the
	// keys of tickets (RFC 5723) and the tokens of crash detection; without it there is neither.
	Secret secret.Bytes
	// RedirectTo is where initiators that follow redirects are sent in IKE_SA_INIT (RFC 5685), unless it is the address that
	// they have come to; not valid for nowhere.
	RedirectTo netip.Addr
	// CrashDetection gives peers tokens by which they know a crash of this host, and believes theirs (RFC 6290).
	CrashDetection bool
	// PPK says that some peer has a PPK, so that one that has not said who it is may want it used.
	PPK    bool
	Timing Timing
	Limits Limits
	// FragmentSize is the length in octets of the longest IKE message, from its header on, that is sent as one datagram to
	// a peer that takes fragments (RFC 7383 section 2.5.1). Zero is DefaultFragmentSize; what is less than 128 is 128;
	// what is negative neither makes nor takes fragments.
	FragmentSize int
	// Rand is the source of nonces, SPIs and private keys. Jobs read it too, from whatever goroutine they run on.
	Rand io.Reader
	// Trace asks for a Traced effect for each message, in clear. It holds no keys.
	Trace bool
}

// Timing of retransmission and half-open IKE_SAs (RFC 7296 section 2.4 leaves it to the implementation). A zero field
// takes its value from DefaultTiming.
type Timing struct {
	// Retransmit is the wait before the first retransmission; it doubles with each.
	Retransmit time.Duration
	// Tries is how often a request is sent in all before the IKE_SA is given up.
	Tries int
	// HalfOpen is how long a responder waits for IKE_AUTH.
	HalfOpen time.Duration
}

// DefaultTiming gives a request up after 63 times Retransmit: about half a minute.
var DefaultTiming = Timing{Retransmit: 500 * time.Millisecond, Tries: 6, HalfOpen: 30 * time.Second}

// Limits bound what unauthenticated senders can make an engine hold. A zero field takes its value from DefaultLimits.
type Limits struct {
	// Cookies is the number of half-open IKE_SAs from which on a cookie is asked for (RFC 7296 section 2.6).
	Cookies int
	// HalfOpen is the number of half-open IKE_SAs at which further IKE_SA_INIT requests are dropped. Each holds about
	// 2 KB, and of one who has made a key exchange for it up to 16 KB of fragments, and what EAP has to keep.
	HalfOpen int
	// HalfOpenPerNetwork is the same for those from one IPv6 network of 64 bits, or one IPv4 address. It is the limit to
	// their rate, too: who has made a key exchange and then proves nothing is counted for ten seconds at least.
	HalfOpenPerNetwork int
}

// DefaultLimits allow about 20 MB of half-open IKE_SAs, fragments not counted.
var DefaultLimits = Limits{Cookies: 100, HalfOpen: 10000, HalfOpenPerNetwork: 64}

// Input is one thing that an Engine is told.
type Input interface{ input() }

// Datagram arrived, or is to be sent, between these two addresses; without Data it is to be sent as a keepalive for NATs.
// Data that was given to Step is the engine's: it is
// kept and not to be changed.
type Datagram struct {
	Local, Remote netip.AddrPort
	Data          []byte
}

// Command is a role's wish.
type Command struct{ spd.Command }

// JobDone brings the result of a Job.
type JobDone struct {
	ID    uint64
	Value any
	Err   error
}

// InstallFailed says that the kernel refused an Install.
type InstallFailed struct {
	Peer string
	ID   spd.SAID
	Err  error
}

// Tick says only that time has passed.
type Tick struct{}

// End asks that all that is established, with any peer, be ended here and there, and that nothing new begin, whoever wants
// it. The engine goes on until Status is empty, or Abandon says that no more answers are waited for.
type End struct{}

// Abandon asks that everything be forgotten at once and all SAs be removed, whatever the peers know of it.
type Abandon struct{}

func (Datagram) input()      {}
func (Command) input()       {}
func (JobDone) input()       {}
func (InstallFailed) input() {}
func (Tick) input()          {}
func (End) input()           {}
func (Abandon) input()       {}

// Effect is one thing that an Engine wants done. Effects are carried out in their order: an inbound SA is installed
// before the message that lets the peer use it leaves.
type Effect interface{ effect() }

// Send wants a datagram sent.
type Send struct{ Datagram }

// Install wants an SA for this peer in the kernel.
type Install struct {
	Peer string
	SA   spd.SA
}

// SetEncap wants an SA of this peer to have other ports in its UDP encapsulation. If the kernel cannot do that, the command
// spd.Expired is to follow, so that the pair be replaced.
type SetEncap struct {
	Peer  string
	ID    spd.SAID
	Encap spd.Encap
}

// Remove wants an SA out of the kernel.
type Remove struct{ ID spd.SAID }

// Verify asks whether an SA is in the kernel and has left the endpoints from which it was to move: if it has moved on, that is
// reported. If it is not, or has not, the command spd.Expired is to follow, so that the pair be replaced.
type Verify struct {
	Peer string
	ID   spd.SAID
	Left spd.Endpoints
}

// Holds reports whether an SA is the one that is looked for, and has left.
func (v Verify) Holds(sa spd.SA) bool {
	return sa.Proto == v.ID.Proto && sa.SPI == v.ID.SPI && sa.Endpoints != v.Left
}

// AllocSPI wants an inbound SPI from the kernel; the JobDone has a uint32.
type AllocSPI struct {
	ID    uint64
	Larva spd.LarvalSA
}

// Job wants Run called, on any goroutine; it takes long and shares no state with the engine.
type Job struct {
	ID  uint64
	Run func() (any, error)
}

// Notice is for the role.
type Notice struct{ spd.Notice }

// Dropped says that a datagram was not used, and why.
type Dropped struct {
	Remote netip.AddrPort
	Err    error
}

// Traced is a message in clear: an IKE header whose next payload is the first inner one, and the payloads.
type Traced struct {
	Local, Remote netip.AddrPort
	Outbound      bool
	Message       []byte
	Summary       string
}

func (Send) effect()     {}
func (Install) effect()  {}
func (SetEncap) effect() {}
func (Remove) effect()   {}
func (Verify) effect()   {}
func (AllocSPI) effect() {}
func (Job) effect()      {}
func (Notice) effect()   {}
func (Dropped) effect()  {}
func (Traced) effect()   {}

// Engine holds the IKE_SAs of one shard. It is not safe for concurrent use: one goroutine owns it.
type Engine struct {
	cfg     Config
	now     time.Time
	effects []Effect

	addresses []netip.Addr // of this host

	sas      map[uint64]*ikeSA  // by the SPI that is ours
	begun    map[initKey]*ikeSA // the peers' initiative
	halfOpen halfOpens          // of those, that wait for IKE_AUTH
	peers    map[string]*association
	removed  removedPairs
	timers   timerHeap
	cookies  cookieJar

	sessions    map[string]*session // that this side can resume, by peer
	usedTickets usedTickets

	crashAnswers budget
	followed     map[string][]time.Time // redirects, by peer

	ending bool // after End

	lastID   uint64 // of jobs and requests, and the order in which IKE_SAs come to stand
	jobs     map[uint64]func(JobDone)
	requests map[uint64]func(spd.Grant)
	wishes   map[uint64]func(spd.AddressGrant)
	assigned map[string][]netip.Prefix // the addresses that peers have last assigned to this host, by peer
}

// New makes an engine without any IKE_SA.
func New(cfg Config) *Engine {
	t, l := &cfg.Timing, &cfg.Limits
	orDefault(&t.Retransmit, DefaultTiming.Retransmit)
	orDefault(&t.Tries, DefaultTiming.Tries)
	orDefault(&t.HalfOpen, DefaultTiming.HalfOpen)
	orDefault(&l.Cookies, DefaultLimits.Cookies)
	orDefault(&l.HalfOpen, DefaultLimits.HalfOpen)
	orDefault(&l.HalfOpenPerNetwork, DefaultLimits.HalfOpenPerNetwork)
	orDefault(&cfg.FragmentSize, DefaultFragmentSize)
	if cfg.FragmentSize > 0 {
		cfg.FragmentSize = max(cfg.FragmentSize, minFragmentSize)
	}
	return &Engine{
		cfg: cfg, addresses: cfg.Addresses, sas: map[uint64]*ikeSA{}, begun: map[initKey]*ikeSA{}, peers: map[string]*association{},
		halfOpen: halfOpens{from: map[netip.Prefix]int{}},
		removed:  removedPairs{byPeer: map[string][]*childSA{}},
		sessions: map[string]*session{}, followed: map[string][]time.Time{},
		jobs: map[uint64]func(JobDone){}, requests: map[uint64]func(spd.Grant){},
		wishes: map[uint64]func(spd.AddressGrant){}, assigned: map[string][]netip.Prefix{},
		lastID: uint64(cfg.Shard) << 56, // a Grant finds its way back by it
	}
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Step handles one input and all timers that are due, and returns what is to be done, in order.
func (e *Engine) Step(now time.Time, in Input) []Effect {
	e.now = now
	switch in := in.(type) {
	case Datagram:
		e.receive(in)
	case Command:
		e.command(in.Command)
	case JobDone:
		if then, ok := e.jobs[in.ID]; ok {
			delete(e.jobs, in.ID)
			then(in)
		}
	case InstallFailed:
		e.installFailed(in)
	case End:
		e.ending = true
		e.terminateAll()
	case Abandon:
		e.abandonAll()
	case Tick:
	}
	e.runTimers()
	out := e.effects
	e.effects = nil
	return out
}

// SetTrace switches Traced effects on or off.
func (e *Engine) SetTrace(on bool) { e.cfg.Trace = on }

func (e *Engine) emit(f Effect)              { e.effects = append(e.effects, f) }
func (e *Engine) notify(n spd.Notice)        { e.emit(Notice{n}) }
func (e *Engine) drop(d Datagram, err error) { e.emit(Dropped{Remote: d.Remote, Err: err}) }

func (e *Engine) nextID() uint64 {
	e.lastID++
	return e.lastID
}

// compute runs work as a job and goes on with its result, unless the IKE_SA that it is for has gone meanwhile; nil goes
// on in any case.
func compute[T any](e *Engine, sa *ikeSA, work func() (T, error), then func(T, error)) {
	id := e.nextID()
	e.jobs[id] = func(done JobDone) {
		if sa == nil || sa.gone == nil {
			v, _ := done.Value.(T)
			then(v, done.Err)
		}
	}
	e.emit(Job{ID: id, Run: func() (any, error) { return work() }})
}

// allocSPI reserves an inbound SPI for a demand and goes on with the larval SA's name.
func (e *Engine) allocSPI(d spd.Demand, then func(larva spd.SAID, err error)) {
	id := e.nextID()
	e.jobs[id] = func(done JobDone) {
		spi, _ := done.Value.(uint32)
		then(espID(d.Local, spi), done.Err)
	}
	e.emit(AllocSPI{ID: id, Larva: spd.LarvalSA{
		Endpoints: spd.Endpoints{Src: d.Remote, Dst: d.Local}, Proto: spd.ESP, Mode: d.Mode,
	}})
}

func espID(dst netip.Addr, spi uint32) spd.SAID { return spd.SAID{Dst: dst, Proto: spd.ESP, SPI: spi} }

// random returns n octets.
func (e *Engine) random(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(e.cfg.Rand, b); err != nil {
		// The system's source does not fail; a nonce that is not random must never be sent.
		panic(fmt.Sprintf("ikev2: no randomness: %v", err))
	}
	return b
}

// newSPI makes an SPI of this shard that is not zero and not in use.
func (e *Engine) newSPI() uint64 {
	for {
		b := e.random(8)
		b[0] = e.cfg.Shard
		spi := binary.BigEndian.Uint64(b)
		if _, used := e.sas[spi]; !used && spi != 0 {
			return spi
		}
	}
}

// ShardOf tells which of n engines a datagram is for: the one that made our SPI in it, or for a new IKE_SA one chosen by
// the initiator's SPI, so that a retransmission finds the same one, or by the ticket that it is to be resumed with. Not ok
// means that the datagram is for none.
func ShardOf(data []byte, n int) (shard int, ok bool) {
	h, err := wire.ParseHeader(data)
	if err != nil {
		return 0, false
	}
	if h.Exchange == wire.ExchangeIKESAInit && h.Initiator {
		return int(h.SPIi % uint64(n)), true
	}
	if h.Exchange == wire.ExchangeSessionResume && h.Initiator && h.SPIr == 0 {
		shard, ok := issuerOf(data)
		return shard % n, ok
	}
	shard = int(ownSPI(h) >> 56)
	return shard, shard < n
}

// ownSPI is the one of the two SPIs that the receiver of a message made.
func ownSPI(h wire.Header) uint64 {
	if h.Initiator {
		return h.SPIr
	}
	return h.SPIi
}
