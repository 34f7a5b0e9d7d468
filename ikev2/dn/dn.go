// Package dn reads, writes and compares the distinguished names of X.509 (RFC 5280 section 4.1.2.4), which are identities
// in IKE (ID_DER_ASN1_DN of RFC 7296 section 3.5). As text they look like those of RFC 4514, but are in the order of the
// certificate, as openssl and IKE daemons have it: "C=CH, O=Example, CN=mn1".
package dn

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// name is a Name of RFC 5280. The last part of a type's name tells encoding/asn1 that it is a SET.
type (
	name        []relativeSET
	relativeSET []attribute
	attribute   struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
)

// keyword is how an attribute type is written.
type keyword struct {
	name string
	oid  asn1.ObjectIdentifier
	tag  int // of the string type that its values must have (RFC 5280 appendix A); zero is a DirectoryString
}

// keywords are those of RFC 4514 section 3 and others that people use. Where a type has two, it is written by the first.
var keywords = []keyword{
	{"CN", asn1.ObjectIdentifier{2, 5, 4, 3}, 0},
	{"C", asn1.ObjectIdentifier{2, 5, 4, 6}, asn1.TagPrintableString},
	{"L", asn1.ObjectIdentifier{2, 5, 4, 7}, 0},
	{"ST", asn1.ObjectIdentifier{2, 5, 4, 8}, 0},
	{"STREET", asn1.ObjectIdentifier{2, 5, 4, 9}, 0},
	{"O", asn1.ObjectIdentifier{2, 5, 4, 10}, 0},
	{"OU", asn1.ObjectIdentifier{2, 5, 4, 11}, 0},
	{"serialNumber", asn1.ObjectIdentifier{2, 5, 4, 5}, asn1.TagPrintableString},
	{"surname", asn1.ObjectIdentifier{2, 5, 4, 4}, 0},
	{"givenName", asn1.ObjectIdentifier{2, 5, 4, 42}, 0},
	{"title", asn1.ObjectIdentifier{2, 5, 4, 12}, 0},
	{"dnQualifier", asn1.ObjectIdentifier{2, 5, 4, 46}, asn1.TagPrintableString},
	{"DC", asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, asn1.TagIA5String},
	{"UID", asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, 0},
	{"emailAddress", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, asn1.TagIA5String},
	{"E", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, asn1.TagIA5String},
}

// errNotDER is the error of octets that are no distinguished name.
var errNotDER = errors.New("a distinguished name that is not one in DER")

func decode(der []byte) (name, error) {
	var n name
	if rest, err := asn1.Unmarshal(der, &n); err != nil || len(rest) > 0 {
		return nil, errNotDER
	}
	for _, relative := range n {
		if len(relative) == 0 {
			return nil, errNotDER
		}
	}
	return n, nil
}

// Text is a name for people, without characters that could confuse a terminal; Parse reads it. The error says that it is
// not one in DER.
func Text(der []byte) (string, error) {
	return join(der, ", ", func(a attribute) string {
		value := "#" + hex.EncodeToString(a.Value.FullBytes)
		if s, ok := a.text(); ok && s != "" {
			value = escape(s)
		}
		return a.keyword() + "=" + value
	})
}

// Fold is the same string for all names that are equal, and for no others. They are if they have the same relative names
// in the same order, and these the same attributes in any order; strings of any type are compared without regard to case
// and to white space at their ends, and any white space within them is like one space (RFC 5280 section 7.1, without the
// Unicode normalization of RFC 4518).
func Fold(der []byte) (string, error) {
	return join(der, "\x00", func(a attribute) string {
		s, ok := a.text()
		if !ok {
			return a.Type.String() + "#" + hex.EncodeToString(a.Value.FullBytes)
		}
		return a.Type.String() + "=" + escape(strings.ToLower(strings.ToUpper(strings.Join(strings.Fields(s), " "))))
	})
}

// join writes a name by its attributes. Those of a relative name, which are a set, are sorted.
func join(der []byte, separator string, write func(attribute) string) (string, error) {
	n, err := decode(der)
	if err != nil {
		return "", err
	}
	parts := make([]string, len(n))
	for i, relative := range n {
		var attributes []string
		for _, a := range relative {
			attributes = append(attributes, write(a))
		}
		slices.Sort(attributes)
		parts[i] = strings.Join(attributes, "+")
	}
	return strings.Join(parts, separator), nil
}

// keyword is how the attribute's type is written.
func (a attribute) keyword() string {
	for _, k := range keywords {
		if k.oid.Equal(a.Type) {
			return k.name
		}
	}
	return a.Type.String()
}

// text is the attribute's value if it is a string.
func (a attribute) text() (s string, ok bool) {
	switch a.Value.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString, asn1.TagBMPString:
		_, err := asn1.Unmarshal(a.Value.FullBytes, &s)
		return s, err == nil
	case asn1.TagT61String: // in practice that is ISO 8859-1
		runes := make([]rune, len(a.Value.Bytes))
		for i, b := range a.Value.Bytes {
			runes[i] = rune(b)
		}
		return string(runes), a.Value.Class == asn1.ClassUniversal
	}
	return "", false
}

// special are the characters of a value that are written with a backslash before them (RFC 4514 section 2.4).
const special = `"+,;<>\`

// escape writes a value by RFC 4514 section 2.4, and what is not printable in hex.
func escape(s string) string {
	var out strings.Builder
	for i, r := range s {
		size := utf8.RuneLen(r)
		switch {
		case strings.ContainsRune(special, r), i == 0 && r == '#', r == ' ' && (i == 0 || i+size == len(s)):
			out.WriteByte('\\')
			out.WriteRune(r)
		case unicode.IsPrint(r):
			out.WriteRune(r)
		default:
			for _, b := range []byte(string(r)) {
				out.WriteString(`\` + hex.EncodeToString([]byte{b}))
			}
		}
	}
	return out.String()
}
