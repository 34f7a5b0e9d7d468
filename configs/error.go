package configs

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"mipsecd/ikev2/auth"
)

// Error is one thing that is wrong with a configuration.
type Error struct {
	File string
	// Line counts from 1. It is that of the key, or that of its table if the key is missing.
	Line int
	// Key is the key with its table, such as "mobile-node.identity", and empty where the file is no TOML.
	Key string
	// Msg says what is wrong; what would be right.
	Msg string
}

// Error reads "file:line: key: what is wrong; what would be right".
func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s:%d: %s: %s", e.File, e.Line, e.Key, e.Msg)
}

// reader is one file being read.
type reader struct {
	file        string
	read        func(path string, content Content) ([]byte, error)
	role        Role // zero if the file does not say
	radius      *RADIUS
	top         table
	trusts      map[string]*auth.Trust      // by their files
	credentials map[string]*auth.Credential // by their files
	errors      []*Error
}

func (r *reader) report(at *place, key, format string, args ...any) {
	r.errors = append(r.errors, &Error{File: r.file, Line: at.line, Key: key, Msg: fmt.Sprintf(format, args...)})
}

// err joins what was reported, in the order of the lines.
func (r *reader) err() error {
	slices.SortStableFunc(r.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	joined := make([]error, len(r.errors))
	for i, e := range r.errors {
		joined[i] = e
	}
	return errors.Join(joined...)
}

// path is a path of the file, where relative ones are relative to the file's directory.
func (r *reader) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(filepath.Dir(r.file), p)
}
