package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mipsecd/internal/secret"
)

// hostSecretLen is the length of the host's secret in octets.
const hostSecretLen = 32

// hostSecret reads the host's secret, or makes one: in the file if there is none, without a path for this run only.
func hostSecret(path string) (secret.Bytes, error) {
	if path == "" {
		return newSecret(), nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return writeSecret(path)
	case err != nil:
		return nil, err
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is open to group or others (mode %04o); run chmod 600 on it", path, info.Mode().Perm())
	case info.Size() != hostSecretLen:
		return nil, fmt.Errorf("%s has %d octets, want %d; without it a new one is made", path, info.Size(), hostSecretLen)
	}
	return os.ReadFile(path)
}

func newSecret() secret.Bytes {
	s := make(secret.Bytes, hostSecretLen)
	rand.Read(s) // never fails
	return s
}

// writeSecret makes the file whole or not at all.
func writeSecret(path string) (secret.Bytes, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-") // mode 600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	s := newSecret()
	_, err = f.Write(s)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return s, os.Rename(f.Name(), path)
}
