package auth

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mipsecd/ikev2/wire"
)

// checkIdentity holds that a certificate is one of the identity (RFC 4877 section 7.3, RFC 4945 section 3.1): names are
// compared whole and without regard to case, addresses and distinguished names octet by octet.
func checkIdentity(c *x509.Certificate, id *wire.ID) error {
	var field, has string
	found := false
	name := string(id.Data)
	same := func(other string) bool { return strings.EqualFold(other, name) }
	switch id.Kind {
	case wire.IDFQDN:
		field, has = "dNSName", strings.Join(c.DNSNames, ", ")
		found = slices.ContainsFunc(c.DNSNames, same) && !strings.Contains(name, "*")
	case wire.IDRFC822Addr:
		field, has = "rfc822Name", strings.Join(c.EmailAddresses, ", ")
		found = slices.ContainsFunc(c.EmailAddresses, same)
	case wire.IDIPv4Addr, wire.IDIPv6Addr:
		addr, _ := netip.AddrFromSlice(id.Data)
		field, name = "iPAddress", addr.String()
		for _, ip := range c.IPAddresses {
			has += ip.String() + " "
			found = found || addr.IsValid() && bytes.Equal(ip, id.Data)
		}
	case wire.IDDERASN1DN:
		field, has, name = "subject", c.Subject.String(), fmt.Sprintf("%x", id.Data)
		found = len(c.Subject.Names) > 0 && bytes.Equal(c.RawSubject, id.Data)
	default:
		return fmt.Errorf("identity of type %s: no certificate can prove it; want a host name, user@host, IP address or "+
			"distinguished name", id.Kind)
	}
	if !found {
		return fmt.Errorf("the certificate of %s is not of %q: its %s is %q", subject(c), name, field,
			strings.TrimSpace(has))
	}
	return nil
}
