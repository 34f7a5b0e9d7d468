package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHostSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "secret")
	made, err := hostSecret(path)
	if err != nil || len(made) != hostSecretLen {
		t.Fatalf("%d octets, %v", len(made), err)
	}
	if read, err := hostSecret(path); err != nil || !read.Equal(made) {
		t.Errorf("it is another after a restart: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	one, err1 := hostSecret("")
	other, err2 := hostSecret("")
	if err1 != nil || err2 != nil || len(one) != hostSecretLen || one.Equal(other) || one.Equal(made) {
		t.Errorf("without a file: %v, %v", err1, err2)
	}
}

func TestHostSecretRefused(t *testing.T) {
	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"open to others", strings.Repeat("s", hostSecretLen), 0o644, "run chmod 600 on it"},
		{"cut short", "short", 0o600, "has 5 octets, want 32"},
		{"empty", "", 0o600, "has 0 octets, want 32"},
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
		if s, err := hostSecret(path); s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
