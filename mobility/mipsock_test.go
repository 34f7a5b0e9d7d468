package mobility

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mipsecd/spd"
)

// octets reads hexadecimal digits.
func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The addresses hoa, coa, and ha as FreeBSD's sockaddr_in6.
const (
	sockHoA = "1c1c0000 00000000 20010db8000100000000000000000100 00000000"
	sockCoA = "1c1c0000 00000000 20010db8000200000000000000000005 00000000"
	sockHA  = "1c1c0000 00000000 20010db8000100000000000000000001 00000000"
)

// mipFixtures are messages as a little-endian host has them: header, what the type has before the addresses, addresses.
var mipFixtures = []struct {
	name    string
	octets  string
	want    MIPMessage
	binding spd.Binding // the zero Binding if none
}{
	{"BC_ADD", "6c000104 d2040000 07000000 00000000 a4010000 f000" + sockHoA + sockCoA + sockHA + "0000",
		MIPMessage{Type: MIPCacheAdd, PID: 1234, Seq: 7, HomeAddress: hoa, CareOf: coa, Peer: ha, HomeReg: true},
		spd.Binding{HomeAddress: hoa, CareOf: coa, HomeAgent: ha}},
	{"BC_ADD of a correspondent node", "6c000104 d2040000 07000000 00000000 a4010000 8000" + sockHoA + sockCoA + sockHA + "0000",
		MIPMessage{Type: MIPCacheAdd, PID: 1234, Seq: 7, HomeAddress: hoa, CareOf: coa, Peer: ha}, spd.Binding{}},
	{"BC_REMOVE", "6c000105 d2040000 08000000 00000000 00000000 f000" + sockHoA + sockHoA + sockHA + "0000",
		MIPMessage{Type: MIPCacheRemove, PID: 1234, Seq: 8, HomeAddress: hoa, CareOf: hoa, Peer: ha, HomeReg: true},
		spd.Binding{HomeAddress: hoa, CareOf: hoa, HomeAgent: ha}},
	{"BUL_ADD", "6c000106 d2040000 09000000 00000000 f000 0300 0200 0000" + sockHoA + sockCoA + sockHA,
		MIPMessage{Type: MIPListAdd, PID: 1234, Seq: 9, HomeAddress: hoa, CareOf: coa, Peer: ha, HomeReg: true},
		spd.Binding{HomeAddress: hoa, CareOf: coa, HomeAgent: ha}},
	{"BUL_ADD that the kernel refuses", "6c000106 d2040000 09000000 11000000 f000 0300 0200 0000" + sockHoA + sockCoA + sockHA,
		MIPMessage{Type: MIPListAdd, PID: 1234, Seq: 9, Errno: 17, HomeAddress: hoa, CareOf: coa, Peer: ha, HomeReg: true}, spd.Binding{}},
	{"BUL_REMOVE with the last care-of address", "6c000108 d2040000 0a000000 00000000 f000 0300 0200 0000" + sockHoA + sockCoA + sockHA,
		MIPMessage{Type: MIPListRemove, PID: 1234, Seq: 10, HomeAddress: hoa, CareOf: coa, Peer: ha, HomeReg: true},
		spd.Binding{HomeAddress: hoa, CareOf: hoa, HomeAgent: ha}},
	{"MD_INFO: on another link", "6800010a d2040000 0b000000 00000000 01 02 0200" + sockHoA + sockCoA + sockHoA,
		MIPMessage{Type: MIPMovement, PID: 1234, Seq: 11, HomeAddress: hoa, CareOf: coa, Command: MDReregister},
		spd.Binding{HomeAddress: hoa, CareOf: coa}},
	{"MD_INFO: at home", "6800010a d2040000 0c000000 00000000 02 03 0200" + sockHoA + sockHoA + sockCoA,
		MIPMessage{Type: MIPMovement, PID: 1234, Seq: 12, HomeAddress: hoa, CareOf: hoa, Command: MDDeregisterHome},
		spd.Binding{HomeAddress: hoa, CareOf: hoa}},
	{"MD_INFO: look for links", "6800010a d2040000 0d000000 00000000 04 01 0200" + sockHoA + sockCoA + sockCoA,
		MIPMessage{Type: MIPMovement, PID: 1234, Seq: 13, HomeAddress: hoa, CareOf: coa, Command: 4}, spd.Binding{}},
	{"NODETYPE_INFO", "14000101 d2040000 0e000000 00000000 01000000", MIPMessage{Type: 1, PID: 1234, Seq: 14}, spd.Binding{}},
}

func TestMIPMessages(t *testing.T) {
	for _, f := range mipFixtures {
		m, err := ParseMIPMessage(octets(t, f.octets))
		if err != nil || m != f.want {
			t.Errorf("%s: got %+v, %v\nwant %+v", f.name, m, err, f.want)
		}
		if b, ok := m.Binding(); b != f.binding || ok != (f.binding != spd.Binding{}) {
			t.Errorf("%s: got %+v, %v, want %+v", f.name, b, ok, f.binding)
		}
	}
}

// Each part of a message is refused, also if it says that it is one.
func TestMIPMessageTruncated(t *testing.T) {
	for _, f := range mipFixtures {
		full := octets(t, f.octets)
		for n := range full {
			cut := slices.Clone(full[:n])
			if m, err := ParseMIPMessage(cut); err == nil {
				t.Errorf("%s: the first %d octets were taken for %+v", f.name, n, m)
			}
			if n < 2 || n >= mipAddresses || !f.want.HomeAddress.IsValid() {
				continue
			}
			binary.NativeEndian.PutUint16(cut, uint16(n))
			if m, err := ParseMIPMessage(cut); err == nil {
				t.Errorf("%s: %d octets were taken for %+v", f.name, n, m)
			}
		}
		if m, err := ParseMIPMessage(append(full, 0)); err == nil {
			t.Errorf("%s: with one more octet it was taken for %+v", f.name, m)
		}
	}
}

// mipAddresses is how many octets a message with addresses has at least.
const mipAddresses = 20 + 2*bsdSockaddrIn6

func TestMIPMessageMalformed(t *testing.T) {
	good := octets(t, mipFixtures[3].octets)
	for _, c := range []struct {
		name  string
		at    int
		octet byte
		want  string
	}{
		{"version", 2, 2, "version is 2, must be 1"},
		{"length", 0, 0x6b, "length is 107, must be 108"},
		{"an IPv4 address", 24 + 28, 16, "message 6: length of address 1 is 16, must be 28"},
	} {
		b := slices.Clone(good)
		b[c.at] = c.octet
		if m, err := ParseMIPMessage(b); err == nil || !strings.Contains(err.Error(), c.want) || m != (MIPMessage{}) {
			t.Errorf("%s: got %+v, %v, want an error with %q", c.name, m, err, c.want)
		}
	}
	for _, careOf := range []string{"::", "fe80::1", "ff02::1"} {
		m := mipFixtures[3].want
		m.CareOf = netip.MustParseAddr(careOf)
		if b, ok := m.Binding(); ok {
			t.Errorf("bound to %s: %+v", careOf, b)
		}
	}
}

func FuzzParseMIPMessage(f *testing.F) {
	for _, x := range mipFixtures {
		f.Add(octets(f, x.octets))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMIPMessage(b)
		if err != nil {
			return
		}
		if b, ok := m.Binding(); ok && (!routable(b.CareOf) || m.Errno != 0) {
			t.Fatalf("%+v from %+v", b, m)
		}
	})
}
