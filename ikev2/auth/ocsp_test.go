package auth

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"mipsecd/ikev2/wire"
	"mipsecd/internal/testpki"
)

// responder answers at one URL, whatever it is asked.
type responder struct {
	url      string
	response []byte
	asked    []*ocsp.Request
}

func (r *responder) Ask(url string, request []byte, check func([]byte) error) error {
	asked, err := ocsp.ParseRequest(request)
	if err != nil {
		return err
	}
	r.asked = append(r.asked, asked)
	if url != r.url {
		return errors.New("nobody is there")
	}
	return check(r.response)
}

const responderURL = "http://ocsp.example.org/"

func online(c *x509.Certificate) {
	named(c)
	c.OCSPServer = []string{"ldap://ocsp.example.org", "http://gone.example.org", responderURL}
}

func revoke(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, testpki.Begin }

func TestRFC6960_3_2_Responses(t *testing.T) {
	root, stranger := testpki.NewAuthority(t, "root"), testpki.NewAuthority(t, "root")
	key, responderKey := testpki.Key("P-256"), testpki.Key("P-256")
	leaf, other := root.Issue(t, "ha", key, online), root.Issue(t, "other", key, online)
	delegate := func(by *testpki.Authority, change func(*x509.Certificate)) func(*ocsp.Response) {
		c := by.Issue(t, "responder", responderKey, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
			if change != nil {
				change(c)
			}
		})
		return func(r *ocsp.Response) { r.Certificate = c }
	}
	at := func(from, to time.Duration) func(*ocsp.Response) {
		return func(r *ocsp.Response) {
			r.ThisUpdate, r.NextUpdate = now.Add(from), now.Add(to)
			if to == 0 {
				r.NextUpdate = time.Time{}
			}
		}
	}
	for _, c := range []struct {
		name   string
		by     *testpki.Authority
		about  *x509.Certificate
		key    crypto.Signer
		change func(*ocsp.Response)
		failed string
	}{
		{"good", root, leaf, nil, nil, ""},
		{"good, by SHA-256", root, leaf, nil, func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 }, ""},
		{"revoked", root, leaf, nil, revoke, `the certificate of "CN=ha" is revoked since 1970-01-01`},
		{"unknown", root, leaf, nil, func(r *ocsp.Response) { r.Status = ocsp.Unknown }, "does not know the certificate of"},
		{"by a responder", root, leaf, responderKey, delegate(root, nil), ""},
		{"by the authority, with its certificate", root, leaf, nil, func(r *ocsp.Response) { r.Certificate = root.Certificate }, ""},
		{"by one who is no responder", root, leaf, responderKey,
			delegate(root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }),
			`is signed by "CN=responder", which is no responder`},
		{"by a responder of the past", root, leaf, responderKey,
			delegate(root, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }), "whose certificate is not valid now"},
		{"by a responder of another authority", root, leaf, responderKey, delegate(stranger, nil),
			`whose certificate is not of "CN=root"`},
		{"by another authority", stranger, leaf, nil, nil, "is not about the certificate of"},
		{"about another", root, other, nil, nil, "no response matching the supplied certificate"},
		{"of the past", root, leaf, nil, at(-2*time.Hour, -time.Hour), "has expired on 2026-05-01T11:00:00Z"},
		{"of the future", root, leaf, nil, at(time.Hour, 2*time.Hour), "is valid from 2026-05-01T13:00:00Z on only"},
		{"by a clock that is fast", root, leaf, nil, at(time.Minute, time.Hour), ""},
		{"without an end", root, leaf, nil, at(-time.Minute, 0), ""},
		{"without an end, old", root, leaf, nil, at(-time.Hour, 0), "has expired on 2026-05-01T11:10:00Z"},
		{"with a critical extension", root, leaf, nil, func(r *ocsp.Response) {
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, "unsupported critical extension"},
	} {
		t.Run(c.name, func(t *testing.T) {
			response := c.by.Status(t, c.about, c.key, c.change)
			err := checkResponse(response, leaf, root.Certificate, now)
			if c.failed != "" {
				failed(t, err, c.failed)
			} else if err != nil {
				t.Error(err)
			}
			for n := range response {
				if checkResponse(response[:n], leaf, root.Certificate, now) == nil {
					t.Errorf("%d of %d octets are taken", n, len(response))
				}
			}
		})
	}
	forged := root.Status(t, leaf, nil, nil)
	forged[len(forged)-1] ^= 1
	failed(t, checkResponse(forged, leaf, root.Certificate, now), `is not signed by "CN=root"`)
	failed(t, checkResponse(ocsp.TryLaterErrorResponse, leaf, root.Certificate, now), "try later")
}

// A responder that answers for two authorities can't have what it says of one's certificate taken for the other's.
func TestRFC6960_4_1_1_IssuerOfTheCertificate(t *testing.T) {
	one, two := testpki.NewAuthority(t, "one"), testpki.NewAuthority(t, "two")
	key, responderKey := testpki.Key("P-256"), testpki.Key("P-256")
	c := one.Issue(t, "ha", key, nil)
	ofOne := one.Issue(t, "responder", responderKey, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	})
	response := two.Status(t, c, responderKey, func(r *ocsp.Response) { r.Certificate = ofOne })
	failed(t, checkResponse(response, c, one.Certificate, now), "is not about the certificate of")
}

// What the state of a certificate is decides in each mode: lists first, then what the peer sends, then the responder.
func TestOCSPModes(t *testing.T) {
	root := testpki.NewAuthority(t, "root")
	key := testpki.Key("P-256")
	leaf := root.Issue(t, "ha", key, online)
	silent := root.Issue(t, "ha", key, named) // names no responder
	good, revoked := root.Status(t, leaf, nil, nil), root.Status(t, leaf, nil, revoke)
	current := root.Revoke(t, nil)
	expired := root.Revoke(t, func(l *x509.RevocationList) { l.NextUpdate = testpki.Begin.Add(time.Hour) })
	var all = []OCSP{OCSPOff, OCSPSoft, OCSPHard}
	for _, c := range []struct {
		name     string
		cert     *x509.Certificate
		list     *x509.RevocationList
		sent     []byte
		response []byte
		asks     int // responders, unless OCSP is off
		failed   map[OCSP]string
	}{
		{"nothing known", silent, nil, nil, nil, 0, map[OCSP]string{
			OCSPHard: `the certificate of "CN=ha" names no OCSP responder that is asked by http`}},
		{"the responder is silent", leaf, nil, nil, []byte{}, 2, map[OCSP]string{
			OCSPHard: `the OCSP responder of "CN=root" at "http://ocsp.example.org/": OCSP response`}},
		{"the responder says good", leaf, nil, nil, good, 2, nil},
		{"the responder says revoked", leaf, nil, nil, revoked, 2, map[OCSP]string{
			OCSPSoft: "is revoked since", OCSPHard: "is revoked since"}},
		{"the peer says good", leaf, nil, good, revoked, 0, nil},
		{"the peer says revoked", leaf, nil, revoked, good, 0, map[OCSP]string{
			OCSPSoft: "is revoked since", OCSPHard: "is revoked since"}},
		{"the peer says nothing of use", leaf, nil, []byte("x"), good, 2, nil},
		{"on a list", leaf, root.Revoke(t, nil, leaf), good, good, 0, map[OCSP]string{
			OCSPOff: "is revoked since", OCSPSoft: "is revoked since", OCSPHard: "is revoked since"}},
		{"not on a list", leaf, current, nil, revoked, 0, nil},
		{"an old list, but good", leaf, expired, nil, good, 2, map[OCSP]string{OCSPOff: "has expired on"}},
		{"an old list, and nothing known", silent, expired, nil, nil, 0, map[OCSP]string{
			OCSPOff: "has expired on", OCSPHard: "; and the certificate of"}},
	} {
		for _, mode := range all {
			t.Run(c.name, func(t *testing.T) {
				var lists []*x509.RevocationList
				if c.list != nil {
					lists = append(lists, c.list)
				}
				trust, r := trust(t, root, lists...), &responder{url: responderURL, response: c.response}
				trust.OCSP, trust.Responders = mode, r
				said := claim(t, credential(t, key, c.cert), offered)
				if c.sent != nil {
					said.Certificates = append(said.Certificates, &wire.Cert{Encoding: wire.CertOCSPContent, Data: c.sent})
				}
				err := trust.Check(said, now)
				if want := c.failed[mode]; want != "" {
					failed(t, err, want)
				} else if err != nil {
					t.Errorf("mode %d: %v", mode, err)
				}
				asks := c.asks
				if mode == OCSPOff {
					asks = 0
				}
				if len(r.asked) != asks {
					t.Errorf("mode %d: %d responders are asked, want %d", mode, len(r.asked), asks)
				}
				for _, q := range r.asked {
					if q.SerialNumber.Cmp(c.cert.SerialNumber) != 0 {
						t.Errorf("it asks about %d", q.SerialNumber)
					}
				}
			})
		}
	}
}

// Nobody is asked for one who has another's certificate, but not the key.
func TestOCSPForTheOwnerOnly(t *testing.T) {
	root := testpki.NewAuthority(t, "root")
	key := testpki.Key("P-256")
	leaf := root.Issue(t, "ha", key, online)
	trust, r := trust(t, root), &responder{url: responderURL, response: root.Status(t, leaf, nil, nil)}
	trust.OCSP, trust.Responders = OCSPHard, r
	said := claim(t, credential(t, key, leaf), offered)
	said.Octets = octets[1:]
	failed(t, trust.Check(said, now), "is wrong")
	if len(r.asked) > 0 {
		t.Errorf("%d responders are asked", len(r.asked))
	}
}

// All certificates of a chain but the authority's own are asked about.
func TestOCSPOfAnAuthorityBelow(t *testing.T) {
	p := newPKI(t)
	leaf := p.sub.Issue(t, "ha", p.key, named)
	own := credential(t, p.key, leaf, p.sub.Certificate)
	for name, c := range map[string]struct {
		sub    func(*ocsp.Response)
		failed string
	}{"good": {nil, ""}, "revoked": {revoke, `the certificate of "CN=sub" is revoked since`}} {
		said := claim(t, own, offered)
		for _, s := range [][]byte{p.sub.Status(t, leaf, nil, nil), p.root.Status(t, p.sub.Certificate, nil, c.sub)} {
			said.Certificates = append(said.Certificates, &wire.Cert{Encoding: wire.CertOCSPContent, Data: s})
		}
		trust := trust(t, p.root)
		trust.OCSP = OCSPHard
		if err := trust.Check(said, now); c.failed == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if c.failed != "" {
			failed(t, err, c.failed)
		}
	}
}

// Only what the authority has signed is believed, whatever the octets are.
func FuzzOCSPResponse(f *testing.F) {
	root := testpki.NewAuthority(f, "root")
	key := testpki.Key("P-256")
	leaf := root.Issue(f, "ha", key, named)
	good := root.Status(f, leaf, nil, nil)
	f.Add(good)
	f.Add(root.Status(f, leaf, nil, revoke))
	withOwn := root.Status(f, leaf, nil, func(r *ocsp.Response) { r.Certificate = root.Certificate })
	f.Add(withOwn)
	f.Add(ocsp.TryLaterErrorResponse)
	signed := func(data []byte) []byte {
		r, err := ocsp.ParseResponse(data, root.Certificate)
		if err != nil {
			return nil
		}
		return r.TBSResponseData
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checkResponse(data, leaf, root.Certificate, now)
		if said := signed(data); err == nil && !bytes.Equal(said, signed(good)) && !bytes.Equal(said, signed(withOwn)) {
			t.Errorf("%x is believed", data)
		}
	})
}
