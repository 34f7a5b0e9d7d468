//go:build !linux

package addrs

import (
	"errors"
	"fmt"
	"runtime"
)

func open() (system, error) {
	return nil, fmt.Errorf("addrs: the addresses of a %s host cannot be watched yet: %w", runtime.GOOS,
		errors.ErrUnsupported)
}
