package eap

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

var packets = []Packet{
	{Code: CodeRequest, ID: 1, Type: TypeIdentity, Data: []byte("who?")},
	{Code: CodeResponse, ID: 255, Type: TypeNak, Data: []byte{13}},
	{Code: CodeResponse, ID: 2, Type: TypeNotification, Data: []byte{}},
	{Code: CodeSuccess, ID: 3},
	{Code: CodeFailure, ID: 4},
}

func TestRFC3748_4_PacketRoundTrip(t *testing.T) {
	for _, p := range packets {
		got, err := Parse(p.Marshal())
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("got %+v, %v; want %+v", got, err, p)
		}
	}
}

func TestEveryPrefixIsRefused(t *testing.T) {
	for _, p := range packets {
		whole := p.Marshal()
		for n := range len(whole) {
			if got, err := Parse(whole[:n]); err == nil {
				t.Errorf("the first %d octets of %x read as %+v", n, whole, got)
			}
		}
	}
}

func TestRFC3748_4_BadPackets(t *testing.T) {
	for _, c := range []struct {
		octets []byte
		want   string
	}{
		{[]byte{1, 1, 0, 6, 1}, "EAP Length: 6; want 5"},
		{[]byte{1, 1, 0, 5, 1, 0}, "EAP Length: 5; want 6"},
		{[]byte{1, 1, 0, 4}, "EAP Type"},
		{[]byte{3, 1, 0, 5, 0}, "EAP Length of Success: 5; want 4"},
		{[]byte{0, 1, 0, 4}, "EAP Code: 0; want 1 to 4"},
		{[]byte{5, 1, 0, 4}, "EAP Code: 5; want 1 to 4"},
	} {
		if _, err := Parse(c.octets); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(c.want, " to 4")) {
			t.Errorf("%x: got %v, want %s", c.octets, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, p := range packets {
		f.Add(p.Marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := Parse(b); err == nil && !bytes.Equal(p.Marshal(), b) {
			t.Errorf("%x reads as %+v, which is %x", b, p, p.Marshal())
		}
	})
}

var mschapv2s = []mschapv2{
	{op: opChallenge, id: 1, value: bytes.Repeat([]byte{7}, 16), text: []byte("ha.example.org")},
	{op: opResponse, id: 1, value: bytes.Repeat([]byte{8}, 49), text: []byte("mn@example.org")},
	{op: opSuccess, id: 1, text: []byte("S=00 M=OK")},
	{op: opFailure, id: 2, text: []byte("E=691 R=0")},
}

func TestMSCHAPv2RoundTrip(t *testing.T) {
	for _, m := range mschapv2s {
		got, err := parseMSCHAPv2(m.marshal())
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, %v; want %+v", got, err, m)
		}
	}
	for _, op := range []opcode{opSuccess, opFailure} {
		if got, err := parseMSCHAPv2([]byte{byte(op)}); err != nil || got.op != op {
			t.Errorf("the answer to %d: %+v, %v", op, got, err)
		}
	}
}

// The first octet alone is an answer to Success or Failure.
func TestEveryMSCHAPv2PrefixIsRefused(t *testing.T) {
	for _, m := range mschapv2s {
		whole := m.marshal()
		for n := range len(whole) {
			if n == 1 && (m.op == opSuccess || m.op == opFailure) {
				continue
			}
			if got, err := parseMSCHAPv2(whole[:n]); err == nil {
				t.Errorf("the first %d octets of %x read as %+v", n, whole, got)
			}
		}
	}
}

func FuzzMSCHAPv2(f *testing.F) {
	for _, m := range mschapv2s {
		f.Add(m.marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMSCHAPv2(b)
		if err == nil && len(b) > 1 && !bytes.Equal(m.marshal(), b) {
			t.Errorf("%x reads as %+v, which is %x", b, m, m.marshal())
		}
	})
}

func FuzzTLS(f *testing.F) {
	for _, p := range []tlsPacket{{}, {flags: tlsStart}, {flags: tlsLength | tlsMore, length: 5, data: []byte("abc")}} {
		f.Add(p.marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseTLS(b)
		if again, err2 := parseTLS(p.marshal()); err == nil && (err2 != nil || !reflect.DeepEqual(p, again)) {
			t.Errorf("%x reads as %+v, and that as %+v, %v", b, p, again, err2)
		}
	})
}

// Without data there is nothing that a shorter packet could lack but the header.
func TestEveryTLSPrefixIsRefused(t *testing.T) {
	whole := tlsPacket{flags: tlsLength, length: 5}.marshal()
	for n := range len(whole) {
		if p, err := parseTLS(whole[:n]); err == nil {
			t.Errorf("the first %d octets of %x read as %+v", n, whole, p)
		}
	}
}
