package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"mipsecd/ikev2"
	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/eap"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// eapWay is by which method the mobile node proves who it is, or who on the home agent looks at that.
type eapWay uint8

const (
	eapMSCHAPv2 eapWay = iota + 1
	eapTLS
	eapRADIUS
)

var eapWays = oneOf([]word[eapWay]{{"mschapv2", eapMSCHAPv2}, {"tls", eapTLS}, {"radius", eapRADIUS}})

// eapSettings are the keys of a peer that is authenticated by EAP, or to which this host is.
type eapSettings struct {
	user     string
	password string // the path of a file
	server   ikev2.Identity
}

// The keys of EAP.
const (
	eapKey         = "eap"
	eapIdentityKey = "eap-identity"
	eapSecretKey   = "eap-secret-file"
	eapServerKey   = "eap-server"
)

func (s *eapSettings) fields(role Role) []field {
	list := []field{
		bind(&s.user, label, Key{Name: eapIdentityKey,
			Meaning: "who the mobile node is in EAP; without it, its identity"}),
		bind(&s.password, path, Key{Name: eapSecretKey,
			Meaning: "has the password of EAP-MSCHAPv2; mode 600"}),
	}
	if role == MobileNode {
		list = append(list, bind(&s.server, identity, Key{Name: eapServerKey,
			Meaning: "who the server of EAP-TLS proves to be by its certificate; without it, the home agent"}))
	}
	return list
}

// proveByEAP gives a peer what the mobile node proves itself with by EAP, and the home agent by its certificate.
func (r *reader) proveByEAP(to *ikev2.Peer, t table, p *peer) {
	mobile := r.role == MobileNode
	to.EAP = &ikev2.EAP{Proves: mobile}
	if mobile {
		to.Trust = r.needTrust(t, p)
	} else {
		r.certify(to, t, p)
	}
	switch user, name := p.mobileNode(to); p.eap {
	case eapMSCHAPv2:
		to.EAP.Begin = r.passwords(t, p, to, name)
	case eapTLS:
		to.EAP.Begin = r.certificates(t, p, to, user, name)
	case eapRADIUS:
		r.leaveToRADIUS(t, to.Name, name)
	}
	if p.eap != eapMSCHAPv2 && t.has(eapSecretKey) {
		r.report(t.at.key(eapSecretKey), t.key(eapSecretKey), `this is for eap = "mschapv2"; leave it out`)
	}
	if mobile && p.eap != eapTLS && t.has(eapServerKey) {
		r.report(t.at.key(eapServerKey), t.key(eapServerKey), `this is for eap = "tls"; leave it out`)
	}
}

// mobileNode is who the mobile node is in EAP: as an identity for certificates, which an eap-identity of another form is
// none of, and as text.
func (p *peer) mobileNode(to *ikev2.Peer) (ikev2.Identity, string) {
	id := to.RemoteID
	if to.EAP.Proves {
		id = to.LocalID
	}
	switch {
	case p.user != "":
		id, err := ikev2.ParseIdentity(p.user)
		if err != nil {
			id = ikev2.Identity{}
		}
		return id, p.user
	case id.Kind == wire.IDKeyID:
		return id, id.Data
	}
	return id, id.String()
}

// withoutEAP reports keys that are for EAP only.
func (r *reader) withoutEAP(t table) {
	for _, key := range []string{eapIdentityKey, eapSecretKey, eapServerKey} {
		if t.has(key) {
			r.report(t.at.key(key), t.key(key), "this is for EAP; want eap, and no secret-file, or leave it out")
		}
	}
}

func (r *reader) needTrust(t table, p *peer) *auth.Trust {
	if len(p.authorities) == 0 {
		if !t.has(authorityKey) {
			r.report(t.at, t.key(authorityKey), "is missing; want the path of a file, as there is eap")
		}
		return nil
	}
	return r.trust(t, p.certificateFiles)
}

type beginEAP = func(time.Time, io.Reader) eap.Conversation

func (r *reader) passwords(t table, p *peer, to *ikev2.Peer, name string) beginEAP {
	if p.password == "" {
		if !t.has(eapSecretKey) {
			r.report(t.at, t.key(eapSecretKey), `is missing; want the path of a file, as eap is "mschapv2"`)
		}
		return nil
	}
	read, ok := contents(r, t, eapSecretKey, []string{p.password}, EAPPassword, parseEAPPassword)
	if !ok {
		return nil
	}
	password, server := read[0], to.LocalID.String()
	if to.EAP.Proves {
		return func(_ time.Time, rand io.Reader) eap.Conversation { return eap.MSCHAPv2Peer(name, password, rand) }
	}
	return func(_ time.Time, rand io.Reader) eap.Conversation {
		return eap.MSCHAPv2Server(server, name, password, rand)
	}
}

// parseEAPPassword reads a password. One newline at the end does not belong to it.
func parseEAPPassword(content []byte) (secret.Bytes, error) {
	password := bytes.TrimSuffix(content, []byte("\n"))
	switch {
	case len(password) == 0:
		return nil, errors.New("it is empty; want the password in it")
	case len(password) > maxSecret:
		return nil, fmt.Errorf("more than %d octets; want nothing but the password in it", maxSecret)
	}
	return password, nil
}

func (r *reader) certificates(t table, p *peer, to *ikev2.Peer, user ikev2.Identity, name string) beginEAP {
	if user.Kind == 0 || user.Kind == wire.IDKeyID {
		r.report(t.at.key(eapIdentityKey), t.key(eapIdentityKey), "got %s, which no certificate proves; want another", name)
		return nil
	}
	if to.EAP.Proves {
		server := p.server
		if server == (ikev2.Identity{}) {
			server = to.RemoteID
		}
		own, trust := r.credential(t, p.certificateFiles, user), to.Trust
		return func(now time.Time, _ io.Reader) eap.Conversation {
			return eap.TLSPeer(name, auth.TLSClient(own, trust, idPayload(server), now))
		}
	}
	own, trust := to.Credential, r.needTrust(t, p)
	return func(now time.Time, _ io.Reader) eap.Conversation {
		return eap.TLSServer(auth.TLSServer(own, trust, idPayload(user), now))
	}
}

func idPayload(id ikev2.Identity) *wire.ID { return &wire.ID{Kind: id.Kind, Data: []byte(id.Data)} }
