package suite

import "testing"

// RFC 9370 section 2.2.1: each additional key exchange is negotiated by itself, NONE leaves it out, and no method comes
// twice.
func TestRFC9370_2_2_1_Choice(t *testing.T) {
	for _, test := range []struct{ name, ours, theirs, want string }{
		{"one", "x25519-ke1_mlkem768", "x25519-ke1_mlkem1024-ke1_mlkem768", "x25519-ke1_mlkem768"},
		{"ours is preferred", "x25519-ke1_mlkem1024-ke1_mlkem768", "x25519-ke1_mlkem768-ke1_mlkem1024", "x25519-ke1_mlkem1024"},
		{"not offered", "x25519-ke1_mlkem768", "x25519", ""},
		{"not offered, optional", "x25519-ke1_mlkem768-ke1_none", "x25519", "x25519"},
		{"not configured", "x25519", "x25519-ke1_mlkem768", ""},
		{"not configured, optional", "x25519", "x25519-ke1_mlkem768-ke1_none", "x25519"},
		{"of another number", "x25519-ke1_mlkem768", "x25519-ke2_mlkem768", ""},
		{"gaps", "x25519-ke2_mlkem768-ke7_ecp384", "x25519-ke2_mlkem768-ke7_ecp384-ke5_none", "x25519-ke2_mlkem768-ke7_ecp384"},
		{"none twice", "x25519-ke1_mlkem768-ke1_mlkem1024-ke2_mlkem768", "x25519-ke1_mlkem768-ke1_mlkem1024-ke2_mlkem768",
			"x25519-ke1_mlkem1024-ke2_mlkem768"},
		{"only twice", "x25519-ke1_mlkem768-ke2_mlkem768", "x25519-ke1_mlkem768-ke2_mlkem768", ""},
		{"not that of the first", "x25519-ke1_x25519", "x25519-ke1_x25519", ""},
		{"as the first", "mlkem768", "mlkem768", "mlkem768"},
		{"none after none", "x25519-modpnone-ke1_mlkem768", "modpnone-x25519-ke1_mlkem768", "x25519-ke1_mlkem768"},
	} {
		ours, theirs := mustParse(t, ParseESP, "aes128gcm16-"+test.ours), mustParse(t, ParseESP, "aes128gcm16-"+test.theirs)
		got, ok := ours.ChooseESP(theirs)
		if ok != (test.want != "") || ok && got.String() != "aes128gcm16-"+test.want {
			t.Errorf("%s: %s, %t, want %q", test.name, got, ok, test.want)
		}
	}
	without := mustParse(t, ParseESP, "aes128gcm16-modpnone-x25519-ke1_mlkem768")
	with := without
	with.Groups = []Group{GroupNone}
	if got, ok := without.ChooseESP(with); ok {
		t.Errorf("an additional key exchange without a first one: %s", got)
	}
}

func TestStepsLeaveOutNone(t *testing.T) {
	steps := AddKE{1: MLKEM768, 4: P384}.Steps()
	if len(steps) != 2 || steps[0] != MLKEM768 || steps[1] != P384 {
		t.Errorf("%s", steps)
	}
}
