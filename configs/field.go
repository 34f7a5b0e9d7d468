package configs

import (
	"fmt"
	"maps"
	"slices"

	"github.com/BurntSushi/toml"

	"mipsecd/internal/nearest"
)

// Key describes a key of the configuration.
type Key struct {
	// Name is the key with its table, such as "timing.tries".
	Name string
	// Role is the one whose configuration has the key; zero means both.
	Role Role
	// Value says in words what the key takes.
	Value string
	// Default is what it takes when it is not there, in TOML; empty if there is no such value.
	Default  string
	Required bool
	// Meaning says in a few words what it is for.
	Meaning string
}

// field is a key and the variable that its value goes to.
type field struct {
	Key
	set func(any) error
}

// bind makes a field of a variable. It fills in Key.Value.
func bind[T any](to *T, k kind[T], key Key) field {
	key.Value = k.want
	return field{key, func(v any) error {
		x, err := k.read(v)
		if err == nil {
			*to = x
		}
		return err
	}}
}

// table is one table of a file.
type table struct {
	name   string // as in a header; empty at the top
	values map[string]any
	at     *place
}

// has reports whether the table has a key, whatever its value.
func (t table) has(key string) bool {
	_, given := t.values[key]
	return given
}

// key is the name of one of the table's keys as errors have it.
func (t table) key(name string) string {
	if t.name == "" {
		return name
	}
	return t.name + "." + name
}

// setDefaults gives the variables their defaults.
func setDefaults(fields []field) {
	for _, f := range fields {
		if f.Default == "" {
			continue
		}
		var text struct{ Value any }
		_, err := toml.Decode("value = "+f.Default, &text)
		if err == nil {
			err = f.set(text.Value)
		}
		if err != nil {
			panic(fmt.Sprintf("configs: default of %s: %v", f.Name, err))
		}
	}
}

// fill gives the variables what the table has for them, and reports what it can't use.
func (r *reader) fill(t table, fields []field) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
		ours := f.Role == 0 || f.Role == r.role
		v, given := t.values[f.Name]
		switch {
		case given && !ours && r.role != 0:
			r.report(t.at.key(f.Name), t.key(f.Name), "this is for a %s; leave it out on a %s", f.Role, r.role)
		case given:
			if err := f.set(v); err != nil {
				r.report(t.at.key(f.Name), t.key(f.Name), "%v", err)
			}
		case f.Required && ours:
			r.report(t.at, t.key(f.Name), "is missing; want %s", f.Value)
		}
	}
	for name := range maps.Keys(t.values) {
		if !slices.Contains(names, name) {
			r.report(t.at.key(name), t.key(name), "there is no such key; the nearest is %s", nearest.Of(name, names))
		}
	}
}
