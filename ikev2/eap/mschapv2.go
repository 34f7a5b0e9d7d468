package eap

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"mipsecd/ikev2/eap/mschap"
	"mipsecd/internal/cursor"
	"mipsecd/internal/secret"
)

// opcode is what an EAP-MSCHAPv2 packet is (draft-kamath-pppext-eap-mschapv2-02 section 2).
type opcode uint8

const (
	opChallenge opcode = 1 // from the server, answered by opResponse
	opResponse  opcode = 2
	opSuccess   opcode = 3 // from the server, answered by the same
	opFailure   opcode = 4 // likewise
)

// mschapv2 is an EAP-MSCHAPv2 packet without the EAP header.
type mschapv2 struct {
	op    opcode
	id    uint8  // MS-CHAPv2-ID
	value []byte // of Challenge and Response
	text  []byte // Name, or the Message of Success and Failure
}

// valueLen is Value-Size: the challenge, or peer challenge, reserved, NT-Response and flags.
var valueLen = map[opcode]int{opChallenge: mschap.ChallengeLen, opResponse: mschap.ChallengeLen + 8 + mschap.ResponseLen + 1}

// parseMSCHAPv2 reads a packet; the answers to Success and Failure are just the OpCode.
func parseMSCHAPv2(b []byte) (m mschapv2, err error) {
	r := cursor.Big(b)
	m.op = opcode(r.U8())
	if r.Err() == nil && r.Len() == 0 && (m.op == opSuccess || m.op == opFailure) {
		return m, nil
	}
	m.id = r.U8()
	length := int(r.U16())
	if err := r.Err(); err != nil {
		return m, fmt.Errorf("header: %w", err)
	}
	if length != len(b) {
		return m, fmt.Errorf("MS-Length: %d; want %d, the octets there are", length, len(b))
	}
	switch want, hasValue := valueLen[m.op]; {
	case hasValue:
		if size := int(r.U8()); r.Err() == nil && size != want {
			return m, fmt.Errorf("Value-Size: %d; want %d", size, want)
		}
		m.value = r.Bytes(want)
	case m.op != opSuccess && m.op != opFailure:
		return m, fmt.Errorf("OpCode: %d; want %d to %d", m.op, opChallenge, opFailure)
	}
	if err := r.Err(); err != nil {
		return m, fmt.Errorf("the Value: %w", err)
	}
	m.text = r.Rest()
	return m, nil
}

func (m mschapv2) marshal() []byte {
	b := []byte{byte(m.op), m.id, 0, 0}
	if size, hasValue := valueLen[m.op]; hasValue {
		b = append(append(b, byte(size)), m.value...)
	}
	b = append(b, m.text...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// mschapv2MSK is the MSK: what the server receives with, what it sends with, and zeros.
func mschapv2MSK(x *mschap.Exchange, response []byte) secret.Bytes {
	receive, send := x.Keys(response)
	msk := append(append(make(secret.Bytes, 0, mskLen), receive...), send...)
	return msk[:mskLen]
}

// MSCHAPv2Peer proves by a password to be a user.
func MSCHAPv2Peer(user string, password secret.Bytes, rand io.Reader) Conversation {
	return &peer{identity: user, kind: TypeMSCHAPv2, method: &mschapv2Peer{
		x: mschap.Exchange{User: []byte(user), Password: password}, rand: rand,
	}}
}

type mschapv2Peer struct {
	x        mschap.Exchange
	rand     io.Reader
	response []byte // that was sent
	proven   bool   // the server has shown that it knows the password, too
	refused  error
}

func (*mschapv2Peer) close()           {}
func (p *mschapv2Peer) failure() error { return p.refused }

func (p *mschapv2Peer) succeed() (secret.Bytes, error) {
	if !p.proven {
		return nil, errors.New("EAP-Success from a server that has not proven to know the password")
	}
	return mschapv2MSK(&p.x, p.response), nil
}

func (p *mschapv2Peer) respond(request []byte) ([]byte, error) {
	m, err := parseMSCHAPv2(request)
	switch {
	case err != nil:
		return nil, err
	case p.refused != nil:
		return nil, p.refused
	case m.op == opChallenge && p.response == nil:
		return p.answer(m)
	case m.op == opSuccess && p.response != nil:
		if !p.checkProof(m.text) {
			return nil, errors.New("the server does not know the password")
		}
		p.proven = true
		return []byte{byte(opSuccess)}, nil
	case m.op == opFailure && p.response != nil:
		p.refused = fmt.Errorf("the server refuses the password: %s", printable(m.text))
		return []byte{byte(opFailure)}, nil
	}
	return nil, fmt.Errorf("OpCode %d does not fit the state of the authentication", m.op)
}

func (p *mschapv2Peer) answer(m mschapv2) ([]byte, error) {
	p.x.Server = [mschap.ChallengeLen]byte(m.value)
	if _, err := io.ReadFull(p.rand, p.x.Peer[:]); err != nil {
		return nil, err
	}
	p.response = p.x.Response()
	value := make([]byte, valueLen[opResponse])
	copy(value, p.x.Peer[:])
	copy(value[mschap.ChallengeLen+8:], p.response)
	return mschapv2{op: opResponse, id: m.id, value: value, text: p.x.User}.marshal(), nil
}

// checkProof looks at "S=" and forty hexadecimal digits, and what may follow after a space (RFC 2759 section 5).
func (p *mschapv2Peer) checkProof(text []byte) bool {
	digits, ok := bytes.CutPrefix(text, []byte("S="))
	if !ok || len(digits) < 2*mschap.ProofLen {
		return false
	}
	proof, err := hex.DecodeString(string(digits[:2*mschap.ProofLen]))
	return err == nil && subtle.ConstantTimeCompare(proof, p.x.Proof(p.response)) == 1
}

// MSCHAPv2Server wants of the peer the proof that it is a user with a password. Name is this server's.
func MSCHAPv2Server(name, user string, password secret.Bytes, rand io.Reader) Conversation {
	return &server{kind: TypeMSCHAPv2, method: &mschapv2Server{
		name: name, x: mschap.Exchange{User: []byte(user), Password: password}, rand: rand,
	}}
}

type mschapv2Server struct {
	name     string
	x        mschap.Exchange
	rand     io.Reader
	response []byte // that was right
	wrong    error
}

func (*mschapv2Server) close()              {}
func (s *mschapv2Server) msk() secret.Bytes { return mschapv2MSK(&s.x, s.response) }

func (s *mschapv2Server) start() []byte {
	if _, err := io.ReadFull(s.rand, s.x.Server[:]); err != nil {
		panic(fmt.Sprintf("eap: no randomness: %v", err)) // a challenge that is not random must never be sent
	}
	return mschapv2{op: opChallenge, id: challengeID, value: s.x.Server[:], text: []byte(s.name)}.marshal()
}

// challengeID is the MS-CHAPv2-ID of the only challenge.
const challengeID = 1

func (s *mschapv2Server) request(response []byte) ([]byte, error) {
	m, err := parseMSCHAPv2(response)
	switch {
	case err != nil:
		return nil, err
	case s.wrong != nil:
		return nil, s.wrong
	case m.op == opSuccess && s.response != nil:
		return nil, nil
	case m.op != opResponse || s.response != nil:
		return nil, fmt.Errorf("OpCode %d does not fit the state of the authentication", m.op)
	}
	s.x.Peer = [mschap.ChallengeLen]byte(m.value)
	theirs := m.value[mschap.ChallengeLen+8:][:mschap.ResponseLen]
	switch want := s.x.Response(); {
	case !bytes.Equal(m.text, s.x.User):
		s.wrong = fmt.Errorf("the peer says that it is %s, not %s", printable(m.text), printable(s.x.User))
	case subtle.ConstantTimeCompare(theirs, want) != 1:
		s.wrong = errors.New("the password is wrong")
	default:
		s.response = want
		text := fmt.Sprintf("S=%X M=OK", s.x.Proof(want))
		return mschapv2{op: opSuccess, id: m.id, text: []byte(text)}.marshal(), nil
	}
	// ERROR_AUTHENTICATION_FAILURE, with no other try (RFC 2759 section 6). The challenge is for one, and so of no use.
	text := fmt.Sprintf("E=691 R=0 C=%032X V=3 M=", 0)
	return mschapv2{op: opFailure, id: m.id, text: []byte(text)}.marshal(), nil
}
