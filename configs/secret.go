package configs

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"mipsecd/internal/secret"
)

// Lengths of a pre-shared key in octets. Less than eight can be guessed; a file of more is none that holds a key.
const (
	minSecret = 8
	maxSecret = 1024
)

// readSecret reads a pre-shared key from a file that nobody but its owner may read. One newline at the end does not
// belong to the key.
func readSecret(path string) (secret.Bytes, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w; want a file with the pre-shared key", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; want a file with the pre-shared key", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%s is open to group or others (mode %04o); run chmod 600 on it", path, perm)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+2))
	if err != nil {
		return nil, err
	}
	key := bytes.TrimSuffix(b, []byte("\n"))
	switch {
	case len(key) == 0:
		return nil, fmt.Errorf("%s is empty; want the pre-shared key in it", path)
	case len(key) < minSecret:
		return nil, fmt.Errorf("%s has a key of %d octets only; want at least %d", path, len(key), minSecret)
	case len(key) > maxSecret:
		return nil, fmt.Errorf("%s has more than %d octets; want nothing but the pre-shared key in it", path, maxSecret)
	}
	return secret.Bytes(key), nil
}
