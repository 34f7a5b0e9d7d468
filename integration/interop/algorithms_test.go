//go:build linux

package interop

import (
	"regexp"
	"strings"
	"testing"

	"mipsecd/integration/lab"
	"mipsecd/internal/uml"
)

// TestStrongSwanAlgorithms goes through all algorithms of RFC 8247 and RFC 8221 that both mipsecd and strongSwan have, each
// in an IKE_SA and, if Child SAs have it, in the kernels' SAs. The kernels lack none of them.
func TestStrongSwanAlgorithms(t *testing.T) {
	t.Parallel()
	t.Run("mipsecd initiates", func(t *testing.T) {
		uml.Run(t, func(t *testing.T) {
			p := pairCharon(t, lab.MN)
			for _, s := range algorithms {
				t.Run(s.ike+", ESP "+s.esp, func(t *testing.T) { p.algorithms(t, suite{ike: s.ike, esp: s.esp}, s.kernel) })
			}
		})
	})
}

// algorithms are a walk through the tables. For the kernel they are what ip xfrm state shows: names, bits of the keys, and
// of what integrity algorithms and AEAD ciphers truncate to.
var algorithms = []struct{ ike, esp, kernel string }{
	{"3des-sha1-modp1536", "3des-sha1", "hmac(sha1) 160 96, cbc(des3_ede) 192"},
	{"aes128-sha256-modp2048", "aes128-sha256", "hmac(sha256) 256 128, cbc(aes) 128"},
	{"aes192-sha384-modp3072", "aes192-sha384-esn", "hmac(sha384) 384 192, cbc(aes) 192"},
	{"aes256-sha512-modp4096", "aes256-sha512", "hmac(sha512) 512 256, cbc(aes) 256"},
	{"aes128ctr-aesxcbc-prfaesxcbc-modp6144", "aes128ctr-aesxcbc", "xcbc(aes) 128 96, rfc3686(ctr(aes)) 160"},
	{"aes192ctr-aescmac-prfaescmac-modp8192", "aes192ctr-aescmac", "cmac(aes) 128 96, rfc3686(ctr(aes)) 224"},
	{"aes256ctr-sha256-prfsha1-ecp256", "aes256ctr-sha256-esn", "hmac(sha256) 256 128, rfc3686(ctr(aes)) 288"},
	{"aes128gcm8-prfsha256-ecp384", "aes128gcm8", "rfc4106(gcm(aes)) 160 64"},
	{"aes192gcm12-prfsha384-ecp521", "aes192gcm12-esn", "rfc4106(gcm(aes)) 224 96"},
	{"aes256gcm16-prfsha512-x25519", "aes256gcm16", "rfc4106(gcm(aes)) 288 128"},
	{"aes128ccm8-prfsha256-x25519", "aes128ccm8", "rfc4309(ccm(aes)) 152 64"},
	{"aes192ccm12-prfsha384-x25519", "aes192ccm12", "rfc4309(ccm(aes)) 216 96"},
	{"aes256ccm16-prfsha512-x25519", "aes256ccm16-esn", "rfc4309(ccm(aes)) 280 128"},
	{"chacha20poly1305-prfsha256-x25519", "chacha20poly1305", "rfc7539esp(chacha20,poly1305) 288 128"},
	{"aes128gcm16-prfaescmac-x25519", "null-sha256", "hmac(sha256) 256 128, ecb(cipher_null)"},
}

// algorithms has a ping pass, and looks which algorithms both kernels have used for it.
func (p *pairing) algorithms(t *testing.T, with suite, kernel string) {
	x := p.meet(t, with.mipsecd(), with.peer())
	x.establish(t, payload)
	x.passes(t, payload, x.agreed(t, payload).children[0])
	for _, n := range []lab.Node{x.mipsecdOn, x.peerOn} {
		out, err := n.Run("ip", "-s", "xfrm", "state", "list", "proto", "esp")
		must(t, err)
		for state := range strings.SplitSeq(out, "\nsrc ") {
			if got := algorithmsOf(state); got != kernel {
				t.Errorf("on %s an SA is of %s, want %s", n, got, kernel)
			}
			if esn := strings.Contains(state, "anti-replay esn context"); esn != strings.HasSuffix(with.esp, "-esn") {
				t.Errorf("on %s extended sequence numbers: %t", n, esn)
			}
		}
	}
}

var algorithmLine = regexp.MustCompile(`(?:auth-trunc|enc|aead) (\S+)(?:.*\((\d+) bits\)( \d+)?)?`)

// algorithmsOf picks the algorithms out of what ip xfrm state shows of an SA.
func algorithmsOf(state string) string {
	var list []string
	for _, found := range algorithmLine.FindAllStringSubmatch(state, -1) {
		list = append(list, strings.TrimSpace(found[1]+" "+found[2]+found[3]))
	}
	return strings.Join(list, ", ")
}
