package configs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mipsecd/ikev2"
)

// Whatever the file, there is either a whole configuration or errors with lines of the file, and no secret in either.
func FuzzParse(f *testing.F) {
	samples, err := filepath.Glob("*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, sample := range samples {
		text, err := os.ReadFile(sample)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(mobileNode("timing = { tries = 3 }\nike = [\"aes128-sha1-modp1024\"]", "home-agent = [ 1 ]")))
	f.Add([]byte(homeAgent("mobile-node = [ {}, { identity = 1 } ]", "protect = [ [ ], { } ]")))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("x.toml", text, anySecret)
		if err != nil {
			for _, e := range problems(t, err) {
				if e.Line < 1 || e.Line > bytes.Count(text, []byte("\n"))+1 || e.Msg == "" {
					t.Errorf("%+v", e)
				}
			}
			return
		}
		if _, err := ikev2.NewPeerList(c.Peers...); err != nil {
			t.Error(err)
		}
		for _, p := range c.Peers {
			if p.Name == "" || len(p.PSK) == 0 && (p.Trust == nil || p.Credential == nil) || len(p.IKE) == 0 || len(p.ESP) == 0 {
				t.Errorf("peer %+v", p)
			}
		}
		if out := Describe(c); strings.Contains(out, testSecret) && !bytes.Contains(text, []byte(testSecret)) {
			t.Error("the description has the secret")
		}
		for _, h := range c.Homes {
			assigned := c.Role == MobileNode || c.Pool.Prefix.IsValid()
			if !h.HomeAddress.IsValid() && !assigned || !h.HomeAgent.IsValid() && c.Discoveries[h.Peer] == (Discovery{}) || h.HomeAddress.IsValid() && h.HomeAddress == h.HomeAgent || h.Peer == "" {
				t.Errorf("home %+v", h)
			}
		}
	})
}
