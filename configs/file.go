package configs

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"mipsecd/internal/secret"
)

// Content is what a file that a configuration names is for.
type Content string

// The contents. Of the first eight a file must be open to its owner only.
const (
	PreSharedKey    Content = "the pre-shared key"
	PostQuantumKey  Content = "the post-quantum pre-shared key"
	SAKey           Content = "the key of an SA"
	PrivateKey      Content = "the private key"
	KeyBundle       Content = "the private key and certificates in PKCS#12"
	Password        Content = "the password of the PKCS#12 file"
	EAPPassword     Content = "the password of EAP"
	RADIUSSecret    Content = "the secret of the RADIUS servers"
	Certificates    Content = "certificates"
	RevocationLists Content = "revocation lists"
)

// maxFile bounds what is read of a file in octets. The longest are revocation lists.
const maxFile = 64 << 20

// readFile reads a file that a configuration names.
func readFile(path string, content Content) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w; want a file with %s", err, content)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no regular file; want a file with %s", path, content)
	}
	private := []Content{PreSharedKey, PostQuantumKey, SAKey, PrivateKey, KeyBundle, Password, EAPPassword, RADIUSSecret}
	if perm := info.Mode().Perm(); slices.Contains(private, content) && perm&0o077 != 0 {
		return nil, fmt.Errorf("%s is open to group or others (mode %04o); run chmod 600 on it", path, perm)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// Lengths of a pre-shared key in octets. Less than eight can be guessed; a file of more is none that holds a key.
const (
	minSecret = 8
	maxSecret = 1024
)

// parseKey reads a key of at least so many octets: the octets themselves, or after 0x in hexadecimal (RFC 7296 section
// 2.15). One newline at the end does not belong to it.
func parseKey(least int, what Content) func([]byte) (secret.Bytes, error) {
	return func(content []byte) (secret.Bytes, error) {
		key := bytes.TrimSuffix(content, []byte("\n"))
		if digits, ok := bytes.CutPrefix(key, []byte("0x")); ok {
			var err error
			if key, err = hex.AppendDecode(nil, digits); err != nil {
				return nil, errors.New("it begins with 0x, but two hexadecimal digits for each octet do not follow")
			}
		}
		switch {
		case len(key) == 0:
			return nil, fmt.Errorf("it is empty; want %s in it", what)
		case len(key) < least:
			return nil, fmt.Errorf("a key of %d octets only; want at least %d", len(key), least)
		case len(key) > maxSecret:
			return nil, fmt.Errorf("more than %d octets; want nothing but %s in it", maxSecret, what)
		}
		return secret.Bytes(key), nil
	}
}

// parsePassword reads the password of a PKCS#12 file. One newline at the end does not belong to it.
func parsePassword(content []byte) (string, error) {
	return string(bytes.TrimSuffix(content, []byte("\n"))), nil
}
