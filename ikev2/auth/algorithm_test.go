package auth

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The objects of RFC 7427 appendix A and RFC 8420 appendix A.
var objects = []struct {
	algorithm
	der string
}{
	{algorithm{family: pkcs1, hash: SHA1}, "300d 0609 2a86 4886 f70d 0101 0505 00"},
	{algorithm{family: pkcs1, hash: SHA256}, "300d 0609 2a86 4886 f70d 0101 0b05 00"},
	{algorithm{family: pkcs1, hash: SHA384}, "300d 0609 2a86 4886 f70d 0101 0c05 00"},
	{algorithm{family: pkcs1, hash: SHA512}, "300d 0609 2a86 4886 f70d 0101 0d05 00"},
	{algorithm{family: ecdsaDER, hash: SHA1}, "3009 0607 2a86 48ce 3d04 01"},
	{algorithm{family: ecdsaDER, hash: SHA256}, "300a 0608 2a86 48ce 3d04 0302"},
	{algorithm{family: ecdsaDER, hash: SHA384}, "300a 0608 2a86 48ce 3d04 0303"},
	{algorithm{family: ecdsaDER, hash: SHA512}, "300a 0608 2a86 48ce 3d04 0304"},
	{algorithm{family: edDSA, hash: Identity}, "3005 0603 2b65 70"},
}

// Objects of RSASSA-PSS: those of RFC 7427 appendix A.4, with the trailer field that DER leaves out, and the same without.
const (
	pssEmpty   = "300d 0609 2a86 4886 f70d 0101 0a30 00"
	pssDefault = "303e 0609 2a86 4886 f70d 0101 0a30 31a0 0b30 0906 052b 0e03 021a 0500 a118 3016 0609 2a86 4886 f70d 0101" +
		"0830 0906 052b 0e03 021a 0500 a203 0201 14a3 0302 0101"
	pssSHA256 = "3046 0609 2a86 4886 f70d 0101 0a30 39a0 0f30 0d06 0960 8648 0165 0304 0201 0500 a11c 301a 0609 2a86 4886" +
		"f70d 0101 0830 0d06 0960 8648 0165 0304 0201 0500 a203 0201 20a3 0302 0101"
	pssSHA256DER = "3041 0609 2a86 4886 f70d 0101 0a30 34a0 0f30 0d06 0960 8648 0165 0304 0201 0500 a11c 301a 0609 2a86 4886" +
		"f70d 0101 0830 0d06 0960 8648 0165 0304 0201 0500 a203 0201 20"
)

func TestRFC7427_A_Objects(t *testing.T) {
	for _, o := range objects {
		der := unhex(o.der)
		if got := o.identifier(); !bytes.Equal(got, der) {
			t.Errorf("%s is written %x, want %x", o, got, der)
		}
		if got, err := parseIdentifier(der); err != nil || got != o.algorithm {
			t.Errorf("%x is read as %s, %v", der, got, err)
		}
	}
	sha256 := algorithm{family: pss, hash: SHA256, salt: 32}
	for der, want := range map[string]algorithm{
		pssEmpty: {family: pss, hash: SHA1, salt: 20}, pssDefault: {family: pss, hash: SHA1, salt: 20},
		pssSHA256: sha256, pssSHA256DER: sha256,
	} {
		if got, err := parseIdentifier(unhex(der)); err != nil || got != want {
			t.Errorf("%s is read as %s, %v", der, got, err)
		}
	}
	if got := sha256.identifier(); !bytes.Equal(got, unhex(pssSHA256DER)) {
		t.Errorf("%s is written %x", sha256, got)
	}
}

// NULL and no parameters at all mean the same (RFC 7427 section 3).
func TestRFC7427_3_NoParameters(t *testing.T) {
	for der, want := range map[string]algorithm{
		"300b 0609 2a86 4886 f70d 0101 0b":   {family: pkcs1, hash: SHA256},
		"300c 0608 2a86 48ce 3d04 0302 0500": {family: ecdsaDER, hash: SHA256},
		"3007 0603 2b65 70 0500":             {family: edDSA, hash: Identity},
	} {
		if got, err := parseIdentifier(unhex(der)); err != nil || got != want {
			t.Errorf("%s is read as %s, %v", der, got, err)
		}
	}
}

func TestRFC7427_3_RefusedObjects(t *testing.T) {
	data := func(der string) string {
		b := unhex(der)
		return string(append(append([]byte{byte(len(b))}, b...), 1, 2, 3))
	}
	change := func(der, old, with string) string {
		b := strings.ReplaceAll(der, " ", "")
		if !strings.Contains(b, old) {
			t.Fatalf("%s is not in %s", old, b)
		}
		return data(strings.Replace(b, old, with, 1))
	}
	for _, c := range []struct{ name, data, want string }{
		{"nothing", "", "ASN.1 Length and AlgorithmIdentifier"},
		{"shorter than said", "\x0f\x30\x0d", "ASN.1 Length and AlgorithmIdentifier"},
		{"no signature", data(objects[1].der)[:16], "an empty Signature Value, expected at least one octet"},
		{"no object", "\x00sig", "is not one in DER"},
		{"another object", data("0203 010203"), "is not one in DER"},
		{"more than the object", data(objects[1].der + "00"), "is not one in DER"},
		{"an unknown one", data("3005 0603 2b65 71"), "signature algorithm 1.3.101.113 is not known"},
		{"parameters", data("3008 0603 2b65 70 0201 05"), "parameters of Ed25519: 020105, expected NULL or none"},
		{"RSASSA-PSS without parameters", data("300b 0609 2a86 4886 f70d 0101 0a"), "parameters of RSASSA-PSS"},
		{"RSASSA-PSS with NULL", data("300d 0609 2a86 4886 f70d 0101 0a05 00"), "parameters of RSASSA-PSS"},
		{"RSASSA-PSS with an unknown hash", change(pssSHA256DER, "608648016503040201", "608648016503040209"),
			"hash algorithm 2.16.840.1.101.3.4.2.9 of RSASSA-PSS is not known"},
		{"RSASSA-PSS with two hashes", change(pssSHA256DER, "608648016503040201", "608648016503040202"),
			"mask generation function of RSASSA-PSS: with SHA-256, expected SHA-384"},
		{"RSASSA-PSS with another mask", change(pssSHA256DER, "2a864886f70d010108", "2a864886f70d010109"),
			"expected MGF1"},
		{"RSASSA-PSS with a negative salt", change(pssSHA256DER, "020120", "0201ff"),
			"salt length of RSASSA-PSS: -1, expected 0"},
		{"RSASSA-PSS with another trailer", change(pssSHA256, "a303020101", "a303020102"),
			"trailer field of RSASSA-PSS: 2, expected 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := parseSignature([]byte(c.data))
			failed(t, err, c.want)
		})
	}
}

func TestTruncatedObjects(t *testing.T) {
	for _, der := range []string{objects[1].der, objects[8].der, pssSHA256, pssSHA256DER, pssDefault} {
		whole := unhex(der)
		for n := range whole {
			if a, err := parseIdentifier(whole[:n]); err == nil {
				t.Errorf("%x is read as %s", whole[:n], a)
			}
		}
	}
}

// What can be read can be written and read again.
func FuzzAuthenticationData(f *testing.F) {
	for _, o := range objects {
		id := unhex(o.der)
		f.Add(append(append([]byte{byte(len(id))}, id...), 1, 2, 3))
	}
	for _, der := range []string{pssEmpty, pssDefault, pssSHA256, pssSHA256DER} {
		id := unhex(der)
		f.Add(append(append([]byte{byte(len(id))}, id...), 1, 2, 3))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, signature, err := parseSignature(data)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(data, signature) || a.salt < 0 {
			t.Errorf("%x is read as %s with %x", data, a, signature)
		}
		if again, err := parseIdentifier(a.identifier()); err != nil || again != a {
			t.Errorf("%s is read again as %s, %v", a, again, err)
		}
	})
}
