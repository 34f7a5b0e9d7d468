// Package secret keeps key material out of logs, errors and JSON.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Bytes is key material: a pre-shared key, an SK_x, an SA's key. However it is printed, it reads "[redacted]".
type Bytes []byte

// String returns "[redacted]".
func (Bytes) String() string { return redacted }

// GoString returns "[redacted]".
func (Bytes) GoString() string { return redacted }

// Format writes "[redacted]" whatever the verb, so that %x and %v reveal nothing either.
func (Bytes) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue redacts the secret in structured logs.
func (Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts the secret in JSON and other text encodings.
func (Bytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Equal compares in constant time.
func (b Bytes) Equal(other []byte) bool { return subtle.ConstantTimeCompare(b, other) == 1 }

// Wipe overwrites the secret with zeros.
func (b Bytes) Wipe() { clear(b) }
