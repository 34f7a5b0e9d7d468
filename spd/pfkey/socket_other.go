//go:build !linux

package pfkey

import (
	"errors"
	"fmt"
	"runtime"
)

// Open opens the kernel's PF_KEY. On this system it fails with errors.ErrUnsupported.
func Open() (*Backend, error) {
	return nil, fmt.Errorf("PF_KEY on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
