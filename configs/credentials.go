package configs

import (
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
	authorities, lists      []string
	sha1                    bool
}

// The keys of certificateFiles.
const (
	certificateKey = "certificate-file"
	privateKeyKey  = "private-key-file"
	authorityKey   = "ca-file"
	listKey        = "crl-file"
	sha1Key        = "signature-sha1"
)

func (f *certificateFiles) fields() []field {
	return []field{
		bind(&f.certificate, path, Key{Name: certificateKey,
			Meaning: "has this host's certificate in PEM, and after it those that lead to an authority"}),
		bind(&f.privateKey, path, Key{Name: privateKeyKey,
			Meaning: "has the private key of the certificate in PEM: RSA, ECDSA or Ed25519, not encrypted; mode 600"}),
		bind(&f.authorities, oneOrMore(path), Key{Name: authorityKey,
			Meaning: "has in PEM the authorities that the peers' certificates must come from"}),
		bind(&f.lists, oneOrMore(path), Key{Name: listKey,
			Meaning: "has the authorities' revocation lists in PEM or DER; with one, every certificate of a peer needs a list of " +
				"its issuer that is up to date"}),
		bind(&f.sha1, boolean, Key{Name: sha1Key, Default: "false",
			Meaning: "RSA signatures may be with SHA-1, for peers that do not speak RFC 7427, such as strongSwan with " +
				"signature_authentication = no; SHA-1 is weak"}),
	}
}

// prove gives a peer the pre-shared key or the certificates by which it and this host prove who they are. A secret-file
// counts more than a ca-file at the top.
func (r *reader) prove(to *ikev2.Peer, t table, p *peer) {
	switch {
	case p.secretFile != "":
		for _, key := range []string{certificateKey, privateKeyKey, authorityKey, listKey, sha1Key} {
			if t.has(key) {
				r.report(t.at.key(key), t.key(key), "this is for certificates; want either it or secret-file")
			}
		}
		to.PSK = r.secret(t, p.secretFile)
	case len(p.authorities) > 0:
		if to.RemoteID.Kind == wire.IDKeyID {
			r.report(t.at.key("identity"), t.key("identity"),
				"got %s, which no certificate proves; want another, or secret-file", to.RemoteID)
		}
		to.Trust = r.trust(t, p.certificateFiles)
		to.Credential = r.credential(t, p.certificateFiles, to.LocalID)
		if to.Credential != nil && to.LocalID.Kind == wire.IDDERASN1DN {
			to.LocalID.Data = string(to.Credential.Subject())
		}
	case !t.has("secret-file") && !t.has(authorityKey): // else there is an error of it already
		r.report(t.at, t.key("secret-file"), "is missing; want the path of a file, or ca-file for certificates")
	}
}

func (r *reader) secret(t table, file string) secret.Bytes {
	keys, _ := contents(r, t, "secret-file", []string{file}, PreSharedKey, parseSecret)
	if keys == nil {
		return nil
	}
	return keys[0]
}

// trust reads whose certificates a peer may have.
func (r *reader) trust(t table, f certificateFiles) *auth.Trust {
	return cached(r.trusts, slices.Concat(f.authorities, []string{""}, f.lists), func() *auth.Trust {
		at := r.giver(t, authorityKey)
		authorities, okCA := contents(r, at, authorityKey, f.authorities, Certificates, auth.ParseCertificates)
		lists, okCRL := contents(r, r.giver(t, listKey), listKey, f.lists, RevocationLists, auth.ParseRevocationLists)
		if !okCA || !okCRL {
			return nil
		}
		trust, err := auth.NewTrust(slices.Concat(authorities...), slices.Concat(lists...))
		if err != nil {
			r.report(at.at.key(authorityKey), at.key(authorityKey), "%v", err)
		}
		return trust
	})
}

// credential reads what this host proves its identity to a peer with.
func (r *reader) credential(t table, f certificateFiles, own ikev2.Identity) *auth.Credential {
	return cached(r.credentials, []string{f.certificate, f.privateKey}, func() *auth.Credential {
		at, keyAt := r.giver(t, certificateKey), r.giver(t, privateKeyKey)
		chains, okChain := contents(r, at, certificateKey, []string{f.certificate}, Certificates, auth.ParseCertificates)
		keys, okKey := contents(r, keyAt, privateKeyKey, []string{f.privateKey}, PrivateKey, auth.ParsePrivateKey)
		if !okChain || !okKey {
			return nil
		}
		c, err := auth.NewCredential(keys[0], chains[0])
		if err == nil {
			err = c.Check(&wire.ID{Kind: own.Kind, Data: []byte(own.Data)})
		}
		if err != nil {
			r.report(at.at.key(certificateKey), at.key(certificateKey), "%v", err)
		}
		return c
	})
}

// contents reads the files that a key names. If that is none where there must be one, it is missing.
func contents[T any](
	r *reader, t table, key string, files []string, content Content, parse func([]byte) (T, error),
) (list []T, ok bool) {
	for _, file := range files {
		if file == "" {
			r.report(t.at, t.key(key), "is missing; want the path of a file, as there is a ca-file")
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

// giver is the table that has a key: that of a peer, or else the top.
func (r *reader) giver(t table, key string) table {
	if t.has(key) {
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
