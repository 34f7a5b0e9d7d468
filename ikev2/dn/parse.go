package dn

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"mipsecd/internal/nearest"
)

// Parse reads a name as people write it, and makes DER of it: attributes such as "CN=mn1", separated by commas, or by "+"
// within one relative name. The type is a keyword or an object identifier; the value has the escapes of RFC 4514, or is in
// quotation marks, or is "#" and its DER in hex. White space around all of these does not count. Errors say what is wrong
// and what would be right.
func Parse(text string) ([]byte, error) {
	p := parser{rest: text}
	var n name
	for {
		var relative relativeSET
		for {
			a, err := p.attribute()
			if err != nil {
				return nil, fmt.Errorf("distinguished name %q: %w", text, err)
			}
			relative = append(relative, a)
			if !p.take('+') {
				break
			}
		}
		n = append(n, relative)
		if !p.take(',') {
			break
		}
	}
	if p.rest != "" {
		return nil, fmt.Errorf("distinguished name %q: %q after a value; want a comma", text, p.rest)
	}
	return asn1.Marshal(n)
}

// parser goes through a name.
type parser struct{ rest string }

// skip passes over white space.
func (p *parser) skip() { p.rest = strings.TrimLeft(p.rest, " \t") }

// take passes over white space, and over c behind it if it is there.
func (p *parser) take(c byte) bool {
	p.skip()
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *parser) attribute() (a attribute, err error) {
	word, rest, ok := strings.Cut(p.rest, "=")
	word = strings.TrimSpace(word)
	if !ok || strings.ContainsAny(word, special) {
		return a, fmt.Errorf("%q is no attribute; want one such as CN=mn1", strings.TrimSpace(p.rest))
	}
	p.rest = rest
	k, err := keywordOf(word)
	if err != nil {
		return a, err
	}
	a.Type = k.oid
	if p.take('#') {
		a.Value.FullBytes, err = p.der()
		return a, err
	}
	value, err := p.value()
	switch {
	case err != nil:
		return a, err
	case value == "":
		return a, fmt.Errorf("the value of %s is empty", word)
	case !utf8.ValidString(value):
		return a, fmt.Errorf("the value of %s is not in UTF-8", word)
	}
	a.Value = asn1.RawValue{Tag: stringType(value, k.tag), Bytes: []byte(value)}
	return a, nil
}

// keywordOf finds an attribute type by a keyword, in upper or lower case, or by its number.
func keywordOf(word string) (keyword, error) {
	names := make([]string, len(keywords))
	for i, k := range keywords {
		if strings.EqualFold(k.name, word) {
			return k, nil
		}
		names[i] = k.name
	}
	if oid, ok := parseOID(word); ok {
		return keyword{oid: oid}, nil
	}
	return keyword{}, fmt.Errorf("there is no attribute type %q; the nearest is %s, or write its number, such as 2.5.4.3",
		word, nearest.Of(word, names))
}

func parseOID(s string) (oid asn1.ObjectIdentifier, ok bool) {
	for arc := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(arc, 10, 31)
		if err != nil {
			return nil, false
		}
		oid = append(oid, int(n))
	}
	_, err := asn1.Marshal(oid)
	return oid, err == nil
}

// stringType is the one that a value gets: what its attribute type wants if it can be had, and else the plainest.
func stringType(value string, want int) int {
	for _, tag := range []int{want, asn1.TagPrintableString} {
		params := map[int]string{asn1.TagPrintableString: "printable", asn1.TagIA5String: "ia5"}[tag]
		if _, err := asn1.MarshalWithParams(value, params); params != "" && err == nil {
			return tag
		}
	}
	return asn1.TagUTF8String
}

// der takes a value in hex.
func (p *parser) der() ([]byte, error) {
	end := strings.IndexAny(p.rest, "+, \t")
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	p.skip()
	der, err := hex.DecodeString(word)
	var v asn1.RawValue
	if err == nil {
		var more []byte
		if more, err = asn1.Unmarshal(der, &v); len(more) > 0 {
			err = errors.New("more than one value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("#%s is no value in DER; want it in hex, or a backslash before the #", word)
	}
	return der, nil
}

// value takes a value that is written as a string.
func (p *parser) value() (string, error) {
	quoted := p.take('"')
	var out []byte
	kept := 0 // up to here spaces are meant
	for p.rest != "" {
		c := p.rest[0]
		switch {
		case quoted && c == '"':
			p.rest = p.rest[1:]
			p.skip()
			return string(out), nil
		case !quoted && (c == ',' || c == '+'):
			return trimmed(out, kept), nil
		case c == '\\':
			octet, n := escaped(p.rest[1:])
			if n == 0 {
				return "", errors.New("a backslash at the end; want the character that it is for")
			}
			out, p.rest = append(out, octet), p.rest[1+n:]
			kept = len(out)
		default:
			out, p.rest = append(out, c), p.rest[1:]
		}
	}
	if quoted {
		return "", errors.New(`a quotation mark without its other; want \" if it is meant`)
	}
	return trimmed(out, kept), nil
}

// trimmed is a value without the white space at its end that no backslash keeps.
func trimmed(value []byte, kept int) string {
	return string(value[:kept]) + strings.TrimRight(string(value[kept:]), " \t")
}

// escaped is the octet that is meant by what follows a backslash, and how long that is: two digits in hex, or itself.
func escaped(s string) (octet byte, n int) {
	if len(s) >= 2 {
		if b, err := hex.DecodeString(s[:2]); err == nil {
			return b[0], 2
		}
	}
	if s == "" {
		return 0, 0
	}
	return s[0], 1
}
