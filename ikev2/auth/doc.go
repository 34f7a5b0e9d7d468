// Package auth proves who speaks, and checks it, by digital signatures and X.509 certificates: the AUTH, CERT and
// CERTREQ payloads of RFC 7296 sections 3.6 to 3.8, the digital signatures of RFC 7427 and RFC 8420, the older methods
// of RFC 7296 and RFC 4754, and the rules of RFC 4945 for certificates. It reads no file, no clock and no network.
//
//	Credential   what this host proves its identity with: sign.go
//	             from files: pem.go, pkcs12.go
//	Trust        whom it believes: verify.go, chain.go, revocation.go, ocsp.go, identity.go
//	             by hash and URL: lookup.go, bundle.go
//
// Certificates come from the configuration, from the peer's CERT payloads, or from where these say that they are, if
// somebody else fetches them (Fetcher). Revocation lists come from the configuration only; those of the peer's are not
// asked for and not looked at. OCSP responses come from the peer (RFC 4806) or from responders that somebody else asks
// (Responders).
package auth
