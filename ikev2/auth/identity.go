package auth

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mipsecd/ikev2/dn"
	"mipsecd/ikev2/wire"
)

// checkIdentity holds that a certificate is one of the identity (RFC 4877 section 7.3, RFC 4945 section 3.1): names are
// compared whole and without regard to case, addresses octet by octet, distinguished names by dn.Fold.
func checkIdentity(c *x509.Certificate, id *wire.ID) error {
	var field, has string
	found := false
	name := string(id.Data)
	same := func(other string) bool { return strings.EqualFold(other, name) }
	shown := strconv.Quote(name)
	switch id.Kind {
	case wire.IDFQDN:
		field, has = "dNSName", strconv.Quote(strings.Join(c.DNSNames, ", "))
		found = slices.ContainsFunc(c.DNSNames, same) && !strings.Contains(name, "*")
	case wire.IDRFC822Addr:
		field, has = "rfc822Name", strconv.Quote(strings.Join(c.EmailAddresses, ", "))
		found = slices.ContainsFunc(c.EmailAddresses, same)
	case wire.IDIPv4Addr, wire.IDIPv6Addr:
		addr, _ := netip.AddrFromSlice(id.Data)
		addrs := make([]string, len(c.IPAddresses))
		for i, ip := range c.IPAddresses {
			addrs[i] = ip.String()
			found = found || addr.IsValid() && bytes.Equal(ip, id.Data)
		}
		field, has, shown = "iPAddress", strconv.Quote(strings.Join(addrs, ", ")), strconv.Quote(addr.String())
	case wire.IDDERASN1DN:
		field, has, shown = "subject", distinguished(c.RawSubject), distinguished(id.Data)
		want, err := dn.Fold(id.Data)
		own, ownErr := dn.Fold(c.RawSubject)
		found = err == nil && ownErr == nil && own == want && want != ""
	default:
		return fmt.Errorf("identity of type %s: no certificate can prove it; want a host name, user@host, IP address or "+
			"distinguished name", id.Kind)
	}
	if !found {
		return fmt.Errorf("the certificate of %s is not of %s: its %s is %s", subject(c), shown, field, has)
	}
	return nil
}

// distinguished is a distinguished name for people, in quotation marks.
func distinguished(der []byte) string {
	text, err := dn.Text(der)
	if err != nil {
		return err.Error()
	}
	return `"` + text + `"`
}
