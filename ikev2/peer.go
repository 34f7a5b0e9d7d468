package ikev2

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/suite"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// Identity is an ID payload's content (RFC 7296 section 3.5), comparable.
type Identity struct {
	Kind wire.IDType
	Data string // as on the wire
}

// ParseIdentity reads an identity as people write it: an IPv6 or IPv4 address, user@host, a host name, or keyid:TEXT.
func ParseIdentity(s string) (Identity, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return AddrIdentity(a), nil
	}
	key, isKey := strings.CutPrefix(s, "keyid:")
	switch {
	case isKey && key != "":
		return Identity{Kind: wire.IDKeyID, Data: key}, nil
	case s == "" || isKey || strings.ContainsAny(s, " \t\r\n:/"):
		return Identity{}, fmt.Errorf("identity %q: want an IP address, user@host, a host name or keyid:TEXT", s)
	case strings.Contains(s, "@"):
		return Identity{Kind: wire.IDRFC822Addr, Data: s}, nil
	}
	return Identity{Kind: wire.IDFQDN, Data: s}, nil
}

// AddrIdentity is the identity of one who is known by an address.
func AddrIdentity(a netip.Addr) Identity {
	kind := wire.IDIPv6Addr
	if a.Is4() {
		kind = wire.IDIPv4Addr
	}
	return Identity{Kind: kind, Data: string(a.AsSlice())}
}

func (id Identity) String() string {
	switch id.Kind {
	case wire.IDIPv4Addr, wire.IDIPv6Addr:
		if a, ok := netip.AddrFromSlice([]byte(id.Data)); ok {
			return a.String()
		}
	case wire.IDFQDN, wire.IDRFC822Addr:
		return printable(id.Data)
	case wire.IDKeyID:
		return "keyid:" + printable(id.Data)
	}
	return fmt.Sprintf("%s %x", id.Kind, id.Data)
}

// printable quotes what a peer sent us if it could confuse a terminal or a log.
func printable(s string) string {
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` {
		return q
	}
	return s
}

func (id Identity) payload(initiator bool) *wire.ID {
	return &wire.ID{Initiator: initiator, Kind: id.Kind, Data: []byte(id.Data)}
}

func identityOf(p *wire.ID) Identity { return Identity{Kind: p.Kind, Data: string(p.Data)} }

// Peer is what this host knows of one peer. It is not changed once an Engine has it.
type Peer struct {
	Name              string
	LocalID, RemoteID Identity
	// Either PSK, or both Credential and Trust, are what the two prove with that they are LocalID and RemoteID.
	PSK        secret.Bytes
	Credential *auth.Credential
	Trust      *auth.Trust
	IKE, ESP   []suite.Proposal
	// IKELifetime is when an IKE_SA is rekeyed, ChildLifetime when a Child SA ends; zero is never. The rekeying comes up
	// to a fifth earlier, so that not all come at once.
	IKELifetime, ChildLifetime time.Duration
	// Liveness is how long the peer may be silent before it is asked whether it is alive (RFC 7296 section 2.4); zero
	// never asks.
	Liveness time.Duration
}

// Peers finds peers. Its answers do not change while an Engine uses it; it may be asked by several engines at once.
type Peers interface {
	// ByName is nil if there is none.
	ByName(name string) *Peer
	// ByIdentity finds the peer with this RemoteID, or nil.
	ByIdentity(Identity) *Peer
}

// PeerList is a set of peers.
type PeerList struct {
	names map[string]*Peer
	ids   map[Identity]*Peer
}

// NewPeerList refuses two peers with one name or one identity, and a peer that cannot be authenticated.
func NewPeerList(peers ...*Peer) (*PeerList, error) {
	l := &PeerList{names: make(map[string]*Peer, len(peers)), ids: make(map[Identity]*Peer, len(peers))}
	for _, p := range peers {
		if (p.Credential == nil) != (p.Trust == nil) || p.Trust == nil && len(p.PSK) == 0 {
			return nil, fmt.Errorf("peer %q has neither a pre-shared key nor both a certificate and authorities", p.Name)
		}
		if other := l.names[p.Name]; other != nil {
			return nil, fmt.Errorf("two peers are called %q", p.Name)
		}
		if other := l.ids[p.RemoteID]; other != nil {
			return nil, fmt.Errorf("peers %q and %q have one identity, %s", other.Name, p.Name, p.RemoteID)
		}
		l.names[p.Name], l.ids[p.RemoteID] = p, p
	}
	return l, nil
}

// ByName implements Peers.
func (l *PeerList) ByName(name string) *Peer { return l.names[name] }

// ByIdentity implements Peers.
func (l *PeerList) ByIdentity(id Identity) *Peer { return l.ids[id] }
