package configs

import (
	"slices"
	"strings"
)

// The TOML library tells the line of a syntax error, but not those of keys. This file finds them in a text that the
// library has read before, so that it need not be on its guard against bad syntax.

// place is where in the text a table, or the value of a key, stands.
type place struct {
	line  int
	keys  map[string]*place // of a table
	items []*place          // of an array of tables
}

// key is the place of a key of a table. What has no place of its own, as it is missing or in an inline table, is where
// the table is.
func (p *place) key(name string) *place {
	if k := p.keys[name]; k != nil {
		return k
	}
	return &place{line: p.line}
}

// item is the place of a table in an array of tables. A single table stands for an array of one.
func (p *place) item(i int) *place {
	if i < len(p.items) {
		return p.items[i]
	}
	return p
}

// below finds or makes the place that a dotted key leads to from p. On the way an array of tables means the last one.
func (p *place) below(path []string, line int) *place {
	for _, name := range path {
		if n := len(p.items); n > 0 {
			p = p.items[n-1]
		}
		if p.keys[name] == nil {
			if p.keys == nil {
				p.keys = map[string]*place{}
			}
			p.keys[name] = &place{line: line}
		}
		p = p.keys[name]
	}
	return p
}

// findPlaces finds the places of the tables and keys of a TOML document.
func findPlaces(text string) *place {
	root := &place{line: 1}
	table := root
	s := scanner{rest: strings.TrimPrefix(text, "\ufeff"), line: 1}
	for s.blank(); s.rest != ""; s.blank() {
		line := s.line
		switch {
		case s.take("[["):
			array := root.below(s.path(), line)
			table = &place{line: line}
			array.items = append(array.items, table)
			s.take("]]")
		case s.take("["):
			table = root.below(s.path(), line)
			table.line = line
			s.take("]")
		default:
			table.below(s.path(), line)
			s.value()
		}
	}
	return root
}

// scanner goes through a TOML document.
type scanner struct {
	rest string
	line int
}

func (s *scanner) skip(n int) {
	n = min(n, len(s.rest))
	s.line += strings.Count(s.rest[:n], "\n")
	s.rest = s.rest[n:]
}

func (s *scanner) take(word string) bool {
	ok := strings.HasPrefix(s.rest, word)
	if ok {
		s.skip(len(word))
	}
	return ok
}

// until skips what is before the first of the characters in set.
func (s *scanner) until(set string) {
	if n := strings.IndexAny(s.rest, set); n >= 0 {
		s.skip(n)
	} else {
		s.skip(len(s.rest))
	}
}

// blank skips empty space, ends of lines and comments.
func (s *scanner) blank() {
	for {
		s.skip(len(s.rest) - len(strings.TrimLeft(s.rest, " \t\r\n")))
		if !strings.HasPrefix(s.rest, "#") {
			return
		}
		s.until("\n")
	}
}

// path takes a dotted key up to the "=" or "]" that follows. Escapes within quotes are left as they are: none of our
// keys needs one.
func (s *scanner) path() (path []string) {
	for {
		s.blank()
		before := s.rest
		if s.quoted() {
			word := before[:len(before)-len(s.rest)]
			path = append(path, word[1:len(word)-1])
		} else {
			s.until(" \t\r\n.=]")
			path = append(path, before[:len(before)-len(s.rest)])
		}
		s.blank()
		if !s.take(".") {
			return path
		}
	}
}

// value skips an "=", a value, and what is after it on the line.
func (s *scanner) value() {
	for depth := 0; s.rest != "" && (depth > 0 || s.rest[0] != '\n'); {
		switch {
		case s.quoted():
		case s.rest[0] == '#':
			s.until("\n")
		default:
			switch s.rest[0] {
			case '[', '{':
				depth++
			case ']', '}':
				depth--
			}
			s.skip(1)
		}
	}
}

// quoted skips a string of any of the four kinds, if there is one here.
func (s *scanner) quoted() bool {
	i := slices.IndexFunc([]string{`"""`, `'''`, `"`, `'`}, func(q string) bool { return strings.HasPrefix(s.rest, q) })
	if i < 0 {
		return false
	}
	quote := s.rest[:1]
	long := i < 2
	if long {
		quote = strings.Repeat(quote, 3)
	}
	s.skip(len(quote))
	for s.rest != "" && !s.take(quote) {
		if s.rest[0] == '\\' && quote[0] == '"' {
			s.skip(1)
		}
		s.skip(1)
	}
	for long && s.take(quote[:1]) { // a long string may end in quotes of its own
	}
	return true
}
