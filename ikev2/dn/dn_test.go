package dn

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// byOpenSSL is what openssl makes of -subj "/C=CH/O=Example, Inc./OU=Zürich/CN=mn1+UID=7/emailAddress=mn1@example.org".
const byOpenSSL = "3076310b300906035504061302434831163014060355040a0c0d4578616d706c652c20496e632e3110300e060355040b0c075ac3bc726963" +
	"68311d300a06035504030c036d6e31300f060a0992268993f22c6401010c0137311e301c06092a864886f70d010901160f6d6e31406578616d706c652e6f7267"

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func parse(t *testing.T, text string) []byte {
	t.Helper()
	der, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func fold(t *testing.T, der []byte) string {
	t.Helper()
	s, err := Fold(der)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNameOfOpenSSL(t *testing.T) {
	theirs := unhex(byOpenSSL)
	const text = `C=CH, O=Example\, Inc., OU=Zürich, CN=mn1+UID=7, emailAddress=mn1@example.org`
	if got, err := Text(theirs); err != nil || got != text {
		t.Errorf("written %s, %v", got, err)
	}
	for _, same := range []string{
		text,
		`C = CH, O = "Example, Inc.", OU = Z\C3\BCrich, CN = mn1 + UID = 7, emailAddress = mn1@example.org`, // as openssl prints it
		`c=ch,o=EXAMPLE\,  inc.,ou=ZÜRICH,uid=7+cn=MN1,E=MN1@example.org`,
		`2.5.4.6=CH, 2.5.4.10=#130d4578616d706c652c20496e632e, OU=Zürich, 2.5.4.3=mn1+UID=7, E=mn1@example.org`,
	} {
		if fold(t, parse(t, same)) != fold(t, theirs) {
			t.Errorf("%s is not the same as %s", same, text)
		}
	}
	for _, other := range []string{
		`O=Example\, Inc., C=CH, OU=Zürich, CN=mn1+UID=7, E=mn1@example.org`,
		`C=CH, O=Example\, Inc., OU=Zürich, CN=mn1, UID=7, E=mn1@example.org`,
		`C=CH, O=Example\, Inc., OU=Zürich, CN=mn1+UID=7`,
		`C=CH, O=Example\, Inc., OU=Zurich, CN=mn1+UID=7, E=mn1@example.org`,
		`C=CH, O=Example\,Inc., OU=Zürich, CN=mn1+UID=7, E=mn1@example.org`,
	} {
		if fold(t, parse(t, other)) == fold(t, theirs) {
			t.Errorf("%s is the same as %s", other, text)
		}
	}
}

// String types are those of RFC 5280 appendix A, the plainest that will do.
func TestRFC5280_A_StringTypes(t *testing.T) {
	for text, want := range map[string]string{
		"C=CH":            "300d310b300906035504061302" + "4348",
		"CN=mn1":          "300e310c300a06035504031303" + "6d6e31",
		"CN=a_b":          "300e310c300a0603550403" + "0c03" + "615f62",
		"DC=org":          "3015311330110" + "60a0992268993f22c640119" + "1603" + "6f7267",
		"E=é":             "3013" + "3111300f06092a864886f70d010901" + "0c02" + "c3a9",
		"CN=#0c036d6e31":  "300e310c300a0603550403" + "0c03" + "6d6e31",
		"1.2.3=x":         "300b3109300706022a03" + "1301" + "78",
		`CN=\ \#\,\ `:     "300f310d300b0603550403" + "0c04" + "20232c20",
		`CN= "a, b" `:     "300f310d300b0603550403" + "1304" + "612c2062",
		`CN="say \"x\" "`: "3013" + "3111300f0603550403" + "0c08" + "7361792022782220",
	} {
		if got := hex.EncodeToString(parse(t, text)); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

func TestRFC4514_2_4_Text(t *testing.T) {
	for text, der := range map[string]string{
		"":             "3000",
		`CN=\ a\+\"\ `: "3010310e300c0603550403" + "0c05" + "20612b2220",
		`CN=\#a#`:      "300e310c300a0603550403" + "0c03" + "236123",
		`CN=a\0a\1bb`:  "300f310d300b0603550403" + "0c04" + "610a1b62",
		`CN=#0201ff`:   "300c310a30080603550403" + "0201ff",   // an integer
		`CN=#0c01ff`:   "300c310a30080603550403" + "0c01ff",   // not in UTF-8
		`CN=é`:         "300c310a30080603550403" + "1401e9",   // a T61String
		`CN=ж`:         "300d310b30090603550403" + "1e020436", // a BMPString
		`CN=#8401e9`:   "300c310a30080603550403" + "8401e9",   // of another class
		`CN=#0c00`:     "300b310930070603550403" + "0c00",
		"1.2.3.4=x":    "300c310a300806032a0304" + "130178", // of an unknown type
	} {
		got, err := Text(unhex(der))
		if err != nil || got != text {
			t.Errorf("%s is written %s, %v; want %s", der, got, err, text)
		}
	}
}

func TestRefusedText(t *testing.T) {
	for text, want := range map[string]string{
		"":                `distinguished name "": "" is no attribute; want one such as CN=mn1`,
		"mn1":             `"mn1" is no attribute`,
		"C=CH,":           `"" is no attribute`,
		"C=CH, mn1":       `"mn1" is no attribute`,
		"C=CH; CN=mn1, x": `"x" is no attribute`,
		"CM=mn1":          `there is no attribute type "CM"; the nearest is CN, or write its number, such as 2.5.4.3`,
		"9.2=x":           `there is no attribute type "9.2"`,
		"2.-5=x":          `there is no attribute type "2.-5"`,
		"CN=":             "the value of CN is empty",
		"CN= , C=CH":      "the value of CN is empty",
		`CN=\ff`:          "the value of CN is not in UTF-8",
		`CN=a\`:           "a backslash at the end",
		`CN="a`:           "a quotation mark without its other",
		`CN="a" b`:        `"b" after a value; want a comma`,
		"CN=#0c":          "#0c is no value in DER",
		"CN=#0c0161ff":    "#0c0161ff is no value in DER",
		"CN=#x":           "#x is no value in DER",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestRefusedDER(t *testing.T) {
	whole := unhex(byOpenSSL)
	for _, der := range [][]byte{
		append(bytes.Clone(whole), 0), unhex("30023100"), unhex("0c0161"), unhex("30043102" + "3000"),
	} {
		if got, err := Text(der); err == nil {
			t.Errorf("%x is read as %s", der, got)
		}
	}
	for n := range whole {
		if got, err := Fold(whole[:n]); err == nil {
			t.Errorf("%x is read as %s", whole[:n], got)
		}
	}
}

// What is written can be read, and is the same name then.
func FuzzText(f *testing.F) {
	f.Add(unhex(byOpenSSL))
	f.Add(unhex("300c310a30080603550403" + "8401e9"))
	f.Add(unhex("300d310b30090603550403" + "1e020436"))
	f.Fuzz(func(t *testing.T, der []byte) {
		text, err := Text(der)
		if err != nil || text == "" {
			return
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%x is written %s: %v", der, text, err)
		}
		if fold(t, again) != fold(t, der) {
			t.Errorf("%x is written %s, which is %x", der, text, again)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`C = CH, O = "Example, Inc.", CN = mn1 + UID = 7`, `CN=\ \#\,\C3\BC `, "2.5.4.3=#0c036d6e31,DC=org",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		der, err := Parse(text)
		if err != nil {
			return
		}
		written, err := Text(der)
		if err != nil {
			t.Fatalf("%q is %x: %v", text, der, err)
		}
		again, err := Parse(written)
		if err != nil || fold(t, again) != fold(t, der) {
			t.Errorf("%q is written %s: %x, %v", text, written, again, err)
		}
	})
}
