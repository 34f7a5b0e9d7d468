// Package bypass exempts a key exchange's own socket from IPsec. While a binding update is unanswered, a Mobile IPv6
// daemon has policies that block all other traffic; the key exchange that the binding update waits for must go on
// (RFC 4301 section 4.4.1: a policy may be bound to a socket).
package bypass
