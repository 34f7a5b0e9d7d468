package eap

import (
	"crypto/tls"
	"errors"
	"fmt"

	"mipsecd/internal/secret"
	"mipsecd/internal/tlsstep"
)

// TLSPeer proves by EAP-TLS to be who the certificate in cfg says. The identity is what it answers if it is asked for one.
func TLSPeer(identity string, cfg *tls.Config) Conversation {
	p := &tlsPeer{}
	p.handshake = tlsstep.Client(cfg, func(c *tls.Conn) error {
		if err := protectedSuccess(c); err != nil {
			return err
		}
		return p.export(c)
	})
	return &peer{identity: identity, kind: TypeTLS, method: p}
}

// TLSServer wants of the peer that it proves by EAP-TLS to be one whom cfg takes.
func TLSServer(cfg *tls.Config) Conversation {
	s := &tlsServer{}
	s.handshake = tlsstep.Server(cfg, func(c *tls.Conn) error {
		if c.ConnectionState().Version >= tls.VersionTLS13 {
			if _, err := c.Write([]byte{successIndication}); err != nil {
				return err
			}
		}
		return s.export(c)
	})
	return &server{kind: TypeTLS, method: s}
}

// successIndication is the only application data of EAP-TLS, by which a server of TLS 1.3 says that it takes the peer's
// certificate (RFC 9190 section 2.1.1). In TLS 1.2 its Finished says so.
const successIndication = 0

func protectedSuccess(c *tls.Conn) error {
	if c.ConnectionState().Version < tls.VersionTLS13 {
		return nil
	}
	var b [1]byte
	if _, err := c.Read(b[:]); err != nil {
		return err
	}
	if b[0] != successIndication {
		return fmt.Errorf("application data %d; want only the protected success indication, %d", b[0], successIndication)
	}
	return nil
}

// tlsMethod is what both sides have.
type tlsMethod struct {
	flights
	handshake *tlsstep.Handshake
	done      bool
	err       error // once done
	key       secret.Bytes
}

func (m *tlsMethod) close()            { m.handshake.Close() }
func (m *tlsMethod) msk() secret.Bytes { return m.key }

// export makes the MSK (RFC 9190 section 2.3, RFC 5216 section 2.3).
func (m *tlsMethod) export(c *tls.Conn) (err error) {
	cs := c.ConnectionState()
	if cs.Version >= tls.VersionTLS13 {
		m.key, err = cs.ExportKeyingMaterial("EXPORTER_EAP_TLS_Key_Material", []byte{byte(TypeTLS)}, 2*mskLen)
	} else {
		m.key, err = cs.ExportKeyingMaterial("client EAP encryption", nil, 2*mskLen)
	}
	if err == nil {
		m.key = m.key[:mskLen]
	}
	return err
}

// digest gives TLS a flight and takes the next one from it.
func (m *tlsMethod) digest(flight []byte) {
	m.out, m.done, m.err = m.handshake.Step(flight)
}

type tlsPeer struct {
	tlsMethod
	begun bool
}

func (p *tlsPeer) failure() error { return p.err }

func (p *tlsPeer) succeed() (secret.Bytes, error) {
	switch {
	case p.err != nil:
		return nil, p.err
	case !p.done || len(p.out) > 0:
		return nil, errors.New("EAP-Success before TLS is complete")
	}
	return p.key, nil
}

func (p *tlsPeer) respond(request []byte) ([]byte, error) {
	in, err := parseTLS(request)
	if err != nil {
		return nil, err
	}
	if start := in.flags&tlsStart != 0; start == p.begun {
		return nil, fmt.Errorf("flags %02x do not fit the state of the authentication", in.flags)
	}
	p.begun = true
	flight, whole, err := p.take(in)
	switch {
	case err != nil:
		return nil, err
	case !whole || len(p.out) > 0:
	case p.done && (p.err != nil || len(flight) > 0):
		return nil, errors.Join(p.err, errors.New("the server goes on after the end of TLS"))
	case !p.done:
		p.digest(flight) // if it fails, the server hears an alert or nothing more, and answers EAP-Failure
	}
	return p.give(), nil
}

type tlsServer struct{ tlsMethod }

func (*tlsServer) start() []byte { return tlsPacket{flags: tlsStart}.marshal() }

func (s *tlsServer) request(response []byte) ([]byte, error) {
	in, err := parseTLS(response)
	if err != nil {
		return nil, err
	}
	flight, whole, err := s.take(in)
	switch {
	case err != nil:
		return nil, err
	case !whole || len(s.out) > 0:
		return s.give(), nil
	case s.done && s.err == nil && len(flight) > 0:
		return nil, errors.New("the peer goes on after the end of TLS")
	case s.done:
		return nil, s.err
	case len(flight) == 0:
		return nil, errors.New("the peer gives up in the midst of TLS")
	}
	s.digest(flight)
	if s.done && len(s.out) == 0 {
		return nil, s.err
	}
	return s.give(), nil
}
