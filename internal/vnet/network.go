// Package vnet is an IP network in memory: links, nodes that attach to them, move and listen, and between them what
// networks do to packets. It runs in real time and in the bubble of testing/synctest. What it does to a packet follows
// from the seed and from the packet's place among those of the same flow, not from how goroutines take turns.
package vnet

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// ErrAddressInUse: another node has the address, or this one on another link.
var ErrAddressInUse = errors.New("address in use")

// Network is links and nodes. Routers between the links are implied: each address can be reached from all links.
type Network struct {
	seed   uint64
	closed chan struct{}
	close  sync.Once
	done   chan struct{}
	wake   chan struct{} // holds a token when the queue has a new head

	mu      sync.Mutex
	owners  map[netip.Addr]*Node
	nats    map[netip.Addr]*Link // by the outside address: the link inside
	flows   map[flow]*fate
	sockets map[*socket]struct{}
	queue   queue
}

// New makes an empty network, and starts the goroutine that carries packets until Close.
func New(seed uint64) *Network {
	n := &Network{
		seed:   seed,
		closed: make(chan struct{}),
		done:   make(chan struct{}),
		wake:   make(chan struct{}, 1),
		owners: map[netip.Addr]*Node{}, nats: map[netip.Addr]*Link{}, flows: map[flow]*fate{}, sockets: map[*socket]struct{}{},
	}
	go n.run()
	return n
}

// Close ends the network and all sockets on it. Packets on their way are lost. A node's handler must not call it.
func (n *Network) Close() {
	n.close.Do(func() { close(n.closed) })
	<-n.done
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.sockets {
		s.shut()
	}
}

// Link is a network segment. Its quality is that of the way between it and the middle of the network: a packet from one
// link to another meets that of both, a packet within a link meets it once.
type Link struct {
	network  *Network
	name     string
	prefixes []netip.Prefix
	quality  Quality
	cut      bool
	nat      *NAT  // between it and all other links; nil if there is none
	outside  *Link // where that has its address
}

// Quality is what a link does to packets. The zero Quality delivers each at once, in order.
type Quality struct {
	// Delay of every packet, and Jitter on top of it at most. Jitter changes the order of packets.
	Delay, Jitter time.Duration
	// Loss, Duplicate and Reorder are probabilities from 0 to 1. A reordered packet is held until those after it have
	// had time to pass: for twice the delay and jitter, or 10 ms if that is more.
	Loss, Duplicate, Reorder float64
}

// AddLink adds a link for addresses with these prefixes.
func (n *Network) AddLink(name string, prefixes ...netip.Prefix) *Link {
	return &Link{network: n, name: name, prefixes: prefixes}
}

func (l *Link) String() string { return l.name }

// SetQuality changes what the link does to packets from now on.
func (l *Link) SetQuality(q Quality) {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	l.quality = q
}

// SetCut cuts the link off from all others, or joins it to them again. Its own nodes still reach each other.
func (l *Link) SetCut(cut bool) {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	l.cut = cut
}

func (l *Link) holds(a netip.Addr) bool {
	for _, p := range l.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Node is a host on the network.
type Node struct {
	network *Network
	name    string
	links   map[netip.Addr]*Link // where each of its addresses is
	ports   map[uint16]*socket
	handler func(Packet)
}

// AddNode adds a node, attached to nothing.
func (n *Network) AddNode(name string) *Node {
	return &Node{network: n, name: name, links: map[netip.Addr]*Link{}, ports: map[uint16]*socket{}}
}

func (nd *Node) String() string { return nd.name }

// Attach gives the node addresses on a link, beside those that it has. They must be within the link's prefixes and
// nobody's yet, else the node gets none and the error says why; it wraps ErrAddressInUse if another has one.
func (nd *Node) Attach(l *Link, addrs ...netip.Addr) error {
	nd.network.mu.Lock()
	defer nd.network.mu.Unlock()
	for _, a := range addrs {
		if !l.holds(a) {
			return fmt.Errorf("%s at link %s: %s is not within %s", nd, l, a, l.prefixes)
		}
		if owner := nd.network.owners[a]; owner != nil && (owner != nd || nd.links[a] != l) {
			return fmt.Errorf("%s at link %s: %s is %s's: %w", nd, l, a, owner, ErrAddressInUse)
		}
	}
	for _, a := range addrs {
		nd.network.owners[a], nd.links[a] = nd, l
	}
	return nil
}

// Detach takes the node off a link, with its addresses there. Packets on their way to them vanish.
func (nd *Node) Detach(l *Link) {
	nd.network.mu.Lock()
	defer nd.network.mu.Unlock()
	for a, at := range nd.links {
		if at == l {
			nd.drop(a)
		}
	}
}

// Release takes single addresses from the node. Others' are left alone.
func (nd *Node) Release(addrs ...netip.Addr) {
	nd.network.mu.Lock()
	defer nd.network.mu.Unlock()
	for _, a := range addrs {
		if nd.links[a] != nil {
			nd.drop(a)
		}
	}
}

func (nd *Node) drop(a netip.Addr) {
	delete(nd.links, a)
	delete(nd.network.owners, a)
}

// Owns reports whether the address is the node's.
func (nd *Node) Owns(a netip.Addr) bool {
	nd.network.mu.Lock()
	defer nd.network.mu.Unlock()
	return nd.links[a] != nil
}
