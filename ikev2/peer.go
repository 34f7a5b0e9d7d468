package ikev2

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/suite"
	"mipsecd/internal/secret"
	"mipsecd/spd"
)

// Peer is what this host knows of one peer. It is not changed once an Engine has it.
type Peer struct {
	Name              string
	LocalID, RemoteID Identity
	// Either PSK, or both Credential and Trust, are what the two prove with that they are LocalID and RemoteID. With EAP it
	// is that, Credential on the host to which the other proves itself, and Trust on the other.
	EAP        *EAP
	PSK        secret.Bytes
	Credential *auth.Credential
	Trust      *auth.Trust
	PPK        *PPK // nil uses none
	SHA1       bool // in RSA signatures with one who does not speak RFC 7427
	IKE, ESP   []suite.Proposal
	// MOBIKE: the IKE_SA moves with the peer's addresses, or ours, where both take part (RFC 4555).
	MOBIKE bool
	// BelieveAddresses takes the peer's word for where it is, without looking whether it is there (RFC 4555 section 3.7).
	BelieveAddresses bool
	// IKELifetime is when an IKE_SA is rekeyed, ChildLifetime when a Child SA ends; zero is never. The rekeying comes up
	// to a fifth earlier, so that not all come at once.
	IKELifetime, ChildLifetime time.Duration
	// Liveness is how long the peer may be silent before it is asked whether it is alive (RFC 7296 section 2.4); zero
	// never asks.
	Liveness time.Duration
	// Wish is what this host asks to be assigned when it begins an IKE_SA with the peer; nil asks for nothing.
	Wish *spd.Wish
	// Resumption lets an IKE_SA that was lost be resumed without a key exchange and a proof of who the peers are (RFC 5723).
	// It forgoes that the keys of the new one be beyond the reach of who learns those of the old one.
	Resumption bool
	// AcceptRedirects follows the peer to another address at which it, or another one with the same identity, is (RFC 5685).
	AcceptRedirects bool
	// RedirectTo is where the peer is sent once it has proven who it is, if it begins and follows redirects; not valid for
	// nowhere.
	RedirectTo netip.Addr
	// AuthLifetime is how long an authentication is good for, in whole seconds: the one that began the IKE_SA authenticates
	// anew before, and a responder deletes it by then (RFC 4478); zero is for ever.
	AuthLifetime time.Duration
}

// Peers finds peers. Its answers do not change while an Engine uses it; it may be asked by several engines at once.
type Peers interface {
	// ByName is nil if there is none.
	ByName(name string) *Peer
	// ByIdentity finds the peer with this RemoteID, however it is written, or nil.
	ByIdentity(Identity) *Peer
}

// PeerList is a set of peers.
type PeerList struct {
	names map[string]*Peer
	ids   map[Identity]*Peer // by the folded identity
}

// NewPeerList refuses two peers with one name or one identity, and a peer that cannot be authenticated.
func NewPeerList(peers ...*Peer) (*PeerList, error) {
	l := &PeerList{names: make(map[string]*Peer, len(peers)), ids: make(map[Identity]*Peer, len(peers))}
	for _, p := range peers {
		if err := p.checkProofs(); err != nil {
			return nil, fmt.Errorf("peer %q: %w", p.Name, err)
		}
		if other := l.names[p.Name]; other != nil {
			return nil, fmt.Errorf("two peers are called %q", p.Name)
		}
		id := p.RemoteID.Folded()
		if other := l.ids[id]; other != nil {
			return nil, fmt.Errorf("peers %q and %q have one identity, %s", other.Name, p.Name, p.RemoteID)
		}
		l.names[p.Name], l.ids[id] = p, p
	}
	return l, nil
}

// checkProofs holds that both can prove who they are.
func (p *Peer) checkProofs() error {
	own, others := p.Credential != nil, p.Trust != nil
	switch {
	case p.EAP == nil && own == others && (own || len(p.PSK) > 0):
	case p.EAP == nil:
		return errors.New("neither a pre-shared key nor both a certificate and authorities")
	case p.EAP.Begin == nil:
		return errors.New("nobody is there to speak EAP")
	case p.EAP.Proves != others || p.EAP.Proves == own:
		return errors.New("with EAP one side has a certificate, and only the other has authorities for it")
	}
	return nil
}

// ByName implements Peers.
func (l *PeerList) ByName(name string) *Peer { return l.names[name] }

// ByIdentity implements Peers.
func (l *PeerList) ByIdentity(id Identity) *Peer { return l.ids[id.Folded()] }
