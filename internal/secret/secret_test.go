package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNeverPrinted(t *testing.T) {
	s := Bytes("hunter2")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "key", s)
	encoded, err := json.Marshal(struct{ K Bytes }{s})
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{
		fmt.Sprint(s), fmt.Sprintf("%s %v %x %X %q %d %#v", s, s, s, s, s, s, s),
		fmt.Sprintf("%v %+v", struct{ K Bytes }{s}, &struct{ K Bytes }{s}), log.String(), string(encoded),
	} {
		if strings.Contains(out, "hunter2") || strings.Contains(out, "68756e74") || strings.Contains(out, "104") {
			t.Errorf("printed: %s", out)
		}
		if !strings.Contains(out, redacted) {
			t.Errorf("not marked as redacted: %s", out)
		}
	}
}

func TestEqualAndWipe(t *testing.T) {
	s := Bytes("abc")
	if !s.Equal([]byte("abc")) || s.Equal([]byte("abd")) || s.Equal([]byte("abcd")) || s.Equal(nil) {
		t.Error("Equal is wrong")
	}
	s.Wipe()
	if !s.Equal(make([]byte, 3)) {
		t.Error("Wipe left something")
	}
}
