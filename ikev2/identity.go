package ikev2

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"mipsecd/ikev2/dn"
	"mipsecd/ikev2/wire"
)

// Identity is an ID payload's content (RFC 7296 section 3.5), comparable. Of two that are written in different ways, but
// mean the same, Folded is equal.
type Identity struct {
	Kind wire.IDType
	Data string // as on the wire
}

// IdentityForms says what ParseIdentity reads.
const IdentityForms = `an IP address, user@host, a host name, a distinguished name such as "C=CH, CN=mn1", or keyid:TEXT`

// ParseIdentity reads an identity as people write it: an IPv6 or IPv4 address, user@host, a host name, a distinguished name
// in the order of the certificate (see dn.Parse), keyid:TEXT, or keyid:0xHEX.
func ParseIdentity(s string) (Identity, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return AddrIdentity(a), nil
	}
	key, isKey := strings.CutPrefix(s, "keyid:")
	switch {
	case isKey && key != "":
		return parseKeyID(key)
	case strings.Contains(s, "="):
		der, err := dn.Parse(s)
		return Identity{Kind: wire.IDDERASN1DN, Data: string(der)}, err
	case s == "" || isKey || strings.ContainsAny(s, " \t\r\n:/"):
		return Identity{}, fmt.Errorf("identity %q: want %s", s, IdentityForms)
	case strings.Contains(s, "@"):
		return Identity{Kind: wire.IDRFC822Addr, Data: s}, nil
	}
	return Identity{Kind: wire.IDFQDN, Data: s}, nil
}

func parseKeyID(s string) (Identity, error) {
	if digits, isHex := strings.CutPrefix(s, "0x"); isHex {
		key, err := hex.DecodeString(digits)
		if err != nil || len(key) == 0 {
			return Identity{}, errors.New("keyid:0x wants whole octets in hex after it, at least one")
		}
		s = string(key)
	}
	return Identity{Kind: wire.IDKeyID, Data: s}, nil
}

// AddrIdentity is the identity of one who is known by an address.
func AddrIdentity(a netip.Addr) Identity {
	kind := wire.IDIPv6Addr
	if a.Is4() {
		kind = wire.IDIPv4Addr
	}
	return Identity{Kind: kind, Data: string(a.AsSlice())}
}

// String is the identity as ParseIdentity reads it. Of what a peer sends and is no identity, or none that is known here, it
// is only the type and the length.
func (id Identity) String() string {
	switch id.Kind {
	case wire.IDIPv4Addr, wire.IDIPv6Addr:
		if a, ok := netip.AddrFromSlice([]byte(id.Data)); ok {
			return a.String()
		}
	case wire.IDFQDN, wire.IDRFC822Addr:
		return printable(id.Data)
	case wire.IDDERASN1DN:
		if s, err := dn.Text([]byte(id.Data)); err == nil && s != "" {
			return s
		}
	case wire.IDKeyID:
		if printable(id.Data) != id.Data || strings.HasPrefix(id.Data, "0x") {
			return fmt.Sprintf("keyid:0x%x", id.Data)
		}
		return "keyid:" + id.Data
	}
	return fmt.Sprintf("%s of %d octets", id.Kind, len(id.Data))
}

// printable quotes what a peer sent us if it could confuse a terminal or a log.
func printable(s string) string {
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` {
		return q
	}
	return s
}

// Folded is the same for all ways to write the identity: host names and user@host in upper or lower case, distinguished
// names by RFC 5280 section 7.1. It is for comparisons only.
func (id Identity) Folded() Identity {
	switch id.Kind {
	case wire.IDFQDN, wire.IDRFC822Addr:
		id.Data = strings.ToLower(id.Data)
	case wire.IDDERASN1DN:
		if s, err := dn.Fold([]byte(id.Data)); err == nil {
			id.Data = s
		}
	}
	return id
}

func (id Identity) payload(initiator bool) *wire.ID {
	return &wire.ID{Initiator: initiator, Kind: id.Kind, Data: []byte(id.Data)}
}

func identityOf(p *wire.ID) Identity { return Identity{Kind: p.Kind, Data: string(p.Data)} }
