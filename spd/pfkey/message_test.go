package pfkey

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
)

func TestFixtures(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			octets := parse(t, f.octets)
			encoded, err := f.dialect.encode(&f.message)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(encoded, octets) {
				t.Errorf("encoded\n%x, want\n%x", encoded, octets)
			}
			decoded, err := f.dialect.decode(octets)
			if err != nil {
				t.Fatal(err)
			}
			want := f.message
			want.authKey, want.encrKey = nil, nil
			if !reflect.DeepEqual(decoded, &want) {
				t.Errorf("decoded\n%+v, want\n%+v", decoded, &want)
			}
		})
	}
}

func TestKeysAreNotDecoded(t *testing.T) {
	for _, f := range fixtures {
		if m, err := f.dialect.decode(parse(t, f.octets)); err != nil || m.authKey != nil || m.encrKey != nil {
			t.Errorf("%s: %v, error %v", f.name, m, err)
		}
	}
}

func TestUnknownExtensionsArePassedOver(t *testing.T) { // RFC 2367 section 2.3
	octets := parse(t, capturedMigrate)
	want, err := linux.decode(octets)
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []byte{13, 24, 26, 200} {
		longer := append(bytes.Clone(octets), 2, 0, typ, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
		binary.NativeEndian.PutUint16(longer[4:], uint16(len(longer)/8))
		if m, err := linux.decode(longer); err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("extension %d: %+v, error %v", typ, m, err)
		}
	}
}

func TestEveryPrefixIsRefused(t *testing.T) {
	for _, f := range fixtures {
		octets := parse(t, f.octets)
		for n := range octets {
			if _, err := f.dialect.decode(octets[:n]); err == nil {
				t.Errorf("%s: the first %d octets decode", f.name, n)
			}
		}
	}
}

// A prefix whose lengths have been made to agree with it misses some of the last extension: it is refused, too, unless
// only padding or whole list elements are missing.
func TestEveryShortenedExtensionIsRefused(t *testing.T) {
	for _, f := range fixtures {
		octets := parse(t, f.octets)
		for start := headerLen; start < len(octets); {
			length := int(binary.NativeEndian.Uint16(octets[start:])) * 8
			typ := binary.NativeEndian.Uint16(octets[start+2:])
			for n := 8; n < length; n += 8 {
				short := bytes.Clone(octets[:start+n])
				binary.NativeEndian.PutUint16(short[4:], uint16(len(short)/8))
				binary.NativeEndian.PutUint16(short[start:], uint16(n/8))
				if listLike(typ, octets[start:], n, f.dialect) {
					continue
				}
				if m, err := f.dialect.decode(short); err == nil {
					t.Errorf("%s: extension %d of %d octets decodes when cut to %d: %+v", f.name, typ, length, n, m)
				}
			}
			start += length
		}
	}
}

// listLike reports whether n octets are a whole extension of this type.
func listLike(typ uint16, octets []byte, n int, d *dialect) bool {
	switch typ {
	case extKeyAuth, extKeyEncrypt, extSupportedAuth, extSupportedEncr:
		return true
	case extPolicy:
		for at := 16; at < len(octets); at += int(binary.NativeEndian.Uint16(octets[at:])) {
			if at >= n {
				return at == n
			}
		}
	case d.packet:
		return n >= 8+int(binary.NativeEndian.Uint32(octets[4:]))
	}
	return false
}

func TestRefusals(t *testing.T) {
	patch := func(at int, octets ...byte) func([]byte) []byte {
		return func(b []byte) []byte {
			copy(b[at:], octets)
			return b
		}
	}
	const kame = 1
	for _, c := range []struct {
		name    string
		fixture int
		change  func([]byte) []byte
		want    string
	}{
		{"version 1", 0, patch(0, 1), "sadb_msg_version 1, must be 2"},
		{"length too great", 0, patch(4, 41), "sadb_msg_len says 328 octets, there are 320"},
		{"octets too many", 0, func(b []byte) []byte { return append(b, make([]byte, 8)...) }, "there are 328"},
		{"extension of no length", 0, patch(0x50, 0), "sadb_ext_len says 0 octets, must be 8 to 240"},
		{"extension beyond the end", 0, patch(0xa0, 21), "sadb_ext_len says 168 octets, must be 8 to 160"},
		{"extension type 0", 0, patch(0x12, 0), "extension 0 at offset 16: its type is reserved"},
		{"second SRC", 0, patch(0x7a, 5), "extension 5 at offset 120: its type is reserved, or was there before"},
		{"prefix of 129 bits", 0, patch(0x55, 129), "sadb_address_prefixlen 129, at most 128"},
		{"unknown family", 0, patch(0x58, 99), "sa_family 99, must be 2 (AF_INET) or 10 (AF_INET6)"},
		{"two families in a pair", 0, patch(0x34, 2), "must be of one family"},
		{"request of 15 octets", 0, patch(0xb0, 15), "its length is 15 octets, must be 16 to 144"},
		{"request beyond the end", 0, patch(0xf8, 73), "sadb_x_ipsecrequest 1: its length is 73 octets, must be 16 to 72"},
		{"request for protocol 306", 0, patch(0xb3, 1), "its protocol is 306, at most 255"},
		{"sa_len 27", kame, patch(0x18, 27), "sa_len 27, must be 28 for family 28"},
		{"packet beyond the end", 2, patch(0x74, 17), "sadb_x_packet_copylen 17, at most 16 octets"},
	} {
		f := fixtures[c.fixture]
		m, err := f.dialect.decode(c.change(parse(t, f.octets)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, error %v, want %q", c.name, m, err, c.want)
		}
	}
}

func TestLongestMessage(t *testing.T) {
	m := &message{header: header{typ: sadbRegister}, encrAlgs: make([]algorithm, (maxMessage-headerLen-8)/algorithmLen)}
	b, err := linux.encode(m)
	if err != nil || len(b) != maxMessage {
		t.Fatalf("%d octets, error %v", len(b), err)
	}
	m.encrAlgs = append(m.encrAlgs, algorithm{})
	if b, err := linux.encode(m); err == nil {
		t.Fatalf("%d octets", len(b))
	}
}

func FuzzDecodeLinux(f *testing.F) { fuzzDecode(f, &linux) }
func FuzzDecodeBSD(f *testing.F)   { fuzzDecode(f, &bsd) }

// fuzzDecode checks that what decodes keeps its meaning when it is encoded and decoded again, and that nothing made of
// it panics.
func fuzzDecode(f *testing.F, d *dialect) {
	for _, x := range fixtures {
		f.Add(parse(f, x.octets))
	}
	nobody := &fakeConn{answer: func([]byte) [][]byte { return nil }}
	l := newListener(d, nobody, newClient(d, nobody))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := d.decode(b)
		if err != nil {
			return
		}
		again, err := d.encode(m)
		if err != nil {
			t.Fatal(err)
		}
		m2, err := d.decode(again)
		if err != nil {
			t.Fatalf("%x: %v", again, err)
		}
		if !reflect.DeepEqual(m, m2) {
			t.Fatalf("first %+v, then %+v", m, m2)
		}
		l.event(m)
		d.saOf(m)
	})
}
