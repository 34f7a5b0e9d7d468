package ikev2

import (
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"mipsecd/ikev2/auth"
	"mipsecd/internal/testpki"
	"mipsecd/spd"
)

// responders answer for one authority, whatever URL they are asked at.
type responders struct {
	responses map[string][]byte // by serial number
	asked     []*big.Int
}

func (r *responders) Ask(_ string, request []byte, check func([]byte) error) error {
	q, err := ocsp.ParseRequest(request)
	if err != nil {
		return err
	}
	r.asked = append(r.asked, q.SerialNumber)
	response := r.responses[q.SerialNumber.String()]
	if response == nil {
		return errors.New("nobody answers")
	}
	return check(response)
}

// newOnline is a certified world in which both refuse whom OCSP does not say good of; mnState is what the mobile node's
// certificate is.
func newOnline(t *testing.T, mnState int) (w *world, mn, ha *host, mnAsks, haAsks *responders) {
	t.Helper()
	responses := map[string][]byte{}
	w, mn, ha = newCertified(t, "P-256", "P-256", func(root *testpki.Authority, mn, ha *papers) {
		for p, naming := range map[*papers]func(*x509.Certificate){mn: mnName, ha: haName} {
			p.chain[0] = root.Issue(t, "host", p.key, func(c *x509.Certificate) {
				naming(c)
				c.OCSPServer = []string{"http://ocsp.example.org"}
			})
			responses[p.chain[0].SerialNumber.String()] = root.Status(t, p.chain[0], nil, func(r *ocsp.Response) {
				if p == mn {
					r.Status, r.RevokedAt = mnState, testpki.Begin
				}
			})
		}
	})
	mnAsks, haAsks = &responders{responses: responses}, &responders{responses: responses}
	for h, r := range map[*host]*responders{mn: mnAsks, ha: haAsks} {
		h.peer.Trust.OCSP, h.peer.Trust.Responders = auth.OCSPHard, r
	}
	ha.engine.cfg.CertRequests = auth.Requests(ha.peer.Trust)
	return w, mn, ha, mnAsks, haAsks
}

// Each sends with its certificate what its responder says of it, so that the other need not ask.
func TestRFC4806_5_1_PeerToPeer(t *testing.T) {
	w, mn, _, mnAsks, haAsks := newOnline(t, ocsp.Good)
	mn.key(binding)
	w.script(`
		MN --> IKE_SA_INIT request 0 [ SA KE Ni N(SIGNATURE_HASH_ALGORITHMS) ]
		HA --> IKE_SA_INIT response 0 [ SA KE Nr N(SIGNATURE_HASH_ALGORITHMS) CERTREQ CERTREQ ]
		MN --> IKE_AUTH request 1 [ IDi CERT CERT N(INITIAL_CONTACT) CERTREQ CERTREQ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr CERT CERT AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	`)
	w.settled(1)
	if len(mnAsks.asked) != 1 || len(haAsks.asked) != 1 || mnAsks.asked[0].Cmp(haAsks.asked[0]) == 0 {
		t.Errorf("the mobile node asks about %v, the home agent about %v", mnAsks.asked, haAsks.asked)
	}
}

// To one who does not ask for it nothing is sent, and that one asks itself.
func TestRFC4806_4_1_NotAskedFor(t *testing.T) {
	w, mn, ha, mnAsks, haAsks := newOnline(t, ocsp.Good)
	ha.engine.cfg.CertRequests = ha.engine.cfg.CertRequests[:1]
	mn.key(binding)
	w.script(certifiedInit + `
		MN --> IKE_AUTH request 1 [ IDi CERT N(INITIAL_CONTACT) CERTREQ CERTREQ IDr AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
		HA --> IKE_AUTH response 1 [ IDr CERT CERT AUTH N(USE_TRANSPORT_MODE) SA TSi TSr ]
	`)
	w.settled(1)
	if len(mnAsks.asked) != 0 || len(haAsks.asked) != 2 {
		t.Errorf("the mobile node asks about %v, the home agent about %v", mnAsks.asked, haAsks.asked)
	}
}

// One whose certificate is revoked has no response to send, and is refused by what the other's responder says.
func TestRFC4806_4_2_Revoked(t *testing.T) {
	w, mn, ha, _, _ := newOnline(t, ocsp.Revoked)
	mn.key(binding)
	ha.hasDropped("is revoked since")
	one[spd.KeyFailed](mn)
	w.pass(time.Minute)
	w.settled(0)
}
