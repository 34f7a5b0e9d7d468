package demo

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mipsecd/internal/vnet"
	"mipsecd/spd/memory"
)

// host is a node of the virtual network with a kernel in memory.
type host struct {
	name   string
	node   *vnet.Node
	kernel *memory.Kernel
	// receive gets the packets that are for this host.
	receive func(memory.Packet)
	// refused is told of the packets that the kernel does not let in.
	refused func(error)

	mu    sync.Mutex
	local []netip.Addr // addresses that this host answers to, wherever it is attached
}

func newHost(network *vnet.Network, name string, seed uint64) *host {
	h := &host{name: name, node: network.AddNode(name), receive: func(memory.Packet) {}, refused: func(error) {}}
	h.kernel = memory.New(memory.Options{Clock: time.Now, Seed: seed, Local: h.isLocal})
	h.node.Handle(h.input)
	return h
}

func (h *host) setLocal(addrs ...netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.local = addrs
}

func (h *host) isLocal(a netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.local, a)
}

// send sends a packet of this host, or one that it forwards, as its policies want.
func (h *host) send(p memory.Packet) error {
	wire, err := h.kernel.Output(p)
	if err != nil {
		return err
	}
	return h.node.Send(vnet.Packet(wire))
}

// input takes a packet off the network: for this host, or to be forwarded.
func (h *host) input(wire vnet.Packet) {
	p, err := h.kernel.Input(memory.Packet(wire))
	switch {
	case err != nil:
		h.refused(err)
	case h.isLocal(p.Dst):
		h.receive(p)
	default:
		if err := h.send(p); err != nil {
			h.refused(err)
		}
	}
}

// tick lets the kernel's lifetimes pass until ctx ends.
func (h *host) tick(ctx context.Context) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.kernel.Tick()
		case <-ctx.Done():
			return
		}
	}
}
