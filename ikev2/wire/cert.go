package wire

import "mipsecd/internal/cursor"

// Cert is the Certificate payload (RFC 7296 section 3.6).
type Cert struct {
	Encoding CertEncoding
	Data     []byte
}

// CertReq is the Certificate Request payload (RFC 7296 section 3.7). For X.509 Data is a row of SHA-1 hashes, 20 octets
// each, of the public keys of acceptable certification authorities.
type CertReq struct {
	Encoding CertEncoding
	Data     []byte
}

// Type is PayloadCERT.
func (*Cert) Type() PayloadType { return PayloadCERT }

// Type is PayloadCERTREQ.
func (*CertReq) Type() PayloadType { return PayloadCERTREQ }

func (p *Cert) decode(body []byte) error {
	r := cursor.Big(body)
	p.Encoding, p.Data = CertEncoding(r.U8()), r.Rest()
	return readAll(r, "Cert Encoding")
}

func (p *CertReq) decode(body []byte) error { return (*Cert)(p).decode(body) }

func (p *Cert) appendBody(b []byte) []byte    { return append(append(b, uint8(p.Encoding)), p.Data...) }
func (p *CertReq) appendBody(b []byte) []byte { return (*Cert)(p).appendBody(b) }

// CertEncoding is the form of a certificate.
type CertEncoding uint8

// The forms of RFC 7296 section 3.6 whose syntax is specified, of RFC 4806 and of RFC 7670.
const (
	CertX509Signature    CertEncoding = 4
	CertCRL              CertEncoding = 7
	CertHashAndURLX509   CertEncoding = 12
	CertHashAndURLBundle CertEncoding = 13
	CertOCSPContent      CertEncoding = 14
	CertRawPublicKey     CertEncoding = 15
)

var certNames = map[CertEncoding]string{
	CertX509Signature:    "X.509 Certificate - Signature",
	CertCRL:              "Certificate Revocation List (CRL)",
	CertHashAndURLX509:   "Hash and URL of X.509 certificate",
	CertHashAndURLBundle: "Hash and URL of X.509 bundle",
	CertOCSPContent:      "OCSP Content",
	CertRawPublicKey:     "Raw Public Key",
}

// String is the form's name in its RFC, or its number.
func (e CertEncoding) String() string { return name(certNames, e) }
