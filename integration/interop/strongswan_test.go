//go:build linux

package interop

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"mipsecd/integration/lab"
)

// pairCharon builds the lab with strongSwan as mipsecd's peer.
func pairCharon(t *testing.T, mipsecdOn lab.Node) *pairing {
	t.Helper()
	on := opposite(mipsecdOn)
	p := &pairing{world: build(t), mipsecdOn: mipsecdOn, peerOn: on, charon: startCharon(t, on), first: binding, second: payload}
	p.peer = p.charon
	return p
}

func (c *charon) name() string { return "strongSwan" }

func (c *charon) version(t *testing.T) string {
	t.Helper()
	return charonVersion.FindStringSubmatch(c.must(t, "--version"))[1]
}

// lacks: strongSwan has all of the matrix.
func (c *charon) lacks(*testing.T, string) string { return "" }

func (c *charon) initiate(k traffic) error {
	_, err := c.control("--initiate", "--child", k.name)
	return err
}

func (c *charon) rekeyChild(t *testing.T, k traffic)  { c.must(t, "--rekey", "--child", k.name) }
func (c *charon) rekeyIKE(t *testing.T)               { c.must(t, "--rekey", "--ike", "peer") }
func (c *charon) deleteChild(t *testing.T, k traffic) { c.must(t, "--terminate", "--child", k.name) }
func (c *charon) deleteIKE(t *testing.T)              { c.must(t, "--terminate", "--ike", "peer") }
func (c *charon) signal(t *testing.T, s os.Signal)    { must(t, c.cmd.Process.Signal(s)) }

func (c *charon) clear(t *testing.T) {
	t.Helper()
	if len(c.established(t)) > 0 {
		c.must(t, "--terminate", "--ike", "peer", "--force")
	}
}

// press: charon has so many half-open IKE_SAs of others that it asks for cookies.
func (c *charon) press(t *testing.T) { halfOpen(t, charonCookies) }

var (
	charonVersion = regexp.MustCompile(`(?m)^strongSwan swanctl (\S+)$`)
	charonIKE     = regexp.MustCompile(`initiator-spi=([0-9a-f]+) responder-spi=([0-9a-f]+)`)
	charonChild   = regexp.MustCompile(`spi-in=([0-9a-f]+) spi-out=([0-9a-f]+)`)
)

func (c *charon) established(t *testing.T) (list []peerSA) {
	t.Helper()
	for _, raw := range strings.Split(c.sas(t), saEvent)[1:] {
		spis := charonIKE.FindStringSubmatch(raw)
		if spis == nil {
			t.Fatalf("unknown output of swanctl --list-sas: %s", raw)
		}
		sa := peerSA{spis: spis[1] + spis[2]}
		for _, child := range charonChild.FindAllStringSubmatch(raw, -1) {
			sa.children = append(sa.children, childSA{SPIIn: child[1], SPIOut: child[2]})
		}
		list = append(list, sa)
	}
	return list
}

func (c *charon) says(e event) string {
	return map[event]string{
		refusesAuth:    `N\(AUTH_FAILED\)`,
		refusesEAP:     `IKE_AUTH response \d \[ EAP/FAIL \]|INFORMATIONAL request \d \[ N\(AUTH_FAILED\) \]`,
		noProposal:     `IKE_SA_INIT response 0 \[ N\(NO_PROP\) \]`,
		cookieAsked:    `(?s)IKE_SA_INIT response 0 \[ N\(COOKIE\) \].*IKE_SA_INIT request 0 \[ N\(COOKIE\) SA `,
		wrongKE:        `IKE_SA_INIT response 0 \[ N\(INVAL_KE\) \]`,
		wrongKEInChild: `CREATE_CHILD_SA response \d+ \[ N\(INVAL_KE\) \]`,
		probeAnswered:  `(?s)sending DPD request.*parsed INFORMATIONAL response \d+ \[ \]`,
		probeReceived:  `(?s)parsed INFORMATIONAL request \d+ \[ \].*generating INFORMATIONAL response \d+ \[ \]`,
		givesUp:        `giving up after \d+ retransmits`,
	}[e]
}

// verifies: mipsecd's RSA signatures are RSASSA-PSS; strongSwan's are RSASSA-PKCS1-v1_5.
func (c *charon) verifies(kind string) []string {
	mine, own := identityMN, identityHA
	if c.node == lab.MN {
		mine, own = own, mine
	}
	methods := map[string][2]string{
		"RSA":     {"RSA_EMSA_PSS_SHA2_256_SALT_32", "RSA_EMSA_PKCS1_SHA2_256"},
		"P-256":   {"ECDSA_WITH_SHA256_DER", "ECDSA_WITH_SHA256_DER"},
		"Ed25519": {"ED25519", "ED25519"},
	}[kind]
	return []string{
		fmt.Sprintf(`authentication of '%s' with %s successful`, mine, methods[0]),
		fmt.Sprintf(`authentication of '%s' \(myself\) with %s successful`, own, methods[1]),
	}
}

// othersHomeAddress: strongSwan asks for SAs on a home address that is not this mobile node's, in IKE_AUTH and in
// CREATE_CHILD_SA. The IKE_SA and what is mipsecd's to give stay.
func (p *pairing) othersHomeAddress(t *testing.T) {
	x := p.meet(t, modern.mipsecd(), modern.peer())
	const refusal = `parsed \w+ response \d+ \[.* N\(TS_UNACCEPT\).* \]`
	var kinds []traffic
	if x.peerOn == lab.HA {
		x.establish(t, binding)
		kinds = append(kinds, binding)
	}
	for _, child := range []string{"others-binding", "others-payload"} {
		at := len(x.peerLog(t))
		if _, err := x.charon.control("--initiate", "--child", child); err == nil {
			t.Errorf("mipsecd has agreed to %s", child)
		}
		x.logged(t, at, refusal)
		x.agreed(t, kinds...)
	}
	if x.peerOn == lab.MN {
		x.establish(t, binding)
	}
	x.passesFirst(t)
}

// strongSwanAlone shows that the lab and strongSwan's configuration are sound without mipsecd.
func strongSwanAlone(t *testing.T) {
	w := build(t)
	mn, ha := startCharon(t, lab.MN), startCharon(t, lab.HA)
	mn.configure(t, modern.peer())
	ha.configure(t, modern.peer())
	mn.must(t, "--initiate", "--child", "binding")
	w.register(t)
	mn.must(t, "--initiate", "--child", "payload")
	ping(t, lab.MN)
	w.hidden(t)
}
