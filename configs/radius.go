package configs

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mipsecd/internal/radius"
	"mipsecd/internal/secret"
)

// RADIUS is which RADIUS servers are asked about which mobile nodes.
type RADIUS struct {
	radius.Options
	// Users are the mobile nodes' names in EAP, by the names of the peers.
	Users map[string]string
}

// maxUser is the longest User-Name in octets (RFC 2865 section 5.1).
const maxUser = 253

// radiusTable is the table radius.
type radiusTable struct {
	servers    []netip.AddrPort
	secretFile string
	timeout    time.Duration
	tries      int
}

var radiusServer = judged(`an IP address with or without a port, such as "[2001:db8::5]:1812"`, parseServer)

func parseServer(s string) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, radius.Port), true
	}
	a, err := netip.ParseAddrPort(s)
	return a, err == nil && a.Port() != 0
}

func (f *radiusTable) fields() []field {
	return []field{
		bind(&f.servers, oneOrMore(radiusServer), Key{Name: "servers", Required: true,
			Meaning: "are asked in this order until one answers"}),
		bind(&f.secretFile, path, Key{Name: "secret-file", Required: true,
			Meaning: "has the secret that this host shares with the servers; mode 600"}),
		bind(&f.timeout, duration("100ms", "20s"), Key{Name: "timeout", Default: `"2s"`,
			Meaning: "the wait for an answer before a request is sent again"}),
		bind(&f.tries, integer[int](1, 10), Key{Name: "tries", Default: "3",
			Meaning: "how often a request is sent to each server in all"}),
	}
}

// readRADIUS reads the table radius, if there is one.
func (r *reader) readRADIUS(d *document, t table) {
	if !r.top.has("radius") || r.role == MobileNode {
		return
	}
	var f radiusTable
	setDefaults(f.fields())
	r.fill(t, f.fields())
	d.RADIUS = &RADIUS{Users: map[string]string{}}
	d.RADIUS.Options = radius.Options{Servers: f.servers, Timeout: f.timeout, Tries: f.tries, Name: d.Identity.String()}
	if f.secretFile != "" {
		if secrets, ok := contents(r, t, "secret-file", []string{f.secretFile}, RADIUSSecret, parseRADIUSSecret); ok {
			d.RADIUS.Secret = secrets[0]
		}
	}
	if longest := time.Duration(len(f.servers)*f.tries) * f.timeout; longest >= d.Timing.HalfOpen {
		r.report(t.at.key("timeout"), t.key("timeout"), "%d servers, asked %d times each, may take %s; want less than the %s of "+
			"timing.half-open", len(f.servers), f.tries, longest, d.Timing.HalfOpen)
	}
}

// parseRADIUSSecret reads the secret of RADIUS servers. One newline at the end does not belong to it. It guards the keys of
// all mobile nodes: RFC 2865 section 3 wants one that is as long as a good password.
func parseRADIUSSecret(content []byte) (secret.Bytes, error) {
	key := bytes.TrimSuffix(content, []byte("\n"))
	switch {
	case len(key) == 0:
		return nil, errors.New("it is empty; want the secret of the RADIUS servers in it")
	case len(key) < minSecret:
		return nil, fmt.Errorf("a secret of %d octets only; want at least %d", len(key), minSecret)
	case len(key) > maxSecret:
		return nil, fmt.Errorf("more than %d octets; want nothing but the secret in it", maxSecret)
	}
	return key, nil
}

// leaveToRADIUS has the RADIUS servers say who a mobile node is.
func (r *reader) leaveToRADIUS(t table, peer, user string) {
	at := r.giver(t, eapKey)
	switch {
	case r.role == MobileNode:
		r.report(at.at.key(eapKey), at.key(eapKey), `"radius" is for a home agent; want "mschapv2" or "tls"`)
	case r.radius == nil:
		r.report(at.at.key(eapKey), at.key(eapKey), `"radius" needs a table [radius]; want one, or another method`)
	case len(user) > maxUser:
		r.report(t.at, t.key(eapIdentityKey), "%d octets; want at most %d", len(user), maxUser)
	default:
		r.radius.Users[peer] = user
	}
}
