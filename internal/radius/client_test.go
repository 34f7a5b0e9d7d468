package radius

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mipsecd/internal/secret"
)

var (
	first  = netip.MustParseAddrPort("[2001:db8::1]:1812")
	second = netip.MustParseAddrPort("[2001:db8::2]:1812")
)

// network is servers by their address, without any network: each answers a packet with some datagrams.
type network struct {
	mu      sync.Mutex
	servers map[netip.AddrPort]func(request *packet) [][]byte
	asked   []netip.AddrPort
	sent    [][]byte
}

// client is a client in that network, which may only be used in a bubble of synctest.
func (n *network) client() *Client { return n.clientUntil(context.Background()) }

func (n *network) clientUntil(ctx context.Context) *Client {
	c := NewClient(ctx, Options{
		Servers: []netip.AddrPort{first, second}, Secret: secret.Bytes(testSecret), Timeout: 2 * time.Second, Tries: 3, Name: "ha",
	})
	c.dial = func(at netip.AddrPort) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			b := make([]byte, maxPacket)
			for {
				k, err := theirs.Read(b)
				if err != nil {
					return
				}
				for _, datagram := range n.arrives(at, slices.Clone(b[:k])) {
					theirs.Write(datagram)
				}
			}
		}()
		return ours, nil
	}
	return c
}

// arrives is what a server answers to a datagram.
func (n *network) arrives(at netip.AddrPort, datagram []byte) [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked, n.sent = append(n.asked, at), append(n.sent, datagram)
	request, err := parse(datagram)
	if err != nil {
		panic(err)
	}
	return n.servers[at](request)
}

func silent(*packet) [][]byte { return nil }

func accepting(code Code, change func(*packet)) func(*packet) [][]byte {
	return func(request *packet) [][]byte {
		return [][]byte{respond(request, secret.Bytes(testSecret), code, change)}
	}
}

func TestRFC3579_2_1_Conversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests []*packet
		n := &network{servers: map[netip.AddrPort]func(*packet) [][]byte{first: func(request *packet) [][]byte {
			requests = append(requests, request)
			if len(requests) == 1 {
				return accepting(AccessChallenge, func(p *packet) {
					p.add(state, []byte("state 1"))
					p.add(eapMessage, bytes.Repeat([]byte("question"), 100))
				})(request)
			}
			return accepting(AccessAccept, func(p *packet) {
				p.add(eapMessage, []byte("success"))
				p.add(userName, []byte("mn@example.org"))
				p.add(sessionTimeout, []byte{0, 0, 0x0e, 0x10})
				p.add(vendorSpecific, mppe(mppeRecvKey, request, []byte("received with")))
				p.add(vendorSpecific, mppe(mppeSendKey, request, []byte("sent with")))
			})(request)
		}}}
		s := n.client().Begin("mn@example.org")
		a, err := s.Ask([]byte("identity"), 1000)
		if err != nil || a.Code != AccessChallenge || len(a.EAP) != 800 {
			t.Fatalf("%+v, %v", a, err)
		}
		a, err = s.Ask(bytes.Repeat([]byte("answer"), 200), 1000)
		if err != nil || a.Code != AccessAccept || string(a.EAP) != "success" || a.User != "mn@example.org" || a.Timeout != time.Hour ||
			string(a.Receive) != "received with" || string(a.Send) != "sent with" {
			t.Fatalf("%+v, %v", a, err)
		}
		for i, r := range requests {
			eap := bytes.Join(r.all(eapMessage), nil)
			if string(r.all(userName)[0]) != "mn@example.org" || string(r.all(nasIdentifier)[0]) != "ha" || len(r.all(messageAuthenticator)) != 1 ||
				len(eap) != []int{8, 1200}[i] || len(r.all(state)) != i {
				t.Errorf("request %d: %+v", i+1, r)
			}
		}
		if string(requests[1].all(state)[0]) != "state 1" || requests[0].authenticator == requests[1].authenticator {
			t.Error("the second request has not the state of the first answer, and an authenticator of its own")
		}
	})
}

// A request is sent again with the same octets; what is no answer is passed over.
func TestRetransmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		reject := accepting(AccessReject, func(*packet) {})
		n.servers = map[netip.AddrPort]func(*packet) [][]byte{first: func(request *packet) [][]byte {
			if len(n.asked) < 3 {
				return nil
			}
			other := *request
			other.id++
			return append([][]byte{{1, 2, 3}, reject(&other)[0]}, reject(request)...)
		}}
		began := time.Now()
		a, err := n.client().Begin("mn").Ask([]byte("identity"), 1000)
		if err != nil || a.Code != AccessReject {
			t.Fatalf("%+v, %v", a, err)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.sent) != 3 || !bytes.Equal(n.sent[0], n.sent[2]) || time.Since(began) != 4*time.Second {
			t.Errorf("%d requests in %s", len(n.sent), time.Since(began))
		}
	})
}

// If a server does not answer, the next one is asked, and asked first from then on. Who has begun a conversation alone goes
// on with it.
func TestSeveralServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		challenge := accepting(AccessChallenge, func(p *packet) { p.add(eapMessage, []byte("question")) })
		n := &network{servers: map[netip.AddrPort]func(*packet) [][]byte{first: silent, second: challenge}}
		c := n.client()
		s := c.Begin("mn")
		ask := func(want ...netip.AddrPort) (err error) {
			t.Helper()
			n.mu.Lock()
			n.asked = nil
			n.mu.Unlock()
			_, err = s.Ask([]byte("answer"), 1000)
			n.mu.Lock()
			defer n.mu.Unlock()
			if !slices.Equal(n.asked, want) {
				t.Errorf("asked %v, want %v", n.asked, want)
			}
			return err
		}
		for _, err := range []error{ask(first, first, first, second), ask(second)} {
			if err != nil {
				t.Error(err)
			}
		}
		n.mu.Lock()
		n.servers = map[netip.AddrPort]func(*packet) [][]byte{first: challenge, second: silent}
		n.mu.Unlock()
		if err := ask(second, second, second); err == nil || !strings.Contains(err.Error(), "server [2001:db8::2]:1812 does not answer") {
			t.Errorf("got %v", err)
		}
		s = c.Begin("mn")
		if err := ask(second, second, second, first); err != nil {
			t.Error(err)
		}
	})
}

func TestNoServerAnswersRightly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{servers: map[netip.AddrPort]func(*packet) [][]byte{first: silent, second: func(request *packet) [][]byte {
			return [][]byte{respond(request, secret.Bytes("another secret"), AccessAccept, func(*packet) {})}
		}}}
		_, err := n.client().Begin("mn").Ask([]byte("identity"), 1000)
		const want = "RADIUS server [2001:db8::1]:1812 does not answer\n" +
			"RADIUS server [2001:db8::2]:1812 does not answer: the Response Authenticator is wrong; want the same secret on both sides"
		if err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	})
}

func TestEndOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{servers: map[netip.AddrPort]func(*packet) [][]byte{first: silent, second: silent}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if _, err := n.clientUntil(ctx).Begin("mn").Ask([]byte("identity"), 1000); err == nil || time.Since(began) != 3*time.Second {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
	})
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   Code
		change func(*packet)
		want   string
	}{
		{"a challenge without EAP", AccessChallenge, func(*packet) {}, "Access-Challenge without EAP-Message"},
		{"two states", AccessChallenge, func(p *packet) {
			p.add(eapMessage, []byte("question"))
			p.add(state, []byte{1})
			p.add(state, []byte{2})
		}, "2 attributes 24; want one"},
		{"a request", AccessRequest, func(*packet) {}, "answers with Access-Request"},
		{"half an MSK", AccessAccept, func(p *packet) {
			p.add(vendorSpecific, mppe(mppeRecvKey, p, []byte("received with")))
		}, "only one of MS-MPPE-Recv-Key and MS-MPPE-Send-Key"},
		{"a bad time", AccessAccept, func(p *packet) { p.add(sessionTimeout, []byte{1}) }, "a Session-Timeout of 1 octets"},
		{"two users", AccessAccept, func(p *packet) {
			p.add(userName, []byte("a"))
			p.add(userName, []byte("b"))
		}, "2 attributes 1; want one"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{servers: map[netip.AddrPort]func(*packet) [][]byte{first: accepting(c.code, c.change)}}
			if _, err := n.client().Begin("mn").Ask([]byte("identity"), 1000); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %s", c.name, err, c.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := new(network).client().Begin("mn").Ask(make([]byte, 5000), 1000); err == nil || !strings.Contains(err.Error(), "too many for RADIUS") {
			t.Errorf("got %v", err)
		}
	})
}
