package mschap

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func example(t *testing.T) *Exchange {
	t.Helper()
	return &Exchange{
		Server:   [16]byte(unhex(t, "5B5D7C7D7B3F2F3E3C2C602132262628")),
		Peer:     [16]byte(unhex(t, "21402324255E262A28295F2B3A337C7E")),
		User:     []byte("User"),
		Password: []byte("clientPass"),
	}
}

func same(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%s: got %X, want %s", what, got, want)
	}
}

func TestRFC2759_9_2_Vectors(t *testing.T) {
	x := example(t)
	response := x.Response()
	same(t, "Challenge", x.challenge(), "D02E4386BCE91226")
	same(t, "PasswordHash", x.passwordHash(), "44EBBA8D5312B8D611474411F56989AE")
	same(t, "PasswordHashHash", x.passwordHashHash(), "41C00C584BD2D91C4017A2A12FA59F3F")
	same(t, "NT-Response", response, "82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")
	same(t, "Authenticator Response", x.Proof(response), "407A5589115FD0D6209F510FE9C04566932CDA56")
}

// The vectors of RFC 3079 section 3.5.3. The send key there is the server's.
func TestRFC3079_3_5_Keys(t *testing.T) {
	x := example(t)
	_, send := x.Keys(x.Response())
	same(t, "SendStartKey128", send, "8B7CDC149B993A1BA118CB153F56DCCB")
}

func TestRFC2759_8_2_DomainIsLeftOut(t *testing.T) {
	x, y := example(t), example(t)
	y.User = []byte(`DOMAIN\User`)
	if !bytes.Equal(x.Response(), y.Response()) {
		t.Error("the domain changes the response")
	}
}

func TestPasswordInUTF8(t *testing.T) {
	x, y := example(t), example(t)
	x.Password, y.Password = []byte("pässwörd 🔑"), []byte("pässwörd 🔒")
	if bytes.Equal(x.Response(), y.Response()) || len(x.Response()) != ResponseLen {
		t.Error("two passwords have one response")
	}
}
