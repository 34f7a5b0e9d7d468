// Package sim has the hosts of a simulated Mobile IPv6 network: nodes of the virtual network with kernels in memory, and
// the mobility daemons of a mobile node and of a home agent. Agents run on them as on real ones.
package sim

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mipsecd/internal/vnet"
	"mipsecd/spd/memory"
)

// Host is a node of the virtual network with a kernel in memory.
type Host struct {
	Name   string
	Node   *vnet.Node
	Kernel *memory.Kernel
	// Receive gets the packets that are for this host.
	Receive func(memory.Packet)
	// Say is told, for people, what happens on the host.
	Say func(format string, args ...any)

	mu    sync.Mutex
	local []netip.Addr // addresses that this host answers to, wherever it is attached
}

// NewHost adds a host to a network. The seed decides its SPIs; hosts want different ones.
func NewHost(network *vnet.Network, name string, seed uint64) *Host {
	h := &Host{
		Name: name, Node: network.AddNode(name), Receive: func(memory.Packet) {}, Say: func(string, ...any) {},
	}
	h.Kernel = memory.New(memory.Options{Clock: time.Now, Seed: seed, Local: h.IsLocal, MigrateOne: true})
	h.Node.Handle(h.input)
	return h
}

// SetLocal sets the addresses that the host answers to; packets for others it forwards.
func (h *Host) SetLocal(addrs ...netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.local = addrs
}

// Add makes the host answer to one more address: a home address that is assigned.
func (h *Host) Add(a netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.local = append(slices.Clone(h.local), a)
	return nil
}

// Remove makes the host answer to an address no longer.
func (h *Host) Remove(a netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.local = slices.DeleteFunc(slices.Clone(h.local), func(other netip.Addr) bool { return other == a })
	return nil
}

// IsLocal reports whether the host answers to an address.
func (h *Host) IsLocal(a netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.local, a)
}

// Send sends a packet of this host, or one that it forwards, as its policies want.
func (h *Host) Send(p memory.Packet) error {
	wire, err := h.Kernel.Output(p)
	if err != nil {
		return err
	}
	return h.Node.Send(vnet.Packet(wire))
}

// input takes a packet off the network: for this host, or to be forwarded.
func (h *Host) input(wire vnet.Packet) {
	p, err := h.Kernel.Input(memory.Packet(wire))
	switch {
	case err != nil:
		h.Say("refused: %v", err)
	case h.IsLocal(p.Dst):
		h.Receive(p)
	default:
		if err := h.Send(p); err != nil {
			h.Say("refused: %v", err)
		}
	}
}

// Tick lets the kernel's lifetimes pass until ctx ends.
func (h *Host) Tick(ctx context.Context) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.Kernel.Tick()
		case <-ctx.Done():
			return
		}
	}
}
