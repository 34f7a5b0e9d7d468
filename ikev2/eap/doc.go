// Package eap is the Extensible Authentication Protocol (RFC 3748) as IKEv2 uses it (RFC 7296 section 2.16): packets, and
// conversations of a peer or of a server by EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2, RFC 2759) or EAP-TLS (RFC 5216,
// RFC 9190). Conversations are pure: each Step takes a packet and yields one. IKEv2 brings packets reliably and in order,
// so that nothing is retransmitted here.
package eap
