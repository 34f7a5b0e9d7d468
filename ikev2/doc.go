// Package ikev2 is the Internet Key Exchange version 2 (RFC 7296) as a pure state machine: an Engine takes one Input at
// a time together with the time, and returns ordered Effects. It opens no socket, starts no goroutine and reads no
// clock. It knows nothing of mobility: a role tells it by Commands over which path a peer is to be spoken to, and for
// which addresses SAs are wanted.
//
// To follow an exchange, start where it begins:
//
//	IKE_SA_INIT, IKE_AUTH   initiate.go, respond.go
//	who the peers are       identity.go, authenticate.go, eap.go
//	CREATE_CHILD_SA         create.go (asking), accept.go (answering), rekey.go (the IKE_SA itself)
//	more key exchanges      intermediate.go (of a new IKE_SA), followup.go (after CREATE_CHILD_SA)
//	both rekey at once      contest.go
//	INFORMATIONAL           inform.go
//	a movement              move.go
//	a NAT between           nat.go
//	a message in fragments  fragment.go
//	addresses assigned      configuration.go
//	a lost IKE_SA resumed   resume.go, ticket.go
//	a crash of one side     crash.go
//	another gateway         redirect.go
//	what other RFCs add     extension.go, and a file for each
package ikev2
