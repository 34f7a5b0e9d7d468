package wire

import "mipsecd/internal/cursor"

// Auth is the Authentication payload (RFC 7296 section 3.8).
type Auth struct {
	Method AuthMethod
	Data   []byte
}

// Type is PayloadAUTH.
func (*Auth) Type() PayloadType { return PayloadAUTH }

func (p *Auth) decode(body []byte) error {
	r := cursor.Big(body)
	p.Method = AuthMethod(r.U8())
	r.Skip(3)
	p.Data = r.Rest()
	return readAll(r, "Auth Method")
}

func (p *Auth) appendBody(b []byte) []byte {
	return append(append(b, uint8(p.Method), 0, 0, 0), p.Data...)
}

// AuthMethod is how the Authentication Data is made.
type AuthMethod uint8

// The methods of RFC 7296 section 3.8, RFC 4754, RFC 6467, RFC 7619 and RFC 7427.
const (
	AuthRSA              AuthMethod = 1
	AuthSharedKey        AuthMethod = 2
	AuthDSS              AuthMethod = 3
	AuthECDSA256         AuthMethod = 9
	AuthECDSA384         AuthMethod = 10
	AuthECDSA521         AuthMethod = 11
	AuthSecurePassword   AuthMethod = 12
	AuthNull             AuthMethod = 13
	AuthDigitalSignature AuthMethod = 14
)

var authNames = map[AuthMethod]string{
	AuthRSA:              "RSA Digital Signature",
	AuthSharedKey:        "Shared Key Message Integrity Code",
	AuthDSS:              "DSS Digital Signature",
	AuthECDSA256:         "ECDSA with SHA-256 on the P-256 curve",
	AuthECDSA384:         "ECDSA with SHA-384 on the P-384 curve",
	AuthECDSA521:         "ECDSA with SHA-512 on the P-521 curve",
	AuthSecurePassword:   "Generic Secure Password Authentication Method",
	AuthNull:             "NULL Authentication",
	AuthDigitalSignature: "Digital Signature",
}

// String is the method's name in its RFC, or its number.
func (m AuthMethod) String() string { return name(authNames, m) }
