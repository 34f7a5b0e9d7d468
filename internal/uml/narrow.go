//go:build linux

package uml

import (
	"regexp"
	"strings"
)

// narrow makes of a -test.run pattern one that selects the test called name alone, and of its subtests those that the
// pattern selects. The pattern is alternatives between '|', each of them levels between '/', neither within brackets.
func narrow(pattern, name string) string {
	levels := strings.Split(name, "/")
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	exact := strings.Join(levels, "/")
	var narrowed []string
	for _, alternative := range splitOutside(pattern, '|') {
		parts := splitOutside(alternative, '/')
		if !selects(parts, strings.Split(name, "/")) {
			continue
		}
		one := exact
		if len(parts) > len(levels) {
			one += "/" + strings.Join(parts[len(levels):], "/")
		}
		narrowed = append(narrowed, one)
	}
	if len(narrowed) == 0 {
		return exact
	}
	return strings.Join(narrowed, "|")
}

// selects reports whether the levels of a pattern, as far as they go, match those of a name.
func selects(parts, levels []string) bool {
	for i := range min(len(parts), len(levels)) {
		if ok, err := regexp.MatchString(parts[i], levels[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// splitOutside splits s at each sep that is not escaped or within brackets or parentheses, as the testing package does.
func splitOutside(s string, sep byte) []string {
	var parts []string
	depth, class, start := 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '[':
			class++
		case c == ']':
			class = max(class-1, 0)
		case class > 0:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == sep && depth == 0:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
