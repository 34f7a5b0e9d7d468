package wire

import (
	"bytes"
	"slices"
	"testing"
)

// RFC 9242 section 3.3.2: the lengths are those of a message without initialization vector, padding and checksum; what was
// in fragments is as if it had never been; what is reserved stays as it was.
func TestRFC9242_3_3_2_Unencrypted(t *testing.T) {
	header := Header{SPIi: 1, SPIr: 2, Version: Version20, Exchange: ExchangeIKEIntermediate, MessageID: 1, Initiator: true}
	plain := AppendPayloads(nil, []Payload{&KE{Group: 36, Data: bytes.Repeat([]byte{7}, 100)}})
	before := []Payload{&Notify{Kind: 40960, Data: []byte("clear")}, &VendorID{Data: []byte("too")}}
	for name, unprotected := range map[string][]Payload{"nothing before it": nil, "one": before[:1], "two": before} {
		want := (&Message{header, append(slices.Clone(unprotected), &SK{PayloadKE, plain})}).Marshal()
		reserved := len(want) - len(plain) - 3
		want[reserved] |= 0x55
		for _, envelope := range []Payload{
			&SK{PayloadKE, make([]byte, 152)}, &SKF{PayloadKE, 1, 3, make([]byte, 60)}, &SK{PayloadKE, nil},
		} {
			datagram := (&Message{header, append(slices.Clone(unprotected), envelope)}).Marshal()
			body := len(envelope.appendBody(nil))
			datagram[len(datagram)-body-3] |= 0x55
			if f, ok := envelope.(*SKF); ok {
				body = len(f.Body)
			}
			head := slices.Clone(datagram[:len(datagram)-body])
			if got := Unencrypted(datagram[:len(head)], PayloadKE, plain); !bytes.Equal(got, want) {
				t.Errorf("%s, %s:\n%x, wanted\n%x", name, envelope.Type(), got, want)
			}
			if !bytes.HasPrefix(datagram, head) {
				t.Errorf("%s, %s: the datagram was changed", name, envelope.Type())
			}
		}
	}
}

// FuzzUnencrypted gives it the head of whatever Parse accepts.
func FuzzUnencrypted(f *testing.F) {
	header := Header{SPIi: 1, SPIr: 2, Version: Version20, Exchange: ExchangeIKEIntermediate, MessageID: 1}
	for _, ps := range [][]Payload{
		{&SK{PayloadKE, make([]byte, 40)}}, {&SKF{PayloadKE, 1, 2, make([]byte, 40)}},
		{&VendorID{Data: []byte("clear")}, &SKF{PayloadKE, 2, 2, make([]byte, 4)}},
	} {
		f.Add((&Message{header, ps}).Marshal(), uint8(PayloadKE), []byte("content"))
	}
	f.Fuzz(func(t *testing.T, datagram []byte, first uint8, plain []byte) {
		m, err := Parse(datagram)
		if err != nil || len(m.Payloads) == 0 || len(plain) > 1000 {
			return
		}
		var body []byte
		switch p := m.Payloads[len(m.Payloads)-1].(type) {
		case *SK:
			body = p.Body
		case *SKF:
			body = p.Body
		default:
			return
		}
		got := Unencrypted(datagram[:len(datagram)-len(body)], PayloadType(first), plain)
		again, err := Parse(got)
		if err != nil {
			t.Fatalf("%x is refused: %v", got, err)
		}
		sk, ok := Find[*SK](again.Payloads)
		if !ok || sk.Inner != PayloadType(first) || !bytes.Equal(sk.Body, plain) || len(again.Payloads) != len(m.Payloads) {
			t.Fatalf("%x is %+v", got, again)
		}
	})
}
