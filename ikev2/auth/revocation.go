package auth

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// checkList refuses revocation lists that say less or more than it seems: indirect ones, those of a part of the
// certificates only, and changes of others. All of these have a critical extension (RFC 5280 sections 5.2 and 5.3).
func checkList(l *x509.RevocationList) error {
	extensions := l.Extensions
	for _, e := range l.RevokedCertificateEntries {
		extensions = append(extensions, e.Extensions...)
	}
	for _, x := range extensions {
		if x.Critical {
			return fmt.Errorf("the revocation list of %s has the critical extension %s; want a complete list of the "+
				"issuer's own", list(l), x.Id)
		}
	}
	if weak(l.SignatureAlgorithm) {
		return fmt.Errorf("the revocation list of %s is signed with %s; want SHA-2 or Ed25519", list(l),
			l.SignatureAlgorithm)
	}
	return nil
}

// checkRevocation holds that no certificate of a chain, which ends with an authority of ours, is revoked, as far as the
// configuration wants it checked. Statuses are the OCSP responses that have come with it.
func (t *Trust) checkRevocation(chain []*x509.Certificate, statuses [][]byte, now time.Time) error {
	for i, c := range chain[:len(chain)-1] {
		if err := t.checkState(c, chain[i+1], statuses, now); err != nil && (isRevoked(err) || t.OCSP != OCSPSoft) {
			return err
		}
	}
	return nil
}

// checkState looks a certificate up in the lists of its issuer, and then asks by OCSP. It needs neither if there are no
// lists and OCSP is off.
func (t *Trust) checkState(c, by *x509.Certificate, statuses [][]byte, now time.Time) error {
	var unlisted error
	if len(t.crls) > 0 {
		unlisted = t.checkLists(c, by, now)
		if unlisted == nil || isRevoked(unlisted) || t.OCSP == OCSPOff {
			return unlisted
		}
	}
	if t.OCSP == OCSPOff {
		return nil
	}
	err := t.checkOnline(c, by, statuses, now)
	if err != nil && unlisted != nil {
		return fmt.Errorf("%w; and %w", unlisted, err)
	}
	return err
}

// checkLists looks a certificate up in the lists of its issuer, of which one must be up to date.
func (t *Trust) checkLists(c, by *x509.Certificate, now time.Time) error {
	err := fmt.Errorf("there is no revocation list of %s, so the certificate of %s may be revoked", subject(by), subject(c))
	current := false
	for _, l := range t.crls {
		if !bytes.Equal(l.RawIssuer, by.RawSubject) {
			continue
		}
		if signed := l.CheckSignatureFrom(by); signed != nil {
			err = fmt.Errorf("the revocation list of %s is not signed by it: %w", list(l), signed)
			continue
		}
		for _, e := range l.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(c.SerialNumber) == 0 && e.ReasonCode != removeFromCRL {
				return &revokedError{c, e.RevocationTime}
			}
		}
		switch {
		case now.Before(l.ThisUpdate):
			err = fmt.Errorf("the revocation list of %s is valid from %s on only", list(l),
				l.ThisUpdate.Format(time.RFC3339))
		case !l.NextUpdate.IsZero() && now.After(l.NextUpdate):
			err = fmt.Errorf("the revocation list of %s has expired on %s", list(l), l.NextUpdate.Format(time.RFC3339))
		default:
			current = true
		}
	}
	if current {
		return nil
	}
	return err
}

// removeFromCRL is the reason code of an entry that does not count any more (RFC 5280 section 5.3.1).
const removeFromCRL = 8

// list names a revocation list by its issuer.
func list(l *x509.RevocationList) string { return distinguished(l.RawIssuer) }

// revokedError says that a certificate is revoked, and not just that its state is unknown.
type revokedError struct {
	certificate *x509.Certificate
	since       time.Time
}

func (r *revokedError) Error() string {
	return fmt.Sprintf("the certificate of %s is revoked since %s", subject(r.certificate), r.since.Format(time.RFC3339))
}

func isRevoked(err error) bool {
	_, revoked := errors.AsType[*revokedError](err)
	return revoked
}
