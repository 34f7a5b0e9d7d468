package radius

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"mipsecd/internal/secret"
)

// Port is where servers listen (RFC 2865 section 3).
const Port = 1812

// Options say whom a Client asks.
type Options struct {
	// Servers are asked in this order until one answers; later on, first the one that answered last.
	Servers []netip.AddrPort
	Secret  secret.Bytes // shared with all of them
	// Timeout is the wait for an answer before a request is sent again, Tries how often it is sent to each server.
	Timeout time.Duration
	Tries   int
	// Name is this host's NAS-Identifier.
	Name string
}

// Client asks RADIUS servers. It may be used by several goroutines.
type Client struct {
	ctx  context.Context
	opt  Options
	good atomic.Uint32 // the server that has answered last
	dial func(netip.AddrPort) (net.Conn, error)
}

// NewClient makes a client, which gives all requests up when ctx ends. It opens a socket for each request only.
func NewClient(ctx context.Context, opt Options) *Client {
	return &Client{ctx: ctx, opt: opt, dial: func(server netip.AddrPort) (net.Conn, error) {
		return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	}}
}

// Session is the authentication of one user. It is not for concurrent use.
type Session struct {
	client *Client
	user   string
	state  []byte // of the server that has begun, which alone can go on
	server uint32
	begun  bool
}

// Begin begins the authentication of a user, whose name has at most 253 octets, without asking yet.
func (c *Client) Begin(user string) *Session { return &Session{client: c, user: user} }

// Answer is what a server says.
type Answer struct {
	Code Code
	EAP  []byte // the EAP packet for the peer; with an Access-Challenge there is one
	// Of an Access-Accept: User is the name of whom it accepts, empty if it does not say. Receive and Send are the parts of
	// the MSK in their order, nil if the method makes none. Timeout is how long the authentication is good for; zero is for
	// ever.
	User          string
	Receive, Send secret.Bytes
	Timeout       time.Duration
}

// portVirtual is a NAS-Port-Type (RFC 2865 section 5.41).
const portVirtual = 5

// Ask passes an EAP packet of the user on, and waits for what a server says. The EAP packets that servers send have at most
// mtu octets, if they listen to that.
func (s *Session) Ask(eap []byte, mtu int) (*Answer, error) {
	p := &packet{code: AccessRequest}
	p.add(userName, []byte(s.user))
	p.add(nasIdentifier, []byte(s.client.opt.Name[:min(len(s.client.opt.Name), maxValue)]))
	p.add(nasPortType, binary.BigEndian.AppendUint32(nil, portVirtual))
	p.add(framedMTU, binary.BigEndian.AppendUint32(nil, uint32(mtu)))
	if s.state != nil {
		p.add(state, s.state)
	}
	p.add(eapMessage, eap)
	var seed [17]byte
	rand.Read(seed[:])
	p.id, p.authenticator = seed[16], [16]byte(seed[:16])
	octets := p.sealed(s.client.opt.Secret)
	if len(octets) > maxPacket {
		return nil, fmt.Errorf("an EAP packet of %d octets, too many for RADIUS", len(eap))
	}
	response, err := s.exchange(p, octets)
	if err != nil {
		return nil, err
	}
	return s.answer(p, response)
}

// exchange asks the server that has begun, or else one after the other.
func (s *Session) exchange(request *packet, octets []byte) (*packet, error) {
	c := s.client
	if s.begun {
		return c.ask(s.server, request, octets)
	}
	var errs []error
	first, n := c.good.Load(), uint32(len(c.opt.Servers))
	for i := range n {
		s.server = (first + i) % n
		response, err := c.ask(s.server, request, octets)
		if err == nil {
			c.good.Store(s.server)
			s.begun = true
			return response, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// ask asks one server, each time with the same octets (RFC 5080 section 2.2.1). A socket for each request makes its
// identifier unique, and what an off-path forger has to guess longer.
func (c *Client) ask(server uint32, request *packet, octets []byte) (*packet, error) {
	at := c.opt.Servers[server]
	conn, err := c.dial(at)
	if err != nil {
		return nil, fmt.Errorf("RADIUS server %s: %w", at, err)
	}
	defer conn.Close()
	defer context.AfterFunc(c.ctx, func() { conn.Close() })()
	var last error
	for try := 0; try < c.opt.Tries && c.ctx.Err() == nil; try++ {
		if _, err := conn.Write(octets); err != nil {
			last = err
		}
		response, err := c.await(conn, request)
		if response != nil {
			return response, nil
		}
		if err != nil {
			last = err
		}
	}
	err = fmt.Errorf("RADIUS server %s does not answer", at)
	if last != nil {
		err = fmt.Errorf("%w: %w", err, last)
	}
	return nil, err
}

// await takes answers until one is the server's, for as long as Timeout. The error is what was wrong with the last other.
func (c *Client) await(conn net.Conn, request *packet) (*packet, error) {
	var wrong error
	end := time.Now().Add(c.opt.Timeout)
	if err := conn.SetReadDeadline(end); err != nil {
		return nil, err
	}
	b := make([]byte, maxPacket)
	for {
		n, err := conn.Read(b)
		switch {
		case err == nil:
			response, err := open(b[:n], request, c.opt.Secret)
			if err == nil {
				return response, nil
			}
			wrong = err
		case c.ctx.Err() != nil || !time.Now().Before(end):
			return nil, wrong
		default: // nobody listens there: perhaps it will
			wrong = err
			select {
			case <-time.After(time.Until(end)):
			case <-c.ctx.Done():
			}
		}
	}
}

// answer reads what a server says.
func (s *Session) answer(request, response *packet) (a *Answer, err error) {
	a = &Answer{Code: response.code, EAP: bytes.Join(response.all(eapMessage), nil)}
	switch a.Code {
	case AccessReject:
		return a, nil
	case AccessChallenge:
		if len(a.EAP) == 0 {
			return nil, fmt.Errorf("%s without EAP-Message", a.Code)
		}
		s.state, _, err = response.one(state)
		return a, err
	case AccessAccept:
		return a, s.accepted(a, request, response)
	}
	return nil, fmt.Errorf("RADIUS server answers with %s", a.Code)
}

func (s *Session) accepted(a *Answer, request, response *packet) error {
	user, _, err := response.one(userName)
	if err != nil {
		return err
	}
	a.User = string(user)
	if a.Receive, err = response.mppeKey(mppeRecvKey, request, s.client.opt.Secret); err != nil {
		return err
	}
	if a.Send, err = response.mppeKey(mppeSendKey, request, s.client.opt.Secret); err != nil {
		return err
	}
	if (a.Receive == nil) != (a.Send == nil) {
		return errors.New("only one of MS-MPPE-Recv-Key and MS-MPPE-Send-Key; want both or none")
	}
	timeout, ok, err := response.one(sessionTimeout)
	switch {
	case err != nil || !ok:
		return err
	case len(timeout) != 4:
		return fmt.Errorf("a Session-Timeout of %d octets; want 4", len(timeout))
	}
	a.Timeout = time.Duration(binary.BigEndian.Uint32(timeout)) * time.Second
	return nil
}
