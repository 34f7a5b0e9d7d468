package eap

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"
	"time"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/testpki"
)

var now = time.Unix(1_000_000_000, 0)

// papers are TLS configurations of both sides.
type papers struct {
	root         *testpki.Authority
	peer, server *tls.Config
}

func mnName(c *x509.Certificate) { c.EmailAddresses = []string{user} }
func haName(c *x509.Certificate) { c.DNSNames = []string{"ha.example.org"} }

// issue makes papers of one authority; peer and server may change the certificates.
func issue(t *testing.T, peer, server func(*x509.Certificate)) *papers {
	t.Helper()
	p := &papers{root: testpki.NewAuthority(t, "root")}
	trust, err := auth.NewTrust([]*x509.Certificate{p.root.Certificate}, nil)
	if err != nil {
		t.Fatal(err)
	}
	own := func(name string, change func(*x509.Certificate)) *auth.Credential {
		key := testpki.Key("P-256")
		c, err := auth.NewCredential(key, []*x509.Certificate{p.root.Issue(t, name, key, change)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	p.peer = auth.TLSClient(own("mn", peer), trust, &wire.ID{Kind: wire.IDFQDN, Data: []byte("ha.example.org")}, now)
	p.server = auth.TLSServer(own("ha", server), trust, &wire.ID{Kind: wire.IDRFC822Addr, Data: []byte(user)}, now)
	return p
}

func (p *papers) talk(t *testing.T, change func(int, bool, []byte) []byte) (Step, Step, error, error) {
	t.Helper()
	return talk(t, TLSPeer(user, p.peer), TLSServer(p.server), change)
}

var versions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

func TestRFC5216_RFC9190_TLS(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			p := issue(t, mnName, haName)
			p.peer.MaxVersion = version
			peer, server, pErr, sErr := p.talk(t, nil)
			agree(t, peer, server, pErr, sErr)
		})
	}
}

// padding makes a certificate long.
func padding(octets int) []pkix.Extension {
	return []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: make([]byte, octets)}}
}

// Long certificates take many packets, both ways.
func TestRFC5216_2_1_5_Fragments(t *testing.T) {
	p := issue(t, func(c *x509.Certificate) {
		mnName(c)
		c.ExtraExtensions = padding(9000)
	}, func(c *x509.Certificate) {
		haName(c)
		c.ExtraExtensions = padding(20000)
	})
	fragments := map[bool]int{}
	peer, server, pErr, sErr := p.talk(t, func(_ int, toPeer bool, packet []byte) []byte {
		if len(packet) > maxFragment+10 {
			t.Errorf("a packet of %d octets", len(packet))
		}
		if len(packet) > maxFragment {
			fragments[toPeer]++
		}
		return packet
	})
	agree(t, peer, server, pErr, sErr)
	if fragments[true] < 20 || fragments[false] < 9 {
		t.Errorf("full packets %v; want 20 to the peer and 9 from it", fragments)
	}
}

func TestTLSRefusals(t *testing.T) {
	for _, c := range []struct {
		name                 string
		peer, server         func(*x509.Certificate)
		peerSays, serverSays string
	}{
		{"another peer", haName, haName, "bad certificate", "is not of \"mn@example.org\""},
		{"another server", mnName, mnName, "is not of \"ha.example.org\"", "bad certificate"},
		{"an expired peer", func(c *x509.Certificate) {
			mnName(c)
			c.NotAfter = now.Add(-time.Hour)
		}, haName, "bad certificate", "has expired"},
		{"a server by a peer's certificate", mnName, func(c *x509.Certificate) {
			haName(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}, "not for this side of TLS", "bad certificate"},
	} {
		for name, version := range versions {
			t.Run(c.name+", "+name, func(t *testing.T) {
				p := issue(t, c.peer, c.server)
				p.peer.MaxVersion = version
				_, server, pErr, sErr := p.talk(t, nil)
				fail(t, server, pErr, sErr, c.peerSays, c.serverSays)
			})
		}
	}
}

func TestTLSOfAnotherAuthority(t *testing.T) {
	p, other := issue(t, mnName, haName), issue(t, mnName, haName)
	p.peer.Certificates = other.peer.Certificates
	_, server, pErr, sErr := p.talk(t, nil)
	fail(t, server, pErr, sErr, "bad certificate", "leads to no authority of ours")
}

// EAP-Success cannot be forged before TLS is complete; in TLS 1.3 that is when the server has taken the peer's certificate.
func TestRFC9190_2_1_1_SuccessTooEarly(t *testing.T) {
	for round := range 3 {
		p := issue(t, mnName, haName)
		_, _, pErr, _ := p.talk(t, func(r int, toPeer bool, packet []byte) []byte {
			if toPeer && r == round {
				return Packet{Code: CodeSuccess, ID: packet[1]}.Marshal()
			}
			return packet
		})
		fail(t, Step{}, pErr, nil, "EAP-Success before TLS is complete", "")
	}
}

func TestRFC5216_2_1_5_Bounds(t *testing.T) {
	full := make([]byte, maxFragment)
	for _, c := range []struct {
		name    string
		packets []tlsPacket
		want    string
	}{
		{"announced", []tlsPacket{{flags: tlsLength | tlsMore, length: maxFlight + 1, data: full}}, "a flight of 65537 octets; want at most 65536"},
		{"endless", slices.Repeat([]tlsPacket{{flags: tlsMore, data: full}}, 66), "a flight of 66000 octets"},
		{"empty fragments", []tlsPacket{{flags: tlsMore}}, "an empty fragment"},
		{"shorter", []tlsPacket{{flags: tlsLength, length: 5, data: []byte("abc")}}, "TLS Message Length: 5; want 3"},
		{"gives up", []tlsPacket{{}}, "gives up"},
		{"no TLS", []tlsPacket{{data: full}}, "tls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := TLSServer(issue(t, mnName, haName).server)
			defer s.Close()
			last, err := s.Step(nil)
			for _, p := range append(c.packets, tlsPacket{}) {
				if err == nil {
					last, err = s.Step(Packet{Code: CodeResponse, ID: last.Packet[1], Type: TypeTLS, Data: p.marshal()}.Marshal())
				}
			}
			fail(t, last, nil, err, "", c.want)
		})
	}
}

func TestRFC5216_2_1_3_StartOnce(t *testing.T) {
	p := TLSPeer(user, issue(t, mnName, haName).peer)
	defer p.Close()
	for i, flags := range []uint8{tlsStart, tlsStart} {
		_, err := p.Step(Packet{Code: CodeRequest, Type: TypeTLS, Data: []byte{flags}}.Marshal())
		if i == 1 && (err == nil || !strings.Contains(err.Error(), "do not fit the state")) || i == 0 && err != nil {
			t.Errorf("start %d: %v", i+1, err)
		}
	}
}
