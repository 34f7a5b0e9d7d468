package auth

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// checkChain holds that a certificate leads to one of the authorities and is not revoked. Statuses are OCSP responses about
// it and the others.
func (t *Trust) checkChain(leaf *x509.Certificate, others []*x509.Certificate, statuses [][]byte, now time.Time) error {
	intermediates := x509.NewCertPool()
	for _, c := range others {
		if checkKey(c.PublicKey) == nil {
			intermediates.AddCert(c)
		}
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: t.roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // the caller has looked at the only one that matters
	})
	if err != nil {
		return explain(leaf, others, now, err)
	}
	for _, chain := range chains {
		if err = t.checkRevocation(chain, statuses, now); err == nil {
			err = checkKeys(chain)
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// ipsecIKE is id-kp-ipsecIKE (RFC 4945 section 5.1.3.12).
var ipsecIKE = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 17}

// checkUsage applies the rules for keyUsage and extendedKeyUsage of RFC 4945 sections 5.1.3.2 and 5.1.3.12.
func checkUsage(c *x509.Certificate) error {
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return fmt.Errorf("the certificate of %s is not for signatures (keyUsage)", subject(c))
	}
	limited := len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0
	forIKE := slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) ||
		slices.ContainsFunc(c.UnknownExtKeyUsage, ipsecIKE.Equal)
	if limited && !forIKE {
		return fmt.Errorf("the certificate of %s is not for IKE (extendedKeyUsage); want ipsecIKE, any, or no such "+
			"extension", subject(c))
	}
	return nil
}

func checkKeys(chain []*x509.Certificate) error {
	for _, c := range chain {
		if err := checkKey(c.PublicKey); err != nil {
			return fmt.Errorf("the certificate of %s has %w", subject(c), err)
		}
	}
	return nil
}

// explain makes the error of a chain that leads nowhere one that says which certificate is to blame.
func explain(leaf *x509.Certificate, others []*x509.Certificate, now time.Time, err error) error {
	for _, c := range append([]*x509.Certificate{leaf}, others...) {
		unfit := checkKey(c.PublicKey)
		switch {
		case unfit != nil:
			return fmt.Errorf("the certificate of %s has %w", subject(c), unfit)
		case now.Before(c.NotBefore):
			return fmt.Errorf("the certificate of %s is valid from %s on only", subject(c), c.NotBefore.Format(time.RFC3339))
		case now.After(c.NotAfter):
			return fmt.Errorf("the certificate of %s has expired on %s", subject(c), c.NotAfter.Format(time.RFC3339))
		case weak(c.SignatureAlgorithm):
			return fmt.Errorf("the certificate of %s is signed with %s; want SHA-2 or Ed25519", subject(c),
				c.SignatureAlgorithm)
		}
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return fmt.Errorf("the certificate of %s is issued by %s, which leads to no authority of ours", subject(leaf),
			issuer(leaf))
	}
	return fmt.Errorf("the certificate of %s: %w", subject(leaf), err)
}

func weak(a x509.SignatureAlgorithm) bool {
	return a == x509.MD5WithRSA || a == x509.SHA1WithRSA || a == x509.ECDSAWithSHA1 || a == x509.DSAWithSHA1
}

// subject and issuer name a certificate for people.
func subject(c *x509.Certificate) string {
	if len(c.Subject.Names) > 0 {
		return distinguished(c.RawSubject)
	}
	return fmt.Sprintf("serial number %x of %s", c.SerialNumber, issuer(c))
}

func issuer(c *x509.Certificate) string { return distinguished(c.RawIssuer) }
