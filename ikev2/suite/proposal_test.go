package suite

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"mipsecd/spd"
)

func mustParse(t testing.TB, parse func(string) (Proposal, error), s string) Proposal {
	t.Helper()
	p, err := parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParse(t *testing.T) {
	aes128, aes256 := Encryption{spd.EncrAESCBC, 128}, Encryption{spd.EncrAESCBC, 256}
	gcm := Encryption{spd.EncrAESGCM16, 128}
	for _, test := range []struct {
		parse func(string) (Proposal, error)
		in    string
		want  Proposal
		out   string // where it is not in
	}{
		{ParseIKE, "aes128gcm16-prfsha256-x25519",
			Proposal{Encr: []Encryption{gcm}, PRF: []PRF{PRFHMACSHA256}, Groups: []Group{X25519}}, ""},
		{ParseIKE, "aes128-sha1-modp1536", Proposal{
			Encr: []Encryption{aes128}, PRF: []PRF{PRFHMACSHA1}, Integ: []spd.Integ{spd.IntegSHA1_96},
			Groups: []Group{MODP1536},
		}, ""},
		{ParseIKE, "aes256-aes128-sha256-modp2048-ecp256", Proposal{
			Encr: []Encryption{aes256, aes128}, PRF: []PRF{PRFHMACSHA256}, Integ: []spd.Integ{spd.IntegSHA256_128},
			Groups: []Group{MODP2048, P256},
		}, ""},
		{ParseIKE, "modp3072-aesxcbc-aescmac-3des-aes192ctr", Proposal{
			Encr: []Encryption{{spd.Encr3DES, 0}, {spd.EncrAESCTR, 192}}, PRF: []PRF{PRFAESXCBC, PRFAESCMAC},
			Integ: []spd.Integ{spd.IntegAESXCBC96, spd.IntegAESCMAC96}, Groups: []Group{MODP3072},
		}, "3des-aes192ctr-aesxcbc-aescmac-modp3072"},
		{ParseIKE, "aes128-sha1-prfsha384-modp4096-modp6144-modp8192-ecp384-ecp521", Proposal{
			Encr: []Encryption{aes128}, PRF: []PRF{PRFHMACSHA384}, Integ: []spd.Integ{spd.IntegSHA1_96},
			Groups: []Group{MODP4096, MODP6144, MODP8192, P384, P521},
		}, ""},
		{ParseIKE, "aes128-sha512-prfsha512-x25519", Proposal{
			Encr: []Encryption{aes128}, PRF: []PRF{PRFHMACSHA512}, Integ: []spd.Integ{spd.IntegSHA512_256},
			Groups: []Group{X25519},
		}, "aes128-sha512-x25519"},
		{ParseIKE, "aes256ccm8-chacha20poly1305-prfaescmac-prfaesxcbc-prfsha1-prfsha512-curve25519", Proposal{
			Encr:   []Encryption{{spd.EncrAESCCM8, 256}, {spd.EncrChaCha20Poly1305, 0}},
			PRF:    []PRF{PRFAESCMAC, PRFAESXCBC, PRFHMACSHA1, PRFHMACSHA512},
			Groups: []Group{X25519},
		}, "aes256ccm8-chacha20poly1305-prfaescmac-prfaesxcbc-prfsha1-prfsha512-x25519"},
		{ParseESP, "aes128gcm16", Proposal{Encr: []Encryption{gcm}, ESN: []bool{false}}, ""},
		{ParseESP, "aes128-sha1",
			Proposal{Encr: []Encryption{aes128}, Integ: []spd.Integ{spd.IntegSHA1_96}, ESN: []bool{false}}, ""},
		{ParseESP, "aes128gcm16-x25519-noesn",
			Proposal{Encr: []Encryption{gcm}, Groups: []Group{X25519}, ESN: []bool{false}}, "aes128gcm16-x25519"},
		{ParseESP, "aes-sha2_384-x25519-modpnone-esn-noesn", Proposal{
			Encr: []Encryption{aes128}, Integ: []spd.Integ{spd.IntegSHA384_192}, Groups: []Group{X25519, GroupNone},
			ESN: []bool{true, false},
		}, "aes128-sha384-x25519-modpnone-esn-noesn"},
		{ParseESP, "null-sha-esn", Proposal{
			Encr: []Encryption{{ID: spd.EncrNull}}, Integ: []spd.Integ{spd.IntegSHA1_96}, ESN: []bool{true},
		}, "null-sha1-esn"},
		{ParseESP, "aes192ccm12-aes128ccm16-aes256gcm8-aes192gcm12", Proposal{
			Encr: []Encryption{
				{spd.EncrAESCCM12, 192}, {spd.EncrAESCCM16, 128}, {spd.EncrAESGCM8, 256}, {spd.EncrAESGCM12, 192},
			},
			ESN: []bool{false},
		}, ""},
		{ParseIKE, "aes128gcm16-prfsha256-x25519-ke1_mlkem768", Proposal{
			Encr: []Encryption{gcm}, PRF: []PRF{PRFHMACSHA256}, Groups: []Group{X25519},
			AddKE: [MaxAddKE][]Group{{MLKEM768}},
		}, ""},
		{ParseESP, "ke7_ecp384-ke2_mlkem1024-ke2_none-aes128gcm16-ke2_mlkem768-x25519-esn", Proposal{
			Encr: []Encryption{gcm}, Groups: []Group{X25519}, ESN: []bool{true},
			AddKE: [MaxAddKE][]Group{1: {MLKEM1024, GroupNone, MLKEM768}, 6: {P384}},
		}, "aes128gcm16-x25519-ke2_mlkem1024-ke2_none-ke2_mlkem768-ke7_ecp384-esn"},
	} {
		got, err := test.parse(test.in)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v, want %+v", test.in, got, err, test.want)
		}
		out := test.out
		if out == "" {
			out = test.in
		}
		if got.String() != out {
			t.Errorf("%s is written %s, want %s", test.in, got, out)
		}
		if again := mustParse(t, test.parse, got.String()); !reflect.DeepEqual(got, again) {
			t.Errorf("%s: %+v read back as %+v", test.in, got, again)
		}
	}
}

func TestIntegrityImpliesThePRFOfItsName(t *testing.T) {
	for id, alg := range integrities {
		p := mustParse(t, ParseIKE, "aes128-"+integName(id)+"-x25519")
		if want := "prf" + alg.name; len(p.PRF) != 1 || p.PRF[0].String() != want {
			t.Errorf("%s implies %s, want %s", alg.name, p.PRF, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct {
		parse    func(string) (Proposal, error)
		in, want string
	}{
		{ParseIKE, "", `"" is unknown`},
		{ParseIKE, "aes128gcm-prfsha256-x25519", `"aes128gcm" is unknown, "aes128gcm8" is the nearest word`},
		{ParseIKE, "aes128-" + strings.Repeat("x25519", 100), `is unknown, "x25519" is the nearest word`},
		{ParseIKE, "aes512-sha256-x25519", `"aes512" is unknown, "aes128" is the nearest word`},
		{ParseIKE, "aes128-sha265-x25519", `"sha265" is unknown, "sha256" is the nearest word`},
		{ParseIKE, "aes128-sha256-x22519", `"x22519" is unknown, "x25519" is the nearest word`},
		{ParseIKE, "aes128-md5-modp1024", `"md5" is unknown, "`},
		{ParseIKE, "AES128-sha256-x25519", `"AES128" is unknown, "aes128" is the nearest word`},
		{ParseIKE, "aes128-sha256-x25519-", `"" is unknown`},
		{ParseIKE, "aes128-aes-sha256-x25519", `"aes" is there twice`},
		{ParseIKE, "sha256-x25519", "no encryption: add one such as aes128gcm16"},
		{ParseIKE, "aes128-x25519", "no integrity algorithm, which aes128 needs: add one such as sha256"},
		{ParseIKE, "aes128gcm16-sha256-x25519", "aes128gcm16 protects integrity itself: leave out sha256, or write prfsha256"},
		{ParseIKE, "aes128gcm16-x25519", "no PRF, aes128gcm16 implies none: add one such as prfsha256"},
		{ParseIKE, "aes128-sha256", "no group: add one such as x25519"},
		{ParseIKE, "aes128gcm16-aes128-sha256-x25519", "aes128gcm16 and aes128 cannot be in one proposal"},
		{ParseIKE, "null-sha256-x25519", "null is for ESP only"},
		{ParseIKE, "aes128-sha256-x25519-modpnone", "modpnone is for ESP only"},
		{ParseIKE, "aes128-sha256-x25519-noesn", "noesn is for ESP only"},
		{ParseESP, "aes128", "no integrity algorithm, which aes128 needs"},
		{ParseESP, "null", "no integrity algorithm, which null needs"},
		{ParseESP, "x25519", "no encryption"},
		{ParseESP, "aes128-sha256-prfsha256", "prfsha256 is for IKE only"},
		{ParseESP, "aes128-chacha20poly1305-sha1", "aes128 and chacha20poly1305 cannot be in one proposal"},
		{ParseESP, "aes128gcm16-aesxcbc", "leave out aesxcbc, or write prfaesxcbc"},
		{ParseESP, "aes128-sha256-esn-esn", `"esn" is there twice`},
		{ParseIKE, "aes128-sha256-x25519-ke1_mlkem786", `"ke1_mlkem786" is unknown, "ke1_mlkem768" is the nearest word`},
		{ParseIKE, "aes128-sha256-x25519-ke8_mlkem768", `"ke8_mlkem768" is unknown, "ke1_mlkem768" is the nearest word`},
		{ParseIKE, "aes128-sha256-x25519-mlkem", `"mlkem" is unknown, "mlkem768" is the nearest word`},
		{ParseIKE, "aes128-sha256-x25519-ke1_none-ke1_none", `"ke1_none" is there twice`},
		{ParseIKE, "aes128-sha256-ke1_mlkem768", "no group: add one such as x25519"},
		{ParseESP, "aes128gcm16-ke1_mlkem768", "ke1_mlkem768 follows no key exchange: add a group such as x25519"},
		{ParseESP, "aes128gcm16-modpnone-ke1_none-ke1_mlkem768", "ke1_mlkem768 follows no key exchange"},
	} {
		p, err := test.parse(test.in)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.in) {
			t.Errorf("%s: %v, want %s", test.in, err, test.want)
		}
		if !reflect.DeepEqual(p, Proposal{}) {
			t.Errorf("%s: %+v beside an error", test.in, p)
		}
	}
}

func TestDefaultsAreWhatTheirWordsSay(t *testing.T) {
	for _, test := range []struct {
		parse func(string) (Proposal, error)
		list  []Proposal
		want  []string
	}{
		{ParseIKE, DefaultIKE(), []string{
			"aes128gcm16-aes256gcm16-prfsha256-x25519-ecp256-modp2048", "aes128-aes256-sha256-x25519-ecp256-modp2048",
		}},
		{ParseESP, DefaultESP(), []string{"aes128gcm16-aes256gcm16", "aes128-aes256-sha256"}},
	} {
		var got []string
		for _, p := range test.list {
			got = append(got, p.String())
			if parsed := mustParse(t, test.parse, p.String()); !reflect.DeepEqual(parsed, p) {
				t.Errorf("%+v reads back as %+v", p, parsed)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestChooseIKE(t *testing.T) {
	for _, test := range []struct{ ours, theirs, want string }{
		{"aes128-sha1-modp1536", "aes128-sha1-modp1536", "aes128-sha1-modp1536"},
		{"aes128gcm16-aes256gcm16-prfsha256-x25519-ecp256", "aes256gcm16-aes128gcm16-prfsha512-prfsha256-ecp256",
			"aes128gcm16-prfsha256-ecp256"},
		{"aes256-aes128-sha256-sha1-x25519", "aes128-sha1-sha256-x25519-modp2048", "aes128-sha256-x25519"},
		{"aes128-sha1-prfsha256-x25519", "aes128-sha1-prfsha1-x25519", ""},
		{"aes128-sha1-x25519", "aes256-sha1-x25519", ""},
		{"aes128-sha1-x25519", "aes128-sha256-prfsha1-x25519", ""},
		{"aes128-sha1-x25519", "aes128-sha1-ecp256", ""},
		{"aes128gcm16-prfsha1-x25519", "aes128-sha1-x25519", ""},
		{"aes128gcm16-prfsha1-x25519", "aes128gcm12-prfsha1-x25519", ""},
	} {
		ours, theirs := mustParse(t, ParseIKE, test.ours), mustParse(t, ParseIKE, test.theirs)
		got, ok := ours.ChooseIKE(theirs)
		if ok != (test.want != "") || ok && got.String() != test.want {
			t.Errorf("%s of %s: %s, %v, want %s", test.ours, test.theirs, got, ok, test.want)
		}
	}
}

// RFC 7296 section 3.3: with a combined-mode cipher, no integrity algorithm or a single one of NONE.
func TestChooseTakesNONEForAbsent(t *testing.T) {
	ours := mustParse(t, ParseIKE, "aes128gcm16-prfsha256-x25519")
	theirs := ours
	theirs.Integ = []spd.Integ{spd.IntegNone}
	if got, ok := ours.ChooseIKE(theirs); !ok || got.Integ != spd.IntegNone {
		t.Errorf("NONE: %s, %v", got, ok)
	}
	theirs.Integ = []spd.Integ{spd.IntegSHA256_128}
	if got, ok := ours.ChooseIKE(theirs); ok {
		t.Errorf("an AEAD with sha256 became %s", got)
	}
	theirs.Integ, theirs.Groups = nil, nil
	if got, ok := ours.ChooseIKE(theirs); ok {
		t.Errorf("an IKE_SA without a group: %s", got)
	}
}

func TestChooseESP(t *testing.T) {
	for _, test := range []struct{ ours, theirs, want string }{
		{"aes128-sha1", "aes128-sha1", "aes128-sha1"},
		{"aes128gcm16-aes256gcm16", "aes256gcm16", "aes256gcm16"},
		{"aes128-sha1-x25519", "aes128-sha1-modp2048-x25519", "aes128-sha1-x25519"},
		{"aes128-sha1-x25519", "aes128-sha1", ""},
		{"aes128-sha1", "aes128-sha1-x25519", ""},
		{"aes128-sha1", "aes128-sha1-x25519-modpnone", "aes128-sha1"},
		{"aes128-sha1-x25519-modpnone", "aes128-sha1", "aes128-sha1"},
		{"aes128-sha1-esn-noesn", "aes128-sha1-noesn-esn", "aes128-sha1-esn"},
		{"aes128-sha1", "aes128-sha1-noesn-esn", "aes128-sha1"},
		{"aes128-sha1", "aes128-sha1-esn", ""},
		{"null-sha256", "null-sha256", "null-sha256"},
		{"aes128-sha1", "aes128gcm16", ""},
	} {
		ours, theirs := mustParse(t, ParseESP, test.ours), mustParse(t, ParseESP, test.theirs)
		got, ok := ours.ChooseESP(theirs)
		if ok != (test.want != "") || ok && got.String() != test.want {
			t.Errorf("%s of %s: %s, %v, want %s", test.ours, test.theirs, got, ok, test.want)
		}
	}
}

func TestStringsOfUnknownAlgorithms(t *testing.T) {
	p := Proposal{
		Encr: []Encryption{{ID: 23, KeyBits: 256}}, PRF: []PRF{9}, Integ: []spd.Integ{1, spd.IntegNone},
		Groups: []Group{2, GroupNone},
	}
	if got, want := p.String(), "encr23_256-integ1-none-prf9-group2-modpnone"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRestrictLeavesWhatCanBeUsed(t *testing.T) {
	noAEADNorSHA256 := func(e spd.Encr, i spd.Integ) bool { return !IsAEAD(e) && i != spd.IntegSHA256_128 }
	for _, c := range []struct{ in, out string }{
		{"aes128-aes256-sha256-sha1", "aes128-aes256-sha1"},
		{"aes128-sha1-modp2048-esn-noesn", "aes128-sha1-modp2048-esn-noesn"},
		{"aes128-sha256", ""},
		{"aes128gcm16", ""},
	} {
		p, err := ParseESP(c.in)
		if err != nil {
			t.Fatal(err)
		}
		left, ok := p.Restrict(noAEADNorSHA256)
		if ok != (c.out != "") || ok && left.String() != c.out {
			t.Errorf("%s: left %q, %v; want %q", c.in, left, ok, c.out)
		}
	}
	gcm, err := ParseESP("aes128gcm16-aes256gcm16")
	if err != nil {
		t.Fatal(err)
	}
	all := func(spd.Encr, spd.Integ) bool { return true }
	if left, ok := gcm.Restrict(all); !ok || left.String() != gcm.String() || left.Integ != nil {
		t.Errorf("AEAD: left %q with %v", left, left.Integ)
	}
}
