package wire

import (
	"fmt"
	"strconv"

	"mipsecd/internal/cursor"
)

// Error says why a message cannot be read: to the operator in Err and to the peer as the notification to send, where
// the RFCs let one be sent (RFC 7296 section 2.21).
type Error struct {
	Notify  NotifyType
	Data    []byte // of the notification
	Section string // what the message offends against, such as "RFC 7296 section 3.9"
	Err     error
}

// Error reads like "ikev2/wire: Nonce payload at offset 28: length of Nonce Data: 3, expected 16 to 256 (INVALID_SYNTAX,
// RFC 7296 section 3.9)". The offset is that of the payload in the message or, in what was decrypted, in the chain;
// offsets after it are those in the payload's body.
func (e *Error) Error() string {
	return fmt.Sprintf("ikev2/wire: %v (%v, %s)", e.Err, e.Notify, e.Section)
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

const (
	headerSection   = "RFC 7296 section 3.1"
	versionSection  = "RFC 7296 section 2.5"
	payloadSection  = "RFC 7296 section 3.2"
	repeatedSection = "RFC 7296 appendix C"
)

func syntaxError(section string, err error) *Error {
	return &Error{Notify: NotifyInvalidSyntax, Section: section, Err: err}
}

// unexpected names a field, its value and what would be right.
func unexpected(field string, value any, want string, args ...any) error {
	return fmt.Errorf("%s: %v, expected %s", field, value, fmt.Sprintf(want, args...))
}

// readAll names the field at which r ran out of octets. Offsets are those in the payload's body.
func readAll(r *cursor.Reader, field string) error {
	if err := r.Err(); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// name is the name of a number as its RFC spells it, or else the number.
func name[T ~uint8 | ~uint16](names map[T]string, v T) string {
	if n, ok := names[v]; ok {
		return n
	}
	return strconv.Itoa(int(v))
}
