package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"mipsecd/ikev2/wire"
)

// TLSClient is TLS by which this side, the client, proves itself with the credential, and believes that the server is id.
// There is no resumption.
func TLSClient(own *Credential, trust *Trust, id *wire.ID, now time.Time) *tls.Config {
	cfg := tlsConfig(own, trust, id, x509.ExtKeyUsageServerAuth, now)
	// Names are not the Web's: VerifyConnection looks at them.
	cfg.InsecureSkipVerify = true
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cfg.Certificates[0], nil }
	return cfg
}

// TLSServer is the other side of TLSClient.
func TLSServer(own *Credential, trust *Trust, id *wire.ID, now time.Time) *tls.Config {
	cfg := tlsConfig(own, trust, id, x509.ExtKeyUsageClientAuth, now)
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAnyClientCert, trust.roots
	cfg.SessionTicketsDisabled = true
	return cfg
}

func tlsConfig(own *Credential, trust *Trust, id *wire.ID, usage x509.ExtKeyUsage, now time.Time) *tls.Config {
	certificate := tls.Certificate{PrivateKey: own.key}
	for _, c := range own.chain {
		certificate.Certificate = append(certificate.Certificate, c.Raw)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, Time: func() time.Time { return now },
		VerifyConnection: func(cs tls.ConnectionState) error { return trust.checkTLS(cs.PeerCertificates, id, usage, now) },
	}
}

// checkTLS holds that the certificates of the other side of TLS prove that it is id.
func (t *Trust) checkTLS(chain []*x509.Certificate, id *wire.ID, usage x509.ExtKeyUsage, now time.Time) error {
	switch {
	case len(chain) == 0:
		return errors.New("no certificate has come")
	case len(chain) > maxChain:
		return fmt.Errorf("more than %d certificates", maxChain)
	}
	leaf := chain[0]
	if err := checkIdentity(leaf, id); err != nil {
		return err
	}
	limited := len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0
	if limited && !slices.Contains(leaf.ExtKeyUsage, usage) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return fmt.Errorf("the certificate of %s is not for this side of TLS (extendedKeyUsage)", subject(leaf))
	}
	return t.checkChain(leaf, chain[1:], nil, now)
}
