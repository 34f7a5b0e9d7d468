package nearest

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	names := []string{"identity", "name", "secret-file", "home-address", "ike", "ike-lifetime"}
	for wrong, want := range map[string]string{
		"ident": "identity", "nmae": "name", "secret": "secret-file", "homeaddress": "home-address", "Ike": "ike",
		"ikelifetime": "ike-lifetime", strings.Repeat("home-address", 1000): "home-address",
	} {
		if got := Of(wrong, names); got != want {
			t.Errorf("%.20s: got %s, want %s", wrong, got, want)
		}
	}
}

func TestDistanceFavoursInsertions(t *testing.T) {
	for _, test := range []struct {
		wrong, right string
		want         int
	}{
		{"", "", 0}, {"", "esn", 3}, {"esn", "", 6}, {"esn", "noesn", 2}, {"sha265", "sha256", 3}, {"sha1", "sha256", 4},
	} {
		if got := distance(test.wrong, test.right); got != test.want {
			t.Errorf("from %q to %q: %d, want %d", test.wrong, test.right, got, test.want)
		}
	}
}
