//go:build linux

package xfrm

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"mipsecd/spd"
)

// Backend is the IPsec of one network namespace of this machine.
type Backend struct {
	requests *client
	news     *socket
	careOf   bool // report nothing else
	events   chan spd.Event
	closing  chan struct{}
	close    func() error

	mu       sync.Mutex
	reserved map[spd.SAID]bool // larval SAs that AllocSPI has made
}

var _ spd.Backend = (*Backend)(nil)

// Option changes how a Backend is opened.
type Option func(*Backend)

// CareOfOnly makes a Backend that reports CareOfState, Flushed and EventsLost only, and that the kernel does not count as one
// that answers ACQUIREs. It goes beside a PF_KEY backend, which cannot see these states; CareOfStates tells what was
// there before.
func CareOfOnly() Option { return func(b *Backend) { b.careOf = true } }

const (
	// eventQueue is how many events wait for the reader of Events before they wait in the kernel instead.
	eventQueue = 256
	// newsBuffer is how many octets of notifications wait in the kernel; one of an SA is about a KiB there.
	newsBuffer = 8 << 20
)

// Open opens the IPsec of the network namespace that the calling thread is in. It needs CAP_NET_ADMIN.
func Open(opts ...Option) (*Backend, error) {
	b := &Backend{
		events:   make(chan spd.Event, eventQueue),
		closing:  make(chan struct{}),
		reserved: make(map[spd.SAID]bool),
	}
	for _, opt := range opts {
		opt(b)
	}
	groups := groupAcquire | groupExpire | groupSA | groupPolicy | groupMigrate | groupMapping
	if b.careOf {
		groups = groupSA
	}
	var err error
	if b.requests, err = openClient(); err != nil {
		return nil, fmt.Errorf("xfrm: %w", err)
	}
	if b.news, err = openSocket(groups); err != nil {
		return nil, errors.Join(fmt.Errorf("xfrm: %w", err), b.requests.sock.close())
	}
	if err := b.news.enlarge(newsBuffer); err != nil {
		return nil, errors.Join(fmt.Errorf("xfrm: receive buffer: %w", err), b.requests.sock.close(), b.news.close())
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		b.watch()
	}()
	b.close = sync.OnceValue(func() error {
		close(b.closing)
		err := errors.Join(b.requests.sock.close(), b.news.close())
		<-watched
		return err
	})
	return b, nil
}

// Close ends what is under way and closes Events. Requests fail with os.ErrClosed then. SAs and policies stay.
func (b *Backend) Close() error { return b.close() }

// Events delivers what the kernel reports. It is closed by Close, and if the socket should fail.
func (b *Backend) Events() <-chan spd.Event { return b.events }

// AllocSPI reserves an SPI for an inbound SA.
func (b *Backend) AllocSPI(l spd.LarvalSA) (uint32, error) {
	body, err := encodeAllocSPI(l)
	if err != nil {
		return 0, fmt.Errorf("xfrm: reserving an SPI: %w", err)
	}
	var larval state
	err = b.requests.ask(msgAllocSPI, body, func(m message) (err error) {
		larval, err = decodeState(m)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("xfrm: reserving an SPI for %s %s: %w", spd.IPsecName(l.Proto), l.Endpoints, err)
	}
	b.reserve(larval.sa.ID())
	return larval.sa.SPI, nil
}

// Install adds the SA, or completes the larval SA that AllocSPI made for it.
func (b *Backend) Install(sa spd.SA) error {
	body, err := encodeSA(sa)
	if err != nil {
		return fmt.Errorf("xfrm: installing %s: %w", sa, err)
	}
	defer clear(body) // keys
	if err := b.install(sa.ID(), body); err != nil {
		return fmt.Errorf("xfrm: installing %s: %w", sa, err)
	}
	return nil
}

func (b *Backend) install(id spd.SAID, body []byte) error {
	if !b.isReserved(id) {
		return b.requests.do(msgNewSA, body)
	}
	err := b.requests.do(msgUpdSA, body)
	switch {
	case err == nil:
		b.unreserve(id)
	case errors.Is(err, unix.ESRCH): // the larval SA is gone; until its end is reported, its name stays reserved for that
		return b.requests.do(msgNewSA, body)
	}
	return err
}

func (b *Backend) reserve(id spd.SAID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved[id] = true
}

func (b *Backend) isReserved(id spd.SAID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reserved[id]
}

// unreserve forgets a larval SA, and tells whether there was one to forget.
func (b *Backend) unreserve(id spd.SAID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.reserved[id]
	delete(b.reserved, id)
	return was
}

// unreserveAll forgets all larval SAs.
func (b *Backend) unreserveAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.reserved)
}

// SetEncap changes the ports of an SA by setting it as it is, but for them: of an SA that is in use Linux takes over the
// lifetime and the encapsulation only.
func (b *Backend) SetEncap(id spd.SAID, encap spd.Encap) error {
	body, err := encodeSAID(id)
	if err == nil {
		var sa message
		if err = b.requests.ask(msgGetSA, body, func(m message) (err error) {
			sa, err = withEncap(m, encap)
			return err
		}); err == nil {
			defer clear(sa.body) // keys
			err = b.requests.do(msgUpdSA, sa.body)
		}
	}
	if err != nil {
		return fmt.Errorf("xfrm: encapsulating %s, %s: %w", id, encap, err)
	}
	return nil
}

// Remove deletes an SA, larval or not.
func (b *Backend) Remove(id spd.SAID) error {
	b.unreserve(id)
	return change(b, "removing", id, msgDelSA, encodeSAID)
}

// SAs lists the ESP and AH SAs. Their Dir is zero, for XFRM does not know it.
func (b *Backend) SAs() ([]spd.SA, error) {
	states, err := dump(b.requests, msgGetSA, decodeState)
	if err != nil {
		return nil, fmt.Errorf("xfrm: listing SAs: %w", err)
	}
	var all []spd.SA
	for _, s := range states {
		if isSA(s.sa.Proto) && !s.larval {
			all = append(all, s.sa)
		}
	}
	return all, nil
}

// CareOfStates lists the Mobile IPv6 states that bind a home address to a care-of address.
func (b *Backend) CareOfStates() ([]spd.CareOfState, error) {
	states, err := dump(b.requests, msgGetSA, decodeState)
	if err != nil {
		return nil, fmt.Errorf("xfrm: listing care-of addresses: %w", err)
	}
	var all []spd.CareOfState
	for _, s := range states {
		if c, ok := s.careOfState(); ok {
			all = append(all, c)
		}
	}
	return all, nil
}

// AddPolicy adds a policy.
func (b *Backend) AddPolicy(p spd.Policy) error {
	return change(b, "adding policy", p, msgNewPolicy, encodePolicy)
}

// UpdatePolicy adds the policy, or replaces the one with its PolicyKey.
func (b *Backend) UpdatePolicy(p spd.Policy) error {
	return change(b, "setting policy", p, msgUpdPolicy, encodePolicy)
}

// RemovePolicy deletes a policy.
func (b *Backend) RemovePolicy(k spd.PolicyKey) error {
	return change(b, "removing policy", k, msgDelPolicy, encodePolicyKey)
}

// Policies lists the policies that apply to any socket, sub policies among them. Add and Update leave the Index to the
// kernel.
func (b *Backend) Policies() ([]spd.Policy, error) {
	all, err := dump(b.requests, msgGetPolicy, decodePolicy)
	if err != nil {
		return nil, fmt.Errorf("xfrm: listing policies: %w", err)
	}
	return all, nil
}

// Migrate moves the templates of a policy and the SAs under them. Of several SAs with the same addresses, protocol,
// mode and reqid, as there are during a rekeying, Linux moves one only.
func (b *Backend) Migrate(m spd.Migrate) error {
	return change(b, "migrating policy", m, msgMigrate, encodeMigrate)
}

// change makes a request about a subject.
func change[T fmt.Stringer](b *Backend, what string, subject T, kind uint16, encode func(T) ([]byte, error)) error {
	body, err := encode(subject)
	if err == nil {
		err = b.requests.do(kind, body)
	}
	if err != nil {
		return fmt.Errorf("xfrm: %s %s: %w", what, subject, err)
	}
	return nil
}
