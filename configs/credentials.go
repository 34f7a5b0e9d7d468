package configs

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"mipsecd/ikev2"
	"mipsecd/ikev2/auth"
	"mipsecd/ikev2/wire"
	"mipsecd/internal/secret"
)

// certificateFiles are the files by which two ends prove by certificates who they are.
type certificateFiles struct {
	certificate, privateKey string
	pkcs12, password        string
	authorities, lists      []string
	ocsp                    auth.OCSP
	sha1                    bool
	lookupSettings
}

// The keys of certificateFiles.
const (
	certificateKey = "certificate-file"
	privateKeyKey  = "private-key-file"
	pkcs12Key      = "pkcs12-file"
	passwordKey    = "pkcs12-password-file"
	authorityKey   = "ca-file"
	listKey        = "crl-file"
	ocspKey        = "ocsp"
	sha1Key        = "signature-sha1"
)

// certificateKeys are all of them.
var certificateKeys = []string{
	certificateKey, privateKeyKey, pkcs12Key, passwordKey, authorityKey, listKey, ocspKey, sha1Key,
	urlKey, bundleURLKey, serversKey,
}

func (f *certificateFiles) fields() []field {
	return append([]field{
		bind(&f.certificate, path, Key{Name: certificateKey,
			Meaning: "has this host's certificate in PEM, and after it those that lead to an authority"}),
		bind(&f.privateKey, path, Key{Name: privateKeyKey,
			Meaning: "has the private key of the certificate in PEM: RSA, ECDSA or Ed25519, not encrypted; mode 600"}),
		bind(&f.pkcs12, path, Key{Name: pkcs12Key,
			Meaning: "has in PKCS#12 this host's private key, its certificate and those that lead to an authority, instead of " +
				"certificate-file and private-key-file; mode 600"}),
		bind(&f.password, path, Key{Name: passwordKey,
			Meaning: "has the password of pkcs12-file, which else is empty; mode 600"}),
		bind(&f.authorities, oneOrMore(path), Key{Name: authorityKey,
			Meaning: "has in PEM the authorities that the peers' certificates must come from"}),
		bind(&f.lists, oneOrMore(path), Key{Name: listKey,
			Meaning: "has the authorities' revocation lists in PEM or DER; with one, every certificate of a peer needs a list of " +
				"its issuer that is up to date, or the word of OCSP"}),
		bind(&f.ocsp, ocspModes, Key{Name: ocspKey, Default: `"off"`,
			Meaning: "whether the OCSP responder that a certificate of a peer's chain names is asked, by http, where crl-file does " +
				"not tell if it is revoked; if the responder does not tell either, soft takes the certificate and hard refuses it"}),
		bind(&f.sha1, boolean, Key{Name: sha1Key, Default: "false",
			Meaning: "RSA signatures may be with SHA-1, for peers that do not speak RFC 7427, such as strongSwan with " +
				"signature_authentication = no; SHA-1 is weak"}),
	}, f.lookupSettings.fields()...)
}

// prove gives a peer the pre-shared key or the certificates by which it and this host prove who they are. A secret-file
// counts more than a ca-file at the top.
func (r *reader) prove(to *ikev2.Peer, t table, p *peer) {
	switch {
	case p.secretFile != "":
		for _, key := range certificateKeys {
			if t.has(key) {
				r.report(t.at.key(key), t.key(key), "this is for certificates; want either it or secret-file")
			}
		}
		if t.has(eapKey) {
			r.report(t.at.key(eapKey), t.key(eapKey), "want either it or secret-file")
		}
		to.PSK = r.secret(t, p.secretFile)
	case r.giver(t, eapKey).has(eapKey):
		if p.eap != 0 { // else there is an error of it already
			r.proveByEAP(to, t, p)
		}
	case len(p.authorities) > 0:
		if to.RemoteID.Kind == wire.IDKeyID {
			r.report(t.at.key("identity"), t.key("identity"),
				"got %s, which no certificate proves; want another, or secret-file", to.RemoteID)
		}
		to.Trust = r.trust(t, p.certificateFiles)
		r.certify(to, t, p)
	case !t.has("secret-file") && !t.has(authorityKey): // else there is an error of it already
		r.report(t.at, t.key("secret-file"), "is missing; want the path of a file, or ca-file for certificates")
	}
	if p.secretFile != "" || !r.giver(t, eapKey).has(eapKey) {
		r.withoutEAP(t)
	}
}

// certify gives a peer the certificate of this host. Its identity, if it is a distinguished name, is then the certificate's,
// octet by octet.
func (r *reader) certify(to *ikev2.Peer, t table, p *peer) {
	to.Credential = r.credential(t, p.certificateFiles, to.LocalID)
	if to.Credential != nil && to.LocalID.Kind == wire.IDDERASN1DN {
		to.LocalID.Data = string(to.Credential.Subject())
	}
}

func (r *reader) secret(t table, file string) secret.Bytes {
	keys, _ := contents(r, t, "secret-file", []string{file}, PreSharedKey, parseKey(minSecret, PreSharedKey))
	if keys == nil {
		return nil
	}
	return keys[0]
}

// trust reads whose certificates a peer may have.
func (r *reader) trust(t table, f certificateFiles) *auth.Trust {
	return cached(r.trusts, slices.Concat(f.authorities, []string{fmt.Sprint(f.ocsp, f.servers)}, f.lists), func() *auth.Trust {
		at := r.giver(t, authorityKey)
		authorities, okCA := contents(r, at, authorityKey, f.authorities, Certificates, auth.ParseCertificates)
		lists, okCRL := contents(r, r.giver(t, listKey), listKey, f.lists, RevocationLists, auth.ParseRevocationLists)
		if !okCA || !okCRL {
			return nil
		}
		trust, err := auth.NewTrust(slices.Concat(authorities...), slices.Concat(lists...))
		if err != nil {
			r.report(at.at.key(authorityKey), at.key(authorityKey), "%v", err)
			return nil
		}
		trust.OCSP, trust.Servers = f.ocsp, f.servers
		return trust
	})
}

// credential reads what this host proves its identity to a peer with.
func (r *reader) credential(t table, f certificateFiles, own ikev2.Identity) *auth.Credential {
	read, key := r.keyPair, certificateKey
	if r.giver(t, certificateKey, privateKeyKey, pkcs12Key).has(pkcs12Key) {
		read, key = r.keyBundle, pkcs12Key
	}
	where, urls, bundle := r.published(t, f)
	files := append([]string{key, f.certificate, f.privateKey, f.pkcs12, f.password, bundle}, urls...)
	return cached(r.credentials, files, func() *auth.Credential {
		private, chain, ok := read(t, f)
		if !ok {
			return nil
		}
		c, err := auth.NewCredential(private, chain)
		if err == nil {
			err = c.Check(&wire.ID{Kind: own.Kind, Data: []byte(own.Data)})
		}
		if err != nil {
			at := r.giver(t, key)
			r.report(at.at.key(key), at.key(key), "%v", err)
			return nil
		}
		r.publish(c, where, urls, bundle)
		return c
	})
}

// keyPair reads a private key and its certificates from two files in PEM.
func (r *reader) keyPair(t table, f certificateFiles) (crypto.Signer, []*x509.Certificate, bool) {
	chains, okChain := contents(r, r.giver(t, certificateKey), certificateKey, []string{f.certificate}, Certificates,
		auth.ParseCertificates)
	keys, okKey := contents(r, r.giver(t, privateKeyKey), privateKeyKey, []string{f.privateKey}, PrivateKey,
		auth.ParsePrivateKey)
	if !okChain || !okKey {
		return nil, nil, false
	}
	return keys[0], chains[0], true
}

// keyBundle reads a private key and its certificates from one file in PKCS#12.
func (r *reader) keyBundle(t table, f certificateFiles) (key crypto.Signer, chain []*x509.Certificate, ok bool) {
	at := r.giver(t, pkcs12Key)
	for _, other := range []string{certificateKey, privateKeyKey} {
		if at.has(other) {
			r.report(at.at.key(other), at.key(other), "this is for PEM; want either it or pkcs12-file")
			return nil, nil, false
		}
	}
	passwords := []string{""}
	if f.password != "" {
		passwords, ok = contents(r, r.giver(t, passwordKey), passwordKey, []string{f.password}, Password, parsePassword)
		if !ok {
			return nil, nil, false
		}
	}
	_, ok = contents(r, at, pkcs12Key, []string{f.pkcs12}, KeyBundle, func(data []byte) (_ any, err error) {
		key, chain, err = auth.ParsePKCS12(data, passwords[0])
		return nil, err
	})
	return key, chain, ok
}

// contents reads the files that a key names. If that is none where there must be one, it is missing.
func contents[T any](
	r *reader, t table, key string, files []string, content Content, parse func([]byte) (T, error),
) (list []T, ok bool) {
	for _, file := range files {
		if file == "" {
			r.report(t.at, t.key(key), "is missing; want the path of a file, as this host has to prove itself by a certificate")
			return nil, false
		}
		file = r.path(file)
		octets, err := r.read(file, content)
		if err != nil {
			r.report(t.at.key(key), t.key(key), "%v", err)
			return nil, false
		}
		v, err := parse(octets)
		if err != nil {
			r.report(t.at.key(key), t.key(key), "%s: %v", file, err)
			return nil, false
		}
		list = append(list, v)
	}
	return list, true
}

// giver is the table that has one of some keys: that of a peer, or else the top.
func (r *reader) giver(t table, keys ...string) table {
	if slices.ContainsFunc(keys, t.has) {
		return t
	}
	return r.top
}

// cached reads what several peers have in the same files once, with all errors.
func cached[T any](known map[string]T, files []string, read func() T) T {
	key := strings.Join(files, "\x00")
	v, done := known[key]
	if !done {
		v = read()
		known[key] = v
	}
	return v
}
