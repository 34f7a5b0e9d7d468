package eap

import (
	"errors"
	"fmt"
	"unicode"
)

// peer is the conversation of one who proves who it is.
type peer struct {
	identity string
	kind     Type
	method   peerMethod
}

func (p *peer) Close() { p.method.close() }

// ErrFailure says that it was the server that ended the conversation.
var ErrFailure = errors.New("the server answers EAP-Failure")

// Step answers a Request (RFC 3748 sections 4.1 and 5). A Success is believed only when the method is at its end
// (section 4.2): anybody could have made it.
func (p *peer) Step(packet []byte) (Step, error) {
	in, err := Parse(packet)
	if err != nil {
		return Step{}, err
	}
	switch in.Code {
	case CodeSuccess:
		msk, err := p.method.succeed()
		return Step{Done: err == nil, MSK: msk}, err
	case CodeFailure:
		if err := p.method.failure(); err != nil {
			return Step{}, fmt.Errorf("%w: %s: %w", ErrFailure, p.kind, err)
		}
		return Step{}, ErrFailure
	case CodeResponse:
		return Step{}, errors.New("the server sends an EAP-Response; want a Request")
	}
	out := Packet{Code: CodeResponse, ID: in.ID, Type: in.Type}
	switch in.Type {
	case TypeIdentity:
		out.Data = []byte(p.identity)
	case TypeNotification:
	case p.kind:
		if out.Data, err = p.method.respond(in.Data); err != nil {
			return Step{}, fmt.Errorf("%s: %w", p.kind, err)
		}
	default:
		out.Type, out.Data = TypeNak, []byte{byte(p.kind)}
	}
	return Step{Packet: out.Marshal()}, nil
}

// printable quotes what the other side sent, bounded and without what could confuse a terminal or a log.
func printable(b []byte) string {
	const most = 100
	s := []rune(string(b[:min(len(b), most)]))
	for i, r := range s {
		if !unicode.IsPrint(r) {
			s[i] = '?'
		}
	}
	return fmt.Sprintf("%q", string(s))
}
