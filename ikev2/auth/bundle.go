package auth

import (
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The choices of CertificateOrCRL (RFC 7296 section 3.6).
var (
	bundledCertificate = asn1.Tag(0).ContextSpecific().Constructed()
	bundledList        = asn1.Tag(1).ContextSpecific().Constructed()
)

// Bundle is the CertificateBundle of certificates, in DER (RFC 7296 section 3.6).
func Bundle(certs []*x509.Certificate) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(all *cryptobyte.Builder) {
		for _, c := range certs {
			all.AddASN1(bundledCertificate, func(one *cryptobyte.Builder) { one.AddBytes(c.Raw) })
		}
	})
	return b.BytesOrPanic() // no certificate that was parsed is too long
}

// parseBundle reads the certificates of a CertificateBundle. Its revocation lists are passed over.
func parseBundle(der []byte) (certs []*x509.Certificate, err error) {
	rest, all := cryptobyte.String(der), cryptobyte.String(nil)
	if !rest.ReadASN1(&all, asn1.SEQUENCE) || !rest.Empty() {
		return nil, errors.New("it is no CertificateBundle in DER")
	}
	for n := 1; !all.Empty(); n++ {
		var one cryptobyte.String
		var tag asn1.Tag
		if !all.ReadAnyASN1(&one, &tag) || tag != bundledCertificate && tag != bundledList {
			return nil, fmt.Errorf("item %d of the CertificateBundle: neither [0] certificate nor [1] revocation list", n)
		}
		if tag == bundledList {
			continue
		}
		if len(certs) == maxChain {
			return nil, fmt.Errorf("more than %d certificates", maxChain)
		}
		c, err := x509.ParseCertificate(one)
		if err != nil {
			return nil, fmt.Errorf("item %d of the CertificateBundle: %w", n, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate is in the CertificateBundle")
	}
	return certs, nil
}
