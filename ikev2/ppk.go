package ikev2

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// PPK is a post-quantum pre-shared key (RFC 8784): mixed into the keys of a new IKE_SA, it keeps what they protect from one
// who breaks the key exchange later. It does not prove who has it.
type PPK struct {
	ID  string // by which the initiator names the key; goes as PPK_ID_FIXED (section 5.1)
	Key secret.Bytes
	// Required refuses a peer that does not use the key. Else an IKE_SA may be set up without.
	Required bool
}

const ppkIDFixed = 2

func (k *PPK) identity() []byte { return append([]byte{ppkIDFixed}, k.ID...) }

// required is false for no key at all.
func (k *PPK) required() bool { return k != nil && k.Required }

// ppks agrees in IKE_SA_INIT that there be such a key, and in IKE_AUTH on which.
type ppks struct{}

func (ppks) offerInit(_ *Engine, sa *ikeSA) []wire.Payload {
	if sa.peer.PPK == nil {
		return nil
	}
	return []wire.Payload{&wire.Notify{Kind: wire.NotifyUsePPK}}
}

func (ppks) answerInit(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload {
	if !e.cfg.PPK || !offersPPK(request) {
		return nil
	}
	sa.hs.wantsPPK = true
	return []wire.Payload{&wire.Notify{Kind: wire.NotifyUsePPK}}
}

func (ppks) initAnswered(_ *Engine, sa *ikeSA, response []wire.Payload) {
	sa.hs.wantsPPK = sa.peer.PPK != nil && offersPPK(response)
}

func offersPPK(ps []wire.Payload) bool { return wire.FindNotify(ps, wire.NotifyUsePPK) != nil }

// offerAuth goes with AUTH, which with EAP is not in the first message.
func (ppks) offerAuth(_ *Engine, sa *ikeSA) []wire.Payload {
	if !sa.hs.mixed() {
		return nil
	}
	ps := []wire.Payload{&wire.Notify{Kind: wire.NotifyPPKIdentity, Data: sa.peer.PPK.identity()}}
	if without := sa.hs.authWithoutPPK; without != nil {
		ps = append(ps, &wire.Notify{Kind: wire.NotifyNoPPKAuth, Data: without})
	}
	return ps
}

func (x ppks) answerAuth(e *Engine, sa *ikeSA, request []wire.Payload) []wire.Payload {
	x.authAnswered(e, sa, request)
	if !sa.hs.mixed() {
		return nil
	}
	return []wire.Payload{&wire.Notify{Kind: wire.NotifyPPKIdentity}}
}

// authAnswered tells of an IKE_SA that does without a key, as RFC 8784 section 6 advises.
func (ppks) authAnswered(e *Engine, sa *ikeSA, _ []wire.Payload) {
	if sa.peer.PPK != nil && !sa.ppk {
		e.emit(Dropped{Remote: sa.remote, Err: fmt.Errorf("%s does not use the PPK, which is optional", sa.peer.Name)})
	}
}

// withPPK has this side, as the initiator, prove who it is with the PPK if there is to be one; where that is optional,
// without it as well.
func (sa *ikeSA) withPPK(prove func(func(proof, error)), then func(proof, error)) {
	if !sa.hs.wantsPPK || sa.hs.beforeEAP(sa.peer) {
		prove(then)
		return
	}
	with := func() {
		sa.mix(sa.peer.PPK)
		prove(then)
	}
	if sa.peer.PPK.Required {
		with()
		return
	}
	prove(func(without proof, err error) {
		if err != nil {
			then(proof{}, err)
			return
		}
		if a, ok := wire.Find[*wire.Auth](without.auth); ok {
			sa.hs.authWithoutPPK = a.Data
		}
		with()
	})
}

// ppkAnswered goes by what the responder says of the PPK beside its AUTH.
func (sa *ikeSA) ppkAnswered(ps []wire.Payload) error {
	_, proves := wire.Find[*wire.Auth](ps)
	switch {
	case !proves || !sa.hs.mixed():
		return nil
	case wire.FindNotify(ps, wire.NotifyPPKIdentity) != nil:
		sa.ppk = true
		return nil
	case sa.peer.PPK.Required:
		return &identityError{"the peer does not use the PPK, which is required"}
	}
	sa.keys, sa.hs.unmixed = sa.hs.unmixed, ikeKeys{}
	return nil
}

// ppkAsked goes by what an initiator says of the PPK (RFC 8784 section 3, table 1). It yields the payloads with the AUTH
// that counts.
func (sa *ikeSA) ppkAsked(peer *Peer, ps []wire.Payload) ([]wire.Payload, error) {
	identity := wire.FindNotify(ps, wire.NotifyPPKIdentity)
	without := wire.FindNotify(ps, wire.NotifyNoPPKAuth)
	switch {
	case sa.hs.beforeEAP(peer), sa.hs.session != nil: // keys of a session are not mixed again
		return ps, nil
	case !sa.hs.wantsPPK && peer.PPK.required():
		return nil, errors.New("it uses no PPK, which is required")
	case !sa.hs.wantsPPK:
		return ps, nil
	case identity == nil:
		return nil, errors.New("PPK_IDENTITY is missing")
	case peer.PPK != nil && bytes.Equal(identity.Data, peer.PPK.identity()):
		sa.ppk = true
		sa.mix(peer.PPK)
		return ps, nil
	case peer.PPK.required() || without == nil:
		return nil, fmt.Errorf("the PPK %s is not that of the peer", printable(string(identity.Data[min(1, len(identity.Data)):])))
	}
	ps = slices.Clone(ps)
	for i, p := range ps {
		if a, ok := p.(*wire.Auth); ok {
			ps[i] = &wire.Auth{Method: a.Method, Data: without.Data}
		}
	}
	return ps, nil
}

// beforeEAP reports whether it is yet to be proven who a peer is, by EAP: AUTH, and what is said of the PPK, come after it.
func (hs *handshake) beforeEAP(peer *Peer) bool { return peer.EAP != nil && hs.dialogue == nil }

// mixed reports whether the PPK is in the keys.
func (hs *handshake) mixed() bool { return hs.unmixed.d != nil }

// mix makes the keys anew that are to depend on the PPK (RFC 8784 section 3).
func (sa *ikeSA) mix(key *PPK) {
	sa.hs.unmixed = sa.keys
	prf := sa.suite.PRF
	for _, k := range []*secret.Bytes{&sa.keys.d, &sa.keys.pi, &sa.keys.pr} {
		*k = prf.Plus(key.Key, *k, prf.Size())
	}
}
