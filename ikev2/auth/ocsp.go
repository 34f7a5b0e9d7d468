package auth

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"

	"mipsecd/ikev2/wire"
)

// OCSP says whether the state of certificates that no revocation list tells is asked for by OCSP (RFC 6960), and what
// happens if it can't be found out.
type OCSP uint8

// OCSPOff asks nobody. With OCSPSoft a certificate of unknown state is taken, with OCSPHard it is refused; one that is
// revoked is refused by both.
const (
	OCSPOff OCSP = iota
	OCSPSoft
	OCSPHard
)

// Responders asks OCSP responders. It may be used by several goroutines.
type Responders interface {
	// Ask hands check the response to a request, in DER, that the responder at an http URL gives, or has given before. It
	// returns check's error, or says why there is no response. It takes seconds at most.
	Ask(url string, request []byte, check func(response []byte) error) error
}

// maxStatuses bounds the OCSP responses of a peer that are looked at, maxResponders whom is asked about one certificate.
const (
	maxStatuses   = maxChain
	maxResponders = 2
)

// clockSkew is by how much the clocks of host and responder may differ. A response that does not say when there is a newer
// one is good for as long as undated.
const (
	clockSkew = 5 * time.Minute
	undated   = 10 * time.Minute
)

// checkOnline finds out by OCSP that a certificate is not revoked: from the responses that the peer has sent (RFC 4806), or
// by asking the responders that the certificate names. No nonce is asked for, so that responses serve for many.
func (t *Trust) checkOnline(c, by *x509.Certificate, statuses [][]byte, now time.Time) error {
	for _, s := range statuses {
		if err := checkResponse(s, c, by, now); err == nil || isRevoked(err) {
			return err
		}
	}
	_, err := t.askAbout(c, by, now)
	return err
}

// askAbout asks the responders that a certificate names, and yields the response that says that it is good.
func (t *Trust) askAbout(c, by *x509.Certificate, now time.Time) (good []byte, err error) {
	err = fmt.Errorf("the certificate of %s names no OCSP responder that is asked by http", subject(c))
	if t.Responders == nil {
		return nil, err
	}
	request, failed := ocsp.CreateRequest(c, by, nil)
	if failed != nil {
		return nil, failed
	}
	asked := 0
	for _, url := range c.OCSPServer {
		if !strings.HasPrefix(url, "http://") || asked == maxResponders {
			continue
		}
		asked++
		err = t.Responders.Ask(url, request, func(response []byte) error {
			good = response
			return checkResponse(response, c, by, now)
		})
		if err == nil || isRevoked(err) {
			return good, err
		}
		err = fmt.Errorf("the OCSP responder of %s at %q: %w", issuer(c), url, err)
	}
	return nil, err
}

// checkResponse holds that an OCSP response, in DER, says of a certificate of this issuer that it is good, and that it may
// say so now (RFC 6960 section 3.2).
func checkResponse(der []byte, c, by *x509.Certificate, now time.Time) error {
	r, err := ocsp.ParseResponseForCert(der, c, nil)
	if err != nil {
		return fmt.Errorf("OCSP response: %w", err)
	}
	if err := checkSubject(r, c, by); err != nil {
		return err
	}
	if err := checkSigner(r, by, now); err != nil {
		return err
	}
	until := r.NextUpdate
	if until.IsZero() {
		until = r.ThisUpdate.Add(undated)
	}
	switch {
	case now.Add(clockSkew).Before(r.ThisUpdate):
		return fmt.Errorf("the OCSP response is valid from %s on only", r.ThisUpdate.Format(time.RFC3339))
	case now.Add(-clockSkew).After(until):
		return fmt.Errorf("the OCSP response has expired on %s", until.Format(time.RFC3339))
	case r.Status == ocsp.Revoked:
		return &revokedError{c, r.RevokedAt}
	case r.Status != ocsp.Good:
		return fmt.Errorf("the OCSP responder does not know the certificate of %s", subject(c))
	}
	return nil
}

// certID is CertID of RFC 6960 section 4.1.1.
type certID struct {
	Hash         pkix.AlgorithmIdentifier
	Name, Key    []byte
	SerialNumber *big.Int
}

// responses are ResponseData of RFC 6960 section 4.2.1.
type responses struct {
	Version   int `asn1:"optional,default:0,explicit,tag:0"`
	Responder asn1.RawValue
	At        time.Time `asn1:"generalized"`
	Single    []asn1.RawValue
}

// checkSubject holds that a response is about a certificate of this issuer: package ocsp looks at the serial number only.
func checkSubject(r *ocsp.Response, c, by *x509.Certificate) error {
	other := fmt.Errorf("the OCSP response is not about the certificate of %s", subject(c))
	var all responses
	if _, err := asn1.Unmarshal(r.TBSResponseData, &all); err != nil {
		return other
	}
	for _, single := range all.Single {
		var id certID
		if _, err := asn1.Unmarshal(single.Bytes, &id); err != nil {
			return other
		}
		if id.SerialNumber.Cmp(c.SerialNumber) != 0 {
			continue
		}
		wanted, err := idOf(c, by, r.IssuerHash)
		if err != nil || !bytes.Equal(id.Name, wanted.IssuerNameHash) || !bytes.Equal(id.Key, wanted.IssuerKeyHash) {
			return other
		}
		return nil
	}
	return other
}

// idOf names a certificate as a request by this hash algorithm does.
func idOf(c, by *x509.Certificate, hash crypto.Hash) (*ocsp.Request, error) {
	der, err := ocsp.CreateRequest(c, by, &ocsp.RequestOptions{Hash: hash})
	if err != nil {
		return nil, err
	}
	return ocsp.ParseRequest(der)
}

// checkSigner holds that a response is signed by the issuer of the certificate, or by one whom that has made a responder
// (RFC 6960 section 4.2.2.2). Package ocsp has checked the signature of the latter.
func checkSigner(r *ocsp.Response, by *x509.Certificate, now time.Time) error {
	if weak(r.SignatureAlgorithm) {
		return fmt.Errorf("the OCSP response is signed with %s; want SHA-2 or Ed25519", r.SignatureAlgorithm)
	}
	responder := r.Certificate
	if responder == nil || bytes.Equal(responder.RawSubjectPublicKeyInfo, by.RawSubjectPublicKeyInfo) {
		if err := r.CheckSignatureFrom(by); err != nil {
			return fmt.Errorf("the OCSP response is not signed by %s: %w", subject(by), err)
		}
		return nil
	}
	switch err := responder.CheckSignatureFrom(by); {
	case err != nil || !bytes.Equal(responder.RawIssuer, by.RawSubject) || weak(responder.SignatureAlgorithm):
		return fmt.Errorf("the OCSP response is signed by %s, whose certificate is not of %s", subject(responder), subject(by))
	case !slices.Contains(responder.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return fmt.Errorf("the OCSP response is signed by %s, which is no responder (extendedKeyUsage)", subject(responder))
	case now.Before(responder.NotBefore) || now.After(responder.NotAfter):
		return fmt.Errorf("the OCSP response is signed by %s, whose certificate is not valid now", subject(responder))
	}
	return checkKeys([]*x509.Certificate{responder})
}

// statusRequest is the CERTREQ payload that asks for an OCSP response about the sender's certificate (RFC 4806 section
// 3.1). It names no responder: one that the authority has made a responder will do.
func statusRequest() *wire.CertReq { return &wire.CertReq{Encoding: wire.CertOCSPContent} }

// StatusWanted reports whether a peer has sent a statusRequest.
func StatusWanted(ps []wire.Payload) bool {
	return slices.ContainsFunc(ps, func(p wire.Payload) bool {
		r, ok := p.(*wire.CertReq)
		return ok && r.Encoding == wire.CertOCSPContent
	})
}

// Status is the CERT payload with an OCSP response that says that the certificate of the key is good (RFC 4806 section
// 3.2), or nil if there is none: its issuer must be one of the chain or of the authorities of a Trust that asks responders.
// It takes long.
func (c *Credential) Status(t *Trust, now time.Time) *wire.Cert {
	if t == nil || t.OCSP == OCSPOff {
		return nil
	}
	leaf := c.chain[0]
	for _, by := range slices.Concat(c.chain[1:], t.authorities) {
		if !bytes.Equal(by.RawSubject, leaf.RawIssuer) {
			continue
		}
		if good, err := t.askAbout(leaf, by, now); err == nil {
			return &wire.Cert{Encoding: wire.CertOCSPContent, Data: good}
		}
	}
	return nil
}
