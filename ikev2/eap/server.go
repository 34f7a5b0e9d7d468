package eap

import "fmt"

// server is the conversation of one who wants to know who the peer is. It does not ask for an Identity: IKEv2 has brought
// one (RFC 7296 section 2.16).
type server struct {
	kind   Type
	method serverMethod
	id     uint8 // of the last Request
	begun  bool
}

func (s *server) Close() { s.method.close() }

// Step asks the next question (RFC 3748 section 4.1), or says how it went.
func (s *server) Step(packet []byte) (Step, error) {
	request, err := s.next(packet)
	switch {
	case err != nil:
		return Step{Packet: Packet{Code: CodeFailure, ID: s.id}.Marshal()}, err
	case request == nil:
		return Step{Packet: Packet{Code: CodeSuccess, ID: s.id}.Marshal(), Done: true, MSK: s.method.msk()}, nil
	}
	s.id++
	return Step{Packet: Packet{Code: CodeRequest, ID: s.id, Type: s.kind, Data: request}.Marshal()}, nil
}

// next is the data of the next Request; nil is success.
func (s *server) next(packet []byte) ([]byte, error) {
	if !s.begun {
		s.begun = true
		return s.method.start(), nil
	}
	in, err := Parse(packet)
	switch {
	case err != nil:
		return nil, err
	case in.Code != CodeResponse || in.ID != s.id:
		return nil, fmt.Errorf("the peer answers with %s %d; want Response %d", in.Code, in.ID, s.id)
	case in.Type == TypeNak:
		return nil, fmt.Errorf("the peer does not take %s, but %v", s.kind, wanted(in.Data))
	case in.Type != s.kind:
		return nil, fmt.Errorf("the peer answers with %s; want %s", in.Type, s.kind)
	}
	request, err := s.method.request(in.Data)
	if err != nil {
		err = fmt.Errorf("%s: %w", s.kind, err)
	}
	return request, err
}

// wanted are the types that a Nak names (RFC 3748 section 5.3.1).
func wanted(nak []byte) (types []Type) {
	for _, t := range nak[:min(len(nak), 10)] {
		types = append(types, Type(t))
	}
	return types
}
