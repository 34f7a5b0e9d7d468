package agent

import (
	"bytes"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"mipsecd/configs"
	"mipsecd/ikev2"
	"mipsecd/ikev2/eap"
	"mipsecd/internal/radius"
	"mipsecd/internal/secret"
)

// oracle is a RADIUS server that gives one answer.
type oracle struct {
	answer *radius.Answer
	err    error
	asked  []byte
}

func (o *oracle) Ask(packet []byte, _ int) (*radius.Answer, error) {
	o.asked = packet
	return o.answer, o.err
}

const user = "mn@example.org"

func response(id uint8, kind eap.Type, data string) []byte {
	return eap.Packet{Code: eap.CodeResponse, ID: id, Type: kind, Data: []byte(data)}.Marshal()
}

// The first packet is the peer's Identity, as if it had been asked for it.
func TestRFC3579_2_1_IdentityFirst(t *testing.T) {
	question := eap.Packet{Code: eap.CodeRequest, ID: 1, Type: eap.TypeTLS, Data: []byte{0x20}}.Marshal()
	o := &oracle{answer: &radius.Answer{Code: radius.AccessChallenge, EAP: question}}
	s, err := (&relay{server: o, user: user}).Step(nil)
	if err != nil || !bytes.Equal(s.Packet, question) || s.Done || !bytes.Equal(o.asked, response(0, eap.TypeIdentity, user)) {
		t.Errorf("%+v, %v, asked with %x", s, err, o.asked)
	}
}

func TestRFC3579_2_1_Accepted(t *testing.T) {
	a := &radius.Answer{
		Code: radius.AccessAccept, User: "MN@example.org", Receive: secret.Bytes("receive"), Send: secret.Bytes("send"), Timeout: time.Hour,
	}
	s, err := (&relay{server: &oracle{answer: a}, user: user}).Step(response(7, eap.TypeTLS, "\x00"))
	success := eap.Packet{Code: eap.CodeSuccess, ID: 7}.Marshal()
	if err != nil || !s.Done || !bytes.Equal(s.Packet, success) || s.Lifetime != time.Hour ||
		!bytes.Equal(s.MSK, append([]byte("receivesend"), make([]byte, 53)...)) {
		t.Errorf("%+v, %v", s, err)
	}
	a.Receive, a.Send = nil, nil
	if s, err = (&relay{server: &oracle{answer: a}, user: user}).Step(response(7, 4, "MD5")); err != nil || s.MSK != nil || !s.Done {
		t.Errorf("a method without key: %+v, %v", s, err)
	}
}

func TestRADIUSRefusals(t *testing.T) {
	failure := eap.Packet{Code: eap.CodeFailure, ID: 7}.Marshal()
	right := response(7, eap.TypeTLS, "\x00")
	for _, c := range []struct {
		name   string
		packet []byte
		oracle oracle
		says   []byte // to the peer
		want   string
	}{
		{"rejected", right, oracle{answer: &radius.Answer{Code: radius.AccessReject}}, failure, "RADIUS: Access-Reject"},
		{"another is accepted", right, oracle{answer: &radius.Answer{Code: radius.AccessAccept, User: "other"}}, failure,
			`RADIUS: it is "other", not "mn@example.org"`},
		{"no EAP", right, oracle{answer: &radius.Answer{Code: radius.AccessChallenge, EAP: []byte{1}}}, failure, "RADIUS: EAP header"},
		{"no question", right, oracle{answer: &radius.Answer{Code: radius.AccessChallenge, EAP: []byte{3, 1, 0, 4}}}, failure,
			"RADIUS: Success; want a Request"},
		{"nobody answers", right, oracle{err: errors.New("nobody answers")}, nil, "nobody answers"},
		{"no packet", []byte{1}, oracle{}, nil, "EAP header"},
		{"no response", failure, oracle{}, nil, "the peer answers with Failure; want a Response"},
		{"another user", response(7, eap.TypeIdentity, "other"), oracle{}, nil, "another user"},
	} {
		s, err := (&relay{server: &c.oracle, user: user}).Step(c.packet)
		if err == nil || !strings.Contains(err.Error(), c.want) || s.Done || !bytes.Equal(s.Packet, c.says) {
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
	}
}

func TestOnlyUsersAreAskedAbout(t *testing.T) {
	own := &ikev2.EAP{}
	asked, other := &ikev2.Peer{Name: "asked", EAP: &ikev2.EAP{}}, &ikev2.Peer{Name: "other", EAP: own}
	c := &configs.Config{Peers: []*ikev2.Peer{asked, other}}
	AskRADIUS(t.Context(), c)
	if asked.EAP.Begin != nil {
		t.Error("without RADIUS servers, they are asked")
	}
	c.RADIUS = &configs.RADIUS{Users: map[string]string{"asked": user}}
	AskRADIUS(t.Context(), c)
	if asked.EAP.Begin == nil || other.EAP != own || own.Begin != nil {
		t.Errorf("%+v, %+v", asked.EAP, other.EAP)
	}
	conversation, ok := asked.EAP.Begin(time.Time{}, nil).(*relay)
	if !ok || conversation.user != user {
		t.Errorf("got %+v", conversation)
	}
}

// However many jobs wait for a RADIUS server, the next one is done at once.
func TestSlowJobsHoldNobodyUp(t *testing.T) {
	s := running(t, filepath.Join(t.TempDir(), "control")).shards[0]
	answered := make(chan struct{})
	for range 4 * runtime.GOMAXPROCS(0) {
		s.job(1, func() (any, error) {
			<-answered
			return nil, nil
		})
	}
	done := make(chan struct{})
	s.job(2, func() (any, error) {
		close(done)
		return nil, nil
	})
	<-done
	close(answered)
}
