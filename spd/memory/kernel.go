// Package memory is a kernel's IPsec in memory. It is the executable specification of spd.Backend, and as a data plane
// it is what simulations and demonstrations run on: packets meet policies, SAs protect them, and only two sides whose
// keys agree understand each other. Nothing is encrypted, so it is no way to protect anything.
//
// It starts no goroutine and reads no clock of its own: Options.Clock tells the time, Tick lets it pass.
package memory

import (
	"cmp"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"mipsecd/spd"
)

// How long a larval SA stands and packets wait for an ACQUIRE to be answered: Linux's net.core.xfrm_acq_expires.
const larvalLifetime = 30 * time.Second

// Options shape a Kernel. The zero Options are good for a test of one host.
type Options struct {
	// Clock tells the time. Without one, time stands still and nothing expires.
	Clock func() time.Time
	// Seed decides the SPIs. Hosts that talk to each other want different ones.
	Seed uint64
	// EventQueue is how many events one Backend holds for its reader before it loses some, at least 2; zero means 4096.
	EventQueue int
	// Local reports whether an address is this host's own: packets to others are forwarded (spd.Fwd). Without it all
	// addresses are local.
	Local func(netip.Addr) bool
	// PacketInAcquire hands the packet over with its ACQUIRE, as KAME does and Linux does not.
	PacketInAcquire bool
	// MigrateOne moves one SA for each change of a Migrate, as Linux does: during a rekeying the other stays behind.
	MigrateOne bool
}

// Kernel is one host's IPsec. Its methods may be called from several goroutines.
type Kernel struct {
	options Options

	mu       sync.Mutex
	random   *rand.Rand
	handles  map[*Backend]struct{}
	policies policyTable
	sas      saTable
	holds    map[spd.Template]hold
	careOf   map[careOfKey]netip.Addr
	acquires uint32 // sequence number of the last one
}

// New makes an empty kernel.
func New(options Options) *Kernel {
	options.EventQueue = max(2, cmp.Or(options.EventQueue, 4096))
	if options.Clock == nil {
		options.Clock = func() time.Time { return time.Time{} }
	}
	if options.Local == nil {
		options.Local = func(netip.Addr) bool { return true }
	}
	return &Kernel{
		options:  options,
		random:   rand.New(rand.NewPCG(options.Seed, 0)),
		handles:  map[*Backend]struct{}{},
		policies: newPolicyTable(),
		sas:      newSATable(),
		holds:    map[spd.Template]hold{},
		careOf:   map[careOfKey]netip.Addr{},
	}
}

// Open gives a handle on the kernel, like a socket: all handles see one SPD and SAD, each has its own events.
func (k *Kernel) Open() *Backend {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := &Backend{kernel: k, events: make(chan spd.Event, k.options.EventQueue)}
	k.handles[b] = struct{}{}
	return b
}

// Backend is a handle on a Kernel. After Close its methods return net.ErrClosed.
type Backend struct {
	kernel *Kernel
	events chan spd.Event
	lost   bool // the last event queued is an EventsLost
	closed bool
}

var _ spd.Backend = (*Backend)(nil)

// Close ends the handle and closes its Events. A second Close does nothing.
func (b *Backend) Close() error {
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	if !b.closed {
		b.closed = true
		delete(b.kernel.handles, b)
		close(b.events)
	}
	return nil
}

// transact runs one transaction on the kernel.
func (b *Backend) transact(f func(*Kernel) error) error {
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	if b.closed {
		return net.ErrClosed
	}
	return f(b.kernel)
}
