package auth

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"software.sslmate.com/src/go-pkcs12"
)

// ParsePKCS12 reads a PKCS#12 file (RFC 7292): one private key, its certificate, and those that lead to an authority. The
// certificate of the key comes first; those that have signed themselves are left out, as the peer has its own. Errors hold
// nothing of the key or the password.
func ParsePKCS12(data []byte, password string) (crypto.Signer, []*x509.Certificate, error) {
	key, first, others, err := pkcs12.DecodeChain(data, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword) && password == "":
		return nil, nil, errors.New("it has a password; want it in pkcs12-password-file")
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return nil, nil, errors.New("it has another password")
	case err != nil && bytes.Contains(data, []byte("-----BEGIN")):
		return nil, nil, errors.New("it is PEM; want PKCS#12")
	case err != nil:
		return nil, nil, fmt.Errorf("it can't be read: %w", err)
	}
	signer, err := signing(key)
	if err != nil {
		return nil, nil, err
	}
	all := append([]*x509.Certificate{first}, others...)
	own := slices.IndexFunc(all, func(c *x509.Certificate) bool { return isKeyOf(c, signer) })
	if own < 0 {
		return nil, nil, errors.New("none of its certificates is that of its private key")
	}
	chain := []*x509.Certificate{all[own]}
	for i, c := range all {
		if i != own && !bytes.Equal(c.RawIssuer, c.RawSubject) {
			chain = append(chain, c)
		}
	}
	return signer, chain, nil
}
