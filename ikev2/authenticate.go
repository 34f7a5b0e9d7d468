package ikev2

import (
	"errors"
	"fmt"
	"slices"

	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// authentication is one of the ways in which two peers prove to each other who they are (RFC 7296 section 2.15). What is
// slow of it is a job.
type authentication interface {
	// prove goes on with what proves that this side is id.
	prove(e *Engine, sa *ikeSA, id *wire.ID, then func(proof, error))
	// check goes on without an error if the payloads of IKE_AUTH prove that the peer is id, as far as the first exchange
	// is to prove that.
	check(e *Engine, sa *ikeSA, id *wire.ID, ps []wire.Payload, then func(error))
}

// proof is what one side says in IKE_AUTH to prove who it is.
type proof struct {
	certificates []wire.Payload // CERT, that of the signer first
	request      []wire.Payload // CERTREQ, for the other's
	auth         []wire.Payload // AUTH; none asks for EAP
}

// authentication is how the peer of a handshake proves who it is, and this side to it.
func (p *Peer) authentication(hs *handshake) authentication {
	signatures := certified{p.Credential, p.Trust, p.SHA1}
	switch {
	case hs.session != nil:
		return byTicket{}
	case p.EAP != nil:
		return &byEAP{signatures, p.EAP}
	case p.Trust != nil:
		return &signatures
	}
	return preShared{p.PSK}
}

// signed is what the side with the identity id signs: its own IKE_SA_INIT message, the other's nonce, the identity with its
// SK_p (RFC 7296 section 2.15), and the IKE_INTERMEDIATE exchanges.
func (sa *ikeSA) signed(id *wire.ID) []byte {
	message, nonce, key := sa.hs.request, sa.hs.nr, sa.keys.pi
	if !id.Initiator {
		message, nonce, key = sa.hs.response, sa.hs.ni, sa.keys.pr
	}
	body := append([]byte{byte(id.Kind), 0, 0, 0}, id.Data...)
	return slices.Concat(message, nonce, sa.suite.PRF.Sum(key, body), sa.hs.intAuth())
}

var errNoAuth = errors.New("IKE_AUTH without AUTH")

// preShared is a key that only the two have.
type preShared struct{ key secret.Bytes }

// keyPad is what a pre-shared key is hashed with first (RFC 7296 section 2.15).
const keyPad = "Key Pad for IKEv2"

func (p preShared) mac(sa *ikeSA, id *wire.ID) secret.Bytes {
	prf := sa.suite.PRF
	return prf.Sum(prf.Sum(p.key, []byte(keyPad)), sa.signed(id))
}

func (p preShared) prove(_ *Engine, sa *ikeSA, id *wire.ID, then func(proof, error)) {
	then(proof{auth: []wire.Payload{&wire.Auth{Method: wire.AuthSharedKey, Data: p.mac(sa, id)}}}, nil)
}

func (p preShared) check(_ *Engine, sa *ikeSA, id *wire.ID, ps []wire.Payload, then func(error)) {
	claim, ok := wire.Find[*wire.Auth](ps)
	switch {
	case !ok:
		then(errNoAuth)
	case claim.Method != wire.AuthSharedKey:
		then(fmt.Errorf("the authentication method is %s; want %s", claim.Method, wire.AuthSharedKey))
	case len(p.key) == 0 || !p.mac(sa, id).Equal(claim.Data):
		then(errors.New("it does not have the pre-shared key"))
	default:
		then(nil)
	}
}

// certified is a signature each, by keys that certificates tell the owner of.
type certified struct {
	own   *auth.Credential
	trust *auth.Trust
	sha1  bool
}

func (c *certified) prove(e *Engine, sa *ikeSA, id *wire.ID, then func(proof, error)) {
	octets, hashes, rnd, now, wanted := sa.signed(id), sa.hs.hashes, e.cfg.Rand, e.now, sa.hs.statusWanted
	certificates := c.own.Certificates()
	if sa.hs.looksUp {
		certificates = c.own.Published()
	}
	compute(e, sa, func() (proof, error) {
		a, err := c.own.Sign(rnd, octets, hashes, c.sha1)
		p := proof{certificates: certificates, request: c.requests(), auth: []wire.Payload{a}}
		if wanted && err == nil {
			if status := c.own.Status(c.trust, now); status != nil {
				p.certificates = append(p.certificates, status)
			}
		}
		return p, err
	}, then)
}

// requests asks for certificates of the authorities that are believed, if any is.
func (c *certified) requests() []wire.Payload {
	if c.trust == nil {
		return nil
	}
	return auth.Requests(c.trust)
}

func (c *certified) check(e *Engine, sa *ikeSA, id *wire.ID, ps []wire.Payload, then func(error)) {
	claim := auth.Claim{ID: id, Octets: sa.signed(id), Hashes: sa.hs.hashes != nil, SHA1: c.sha1}
	var ok bool
	if claim.Auth, ok = wire.Find[*wire.Auth](ps); !ok {
		then(errNoAuth)
		return
	}
	for _, p := range ps {
		if cert, ok := p.(*wire.Cert); ok {
			claim.Certificates = append(claim.Certificates, cert)
		}
	}
	now := e.now
	compute(e, sa, func() (any, error) { return nil, c.trust.Check(claim, now) }, func(_ any, err error) { then(err) })
}

// signatureHashes names in IKE_SA_INIT the hash algorithms for signatures (RFC 7427 section 4): an initiator if it is to
// prove itself by a certificate, a responder if the initiator does and may be such a one. There it asks for the certificate,
// too.
type signatureHashes struct{ silent }

func (signatureHashes) offerInit(_ *Engine, sa *ikeSA) []wire.Payload {
	if sa.peer.Trust == nil {
		return nil
	}
	return []wire.Payload{auth.HashNotify()}
}

func (signatureHashes) answerInit(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload {
	if e.cfg.CertRequests == nil && !e.cfg.Signs {
		return nil
	}
	var answer []wire.Payload
	if sa.hs.hashes = auth.HashesOf(request); sa.hs.hashes != nil {
		answer = append(answer, auth.HashNotify())
	}
	return append(answer, e.cfg.CertRequests...)
}

func (signatureHashes) initAnswered(_ *Engine, sa *ikeSA, response []wire.Payload) {
	sa.hs.hashes = auth.HashesOf(response)
	sa.hs.asked(response)
}

// asked takes from a message with CERTREQ what the peer wants beside it.
func (hs *handshake) asked(ps []wire.Payload) {
	hs.looksUp = wire.FindNotify(ps, wire.NotifyHTTPCertLookupSupported) != nil
	hs.statusWanted = auth.StatusWanted(ps)
}
