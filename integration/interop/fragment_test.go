//go:build linux

package interop

import (
	"testing"

	"mipsecd/integration/lab"
)

// manyAlgorithms is a proposal, so long that one for each of manyGroups is too much for a datagram.
const manyAlgorithms = "aes256-aes192-aes128-aes256ctr-aes192ctr-aes128ctr-3des-" +
	"sha512-sha384-sha256-aescmac-aesxcbc-sha1-noesn"

var manyGroups = []string{
	"modp1536", "modp2048", "modp3072", "modp4096", "modp6144", "modp8192", "ecp256", "ecp384", "ecp521", "x25519",
}

// fragments: strongSwan sends IKE_AUTH in fragments because it takes a short message for a long one, and mipsecd sends its
// first long message in fragments: IKE_AUTH on the mobile node, CREATE_CHILD_SA on the home agent (RFC 7383).
func (p *pairing) fragments(t *testing.T) {
	t.Cleanup(func() { p.charon.set(t) })
	p.charon.set(t, "fragment_size = 256") // the longest IP datagram
	m := modern.mipsecd()
	for _, g := range manyGroups {
		m.esp += "," + manyAlgorithms + "-" + g
	}
	x := p.meet(t, m, modern.peer())
	established := x.homeAgentAsks(t)
	auth, long := "request", "CREATE_CHILD_SA"
	if x.peerOn == lab.HA {
		auth, long = "response", "IKE_AUTH"
	}
	x.logged(t, 0, `generating IKE_AUTH `+auth+` 1 \[ EF\(2/\d\) \]`)
	x.logged(t, 0, `parsed `+long+` request \d \[ EF\(2/2\) \]`)
	x.bothPass(t, established)
}
