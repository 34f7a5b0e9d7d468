package ikev2

import "mipsecd/ikev2/wire"

// extension is what another RFC adds to the two exchanges that set up an IKE_SA: what each side says beside what RFC 7296
// wants, and what it makes of what the other says. Each lives in a file of its own; what it finds out is kept in agreed
// or, until the IKE_SA is established, in handshake.
type extension interface {
	// offerInit is what an initiator says in IKE_SA_INIT.
	offerInit(*Engine, *ikeSA) []wire.Payload
	// answerInit takes what an initiator says there, and is what the responder says.
	answerInit(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload
	// initAnswered takes what the responder says.
	initAnswered(e *Engine, sa *ikeSA, response []wire.Payload)

	// The same for IKE_AUTH. There both know who the other is once these are called for what it says.
	offerAuth(*Engine, *ikeSA) []wire.Payload
	answerAuth(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload
	authAnswered(e *Engine, sa *ikeSA, response []wire.Payload)
}

// extensions are asked in this order, in which what they say is after the nonce of IKE_SA_INIT: RFC 7296 wants
// NAT_DETECTION next to that.
var extensions = extensionList{
	natDetection{}, fragmentation{}, signatureHashes{}, childless{}, configuration{}, authLifetime{}, resumption{},
	crashDetection{}, redirection{}, intermediates{}, ppks{}, mobikeSupport{},
}

// silent is an extension that says nothing: those that do embed it.
type silent struct{}

func (silent) offerInit(*Engine, *ikeSA) []wire.Payload                  { return nil }
func (silent) answerInit(*Engine, *ikeSA, []wire.Payload) []wire.Payload { return nil }
func (silent) initAnswered(*Engine, *ikeSA, []wire.Payload)              {}
func (silent) offerAuth(*Engine, *ikeSA) []wire.Payload                  { return nil }
func (silent) answerAuth(*Engine, *ikeSA, []wire.Payload) []wire.Payload { return nil }
func (silent) authAnswered(*Engine, *ikeSA, []wire.Payload)              {}

// extensionList is an extension that says what all of them say.
type extensionList []extension

func (l extensionList) offerInit(e *Engine, sa *ikeSA) (ps []wire.Payload) {
	for _, x := range l {
		ps = append(ps, x.offerInit(e, sa)...)
	}
	return ps
}

func (l extensionList) answerInit(e *Engine, sa *ikeSA, request []wire.Payload) (ps []wire.Payload) {
	for _, x := range l {
		ps = append(ps, x.answerInit(e, sa, request)...)
	}
	return ps
}

func (l extensionList) initAnswered(e *Engine, sa *ikeSA, response []wire.Payload) {
	for _, x := range l {
		x.initAnswered(e, sa, response)
	}
}

func (l extensionList) offerAuth(e *Engine, sa *ikeSA) (ps []wire.Payload) {
	for _, x := range l {
		ps = append(ps, x.offerAuth(e, sa)...)
	}
	return ps
}

func (l extensionList) answerAuth(e *Engine, sa *ikeSA, request []wire.Payload) (ps []wire.Payload) {
	for _, x := range l {
		ps = append(ps, x.answerAuth(e, sa, request)...)
	}
	return ps
}

func (l extensionList) authAnswered(e *Engine, sa *ikeSA, response []wire.Payload) {
	for _, x := range l {
		x.authAnswered(e, sa, response)
	}
}
