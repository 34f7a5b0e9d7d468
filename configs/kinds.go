package configs

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"mipsecd/ikev2"
	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/suite"
	"mipsecd/migrate"
	"mipsecd/spd"
)

// The kinds of values that keys take.
var (
	roles    = oneOf([]word[Role]{{"mobile-node", MobileNode}, {"home-agent", HomeAgent}})
	kernels  = oneOf([]word[Kernel]{{"auto", Auto}, {"xfrm", XFRM}, {"pfkey", PFKey}})
	policies = oneOf([]word[bool]{{"external", false}, {"mipsecd", true}})
	levels   = oneOf([]word[spd.Level]{{"unique", spd.Unique}, {"require", spd.Require}, {"use", spd.Use}})
	nats     = oneOf([]word[ikev2.NATTraversal]{
		{"auto", ikev2.NATAuto}, {"always", ikev2.NATAlways}, {"never", ikev2.NATNever},
	})
	logLevels = oneOf([]word[slog.Level]{
		{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError},
	})
	ocspModes = oneOf([]word[auth.OCSP]{{"off", auth.OCSPOff}, {"soft", auth.OCSPSoft}, {"hard", auth.OCSPHard}})
	httpURL   = parsed(`an http URL such as "http://certs.example.org/cert.der"`, parseURL)
	server    = parsed(`a server such as "certs.example.org"`, auth.ParseServer)
	keying    = parsed(`"ikev2" or "manual"`, parseKeying)

	boolean       = judged("true or false", func(v bool) (bool, bool) { return v, true })
	fragmentSizes = judged("0, or an integer from 128 to 65000", func(v int64) (int, bool) {
		if v == 0 {
			return -1, true // ikev2.Config.FragmentSize
		}
		return int(v), 128 <= v && v <= 65000
	})
	lifetime = orNever(duration("10s", "720h"))
	reqid    = integer[uint32](1, 1<<32-1)

	label      = judged("a text in one line", printable)
	path       = judged("the path of a file", printable)
	interfaces = listOf(`a list of interface names such as ["eth0"]`, label)

	identity = parsed(ikev2.IdentityForms, ikev2.ParseIdentity)
	address  = judged(`a global unicast IPv6 address such as "2001:db8::1"`, parseAddress)
	ike      = listOf(`a list of proposals such as ["aes128gcm16-prfsha256-x25519"]`, parsed("a proposal", suite.ParseIKE))
	esp      = listOf(`a list of proposals such as ["aes128gcm16"]`, parsed("a proposal", suite.ParseESP))

	protection = parsed(`a kind of traffic such as "binding"`, migrate.ParseProtection)
	protect    = withBinding(listOf(`a list such as ["binding", "home-test"]`, protection))

	mobilities = oneOf([]word[migrate.Mobility]{{"mobile-ipv6", migrate.MobileIPv6}, {"mobike", migrate.MOBIKE}, {"none", migrate.NewIKE}})
	anyAddress = judged(`a global unicast address such as "2001:db8::1"`, parseAnyAddress)
	network    = judged(`an IPv6 prefix such as "2001:db8::/32"`, parseNetwork)

	subtable = judged("a table", func(v map[string]any) (map[string]any, bool) { return v, true })
	tables   = kind[[]map[string]any]{someTables, parseTables}
)

const someTables = "a table in [ ], or several in [[ ]]"

// The values of keying.
const (
	byIKE  = "ikev2"
	byHand = "manual"
)

func parseKeying(s string) (string, error) {
	switch s {
	case byIKE, byHand:
		return s, nil
	case "kink":
		return "", errors.New(`KINK is not supported yet; want "ikev2" or "manual"`)
	}
	return "", fault(s, `"ikev2" or "manual"`)
}

func parseURL(s string) (string, error) {
	_, err := auth.ServerOf(s)
	return s, err
}

func printable(s string) (string, bool) {
	return s, s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// parseAddress takes what a home link can have: "global unicast" leaves out loopback, link-local and multicast, but not
// unique local addresses.
func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Is6() && !a.Is4In6() && a.Zone() == "" && a.IsGlobalUnicast()
}

// parseAnyAddress takes an address of the network outside, which may be IPv4.
func parseAnyAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err == nil && a.Is4() {
		return a, a.IsGlobalUnicast()
	}
	return parseAddress(s)
}

func parseNetwork(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	return p, err == nil && p.Addr().Is6() && !p.Addr().Is4In6() && p == p.Masked()
}

// withBinding holds that the binding is protected whatever else is (RFC 4877 section 4.1).
func withBinding(list kind[[]migrate.Protection]) kind[[]migrate.Protection] {
	return kind[[]migrate.Protection]{list.want, func(v any) ([]migrate.Protection, error) {
		protections, err := list.read(v)
		if err == nil && !slices.Contains(protections, migrate.ProtectBinding) {
			err = fmt.Errorf("got a list without %q; want it added, as the binding is always protected", migrate.ProtectBinding)
		}
		return protections, err
	}}
}

// parseTables takes one table, or an array of tables in either notation.
func parseTables(v any) ([]map[string]any, error) {
	switch v := v.(type) {
	case map[string]any:
		return []map[string]any{v}, nil
	case []map[string]any:
		return v, nil
	case []any: // of inline tables
		list := make([]map[string]any, len(v))
		for i := range v {
			var ok bool
			if list[i], ok = v[i].(map[string]any); !ok {
				return nil, fault(v[i], someTables)
			}
		}
		return list, nil
	}
	return nil, fault(v, someTables)
}
