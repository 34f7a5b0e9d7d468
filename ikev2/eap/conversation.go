package eap

import (
	"time"

	"mipsecd/internal/secret"
)

// Conversation is one side of an authentication. It is not safe for concurrent use, but its steps may be taken on any
// goroutine; they may compute for long.
type Conversation interface {
	// Step takes the packet that the other side has sent, and says what comes of it. A server begins with nil. After an
	// error or the last step there is no other.
	Step(packet []byte) (Step, error)
	// Close ends a conversation that may not have come to its last step.
	Close()
}

// Step is what comes of a packet.
type Step struct {
	// Packet is for the other side. A peer has none to answer EAP-Success; a server whose conversation fails has
	// EAP-Failure beside the error.
	Packet []byte
	// Done is the last step: EAP-Success has been sent or received, rightly.
	Done bool
	// MSK is what both sides know then, at least 64 octets; nil if the method makes none (RFC 3748 section 7.10).
	MSK secret.Bytes
	// Lifetime is how long a server lets the authentication be good for; zero leaves that open.
	Lifetime time.Duration
}

// mskLen is the length of an MSK in octets.
const mskLen = 64

// peerMethod is a method on the side of the peer.
type peerMethod interface {
	// respond takes the data of a Request and yields that of the Response.
	respond(request []byte) (response []byte, err error)
	// succeed yields the MSK once EAP-Success has come. It is an error if the method does not allow it yet.
	succeed() (secret.Bytes, error)
	// failure is why the method has failed, if it knows.
	failure() error
	close()
}

// serverMethod is a method on the side of the server.
type serverMethod interface {
	// start is the data of the first Request.
	start() []byte
	// request takes the data of a Response and yields that of the next Request; nil is success.
	request(response []byte) (request []byte, err error)
	// msk is called after that.
	msk() secret.Bytes
	close()
}
