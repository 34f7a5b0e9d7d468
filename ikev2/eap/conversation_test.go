package eap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mipsecd/internal/secret"
)

func random(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// talk lets two sides talk to the end. Change may alter packets underway; nil leaves them.
func talk(
	t *testing.T, peer, server Conversation, change func(round int, toPeer bool, packet []byte) []byte,
) (p, s Step, pErr, sErr error) {
	t.Helper()
	defer peer.Close()
	defer server.Close()
	if change == nil {
		change = func(_ int, _ bool, packet []byte) []byte { return packet }
	}
	for round := range 200 {
		if s, sErr = server.Step(p.Packet); s.Packet == nil {
			t.Fatalf("the server has nothing to say: %v", sErr)
		}
		if p, pErr = peer.Step(change(round, true, s.Packet)); pErr != nil || p.Done || sErr != nil {
			return p, s, pErr, sErr
		}
		p.Packet = change(round, false, p.Packet)
	}
	t.Fatal("rounds without end")
	return
}

// agree holds that both have succeeded with one MSK.
func agree(t *testing.T, p, s Step, pErr, sErr error) {
	t.Helper()
	if pErr != nil || sErr != nil || !p.Done || !s.Done || len(p.MSK) < mskLen || !p.MSK.Equal(s.MSK) {
		t.Errorf("peer %v, %v; server %v, %v", p.Done, pErr, s.Done, sErr)
	}
}

// fail holds what each side says of a failure, and that the server says so to the peer.
func fail(t *testing.T, s Step, pErr, sErr error, peerSays, serverSays string) {
	t.Helper()
	for _, c := range []struct {
		err  error
		want string
	}{{pErr, peerSays}, {sErr, serverSays}} {
		if c.want == "" && c.err != nil || c.err == nil && c.want != "" || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("got %v, want %q", c.err, c.want)
		}
	}
	if in, err := Parse(s.Packet); sErr != nil && (err != nil || in.Code != CodeFailure) {
		t.Errorf("the server's last word is %+v, %v", in, err)
	}
}

const user = "mn@example.org"

func passwords(peer, server string) (Conversation, Conversation) {
	return MSCHAPv2Peer(user, secret.Bytes(peer), random(1)), MSCHAPv2Server("ha.example.org", user, secret.Bytes(server), random(2))
}

func TestMSCHAPv2(t *testing.T) {
	p, s := passwords("a password", "a password")
	peer, server, pErr, sErr := talk(t, p, s, nil)
	agree(t, peer, server, pErr, sErr)
	// draft-kamath-pppext-eap-mschapv2: two keys of 16 octets, the rest is zeros.
	if !bytes.Equal(peer.MSK[32:], make([]byte, 32)) || bytes.Equal(peer.MSK[:16], peer.MSK[16:32]) {
		t.Error("the MSK is not two keys and zeros")
	}
}

func TestMSCHAPv2WrongPassword(t *testing.T) {
	p, s := passwords("a password", "another")
	_, server, pErr, sErr := talk(t, p, s, nil)
	fail(t, server, pErr, sErr, "the server refuses the password: \"E=691 R=0", "the password is wrong")
}

func TestMSCHAPv2WrongUser(t *testing.T) {
	p := MSCHAPv2Peer("other@example.org", secret.Bytes("a password"), random(1))
	_, s := passwords("", "a password")
	_, server, pErr, sErr := talk(t, p, s, nil)
	fail(t, server, pErr, sErr, "refuses", `the peer says that it is "other@example.org", not "mn@example.org"`)
}

// A server that does not know the password cannot pretend that the peer has proven itself.
func TestMSCHAPv2FalseServer(t *testing.T) {
	for _, c := range []struct{ forged, want string }{
		{"S=" + strings.Repeat("0", 40), "the server does not know the password"},
		{"S=", "the server does not know the password"},
		{"M=OK", "the server does not know the password"},
		{"S=" + strings.Repeat("x", 40), "the server does not know the password"},
	} {
		p, s := passwords("a password", "a password")
		_, _, pErr, _ := talk(t, p, s, func(round int, toPeer bool, packet []byte) []byte {
			if !toPeer || round != 1 {
				return packet
			}
			in, _ := Parse(packet)
			in.Data = mschapv2{op: opSuccess, id: 1, text: []byte(c.forged)}.marshal()
			return in.Marshal()
		})
		fail(t, Step{}, pErr, nil, c.want, "")
	}
}

func TestRFC3748_4_2_SuccessTooEarly(t *testing.T) {
	for round := range 2 {
		p, s := passwords("a password", "a password")
		_, _, pErr, _ := talk(t, p, s, func(r int, toPeer bool, packet []byte) []byte {
			if toPeer && r == round {
				return Packet{Code: CodeSuccess, ID: packet[1]}.Marshal()
			}
			return packet
		})
		fail(t, Step{}, pErr, nil, "EAP-Success from a server that has not proven", "")
	}
}

func TestRFC3748_5_QuestionsBesideTheMethod(t *testing.T) {
	p, _ := passwords("a password", "")
	for _, c := range []struct {
		request, want Packet
	}{
		{Packet{CodeRequest, 7, TypeIdentity, []byte("?")}, Packet{CodeResponse, 7, TypeIdentity, []byte(user)}},
		{Packet{CodeRequest, 8, TypeNotification, []byte("hello")}, Packet{CodeResponse, 8, TypeNotification, nil}},
		{Packet{CodeRequest, 9, 4, []byte("MD5")}, Packet{CodeResponse, 9, TypeNak, []byte{26}}},
		{Packet{CodeRequest, 10, 254, make([]byte, 7)}, Packet{CodeResponse, 10, TypeNak, []byte{26}}},
	} {
		got, err := p.Step(c.request.Marshal())
		if err != nil || !bytes.Equal(got.Packet, c.want.Marshal()) {
			t.Errorf("%+v: got %x, %v; want %x", c.request, got.Packet, err, c.want.Marshal())
		}
	}
	for code, want := range map[Code]string{CodeResponse: "sends an EAP-Response", CodeFailure: "answers EAP-Failure"} {
		if _, err := p.Step(Packet{Code: code, Type: 1}.Marshal()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", code, err, want)
		}
	}
}

func TestRFC3748_5_3_1_NakEndsIt(t *testing.T) {
	_, s := passwords("", "a password")
	first, err := s.Step(nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.Step(Packet{Code: CodeResponse, ID: first.Packet[1], Type: TypeNak, Data: []byte{13}}.Marshal())
	fail(t, answer, nil, err, "", "the peer does not take EAP-MSCHAPv2, but [EAP-TLS]")
}

func TestRFC3748_4_1_ServerRefusesWhatIsNoAnswer(t *testing.T) {
	for _, c := range []struct {
		packet Packet
		want   string
	}{
		{Packet{CodeResponse, 9, TypeMSCHAPv2, []byte{3}}, "answers with Response 9; want Response 1"},
		{Packet{CodeRequest, 1, TypeMSCHAPv2, []byte{3}}, "answers with Request 1; want Response 1"},
		{Packet{CodeResponse, 1, TypeTLS, []byte{0}}, "answers with EAP-TLS; want EAP-MSCHAPv2"},
		{Packet{CodeResponse, 1, TypeMSCHAPv2, []byte{3}}, "OpCode 3 does not fit"},
		{Packet{CodeResponse, 1, TypeMSCHAPv2, []byte{2}}, "header"},
	} {
		_, s := passwords("", "a password")
		if _, err := s.Step(nil); err != nil {
			t.Fatal(err)
		}
		answer, err := s.Step(c.packet.Marshal())
		fail(t, answer, nil, err, "", c.want)
	}
}

// However a packet is damaged, neither side succeeds alone with it, and nobody panics.
func TestDamagedPackets(t *testing.T) {
	for round := range 3 {
		for _, toPeer := range []bool{true, false} {
			for i := range 60 {
				p, s := passwords("a password", "a password")
				peer, server, pErr, sErr := talk(t, p, s, func(r int, to bool, packet []byte) []byte {
					if r == round && to == toPeer && i < len(packet) {
						packet = bytes.Clone(packet)
						packet[i] ^= 1
					}
					return packet
				})
				if peer.Done && pErr == nil && sErr == nil && !peer.MSK.Equal(server.MSK) {
					t.Error(fmt.Sprintf("round %d, to peer %v, octet %d:", round, toPeer, i), "two MSKs")
				}
			}
		}
	}
}
