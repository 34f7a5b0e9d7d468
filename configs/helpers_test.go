package configs

import (
	"errors"
	"fmt"
	"testing"
)

const testSecret = "open sesame"

// anySecret has the same key in every file.
func anySecret(string, Content) ([]byte, error) { return []byte(testSecret), nil }

// mobileNode is a configuration with a line more at the top, line 3, and one more in the table, line 9.
func mobileNode(top, peer string) string {
	return fmt.Sprintf(`role = "mobile-node"
identity = "mn1@example.org"
%s
[home-agent]
identity = "ha.example.org"
address = "2001:db8:1::1"
home-address = "2001:db8:1::100"
secret-file = "ha.psk"
%s
`, top, peer)
}

// homeAgent is a configuration with a line more at the top, line 4, and one more in the table of mn1, line 9.
func homeAgent(top, peer string) string {
	return fmt.Sprintf(`role = "home-agent"
identity = "ha.example.org"
address = "2001:db8:1::1"
%s
[[mobile-node]]
identity = "mn1@example.org"
home-address = "2001:db8:1::100"
secret-file = "mn1.psk"
%s
`, top, peer)
}

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("x.toml", []byte(text), anySecret)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// problems are the joined errors, which must all be of type *Error.
func problems(t *testing.T, err error) (list []*Error) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T is no joined error", err)
	}
	for _, e := range joined.Unwrap() {
		var one *Error
		if !errors.As(e, &one) {
			t.Fatalf("%T is no *Error", e)
		}
		list = append(list, one)
	}
	return list
}
