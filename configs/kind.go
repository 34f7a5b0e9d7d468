package configs

import (
	"fmt"
	"slices"
	"time"
)

// kind is what a key takes.
type kind[T any] struct {
	// want says in words what is right.
	want string
	// read turns a TOML value into what it means. An error is complete: what is wrong; what would be right.
	read func(any) (T, error)
}

// fault is the error of a value that is not what is wanted.
func fault(v any, want string) error { return fmt.Errorf("got %s; want %s", shown(v), want) }

// shown is a TOML value as an error quotes it.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		if r := []rune(v); len(r) > 60 {
			v = string(r[:60]) + "..."
		}
		return fmt.Sprintf("%q", v)
	case int64, bool, float64:
		return fmt.Sprint(v)
	case time.Time:
		return "a date or time"
	case []any:
		if len(v) == 0 {
			return "an empty list"
		}
		return "a list"
	case []map[string]any:
		return "several tables"
	}
	return "a table"
}

// judged makes a kind of TOML values of type V from a reader that only knows right from wrong.
func judged[V, T any](want string, read func(V) (T, bool)) kind[T] {
	return kind[T]{want, func(v any) (T, error) {
		if given, ok := v.(V); ok {
			if x, ok := read(given); ok {
				return x, nil
			}
		}
		var none T
		return none, fault(v, want)
	}}
}

// parsed makes a kind of strings from a parser whose errors say what would be right.
func parsed[T any](want string, parse func(string) (T, error)) kind[T] {
	return kind[T]{want, func(v any) (T, error) {
		if s, ok := v.(string); ok {
			return parse(s)
		}
		var none T
		return none, fault(v, want)
	}}
}

// word is one of the words that a key takes.
type word[T any] struct {
	text  string
	value T
}

func oneOf[T any](words []word[T]) kind[T] {
	want := fmt.Sprintf("%q", words[0].text)
	for i, w := range words[1:] {
		glue := ", "
		if i == len(words)-2 {
			glue = " or "
		}
		want += fmt.Sprintf("%s%q", glue, w.text)
	}
	return judged(want, func(s string) (x T, ok bool) {
		i := slices.IndexFunc(words, func(w word[T]) bool { return w.text == s })
		if i < 0 {
			return x, false
		}
		return words[i].value, true
	})
}

// listOf takes a list that is not empty and names nothing twice.
func listOf[T any](want string, each kind[T]) kind[[]T] {
	return kind[[]T]{want, func(v any) ([]T, error) {
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return nil, fault(v, want)
		}
		out := make([]T, len(list))
		for i, v := range list {
			var err error
			if out[i], err = each.read(v); err != nil {
				return nil, err
			}
			if slices.Contains(list[:i], v) { // strings: of anything else read has made an error
				return nil, fmt.Errorf("got %s twice; want it once", shown(v))
			}
		}
		return out, nil
	}}
}

// oneOrMore takes a single value without the brackets of a list, too.
func oneOrMore[T any](each kind[T]) kind[[]T] {
	list := listOf(each.want+", or a list of such", each)
	return kind[[]T]{list.want, func(v any) ([]T, error) {
		if _, isList := v.([]any); isList {
			return list.read(v)
		}
		x, err := each.read(v)
		if err != nil {
			return nil, fault(v, list.want)
		}
		return []T{x}, nil
	}}
}

func integer[T uint32 | int](low, high int64) kind[T] {
	return judged(fmt.Sprintf("an integer from %d to %d", low, high), func(v int64) (T, bool) {
		return T(v), low <= v && v <= high
	})
}

// duration takes low to high, which are in the notation of time.ParseDuration.
func duration(low, high string) kind[time.Duration] {
	least, errLow := time.ParseDuration(low)
	most, errHigh := time.ParseDuration(high)
	if errLow != nil || errHigh != nil {
		panic("configs: " + low + " or " + high + " is no duration")
	}
	return judged(fmt.Sprintf("a duration from %q to %q", low, high), func(s string) (time.Duration, bool) {
		d, err := time.ParseDuration(s)
		return d, err == nil && least <= d && d <= most
	})
}

// orNever takes the word "never" for zero, too.
func orNever(k kind[time.Duration]) kind[time.Duration] {
	return judged(k.want+`, or "never"`, func(s string) (time.Duration, bool) {
		if s == "never" {
			return 0, true
		}
		d, err := k.read(s)
		return d, err == nil
	})
}
