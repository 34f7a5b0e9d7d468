package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mipsecd/configs"
	"mipsecd/ikev2"
	"mipsecd/ikev2/eap"
	"mipsecd/internal/radius"
	"mipsecd/internal/secret"
)

// AskRADIUS has RADIUS servers look at who the mobile nodes are that the configuration leaves to them, until ctx ends. It is
// to be called before an engine has the peers.
func AskRADIUS(ctx context.Context, c *configs.Config) {
	if c.RADIUS == nil {
		return
	}
	client := radius.NewClient(ctx, c.RADIUS.Options)
	for _, p := range c.Peers {
		if user, asked := c.RADIUS.Users[p.Name]; asked {
			p.EAP = &ikev2.EAP{Begin: func(time.Time, io.Reader) eap.Conversation {
				return &relay{server: client.Begin(user), user: user}
			}}
		}
	}
}

// relay is an EAP server that has a RADIUS server say what to answer (RFC 3579 section 2). Its steps wait for that: as jobs
// of the engine they hold nobody else up.
type relay struct {
	server interface {
		Ask(packet []byte, mtu int) (*radius.Answer, error)
	}
	user string
}

// relayMTU keeps what RADIUS servers send in one IKE message that needs no fragments.
const relayMTU = 1020

func (r *relay) Close() {}

// Step passes the peer's packet on; the first is the Identity that IKEv2 has brought.
func (r *relay) Step(packet []byte) (eap.Step, error) {
	if packet == nil {
		packet = eap.Packet{Code: eap.CodeResponse, Type: eap.TypeIdentity, Data: []byte(r.user)}.Marshal()
	}
	in, err := eap.Parse(packet)
	switch {
	case err != nil:
		return eap.Step{}, err
	case in.Code != eap.CodeResponse:
		return eap.Step{}, fmt.Errorf("the peer answers with %s; want a Response", in.Code)
	case in.Type == eap.TypeIdentity && string(in.Data) != r.user:
		return eap.Step{}, errors.New("the peer says that it is another user")
	}
	a, err := r.server.Ask(packet, relayMTU)
	if err != nil {
		return eap.Step{}, err
	}
	failure := eap.Step{Packet: eap.Packet{Code: eap.CodeFailure, ID: in.ID}.Marshal()}
	switch {
	case a.Code == radius.AccessChallenge:
		out, err := eap.Parse(a.EAP)
		if err == nil && out.Code != eap.CodeRequest {
			err = fmt.Errorf("%s; want a Request", out.Code)
		}
		if err != nil {
			return failure, fmt.Errorf("RADIUS: %w", err)
		}
		return eap.Step{Packet: a.EAP}, nil
	case a.Code == radius.AccessReject:
		return failure, errors.New("RADIUS: Access-Reject")
	case a.User != "" && !strings.EqualFold(a.User, r.user):
		return failure, fmt.Errorf("RADIUS: it is %q, not %q", a.User, r.user)
	}
	return eap.Step{
		Packet: eap.Packet{Code: eap.CodeSuccess, ID: in.ID}.Marshal(), Done: true, MSK: msk(a), Lifetime: a.Timeout,
	}, nil
}

// msk puts the halves together (RFC 2548, RFC 5216 section 2.3). An MSK has 64 octets at least (RFC 3748 section 7.10); what
// shorter keys leave is zeros.
func msk(a *radius.Answer) secret.Bytes {
	if a.Receive == nil {
		return nil
	}
	key := append(append(secret.Bytes{}, a.Receive...), a.Send...)
	return append(key, make([]byte, max(0, 64-len(key)))...)
}
