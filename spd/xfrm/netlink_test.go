//go:build linux

package xfrm

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mipsecd/spd"
)

func TestMessagesRoundTrip(t *testing.T) {
	want := []message{{1, 2, 3, []byte{}}, {4, 5, 6, []byte{7}}, {8, 9, 10, []byte{11, 12, 13, 14}}}
	var datagram []byte
	for _, m := range want {
		datagram = appendMessage(datagram, m)
	}
	if got, err := decodeMessages(datagram); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestAttributesRoundTrip(t *testing.T) {
	want := attributes{{1, []byte{}}, {2, []byte{3}}, {2, []byte{4, 5, 6, 7}}}
	var b []byte
	for _, a := range want {
		b = appendAttribute(b, a.kind, a.value)
	}
	got, err := decodeAttributes(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if !bytes.Equal(got.get(2), []byte{3}) || got.get(3) != nil {
		t.Errorf("got %v and %v", got.get(2), got.get(3))
	}
	native.PutUint16(b[2:], 1|1<<15) // NLA_F_NESTED
	if got, err := decodeAttributes(b); err != nil || got[0].kind != 1 {
		t.Errorf("a flagged attribute: %v, %v", got, err)
	}
}

func TestEndOfAnAnswer(t *testing.T) {
	status := func(errno syscall.Errno) []byte { return native.AppendUint32(nil, uint32(-int32(errno))) }
	request := make([]byte, headerLen)
	words := appendAttribute(appendAttribute(nil, 2, []byte{1, 2, 3, 4}), 1, []byte("Invalid policy direction\x00"))
	failed := func(errno syscall.Errno) message {
		return message{kind: unix.NLMSG_ERROR, body: append(status(errno), request...)}
	}
	explained := func(words []byte) message {
		m := failed(unix.EINVAL)
		m.flags, m.body = unix.NLM_F_ACK_TLVS|unix.NLM_F_CAPPED, append(m.body, words...)
		return m
	}
	for _, c := range []struct {
		name  string
		m     message
		is    error
		errno syscall.Errno
		text  string
	}{
		{"acknowledged", failed(0), nil, 0, ""},
		{"dumped", message{kind: unix.NLMSG_DONE, body: status(0)}, nil, 0, ""},
		{"dump failed", message{kind: unix.NLMSG_DONE, body: status(unix.ENOBUFS)}, nil, unix.ENOBUFS, ""},
		{"exists", failed(unix.EEXIST), spd.ErrExists, unix.EEXIST, ""},
		{"no SA", failed(unix.ESRCH), spd.ErrNotFound, unix.ESRCH, ""},
		{"no policy", failed(unix.ENOENT), spd.ErrNotFound, unix.ENOENT, ""},
		{"no template", failed(unix.ENODATA), spd.ErrNoTemplate, unix.ENODATA, ""},
		{"not allowed", failed(unix.EPERM), nil, unix.EPERM, ""},
		{"with the kernel's words", explained(words), spd.ErrInvalid, unix.EINVAL, "Invalid policy direction"},
		{"with broken words", explained(words[:9]), spd.ErrInvalid, unix.EINVAL, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := decodeEnd(c.m)
			if c.errno == 0 {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.Is(err, c.errno) || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q lacks %q", err, c.text)
			}
		})
	}
	for n := range 4 {
		if err := decodeEnd(message{kind: unix.NLMSG_DONE, body: make([]byte, n)}); err == nil {
			t.Errorf("a status of %d octets is taken", n)
		}
	}
}

func FuzzDecodeMessages(f *testing.F) {
	for _, c := range captures(f) {
		f.Add(c.datagram)
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		all, err := decodeMessages(datagram)
		if err != nil {
			return
		}
		var again []byte
		for _, m := range all {
			again = appendMessage(again, m)
		}
		if got, err := decodeMessages(again); err != nil || !reflect.DeepEqual(got, all) {
			t.Errorf("got %v, %v, want %v", got, err, all)
		}
	})
}

// What is decoded and can be asked of a kernel reads the same again.
func FuzzDecodeEvent(f *testing.F) {
	for _, c := range captures(f) {
		m := captured(f, c.name)
		f.Add(m.kind, m.body)
	}
	f.Fuzz(func(t *testing.T, kind uint16, body []byte) {
		m := message{kind: kind, body: body}
		event, err := decodeEvent(m)
		if err != nil && event != nil {
			t.Errorf("%v with %v", event, err)
		}
		switch e := event.(type) {
		case spd.PolicyChanged:
			e.Policy.Index = 0 // which no request has
			if again, err := encodePolicy(e.Policy); err == nil {
				got, err := decodePolicy(message{kind: msgNewPolicy, body: again})
				if err != nil || !reflect.DeepEqual(got, e.Policy) {
					t.Errorf("got %+v, %v, want %+v", got, err, e.Policy)
				}
			}
		case spd.Migrate:
			if again, err := encodeMigrate(e); err == nil {
				if got, err := decodeMigrate(again); err != nil || !reflect.DeepEqual(got, e) {
					t.Errorf("got %+v, %v, want %+v", got, err, e)
				}
			}
		}
	})
}

func FuzzDecodeEnd(f *testing.F) {
	f.Add(uint16(unix.NLMSG_ERROR), uint16(unix.NLM_F_ACK_TLVS), appendAttribute(make([]byte, 20), 1, []byte("no\x00")))
	f.Add(uint16(unix.NLMSG_DONE), uint16(0), make([]byte, 4))
	f.Fuzz(func(t *testing.T, kind, flags uint16, body []byte) {
		err := decodeEnd(message{kind: kind, flags: flags, body: body})
		if err == nil && (len(body) < 4 || native.Uint32(body) != 0) {
			t.Errorf("%x is success", body)
		}
	})
}
